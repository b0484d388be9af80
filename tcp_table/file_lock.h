/*
 * file_lock.h: the locks that those who make table files hold while they write.
 *
 * Postfix on Linux locks hash, btree and cdb files with flock(2), and LMDB locks its own with fcntl(2), as does Sendmail's makemap.  The kernel keeps the
 * two apart: whoever holds one knows nothing of who holds the other.  So both are taken.  Both belong to the open file: they do not fall with another
 * descriptor of this process, and end with the last one of this open().
 */
#ifndef GATEPOST_TCP_TABLE_FILE_LOCK_H
#define GATEPOST_TCP_TABLE_FILE_LOCK_H

#include <stdbool.h>

/* Waits until nobody writes (ALONE: until nobody reads under a lock either).  0 or -errno.  Blocks. */
int file_lock(int fd, bool alone) __attribute__((warn_unused_result));
/* The same for reading, but -EAGAIN instead of a wait. */
int file_lock_try(int fd) __attribute__((warn_unused_result));
void file_unlock(int fd);

#endif
