/*
 * table_memcache.c: memcache:/file, as memcache_table(5) says: a memcached, and behind it a table that knows more.
 *
 * The protocol is so small that a library would not make anything simpler, and libmemcached blocks: so it is spoken over streams, like tcp:.
 */
#include "tcp_table/memcache_codec.h"
#include "tcp_table/table_config.h"
#include "tcp_table/table_domains.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_query.h"
#include "tcp_table/table_read.h"
#include "tcp_table/table_server.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <limits.h>

enum { MEMCACHE_FILE_MAX = 1 << 20 };

struct memcache_table {
	struct table_config config;
	struct table_server *server;
	struct table *backup; /* NULL: none */
	struct table_domains *domains; /* NULL: all */
	struct table_query query;
	const char *key_format;
	size_t line_max, data_max;
	int ttl, flags;
};

/* ---- opening ---- */

static void memcache_close(void *state)
{
	struct memcache_table *t = state;
	table_server_free(&t->server);
	table_close(&t->backup);
	table_domains_close(&t->domains);
	table_config_fini(&t->config);
	mem_free(t);
}

static int memcache_open_others(struct memcache_table *t, const struct table_options *o, struct buf *err)
{
	const char *backup = table_config_str(&t->config, "backup", ""),
		   *domains = table_config_str(&t->config, "domain", "");

	int r = *backup ? table_open(o->kinds, bytes_of(backup), o, "backup", &t->backup, err) : 0;
	if (r == 0 && *domains)
		r = table_domains_open(bytes_of(domains), o, &t->domains, err);
	return r;
}

static int memcache_configure(struct memcache_table *t, const struct table_options *o, struct buf *err)
{
	struct table_config *c = &t->config;
	const char *memcache = table_config_str(c, "memcache", "inet:localhost:11211");
	struct table_options with = *o;

	with.timeout = o->timeout ? o->timeout : SECONDS(table_config_int(c, "timeout", 2, 1, INT_MAX));
	t->key_format = table_config_str(c, "key_format", "%s");
	t->line_max = (size_t)table_config_int(c, "line_size_limit", 1024, 1, INT_MAX);
	t->data_max = (size_t)table_config_int(c, "data_size_limit", 10240, 1, 1 << 30);
	t->ttl = table_config_int(c, "ttl", 3600, 0, INT_MAX);
	t->flags = table_config_int(c, "flags", 0, 0, INT_MAX);
	table_config_ignore(c, "max_try", "a connection that turns out dead is replaced once, at once");
	table_config_ignore(c, "retry_pause", "there are no pauses");
	int r = table_query_learn(&t->query, t->key_format, false, err);
	if (r == 0)
		r = table_server_new(
		    &(struct table_server_params){ bytes_of(memcache), &with, SECONDS(100), FOREVER }, &t->server, err);
	if (r == 0)
		r = memcache_open_others(t, o, err);
	return r == 0 ? table_config_done(c, err) : r;
}

static void memcache_log_notes(const struct table_notes *n)
{
	struct bytes rest = buf_bytes(&n->text);
	while (rest.n) {
		struct bytes line = bytes_cut(&rest, '\n');
		log_warning("table", "%.*s", BYTES_ARG(line));
	}
}

static int memcache_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	struct memcache_table *t = NEW(struct memcache_table);
	struct buf text = { 0 };
	char *path = bytes_dup(spec);

	int r = table_read(path, MEMCACHE_FILE_MAX, &text);
	if (r < 0)
		buf_printf(err, "cannot read %s: %s", path, strerror(-r));
	else
		r = table_config_parse(buf_bytes(&text), path, &t->config, err);
	if (r == 0)
		r = memcache_configure(t, o, err);
	memcache_log_notes(&t->config.notes);
	buf_fini(&text);
	mem_free(path);
	if (r < 0)
		memcache_close(t);
	else
		*ret_state = t;
	return r;
}

/* ---- asking ---- */

struct memcache_question {
	struct table_server_question base;
	const struct memcache_table *table;
	struct bytes key; /* as memcached knows it */
	struct buf value;
	bool found;
};

TASK_FN static int memcache_run_get(struct stream *s, void *arg)
{
	struct memcache_question *q = arg;
	struct bytes line = { NULL, 0 };
	size_t n = 0;

	stream_putf(s, "get %.*s\r\n", BYTES_ARG(q->key));
	int r = stream_flush(s);
	if (r == 0)
		r = stream_line(s, q->table->line_max, &line, NULL);
	if (r == -EMSGSIZE)
		q->base.why = "the reply is too long (line_size_limit)";
	if (r == 0)
		r = memcache_codec_reply(line, q->key, q->table->data_max, &n, &q->base.why);
	q->found = r == 1;
	if (r <= 0)
		return r;
	const struct bytes trailer = BYTES(MEMCACHE_TRAILER);
	buf_clear(&q->value);
	r = stream_read(s, buf_room(&q->value, n + trailer.n), n + trailer.n);
	if (r < 0)
		return r;
	buf_grown(&q->value, n);
	q->base.why = "the value has another length than was said";
	return bytes_eq(bytes_make(q->value.p + n, trailer.n), trailer) ? 0 : -EPROTO;
}

/* What the backup has, for those who ask next. */
TASK_FN static int memcache_run_set(struct stream *s, void *arg)
{
	struct memcache_question *q = arg;
	struct bytes line = { NULL, 0 };

	stream_putf(s, "set %.*s %d %d %zu\r\n", BYTES_ARG(q->key), q->table->flags, q->table->ttl, q->value.n);
	stream_put(s, buf_bytes(&q->value));
	stream_put(s, BYTES("\r\n"));
	int r = stream_flush(s);
	if (r == 0)
		r = stream_line(s, q->table->line_max, &line, NULL);
	q->base.why = "the value was not stored";
	return r < 0 ? r : bytes_eq(line, BYTES("STORED")) ? 0 : -EPROTO;
}

TASK_FN static int memcache_ask_backup(
    struct memcache_table *t, struct memcache_question *q, struct bytes key, struct buf *err)
{
	struct buf ignored = { 0 };

	buf_clear(&q->value);
	int r = table_get(t->backup, key, &q->value, err);
	if (r != 1)
		return r;
	q->base.run = memcache_run_set;
	/* That it cannot be kept does not make the answer worse. */
	int kept = q->value.n <= t->data_max ? table_server_ask(t->server, &q->base, &ignored) : 0;
	buf_fini(&ignored);
	return kept == -ECANCELED || kept == -ETIMEDOUT ? kept : r;
}

/* With a backup it is the one that knows: memcached's failure is no matter then. */
TASK_FN static int memcache_ask_both(
    struct memcache_table *t, struct memcache_question *q, struct bytes key, struct buf *ret, struct buf *err)
{
	size_t said = err->n;

	int r = table_server_ask(t->server, &q->base, err);
	if (r == 0)
		r = q->found;
	if (r != 1 && r != -ECANCELED && r != -ETIMEDOUT && t->backup) {
		err->n = said;
		r = memcache_ask_backup(t, q, key, err);
	}
	if (r == 1)
		buf_add(ret, bytes_first(buf_bytes(&q->value), strnlen(q->value.p ? q->value.p : "", q->value.n)));
	return r;
}

TASK_FN static int memcache_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct memcache_table *t = state;
	struct memcache_question q = { .base = { .run = memcache_run_get, .arg = &q }, .table = t };
	struct buf name = { 0 };

	int r = t->domains ? table_domains_admit(t->domains, key, err) : 1;
	if (r <= 0 || !table_query_fits(&t->query, key))
		return r < 0 ? r : 0;
	r = table_query_ask(t->key_format, key, NULL, &name);
	q.key = buf_bytes(&name);
	/* "name contains space": in Postfix, too, such a key is in no memcache. */
	if (r == 0 && memcache_codec_sane(q.key))
		r = memcache_ask_both(t, &q, key, ret, err);
	buf_fini(&name);
	buf_fini(&q.value);
	return r;
}

const struct table_ops table_memcache = { .type = "memcache",
	.fold_key = true,
	.names_file = true,
	.open = memcache_open,
	.close = memcache_close,
	.ask = memcache_ask };
