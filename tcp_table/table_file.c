/*
 * table_file.c: a text file, its content in memory, and when to read it again.
 */
#include "tcp_table/table_file.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tcp_table/file_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TABLE_FILE_CHUNK = 65536, TABLE_FILE_MAX = 1 << 30 };

/* What tells one state of a file from another. */
struct table_file_id {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;   /* ctime: may it be read now? */
};

/* One reading of the file, used by whoever asks at the moment. */
struct table_file_content {
	unsigned refs;
	void *parsed;
	int fd;                         /* of what was read; -1: no file */
};

struct table_file {
	const struct table_file_kind *kind;
	char *path;                     /* or the lines themselves, within braces */
	bool inlined;                   /* they are: there is no file */
	struct table_file_content *content;
	struct file_watch watch;        /* over what CONTENT was read from */
	struct table_file_id loaded;    /* the same */
	struct table_file_id refused;   /* a later state that was of no use, and has been complained of */
	bool loading, missing;          /* a task is reading; the loss has been complained of */
};

/* ---- reading ---- */

struct table_file_job {
	const struct table_file *file;
	struct stat st;
	struct table_file_content *content;
	struct table_notes notes;
	const char *why;
};

static struct table_file_id table_file_id_of(const struct stat *st)
{
	return (struct table_file_id){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool table_file_same(const struct table_file_id *a, const struct table_file_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Nothing has been done to it, not even chmod(2). */
static bool table_file_untouched(const struct table_file_id *a, const struct table_file_id *b)
{
	return table_file_same(a, b) && a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

static int table_file_slurp(int fd, struct buf *text)
{
	for (;;) {
		ssize_t n = read(fd, buf_room(text, TABLE_FILE_CHUNK), TABLE_FILE_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grown(text, (size_t)n);
		if (text->n > TABLE_FILE_MAX)
			return -EFBIG;
	}
}

/* 0 with the file, still open. */
static int table_file_read(const char *path, int *ret_fd, struct stat *ret_st, struct buf *text)
{
	struct stat st;
	/* Not to be kept waiting by a pipe without a writer; /dev/null is a fine empty table. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0)
		r = S_ISREG(st.st_mode) || S_ISCHR(st.st_mode) ? table_file_slurp(fd, text) : S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_st = st;
	return 0;
}

static void table_file_content_unref(const struct table_file_kind *kind, struct table_file_content **cp)
{
	struct table_file_content *c = *cp;
	*cp = NULL;
	if (!c || --c->refs > 0)
		return;
	kind->unload(c->parsed);
	if (c->fd >= 0)
		close(c->fd);
	mem_free(c);
}

/* {{one}, {another}} is a file of two lines. */
static int table_file_unfold(struct bytes list, struct buf *text)
{
	struct bytes item;

	if (!table_braced(list))
		return -EINVAL;
	list = table_unbraced(list);
	while (table_item(&list, &item)) {
		if (!table_braced(item))
			return -EINVAL;
		buf_add(text, table_unbraced(item));
		buf_add_char(text, '\n');
	}
	return 0;
}

/* Parses what was read from FD, and keeps that; TEXT is spent. */
static void table_file_parse(struct table_file_job *job, int fd, struct buf *text)
{
	buf_str(text);
	job->content = NEW(struct table_file_content);
	*job->content = (struct table_file_content){ .refs = 1, .parsed = job->file->kind->load(text->p, text->n, &job->notes), .fd = fd };
	buf_fini(text);
}

/* Reads and parses; in the thread pool, but for the first time. */
static int table_file_load(void *arg)
{
	struct table_file_job *job = arg;
	struct buf text = { 0 };
	int fd = -1, r = table_file_read(job->file->path, &fd, &job->st, &text);

	if (r == 0) {
		table_file_parse(job, fd, &text);
	} else {
		job->why = strerror(-r);
		buf_fini(&text);
	}
	return r;
}

static int table_file_load_inlined(struct table_file_job *job, struct buf *err)
{
	struct buf text = { 0 };
	int r = table_file_unfold(bytes_of(job->file->path), &text);

	if (r == 0) {
		table_file_parse(job, -1, &text);
	} else {
		buf_printf(err, "\"%s:%s\": it needs the form %s:{{line}, {line}}, or the name of a file", job->file->kind->type, job->file->path,
			   job->file->kind->type);
		buf_fini(&text);
	}
	return r;
}

static int table_file_load_first(struct table_file_job *job, struct buf *err)
{
	if (job->file->inlined)
		return table_file_load_inlined(job, err);
	int r = table_file_load(job);
	if (r < 0)
		buf_printf(err, "cannot read %s: %s", job->file->path, job->why);
	return r;
}

static void table_file_take(struct table_file *f, const struct table_file_job *job)
{
	table_file_content_unref(f->kind, &f->content);
	f->content = job->content;
	f->loaded = table_file_id_of(&job->st);
	file_watch_init(&f->watch, f->path, f->content->fd, &job->st);
}

static void table_file_log_notes(const struct table_notes *n)
{
	struct bytes rest = buf_bytes((struct buf *)&n->text);
	unsigned lines = 0;

	for (; rest.n; lines++) {
		struct bytes line = bytes_cut(&rest, '\n');
		log_warning("table", "%.*s", BYTES_ARG(line));
	}
	if (n->count > lines)
		log_warning("table", "%s: %u more lines are wrong", n->file, n->count - lines);
}

/* ---- opening and closing ---- */

int table_file_open(const struct table_file_kind *kind, struct bytes path, void **ret_state, struct buf *err)
{
	struct table_file *f = NEW(struct table_file);
	*f = (struct table_file){ .kind = kind, .path = bytes_dup(path) };
	f->inlined = kind->inlined && *f->path == '{';
	struct table_file_job job = { .file = f, .notes.file = f->path };

	int r = table_file_load_first(&job, err);
	if (r < 0) {
		mem_free(f->path);
		mem_free(f);
		return r;
	}
	table_file_log_notes(&job.notes);
	table_notes_fini(&job.notes);
	table_file_take(f, &job);
	*ret_state = f;
	return 0;
}

void table_file_close(void *state)
{
	struct table_file *f = state;
	ASSERT(!f->loading);
	table_file_content_unref(f->kind, &f->content);
	mem_free(f->path);
	mem_free(f);
}

/* ---- asking ---- */

/* Written to within the last second: whoever does that may not be done. */
static bool table_file_hot(const struct table_file_id *id)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (now.tv_sec - id->mtime.tv_sec) * INT64_C(1000000000) + (now.tv_nsec - id->mtime.tv_nsec);
	return age >= 0 && age < INT64_C(1000000000);
}

static void table_file_keep(struct table_file *f, const struct table_file_id *id, const char *why)
{
	f->refused = *id;
	log_warning("table", "%s: %s: the old entries are kept", f->path, why);
}

/* Is it to be read again, now? */
static bool table_file_changed(struct table_file *f)
{
	struct stat st;

	if (file_watch_look(&f->watch, &st) == FILE_LOST) {
		if (!f->missing)
			log_warning("table", "%s: %s: the old entries are kept", f->path, strerror(errno));
		f->missing = true;
		return false;
	}
	f->missing = false;
	struct table_file_id id = table_file_id_of(&st);
	if (table_file_same(&id, &f->loaded)) {
		/* Its mode may be another, or it was away for a while. */
		(void)file_watch_untouched(&f->watch);
		return false;
	}
	if (table_file_untouched(&id, &f->refused))
		return false;
	/* A file that was moved into place is complete; one that is written in place is so only when it has come to rest. */
	if (id.ino == f->loaded.ino && table_file_hot(&id))
		return false;
	if (S_ISREG(st.st_mode) && id.size == 0 && f->loaded.size > 0) {
		table_file_keep(f, &id, "it is empty now (a comment in it says that this is meant)");
		return false;
	}
	return true;
}

TASK_FN static void table_file_refresh(struct table_file *f)
{
	if (f->inlined || f->loading || file_watch_trusted(&f->watch, run_turn()) || !table_file_changed(f))
		return;
	struct table_file_job job = { .file = f, .notes.file = f->path };
	f->loading = true;
	int r = task_offload(table_file_load, &job);
	f->loading = false;
	table_file_log_notes(&job.notes);
	table_notes_fini(&job.notes);
	if (r < 0) {
		struct stat st;
		if (stat(f->path, &st) == 0) {
			struct table_file_id id = table_file_id_of(&st);
			table_file_keep(f, &id, job.why);
		}
		return;
	}
	table_file_take(f, &job);
}

struct table_file_get_job {
	const struct table_file_kind *kind;
	const void *parsed;
	struct bytes key;
	struct buf *ret, *err;
	int r;                          /* of table_file_get_at_once() */
};

static int table_file_get(void *arg)
{
	struct table_file_get_job *job = arg;
	return job->kind->get(job->parsed, job->key, job->ret, job->err);
}

static void table_file_get_at_once(void *arg)
{
	struct table_file_get_job *job = arg;
	job->r = job->kind->get_at_once(job->parsed, job->key, job->ret, job->err);
}

TASK_FN int table_file_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct table_file *f = state;

	table_file_refresh(f);
	struct table_file_content *c = f->content;
	struct table_file_get_job job = { f->kind, c->parsed, key, ret, err, -EAGAIN };
	if (!f->kind->slow)
		return table_file_get(&job);
	if (f->kind->get_at_once)
		task_deep(table_file_get_at_once, &job);
	if (job.r != -EAGAIN)
		return job.r;
	c->refs++;
	int r = task_offload(table_file_get, &job);
	table_file_content_unref(f->kind, &c);
	return r;
}

int table_file_each(void *state, table_entry_fn *fn, void *arg, struct buf *err)
{
	const struct table_file *f = state;

	(void)err;
	return f->kind->each(f->content->parsed, fn, arg);
}
