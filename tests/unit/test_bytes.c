/* test_bytes.c: slices. */
#include "lib/base/bytes.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NONE ((struct bytes){ NULL, 0 })

static void assert_bytes(struct bytes got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p ? got.p : "", want, got.n);
}

static void test_compare(void **state)
{
	(void)state;
	assert_true(bytes_eq(NONE, BYTES("")));
	assert_true(bytes_eq(BYTES("a\0b"), bytes_make("a\0b", 3)));
	assert_false(bytes_eq(BYTES("a\0b"), BYTES("a\0c")));
	assert_false(bytes_eq(BYTES("a"), BYTES("A")));
	assert_true(bytes_case_eq(BYTES("aZ[@"), BYTES("Az[@")));
	/* '@' and '`', '[' and '{' differ in the same bit as letters do. */
	assert_false(bytes_case_eq(BYTES("@["), BYTES("`{")));
	assert_false(bytes_case_eq(BYTES("\xc3\x84"), BYTES("\xc3\xa4")));
	assert_true(bytes_cmp(BYTES("ab"), BYTES("abc")) < 0);
	assert_true(bytes_cmp(BYTES("b"), BYTES("abc")) > 0);
	assert_true(bytes_cmp(BYTES("\xff"), BYTES("a")) > 0);
	assert_int_equal(bytes_cmp(NONE, BYTES("")), 0);
}

static void test_starts_ends(void **state)
{
	(void)state;
	assert_true(bytes_starts(BYTES("From: x"), BYTES("From")));
	assert_false(bytes_starts(BYTES("from: x"), BYTES("From")));
	assert_true(bytes_case_starts(BYTES("from: x"), BYTES("From")));
	assert_false(bytes_starts(BYTES("Fr"), BYTES("From")));
	assert_true(bytes_starts(NONE, NONE));
	assert_true(bytes_ends(BYTES("mail.Example.org"), BYTES(".org")));
	assert_false(bytes_ends(BYTES("mail.Example.org"), BYTES("example.org")));
	assert_true(bytes_case_ends(BYTES("mail.Example.org"), BYTES("example.org")));
	assert_false(bytes_case_ends(BYTES("org"), BYTES("example.org")));
}

static void test_find(void **state)
{
	(void)state;
	assert_int_equal(bytes_find(BYTES("a@b@c"), '@'), 1);
	assert_int_equal(bytes_rfind(BYTES("a@b@c"), '@'), 3);
	assert_int_equal(bytes_find(BYTES("abc"), '@'), -1);
	assert_int_equal(bytes_find(NONE, '@'), -1);
	assert_int_equal(bytes_rfind(NONE, '@'), -1);
	assert_int_equal(bytes_search(BYTES("a\r\n.\r\n"), BYTES("\r\n.\r\n")), 1);
	assert_int_equal(bytes_search(BYTES("abc"), BYTES("cd")), -1);
	assert_int_equal(bytes_search(NONE, BYTES("x")), -1);
	assert_int_equal(bytes_search(NONE, NONE), 0);
}

static void test_trim(void **state)
{
	(void)state;
	assert_bytes(bytes_trim(BYTES(" \t a b\r\n")), "a b");
	assert_bytes(bytes_trim(BYTES(" \r\n\t ")), "");
	assert_bytes(bytes_trim(NONE), "");
}

static void test_cut(void **state)
{
	static const char *const want[] = { "a", "", "b", "" };
	struct bytes rest = BYTES("a,,b,");
	size_t n = 0;

	(void)state;
	while (rest.p)
		assert_bytes(bytes_cut(&rest, ','), want[n++]);
	assert_int_equal(n, 4);
}

static void test_word(void **state)
{
	struct bytes rest = BYTES("  MAIL \t FROM:<> ");

	(void)state;
	assert_bytes(bytes_word(&rest), "MAIL");
	assert_bytes(bytes_word(&rest), "FROM:<>");
	assert_bytes(bytes_word(&rest), "");
	assert_bytes(bytes_word(&rest), "");
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int want;
		uint64_t value;
	} table[] = {
		{ "0", 10, 0, 0 },
		{ "10", 10, 0, 10 },
		{ "11", 10, -ERANGE, 0 },
		{ "", 10, -EINVAL, 0 },
		{ "-1", 10, -EINVAL, 0 },
		{ "+1", 10, -EINVAL, 0 },
		{ " 1", 10, -EINVAL, 0 },
		{ "1a", 10, -EINVAL, 0 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999x", UINT64_MAX, -EINVAL, 0 },
		{ "000000000000000000000000007", 10, 0, 7 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		uint64_t v = 4711;
		assert_int_equal(bytes_to_u64(bytes_of(table[i].text), table[i].max, &v), table[i].want);
		assert_int_equal(v, table[i].want ? 4711 : table[i].value);
	}
	uint64_t v;
	assert_int_equal(bytes_hex_to_u64(BYTES("fFfFffffFFffffff"), UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(bytes_hex_to_u64(BYTES("10000000000000000"), UINT64_MAX, &v), -ERANGE);
	assert_int_equal(bytes_hex_to_u64(BYTES("g"), UINT64_MAX, &v), -EINVAL);
	assert_int_equal(bytes_hex_to_u64(BYTES("@"), UINT64_MAX, &v), -EINVAL);
}

static void test_utf8(void **state)
{
	static const struct {
		struct bytes text;
		bool want;
	} table[] = {
		{ { NULL, 0 }, true },
		{ { "abc", 3 }, true },
		{ { "\xc3\xa4x", 3 }, true },
		{ { "\xe2\x82\xac", 3 }, true },
		{ { "\xf0\x9f\x98\x80", 4 }, true },
		{ { "\xf4\x8f\xbf\xbf", 4 }, true },
		{ { "\xf4\x90\x80\x80", 4 }, false },      /* beyond U+10FFFF */
		{ { "\xc0\x80", 2 }, false },              /* overlong NUL */
		{ { "\xc1\xbf", 2 }, false },
		{ { "\xe0\x9f\xbf", 3 }, false },          /* overlong */
		{ { "\xed\xa0\x80", 3 }, false },          /* surrogate */
		{ { "\xf0\x8f\xbf\xbf", 4 }, false },
		{ { "\xc3", 1 }, false },                  /* cut */
		{ { "\xe2\x82", 2 }, false },
		{ { "\xa4", 1 }, false },                  /* begins with a continuation */
		{ { "\xc3x", 2 }, false },
		{ { "\xe2\x82x", 3 }, false },
		{ { "\xff", 1 }, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		assert_int_equal(bytes_utf8(table[i].text), table[i].want);
}

static void test_dup(void **state)
{
	(void)state;
	char *s = bytes_dup(bytes_first(BYTES("abcdef"), 3));
	assert_string_equal(s, "abc");
	mem_free(s);
	s = bytes_dup(NONE);
	assert_string_equal(s, "");
	mem_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare), cmocka_unit_test(test_starts_ends), cmocka_unit_test(test_find),
		cmocka_unit_test(test_trim),    cmocka_unit_test(test_cut),         cmocka_unit_test(test_word),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_dup), cmocka_unit_test(test_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
