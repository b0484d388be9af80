/*
 * table_members.c: opening and asking the tables that another is made of.
 */
#include "tcp_table/table_members.h"
#include "tcp_table/table_lines.h"

#include "lib/base/mem.h"

#include <errno.h>

static int members_add(struct table_members *m, struct bytes map, const struct table_options *o, struct buf *err)
{
	struct table *t;
	struct buf why = { 0 };
	char *name = bytes_dup(map);

	int r = table_open(o->kinds, map, o, name, &t, &why);
	if (r < 0)
		buf_printf(err, "%s: %s", name, buf_str(&why));
	mem_free(name);
	buf_fini(&why);
	if (r < 0)
		return r;
	m->tables = mem_array(m->tables, m->count + 1, sizeof *m->tables);
	m->tables[m->count++] = t;
	return 0;
}

static int members_add_all(struct table_members *m, struct bytes list, const struct table_options *o, struct buf *err)
{
	struct bytes map;

	while (table_item(&list, &map)) {
		int r = members_add(m, map, o, err);
		if (r < 0)
			return r;
	}
	if (m->count == 0) {
		buf_add_str(err, "there is no table in it");
		return -EINVAL;
	}
	return 0;
}

int table_members_open(const char *type, struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	spec = table_trim(spec);
	if (!table_braced(spec)) {
		buf_printf(err, "\"%s:%.*s\": it needs the form %s:{type:name, ...}", type, BYTES_ARG(spec), type);
		return -EINVAL;
	}
	struct table_members *m = NEW(struct table_members);
	int r = members_add_all(m, table_unbraced(spec), o, err);
	if (r < 0)
		table_members_close(m);
	else
		*ret_state = m;
	return r;
}

void table_members_close(void *state)
{
	struct table_members *m = state;
	for (unsigned i = 0; i < m->count; i++)
		table_close(&m->tables[i]);
	mem_free(m->tables);
	mem_free(m);
}

bool table_members_whole(const void *state)
{
	const struct table_members *m = state;
	return table_whole(m->tables[0]);
}

TASK_FN int table_members_get(const struct table_members *m, unsigned i, struct bytes key, struct buf *ret, struct buf *err)
{
	struct buf why = { 0 };
	int r = table_get(m->tables[i], key, ret, &why);
	if (r < 0)
		buf_printf(err, "%s: %s", table_name(m->tables[i]), buf_str(&why));
	buf_fini(&why);
	return r;
}
