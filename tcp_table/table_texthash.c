/*
 * table_texthash.c: texthash:/file, the source of a hash: table, read as it is.
 *
 *	key white-space value
 *
 * The first of two entries with one key counts, and the second is complained of.  Keys are compared in lower case.
 */
#include "tcp_table/table_file.h"
#include "tcp_table/table_kinds.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"

struct texthash {
	struct strmap entries;          /* of C strings in the arena */
	struct arena arena;
};

static void texthash_lower(struct bytes from, struct buf *to)
{
	buf_clear(to);
	for (size_t i = 0; i < from.n; i++)
		buf_add_char(to, from.p[i] >= 'A' && from.p[i] <= 'Z' ? (char)(from.p[i] | 0x20) : from.p[i]);
}

static void texthash_entry(struct texthash *t, struct bytes line, unsigned number, struct buf *folded, struct table_notes *notes)
{
	struct bytes value = line, key = table_word(&value);

	if (value.n == 0) {
		table_note(notes, number, "a key without a value is ignored: \"%.*s\"", BYTES_ARG(key));
		return;
	}
	if (bytes_ends(key, BYTES(":")))
		table_note(notes, number, "\"%.*s\" looks like the \"key: value\" of an alias file", BYTES_ARG(key));
	texthash_lower(key, folded);
	if (strmap_get(&t->entries, buf_bytes(folded)))
		table_note(notes, number, "\"%.*s\" again: the first entry counts", BYTES_ARG(key));
	else
		strmap_set(&t->entries, buf_bytes(folded), arena_str(&t->arena, value));
}

static void *texthash_load(char *text, size_t n, struct table_notes *notes)
{
	struct texthash *t = NEW(struct texthash);
	struct table_lines lines;
	struct buf folded = { 0 };
	struct bytes line;

	table_lines_init(&lines, bytes_make(text, n));
	while (table_lines_next(&lines, &line)) {
		if (lines.orphan)
			table_note(notes, lines.line, "a line that begins with white space continues nothing and is ignored");
		else if (bytes_find(line, '\0') >= 0 || !bytes_utf8(line))
			table_note(notes, lines.line, "a line that is not UTF-8 is ignored");
		else
			texthash_entry(t, line, lines.line, &folded, notes);
	}
	buf_fini(&folded);
	table_lines_fini(&lines);
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
