/* test_diff.c: differences of texts, as diff -u prints them. */
#include "lib/base/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_cases(void **state)
{
	static const struct {
		const char *before, *after;
		unsigned context, most;
		const char *want;
	} cases[] = {
		{ "", "", 3, 0, "" },
		{ "a\nb\n", "a\nb\n", 3, 0, "" },
		{ "a\n", "a", 3, 0, "" },
		{ "", "a\n", 3, 0, "@@ -0,0 +1,1 @@\n+a\n" },
		{ "a\n", "", 3, 0, "@@ -1,1 +0,0 @@\n-a\n" },
		{ "a\nb\nc\n", "a\nB\nc\n", 3, 0, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n" },
		{ "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\nx\n9\n", 1, 0, "@@ -8,2 +8,3 @@\n 8\n+x\n 9\n" },
		{ "1\n2\n3\n4\n5\n6\n", "x\n2\n3\n4\n5\ny\n", 1, 0, "@@ -1,2 +1,2 @@\n-1\n+x\n 2\n@@ -5,2 +5,2 @@\n 5\n-6\n+y\n" },
		{ "1\n2\n3\n4\n", "x\n2\n3\ny\n", 1, 0, "@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n-4\n+y\n" },
		{ "a\nb\nc\nd\n", "b\nd\na\n", 0, 0, "@@ -1,1 +0,0 @@\n-a\n@@ -3,1 +1,0 @@\n-c\n@@ -4,0 +3,1 @@\n+a\n" },
		{ "1\n2\n3\n4\n", "", 3, 2, "@@ -1,4 +0,0 @@\n-1\n-2\n... and 2 more lines\n" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct diff_params p = {
			.before = bytes_of(cases[i].before), .after = bytes_of(cases[i].after), .context = cases[i].context, .most = cases[i].most,
		};
		struct buf out = { 0 };
		assert_int_equal(diff_lines(&p, &out), cases[i].want[0] != '\0');
		assert_string_equal(buf_str(&out), cases[i].want);
		buf_fini(&out);
	}
}

static void upper(struct buf *out, struct bytes line)
{
	buf_printf(out, "<%.*s>", BYTES_ARG(line));
}

static void test_line_writer(void **state)
{
	struct buf out = { 0 };
	(void)state;
	assert_true(diff_lines(&(struct diff_params){ .before = BYTES("a\n"), .after = BYTES("b\n"), .line = upper }, &out));
	assert_string_equal(buf_str(&out), "@@ -1,1 +1,1 @@\n-<a>\n+<b>\n");
	buf_fini(&out);
}

/* Too different and too long for the table: still all lines of one, then all of the other. */
static void test_large(void **state)
{
	struct buf a = { 0 }, b = { 0 }, out = { 0 };
	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		buf_printf(&a, "a%u\n", i);
		buf_printf(&b, "b%u\n", i);
	}
	assert_true(diff_lines(&(struct diff_params){ .before = buf_bytes(&a), .after = buf_bytes(&b), .most = 3 }, &out));
	assert_string_equal(buf_str(&out), "@@ -1,5000 +1,5000 @@\n-a0\n-a1\n-a2\n... and 9997 more lines\n");
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_line_writer), cmocka_unit_test(test_large) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
