/*
 * table_driven.c: sqlite:/file, pgsql:/file, mysql:/file, ldap:/file: tables that ask a database, as the file says, which is one of Postfix's.
 *
 * What they have in common is here: the file, the list of domains, keys that need not be asked for.  The question itself blocks, in the thread pool, and the
 * pool is not theirs alone: a database that hangs must not take all threads from the others.  So one table has at most `connections` questions
 * there at a time; more wait here, where it costs nothing.
 */
#include "tcp_table/table_kinds.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tcp_table/table_domains.h"
#include "tcp_table/table_module.h"
#include "tcp_table/table_read.h"

#include <errno.h>
#include <limits.h>

enum { DRIVEN_AT_ONCE = 2, DRIVEN_FILE_MAX = 1 << 20, DRIVEN_VALUE_MAX = 1 << 20 };
#define DRIVEN_TIMEOUT SECONDS(10)

struct driven_table {
	const struct table_driver *driver;
	void *state;
	struct table_config config;
	struct table_driver_plan plan;
	struct table_domains *domains; /* NULL: all */
	size_t value_max;
	unsigned busy, most;
	struct cond one_less;
};

/* ---- opening ---- */

static void driven_close(void *state)
{
	struct driven_table *t = state;
	if (t->state)
		t->driver->close(t->state);
	table_domains_close(&t->domains);
	table_config_fini(&t->config);
	mem_free(t);
}

static int driven_read(struct bytes spec, struct table_config *ret, struct buf *err)
{
	struct buf text = { 0 };
	char *path = bytes_dup(spec);

	int r = table_read(path, DRIVEN_FILE_MAX, &text);
	if (r == 0)
		r = table_config_parse(buf_bytes(&text), path, ret, err);
	else
		buf_printf(err, "cannot read %s: %s", path, strerror(-r));
	buf_fini(&text);
	mem_free(path);
	return r;
}

/* What all of them have. */
static int driven_read_common(struct driven_table *t, const struct table_options *o, struct buf *err)
{
	struct table_config *c = &t->config;
	const char *domains = table_config_str(c, "domain", "");

	t->plan.result_format = table_config_str(c, "result_format", "%s");
	t->plan.expansion_limit = (unsigned)table_config_int(c, "expansion_limit", 0, 0, INT_MAX);
	return *domains ? table_domains_open(bytes_of(domains), o, &t->domains, err) : 0;
}

static int driven_configure(struct driven_table *t, const struct table_options *o, struct buf *err)
{
	int r = driven_read_common(t, o, err);
	if (r == 0)
		r = t->driver->open(&t->config, &t->plan, &t->state, err);
	if (r == 0)
		r = table_query_learn(&t->plan.query, t->plan.result_format, true, err);
	if (r == 0)
		r = table_config_done(&t->config, err);
	return r;
}

static void driven_log_notes(struct table_notes *n)
{
	struct bytes rest = buf_bytes(&n->text);
	while (rest.n) {
		struct bytes line = bytes_cut(&rest, '\n');
		log_warning("table", "%.*s", BYTES_ARG(line));
	}
}

static int driven_open(const char *type, const char *library, struct bytes spec, const struct table_options *o,
    void **ret_state, struct buf *err)
{
	const struct table_driver *driver;
	struct table_config config;

	int r = table_module_load(type, library, &driver, err);
	if (r < 0)
		return r;
	r = driven_read(spec, &config, err);
	if (r < 0)
		return r;
	struct driven_table *t = NEW(struct driven_table);
	*t = (struct driven_table){ .driver = driver,
		.config = config,
		.plan = { .timeout = o->timeout ? o->timeout : DRIVEN_TIMEOUT },
		.value_max = o->reply_max ? o->reply_max : DRIVEN_VALUE_MAX,
		.most = o->connections ? o->connections : DRIVEN_AT_ONCE };
	cond_init(&t->one_less);
	r = driven_configure(t, o, err);
	driven_log_notes(&t->config.notes);
	if (r < 0)
		driven_close(t);
	else
		*ret_state = t;
	return r;
}

/* ---- asking ---- */

struct driven_job {
	struct driven_table *table;
	struct bytes key;
	struct buf value, *err;
};

static int driven_run(void *arg)
{
	struct driven_job *job = arg;
	struct driven_table *t = job->table;
	struct table_values values = { .query = &t->plan.query,
		.template = t->plan.result_format,
		.key = job->key,
		.limit = t->plan.expansion_limit,
		.most = t->value_max,
		.ret = &job->value };
	return t->driver->get(t->state, job->key, &values, job->err);
}

TASK_FN static int driven_offload(struct driven_table *t, struct driven_job *job)
{
	while (t->busy >= t->most) {
		int r = cond_wait(&t->one_less);
		if (r < 0) {
			cond_signal(&t->one_less); /* in case it was for us */
			return r;
		}
	}
	t->busy++;
	int r = task_offload(driven_run, job);
	t->busy--;
	cond_signal(&t->one_less);
	return r;
}

TASK_FN static int driven_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct driven_table *t = state;
	struct driven_job job = { .table = t, .key = key, .err = err };

	/* "Don't frustrate future attempts to make Postfix UTF-8 transparent": such a key is in none of its databases. */
	if (!bytes_utf8(key) || !table_query_fits(&t->plan.query, key))
		return 0;
	int r = t->domains ? table_domains_admit(t->domains, key, err) : 1;
	if (r <= 0)
		return r;
	r = driven_offload(t, &job);
	if (r == -E2BIG)
		buf_printf(err, "%s: more than %u values (expansion_limit)", t->config.file, t->plan.expansion_limit);
	else if (r == -EMSGSIZE)
		buf_printf(err, "%s: the values are longer than %zu bytes", t->config.file, t->value_max);
	else if (r == 0 && job.value.n) {
		buf_add(ret, buf_bytes(&job.value));
		r = 1;
	}
	buf_fini(&job.value);
	return r;
}

/* ---- the kinds ---- */

static int sqlite_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return driven_open(
	    "sqlite", "SQLite (Debian: libsqlite3-0, to build: libsqlite3-dev)", spec, o, ret_state, err);
}

static int pgsql_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return driven_open(
	    "pgsql", "PostgreSQL's library (Debian: libpq5, to build: libpq-dev)", spec, o, ret_state, err);
}

static int mysql_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return driven_open(
	    "mysql", "MariaDB's library (Debian: libmariadb3, to build: libmariadb-dev)", spec, o, ret_state, err);
}

static int ldap_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return driven_open(
	    "ldap", "OpenLDAP's library (Debian: libldap-2.5-0, to build: libldap-dev)", spec, o, ret_state, err);
}

const struct table_ops table_sqlite = { .type = "sqlite",
	.fold_key = true,
	.names_file = true,
	.open = sqlite_open,
	.close = driven_close,
	.ask = driven_ask };
const struct table_ops table_pgsql = { .type = "pgsql",
	.fold_key = true,
	.names_file = true,
	.open = pgsql_open,
	.close = driven_close,
	.ask = driven_ask };
const struct table_ops table_mysql = { .type = "mysql",
	.fold_key = true,
	.names_file = true,
	.open = mysql_open,
	.close = driven_close,
	.ask = driven_ask };
const struct table_ops table_ldap = { .type = "ldap",
	.fold_key = true,
	.names_file = true,
	.open = ldap_open,
	.close = driven_close,
	.ask = driven_ask };
