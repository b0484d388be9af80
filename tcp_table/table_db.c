/*
 * table_db.c: hash:/file and btree:/file: /file.db, made by postmap or postalias (Berkeley DB 5.3).
 *
 * postmap writes over the file in place, under an exclusive lock (file_lock.h); so each lookup takes a shared one, as in Postfix, looks whether the file
 * is still the one that was opened, and opens it again if not.
 *
 * Keys and values have a NUL behind them when postmap made them, and none when Sendmail's makemap did.  Which of the two a file holds is learnt
 * from the first key that is found.
 *
 * The handle is not made for threads: one lookup at a time for each table.  Mostly nobody holds the lock, the file is the one that is open, and its pages
 * are in memory; then a lookup is done at once.  Else, before it would have to wait, it is begun again in the thread pool.
 */
#include "tcp_table/file_lock.h"
#include "tcp_table/table_build.h"
#include "tcp_table/table_kinds.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* So long somebody may be writing before we say that we cannot tell. */
enum { DB_LOCK_TRIES = 500, DB_LOCK_PAUSE_MS = 10 };

/* What is said instead of waiting; Berkeley DB itself never says it, and hands it through. */
enum { DB_WOULD_WAIT = ESTALE };

/* May the lookup of this thread not wait for the disk? */
static _Thread_local bool db_at_once;

struct db_table {
	DBTYPE type;
	char *path;
	pthread_mutex_t mutex;
	/* what is open now */
	DB *db;                         /* NULL: nothing */
	int fd;                         /* for the lock */
	pid_t pid;                      /* who opened it: a fork shares the lock */
	struct stat st;
	bool settled;                   /* another change would have another time */
	bool with_nul, without_nul;     /* how its keys may end */
};

/* Berkeley DB would write to stderr. */
static void db_no_message(const DB_ENV *env, const char *prefix, const char *msg)
{
	(void)env;
	(void)prefix;
	(void)msg;
}

static int db_errno(int r)
{
	/* DB's own codes are negative: a page that is missing, a file of another kind. */
	return r > 0 ? -r : -EIO;
}

static void db_why(const struct db_table *t, int r, struct buf *err)
{
	char why[64];
	if (r == -EAGAIN)
		buf_printf(err, "%s: somebody keeps it locked", t->path);
	else if (r == -EIO)
		buf_printf(err, "%s: the file is damaged", t->path);
	else
		buf_printf(err, "%s: %s", t->path, strerror_r(-r, why, sizeof why));
}

/* Berkeley DB's ways to read a page: this, and when it fails a seek and a read. */
static ssize_t db_pread(int fd, void *to, size_t n, off_t offset)
{
	struct iovec v = { to, n };
	/* Some kernels say 0 in the midst of the file, and some file systems do not know the flag. */
	return db_at_once ? preadv2(fd, &v, 1, offset, RWF_NOWAIT) : pread(fd, to, n, offset);
}

static int db_seek(int fd, off_t offset, int whence)
{
	if (db_at_once)
		return DB_WOULD_WAIT;
	return lseek(fd, offset, whence) < 0 ? errno : 0;
}

/* Before any thread can use them: Berkeley DB has them for the whole process. */
static void __attribute__((constructor)) db_readers_init(void)
{
	db_env_set_func_pread(db_pread);
	db_env_set_func_seek(db_seek);
}

/* ---- locks ---- */

static int db_lock(int fd)
{
	static const struct timespec pause = { .tv_nsec = DB_LOCK_PAUSE_MS * 1000000L };

	for (unsigned tries = 0; tries < DB_LOCK_TRIES; tries++) {
		int r = file_lock_try(fd);
		if (r != -EAGAIN)
			return r;
		nanosleep(&pause, NULL);
	}
	return -EAGAIN;
}

/* ---- opening ---- */

static void db_shut(struct db_table *t)
{
	if (!t->db)
		return;
	t->db->close(t->db, DB_NOSYNC);
	close(t->fd);
	t->db = NULL;
	t->fd = -1;
}

/* Is all of the file there?  Berkeley DB itself takes a bucket behind the end of the file for an empty one, and so says "not found".  Its first page begins
 * with the log's position (8 bytes), page number, magic, version, page size, 8 bytes of flags and free list, and the number of the last page, in the
 * byte order of the machine that made it. */
static bool db_whole(int fd, off_t size)
{
	uint32_t meta[9];
	if (pread(fd, meta, sizeof meta, 0) != (ssize_t)sizeof meta)
		return false;
	bool native = meta[3] == DB_HASHMAGIC || meta[3] == DB_BTREEMAGIC;
	uint32_t page = native ? meta[5] : __builtin_bswap32(meta[5]), last = native ? meta[8] : __builtin_bswap32(meta[8]);
	return size >= ((off_t)last + 1) * page;
}

/* Of FD, the same file, SIZE bytes long. */
static int db_open_handle(const struct db_table *t, int fd, off_t size, DB **ret)
{
	DB *db;
	int r = db_create(&db, NULL, 0);
	if (r != 0)
		return db_errno(r);
	db->set_errcall(db, db_no_message);
	r = db->open(db, NULL, t->path, NULL, t->type, DB_RDONLY, 0);
	if (r != 0 || !db_whole(fd, size)) {
		db->close(db, DB_NOSYNC);
		return r ? db_errno(r) : -EIO;
	}
	*ret = db;
	return 0;
}

/* The kernel's times of files go in steps of up to 10 ms: a file that was written to just now may be once more, and show the same time. */
static bool db_settled(const struct stat *st)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (now.tv_sec - st->st_mtim.tv_sec) * INT64_C(1000000000) + (now.tv_nsec - st->st_mtim.tv_nsec);
	return age < 0 || age > INT64_C(20000000);
}

/* Opens the file as it is now, and leaves it locked.  What was open before stays so on failure. */
static int db_reopen(struct db_table *t)
{
	struct stat st;
	DB *db = NULL;
	int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = db_lock(fd);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0)
		r = db_open_handle(t, fd, st.st_size, &db);
	if (r < 0) {
		close(fd);
		return r;
	}
	db_shut(t);
	t->db = db;
	t->fd = fd;
	t->st = st;
	t->pid = getpid();
	t->settled = db_settled(&st);
	t->with_nul = t->without_nul = true;
	return 0;
}

static bool db_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool db_untouched(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Is what stands under the name still what was opened? */
static bool db_current(const struct db_table *t, const struct stat *named)
{
	return db_same_file(named, &t->st) && db_untouched(named, &t->st) && t->settled;
}

/* A handle on the present state of the file, locked.  Another file under this name that cannot be opened leaves the one we have, which is whole
 * though it has no name any more; but one that was changed in place is not what the handle thinks it is. */
static int db_ready(struct db_table *t)
{
	struct stat st;

	if (!t->db || t->pid != getpid())
		return db_reopen(t);
	int r = db_lock(t->fd);
	if (r < 0)
		return r;
	bool named = stat(t->path, &st) == 0, same = named && db_same_file(&st, &t->st);
	if (same && db_current(t, &st))
		return 0;
	if (named && !same && db_reopen(t) == 0)
		return 0;
	/* Removed, or replaced by something of no use, or changed. */
	if (!same && fstat(t->fd, &st) == 0 && db_untouched(&st, &t->st))
		return 0;
	file_unlock(t->fd);
	return db_reopen(t);
}

/* ---- asking ---- */

/* 1: found.  Values are C strings in Postfix. */
static int db_get_one(struct db_table *t, struct bytes key, bool nul, struct buf *ret)
{
	struct buf k = { 0 };
	DBT value = { .flags = 0 }, wanted = { .flags = 0 };

	buf_add(&k, key);
	buf_str(&k);
	wanted.data = k.p;
	wanted.size = (u_int32_t)(key.n + nul);
	int r = t->db->get(t->db, NULL, &wanted, &value, 0);
	buf_fini(&k);
	if (r == DB_NOTFOUND)
		return 0;
	if (r != 0)
		return db_errno(r);
	buf_add(ret, bytes_make(value.data, strnlen(value.data, value.size)));
	return 1;
}

static int db_get_both(struct db_table *t, struct bytes key, struct buf *ret)
{
	int r = 0;

	if (t->with_nul) {
		r = db_get_one(t, key, true, ret);
		if (r == 1)
			t->without_nul = false;
	}
	if (r == 0 && t->without_nul) {
		r = db_get_one(t, key, false, ret);
		if (r == 1)
			t->with_nul = false;
	}
	return r;
}

/* As db_get(), but -DB_WOULD_WAIT for whatever needs time: somebody who has the handle or the lock, another file, a page on the disk. */
static int db_get_at_once(struct db_table *t, struct bytes key, struct buf *ret)
{
	struct stat st;
	int r = -DB_WOULD_WAIT;

	if (pthread_mutex_trylock(&t->mutex) != 0)
		return -DB_WOULD_WAIT;
	if (t->db && t->pid == getpid() && file_lock_try(t->fd) == 0) {
		if (stat(t->path, &st) == 0 && db_current(t, &st)) {
			db_at_once = true;
			r = db_get_both(t, key, ret);
			db_at_once = false;
		}
		file_unlock(t->fd);
	}
	pthread_mutex_unlock(&t->mutex);
	/* What has gone wrong may be better when the file is opened anew. */
	return r < 0 ? -DB_WOULD_WAIT : r;
}

static int db_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct db_table *t = state;

	pthread_mutex_lock(&t->mutex);
	int r = db_ready(t);
	if (r == 0) {
		ASSERT(t->db);
		r = db_get_both(t, key, ret);
		file_unlock(t->fd);
		if (r < 0)
			db_shut(t); /* it may be better when it is opened anew */
	}
	pthread_mutex_unlock(&t->mutex);
	if (r < 0)
		db_why(t, r, err);
	return r;
}

struct db_job {
	struct db_table *table;
	struct bytes key;
	struct buf *ret, *err;
};

static int db_job_run(void *arg)
{
	struct db_job *job = arg;
	return db_get(job->table, job->key, job->ret, job->err);
}

TASK_FN static int db_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	int r = db_get_at_once(state, key, ret);
	return r == -DB_WOULD_WAIT ? task_offload(db_job_run, &(struct db_job){ state, key, ret, err }) : r;
}

/* ---- all of it ---- */

/* Each step is a lookup under the one lock: nobody writes meanwhile. */
static int db_walk(const struct db_table *t, table_entry_fn *fn, void *arg)
{
	DBT key = { .flags = 0 }, value = { .flags = 0 };
	DBC *cursor;
	int r = t->db->cursor(t->db, NULL, &cursor, 0);
	int said = 0;

	if (r != 0)
		return db_errno(r);
	while (said == 0 && (r = cursor->get(cursor, &key, &value, DB_NEXT)) == 0)
		said = fn(arg, bytes_make(key.data, key.size), bytes_make(value.data, value.size));
	cursor->close(cursor);
	return r == 0 || r == DB_NOTFOUND ? said : db_errno(r);
}

static int db_each(void *state, table_entry_fn *fn, void *arg, struct buf *err)
{
	struct db_table *t = state;

	pthread_mutex_lock(&t->mutex);
	int r = db_ready(t);
	if (r == 0) {
		ASSERT(t->db);
		r = db_walk(t, fn, arg);
		file_unlock(t->fd);
	}
	pthread_mutex_unlock(&t->mutex);
	if (r < 0)
		db_why(t, r, err);
	return r;
}

/* ---- a table ---- */

static void db_close(void *state)
{
	struct db_table *t = state;
	db_shut(t);
	pthread_mutex_destroy(&t->mutex);
	mem_free(t->path);
	mem_free(t);
}

static void db_warn_when_old(const struct db_table *t, struct bytes source)
{
	struct stat st;
	char *path = bytes_dup(source);
	if (stat(path, &st) == 0 && st.st_mtime > t->st.st_mtime)
		log_warning("table", "%s is older than its source %s", t->path, path);
	mem_free(path);
}

static int db_open(DBTYPE type, struct bytes spec, void **ret_state, struct buf *err)
{
	struct db_table *t = NEW(struct db_table);
	*t = (struct db_table){ .type = type, .path = mem_printf("%.*s.db", BYTES_ARG(spec)), .fd = -1 };
	pthread_mutex_init(&t->mutex, NULL);

	int r = db_reopen(t);
	if (r < 0) {
		buf_add_str(err, "cannot open ");
		db_why(t, r, err);
		db_close(t);
		return r;
	}
	file_unlock(t->fd);
	db_warn_when_old(t, spec);
	*ret_state = t;
	return 0;
}

static int db_open_hash(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return db_open(DB_HASH, spec, ret_state, err);
}

static int db_open_btree(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return db_open(DB_BTREE, spec, ret_state, err);
}

const struct table_ops table_hash = {
	.type = "hash", .names_file = true, .fold_key = true, .open = db_open_hash, .close = db_close, .ask = db_ask,
	.each = db_each, .builder = &hash_builder
};
const struct table_ops table_btree = {
	.type = "btree", .names_file = true, .fold_key = true, .open = db_open_btree, .close = db_close, .ask = db_ask,
	.each = db_each, .builder = &btree_builder
};
