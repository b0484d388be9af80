/* fuzz_bdat.c: the argument of BDAT, and text content cut anywhere: the result must not depend on the cuts. */
#include "smtpd/bdat_codec.h"

#include "lib/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes all = bytes_make(data, n), line = bytes_cut(&all, '\n');
	struct bdat_chunk chunk = { 0 };
	if (bdat_parse(line, &chunk) < 0)
		chunk.size = n;

	struct bdat_text whole = { 0 }, cut = { 0 };
	struct buf a = { 0 }, b = { 0 };
	bdat_text_add(&whole, all, &a);
	bdat_text_end(&whole, &a);
	ASSERT(a.n <= 2 * all.n + 1);
	size_t step = chunk.size % 7 + 1;
	for (struct bytes rest = all; rest.n; rest = bytes_skip(rest, rest.n < step ? rest.n : step))
		bdat_text_add(&cut, bytes_first(rest, step), &b);
	bdat_text_end(&cut, &b);
	ASSERT(bytes_eq(buf_bytes(&a), buf_bytes(&b)) && whole.bare_cr == cut.bare_cr);
	for (size_t i = 0; i < a.n; i++)
		ASSERT(a.p[i] == '\n' ? i && a.p[i - 1] == '\r' : a.p[i] != '\r' || (i + 1 < a.n && a.p[i + 1] == '\n'));
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
