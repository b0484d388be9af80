/*
 * table_texthash.c: texthash:/file, the source of a hash: table, read as it is.
 *
 *	key white-space value
 *
 * The first of two entries with one key counts, and the second is complained of.  Keys are compared in lower case.
 */
#include "tcp_table/table_file.h"
#include "tcp_table/table_fold.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_source.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"

struct texthash {
	struct strmap entries;          /* of C strings in the arena */
	struct arena arena;
};

static void *texthash_load(char *text, size_t n, struct table_notes *notes)
{
	struct texthash *t = NEW(struct texthash);
	struct table_source source;
	struct buf folded = { 0 };
	struct bytes key, value;

	table_source_init(&source, bytes_make(text, n), false, notes);
	while (table_source_next(&source, &key, &value)) {
		buf_clear(&folded);
		table_fold(key, &folded);
		if (strmap_get(&t->entries, buf_bytes(&folded)))
			table_note(notes, source.lines.line, "\"%.*s\" again: the first entry counts", BYTES_ARG(key));
		else
			strmap_set(&t->entries, buf_bytes(&folded), arena_str(&t->arena, value));
	}
	buf_fini(&folded);
	table_source_fini(&source);
	return t;
}

static void texthash_unload(void *content)
{
	struct texthash *t = content;
	strmap_fini(&t->entries);
	arena_fini(&t->arena);
	mem_free(t);
}

static int texthash_get(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct texthash *t = content;
	const char *value = strmap_get(&t->entries, key);

	(void)err;
	if (!value)
		return 0;
	buf_add_str(ret, value);
	return 1;
}

static int texthash_each(const void *content, table_entry_fn *fn, void *arg)
{
	const struct texthash *t = content;
	return table_each_string(&t->entries, fn, arg);
}

const struct table_file_kind texthash_kind = {
	.type = "texthash", .load = texthash_load, .unload = texthash_unload, .get = texthash_get, .each = texthash_each
};

static int texthash_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_file_open(&texthash_kind, spec, ret_state, err);
}

const struct table_ops table_texthash = {
	.type = "texthash", .names_file = true, .fold_key = true, .open = texthash_open, .close = table_file_close, .ask = table_file_ask,
	.each = table_file_each
};
