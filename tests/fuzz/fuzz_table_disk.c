/* fuzz_table_disk.c: cdb and lmdb files: the first byte chooses the kind, the first line is the key, the rest the file. */
#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "tcp_table/table_disk.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One file in memory for all runs. */
static int file_with(struct bytes content)
{
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("table", 0);
	ASSERT(fd >= 0 && ftruncate(fd, 0) == 0);
	ASSERT(pwrite(fd, content.p, content.n, 0) == (ssize_t)content.n);
	return fd;
}

static int count_entry(void *arg, struct bytes key, struct bytes value)
{
	size_t *content = arg;
	ASSERT(key.n + value.n <= *content);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct table_disk_kind *const kinds[] = { &cdb_kind, &lmdb_kind };
	struct buf value = { 0 };

	if (size < 2)
		return 0;
	struct bytes content = bytes_make(data + 1, size - 1), key = bytes_cut(&content, '\n');
	if (!content.p)
		return 0;
	const struct table_disk_file file = { .fd = file_with(content) };
	const struct table_disk_kind *kind = kinds[data[0] % COUNT_OF(kinds)];
	int r = kind->find(&file, key, &value);
	ASSERT(r == 1 || r == 0 || r == -EIO);
	ASSERT(r != 0 || value.n == 0);
	ASSERT(value.n <= content.n);
	ASSERT(r < 0 || kind->check(&file) <= 0);
	r = kind->each(&file, count_entry, &content.n);
	ASSERT(r == 0 || r == -EIO);
	buf_fini(&value);
	return 0;
}
