/*
 * file_map.h: the content of a file through a memory map, for who reads a little of it very often: no system call, and no copy of the file.
 *
 * Whoever touches a map of a file that somebody has cut short, or of a disk that fails, gets SIGBUS.  Here that ends the one read, and not the process.
 * What is behind the cut on its page reads as NULs, though, without a signal.  Whoever wants to know whether that can have been so asks file_map_whole().
 *
 * Nor should a read wait for the disk: file_map_init() has all of the file brought into memory first.  Later pages may go again when memory is short, as
 * those of the program itself may.
 */
#ifndef GATEPOST_TCP_TABLE_FILE_MAP_H
#define GATEPOST_TCP_TABLE_FILE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct file_map {               /* all zero: there is none */
	const char *p;
	size_t n;
	size_t last;            /* where the last byte is that is no NUL */
	char last_byte;         /* NUL: that is not known */
};

/* Maps FD's first SIZE bytes, and waits until they are in memory.  0 or -errno: -EFBIG when that would be too much of it.  Blocks. */
int file_map_init(struct file_map *m, int fd, off_t size) __attribute__((warn_unused_result));
void file_map_fini(struct file_map *m);

static inline bool file_map_has(const struct file_map *m, uint64_t offset, size_t n)
{
	return n <= m->n && offset <= m->n - n;
}
/* Nothing but NULs has been cut off up to now, for certain. */
bool file_map_whole(const struct file_map *m);
/* Copies N bytes that the map has.  0; -EIO: the file has them no more.  Not in the thread pool, whose threads take no signals. */
int file_map_read(const struct file_map *m, uint64_t offset, void *to, size_t n) __attribute__((warn_unused_result));

#endif
