/*
 * test_sieve_run.c: scripts at work: each a script, and what it does with one message.  RFC examples stand under their section.
 */
#include "tests/tools/sieve_stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "lib/base/mem.h"

static const char message[] =
    "Received: from a.example by b.example; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    "From: \"Wiley, Coyote\" <coyote@desert.example.org>\r\n"
    "To: roadrunner@acme.example.com, (a \\) comment) \"bugs bunny\"@Warren.example\r\n"
    "Cc: friends: friend1@example.net, <@relay.example:friend2@example.net>;, roadrunner@acme.example.com\r\n"
    "Subject: I have a present\r\n for =?utf-8?q?y=C3=B6u?= =?iso-8859-1?b?5Pb8?=\r\n"
    "X-Priority: 3 (normal)\r\n"
    "X-Size: 0012\r\n"
    "X-Multi: one\r\n"
    "X-Multi: two\r\n"
    "X-Multi: three\r\n"
    "X-Empty:\r\n"
    "\r\n"
    "body\r\n";

#define VARS "require \"variables\";"
#define NUM "require [\"relational\", \"comparator-i;ascii-numeric\"];"
#define IF(test) "if " test " { redirect \"yes\"; } else { redirect \"no\"; }"
#define YES "redirect yes\n"
#define NO "redirect no\n"

static const struct {
	const char *script, *actions;   /* the implicit keep is "(keep)" */
} cases[] = {
	/* ---- RFC 5228 sections 2 to 4: words, control, actions ---- */
	{ "", "(keep)\n" },
	{ "\xef\xbb\xbfkeep;", "keep\n" },
	{ "# comment\nkeep; /* another\n one */ # and\r\n", "keep\n" },
	{ "KEEP;", "keep\n" },
	{ "stop; discard;", "(keep)\n" },
	{ "discard; stop; keep;", "discard\n" },
	{ "redirect \"a\\\"b\\\\c\\d\";", "redirect a\"b\\cd\n" },
	{ "redirect text: # comment\r\n..dot\r\n.x\r\nline\r\n.\r\n;", "redirect .dot\r\nx\r\nline\r\n\n" },
	{ "redirect text:\nbare\n.\n;", "redirect bare\r\n\n" },
	{ "if true { keep; } elsif true { discard; } else { stop; } redirect \"x\";", "keep\nredirect x\n" },
	{ "if false { keep; } elsif true { discard; } else { stop; } redirect \"x\";", "discard\nredirect x\n" },
	{ "if false { keep; } elsif false { discard; } else { stop; } redirect \"x\";", "(keep)\n" },
	{ "if true { if false { keep; } else { discard; stop; } } keep;", "discard\n" },
	{ "if true {} else { keep; }", "(keep)\n" },
	/* ---- 5: tests ---- */
	{ IF("not false"), YES },
	{ IF("allof (true, true)"), YES },
	{ IF("allof (true, false, true)"), NO },
	{ IF("anyof (false, true)"), YES },
	{ IF("anyof (false, false)"), NO },
	{ IF("exists \"x-empty\""), YES },
	{ IF("exists [\"x-empty\", \"nothing\"]"), NO },
	{ IF("size :over 100"), YES },
	{ IF("size :over 1K"), NO },
	{ IF("size :under 1k"), YES },
	/* 5.7 header */
	{ IF("header :is \"X-Multi\" \"two\""), YES },
	{ IF("header :is \"X-Multi\" \"tw\""), NO },
	{ IF("header :is [\"X-None\", \"x-multi\"] [\"four\", \"THREE\"]"), YES },
	{ IF("header :comparator \"i;octet\" :is \"X-Multi\" \"THREE\""), NO },
	{ IF("header :contains \"X-Multi\" \"hre\""), YES },
	{ IF("header :contains \"X-Multi\" \"\""), YES },
	{ IF("header :contains \"X-None\" \"\""), NO },
	{ IF("header :is \"X-Empty\" \"\""), YES },
	{ IF("header :contains \"X-Empty\" \"\""), YES },
	{ IF("header :is \"Subject\" \"I have a present for y\xc3\xb6u\xc3\xa4\xc3\xb6\xc3\xbc\""), YES },
	/* 2.7.1: wildcards */
	{ IF("header :matches \"X-Priority\" \"3*\""), YES },
	{ IF("header :matches \"X-Priority\" \"3\""), NO },
	{ IF("header :matches \"X-Priority\" \"*(NORMAL)\""), YES },
	{ IF("header :matches \"X-Priority\" \"? (\?\?\?\?\?\?)\""), YES },
	{ IF("header :matches \"X-Priority\" \"? (\?\?\?\?\?)\""), NO },
	{ IF("header :matches \"X-Multi\" \"*t*w*o*\""), YES },
	{ IF("header :matches \"X-Empty\" \"*\""), YES },
	{ IF("header :matches \"X-Empty\" \"?*\""), NO },
	{ IF("header :matches \"X-Priority\" \"3 \\\\(*\""), YES },
	{ IF("header :matches \"X-Priority\" \"3 \\\\*\""), NO },
	/* 5.1 address */
	{ IF("address :is \"from\" \"coyote@desert.example.org\""), YES },
	{ IF("address :is :all \"from\" \"Wiley, Coyote\""), NO },
	{ IF("address :domain :is \"from\" \"DESERT.example.org\""), YES },
	{ IF("address :localpart :is \"to\" \"bugs bunny\""), YES },
	{ IF("address :all :is \"to\" \"\\\"bugs bunny\\\"@warren.example\""), YES },
	{ IF("address :localpart :is \"cc\" \"friend2\""), YES },
	{ IF("address :all :contains \"cc\" \"relay\""), NO },
	{ IF("address :all :is [\"bcc\", \"cc\"] [\"x@y\", \"friend1@example.net\"]"), YES },
	/* 5.4 envelope */
	{ "require \"envelope\";" IF("envelope :all :is \"from\" \"sender@example.org\""), YES },
	{ "require \"envelope\";" IF("envelope :domain \"to\" \"EXAMPLE.com\""), YES },
	{ "require \"envelope\";" IF("envelope :localpart [\"from\", \"to\"] \"rcpt\""), YES },
	/* 2.4.2.4 encoded-character */
	{ "require \"encoded-character\"; redirect \"$${hex:40}\";", "redirect $@\n" },
	{ "require \"encoded-character\"; redirect \"${hex: 40 }\";", "redirect @\n" },
	{ "require \"encoded-character\"; redirect \"${HEX: 40}\";", "redirect @\n" },
	{ "require \"encoded-character\"; redirect \"${hex:40\";", "redirect ${hex:40\n" },
	{ "require \"encoded-character\"; redirect \"${hex:400}\";", "redirect ${hex:400}\n" },
	{ "require \"encoded-character\"; redirect \"${hex:4${hex:30}}\";", "redirect ${hex:40}\n" },
	{ "require \"encoded-character\"; redirect \"${unicode:40}\";", "redirect @\n" },
	{ "require \"encoded-character\"; redirect \"${ unicode:40}\";", "redirect ${ unicode:40}\n" },
	{ "require \"encoded-character\"; redirect \"${UNICODE:40}\";", "redirect @\n" },
	{ "require \"encoded-character\"; redirect \"${UnICoDE:0000040}\";", "redirect @\n" },
	{ "require \"encoded-character\"; redirect \"${Unicode:Cool}\";", "redirect ${Unicode:Cool}\n" },
	{ "require \"encoded-character\"; redirect \"${unicode:e4 20ac 1f600}\";", "redirect \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n" },
	{ "redirect \"${hex:40}\";", "redirect ${hex:40}\n" },
	/* ---- RFC 5231 ---- */
	{ NUM IF("header :value \"lt\" :comparator \"i;ascii-numeric\" \"x-priority\" \"5\""), YES },
	{ NUM IF("header :value \"eq\" :comparator \"i;ascii-numeric\" \"x-size\" \"12\""), YES },
	{ NUM IF("header :value \"gt\" :comparator \"i;ascii-numeric\" \"x-multi\" \"99999999999999999999999\""), YES },
	{ NUM IF("header :comparator \"i;ascii-numeric\" :is \"x-multi\" \"infinite\""), YES },
	{ NUM IF("address :count \"ge\" :comparator \"i;ascii-numeric\" [\"to\", \"cc\"] [\"5\"]"), YES },
	{ NUM IF("address :count \"gt\" :comparator \"i;ascii-numeric\" [\"to\", \"cc\"] [\"5\"]"), NO },
	{ NUM IF("header :count \"eq\" :comparator \"i;ascii-numeric\" [\"x-multi\", \"x-none\"] [\"3\"]"), YES },
	{ NUM IF("header :count \"eq\" :comparator \"i;ascii-numeric\" \"x-none\" \"0\""), YES },
	{ NUM IF("header :value \"ne\" \"x-size\" \"0012\""), NO },
	{ NUM IF("header :value \"ge\" \"x-multi\" \"two\""), YES },
	/* ---- RFC 5229 ---- */
	{ VARS "set \"name\" \"Ethelbert\"; redirect \"${NAME}-${unset}-${na me}-${\";", "redirect Ethelbert--${na me}-${\n" },
	{ VARS "set \"honorific\" \"Mr\"; set \"first_name\" \"Wile\"; set \"last_name\" \"Coyote\";"
	       "set \"vacation\" \"Dear ${HONORIFIC} ${last_name}, I'm out\"; redirect \"${vacation}\";", "redirect Dear Mr Coyote, I'm out\n" },
	{ VARS "set \"company\" \"ACME\"; redirect \"&%${}!\";", "redirect &%${}!\n" },
	{ VARS "set \"company\" \"ACME\"; redirect \"${doh!}\";", "redirect ${doh!}\n" },
	{ VARS "set \"company\" \"ACME\"; redirect \"${BAD${Company}\";", "redirect ${BADACME\n" },
	{ VARS "set \"company\" \"ACME\"; redirect \"${President, ${Company} Inc.}\";", "redirect ${President, ACME Inc.}\n" },
	/* section 4.1: "juMBlEd lETteRS" */
	{ VARS "set \"a\" \"juMBlEd lETteRS\"; set :length \"b\" \"${a}\"; redirect \"${b}\";", "redirect 15\n" },
	{ VARS "set \"a\" \"juMBlEd lETteRS\"; set :lower \"b\" \"${a}\"; redirect \"${b}\";", "redirect jumbled letters\n" },
	{ VARS "set \"a\" \"juMBlEd lETteRS\"; set :upperfirst \"b\" \"${a}\"; redirect \"${b}\";", "redirect JuMBlEd lETteRS\n" },
	{ VARS "set \"a\" \"juMBlEd lETteRS\"; set :upperfirst :lower \"b\" \"${a}\"; redirect \"${b}\";", "redirect Jumbled letters\n" },
	{ VARS "set :quotewildcard \"b\" \"Rock*?\\\\\"; redirect \"${b}\";", "redirect Rock\\*\\?\\\\\n" },
	{ VARS "set :length :quotewildcard \"b\" \"a*\"; redirect \"${b}\";", "redirect 3\n" },
	{ VARS "set :length \"b\" \"y\xc3\xb6u\"; redirect \"${b}\";", "redirect 3\n" },
	/* 3.2: match variables take as little as they can */
	{ VARS "if header :matches \"X-Priority\" \"*(*)\" { redirect \"${1}|${2}|${0}|${3}\"; }", "redirect 3 |normal|3 (normal)|\n" },
	{ VARS "if string :matches \"frop.......frop.........frop....\" \"?*??frop*?*\" { redirect \"${1}|${2}|${3}|${4}|${5}|${6}|${7}\"; }",
		"redirect f|rop.....|.|.||.|........frop....\n" },
	{ VARS "if string :matches \"a.b.c\" \"*.*\" { redirect \"${1}|${2}\"; }", "redirect a|b.c\n" },
	{ VARS "if string :matches \"abcabcd\" \"*abcd\" { redirect \"${1}\"; }", "redirect abc\n" },
	{ VARS "if string :matches \"xay\" \"*a?\" {} if string :matches \"nothing\" \"z*\" {} redirect \"${1}${2}\";", "redirect xy\n" },
	{ VARS "if string :matches \"a-b\" \"*-*\" { set \"x\" \"${1}\"; if string :matches \"c+d\" \"*+*\" { redirect \"${x}${2}\"; } }", "redirect ad\n" },
	/* 5: string */
	{ VARS IF("string :is \"${nothing}\" \"\""), YES },
	{ VARS NUM IF("string :count \"eq\" :comparator \"i;ascii-numeric\" [\"a\", \"${nothing}\", \"b\"] \"2\""), YES },
	{ VARS "set \"key\" \"*PRES*\";" IF("header :matches \"subject\" \"${key}\""), YES },
	{ VARS "set \"name\" \"x-multi\";" IF("header :is \"${name}\" \"one\""), YES },
	/* namespaces */
	{ VARS "redirect \"${env.helo} ${ENV.HELO}\";", "redirect helo.example.org helo.example.org\n" },
	{ VARS "set \"slot.a\" \"1\"; set \"slot.a\" \"${slot.a}2\"; redirect \"${slot.a}\";", "redirect 12\n" },
	/* ---- RFC 6134 ---- */
	{ "require \"extlists\";" IF("address :list \"cc\" \":list:friends\""), YES },
	{ "require \"extlists\";" IF("address :list \"from\" \":list:friends\""), NO },
	{ "require \"extlists\";" IF("valid_ext_list \":list:friends\""), YES },
	{ "require \"extlists\";" IF("valid_ext_list [\":list:friends\", \":list:none\"]"), NO },
	{ "require [\"extlists\", \"vnd.test\"];" IF("address :list :lenient \"from\" \":list:broken\""), NO },
	/* ---- RFC 5429 ---- */
	{ "require \"ereject\"; ereject \"no\"; keep;", "ereject no\n" },
	/* ---- RFC 5293: later tests see the change ---- */
	{ "require \"editheader\"; addheader \"X-New\" \" value  \";" IF("header :is \"x-new\" \"value\""), YES },
	{ "require \"editheader\"; deleteheader \"x-multi\";" IF("exists \"x-multi\""), NO },
	{ "require \"editheader\"; deleteheader \"received\";" IF("exists \"received\""), YES },
};

static void go(const char *script, struct stub *s)
{
	*s = (struct stub){ .script = bytes_of(script), .message = bytes_of(message), .from = "sender@example.org", .to = "rcpt@example.com" };
	stub_go(s);
}

static void test_actions(void **state)
{
	(void)state;
	unsigned wrong = 0;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct stub s;
		go(cases[i].script, &s);
		if (!s.compiled && !s.result && s.outcome.implicit_keep)
			buf_add_str(&s.actions, "(keep)\n");
		if (s.compiled || s.result || strcmp(buf_str(&s.actions), cases[i].actions) != 0) {
			print_error("%s\ndoes:     %s%sexpected: %s", cases[i].script, buf_str(&s.actions), buf_str(&s.err), cases[i].actions);
			wrong++;
		}
		stub_fini(&s);
	}
	assert_int_equal(wrong, 0);
}

/* ---- what becomes of the header ---- */

static const char multi[] = "X-A: one\r\nX-B: b\r\nX-A: two\r\nX-A: three\r\n";
static const struct {
	const char *script, *header;
} edits[] = {
	{ "addheader \"X-C\" \"c\";", "X-C: c\r\nX-A: one\r\nX-B: b\r\nX-A: two\r\nX-A: three\r\n" },
	{ "addheader :last \"X-C\" \"c\";", "X-A: one\r\nX-B: b\r\nX-A: two\r\nX-A: three\r\nX-C: c\r\n" },
	{ "deleteheader \"x-a\";", "X-B: b\r\n" },
	{ "deleteheader :index 2 \"x-a\";", "X-A: one\r\nX-B: b\r\nX-A: three\r\n" },
	{ "deleteheader :index 1 :last \"x-a\";", "X-A: one\r\nX-B: b\r\nX-A: two\r\n" },
	{ "deleteheader :index 4 \"x-a\";", multi },
	{ "deleteheader :index 2 \"x-a\" \"one\";", multi },
	{ "deleteheader :matches \"x-a\" [\"o*\", \"*r*\"];", "X-B: b\r\nX-A: two\r\n" },
	{ "deleteheader :contains \"x-a\" \"o\";", "X-B: b\r\nX-A: three\r\n" },
	/* Nothing is injected. */
	{ "deleteheader \"x-a\"; addheader \"X-C\" \"a\r\nX-D: d\";", "X-C: a X-D: d\r\nX-B: b\r\n" },
	/* RFC 2047, folded before column 78 */
	{ "deleteheader \"x-a\"; addheader \"Subject\" \"Gr\xc3\xbc\xc3\x9f" "e aus K\xc3\xb6ln am Rhein\";",
		"Subject: =?UTF-8?B?R3LDvMOfZQ==?= aus =?UTF-8?B?S8O2bG4=?= am Rhein\r\nX-B: b\r\n" },
	{ "deleteheader \"x-a\"; addheader \"X-Long\" \"0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 end\";",
		"X-Long: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\r\n 0123456789 end\r\nX-B: b\r\n" },
};

static void test_edits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(edits); i++) {
		char *script = mem_printf("require \"editheader\"; %s", edits[i].script);
		char *text = mem_printf("%s\r\nbody\r\n", multi);
		struct stub s = { .script = bytes_of(script), .message = bytes_of(text) };
		stub_go(&s);
		assert_string_equal(buf_str(&s.err), "");
		assert_string_equal(buf_str(&s.header), edits[i].header);
		stub_fini(&s);
		mem_free(script);
		mem_free(text);
	}
}

/* ---- failures ---- */

#define DOUBLE "set \"a\" \"${a}${a}\";"
#define DOUBLE8 DOUBLE DOUBLE DOUBLE DOUBLE DOUBLE DOUBLE DOUBLE DOUBLE
#define LONG VARS "set \"a\" \"aaaaaaaaaaaaaaaa\";" DOUBLE8 DOUBLE DOUBLE DOUBLE

static const struct {
	const char *script;
	int result;
	const char *why;
} failures[] = {
	{ "require \"extlists\";" IF("address :list \"from\" \":list:broken\""), -EREMOTEIO, "t.sieve:1:23: the list is broken" },
	{ "require \"extlists\"; if not address :list \"from\" \":list:broken\" { keep; }", -EREMOTEIO, "t.sieve:1:28: the list is broken" },
	{ VARS "set \"a\" \"0123456789abcdef\";" DOUBLE8 DOUBLE8, -E2BIG, "t.sieve:1:276: a string with variables came to more than 65536 bytes" },
	{ VARS "require \"editheader\"; set \"n\" \"a b\"; addheader \"${n}\" \"v\";", -EINVAL, "t.sieve:1:58: \"a b\" cannot be the name of a header field" },
	/* Wildcards that never end: 32768 letters, and a pattern that fails at each of them after a long walk. */
	{ LONG "set \"v\" \"${a}${a}\"; if string :matches \"${v}\" [\"*${a}b*\"] { keep; }", -E2BIG, "the script did more than 50000 steps" },
	{ LONG "if string :contains \"${a}\" [\"${a}b\", \"ab\"] { keep; }", 0, "" },
	{ LONG "if string :contains \"${a}${a}\" [\"${a}b\", \"${a}c\", \"${a}d\"] { keep; }", -E2BIG, "the script did more than 50000 steps" },
};

static void test_failures(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(failures); i++) {
		struct stub s;
		go(failures[i].script, &s);
		assert_string_equal(s.compiled ? buf_str(&s.err) : "", "");
		assert_int_equal(s.result, failures[i].result);
		if (!strstr(buf_str(&s.err), failures[i].why))
			fail_msg("%s instead of %s", buf_str(&s.err), failures[i].why);
		stub_fini(&s);
	}
}

static int setup(void **state)
{
	(void)state;
	return run_init();
}

static int teardown(void **state)
{
	(void)state;
	run_fini();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_actions), cmocka_unit_test(test_edits), cmocka_unit_test(test_failures) };
	return cmocka_run_group_tests(tests, setup, teardown);
}
