/*
 * file_lock.c: flock(2) first, then fcntl(2), always.
 */
#include "tcp_table/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static int file_lock_posix(int fd, int command, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };
	while (fcntl(fd, command, &l) < 0)
		if (errno != EINTR)
			return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

static int file_lock_flock(int fd, int operation)
{
	while (flock(fd, operation) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int file_lock(int fd, bool alone)
{
	int r = file_lock_flock(fd, alone ? LOCK_EX : LOCK_SH);
	return r < 0 ? r : file_lock_posix(fd, F_OFD_SETLKW, alone ? F_WRLCK : F_RDLCK);
}

int file_lock_try(int fd)
{
	int r = file_lock_flock(fd, LOCK_SH | LOCK_NB);
	if (r == 0)
		r = file_lock_posix(fd, F_OFD_SETLK, F_RDLCK);
	if (r < 0)
		file_unlock(fd);
	return r;
}

void file_unlock(int fd)
{
	/* The descriptor is ours: there is nothing it could fail for. */
	(void)flock(fd, LOCK_UN);
	(void)file_lock_posix(fd, F_OFD_SETLK, F_UNLCK);
}
