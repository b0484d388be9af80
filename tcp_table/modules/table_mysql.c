/*
 * table_mysql.c: mysql:/file, as mysql_table(5) says: all columns of the rows that a query finds in MySQL or MariaDB.
 */
#include "tcp_table/modules/db_hosts.h"
#include "tcp_table/modules/sql_query.h"

#include "lib/base/mem.h"

#include <errmsg.h>
#include <errno.h>
#include <mysql.h>

struct mysql_table {
	struct db_hosts hosts;
	char *query;
	const char *user, *password, *dbname, *charset;
	const char *option_file, *option_group;
	const char *tls_key, *tls_cert, *tls_ca, *tls_ca_path, *tls_ciphers;
	bool tls_verify, require_result;
};

static const char *mysql_none(const char *s)
{
	return s && *s ? s : NULL;
}

/* Whole seconds are all the library knows. */
static unsigned mysql_seconds(int64_t deadline)
{
	int64_t left = (deadline - idle_now() + 999999999) / 1000000000;
	return left < 1 ? 1 : (unsigned)left;
}

/* What became of the connection, from the library's number; the server's own numbers are smaller than its. */
static int mysql_say(MYSQL *db, int64_t deadline, struct buf *err)
{
	unsigned code = mysql_errno(db);

	buf_add_str(err, *mysql_error(db) ? mysql_error(db) : "the query has no result");
	if (code == CR_SERVER_LOST || code == CR_SERVER_GONE_ERROR || code == CR_COMMANDS_OUT_OF_SYNC ||
	    code == CR_MALFORMED_PACKET)
		return idle_now() >= deadline ? -ETIMEDOUT : -EPIPE;
	return -EIO;
}

/* ---- connections ---- */

static void mysql_disconnect(void *connection)
{
	mysql_close(connection);
}

/* Does the file want the connection to be encrypted? */
static bool mysql_wants_tls(const struct mysql_table *t)
{
	return t->tls_verify || *t->tls_key || *t->tls_cert || *t->tls_ca || *t->tls_ca_path || *t->tls_ciphers;
}

static void mysql_configure(MYSQL *db, const struct mysql_table *t, int64_t deadline)
{
	const unsigned seconds = mysql_seconds(deadline);

	mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(db, MYSQL_SET_CHARSET_NAME, t->charset);
	if (mysql_none(t->option_file))
		mysql_options(db, MYSQL_READ_DEFAULT_FILE, t->option_file);
	if (mysql_none(t->option_group))
		mysql_options(db, MYSQL_READ_DEFAULT_GROUP, t->option_group);
	if (mysql_wants_tls(t))
		mysql_ssl_set(db, mysql_none(t->tls_key), mysql_none(t->tls_cert), mysql_none(t->tls_ca),
		    mysql_none(t->tls_ca_path), mysql_none(t->tls_ciphers));
	if (t->tls_verify) {
		const my_bool yes = 1;
		mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	}
}

/* The library minds only with tls_verify_cert that a server offers no TLS: whoever stands between them could have taken that away. */
static bool mysql_lacks_tls(MYSQL *db, const struct mysql_table *t, const struct db_host *h)
{
	return !h->local && mysql_wants_tls(t) && !mysql_get_ssl_cipher(db);
}

static int mysql_connect_host(void *table, const struct db_host *h, int64_t deadline, void **ret, struct buf *err)
{
	struct mysql_table *t = table;
	MYSQL *db = mysql_init(NULL);

	mysql_configure(db, t, deadline);
	/* Stored procedures have several results. */
	const bool connected = mysql_real_connect(db, h->local ? NULL : h->name, t->user, t->password, t->dbname,
				   h->port, h->local ? h->name : NULL, CLIENT_MULTI_RESULTS) != NULL;
	if (!connected || mysql_lacks_tls(db, t, h)) {
		buf_add_str(
		    err, connected ? "the server offers no TLS, and there are tls_* parameters" : mysql_error(db));
		mysql_close(db);
		return idle_now() >= deadline ? -ETIMEDOUT : -ECONNREFUSED;
	}
	*ret = db;
	return 0;
}

/* ---- questions ---- */

static int mysql_quote(void *arg, struct bytes value, struct buf *ret)
{
	unsigned long n =
	    mysql_real_escape_string(arg, buf_room(ret, 2 * value.n + 1), value.p ? value.p : "", value.n);
	if (n == (unsigned long)-1)
		return -EILSEQ;
	buf_grown(ret, n);
	return 0;
}

static int mysql_rows(MYSQL_RES *result, struct table_values *values)
{
	MYSQL_ROW row;
	int r = 0;

	while (r == 0 && (row = mysql_fetch_row(result))) {
		const unsigned long *lengths = mysql_fetch_lengths(result);
		for (unsigned i = 0; r == 0 && i < mysql_num_fields(result); i++)
			r = table_values_add(values, bytes_make(row[i], row[i] ? lengths[i] : 0));
	}
	return r;
}

/* A statement's results: one has rows, at most; others say only that it was done. */
static int mysql_results(
    MYSQL *db, const struct mysql_table *t, int64_t deadline, struct table_values *values, struct buf *err)
{
	unsigned with_rows = 0;
	int r = 0, more;

	do {
		MYSQL_RES *result = mysql_store_result(db);
		if (!result && mysql_field_count(db))
			return mysql_say(db, deadline, err);
		if (result && ++with_rows == 1)
			r = mysql_rows(result, values);
		mysql_free_result(result);
		more = mysql_next_result(db);
	} while (more == 0);
	if (more > 0)
		return mysql_say(db, deadline, err);
	if (with_rows == 1 || (with_rows == 0 && !t->require_result))
		return r;
	buf_add_str(
	    err, with_rows ? "the query has more than one result" : "the query has no result (require_result_set)");
	return -EIO;
}

static int mysql_ask(
    void *table, void *connection, struct bytes key, int64_t deadline, struct table_values *values, struct buf *err)
{
	const struct table_quote quote = { mysql_quote, connection };
	const struct mysql_table *t = table;
	struct buf query = { 0 };

	int r = table_query_ask(t->query, key, &quote, &query);
	if (r < 0) {
		buf_add_str(err, "the key cannot be quoted");
		r = -EIO;
	} else if (mysql_real_query(connection, query.p, query.n) != 0) {
		r = mysql_say(connection, deadline, err);
	} else {
		r = mysql_results(connection, t, deadline, values, err);
	}
	buf_fini(&query);
	return r;
}

static const struct db_client mysql_client = {
	.localhost_is_local = true, .connect = mysql_connect_host, .close = mysql_disconnect, .ask = mysql_ask
};

/* ---- a table ---- */

static int mysql_get(void *state, struct bytes key, struct table_values *values, struct buf *err)
{
	struct mysql_table *t = state;
	return db_hosts_get(&t->hosts, key, values, err);
}

static void mysql_close_table(void *state)
{
	struct mysql_table *t = state;
	db_hosts_fini(&t->hosts);
	mem_free(t->query);
	mem_free(t);
}

static int mysql_open(struct table_config *c, struct table_driver_plan *plan, void **ret_state, struct buf *err)
{
	char *query;
	int r = sql_query_read(c, plan, false, &query, err);
	if (r < 0)
		return r;
	/* Not made for threads, unlike all that follows. */
	if (mysql_library_init(0, NULL, NULL) != 0) {
		buf_add_str(err, "the library cannot be initialised");
		mem_free(query);
		return -EIO;
	}
	struct mysql_table *t = NEW(struct mysql_table);
	*t = (struct mysql_table){ .query = query,
		.user = table_config_str(c, "user", ""),
		.password = table_config_str(c, "password", ""),
		.dbname = table_config_need(c, "dbname"),
		.charset = table_config_str(c, "charset", "utf8mb4"),
		.option_file = table_config_str(c, "option_file", ""),
		.option_group = table_config_str(c, "option_group", "client"),
		.tls_key = table_config_str(c, "tls_key_file", ""),
		.tls_cert = table_config_str(c, "tls_cert_file", ""),
		.tls_ca = table_config_str(c, "tls_CAfile", ""),
		.tls_ca_path = table_config_str(c, "tls_CApath", ""),
		.tls_ciphers = table_config_str(c, "tls_ciphers", ""),
		.tls_verify = table_config_bool(c, "tls_verify_cert", false),
		.require_result = table_config_bool(c, "require_result_set", true) };
	db_hosts_init(&t->hosts, c, &mysql_client, t, plan->timeout);
	db_hosts_read(&t->hosts, c);
	*ret_state = t;
	return 0;
}

const struct table_driver table_driver = {
	.version = GATEPOST_VERSION, .type = "mysql", .open = mysql_open, .close = mysql_close_table, .get = mysql_get
};
