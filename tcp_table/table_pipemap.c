/* table_pipemap.c: pipemap:{type:a, type:b}: what one table has is the key for the next; what the last has is the value. */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_members.h"

static int pipemap_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return table_members_open("pipemap", spec, o, ret_state, err);
}

TASK_FN static int pipemap_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct table_members *m = state;
	struct buf from = { 0 }, to = { 0 };
	int r = 1;

	buf_add(&from, key);
	for (unsigned i = 0; r == 1 && i < m->count; i++) {
		buf_clear(&to);
		r = table_members_get(m, i, buf_bytes(&from), &to, err);
		struct buf swap = from;
		from = to;
		to = swap;
	}
	if (r == 1)
		buf_add(ret, buf_bytes(&from));
	buf_fini(&from);
	buf_fini(&to);
	return r;
}

const struct table_ops table_pipemap = {
	.type = "pipemap", .open = pipemap_open, .close = table_members_close, .ask = pipemap_ask, .is_whole = table_members_whole
};
