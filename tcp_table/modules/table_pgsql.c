/*
 * table_pgsql.c: pgsql:/file, as pgsql_table(5) says: all columns of the rows that a query finds in PostgreSQL.
 *
 * libpq's calls that wait have no time limit; so only those that do not are used, with poll(2) between them.
 */
#include "tcp_table/modules/db_hosts.h"
#include "tcp_table/modules/sql_query.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>

struct pgsql_table {
	struct db_hosts hosts;
	char *query;
	const char *user, *password, *dbname, *encoding;
};

static int pgsql_wait(PGconn *db, short events, int64_t deadline)
{
	struct pollfd p = { .fd = PQsocket(db), .events = events };
	int64_t left = deadline - idle_now();

	if (left <= 0)
		return -ETIMEDOUT;
	int n = poll(&p, 1, (int)(left / 1000000 + 1));
	return n > 0 || (n < 0 && errno == EINTR) ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

/* libpq's messages end with a line end, and may be several lines, of which all but the first begin with a tab. */
static int pgsql_say(const char *message, int r, struct buf *err)
{
	struct bytes text = bytes_trim(bytes_of(r == -ETIMEDOUT ? "no answer in time" : message));
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\t')
			buf_add_char(err, text.p[i] == '\n' ? ' ' : text.p[i]);
	return r;
}

/* ---- connections ---- */

static void pgsql_disconnect(void *connection)
{
	PQfinish(connection);
}

/* "postgresql:" as in Postfix, or libpq's other word for it. */
static bool pgsql_is_uri(const char *host)
{
	return host && (strncmp(host, "postgresql:", 11) == 0 || strncmp(host, "postgres:", 9) == 0);
}

/* As PQconnectdb() for a URI, which says all, else as PQsetdbLogin(): "dbname" may be a connection string of libpq with parameters of any kind, and
 * those that stand behind it here and are not empty count more. */
static PGconn *pgsql_start(const struct pgsql_table *t, const struct db_host *h)
{
	const bool uri = pgsql_is_uri(h->name);
	char port[12] = "";
	if (h->port)
		snprintf(port, sizeof port, "%u", h->port);
	const char *const names[] = { "dbname", "client_encoding", uri ? NULL : "host", "port", "user", "password",
		NULL };
	const char *const values[] = { uri ? h->name : t->dbname, t->encoding, h->name, port, t->user, t->password,
		NULL };
	return PQconnectStartParams(names, values, true);
}

static int pgsql_handshake(PGconn *db, int64_t deadline)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	int r = 0;

	while (r == 0 && status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		r = pgsql_wait(db, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
		if (r == 0)
			status = PQconnectPoll(db);
	}
	return r < 0 ? r : status == PGRES_POLLING_OK ? 0 : -ECONNREFUSED;
}

static int pgsql_connect(void *table, const struct db_host *h, int64_t deadline, void **ret, struct buf *err)
{
	PGconn *db = pgsql_start(table, h);
	int r = !db ? -ENOMEM : PQstatus(db) == CONNECTION_BAD ? -ECONNREFUSED : pgsql_handshake(db, deadline);
	if (r < 0) {
		pgsql_say(PQerrorMessage(db), r, err);
		PQfinish(db);
		return r;
	}
	*ret = db;
	return 0;
}

/* ---- questions ---- */

static int pgsql_quote(void *arg, struct bytes value, struct buf *ret)
{
	int wrong;
	size_t n = PQescapeStringConn(arg, buf_room(ret, 2 * value.n + 1), value.p ? value.p : "", value.n, &wrong);
	buf_grown(ret, n);
	return wrong ? -EILSEQ : 0;
}

/* All of the answer to what was sent last: the first result, or NULL when the connection is lost. */
static int pgsql_receive(PGconn *db, int64_t deadline, PGresult **ret)
{
	PGresult *first = NULL, *next;
	int r = 0;

	do {
		while (r == 0 && PQisBusy(db)) {
			r = pgsql_wait(db, POLLIN, deadline);
			if (r == 0 && !PQconsumeInput(db))
				r = -EPIPE;
		}
		if (r < 0 || !(next = PQgetResult(db)))
			break;
		/* As PQexec() has it: of several the last counts. */
		PQclear(first);
		first = next;
	} while (PQresultStatus(first) != PGRES_COPY_OUT && PQresultStatus(first) != PGRES_COPY_IN);
	if (r < 0)
		PQclear(first);
	else
		*ret = first;
	return r;
}

static int pgsql_rows(const PGresult *result, struct table_values *values)
{
	int r = 0;

	for (int row = 0; r == 0 && row < PQntuples(result); row++)
		for (int column = 0; r == 0 && column < PQnfields(result); column++)
			r = table_values_add(values,
			    bytes_make(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)));
	return r;
}

static int pgsql_run(PGconn *db, struct buf *query, int64_t deadline, struct table_values *values, struct buf *err)
{
	PGresult *result = NULL;

	int r = PQsendQuery(db, buf_str(query)) ? pgsql_receive(db, deadline, &result) : -EPIPE;
	if (r < 0)
		return pgsql_say(PQerrorMessage(db), r, err);
	if (PQstatus(db) == CONNECTION_BAD || !result)
		r = pgsql_say(PQerrorMessage(db), -EPIPE, err);
	else if (PQresultStatus(result) == PGRES_TUPLES_OK)
		r = pgsql_rows(result, values);
	else if (PQresultStatus(result) == PGRES_COPY_OUT || PQresultStatus(result) == PGRES_COPY_IN)
		r = pgsql_say("a COPY is no query", -EPIPE, err);
	else
		r = pgsql_say(*PQresultErrorMessage(result) ? PQresultErrorMessage(result) : "the query has no result",
		    -EIO, err);
	PQclear(result);
	return r;
}

static int pgsql_ask(
    void *table, void *connection, struct bytes key, int64_t deadline, struct table_values *values, struct buf *err)
{
	const struct table_quote quote = { pgsql_quote, connection };
	struct pgsql_table *t = table;
	struct buf query = { 0 };

	int r = table_query_ask(t->query, key, &quote, &query);
	if (r < 0)
		r = pgsql_say(PQerrorMessage(connection), -EIO, err);
	else
		r = pgsql_run(connection, &query, deadline, values, err);
	buf_fini(&query);
	return r;
}

static const struct db_client pgsql_client = { .connect = pgsql_connect, .close = pgsql_disconnect, .ask = pgsql_ask };

/* ---- a table ---- */

static int pgsql_get(void *state, struct bytes key, struct table_values *values, struct buf *err)
{
	struct pgsql_table *t = state;
	return db_hosts_get(&t->hosts, key, values, err);
}

static void pgsql_close(void *state)
{
	struct pgsql_table *t = state;
	db_hosts_fini(&t->hosts);
	mem_free(t->query);
	mem_free(t);
}

static int pgsql_open(struct table_config *c, struct table_driver_plan *plan, void **ret_state, struct buf *err)
{
	char *query;
	int r = sql_query_read(c, plan, true, &query, err);
	if (r < 0)
		return r;
	struct pgsql_table *t = NEW(struct pgsql_table);
	*t = (struct pgsql_table){ .query = query,
		.user = table_config_str(c, "user", ""),
		.password = table_config_str(c, "password", ""),
		.dbname = table_config_need(c, "dbname"),
		.encoding = table_config_str(c, "encoding", "UTF8") };
	db_hosts_init(&t->hosts, c, &pgsql_client, t, plan->timeout);
	db_hosts_read(&t->hosts, c);
	*ret_state = t;
	return 0;
}

const struct table_driver table_driver = {
	.version = GATEPOST_VERSION, .type = "pgsql", .open = pgsql_open, .close = pgsql_close, .get = pgsql_get
};
