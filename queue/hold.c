/*
 * hold.c: the files of the hold area.
 */
#include "queue/hold.h"

#include "lib/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HOLD_PIECE = 64 * 1024,
	HOLD_ENVELOPE_MAX = 64 * 1024 * 1024,
};

/* ---- names ---- */

static char *hold_name(const char *id, const char *suffix)
{
	return mem_printf("%s%s", id, suffix);
}

static bool hold_exists(int folder, const char *id, const char *suffix)
{
	char *name = hold_name(id, suffix);
	bool there = faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	mem_free(name);
	return there;
}

static int hold_unlink(int folder, const char *id, const char *suffix)
{
	char *name = hold_name(id, suffix);
	int r = unlinkat(folder, name, 0) ? -errno : 0;
	mem_free(name);
	return r;
}

/* The part of NAME before SUFFIX, if it is an id; else the empty slice. */
static struct bytes hold_id_of(const char *name, struct bytes suffix)
{
	struct bytes id = bytes_of(name);
	if (!bytes_ends(id, suffix))
		return (struct bytes){ 0 };
	id.n -= suffix.n;
	return held_id_valid(id) ? id : (struct bytes){ 0 };
}

static int hold_open_folder(const char *spool)
{
	char *path = mem_printf("%s/hold", spool);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd;
	mem_free(path);
	return r;
}

/* A new entry of the folder NAME is on the disk. */
static int hold_sync_folder(const char *name)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fsync(fd) ? -errno : 0;
	close(fd);
	return r;
}

/* What is put in it is lost with it: it is on the disk itself when there is anything in it. */
static int hold_make_folder(const char *spool)
{
	char *path = mem_printf("%s/hold", spool);
	int r = mkdir(path, 0700) ? -errno : hold_sync_folder(spool);
	mem_free(path);
	return r == 0 || r == -EEXIST ? hold_open_folder(spool) : r;
}

/* A file of ours, and nothing that somebody laid in its place. */
static int hold_open_file(int folder, const char *id, const char *suffix, int flags)
{
	char *name = hold_name(id, suffix);
	struct stat st;
	int fd = openat(folder, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd;
	mem_free(name);
	if (r == -ELOOP)
		return -ENOENT;
	if (r < 0)
		return r;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -ENOENT;
}

/* ---- writing ---- */

static int hold_write(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(fd, b.p, b.n);
		if (n < 0 && errno != EINTR)
			/* RLIMIT_FSIZE is a kind of full disk. */
			return errno == EFBIG || errno == EDQUOT ? -ENOSPC : -errno;
		b = bytes_skip(b, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

static int hold_write_mail(int fd, struct mail *mail)
{
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	int r;
	do {
		r = mail_read(mail, &at, HOLD_PIECE, &scratch, &piece);
		if (r == 0)
			r = hold_write(fd, piece);
	} while (r == 0 && piece.n);
	buf_fini(&scratch);
	return r;
}

/* A file that has no name yet: a crash leaves nothing of it. */
static int hold_nameless(int folder)
{
	int fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int hold_give_name(int folder, int fd, const char *id, const char *suffix)
{
	char from[40], *name = hold_name(id, suffix);
	snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
	int r = linkat(AT_FDCWD, from, folder, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
	mem_free(name);
	return r;
}

struct hold_put_work {
	const char *spool, *id;
	struct mail *mail;
	struct buf envelope;
};

/* Under the lock, so that nobody takes it for the left-over of a crash before the envelope has its name as well. */
static int hold_put_names(const struct hold_put_work *w, int folder, int content, int envelope)
{
	int r = hold_give_name(folder, content, w->id, ".eml");
	if (r < 0)
		return r;
	r = hold_give_name(folder, envelope, w->id, ".json");
	if (r == 0 && fsync(folder)) {
		r = -errno;
		(void)!hold_unlink(folder, w->id, ".json");
	}
	if (r < 0)
		(void)!hold_unlink(folder, w->id, ".eml");
	return r;
}

static int hold_put_files(const struct hold_put_work *w, int folder, int content, int envelope)
{
	int r = flock(content, LOCK_EX | LOCK_NB) ? -errno : 0;
	if (r == 0)
		r = hold_write_mail(content, w->mail);
	if (r == 0)
		r = hold_write(envelope, buf_bytes(&w->envelope));
	if (r == 0 && (fsync(content) || fsync(envelope)))
		r = -errno;
	return r == 0 ? hold_put_names(w, folder, content, envelope) : r;
}

static int hold_put_work(void *arg)
{
	const struct hold_put_work *w = arg;
	int folder = hold_open_folder(w->spool);
	if (folder == -ENOENT)
		folder = hold_make_folder(w->spool);
	if (folder < 0)
		return folder;
	int content = hold_nameless(folder), envelope = hold_nameless(folder);
	int r = content < 0 ? content : envelope < 0 ? envelope : hold_put_files(w, folder, content, envelope);
	if (content >= 0)
		close(content);
	if (envelope >= 0)
		close(envelope);
	close(folder);
	return r;
}

/* What cannot be read again must not be held: nobody could get it out. */
static int hold_put_check(const struct hold_put_work *w)
{
	struct arena arena = { 0 };
	struct held again;
	struct buf err = { 0 };
	int r = held_decode(buf_bytes(&w->envelope), &arena, &again, &err);
	buf_fini(&err);
	arena_fini(&arena);
	return r;
}

static void hold_note_trace(struct held *h, const struct mail *mail)
{
	struct mail_header *field;
	unsigned n = 0, i = 0;
	LIST_EACH(field, &mail->headers, struct mail_header, link)
		n += field->hidden;
	h->trace = ARENA_ARRAY(h->session.arena, unsigned, n + 1);
	h->trace_count = 0;
	LIST_EACH(field, &mail->headers, struct mail_header, link) {
		if (field->hidden)
			h->trace[h->trace_count++] = i;
		i++;
	}
}

TASK_FN int hold_put(const char *spool, struct held *h, struct mail *mail)
{
	struct hold_put_work w = { .spool = spool, .id = h->id, .mail = mail };
	h->size = mail_size(mail);
	hold_note_trace(h, mail);
	held_encode(h, &w.envelope);
	int r = hold_put_check(&w);
	if (r == 0)
		r = task_offload(hold_put_work, &w);
	buf_fini(&w.envelope);
	return r;
}

/* ---- reading ---- */

static int hold_read_envelope(int folder, const char *id, struct buf *to)
{
	int fd = hold_open_file(folder, id, ".json", O_RDONLY);
	ssize_t n = 0;
	if (fd < 0)
		return fd;
	while (to->n <= HOLD_ENVELOPE_MAX && (n = read(fd, buf_room(to, HOLD_PIECE), HOLD_PIECE)) > 0)
		buf_grown(to, (size_t)n);
	int r = n < 0 ? -errno : to->n > HOLD_ENVELOPE_MAX ? -EFBIG : 0;
	close(fd);
	return r;
}

static int hold_decode(int folder, const char *id, struct arena *arena, struct held *ret, struct buf *err)
{
	struct buf text = { 0 };
	int r = hold_read_envelope(folder, id, &text);
	if (r == 0) {
		r = held_decode(buf_bytes(&text), arena, ret, err);
		if (r == 0 && strcmp(ret->id, id) != 0) {
			buf_printf(err, "it is the envelope of %s", ret->id);
			r = -EBADMSG;
		}
	} else if (r != -ENOENT) {
		buf_add_str(err, strerror(-r));
	}
	buf_fini(&text);
	return r;
}

int hold_peek(const char *spool, const char *id, struct arena *arena, struct held *ret, struct buf *err)
{
	int folder = hold_open_folder(spool);
	if (folder < 0)
		return folder;
	int r = held_id_valid(bytes_of(id)) ? hold_decode(folder, id, arena, ret, err) : -ENOENT;
	close(folder);
	return r;
}

/* FN may remove files. */
static int hold_each_file(int folder, void (*fn)(void *arg, int folder, const char *name), void *arg)
{
	/* Its own: readdir() moves the offset. */
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	if (!dir) {
		int r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((e = readdir(dir)))
		fn(arg, folder, e->d_name);
	closedir(dir);
	return 0;
}

struct hold_ids {
	struct arena *arena;
	const char **ids;
	unsigned n, room;
};

static void hold_add_id(void *arg, int folder, const char *name)
{
	struct hold_ids *list = arg;
	struct bytes id = hold_id_of(name, BYTES(".json"));
	(void)folder;
	if (!id.n)
		return;
	if (list->n == list->room) {
		unsigned room = list->room ? 2 * list->room : 64;
		const char **more = ARENA_ARRAY(list->arena, const char *, room);
		if (list->n)
			memcpy(more, list->ids, list->n * sizeof *more);
		list->ids = more;
		list->room = room;
	}
	list->ids[list->n++] = arena_str(list->arena, id);
}

int hold_ids(const char *spool, struct arena *arena, const char ***ret, unsigned *ret_count)
{
	struct hold_ids list = { .arena = arena };
	int folder = hold_open_folder(spool), r = 0;
	if (folder < 0 && folder != -ENOENT)
		return folder;
	if (folder >= 0) {
		r = hold_each_file(folder, hold_add_id, &list);
		close(folder);
	}
	if (r < 0)
		return r;
	*ret = list.ids;
	*ret_count = list.n;
	return 0;
}

/* ---- one message ---- */

static int hold_lock_fd(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
}

static int hold_open_in(int folder, const char *id, bool lock, int *ret_fd)
{
	/* What is looked at may be on a disk that cannot be written any more. */
	int fd = hold_open_file(folder, id, ".eml", lock ? O_RDWR : O_RDONLY);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	int r = fd < 0 || !lock ? 0 : hold_lock_fd(fd);
	/* While we waited it may have been removed, or it was never wholly there. */
	if (r == 0 && !hold_exists(folder, id, ".json"))
		r = -ENOENT;
	if (r < 0 && fd >= 0)
		close(fd);
	if (r == 0)
		*ret_fd = fd < 0 ? -1 : fd;
	return r;
}

int hold_open(const char *spool, const char *id, bool lock, struct hold_entry **ret)
{
	int folder, fd = -1;
	if (!held_id_valid(bytes_of(id)))
		return -ENOENT;
	folder = hold_open_folder(spool);
	if (folder < 0)
		return folder;
	int r = hold_open_in(folder, id, lock, &fd);
	if (r < 0) {
		close(folder);
		return r;
	}
	struct hold_entry *e = NEW(struct hold_entry);
	e->folder = folder;
	e->fd = fd;
	e->id = arena_str(&e->arena, bytes_of(id));
	*ret = e;
	return 0;
}

void hold_close(struct hold_entry **ep)
{
	struct hold_entry *e = *ep;
	*ep = NULL;
	if (!e)
		return;
	if (e->fd >= 0)
		close(e->fd);
	close(e->folder);
	arena_fini(&e->arena);
	mem_free(e);
}

int hold_load(struct hold_entry *e, struct buf *err)
{
	struct stat st;
	int r = hold_decode(e->folder, e->id, &e->arena, &e->held, err);
	if (r < 0)
		return r;
	if (e->fd < 0) {
		buf_printf(err, "its content %s.eml is lost", e->id);
		return -EBADMSG;
	}
	if (fstat(e->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size != e->held.size) {
		buf_printf(err, "its content has %lld bytes and had %llu", (long long)st.st_size, (unsigned long long)e->held.size);
		return -EBADMSG;
	}
	return 0;
}

static int hold_read_mail(const struct hold_entry *e, struct mail *m)
{
	struct buf piece = { 0 };
	uint64_t at = 0;
	int r = 0;
	while (r == 0 && at < e->held.size) {
		ssize_t n = pread(e->fd, buf_room(&piece, HOLD_PIECE), HOLD_PIECE, (off_t)at);
		r = n < 0 ? -errno : n == 0 ? -EIO : mail_append(m, bytes_make(piece.p, (size_t)n));
		at += n > 0 ? (uint64_t)n : 0;
	}
	buf_fini(&piece);
	return r == 0 ? mail_end(m) : r;
}

static void hold_hide_trace(const struct held *h, struct mail *m)
{
	struct mail_header *field;
	unsigned i = 0;
	LIST_EACH(field, &m->headers, struct mail_header, link) {
		for (unsigned k = 0; k < h->trace_count; k++)
			field->hidden |= h->trace[k] == i;
		i++;
	}
}

int hold_mail(const struct hold_entry *e, const struct mail_limits *limits, struct mail **ret)
{
	struct mail *m = mail_new(limits);
	int r = hold_read_mail(e, m);
	if (r < 0) {
		mail_unref(&m);
		return r;
	}
	hold_hide_trace(&e->held, m);
	*ret = m;
	return 0;
}

static int hold_write_new(int folder, const char *name, const struct held *h)
{
	struct buf text = { 0 };
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;
	if (r == 0) {
		held_encode(h, &text);
		r = hold_write(fd, buf_bytes(&text));
		if (r == 0 && fsync(fd))
			r = -errno;
		close(fd);
	}
	buf_fini(&text);
	return r;
}

int hold_save(const struct hold_entry *e)
{
	char *name = hold_name(e->id, ".new"), *to = hold_name(e->id, ".json");
	int r = hold_write_new(e->folder, name, &e->held);
	if (r == 0 && (renameat(e->folder, name, e->folder, to) || fsync(e->folder)))
		r = -errno;
	if (r < 0)
		unlinkat(e->folder, name, 0);
	mem_free(name);
	mem_free(to);
	return r;
}

int hold_can_save(const struct hold_entry *e)
{
	char *name = hold_name(e->id, ".new");
	int r = hold_write_new(e->folder, name, &e->held);
	unlinkat(e->folder, name, 0);
	mem_free(name);
	return r;
}

int hold_remove(const struct hold_entry *e)
{
	int r = hold_unlink(e->folder, e->id, ".json");
	if (r == 0 && fsync(e->folder))
		r = -errno;
	if (r == 0 && e->fd >= 0)
		r = hold_unlink(e->folder, e->id, ".eml");
	return r;
}

/* ---- after a crash ---- */

/* An ID.eml that nobody is at and that has no envelope; an ID.new that nobody is writing. */
static void hold_clean_file(void *arg, int folder, const char *name)
{
	struct bytes content = hold_id_of(name, BYTES(".eml")), changed = hold_id_of(name, BYTES(".new"));
	if (!content.n && !changed.n)
		return;
	char *id = bytes_dup(content.n ? content : changed);
	int fd = hold_open_file(folder, id, ".eml", O_RDWR);
	bool idle = fd < 0 || hold_lock_fd(fd) == 0;
	if (idle && changed.n)
		(void)!hold_unlink(folder, id, ".new");
	if (idle && content.n && !hold_exists(folder, id, ".json"))
		(void)!hold_unlink(folder, id, ".eml");
	if (fd >= 0)
		close(fd);
	mem_free(id);
	(void)arg;
}

int hold_begin(const char *spool, struct buf *err)
{
	int folder = hold_make_folder(spool);
	int r = folder < 0 ? folder : hold_each_file(folder, hold_clean_file, NULL);
	if (folder >= 0)
		close(folder);
	if (r < 0)
		buf_printf(err, "hold area %s/hold: %s", spool, strerror(-r));
	return r;
}
