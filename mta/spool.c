/* spool.c: the lock of the running server, and what its workers may write. */
#include "mta/spool.h"

#include "lib/base/mem.h"
#include "queue/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the lock ---- */

static int open_lock(const char *spool, int flags)
{
	char *path = mem_printf("%s/gatepost.pid", spool);
	/* Workers may write in the spool, so what lies there is not to be trusted by root: no link is followed. */
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0644);
	int status = fd < 0 ? -errno : fd;
	mem_free(path);
	return status;
}

int spool_lock(const char *spool, struct buf *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(spool, O_RDWR | O_CREAT);
	if (fd < 0) {
		buf_printf(err, "spool %s: the lock gatepost.pid: %s", spool, strerror(-fd));
		return fd;
	}
	if (fcntl(fd, F_SETLK, &lock)) {
		pid_t holder = spool_holder(spool);
		buf_printf(err, "spool %s: process %d serves with it already", spool, (int)holder);
		close(fd);
		return -EWOULDBLOCK;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		int status = -errno;
		buf_printf(err, "spool %s: %s", spool, strerror(-status));
		close(fd);
		return status;
	}
	return fd;
}

/* The file stays: were it unlinked, two servers could each lock one of that name. */
void spool_unlock(int *fd)
{
	if (*fd < 0)
		return;
	if (ftruncate(*fd, 0))
		errno = 0;
	close(*fd);
	*fd = -1;
}

pid_t spool_holder(const char *spool)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(spool, O_RDONLY);
	if (fd < 0)
		return 0;
	int status = fcntl(fd, F_GETLK, &lock);
	close(fd);
	return status || lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

/* ---- privileges ---- */

int spool_drop_privileges(const struct config *c)
{
	if (!c->user || geteuid() != 0)
		return 0;
	if (initgroups(c->user, c->gid) || setresgid(c->gid, c->gid, c->gid) || setresuid(c->uid, c->uid, c->uid))
		return -errno;
	/* A process that can become root again has dropped nothing. */
	return c->uid != 0 && setuid(0) == 0 ? -EPERM : 0;
}

int spool_try(const char *spool)
{
	int fd = open(spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int spool_prepare(const struct config *c, struct buf *err)
{
	int status = spool_try(c->spool);
	if (!status && c->journal_folder && mkdir(c->journal_folder, 0700) && errno != EEXIST)
		status = -errno;
	if (status) {
		buf_printf(err, "cannot write in spool %s: %s", c->spool, strerror(-status));
		return status;
	}
	return hold_begin(c->spool, err);
}

int spool_check(const struct config *c, struct buf *err)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		status = spool_drop_privileges(c);
		_exit(status ? -status : -spool_try(c->spool));
	}
	if (child < 0)
		return -errno;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	status = WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
	if (status)
		buf_printf(err, "%sspool %s: the workers%s%s cannot write there: %s", err->n ? "\n" : "", c->spool, c->user ? ", as user " : "",
		    c->user ? c->user : "", strerror(-status));
	return status;
}
