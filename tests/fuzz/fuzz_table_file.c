/* fuzz_table_file.c: table files of every kind: the first byte chooses it, the first line is the key, the rest the file. */
#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "tcp_table/table_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct table_file_kind *const kinds[] = { &texthash_kind, &cidr_kind, &pcre_kind, &regexp_kind };
	struct table_notes notes = { .file = "file" };
	struct buf value = { 0 }, err = { 0 };

	/* Long expressions are PCRE2's and glibc's affair. */
	if (size < 2 || size > 512)
		return 0;
	const struct table_file_kind *kind = kinds[data[0] % COUNT_OF(kinds)];
	struct bytes file = bytes_make(data + 1, size - 1), key = bytes_cut(&file, '\n');
	if (!file.p || key.n == 0 || bytes_find(key, '\0') >= 0)
		return 0;
	char *text = bytes_dup(file);
	void *content = kind->load(text, file.n, &notes);
	ASSERT(content);
	mem_free(text);
	int r = kind->get(content, key, &value, &err);
	ASSERT(r <= 1 && (r == 1 || value.n == 0) && (r < 0) == (err.n > 0));
	kind->unload(content);
	table_notes_fini(&notes);
	buf_fini(&value);
	buf_fini(&err);
	return 0;
}
