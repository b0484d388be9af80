/* test_table_patterns.c: pcre: and regexp: files.  Answers, and which lines are wrong, are those of Debian's `postmap -q` (3.7.11). */
#include "tests/unit/table_test.h"

/* Of the lines 1 to LAST exactly those in WRONG (0 ends it) were complained of. */
static void expect_notes(unsigned last, const unsigned *wrong)
{
	for (unsigned line = 1; line <= last; line++) {
		char text[32];
		bool want = false;
		snprintf(text, sizeof text, "line %u: ", line);
		for (const unsigned *w = wrong; *w; w++)
			want |= *w == line;
		print_message("[ case     ] line %u\n", line);
		assert_int_equal(strstr(buf_str(&logged), text) != NULL, want);
	}
}

static const char pcre_file[] = "/^user-(\\w+)@example\\.(org|net)$/ hello $1 at ${2} cost $$5 $(1)\n" /* 1 */
				"!/^[a-z]/ digit first\n"
				"/^Case$/i exact\n"
				"/^nocase$/ folded\n"
				"/^dot.all$/ dotall\n" /* 5 */
				"/^dot2.all$/s nodot\n"
				"/^x y z$/x extended\n"
				"if /^in-/\n"
				"/one$/ in-one\n"
				"if !/^in-two/\n" /* 10 */
				"/three$/ in-three\n"
				"endif\n"
				"/two/ in-two\n"
				"endif\n"
				"/(a)|(b)end$/ [$1][$2]\n" /* 15 */
				"/bad(/ x\n"
				"/nogroup/ $1\n"
				"/q$q/ x$\n"
				"/empty/\n"
				"/badflag/q x\n" /* 20 */
				"/unterminated x\n"
				"word x\n"
				"/E$/E dollar\n"
				"#/delim/slash# hash\n"
				"'quote' quoted\n" /* 25 */
				",comma,i comma$$done\n"
				"/cont/ one\n"
				"  two\n"
				"/undef/ ${x}\n"
				"/zero/ $0\n" /* 30 */
				"/nest/ ${1\n"
				"!/./ $1\n"
				" /lead/ x\n"
				"endif\n"
				"if /^zz/ extra\n" /* 35 */
				"/zzin/ zz-in\n"
				"endif text\n"
				"/A+/U ungreedy\n"
				"/^anch/A anchored\n"
				"/X1/X obsolete\n" /* 40 */
				"if /^open-/\n"
				"/open-x/ opened\n";

static void test_pcre(void **state)
{
	(void)state;
	static const struct pair pairs[] = {
		{ "user-joe@example.org", "hello joe at org cost $5 joe" }, { "USER-Joe@Example.NET", "hello Joe at NET cost $5 Joe" },
		{ "1abc", "digit first" }, { "Case", "exact" }, { "case", "[a][]" }, { "NOCASE", "folded" }, { "dot?all", "dotall" },
		{ "dotXall", "dotall" }, { "dot\nall", "dotall" }, { "dot2Xall", "nodot" }, { "dot2\nall", "[a][]" }, { "xyz", "extended" },
		{ "in-x-one", "in-one" }, { "in-one", "in-one" }, { "in-three", "in-three" }, { "in-two", "in-two" },
		{ "in-two-three", "in-two" }, { "another-two", "[a][]" }, { "aend", "[a][]" }, { "bend", "[][b]" }, { "(a)", "digit first" },
		{ "nogroup", NULL }, { "qq", NULL }, { "word", NULL }, { "EE", "dollar" }, { "quoted", "quoted" }, { "comm,", NULL },
		{ "Comma", "[a][]" }, { "continue", "dollar" }, { "undef", NULL }, { "zero", NULL }, { "nest", NULL }, { "zzin", "zz-in" },
		{ "zz-zzin", "zz-in" }, { "aaa", "[a][]" }, { "X1", "obsolete" }, { "open-x", "opened" }, { "notopen-x", NULL },
	};
	/* X is a flag of PCRE 1: of no effect, and not worth a word. */
	static const unsigned wrong[] = { 16, 17, 18, 19, 20, 21, 22, 29, 30, 31, 32, 34, 35, 37, 41, 0 };
	file_write(file_path(), pcre_file, 60);
	struct table *t = open_file("pcre");
	expect_notes(42, wrong);
	expect_all(t, pairs, COUNT_OF(pairs));
}

/* No value is an empty value, and that is found. */
static void test_empty_value(void **state)
{
	(void)state;
	file_write(file_path(), "/x/\n/y/ $$\n", 60);
	static const struct pair pairs[] = { { "x", "" }, { "y", "$" } };
	expect_all(open_file("pcre"), pairs, COUNT_OF(pairs));
	expect_all(open_file("regexp"), pairs, COUNT_OF(pairs));
}

static const char regexp_file[] = "/^user-([a-z]+)@example\\.(org|net)$/ hello $1 at ${2} cost $$5 $(1)\n" /* 1 */
				  "!/^[a-z]/ digit first\n"
				  "/^Case$/i exact\n"
				  "/^nocase$/ folded\n"
				  "/^a\\(b\\)$/x basic $1\n" /* 5 */
				  "/^two/!/^two-not/ second\n"
				  "/^sub-(.)/!/^sub-x/ got $1\n"
				  "if /^in-/\n"
				  "/one$/ in-one\n"
				  "if !/^in-two/\n" /* 10 */
				  "/three$/ in-three\n"
				  "endif\n"
				  "/two/ in-two\n"
				  "endif\n"
				  "/(a)|(b)end$/ [$1][$2]\n" /* 15 */
				  "/bad(/ x\n"
				  "/nogroup/ $1\n"
				  "/badflag/q x\n"
				  "/m1$/m multi\n"
				  ",comma, comma$$done\n" /* 20 */
				  "/cont/ one\n"
				  "  two\n"
				  "/q/!bad x\n";

static void test_regexp(void **state)
{
	(void)state;
	static const struct pair pairs[] = {
		{ "user-joe@example.org", "hello joe at org cost $5 joe" }, { "USER-Joe@Example.NET", "hello Joe at NET cost $5 Joe" },
		{ "1abc", "digit first" }, { "Case", "exact" }, { "case", "[a][]" }, { "NOCASE", "folded" }, { "ab", "basic b" },
		{ "two-1", "second" }, { "two-not", NULL }, { "sub-a", "got a" }, { "sub-x", NULL }, { "in-x-one", "in-one" },
		{ "in-three", "in-three" }, { "in-two", "in-two" }, { "in-two-three", "in-two" }, { "another-two", "[a][]" },
		{ "bend", "[][b]" }, { "nogroup", NULL }, { "m1", "multi" }, { "m1\nzz", "multi" }, { "dot\nall", "[a][]" },
		{ "comma", "[a][]" }, { "continue", "one  two" }, { "qbad", "[a][]" }, { "q", NULL },
	};
	static const unsigned wrong[] = { 16, 17, 18, 23, 0 };
	file_write(file_path(), regexp_file, 60);
	struct table *t = open_file("regexp");
	expect_notes(23, wrong);
	expect_all(t, pairs, COUNT_OF(pairs));
}

/* A key that takes an expression exponential time: Postfix takes that rule for one that does not match, and goes on to the next. */
static void test_explosion(void **state)
{
	(void)state;
	file_write(file_path(), "/^quick$/ fine\n/^(([a-z])+.)+[A-Z]([a-z])+$/i boom\n/./ next\n", 60);
	struct table *t = open_file("pcre");
	struct question q = { .t = t, .key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" };
	in_task(ask_main, &q);
	print_message("[ case     ] %d %s %s\n", q.r, buf_str(&q.value), buf_str(&q.err));
	assert_int_equal(q.r, -EDOM);
	assert_string_equal(buf_str(&q.err), "the rule in line 2 gave no answer: match limit exceeded");
	assert_int_equal(q.value.n, 0);
	buf_fini(&q.err);
	buf_fini(&q.value);
	expect(t, "quick", "fine");
	table_close(&t);
}

/* What needs more stack than the compiled code has, and is no explosion, is still answered. */
static void test_deep(void **state)
{
	(void)state;
	file_write(file_path(), "/^(a|(b)|c)*$/ deep\n", 60);
	struct table *t = open_file("pcre");
	static char key[20001];
	memset(key, 'a', sizeof key - 1);
	expect(t, key, "deep");
	table_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pcre), TEST(test_empty_value), TEST(test_regexp), TEST(test_explosion), TEST(test_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
