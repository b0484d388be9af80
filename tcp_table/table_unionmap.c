/* table_unionmap.c: unionmap:{type:a, type:b}: all that the tables have, in their order, with commas between.  Values that are empty do not count. */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_members.h"

static int unionmap_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return table_members_open("unionmap", spec, o, ret_state, err);
}

TASK_FN static int unionmap_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct table_members *m = state;
	struct buf all = { 0 }, one = { 0 };
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < m->count; i++) {
		buf_clear(&one);
		r = table_members_get(m, i, key, &one, err);
		if (r == 1 && all.n && one.n)
			buf_add_char(&all, ',');
		if (r == 1)
			buf_add(&all, buf_bytes(&one));
	}
	/* A part of the values is no answer. */
	if (r >= 0)
		buf_add(ret, buf_bytes(&all));
	r = r < 0 ? r : all.n > 0;
	buf_fini(&all);
	buf_fini(&one);
	return r;
}

const struct table_ops table_unionmap = {
	.type = "unionmap", .open = unionmap_open, .close = table_members_close, .ask = unionmap_ask, .is_whole = table_members_whole
};
