/* test_smtp_data.c: where DATA ends, and where it must not seem to. */
#include "lib/smtp/data.h"

#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { LF = 1, CR = 2, NUL = 4 };

struct data_case {
	struct bytes in, reject, normal;        /* what comes out in either mode */
	bool done;
	size_t left;                            /* bytes behind the end */
	unsigned seen;
};
#define B(literal) { literal, sizeof(literal) - 1 }

static const struct data_case cases[] = {
	{ B(".\r\n"), B(""), B(""), true, 0, 0 },
	{ B(".\r\nQUIT\r\n"), B(""), B(""), true, 6, 0 },
	{ B("a\r\n.\r\nb"), B("a\r\n"), B("a\r\n"), true, 1, 0 },
	{ B("a\r\n..\r\n.\r\n"), B("a\r\n.\r\n"), B("a\r\n.\r\n"), true, 0, 0 },
	{ B("..a\r\n...\r\n.b\r\n.\r\n"), B(".a\r\n..\r\nb\r\n"), B(".a\r\n..\r\nb\r\n"), true, 0, 0 },
	{ B("\r\n\r\n.\r\n"), B("\r\n\r\n"), B("\r\n\r\n"), true, 0, 0 },
	{ B("a.\r\n b. .c\r\n"), B("a.\r\n b. .c\r\n"), B("a.\r\n b. .c\r\n"), false, 0, 0 },
	{ B("a\0b\r\n.\r\n"), B("a\0b\r\n"), B("a\0b\r\n"), true, 0, NUL },
	{ B("\0"), B("\0"), B("\0"), false, 0, NUL },
	{ B(".\0\r\n"), B("\0\r\n"), B("\0\r\n"), false, 0, NUL },
	/* Smuggling: each of these ended DATA on some server. */
	{ B("a\n.\nb"), B("a\n.\nb"), B("a\r\n\r\nb"), false, 0, LF },
	{ B("a\r\n.\nb"), B("a\r\n\nb"), B("a\r\n\r\nb"), false, 0, LF },
	{ B("a\n.\r\nb"), B("a\n.\r\nb"), B("a\r\n\r\nb"), false, 0, LF },
	{ B("a\r.\rb"), B("a\r.\rb"), B("a . b"), false, 0, CR },
	{ B("a\r\n.\r\r\nb"), B("a\r\n\r\r\nb"), B("a\r\n \r\nb"), false, 0, CR },
	{ B("a\r\n.\rb"), B("a\r\n\rb"), B("a\r\n b"), false, 0, CR },
	{ B("a\r.\r\nb"), B("a\r.\r\nb"), B("a .\r\nb"), false, 0, CR },
	{ B("a\r\r\n.\r\nb"), B("a\r\r\n"), B("a \r\n"), true, 1, CR },
	{ B("a\r\n\x2e\x00\r\nb"), B("a\r\n\x00\r\nb"), B("a\r\n\x00\r\nb"), false, 0, NUL },
	{ B("a\n\n.\n.\r\n.\r\n"), B("a\n\n.\n.\r\n"), B("a\r\n\r\n\r\n\r\n"), true, 0, LF },
	{ B(".\n.\n"), B("\n.\n"), B("\r\n\r\n"), false, 0, LF },
	{ B("\n.\r\n.\r\n"), B("\n.\r\n"), B("\r\n\r\n"), true, 0, LF },
	{ B(".\r.\r\n"), B("\r.\r\n"), B(" .\r\n"), false, 0, CR },
	{ B("\r\r\r\n"), B("\r\r\r\n"), B("  \r\n"), false, 0, CR },
	{ B("\r\r.\r\n"), B("\r\r.\r\n"), B("  .\r\n"), false, 0, CR },
	{ B("a\n..b\r\n"), B("a\n..b\r\n"), B("a\r\n.b\r\n"), false, 0, LF },
};

static void feed(struct smtp_data_decoder *d, struct bytes *in, size_t most, struct buf *out)
{
	struct bytes piece = bytes_first(*in, most);
	size_t given = piece.n;
	/* A copy of its own, so that ASAN sees any step over its end. */
	char *exact = mem_alloc(piece.n);
	memcpy(exact, piece.p, piece.n);
	piece.p = exact;
	smtp_data_decode(d, &piece, out);
	assert_true(piece.n == 0 || d->done);
	*in = bytes_skip(*in, given - piece.n);
	mem_free(exact);
}

static void check(const struct data_case *c, enum smtp_bare mode, struct smtp_data_decoder *d, struct bytes left, struct buf *out)
{
	struct bytes want = mode == SMTP_BARE_REJECT ? c->reject : c->normal;

	if (!bytes_eq(buf_bytes(out), want) || d->done != c->done || left.n != c->left)
		fail_msg("case %zu mode %d: got \"%.*s\" done %d left %zu", (size_t)(c - cases), (int)mode, BYTES_ARG(*out), d->done, left.n);
	assert_int_equal(d->bare_lf, (c->seen & LF) != 0);
	assert_int_equal(d->bare_cr, (c->seen & CR) != 0);
	assert_int_equal(d->nul, (c->seen & NUL) != 0);
}

/* Cut in three at every pair of places. */
static void test_every_split(void **state)
{
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct data_case *c = &cases[i];
		for (int mode = 0; mode < 2; mode++) {
			for (size_t a = 0; a <= c->in.n; a++) {
				for (size_t b = 0; a + b <= c->in.n; b++) {
					struct smtp_data_decoder d;
					struct bytes in = c->in;
					smtp_data_decoder_init(&d, (enum smtp_bare)mode);
					buf_clear(&out);
					if (a)
						feed(&d, &in, a, &out);
					if (b && !d.done)
						feed(&d, &in, b, &out);
					if (!d.done)
						feed(&d, &in, in.n, &out);
					check(c, (enum smtp_bare)mode, &d, in, &out);
				}
			}
		}
	}
	buf_fini(&out);
}

static void test_byte_by_byte(void **state)
{
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (int mode = 0; mode < 2; mode++) {
			struct smtp_data_decoder d;
			struct bytes in = cases[i].in;
			smtp_data_decoder_init(&d, (enum smtp_bare)mode);
			buf_clear(&out);
			while (in.n && !d.done)
				feed(&d, &in, 1, &out);
			check(&cases[i], (enum smtp_bare)mode, &d, in, &out);
		}
	}
	buf_fini(&out);
}

static void encode(struct bytes in, size_t split, struct buf *out)
{
	struct smtp_data_encoder e;

	smtp_data_encoder_init(&e);
	buf_clear(out);
	smtp_data_encode(&e, bytes_first(in, split), out);
	smtp_data_encode(&e, bytes_skip(in, split), out);
	smtp_data_encode_end(&e, out);
}

static void test_encode(void **state)
{
	static const struct {
		struct bytes in, out;
	} table[] = {
		{ B(""), B(".\r\n") },
		{ B("a"), B("a\r\n.\r\n") },
		{ B("a\r\n"), B("a\r\n.\r\n") },
		{ B("."), B("..\r\n.\r\n") },
		{ B(".\r\n"), B("..\r\n.\r\n") },
		{ B("a\r\n.\r\n..b\r\n.c\r\n"), B("a\r\n..\r\n...b\r\n..c\r\n.\r\n") },
		{ B("a.b\r\n\r\n.\r\n"), B("a.b\r\n\r\n..\r\n.\r\n") },
		{ B("a\r"), B("a\r\r\n.\r\n") },
		{ B("a\n.\r\n"), B("a\n.\r\n.\r\n") },
		{ B("a\r.\r\n"), B("a\r.\r\n.\r\n") },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		for (size_t split = 0; split <= table[i].in.n; split++) {
			encode(table[i].in, split, &out);
			if (!bytes_eq(buf_bytes(&out), table[i].out))
				fail_msg("case %zu split %zu: %.*s", i, split, BYTES_ARG(out));
		}
	}
	buf_fini(&out);
}

/* Random lines: what was stuffed comes back. */
static void test_round_trip(void **state)
{
	static const char alphabet[] = "a..\r\n\n\r ";
	struct buf in = { 0 }, wire = { 0 }, back = { 0 };

	(void)state;
	srand(2);
	for (int round = 0; round < 3000; round++) {
		buf_clear(&in);
		for (int n = rand() % 24; n > 0; n--)
			buf_add_char(&in, alphabet[rand() % (int)(sizeof alphabet - 1)]);
		buf_add_str(&in, "\r\n");
		encode(buf_bytes(&in), (size_t)rand() % in.n, &wire);
		struct smtp_data_decoder d;
		struct bytes rest = buf_bytes(&wire);
		smtp_data_decoder_init(&d, SMTP_BARE_REJECT);
		buf_clear(&back);
		smtp_data_decode(&d, &rest, &back);
		assert_true(d.done && rest.n == 0);
		assert_true(bytes_eq(buf_bytes(&in), buf_bytes(&back)));
	}
	buf_fini(&in);
	buf_fini(&wire);
	buf_fini(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
