/*
 * table_inline.c: inline:{key=value, {key = value with, blanks}}: a table in its own name.
 *
 * Entries are divided by commas and white space; one in braces may hold both.  Where no entry has a '=' it is a plain list: inline:{example.org,
 * example.net}.  Postfix would not take that.  The last of two entries with one key counts.
 */
#include "tcp_table/table_fold.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_lines.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"

#include <errno.h>

struct inline_table {
	struct strmap entries;          /* of C strings in the arena; keys in lower case, mostly */
	struct arena arena;
	unsigned pairs, words;          /* entries with '=', without */
	bool keep_case;                 /* of keys */
};

static void inline_set(struct inline_table *t, struct bytes key, struct bytes value)
{
	struct buf folded = { 0 };
	if (t->keep_case)
		buf_add(&folded, key);
	else
		table_fold(key, &folded);
	strmap_set(&t->entries, buf_bytes(&folded), arena_str(&t->arena, value));
	buf_fini(&folded);
}

static int inline_entry(struct inline_table *t, struct bytes entry, struct buf *err)
{
	struct bytes whole = entry;
	if (table_braced(entry))
		entry = table_unbraced(entry);
	struct bytes value = entry, key = table_trim(bytes_cut(&value, '='));
	if ((key.n == 0 && !value.p) || bytes_find(entry, '\0') >= 0) {
		buf_printf(err, "\"%.*s\" has no key", BYTES_ARG(whole));
		return -EINVAL;
	}
	*(value.p ? &t->pairs : &t->words) += 1;
	if (t->pairs && t->words) {
		buf_printf(err, "\"%.*s\" %s '=', unlike what stands before it", BYTES_ARG(whole), value.p ? "has a" : "has no");
		return -EINVAL;
	}
	inline_set(t, key, value.p ? table_trim(value) : BYTES(""));
	return 0;
}

static int inline_parse(struct inline_table *t, struct bytes text, struct buf *err)
{
	struct bytes item;

	while (table_item(&text, &item)) {
		int r = inline_entry(t, item, err);
		if (r < 0)
			return r;
	}
	if (t->pairs + t->words == 0) {
		buf_add_str(err, "the table is empty");
		return -EINVAL;
	}
	return 0;
}

static void inline_close(void *state)
{
	struct inline_table *t = state;
	strmap_fini(&t->entries);
	arena_fini(&t->arena);
	mem_free(t);
}

static int inline_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	spec = table_trim(spec);
	if (!table_braced(spec)) {
		buf_printf(err, "\"inline:%.*s\": it needs the form inline:{key=value, ...}", BYTES_ARG(spec));
		return -EINVAL;
	}
	struct inline_table *t = NEW(struct inline_table);
	t->keep_case = o->keep_case;
	int r = inline_parse(t, table_unbraced(spec), err);
	if (r < 0)
		inline_close(t);
	else
		*ret_state = t;
	return r;
}

static int inline_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct inline_table *t = state;
	const char *value = strmap_get(&t->entries, key);

	(void)err;
	if (!value)
		return 0;
	buf_add_str(ret, value);
	return 1;
}

static int inline_each(void *state, table_entry_fn *fn, void *arg, struct buf *err)
{
	const struct inline_table *t = state;

	(void)err;
	return table_each_string(&t->entries, fn, arg);
}

const struct table_ops table_inline = {
	.type = "inline", .fold_key = true, .open = inline_open, .close = inline_close, .get = inline_get, .each = inline_each
};
