/*
 * table_read.c: a whole file, once.
 */
#include "tcp_table/table_read.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { TABLE_READ_CHUNK = 16384 };

int table_read(const char *path, size_t most, struct buf *ret)
{
	size_t total = 0;
	ssize_t n;
	/* Not to be kept waiting by a pipe without a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf_room(ret, TABLE_READ_CHUNK), TABLE_READ_CHUNK)) > 0 && (total += (size_t)n) <= most)
		buf_grown(ret, (size_t)n);
	int r = n < 0 ? -errno : n > 0 ? -EFBIG : 0;
	close(fd);
	return r;
}
