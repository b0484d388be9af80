/*
 * table_sqlite.c: sqlite:/file, as sqlite_table(5) says: one column of the rows that a query finds in a file.
 *
 * Each thread that asks has a handle of its own; handles are kept, and given up when another file has taken the name.
 */
#include "tcp_table/modules/idle.h"
#include "tcp_table/modules/sql_query.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>

/* So long somebody may be writing before we say that we cannot tell; and so many steps pass between looks at the clock. */
enum { SQLITE_BUSY_MS = 5000, SQLITE_STEPS = 10000 };

struct sqlite_table {
	const char *path;
	char *query;
	const struct table_driver_plan *plan;
	struct idle idle;
};

struct sqlite_handle {
	sqlite3 *db;
	struct stat st; /* of the file it opened */
	int64_t deadline;
};

/* ---- handles ---- */

static void sqlite_handle_close(void *connection)
{
	struct sqlite_handle *h = connection;
	sqlite3_close(h->db);
	mem_free(h);
}

/* "If the progress callback returns non-zero, the operation is interrupted." */
static int sqlite_on_progress(void *arg)
{
	const struct sqlite_handle *h = arg;
	return idle_now() > h->deadline;
}

/* Whatever the query is: it does not change anything. */
static int sqlite_handle_open(const char *path, struct sqlite_handle **ret, struct buf *err)
{
	struct sqlite_handle *h = NEW(struct sqlite_handle);

	int r = stat(path, &h->st) < 0 ? -errno : 0;
	if (r < 0)
		buf_printf(err, "cannot open %s: %s", path, strerror(-r));
	else if (sqlite3_open_v2(path, &h->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		buf_printf(err, "cannot open %s: %s", path, sqlite3_errmsg(h->db));
		r = -EIO;
	}
	if (r < 0) {
		sqlite_handle_close(h);
		return r;
	}
	sqlite3_busy_timeout(h->db, SQLITE_BUSY_MS);
	sqlite3_progress_handler(h->db, SQLITE_STEPS, sqlite_on_progress, h);
	*ret = h;
	return 0;
}

/* A file that has gone can still be asked by who has it open. */
static bool sqlite_handle_current(const struct sqlite_handle *h, const char *path)
{
	struct stat st;
	return stat(path, &st) < 0 || (st.st_dev == h->st.st_dev && st.st_ino == h->st.st_ino);
}

static int sqlite_take(struct sqlite_table *t, struct sqlite_handle **ret, struct buf *err)
{
	struct sqlite_handle *h = idle_take(&t->idle);

	if (h && !sqlite_handle_current(h, t->path)) {
		sqlite_handle_close(h);
		idle_drop(&t->idle);
		h = NULL;
	}
	if (!h)
		return sqlite_handle_open(t->path, ret, err);
	*ret = h;
	return 0;
}

/* ---- questions ---- */

/* Behind a quotation mark, in the query: the only character that means something there is doubled. */
static int sqlite_quote(void *arg, struct bytes value, struct buf *ret)
{
	(void)arg;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\'')
			buf_add_char(ret, '\'');
		buf_add_char(ret, value.p[i]);
	}
	return 0;
}

static int sqlite_fetch(sqlite3_stmt *statement, struct table_values *values)
{
	int r = 0, status = SQLITE_OK;

	/* Without columns it is a statement of another kind. */
	while (r == 0 && (status = sqlite3_step(statement)) == SQLITE_ROW)
		r = table_values_add(
		    values, bytes_make(sqlite3_column_text(statement, 0), (size_t)sqlite3_column_bytes(statement, 0)));
	if (r < 0 || status == SQLITE_DONE)
		return r;
	return status == SQLITE_BUSY ? -EAGAIN : status == SQLITE_INTERRUPT ? -ETIMEDOUT : -EIO;
}

static void sqlite_explain(const struct sqlite_table *t, struct sqlite_handle *h, int r, struct buf *err)
{
	if (r == -ETIMEDOUT)
		buf_printf(err, "%s: no answer within %lld s", t->path, (long long)(t->plan->timeout / 1000000000));
	else if (r == -EAGAIN)
		buf_printf(err, "%s: somebody keeps it locked", t->path);
	else if (r != -E2BIG && r != -EMSGSIZE)
		buf_printf(err, "%s: %s", t->path, sqlite3_errmsg(h->db));
}

static int sqlite_run(const struct sqlite_table *t, struct sqlite_handle *h, struct buf *query,
    struct table_values *values, struct buf *err)
{
	sqlite3_stmt *statement = NULL;
	int r = -EIO;

	if (sqlite3_prepare_v2(h->db, buf_str(query), (int)query->n + 1, &statement, NULL) == SQLITE_OK && statement)
		r = sqlite_fetch(statement, values);
	if (r < 0)
		sqlite_explain(t, h, r, err);
	sqlite3_finalize(statement);
	return r;
}

static int sqlite_get(void *state, struct bytes key, struct table_values *values, struct buf *err)
{
	static const struct table_quote quote = { sqlite_quote, NULL };
	struct sqlite_table *t = state;
	struct sqlite_handle *h;
	struct buf query = { 0 };

	int r = sqlite_take(t, &h, err);
	if (r < 0)
		return r;
	h->deadline = idle_now() + t->plan->timeout;
	r = table_query_ask(t->query, key, &quote, &query);
	if (r == 0)
		r = sqlite_run(t, h, &query, values, err);
	/* It may be better when it is opened anew. */
	if (r == -EIO)
		sqlite_handle_close(h);
	else
		idle_put(&t->idle, h);
	buf_fini(&query);
	return r;
}

/* ---- a table ---- */

static void sqlite_close(void *state)
{
	struct sqlite_table *t = state;
	idle_fini(&t->idle);
	mem_free(t->query);
	mem_free(t);
}

static int sqlite_open(struct table_config *c, struct table_driver_plan *plan, void **ret_state, struct buf *err)
{
	struct sqlite_handle *h;
	const char *path = table_config_need(c, "dbpath");
	char *query;

	int r = sql_query_read(c, plan, false, &query, err);
	if (r < 0)
		return r;
	if (c->wrong.n == 0 && (r = sqlite_handle_open(path, &h, err)) < 0) {
		mem_free(query);
		return r;
	}
	if (c->wrong.n == 0)
		sqlite_handle_close(h);
	struct sqlite_table *t = NEW(struct sqlite_table);
	*t = (struct sqlite_table){ .path = path, .query = query, .plan = plan };
	idle_init(&t->idle, INT64_MAX, sqlite_handle_close);
	*ret_state = t;
	return 0;
}

const struct table_driver table_driver = {
	.version = GATEPOST_VERSION, .type = "sqlite", .open = sqlite_open, .close = sqlite_close, .get = sqlite_get
};
