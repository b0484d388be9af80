/*
 * fuzz_smtp_data.c: decoding does not depend on how the bytes are cut; only CR LF "." CR LF ends; what is encoded decodes to
 * itself.  The first byte seeds the cuts.
 */
#include "lib/smtp/data.h"

#include "lib/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t decode_cut(struct bytes in, enum smtp_bare mode, unsigned seed, struct smtp_data_decoder *d, struct buf *out)
{
	size_t all = in.n;

	smtp_data_decoder_init(d, mode);
	while (in.n && !d->done) {
		seed = seed * 1103515245 + 12345;
		struct bytes piece = bytes_first(in, 1 + (seed >> 16) % 7);
		size_t given = piece.n;
		smtp_data_decode(d, &piece, out);
		in = bytes_skip(in, given - piece.n);
	}
	return all - in.n;
}

static void check_decode(struct bytes in, enum smtp_bare mode, unsigned seed)
{
	struct smtp_data_decoder one, cut;
	struct buf a = { 0 }, b = { 0 };
	struct bytes rest = in;

	smtp_data_decoder_init(&one, mode);
	smtp_data_decode(&one, &rest, &a);
	size_t eaten = decode_cut(in, mode, seed, &cut, &b);
	ASSERT(eaten == in.n - rest.n && one.done == cut.done && bytes_eq(buf_bytes(&a), buf_bytes(&b)));
	ASSERT(one.bare_cr == cut.bare_cr && one.bare_lf == cut.bare_lf && one.nul == cut.nul);
	ASSERT(a.n <= (mode == SMTP_BARE_NORMALIZE ? 2 * in.n : in.n) + 2);

	ptrdiff_t end = bytes_starts(in, BYTES(".\r\n")) ? 0 : bytes_search(in, BYTES("\r\n.\r\n"));
	ASSERT(one.done == (end >= 0));
	if (one.done)
		ASSERT(eaten == (size_t)end + (bytes_starts(in, BYTES(".\r\n")) ? 3 : 5));
	/* Normalised data has no bare CR or LF left to smuggle with. */
	for (size_t i = 0; mode == SMTP_BARE_NORMALIZE && i < a.n; i++) {
		ASSERT(a.p[i] != '\n' || (i && a.p[i - 1] == '\r'));
		ASSERT(a.p[i] != '\r' || (i + 1 < a.n && a.p[i + 1] == '\n'));
	}
	buf_fini(&a);
	buf_fini(&b);
}

static void check_encode(struct bytes in, unsigned seed)
{
	struct smtp_data_encoder e;
	struct smtp_data_decoder d;
	struct buf wire = { 0 }, back = { 0 };
	struct bytes rest = in;

	smtp_data_encoder_init(&e);
	while (rest.n) {
		seed = seed * 1103515245 + 12345;
		struct bytes piece = bytes_first(rest, 1 + (seed >> 16) % 5);
		smtp_data_encode(&e, piece, &wire);
		rest = bytes_skip(rest, piece.n);
	}
	smtp_data_encode_end(&e, &wire);
	rest = buf_bytes(&wire);
	smtp_data_decoder_init(&d, SMTP_BARE_REJECT);
	smtp_data_decode(&d, &rest, &back);
	ASSERT(d.done && rest.n == 0);
	if (in.n && !bytes_ends(in, BYTES("\r\n"))) {
		ASSERT(bytes_ends(buf_bytes(&back), BYTES("\r\n")));
		back.n -= 2;
	}
	ASSERT(bytes_eq(buf_bytes(&back), in));
	buf_fini(&wire);
	buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct bytes in = { (const char *)data + 1, size - 1 };
	check_decode(in, SMTP_BARE_REJECT, data[0]);
	check_decode(in, SMTP_BARE_NORMALIZE, data[0]);
	check_encode(in, data[0]);
	return 0;
}
