/*
 * journal_file.c: what is done to the delivered journal's file in the thread pool: append, tidy up.
 */
#include "delivery/journal_file.h"

#include "delivery/journal_line.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_TIDY = 64 * 1024,          /* a smaller file is not worth it */
	FILE_MOST = 64 * 1024 * 1024,   /* nothing is added to a larger one */
	FILE_PROBE = 2 * JOURNAL_LINE_MAX,
};

/* The file, locked; another writer may have replaced it while we waited for the lock. */
static int file_open(const struct journal_append *w, struct stat *ret_st)
{
	for (;;) {
		int fd = open(w->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX) < 0 || fstat(fd, ret_st) < 0) {
			int r = -errno;
			close(fd);
			if (r != -EINTR)
				return r;
			continue;
		}
		if (ret_st->st_nlink)
			return fd;
		close(fd);
	}
}

static int file_write(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(fd, b.p, b.n);
		if (n < 0 && errno != EINTR)
			return -errno;
		b = bytes_skip(b, n < 0 ? 0 : (size_t)n);
	}
	return fdatasync(fd) < 0 ? -errno : 0;
}

/* A last line that a crash cut short gets its end, so that it spoils no other. */
static int file_append_text(int fd, const struct stat *st, struct bytes text)
{
	char last = '\n';

	if (st->st_size && pread(fd, &last, 1, st->st_size - 1) < 0)
		return -errno;
	if (last != '\n' && write(fd, "\n", 1) < 0)
		return -errno;
	return file_write(fd, text);
}

/* Entries come in order of time: has the one in the middle expired? */
static bool file_untidy(const struct journal_append *w, int fd, const struct stat *st)
{
	struct buf piece = { 0 }, names = { 0 };
	struct journal_line l;
	bool expired = false;
	ssize_t n;

	if (st->st_size < FILE_TIDY)
		return false;
	n = pread(fd, buf_room(&piece, FILE_PROBE), FILE_PROBE, st->st_size / 2);
	if (n > 0) {
		struct bytes rest = bytes_make(piece.p, (size_t)n);
		bytes_cut(&rest, '\n');
		expired = rest.p && journal_line_parse(bytes_cut(&rest, '\n'), &names, &l) == 0 && l.expires <= w->now;
	}
	buf_fini(&piece);
	buf_fini(&names);
	return expired;
}

static int file_sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void file_keep_line(void *arg, const struct journal_line *l)
{
	journal_line_put(l, arg);
}

static int file_read_all(int fd, const struct stat *st, struct buf *ret)
{
	ssize_t n = pread(fd, buf_room(ret, (size_t)st->st_size), (size_t)st->st_size, 0);

	if (n < 0)
		return -errno;
	buf_grown(ret, (size_t)n);
	return 0;
}

static int file_create(const char *path, struct bytes text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = file_write(fd, text);
	close(fd);
	return r;
}

/* What has not expired, into a new file that takes the old one's place.  A failure leaves the old one, which is as good. */
static int file_tidy(const struct journal_append *w, int fd, const struct stat *st)
{
	struct buf text = { 0 }, keep = { 0 };
	char *path = mem_printf("%s.new", w->path);
	int r = file_read_all(fd, st, &text);

	if (r == 0) {
		journal_line_each(buf_bytes(&text), w->now, file_keep_line, &keep);
		r = file_create(path, buf_bytes(&keep));
	}
	if (r == 0)
		r = rename(path, w->path) < 0 ? -errno : file_sync_folder(w->folder);
	mem_free(path);
	buf_fini(&text);
	buf_fini(&keep);
	return r;
}

int journal_file_append(void *arg)
{
	struct journal_append *w = arg;
	struct stat st = { 0 };
	int fd = file_open(w, &st), r;

	if (fd < 0)
		return fd;
	if (file_untidy(w, fd, &st)) {
		(void)!file_tidy(w, fd, &st);
		close(fd);
		fd = file_open(w, &st);
		if (fd < 0)
			return fd;
	}
	r = st.st_size > FILE_MOST ? -ENOSPC : file_append_text(fd, &st, buf_bytes(&w->text));
	close(fd);
	return r;
}

