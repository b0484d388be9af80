/*
 * table_texthash.c: texthash:/file, the source of a hash: table, read as it is.
 *
 *	key white-space value
 *
 * The first of two entries with one key counts, and the second is complained of.  Keys are compared in lower case, unless it is wanted otherwise.
 */
#include "tcp_table/table_file.h"
#include "tcp_table/table_fold.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_source.h"

#include "lib/base/mem.h"
#include "tcp_table/table_pool.h"

struct texthash {
	struct table_pool entries;      /* keys, with the value right behind each */
};

static void *texthash_read(char *text, size_t n, bool fold, struct table_notes *notes)
{
	struct texthash *t = NEW(struct texthash);
	struct table_source source;
	struct buf folded = { 0 };
	struct bytes key, value;

	table_source_init(&source, bytes_make(text, n), false, notes);
	while (table_source_next(&source, &key, &value)) {
		buf_clear(&folded);
		if (fold)
			table_fold(key, &folded);
		else
			buf_add(&folded, key);
		if (table_pool_find(&t->entries, buf_bytes(&folded))) {
			table_note(notes, source.lines.line, "\"%.*s\" again: the first entry counts", BYTES_ARG(key));
			continue;
		}
		table_pool_add(&t->entries, buf_bytes(&folded));
		table_pool_append(&t->entries, value);
	}
	buf_fini(&folded);
	table_source_fini(&source);
	table_pool_trim(&t->entries);
	return t;
}

static void *texthash_load(char *text, size_t n, struct table_notes *notes)
{
	return texthash_read(text, n, true, notes);
}

static void *texthash_load_exact(char *text, size_t n, struct table_notes *notes)
{
	return texthash_read(text, n, false, notes);
}

static void texthash_unload(void *content)
{
	struct texthash *t = content;
	table_pool_fini(&t->entries);
	mem_free(t);
}

static const char *texthash_behind(const char *s)
{
	return s + strlen(s) + 1;
}

static int texthash_get(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct texthash *t = content;
	uint32_t at = table_pool_find(&t->entries, key);

	(void)err;
	if (!at)
		return 0;
	buf_add_str(ret, texthash_behind(table_pool_str(&t->entries, at)));
	return 1;
}

static int texthash_each(const void *content, table_entry_fn *fn, void *arg)
{
	const struct texthash *t = content;
	int r = 0;

	if (t->entries.count == 0)
		return 0;
	const char *key = table_pool_str(&t->entries, 1), *end = t->entries.text.p + t->entries.text.n;
	while (r == 0 && key < end) {
		const char *value = texthash_behind(key);
		r = fn(arg, bytes_of(key), bytes_of(value));
		key = texthash_behind(value);
	}
	return r;
}

const struct table_file_kind texthash_kind = {
	.type = "texthash", .load = texthash_load, .unload = texthash_unload, .get = texthash_get, .each = texthash_each
};

static const struct table_file_kind texthash_exact_kind = {
	.type = "texthash", .load = texthash_load_exact, .unload = texthash_unload, .get = texthash_get, .each = texthash_each
};

static int texthash_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	return table_file_open(o->keep_case ? &texthash_exact_kind : &texthash_kind, spec, ret_state, err);
}

const struct table_ops table_texthash = {
	.type = "texthash", .names_file = true, .fold_key = true, .open = texthash_open, .close = table_file_close, .ask = table_file_ask,
	.each = table_file_each
};
