/*
 * table_disk.c: opening files made for lookups, noticing that another has taken their place, and asking them.
 */
#include "tcp_table/table_disk.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tcp_table/file_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* So often a lookup is begun anew because something has happened to the file meanwhile. */
enum { DISK_TRIES = 20 };
/* A map pays after so many lookups. */
enum { DISK_MAP_AFTER = 64 };

/* An open file, used by whoever asks at the moment. */
struct disk_opened {
	unsigned refs;
	int fd;
	struct file_watch watch;
	unsigned states;                /* so often the state that WATCH knows has become another */
	struct file_map map;
	unsigned asked;                 /* lookups, up to DISK_MAP_AFTER */
	bool with_nul, without_nul;     /* how its keys may end: learnt from the first that is found */
};

struct disk_table {
	const struct table_disk_kind *kind;
	char *path;
	struct disk_opened *now;
	dev_t refused_dev;              /* what stands in its place but is of no use, and has been complained of */
	ino_t refused_ino;
	struct timespec refused_ctime;  /* what is done to it, chmod(2) too, may mend it */
	bool missing;                   /* the loss has been complained of */
};

int table_disk_read(const struct table_disk_file *f, uint64_t offset, void *to, size_t n)
{
	char *p = to;
	if (f->map && file_map_has(f->map, offset, n))
		return file_map_read(f->map, offset, to, n);
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
	file_map_fini(&o->map);
	close(o->fd);
	mem_free(o);
}

static int disk_check(const struct table_disk_kind *kind, int fd, const struct stat *st)
{
	const struct table_disk_file f = { .fd = fd, .size = (uint64_t)st->st_size };
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
	*o = (struct disk_opened){ .refs = 1, .fd = fd, .with_nul = true, .without_nul = true };
	file_watch_init(&o->watch, path, fd, &st);
	*ret = o;
	return 0;
}

static void disk_why(int r, const char *path, struct buf *err)
{
	char why[64];
	if (r == -EIO)
		buf_printf(err, "%s: the file is damaged", path);
	else if (r == -EBUSY || r == -ESTALE)
		buf_printf(err, "%s: somebody keeps writing to it", path);
	else
		buf_printf(err, "%s: %s", path, strerror_r(-r, why, sizeof why));
}

static void disk_warn_when_old(const struct disk_table *t, struct bytes source)
{
	struct stat st;
	char *path = bytes_dup(source);
	if (stat(path, &st) == 0 && st.st_mtime > t->now->watch.st.st_mtime)
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

/* ---- what has happened to the file ---- */

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
	t->refused_ctime = st->st_ctim;
}

static bool disk_refused(const struct disk_table *t, const struct stat *st)
{
	return st->st_dev == t->refused_dev && st->st_ino == t->refused_ino && st->st_ctim.tv_sec == t->refused_ctime.tv_sec &&
	       st->st_ctim.tv_nsec == t->refused_ctime.tv_nsec;
}

/* Another file, which looks like NAMED, has the name now. */
TASK_FN static void disk_take(struct disk_table *t, const struct stat *named)
{
	struct disk_open_job job = { .table = t };

	if (disk_refused(t, named))
		return;
	int r = task_offload(disk_open_run, &job);
	if (r < 0) {
		disk_refuse(t, named, r);
		return;
	}
	disk_unref(&t->now);
	t->now = job.opened;
}

static void disk_lost(struct disk_table *t, int error)
{
	if (!t->missing)
		log_warning("table", "%s: %s: the old entries are kept", t->path, strerror(error));
	t->missing = true;
}

struct disk_check_job {
	const struct table_disk_kind *kind;
	int fd;
	struct stat st;
};

static int disk_check_run(void *arg)
{
	const struct disk_check_job *job = arg;
	return disk_check(job->kind, job->fd, &job->st);
}

/* What is behind the place where a file was cut reads as NULs in its map. */
static bool disk_map_cut(const struct disk_opened *o)
{
	return o->map.p && !file_map_whole(&o->map);
}

static void disk_accept(struct disk_opened *o, const struct stat *st)
{
	if (st->st_size != o->watch.st.st_size || disk_map_cut(o)) {
		file_map_fini(&o->map);
		o->asked = 0;
	}
	file_watch_accept(&o->watch, st);
	o->states++;
}

/* Is what was read of O before still so?  1: yes; 0: no, but it is as good a file as before; -errno: what is wrong with it now. */
TASK_FN static int disk_stands(const struct disk_table *t, struct disk_opened *o)
{
	struct disk_check_job job = { t->kind, o->fd, { 0 } };

	if (file_watch_untouched(&o->watch))
		return 1;
	if (fstat(o->fd, &job.st) < 0)
		return -errno;
	int r = t->kind->shared ? !disk_map_cut(o) : task_offload(disk_check_run, &job);
	if (r >= 0)
		disk_accept(o, &job.st);
	return r;
}

/* Something has happened to O.  As disk_stands(). */
TASK_FN static int disk_look(struct disk_table *t, struct disk_opened *o)
{
	struct stat named;
	enum file_news news = file_watch_look(&o->watch, &named);

	if (news == FILE_LOST)
		disk_lost(t, errno);
	else
		t->missing = false;
	if (news == FILE_OTHER)
		disk_take(t, &named);
	return t->now == o ? disk_stands(t, o) : 0;
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

struct disk_map_job {
	int fd;
	off_t size;
	struct file_map map;
};

static int disk_map_run(void *arg)
{
	struct disk_map_job *job = arg;
	return file_map_init(&job->map, job->fd, job->size);
}

/* Whoever comes when the file has been asked for often enough makes the map, and waits for it. */
TASK_FN static void disk_count(struct disk_opened *o)
{
	if (o->asked == DISK_MAP_AFTER || ++o->asked < DISK_MAP_AFTER)
		return;
	struct disk_map_job job = { .fd = o->fd, .size = o->watch.st.st_size };
	if (task_offload(disk_map_run, &job) < 0)
		return;
	/* It may be another file meanwhile, or have a map. */
	if (o->map.p || job.size != o->watch.st.st_size)
		file_map_fini(&job.map);
	else
		o->map = job.map;
}

TASK_FN static int disk_find(const struct disk_table *t, const struct disk_opened *o, struct bytes key, struct buf *ret)
{
	const struct table_disk_file file = { .fd = o->fd, .size = (uint64_t)o->watch.st.st_size, .at_once = true, .map = &o->map };
	struct disk_find_job job = { t->kind, file, key, ret };
	int r = disk_find_run(&job);
	if (r != -EAGAIN)
		return r;
	job.file.at_once = false;
	job.file.map = NULL;
	return task_offload(disk_find_run, &job);
}

/* A key with NUL behind it. */
struct disk_key {
	char small[128];
	struct buf large;
	struct bytes ended;
};

static void disk_key_init(struct disk_key *k, struct bytes key)
{
	k->large = (struct buf){ 0 };
	char *p = key.n < sizeof k->small ? k->small : buf_room(&k->large, key.n + 1);
	memcpy(p, key.p, key.n);
	p[key.n] = '\0';
	k->ended = bytes_make(p, key.n + 1);
}

/* Keys have a NUL behind them when postmap made the file, and none when others did: which of the two is learnt from the first that is found.  Values
 * are C strings in Postfix. */
TASK_FN static int disk_find_both(const struct disk_table *t, struct disk_opened *o, struct bytes key, struct buf *ret)
{
	size_t before = ret->n;
	struct disk_key k;
	int r = 0;

	disk_key_init(&k, key);
	if (o->with_nul) {
		r = disk_find(t, o, k.ended, ret);
		if (r == 1)
			o->without_nul = false;
	}
	if (r == 0 && o->without_nul) {
		r = disk_find(t, o, bytes_first(k.ended, key.n), ret);
		if (r == 1)
			o->with_nul = false;
	}
	buf_fini(&k.large);
	if (r == 1 && ret->n > before)
		ret->n = before + strnlen(ret->p + before, ret->n - before);
	return r;
}

/* O is the table's file and in the state STATE, as far as that is known, and matters. */
static bool disk_current(const struct disk_table *t, const struct disk_opened *o, unsigned state)
{
	return t->now == o && (o->states == state || t->kind->shared);
}

/* Nothing has happened to the file, as far as an answer may be wrong because of it: a look of this turn of the loop is enough, but it must not have been
 * cut since. */
static bool disk_quiet(struct disk_opened *o)
{
	return disk_map_cut(o) ? file_watch_quiet(&o->watch) : file_watch_trusted(&o->watch, run_turn());
}

/* Of an answer of O, which was in the state STATE when it was asked: 1: it stands; 0: the file is to be asked anew; -errno: it cannot tell. */
TASK_FN static int disk_answer_stands(struct disk_table *t, struct disk_opened *o, unsigned state)
{
	if (!disk_current(t, o, state))
		return 0;
	if (disk_quiet(o))
		return 1;
	int r = disk_look(t, o);
	return r == 1 && !disk_current(t, o, state) ? 0 : r;
}

/* 0, 1, or -errno, as find(); -ESTALE: something has happened to the file meanwhile, and it is to be asked anew. */
TASK_FN static int disk_ask_once(struct disk_table *t, struct disk_opened *o, struct bytes key, struct buf *ret)
{
	size_t before = ret->n;
	unsigned state = o->states;

	int r = disk_find_both(t, o, key, ret);
	int stands = disk_answer_stands(t, o, state);
	if (stands == 1)
		return r;
	ret->n = before;
	return stands < 0 ? stands : -ESTALE;
}

TASK_FN int table_disk_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct disk_table *t = state;
	int r = -ESTALE;

	for (unsigned tries = 0; r == -ESTALE && tries < DISK_TRIES; tries++) {
		struct disk_opened *o = t->now;
		o->refs++;
		disk_count(o);
		r = disk_ask_once(t, o, key, ret);
		disk_unref(&o);
	}
	if (r < 0)
		disk_why(r, t->path, err);
	return r;
}

int table_disk_each(void *state, table_entry_fn *fn, void *arg, struct buf *err)
{
	const struct disk_table *t = state;
	const struct table_disk_file f = { .fd = t->now->fd, .size = (uint64_t)t->now->watch.st.st_size };
	int r = t->kind->each(&f, fn, arg);
	if (r < 0)
		disk_why(r, t->path, err);
	return r;
}
