/* table_randmap.c: randmap:{value, value}: every key has one of these, chosen anew each time.  Braces within are part of the values, as in Postfix. */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_lines.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <stdlib.h>

struct randmap {
	char **values;
	unsigned count;
};

static void randmap_close(void *state)
{
	struct randmap *m = state;
	for (unsigned i = 0; i < m->count; i++)
		mem_free(m->values[i]);
	mem_free(m->values);
	mem_free(m);
}

static int randmap_parse(struct randmap *m, struct bytes list, struct buf *err)
{
	struct bytes item;

	while (table_item(&list, &item)) {
		m->values = mem_array(m->values, m->count + 1, sizeof *m->values);
		m->values[m->count++] = bytes_dup(item);
	}
	if (m->count == 0) {
		buf_add_str(err, "there is no value in it");
		return -EINVAL;
	}
	return 0;
}

static int randmap_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	spec = table_trim(spec);
	if (!table_braced(spec)) {
		buf_printf(err, "\"randmap:%.*s\": it needs the form randmap:{value, ...}", BYTES_ARG(spec));
		return -EINVAL;
	}
	struct randmap *m = NEW(struct randmap);
	int r = randmap_parse(m, table_unbraced(spec), err);
	if (r < 0)
		randmap_close(m);
	else
		*ret_state = m;
	return r;
}

static int randmap_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct randmap *m = state;
	(void)key;
	(void)err;
	buf_add_str(ret, m->values[arc4random_uniform(m->count)]);
	return 1;
}

const struct table_ops table_randmap = {
	.type = "randmap", .whole_key = true, .open = randmap_open, .close = randmap_close, .get = randmap_get
};
