/*
 * mail_store.c: memory first, then an unlinked file.
 *
 * The file never has a name (or loses it at once), so nothing is left behind by a crash.  It is never synced: what it holds was
 * not yet answered 250.
 */
#include "lib/mail/mail_private.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { STORE_WRITE = 65536 };

static int store_create_named(const char *folder)
{
	char *path = mem_printf("%s/mail-XXXXXX", folder);
	int fd = mkostemp(path, O_CLOEXEC), r = fd < 0 ? -errno : fd;

	if (fd >= 0)
		unlink(path);
	mem_free(path);
	return r;
}

static int store_create(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	/* Some file systems cannot (overlayfs on old kernels, NFS): EOPNOTSUPP, or EISDIR where O_TMPFILE is not known. */
	return errno == EOPNOTSUPP || errno == EISDIR ? store_create_named(folder) : -errno;
}

/* To the peer it is all one whether the disk, a quota or a file size limit is what is full. */
static int store_write_error(int error)
{
	return error == EFBIG || error == EDQUOT ? -ENOSPC : -error;
}

static int store_write(struct mail_store *s, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(s->fd, b.p, b.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return store_write_error(errno);
		s->written += (uint64_t)n;
		b = bytes_skip(b, (size_t)n);
	}
	return 0;
}

/* MEM is emptied also when it fails: the store is useless then. */
static int store_flush(struct mail_store *s)
{
	int r = store_write(s, buf_bytes(&s->mem));
	buf_clear(&s->mem);
	return r;
}

static int store_append_file(struct mail_store *s, struct bytes b)
{
	if (s->mem.n + b.n < STORE_WRITE) {
		buf_add(&s->mem, b);
		return 0;
	}
	int r = store_flush(s);
	if (r < 0)
		return r;
	if (b.n >= STORE_WRITE)
		return store_write(s, b);
	buf_add(&s->mem, b);
	return 0;
}

int mail_store_append(struct mail_store *s, const struct mail_limits *limits, struct bytes b)
{
	s->eight_bit = s->eight_bit || mail_any_8bit(b);
	if (s->fd >= 0)
		return store_append_file(s, b);
	if (!limits->spool || (b.n <= limits->memory_max && s->mem.n <= limits->memory_max - b.n)) {
		buf_add(&s->mem, b);
		return 0;
	}
	int fd = store_create(limits->spool);
	if (fd < 0)
		return fd;
	s->fd = fd;
	return store_append_file(s, b);
}

int mail_store_end(struct mail_store *s)
{
	int r = s->fd >= 0 ? store_flush(s) : 0;
	buf_trim(&s->mem);
	return r;
}

static int store_read_file(const struct mail_store *s, uint64_t offset, size_t n, struct buf *scratch)
{
	buf_clear(scratch);
	char *to = buf_room(scratch, n);
	ssize_t got;

	do
		got = pread(s->fd, to, n, (off_t)offset);
	while (got < 0 && errno == EINTR);
	/* A file that has become shorter is as bad as one that cannot be read. */
	if (got <= 0)
		return -EIO;
	buf_grown(scratch, (size_t)got);
	return 0;
}

int mail_store_read(const struct mail_store *s, uint64_t offset, size_t most, struct buf *scratch, struct bytes *ret)
{
	if (offset < s->written) {
		uint64_t n = s->written - offset;
		int r = store_read_file(s, offset, n < most ? (size_t)n : most, scratch);
		if (r < 0)
			return r;
		/* While content arrives its end is in memory: where the file ends says nothing to the reader. */
		if (scratch->n == n)
			buf_add(scratch, bytes_first(buf_bytes(&s->mem), most - scratch->n));
		*ret = buf_bytes(scratch);
		return 0;
	}
	offset -= s->written;
	if (offset >= s->mem.n)
		*ret = (struct bytes){ NULL, 0 };
	else
		*ret = bytes_first(bytes_skip(buf_bytes(&s->mem), (size_t)offset), most);
	return 0;
}

void mail_store_fini(struct mail_store *s)
{
	if (s->fd >= 0)
		close(s->fd);
	buf_fini(&s->mem);
	*s = MAIL_STORE_EMPTY;
}
