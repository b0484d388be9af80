/* fuzz_table_source.c: what postmap and postalias read; the first byte says which of the two. */
#include "lib/base/assert.h"
#include "tcp_table/table_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct table_notes notes = { .file = "file" };
	struct table_source source;
	struct bytes key, value;
	unsigned line = 0;

	if (size < 1)
		return 0;
	bool aliases = data[0] & 1;
	table_source_init(&source, bytes_make(data + 1, size - 1), aliases, &notes);
	while (table_source_next(&source, &key, &value)) {
		ASSERT(source.lines.line > line);
		line = source.lines.line;
		ASSERT(aliases || (key.n && value.n));
		ASSERT(bytes_find(key, '\0') < 0 && bytes_find(value, '\0') < 0);
	}
	table_source_fini(&source);
	table_notes_fini(&notes);
	return 0;
}
