/*
 * test_sieve_header.c: encoded words (RFC 2047) and the addresses of header fields (RFC 5322).
 */
#include "sieve/sieve_private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "lib/base/mem.h"

/* ---- encoded words ---- */

static const struct {
	const char *text, *decoded;
} words[] = {
	{ "plain", "plain" },
	{ "", "" },
	{ "=?utf-8?q?=C3=A4?=", "\xc3\xa4" },
	{ "=?UTF-8?Q?a_b=5F=3f?=", "a b_?" },
	{ "=?utf-8?b?w6TDtsO8?=", "\xc3\xa4\xc3\xb6\xc3\xbc" },
	{ "=?iso-8859-1?q?=e4?=", "\xc3\xa4" },
	{ "=?US-ASCII*en?Q?Keith?= Moore", "Keith Moore" },
	{ "=?windows-1252?q?=80?=", "\xe2\x82\xac" },
	{ "=?koi8-r?b?8NLJ18XU?=", "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82" },
	{ "=?iso-2022-jp?b?GyRCJDMbKEI=?=", "\xe3\x81\x93" },
	/* RFC 2047 section 8: blanks between words vanish, those beside other text do not. */
	{ "(=?ISO-8859-1?Q?a?=)", "(a)" },
	{ "=?ISO-8859-1?Q?a?= b", "a b" },
	{ "=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a?=x=?ISO-8859-1?Q?b?=", "axb" },
	{ "=?ISO-8859-1?Q?a?= =?bogus?Q?b?= =?ISO-8859-1?Q?c?=", "a =?bogus?Q?b?= c" },
	{ "=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b" },
	/* what is no encoded word stays */
	{ "=?", "=?" },
	{ "=?utf-8?q?x", "=?utf-8?q?x" },
	{ "=?utf-8?x?abc?=", "=?utf-8?x?abc?=" },
	{ "=??q?abc?=", "=??q?abc?=" },
	{ "=?utf 8?q?abc?=", "=?utf 8?q?abc?=" },
	{ "=?utf-8?q?=4?=", "=4" },
	{ "=?utf-8?q?=zz=?=", "=zz=" },
	{ "=?utf-8?q?two words?=", "two words" },
	{ "=?no/such?q?abc?=", "=?no/such?q?abc?=" },
	{ "=?iso-2022-jp?b?GyRC/w==?=", "=?iso-2022-jp?b?GyRC/w==?=" },
};

static void test_decode(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(words); i++) {
		struct buf out = { 0 };
		assert_int_equal(sieve_words_decode(bytes_of(words[i].text), true, &out), 0);
		assert_string_equal(buf_str(&out), words[i].decoded);
		buf_fini(&out);
	}
}

/* Only character sets of our own are decoded without asking iconv(3), and then nothing is half done. */
static void test_decode_unblocked(void **state)
{
	(void)state;
	struct buf out = { 0 };
	buf_add_str(&out, "kept ");
	assert_int_equal(sieve_words_decode(BYTES("=?utf-8?q?a?= =?koi8-r?q?a?="), false, &out), -EAGAIN);
	assert_string_equal(buf_str(&out), "kept ");
	assert_int_equal(sieve_words_decode(BYTES("=?utf-8?q?a?= =?ISO-8859-1?q?b?="), false, &out), 0);
	assert_string_equal(buf_str(&out), "kept ab");
	buf_fini(&out);
}

static void test_encode(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"plain", "", "two  blanks", "Gr\xc3\xbc\xc3\x9f" "e", "a Gr\xc3\xbc\xc3\x9f" "e aus K\xc3\xb6ln b",
		"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
		"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac!",
	};
	for (unsigned i = 0; i < COUNT_OF(texts); i++) {
		struct buf out = { 0 }, unfolded = { 0 }, back = { 0 };
		sieve_words_encode(bytes_of(texts[i]), 10, &out);
		size_t line = 10;
		for (size_t k = 0; k < out.n; k++) {
			assert_true((unsigned char)out.p[k] < 0x80);
			line = out.p[k] == '\n' ? 0 : line + 1;
			assert_true(line <= 78);
			if (out.p[k] != '\n')
				buf_add_char(&unfolded, out.p[k]);
		}
		assert_int_equal(sieve_words_decode(buf_bytes(&unfolded), false, &back), 0);
		assert_string_equal(buf_str(&back), texts[i]);
		buf_fini(&out);
		buf_fini(&unfolded);
		buf_fini(&back);
	}
}

/* ---- addresses: each as [local|domain|all] ---- */

static const struct {
	const char *field, *boxes;
} lists[] = {
	{ "a@b.example", "[a|b.example|a@b.example]" },
	{ "A <a@b.example>, c@d.example", "[a|b.example|a@b.example][c|d.example|c@d.example]" },
	{ "\"Last, First\" <a@b.example>", "[a|b.example|a@b.example]" },
	{ "First (the, second) Last <a@b.example> (done)", "[a|b.example|a@b.example]" },
	{ "a@b.example (comment (nested) \\) more)", "[a|b.example|a@b.example]" },
	{ "list: a@b.example, C <c@d.example>; , e@f.example", "[a|b.example|a@b.example][c|d.example|c@d.example][e|f.example|e@f.example]" },
	{ "undisclosed-recipients:;", "" },
	{ "\"odd local\"@b.example", "[odd local|b.example|\"odd local\"@b.example]" },
	{ "\"plain\"@b.example", "[plain|b.example|plain@b.example]" },
	{ "\"a@b\"@c.example", "[a@b|c.example|\"a@b\"@c.example]" },
	{ "\"q\\\"\\\\\"@c.example", "[q\"\\|c.example|\"q\\\"\\\\\"@c.example]" },
	{ "a . b @ c . example", "[a.b|c.example|a.b@c.example]" },
	{ "<@relay.example,@other.example:a@b.example>", "[a|b.example|a@b.example]" },
	{ "a@[192.0.2.1]", "[a|[192.0.2.1]|a@[192.0.2.1]]" },
	{ "a@[IPv6:2001:db8::1], c@d.example", "[a|[IPv6:2001:db8::1]|a@[IPv6:2001:db8::1]][c|d.example|c@d.example]" },
	{ "x\r\n <a@b.example>,\r\n\tc@d.example", "[a|b.example|a@b.example][c|d.example|c@d.example]" },
	{ "gr\xc3\xbc" "ezi@b.example", "[gr\xc3\xbc" "ezi|b.example|gr\xc3\xbc" "ezi@b.example]" },
	/* what is no address is passed over */
	{ "", "" },
	{ "nobody", "" },
	{ "two words@b.example, a@b.example", "[a|b.example|a@b.example]" },
	{ "@b.example, a@b.example", "[a|b.example|a@b.example]" },
	{ "a@, c@d.example", "[c|d.example|c@d.example]" },
	{ "<a@b.example", "[a|b.example|a@b.example]" },
	{ "\"never closed, a@b.example", "" },
	{ "(never closed a@b.example", "" },
	{ ",,;,:", "" },
};

static void test_addresses(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(lists); i++) {
		struct arena arena = { 0 };
		struct buf out = { 0 };
		struct bytes rest = bytes_of(lists[i].field);
		struct sieve_mailbox m;
		while (sieve_mailbox_next(&rest, &arena, &m))
			buf_printf(&out, "[%.*s|%.*s|%.*s]", BYTES_ARG(m.local), BYTES_ARG(m.domain), BYTES_ARG(m.all));
		assert_string_equal(buf_str(&out), lists[i].boxes);
		buf_fini(&out);
		arena_fini(&arena);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_decode), cmocka_unit_test(test_decode_unblocked),
		cmocka_unit_test(test_encode), cmocka_unit_test(test_addresses) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
