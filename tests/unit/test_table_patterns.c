/* test_table_patterns.c: pcre: and regexp: files.  Answers, and which lines are wrong, are those of Debian's `postmap -q` (3.7.11). */
#include "tcp_table/regexp_weight.h"
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

/* Repetitions that glibc would multiply until the memory is used up. */
static void test_weight(void **state)
{
	(void)state;
	static const struct {
		const char *regex;
		bool basic, good;
	} cases[] = {
		{ "", false, true }, { "a{2000}", false, true }, { "a{2002}", false, false }, { "a{1,2001}", false, true }, { "a{0,2002}", false, false },
		{ "a{2001,}", false, false }, { "a{99999999999999999999}", false, false }, { "a{", false, true }, { "a{}", false, true },
		{ "^([a-z0-9]{1,63}\\.){1,16}$", false, true }, { "^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,7}:)$", false, true },
		{ "(a{255}){255}", false, false }, { "((a?){30}){40}", false, false }, { "(a{40}b{40}){40}", false, false }, { "a{50}{50}", false, false },
		{ "(a\\{255}){255}", false, true }, { "(a{255}){255}", true, true }, { "\\(a\\{255\\}\\)\\{255\\}", true, false }, { "a\\{20\\}", true, true },
		{ "((([a-z]+\\.)+[a-z]+)+x)+", false, true }, { "((((((((a?)+)+)+)+)+)+)+)+b", false, false }, { "a++++++++", false, false },
		{ "((((((((a?)+)+)+)+)+)+)+)+b", true, true }, { "\\+\\+\\+\\+\\+\\+\\+\\+", false, true },
		{ "[{]{2}[^]{9999}]{2}[[:alpha:]{9999}]{2}[[.].]{9999}]{2}", false, true }, { "[]]{2002}", false, false }, { "[[:alpha:", false, true }, { "a\\", false, true },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf why = { 0 };
		print_message("[ case     ] %s\n", cases[i].regex);
		assert_int_equal(regexp_weight(cases[i].regex, !cases[i].basic, &why), cases[i].good ? 0 : -E2BIG);
		assert_string_equal(why.n ? buf_str(&why) : "", cases[i].good ? "" : "its repetitions come to more than 2000 copies");
		buf_fini(&why);
	}
}

static void test_depth(void **state)
{
	(void)state;
	char regex[2 * (REGEXP_DEPTH_MAX + 1) + 1] = "";
	struct buf why = { 0 };
	memset(regex, '(', REGEXP_DEPTH_MAX);
	memset(regex + REGEXP_DEPTH_MAX, ')', REGEXP_DEPTH_MAX);
	assert_int_equal(regexp_weight(regex, true, &why), 0);
	memset(regex, '(', REGEXP_DEPTH_MAX + 1);
	assert_int_equal(regexp_weight(regex, true, &why), -E2BIG);
	assert_string_equal(buf_str(&why), "more than 100 groups within each other");
	buf_fini(&why);
}

/* A rule that is too heavy is left out, and told with its file and line; a key may be too long for all of them. */
static void test_heavy(void **state)
{
	(void)state;
	static char key[32770];
	file_write(file_path(), "/^plain$/ fine\n/((((((((((((a?)+)+)+)+)+)+)+)+)+)+)+)+b/ heavy\n/^a/ next\n", 60);
	struct table *t = open_file("regexp");
	assert_non_null(strstr(buf_str(&logged), "line 2: the rule is ignored: its repetitions come to more than 2000 copies"));
	expect(t, "plain", "fine");
	expect(t, "aab", "next");
	memset(key, 'a', sizeof key - 2);
	expect(t, key, "next");
	key[sizeof key - 2] = 'a';
	struct question q = { .t = t, .key = key };
	in_task(ask_main, &q);
	assert_int_equal(q.r, -E2BIG);
	assert_string_equal(buf_str(&q.err), "the rule in line 3 gave no answer: the key has more than 32768 bytes");
	buf_fini(&q.err);
	buf_fini(&q.value);
	table_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pcre), TEST(test_empty_value), TEST(test_regexp), TEST(test_explosion), TEST(test_deep),
		TEST(test_weight), TEST(test_depth), TEST(test_heavy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
