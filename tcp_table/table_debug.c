/* table_debug.c: debug:type:name: the table type:name, with a line in the log for every key it is asked for. */
#include "tcp_table/table_kinds.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

struct debug_table {
	struct table *table;
};

static void debug_close(void *state)
{
	struct debug_table *d = state;
	table_close(&d->table);
	mem_free(d);
}

static int debug_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	struct debug_table *d = NEW(struct debug_table);
	char *name = bytes_dup(spec);

	int r = table_open(o->kinds, spec, o, name, &d->table, err);
	mem_free(name);
	if (r < 0)
		debug_close(d);
	else
		*ret_state = d;
	return r;
}

TASK_FN static int debug_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct debug_table *d = state;
	size_t before = ret->n;

	int r = table_get(d->table, key, ret, err);
	if (r < 0)
		log_info("table", "%s: \"%.*s\": cannot tell: %s", table_name(d->table), BYTES_ARG(key), buf_str(err));
	else if (r == 0)
		log_info("table", "%s: \"%.*s\": not found", table_name(d->table), BYTES_ARG(key));
	else
		log_info("table", "%s: \"%.*s\" = \"%.*s\"", table_name(d->table), BYTES_ARG(key), BYTES_ARG(bytes_skip(buf_bytes(ret), before)));
	return r;
}

static bool debug_whole(const void *state)
{
	const struct debug_table *d = state;
	return table_whole(d->table);
}

const struct table_ops table_debug = {
	.type = "debug", .open = debug_open, .close = debug_close, .ask = debug_ask, .is_whole = debug_whole
};
