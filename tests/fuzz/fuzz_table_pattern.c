/* fuzz_table_pattern.c: pcre and regexp files, with what is plain to see of their expressions and without: the same answers.  The first byte chooses the kind,
 * the first line is the key (NUL in it: a newline), the rest the file. */
#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "tcp_table/table_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int get_fn(const void *content, struct bytes key, struct buf *ret, struct buf *err);

static int ask(get_fn *get, const struct pattern_engine *engine, struct bytes file, struct bytes key, struct buf *ret)
{
	struct table_notes notes = { .file = "file" };
	struct buf err = { 0 };
	char *text = bytes_dup(file);
	void *content = pattern_load(engine, text, file.n, &notes);
	int r = get(content, key, ret, &err);
	ASSERT(r <= 1 && (r == 1 || ret->n == 0));
	pattern_unload(content);
	mem_free(text);
	table_notes_fini(&notes);
	buf_fini(&err);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf value = { 0 }, at_once = { 0 }, bare = { 0 };

	/* Long expressions are PCRE2's and glibc's affair. */
	if (size < 2 || size > 256)
		return 0;
	const struct pattern_engine *engine = data[0] & 1 ? &regexp_engine : &pcre_engine;
	struct pattern_engine without = *engine;
	struct bytes file = bytes_make(data + 1, size - 1), first = bytes_cut(&file, '\n');
	if (!file.p || first.n == 0)
		return 0;
	char *key = bytes_dup(first);
	for (size_t i = 0; i < first.n; i++)
		key[i] = key[i] ? key[i] : '\n';
	without.shape = NULL;
	without.needs = NULL;
	int r = ask(pattern_get, engine, file, bytes_make(key, first.n), &value);
	int quick = ask(pattern_get_at_once, engine, file, bytes_make(key, first.n), &at_once);
	int plain = ask(pattern_get, &without, file, bytes_make(key, first.n), &bare);
	/* A rule that could not be told of may not have come into question. */
	ASSERT(plain < 0 || (r == plain && bytes_eq(buf_bytes(&value), buf_bytes(&bare))));
	ASSERT(quick < 0 || plain < 0 || (quick == plain && bytes_eq(buf_bytes(&at_once), buf_bytes(&bare))));
	mem_free(key);
	buf_fini(&value);
	buf_fini(&at_once);
	buf_fini(&bare);
	return 0;
}
