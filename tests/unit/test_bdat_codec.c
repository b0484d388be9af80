/* test_bdat_codec.c: BDAT's argument, and the lines of its content. */
#include "smtpd/bdat_codec.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *arg;
		int r;
		uint64_t size;
		bool last;
	} cases[] = {
		{ "0", 0, 0, false }, { "86", 0, 86, false }, { "86 LAST", 0, 86, true }, { "0 last", 0, 0, true },
		{ "9223372036854775807", 0, INT64_MAX, false },
		{ "9223372036854775808", -EINVAL, 0, false }, { "", -EINVAL, 0, false }, { "LAST", -EINVAL, 0, false },
		{ "-1", -EINVAL, 0, false }, { "+1", -EINVAL, 0, false }, { "1x", -EINVAL, 0, false }, { "0x10", -EINVAL, 0, false },
		{ "1 FIRST", -EINVAL, 0, false }, { "1 LAST LAST", -EINVAL, 0, false },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bdat_chunk c = { .size = 7, .last = true };
		assert_int_equal(bdat_parse(bytes_of(cases[i].arg), &c), cases[i].r);
		assert_int_equal(c.size, cases[i].r ? 7 : cases[i].size);
		assert_int_equal(c.last, cases[i].r ? true : cases[i].last);
	}
}

static void test_text(void **state)
{
	static const struct {
		const char *in[3], *out;
		bool bare_cr;
	} cases[] = {
		{ { "a\r\nb\r\n" }, "a\r\nb\r\n", false },
		{ { "a\nb\n" }, "a\r\nb\r\n", false },
		{ { "a\r", "\nb" }, "a\r\nb", false },
		{ { "a\r", "b\n" }, "a b\r\n", true },
		{ { "a\r\r\n" }, "a \r\n", true },
		{ { "a\n", "\n", "." }, "a\r\n\r\n.", false },
		{ { "a\r" }, "a ", true },
		{ { "" }, "", false },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bdat_text t = { 0 };
		struct buf out = { 0 };
		for (unsigned k = 0; k < 3 && cases[i].in[k]; k++)
			bdat_text_add(&t, bytes_of(cases[i].in[k]), &out);
		bdat_text_end(&t, &out);
		assert_string_equal(buf_str(&out), cases[i].out);
		assert_int_equal(t.bare_cr, cases[i].bare_cr);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse), cmocka_unit_test(test_text) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
