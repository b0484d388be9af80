/*
 * table_disk.c: opening files made for lookups, noticing that another has taken their place, and asking them.
 */
#include "tcp_table/table_disk.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* So often a lookup is begun anew because somebody wrote to the file meanwhile. */
enum { DISK_TRIES = 20 };

/* An open file, used by whoever asks at the moment. */
struct disk_opened {
	unsigned refs;
	int fd;
	struct stat st;
	bool with_nul, without_nul;     /* how its keys may end: learnt from the first that is found */
};

struct disk_table {
	const struct table_disk_kind *kind;
	char *path;
	struct disk_opened *now;
	dev_t refused_dev;              /* what stands in its place but is of no use, and has been complained of */
	ino_t refused_ino;
	bool missing;                   /* the loss has been complained of */
};

int table_disk_read(const struct table_disk_file *f, uint64_t offset, void *to, size_t n)
{
	char *p = to;
	while (n) {
		if (offset > INT64_MAX - n)
			return -EIO;
		struct iovec v = { p, n };
		ssize_t got = f->at_once ? preadv2(f->fd, &v, 1, (off_t)offset, RWF_NOWAIT) : pread(f->fd, p, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		/* Some kernels say 0 in the midst of the file, and some file systems do not know the flag. */
		if (f->at_once && (got < 0 || (size_t)got < n))
			return -EAGAIN;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		p += got;
		offset += (size_t)got;
		n -= (size_t)got;
	}
	return 0;
}

/* ---- opening ---- */

static void disk_unref(struct disk_opened **op)
{
	struct disk_opened *o = *op;
	*op = NULL;
	if (!o || --o->refs > 0)
		return;
	close(o->fd);
	mem_free(o);
}

static int disk_check(const struct table_disk_kind *kind, int fd, const struct stat *st)
{
	const struct table_disk_file f = { .fd = fd };
	int r = S_ISREG(st->st_mode) ? -EBUSY : -EINVAL;
	for (unsigned tries = 0; r == -EBUSY && tries < DISK_TRIES; tries++)
		r = kind->check(&f);
	return r;
}

static int disk_open_file(const struct table_disk_kind *kind, const char *path, struct disk_opened **ret)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) < 0 ? -errno : disk_check(kind, fd, &st);
	if (r < 0) {
		close(fd);
		return r;
	}
	struct disk_opened *o = NEW(struct disk_opened);
	*o = (struct disk_opened){ .refs = 1, .fd = fd, .st = st, .with_nul = true, .without_nul = true };
	*ret = o;
	return 0;
}

static void disk_why(int r, const char *path, struct buf *err)
{
	char why[64];
	if (r == -EIO)
		buf_printf(err, "%s: the file is damaged", path);
	else if (r == -EBUSY)
		buf_printf(err, "%s: somebody keeps writing to it", path);
	else
		buf_printf(err, "%s: %s", path, strerror_r(-r, why, sizeof why));
}

static void disk_warn_when_old(const struct disk_table *t, struct bytes source)
{
	struct stat st;
	char *path = bytes_dup(source);
	if (stat(path, &st) == 0 && st.st_mtime > t->now->st.st_mtime)
		log_warning("table", "%s is older than its source %s", t->path, path);
	mem_free(path);
}

int table_disk_open(const struct table_disk_kind *kind, struct bytes spec, void **ret_state, struct buf *err)
{
	struct disk_table *t = NEW(struct disk_table);
	*t = (struct disk_table){ .kind = kind, .path = mem_printf("%.*s%s", BYTES_ARG(spec), kind->suffix) };
	int r = disk_open_file(kind, t->path, &t->now);
	if (r < 0) {
		buf_add_str(err, "cannot open ");
		disk_why(r, t->path, err);
		table_disk_close(t);
		return r;
	}
	disk_warn_when_old(t, spec);
	*ret_state = t;
	return 0;
}

void table_disk_close(void *state)
{
	struct disk_table *t = state;
	ASSERT(!t->now || t->now->refs == 1);
	disk_unref(&t->now);
	mem_free(t->path);
	mem_free(t);
}

/* ---- a file in the place of the one we have ---- */

static bool disk_is(const struct stat *st, dev_t dev, ino_t ino)
{
	return st->st_dev == dev && st->st_ino == ino;
}

static bool disk_replaced(struct disk_table *t, struct stat *ret)
{
	if (stat(t->path, ret) < 0) {
		if (!t->missing)
			log_warning("table", "%s: %s: the old entries are kept", t->path, strerror(errno));
		t->missing = true;
		return false;
	}
	t->missing = false;
	return !disk_is(ret, t->now->st.st_dev, t->now->st.st_ino) && !disk_is(ret, t->refused_dev, t->refused_ino);
}

struct disk_open_job {
	const struct disk_table *table;
	struct disk_opened *opened;
};

static int disk_open_run(void *arg)
{
	struct disk_open_job *job = arg;
	return disk_open_file(job->table->kind, job->table->path, &job->opened);
}

static void disk_refuse(struct disk_table *t, const struct stat *st, int r)
{
	struct buf why = { 0 };
	disk_why(r, t->path, &why);
	log_warning("table", "%s: the old entries are kept", buf_str(&why));
	buf_fini(&why);
	t->refused_dev = st->st_dev;
	t->refused_ino = st->st_ino;
}

TASK_FN static void disk_refresh(struct disk_table *t)
{
	struct stat st;
	struct disk_open_job job = { .table = t };

	if (!disk_replaced(t, &st))
		return;
	int r = task_offload(disk_open_run, &job);
	if (r < 0) {
		disk_refuse(t, &st, r);
		return;
	}
	disk_unref(&t->now);
	t->now = job.opened;
}

/* ---- asking ---- */

struct disk_find_job {
	const struct table_disk_kind *kind;
	struct table_disk_file file;
	struct bytes key;
	struct buf *ret;
};

static int disk_find_run(void *arg)
{
	const struct disk_find_job *job = arg;
	size_t before = job->ret->n;
	int r = -EBUSY;

	for (unsigned tries = 0; r == -EBUSY && tries < DISK_TRIES; tries++) {
		job->ret->n = before;
		r = job->kind->find(&job->file, job->key, job->ret);
	}
	if (r != 1)
		job->ret->n = before;
	return r;
}

TASK_FN static int disk_find(const struct disk_table *t, const struct disk_opened *o, struct bytes key, struct buf *ret)
{
	struct disk_find_job job = { t->kind, { o->fd, true }, key, ret };
	int r = disk_find_run(&job);
	if (r != -EAGAIN)
		return r;
	job.file.at_once = false;
	return task_offload(disk_find_run, &job);
}

/* Keys have a NUL behind them when postmap made the file, and none when others did: which of the two is learnt from the first that is found.  Values
 * are C strings in Postfix. */
TASK_FN static int disk_find_both(const struct disk_table *t, struct disk_opened *o, struct bytes key, struct buf *ret)
{
	struct buf ended = { 0 };
	size_t before = ret->n;
	int r = 0;

	buf_add(&ended, key);
	buf_add_char(&ended, '\0');
	if (o->with_nul) {
		r = disk_find(t, o, buf_bytes(&ended), ret);
		if (r == 1)
			o->without_nul = false;
	}
	if (r == 0 && o->without_nul) {
		r = disk_find(t, o, bytes_first(buf_bytes(&ended), key.n), ret);
		if (r == 1)
			o->with_nul = false;
	}
	buf_fini(&ended);
	if (r == 1 && ret->n > before)
		ret->n = before + strnlen(ret->p + before, ret->n - before);
	return r;
}

TASK_FN int table_disk_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct disk_table *t = state;

	disk_refresh(t);
	struct disk_opened *o = t->now;
	o->refs++;
	int r = disk_find_both(t, o, key, ret);
	disk_unref(&o);
	if (r < 0)
		disk_why(r, t->path, err);
	return r;
}

int table_disk_each(void *state, table_entry_fn *fn, void *arg, struct buf *err)
{
	const struct disk_table *t = state;
	const struct table_disk_file f = { .fd = t->now->fd };
	int r = t->kind->each(&f, fn, arg);
	if (r < 0)
		disk_why(r, t->path, err);
	return r;
}
