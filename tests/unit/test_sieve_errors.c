/*
 * test_sieve_errors.c: what a script's author is told: each mistake with line, column, the offending word and a sentence.
 */
#include "tests/tools/sieve_stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "lib/base/mem.h"

static const struct {
	const char *script, *complaint;
} cases[] = {
	/* ---- words ---- */
	{ "keep;\n  \"abc\n", "t.sieve:2:3: \"\"abc\" begins a string that never ends\n" },
	{ "/* never", "t.sieve:1:1: \"/*\" begins a comment that never ends\n" },
	{ "redirect text:\nabc\n..\n", "t.sieve:1:10: \"text:\" begins a text that never ends: it needs a line with a single dot\n" },
	{ "if size :over 10X { keep; }", "t.sieve:1:15: \"10X\" is no number: digits, and K, M or G behind them, make one\n" },
	{ "if size :over 99999999999999999999 { keep; }", "t.sieve:1:15: \"99999999999999999999\" is too large a number\n" },
	{ "if size :over 99999999999G { keep; }", "t.sieve:1:15: \"99999999999G\" is too large a number\n" },
	{ "keep; %", "t.sieve:1:7: \"%\" does not belong in a script\n" },
	{ "keep : x;", "t.sieve:1:6: \":\" does not belong in a script\n" },
	/* ---- grammar ---- */
	{ "keep", "t.sieve:1:5: the end of the script stands where \";\" should end the command before it, or \"{\" begin its block\n" },
	{ "keep keep;", "t.sieve:1:6: \"keep\" should not stand here: \"keep\" takes no test\n" },
	{ "keep }", "t.sieve:1:6: \"}\" stands where \";\" should end the command before it, or \"{\" begin its block\n" },
	{ "keep; }", "t.sieve:1:7: \"}\" closes no block\n" },
	{ "if true { keep;", "t.sieve:1:16: the end of the script stands where a command or \"}\" should be\n" },
	{ "redirect [\"a\" \"b\"];", "t.sieve:1:15: \"\"b\"\" stands in a list of strings where \",\" or \"]\" should be\n" },
	{ "redirect [];", "t.sieve:1:11: \"]\" stands where a string should be\n" },
	{ "if anyof (true; false) {}", "t.sieve:1:15: \";\" stands in a list of tests where \",\" or \")\" should be\n" },
	{ "if anyof () {}", "t.sieve:1:11: \")\" stands where a test should be\n" },
	/* ---- names ---- */
	{ "kepp;", "t.sieve:1:1: there is no command \"kepp\"; did you mean \"keep\"?\n" },
	{ "frobnicate;", "t.sieve:1:1: there is no command \"frobnicate\"\n" },
	{ "if heder \"a\" \"b\" { keep; }", "t.sieve:1:4: there is no test \"heder\"; did you mean \"header\"?\n" },
	{ "if keep { stop; }", "t.sieve:1:4: \"keep\" is a command, but a test should stand here\n" },
	{ "exists \"a\";", "t.sieve:1:1: \"exists\" is a test, but a command should stand here\n" },
	{ "require \"varables\";", "t.sieve:1:9: there is no extension \"varables\" here; did you mean \"variables\"?\n" },
	{ "set \"a\" \"b\";", "t.sieve:1:1: \"set\" needs require \"variables\"\n" },
	{ "if header :value \"gt\" \"a\" \"b\" {}", "t.sieve:1:11: \":value\" needs require \"relational\"\n" },
	{ "if header :isnt \"a\" \"b\" {}", "t.sieve:1:11: \"header\" has no tag \":isnt\"; did you mean \":is\"?\n" },
	{ "if header :contents \"a\" \"b\" {}", "t.sieve:1:11: \"header\" has no tag \":contents\"; did you mean \":contains\"?\n" },
	{ "if header :localpart \"a\" \"b\" {}", "t.sieve:1:11: \"header\" has no tag \":localpart\"\n" },
	{ "if header :comparator \"i;octat\" \"a\" \"b\" {}", "t.sieve:1:23: there is no comparator \"i;octat\"; did you mean \"i;octet\"?\n" },
	{ "if header :comparator \"i;ascii-numeric\" \"a\" \"b\" {}",
		"t.sieve:1:23: \"i;ascii-numeric\" needs require \"comparator-i;ascii-numeric\"\n" },
	{ "require \"variables\"; redirect \"${env.hello}\";", "t.sieve:1:31: there is no variable \"env.hello\"; did you mean \"env.helo\"?\n" },
	{ "require \"variables\"; redirect \"${99}\";", "t.sieve:1:31: \"${99}\" is beyond the last match variable, ${31}\n" },
	{ "require \"variables\"; set \"env.helo\" \"x\";", "t.sieve:1:26: \"env.helo\" can be read, but not set\n" },
	{ "require \"variables\"; set \"a b\" \"x\";", "t.sieve:1:26: \"a b\" cannot be the name of a variable\n" },
	{ "require \"variables\"; set \"${a}\" \"x\";", "t.sieve:1:26: \"${a}\" holds a variable, but must be known when the script is read\n" },
	{ "require \"variables\"; set \"1\" \"x\";", "t.sieve:1:26: \"1\" cannot be the name of a variable\n" },
	{ "require \"envelope\"; if envelope \"form\" \"x\" {}", "t.sieve:1:33: there is no envelope part \"form\"; did you mean \"from\"?\n" },
	{ "require \"extlists\"; if header :list \"From\" \":list:freinds\" {}",
		"t.sieve:1:44: there is no list \":list:freinds\"; did you mean \":list:friends\"?\n" },
	/* ---- arguments ---- */
	{ "redirect;", "t.sieve:1:1: \"redirect\" lacks a string (address)\n" },
	{ "redirect 5;", "t.sieve:1:10: \"redirect\" takes a string (address) here, not a number\n" },
	{ "redirect [\"a\"];", "t.sieve:1:10: \"redirect\" takes a string (address) here, not a list of strings\n" },
	{ "redirect \"a\" \"b\";", "t.sieve:1:14: a string is one argument too many for \"redirect\"\n" },
	{ "keep \"x\";", "t.sieve:1:6: a string is one argument too many for \"keep\"\n" },
	{ "if header \"a\" {}", "t.sieve:1:4: \"header\" lacks a list of strings (keys)\n" },
	{ "if header \"a\" :is \"b\" {}", "t.sieve:1:15: the tag \":is\" must stand before the other arguments of \"header\"\n" },
	{ "if header :is :contains \"a\" \"b\" {}", "t.sieve:1:15: \":contains\" is a second match type, after \":is\"\n" },
	{ "if address :all :domain \"to\" \"b\" {}", "t.sieve:1:17: \":domain\" is a second address part, after \":all\"\n" },
	{ "if header :comparator {}", "t.sieve:1:4: \":comparator\" lacks a string behind it\n" },
	{ "if header :comparator 7 \"a\" \"b\" {}", "t.sieve:1:23: \":comparator\" takes a string here, not a number\n" },
	{ "require \"comparator-i;ascii-numeric\"; if header :contains :comparator \"i;ascii-numeric\" \"a\" \"b\" {}",
		"t.sieve:1:42: \":contains\" cannot be done with the comparator \"i;ascii-numeric\"\n" },
	{ "require \"relational\"; if header :value \"more\" \"a\" \"b\" {}", "t.sieve:1:40: \"more\" is no relation: gt ge lt le eq ne are\n" },
	{ "if size 10 {}", "t.sieve:1:9: a number is one argument too many for \"size\"\n" },
	{ "if size {}", "t.sieve:1:4: \"size\" lacks :over or :under and a number\n" },
	{ "if size :over 1 :under 2 {}", "t.sieve:1:17: \":under\" cannot stand beside \":over\"\n" },
	{ "if size :over 1 :over 2 {}", "t.sieve:1:17: \":over\" stands here twice\n" },
	{ "if address \"subject\" \"b\" {}", "t.sieve:1:12: \"subject\" is no header field that holds addresses\n" },
	{ "require \"editheader\"; addheader \"a b\" \"c\";", "t.sieve:1:33: \"a b\" cannot be the name of a header field\n" },
	{ "require \"editheader\"; deleteheader :last \"a\";", "t.sieve:1:36: \":last\" makes no sense without \":index\"\n" },
	{ "require \"editheader\"; deleteheader :index 0 \"a\";", "t.sieve:1:43: \":index 0\" names no header field: the first is 1\n" },
	{ "require \"editheader\"; deleteheader :matches \"a\";", "t.sieve:1:23: \":matches\" compares with nothing: \"deleteheader\" lacks its values\n" },
	{ "require \"variables\"; set :upper :lower \"a\" \"b\";", "t.sieve:1:33: \":lower\" cannot stand beside \":upper\"\n" },
	{ "require \"encoded-character\"; redirect \"${unicode:d800}\";", "t.sieve:1:39: \"${unicode:d800}\" is no character\n" },
	{ "require \"encoded-character\"; redirect \"${unicode:110000}\";", "t.sieve:1:39: \"${unicode:110000}\" is no character\n" },
	/* ---- blocks and tests ---- */
	{ "if true;", "t.sieve:1:1: \"if\" lacks its block\n" },
	{ "if { keep; }", "t.sieve:1:1: \"if\" lacks a test\n" },
	{ "keep { stop; }", "t.sieve:1:1: \"keep\" takes no block: it should end with \";\"\n" },
	{ "else { keep; }", "t.sieve:1:1: \"else\" must follow an \"if\" or \"elsif\" and its block\n" },
	{ "if true {} keep; elsif true {}", "t.sieve:1:18: \"elsif\" must follow an \"if\" or \"elsif\" and its block\n" },
	{ "if true {} else {} else {}", "t.sieve:1:20: \"else\" must follow an \"if\" or \"elsif\" and its block\n" },
	{ "if not (true) {}", "t.sieve:1:9: \"not\" takes one test: put anyof or allof before the list\n" },
	{ "if anyof true {}", "t.sieve:1:10: \"anyof\" takes a list of tests in parentheses\n" },
	{ "keep; require \"variables\";", "t.sieve:1:7: \"require\" must stand before all other commands\n" },
	{ "if true { require \"variables\"; }", "t.sieve:1:11: \"require\" cannot stand within a block\n" },
	/* ---- more than one ---- */
	{ "kepp;\nif header \"a\" { stopp; }\nredirect;\n", "t.sieve:1:1: there is no command \"kepp\"; did you mean \"keep\"?\n"
		"t.sieve:2:4: \"header\" lacks a list of strings (keys)\n"
		"t.sieve:2:17: there is no command \"stopp\"; did you mean \"stop\"?\n"
		"t.sieve:3:1: \"redirect\" lacks a string (address)\n" },
	{ "if tru { keep; } elsif true { stop; } else { stop; }", "t.sieve:1:4: there is no test \"tru\"; did you mean \"true\"?\n" },
	{ "a;b;c;d;e;f;g;h;i;j;k;l;", "t.sieve:1:1: there is no command \"a\"\nt.sieve:1:3: there is no command \"b\"\n"
		"t.sieve:1:5: there is no command \"c\"\nt.sieve:1:7: there is no command \"d\"\nt.sieve:1:9: there is no command \"e\"\n"
		"t.sieve:1:11: there is no command \"f\"\nt.sieve:1:13: there is no command \"g\"\nt.sieve:1:15: there is no command \"h\"\n"
		"t.sieve:1:17: there is no command \"i\"\nt.sieve:1:19: there is no command \"j\"\n" },
	/* What a script holds cannot forge lines. */
	{ "require \"a\nb:1:1: c\";", "t.sieve:1:9: there is no extension \"a?b:1:1: c\" here\n" },
};

static int compile(const char *script, struct buf *err)
{
	struct sieve_script *s;
	struct sieve_compile_params p = { .source = bytes_of(script), .file = "t.sieve", .host = &stub_host };
	int r = sieve_compile(&p, &s, err);
	if (r == 0)
		sieve_free(&s);
	return r;
}

static void test_complaints(void **state)
{
	(void)state;
	unsigned wrong = 0;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf err = { 0 };
		int r = compile(cases[i].script, &err);
		if (r != -EINVAL || strcmp(buf_str(&err), cases[i].complaint) != 0) {
			print_error("%s\nis told:  %sexpected: %s", cases[i].script, buf_str(&err), cases[i].complaint);
			wrong++;
		}
		buf_fini(&err);
	}
	assert_int_equal(wrong, 0);
}

/* Blocks and tests within each other: 32 is well, 33 is not. */
static void nest(struct buf *script, unsigned blocks, unsigned tests)
{
	for (unsigned i = 1; i < blocks; i++)
		buf_add_str(script, "if true {");
	buf_add_str(script, "if ");
	for (unsigned i = 1; i < tests; i++)
		buf_add_str(script, "not ");
	buf_add_str(script, "true { keep; }");
	for (unsigned i = 1; i < blocks; i++)
		buf_add_str(script, "}");
}

static void test_nesting(void **state)
{
	(void)state;
	static const struct {
		unsigned blocks, tests;
		int result;
	} depths[] = { { 32, 1, 0 }, { 33, 1, -EINVAL }, { 1, 32, 0 }, { 1, 33, -EINVAL }, { 16, 17, 0 }, { 16, 18, -EINVAL }, { 10000, 1, -EINVAL } };
	for (unsigned i = 0; i < COUNT_OF(depths); i++) {
		struct buf script = { 0 }, err = { 0 };
		nest(&script, depths[i].blocks, depths[i].tests);
		assert_int_equal(compile(buf_str(&script), &err), depths[i].result);
		if (depths[i].result)
			assert_non_null(strstr(buf_str(&err), "stands too deep"));
		buf_fini(&script);
		buf_fini(&err);
	}
}

static void test_size(void **state)
{
	(void)state;
	struct buf script = { 0 }, err = { 0 };
	while (script.n <= SIEVE_SOURCE_MAX)
		buf_add_str(&script, "keep; # and so on and so on\n");
	assert_int_equal(compile(buf_str(&script), &err), -EINVAL);
	assert_string_equal(buf_str(&err), "t.sieve:1:1: the script is larger than 1048576 bytes\n");
	buf_fini(&script);
	buf_fini(&err);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_complaints), cmocka_unit_test(test_nesting), cmocka_unit_test(test_size) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
