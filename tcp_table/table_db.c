/*
 * table_db.c: hash:/file and btree:/file: /file.db, made by postmap or postalias (Berkeley DB 5.3).
 *
 * postmap writes over the file in place, under an exclusive lock (file_lock.h).  The file is opened under a shared one; after that a lookup takes none.
 * Instead the file is looked at (file_watch.h) after each page that is read of it, and before Berkeley DB sees the page: so all pages that it has, those it
 * keeps in memory included, are of the one state in which the file was opened.  When the file is in another state, or another has its name, it is opened again,
 * which waits for who is writing.  A file that was written to just now is opened for each lookup, and stays locked meanwhile (file_settled()).
 *
 * Keys and values have a NUL behind them when postmap made them, and none when Sendmail's makemap did.  Which of the two a file holds is learnt
 * from the first key that is found.
 *
 * The handle is not made for threads: one lookup at a time for each table.  Mostly the file is the one that is open, and its pages are in memory; then a
 * lookup is done at once.  Else, before it would have to wait, it is begun again in the thread pool.  A file that is asked for often is read through
 * a memory map (file_map.h).
 */
#include "tcp_table/db_page.h"
#include "tcp_table/file_lock.h"
#include "tcp_table/file_map.h"
#include "tcp_table/file_watch.h"
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
/* So often a lookup is begun anew because something has happened to the file meanwhile. */
enum { DB_TRIES = 20 };
/* A map pays after so many lookups. */
enum { DB_MAP_AFTER = 64 };
/* So long a damaged file that nobody has touched since is not opened again: Berkeley DB leaks what it has read of one. */
enum { DB_BAD_SECONDS = 10 };
/* What is read of a file before the size of its pages is known. */
enum { DB_META = 512 };

/* A file that is no larger Berkeley DB keeps in memory, once it has been read; of others 256 KiB. */
enum { DB_KEEP_MAX = 4 << 20, DB_KEEP_MIN = 256 << 10 };

/* What is said instead of waiting, and of what belongs to another state of the file; Berkeley DB itself never says them, and hands them through. */
enum { DB_WOULD_WAIT = EINPROGRESS, DB_STALE = ESTALE };

struct db_table {
	DBTYPE type;
	char *path;
	pthread_mutex_t mutex;
	/* what is open now */
	DB *db;                         /* NULL: nothing */
	int fd;                         /* for the lock, and to look at */
	struct file_watch watch;
	bool settled;                   /* another change would have another time */
	bool with_nul, without_nul;     /* how its keys may end */
	struct file_map map;
	unsigned asked;                 /* lookups, up to DB_MAP_AFTER */
	_Atomic int lost;               /* why what stands under the name now is of no use, and the old entries are kept: -errno; 0: they are not */
	int told;                       /* LOST as it was complained of */
	struct stat bad;                /* of a file that is damaged, */
	time_t bad_until;               /* and until when it is left alone; 0: there is none */
};

/* How Berkeley DB may read pages for the lookup of this thread. */
struct db_reading {
	const struct db_table *table;
	bool at_once;                   /* it may not wait for the disk */
	bool looked;                    /* the file was seen to be as it was */
};
static _Thread_local struct db_reading *db_reading;
static _Thread_local bool db_damaged;   /* this thread has just read a page that is none */

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
	else if (r == -DB_STALE)
		buf_printf(err, "%s: somebody keeps writing to it", t->path);
	else if (r == -EIO)
		buf_printf(err, "%s: the file is damaged", t->path);
	else if (r == -EINVAL)
		buf_printf(err, "%s: it is no %s file of Berkeley DB", t->path, t->type == DB_HASH ? "hash" : "btree");
	else
		buf_printf(err, "%s: %s", t->path, strerror_r(-r, why, sizeof why));
}

static ssize_t db_pread_now(const struct db_reading *r, int fd, void *to, size_t n, off_t offset)
{
	struct iovec v = { to, n };
	if (!r->at_once)
		return pread(fd, to, n, offset);
	if (file_map_has(&r->table->map, (uint64_t)offset, n))
		return file_map_read(&r->table->map, (uint64_t)offset, to, n) == 0 ? (ssize_t)n : -1;
	/* Some kernels say 0 in the midst of the file, and some file systems do not know the flag. */
	return preadv2(fd, &v, 1, offset, RWF_NOWAIT);
}

/* What Berkeley DB is not to see: a page that is damaged, or half of one.  Of what is not in memory half is only the beginning. */
static bool db_unsound(const void *page, ssize_t got, size_t n, off_t offset)
{
	if (got <= 0 || (got < (ssize_t)n && db_reading && db_reading->at_once))
		return false;
	return got < (ssize_t)n || !db_page_sound(bytes_make(page, n), (uint64_t)offset);
}

/* Berkeley DB's ways to read a page: this, and when it fails a seek and a read, which would take what is not there for an empty page. */
static ssize_t db_pread(int fd, void *to, size_t n, off_t offset)
{
	struct db_reading *r = db_reading;
	ssize_t got = r ? db_pread_now(r, fd, to, n, offset) : pread(fd, to, n, offset);
	if (r && got == (ssize_t)n && !file_watch_same(&r->table->watch)) {
		errno = DB_STALE;
		return -1;
	}
	if (r)
		r->looked = true;
	if (db_unsound(to, got, n, offset)) {
		db_damaged = true;
		errno = EIO;
		return -1;
	}
	return got;
}

static int db_seek(int fd, off_t offset, int whence)
{
	if (db_damaged) {
		db_damaged = false;
		return EIO;
	}
	if (db_reading)
		return db_reading->at_once ? DB_WOULD_WAIT : DB_STALE;
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
	file_map_fini(&t->map);
	close(t->fd);
	t->db = NULL;
	t->fd = -1;
}

/* Is it a file of Berkeley DB, and all of it there?  The library itself takes a bucket behind the end of the file for an empty one, and so says "not found"; and it
 * reads the first page in another way than others.  That begins with the log's position (8 bytes), page number, magic, version, page size, 8 bytes of
 * flags and free list, and the number of the last page, in the byte order of the machine that made it. */
static int db_whole(int fd, off_t size)
{
	uint32_t meta[DB_META / 4] = { 0 };
	ssize_t got = pread(fd, meta, sizeof meta, 0);
	if (got < 0)
		return -errno;
	bool native = meta[3] == DB_HASHMAGIC || meta[3] == DB_BTREEMAGIC;
	if (!native && meta[3] != __builtin_bswap32(DB_HASHMAGIC) && meta[3] != __builtin_bswap32(DB_BTREEMAGIC))
		return -EINVAL;
	if (got < DB_META || !db_page_sound(bytes_make(meta, sizeof meta), 0))
		return -EIO;
	uint32_t page = native ? meta[5] : __builtin_bswap32(meta[5]), last = native ? meta[8] : __builtin_bswap32(meta[8]);
	return size >= ((off_t)last + 1) * page ? 0 : -EIO;
}

static time_t db_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void db_leave_alone(struct db_table *t, const struct stat *st)
{
	t->bad = *st;
	t->bad_until = db_now() + DB_BAD_SECONDS;
}

static bool db_left_alone(const struct db_table *t, const struct stat *st)
{
	return t->bad_until && db_now() < t->bad_until && st->st_dev == t->bad.st_dev && st->st_ino == t->bad.st_ino && st->st_size == t->bad.st_size &&
	       st->st_mtim.tv_sec == t->bad.st_mtim.tv_sec && st->st_mtim.tv_nsec == t->bad.st_mtim.tv_nsec;
}

/* Has DB opened the file that ST is of? */
static bool db_is(DB *db, const struct stat *st)
{
	struct stat opened;
	int fd;
	return db->fd(db, &fd) == 0 && fstat(fd, &opened) == 0 && opened.st_dev == st->st_dev && opened.st_ino == st->st_ino;
}

/* Of FD, the same file, whose state is ST.  Without DB_NOMMAP Berkeley DB would map small files into memory itself, and see what is written to them, or
 * cut off, while it looks at them. */
static int db_open_handle(const struct db_table *t, int fd, const struct stat *st, DB **ret)
{
	DB *db;
	int r = db_left_alone(t, st) ? -EIO : db_whole(fd, st->st_size);
	if (r < 0)
		return r;
	r = db_create(&db, NULL, 0);
	if (r != 0)
		return db_errno(r);
	db->set_errcall(db, db_no_message);
	if (st->st_size > DB_KEEP_MIN && st->st_size <= DB_KEEP_MAX)
		db->set_cachesize(db, 0, (u_int32_t)st->st_size, 1);
	r = db->open(db, NULL, t->path, NULL, t->type, DB_RDONLY | DB_NOMMAP, 0);
	if (r == 0 && !db_is(db, st))
		r = DB_STALE;
	if (r != 0) {
		db->close(db, DB_NOSYNC);
		return db_errno(r);
	}
	*ret = db;
	return 0;
}

static int db_reopen_once(struct db_table *t)
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
		r = db_open_handle(t, fd, &st, &db);
	if (r == -EIO && !db_left_alone(t, &st))
		db_leave_alone(t, &st);
	if (r < 0) {
		close(fd);
		return r;
	}
	db_shut(t);
	t->db = db;
	t->fd = fd;
	file_watch_init(&t->watch, t->path, fd, &st);
	t->settled = file_settled(&st);
	t->with_nul = t->without_nul = true;
	t->asked = 0;
	return 0;
}

/* Opens the file as it is now, and leaves it locked.  What was open before stays so on failure. */
static int db_reopen(struct db_table *t)
{
	int r = -DB_STALE;
	for (unsigned tries = 0; r == -DB_STALE && tries < DB_TRIES; tries++)
		r = db_reopen_once(t);
	return r;
}

/* A handle on the present state of the file.  Another file under this name that cannot be opened leaves the one we have, which is whole though it has
 * no name any more; but one that was changed in place is not what the handle thinks it is. */
static int db_ready(struct db_table *t)
{
	struct stat named;

	if (!t->db)
		return db_reopen(t);
	enum file_news news = file_watch_look(&t->watch, &named);
	if (news == FILE_NO_NEWS && t->settled)
		return 0;
	int r = news == FILE_LOST ? -errno : db_reopen(t);
	bool kept = r < 0 && file_watch_untouched(&t->watch);
	t->lost = kept ? r : 0;
	return kept ? 0 : r;
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
	buf_add(ret, bytes_make(value.data, value.size ? strnlen(value.data, value.size) : 0));
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

static int db_get_reading(struct db_table *t, struct db_reading *reading, struct bytes key, struct buf *ret)
{
	db_reading = reading;
	int r = db_get_both(t, key, ret);
	db_reading = NULL;
	return r;
}

/* As db_get(), but -DB_WOULD_WAIT for whatever needs time: somebody who has the handle, another file, a page on the disk, a map that is to be made.
 * What is found in the pages that Berkeley DB has in memory may be trusted for a moment. */
static int db_get_at_once(struct db_table *t, struct bytes key, struct buf *ret)
{
	struct db_reading reading = { .table = t, .at_once = true };
	size_t before = ret->n;
	int r = -DB_WOULD_WAIT;

	if (pthread_mutex_trylock(&t->mutex) != 0)
		return -DB_WOULD_WAIT;
	bool map = t->asked < DB_MAP_AFTER && ++t->asked == DB_MAP_AFTER;
	if (t->db && t->settled && !map)
		r = db_get_reading(t, &reading, key, ret);
	/* What has gone wrong may be better when the file is opened anew. */
	if (r < 0 || !(reading.looked ? file_watch_named(&t->watch) : file_watch_trusted(&t->watch, run_turn()))) {
		ret->n = before;
		r = -DB_WOULD_WAIT;
	}
	pthread_mutex_unlock(&t->mutex);
	return r;
}

static void db_map(struct db_table *t)
{
	if (t->asked != DB_MAP_AFTER)
		return;
	t->asked++;
	/* Without a map it is slower, and that is all. */
	int r = file_map_init(&t->map, t->fd, t->watch.st.st_size);
	(void)r;
}

/* -DB_STALE: something has happened to the file meanwhile. */
static int db_get_once(struct db_table *t, struct bytes key, struct buf *ret)
{
	struct db_reading reading = { .table = t };

	int r = db_ready(t);
	if (r < 0)
		return r;
	ASSERT(t->db);
	db_map(t);
	r = db_get_reading(t, &reading, key, ret);
	if (r < 0 && !file_watch_same(&t->watch))
		r = -DB_STALE;
	file_unlock(t->fd);
	if (r == -EIO)
		db_leave_alone(t, &t->watch.st);
	if (r < 0 && r != -DB_STALE)
		db_shut(t); /* it may be better when it is opened anew */
	return r;
}

static int db_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct db_table *t = state;
	int r = -DB_STALE;

	pthread_mutex_lock(&t->mutex);
	for (unsigned tries = 0; r == -DB_STALE && tries < DB_TRIES; tries++)
		r = db_get_once(t, key, ret);
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

/* Once for each reason. */
static void db_complain(struct db_table *t)
{
	struct buf why = { 0 };
	int lost = t->lost;

	if (lost == t->told)
		return;
	t->told = lost;
	if (!lost)
		return;
	db_why(t, lost, &why);
	log_warning("table", "%s: the old entries are kept", buf_str(&why));
	buf_fini(&why);
}

TASK_FN static int db_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	int r = db_get_at_once(state, key, ret);
	if (r == -DB_WOULD_WAIT)
		r = task_offload(db_job_run, &(struct db_job){ state, key, ret, err });
	if (r != -ECANCELED)
		db_complain(state);
	return r;
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
	int r = db_reopen(t);
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
	if (stat(path, &st) == 0 && st.st_mtime > t->watch.st.st_mtime)
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
