/*
 * maildir_file.c: tmp, fsync, rename into new.
 */
#include "delivery/maildir_file.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BUFFER = 64 * 1024, FILE_PIECE = 16 * 1024 };

static char *file_path(const struct maildir_file *f, const char *sub, const char *name)
{
	return mem_printf("%s/%s%s%s", f->folder, sub, *name ? "/" : "", name);
}

/* ---- making a maildir ---- */

static int file_own(const struct maildir_rules *rules, int fd)
{
	return rules->chown && fchown(fd, rules->uid, rules->gid) < 0 ? -errno : 0;
}

static int file_sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* 0 also when it is there already: another may be making the same maildir. */
static int file_make_folder(const struct maildir_rules *rules, const char *path)
{
	int fd, r;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = file_own(rules, fd);
	close(fd);
	return r;
}

static int file_sync_parent(const char *folder)
{
	char *path = mem_strdup(folder), *slash = strrchr(path, '/');
	int r;

	slash[slash == path] = '\0';
	r = file_sync_folder(path);
	mem_free(path);
	return r;
}

static int file_make_maildir(const struct maildir_file *f)
{
	static const char *const subs[] = { "tmp", "new", "cur" };
	int r;

	if (access(f->rules->base, F_OK) < 0)
		return -ENXIO;
	if (f->rules->existing_only)
		return -ENOENT;
	r = file_make_folder(f->rules, f->folder);
	for (size_t i = 0; r == 0 && i < COUNT_OF(subs); i++) {
		char *path = file_path(f, subs[i], "");
		r = file_make_folder(f->rules, path);
		mem_free(path);
	}
	if (r == 0)
		r = file_sync_folder(f->folder);
	return r < 0 ? r : file_sync_parent(f->folder);
}

/* ---- writing ---- */

static int file_create(struct maildir_file *f)
{
	char *path = file_path(f, "tmp", f->name);
	int r;

	f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		r = errno == ENOTDIR ? -ENOENT : file_make_maildir(f);
		if (r == 0)
			f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} else {
		r = 0;
	}
	mem_free(path);
	if (r == 0 && f->fd < 0)
		r = -errno;
	return r < 0 ? r : file_own(f->rules, f->fd);
}

static int file_flush(struct maildir_file *f, struct buf *out)
{
	struct bytes rest = buf_bytes(out);

	while (rest.n) {
		ssize_t n = write(f->fd, rest.p, rest.n);
		if (n < 0 && errno != EINTR)
			return -errno;
		rest = bytes_skip(rest, n < 0 ? 0 : (size_t)n);
	}
	f->size += out->n;
	buf_clear(out);
	return 0;
}

/* CR LF becomes LF; *CR: the last piece ended in a CR, which may turn out to belong to an LF. */
static void file_add_lines(struct bytes piece, bool *cr, struct buf *out)
{
	while (piece.n) {
		if (*cr && piece.p[0] != '\n')
			buf_add_char(out, '\r');
		ptrdiff_t at = bytes_find(piece, '\r');
		*cr = at >= 0;
		buf_add(out, bytes_first(piece, at < 0 ? piece.n : (size_t)at));
		piece = at < 0 ? BYTES("") : bytes_skip(piece, (size_t)at + 1);
	}
}

static int file_add_message(struct maildir_file *f, struct mail *m, struct buf *out)
{
	struct mail_cursor cursor = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	bool cr = false;
	int r;

	while ((r = mail_read(m, &cursor, FILE_PIECE, &scratch, &piece)) == 0 && piece.n) {
		file_add_lines(piece, &cr, out);
		if (out->n >= FILE_BUFFER - FILE_PIECE)
			r = file_flush(f, out);
		if (r < 0)
			break;
	}
	if (r == 0 && cr)
		buf_add_char(out, '\r');
	buf_fini(&scratch);
	return r < 0 ? r : file_flush(f, out);
}

int maildir_file_write(struct maildir_file *f, struct mail *m)
{
	struct buf out = { 0 };
	int r = file_create(f);

	if (r == 0) {
		buf_room(&out, f->head.n + (mail_size(m) < FILE_BUFFER ? (size_t)mail_size(m) : FILE_BUFFER));
		buf_add(&out, f->head);
		r = file_add_message(f, m, &out);
	}
	buf_fini(&out);
	if (r < 0)
		maildir_file_discard(f);
	return r;
}

/* ---- the end ---- */

static void file_unlink(const struct maildir_file *f, const char *sub, const char *name)
{
	char *path = file_path(f, sub, name);

	unlink(path);
	mem_free(path);
}

void maildir_file_discard(struct maildir_file *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	file_unlink(f, "tmp", f->name);
}

static int file_rename(const struct maildir_file *f, const char *name)
{
	char *from = file_path(f, "tmp", f->name), *to = file_path(f, "new", name);
	int r = rename(from, to) < 0 ? -errno : 0;

	mem_free(from);
	mem_free(to);
	return r;
}

/* The message is in new, but that it stays there after a power failure is not certain.  It goes, unless a reader was faster. */
static int file_take_back(const struct maildir_file *f, const char *name, int error)
{
	char *path = file_path(f, "new", name);
	int r = unlink(path) < 0 ? -EINPROGRESS : error;

	mem_free(path);
	return r;
}

int maildir_file_commit(struct maildir_file *f)
{
	/* Quota counters (Maildir++) need not stat() a file that tells its size. */
	char *name = mem_printf("%s,S=%llu", f->name, (unsigned long long)f->size);
	char *folder = file_path(f, "new", "");
	int r = fsync(f->fd) < 0 ? -errno : 0;

	if (r == 0)
		r = file_rename(f, name);
	if (r < 0) {
		maildir_file_discard(f);
	} else {
		close(f->fd);
		f->fd = -1;
		r = file_sync_folder(folder);
		if (r < 0)
			r = file_take_back(f, name, r);
	}
	mem_free(folder);
	mem_free(name);
	return r;
}
