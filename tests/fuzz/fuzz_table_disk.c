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

/* Through a map it says the same. */
static void find_mapped(const struct table_disk_kind *kind, struct table_disk_file file, struct bytes key, int r, struct bytes value)
{
	struct file_map map = { 0 };
	struct buf again = { 0 };
	if (file_map_init(&map, file.fd, (off_t)file.size) < 0)
		return;
	file.map = &map;
	file.at_once = true;
	int r2 = kind->find(&file, key, &again);
	/* What the map does not have may be read elsewhere, but not at once. */
	ASSERT(r2 == r || (r2 == -EAGAIN && r == -EIO));
	ASSERT(r != 1 || bytes_eq(buf_bytes(&again), value));
	buf_fini(&again);
	file_map_fini(&map);
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
	const struct table_disk_file file = { .fd = file_with(content), .size = content.n };
	const struct table_disk_kind *kind = kinds[data[0] % COUNT_OF(kinds)];
	int r = kind->find(&file, key, &value);
	ASSERT(r == 1 || r == 0 || r == -EIO);
	ASSERT(r != 0 || value.n == 0);
	ASSERT(value.n <= content.n);
	ASSERT(r < 0 || kind->check(&file) <= 0);
	find_mapped(kind, file, key, r, buf_bytes(&value));
	r = kind->each(&file, count_entry, &content.n);
	ASSERT(r == 0 || r == -EIO);
	buf_fini(&value);
	return 0;
}
