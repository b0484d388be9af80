/* test_reader.c: mistakes in a configuration, and what is said of them; values; lines. */
#include "lib/base/mem.h"
#include "lib/run/task.h"
#include "mta/reader.h"

#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static cfg_opt_t inner_settings[] = { READER_VALUE("default"), READER_VALUE("timeout"), CFG_END() };
static cfg_opt_t milter_settings[] = {
	READER_LIST("socket"), READER_VALUE("command_timeout"), READER_VALUE("on_failure"),
	READER_SECTION("on_failure" CONFIG_TEXT_SECTION_SUFFIX, inner_settings), CFG_END(),
};
static cfg_opt_t tls_settings[] = { READER_VALUE("key"), CFG_END() };
static const cfg_opt_t settings[] = {
	READER_VALUE("hostname"), READER_VALUE("spool"), READER_LIST("words"), READER_SECTION("tls", tls_settings),
	READER_TITLED("milter", milter_settings), CFG_END(),
};

struct parsed {
	struct reader r;
	struct arena arena;
	struct buf err;
	int status;
};

static void parse(struct parsed *p, const char *text)
{
	*p = (struct parsed){ 0 };
	p->status = reader_parse(&p->r, "/etc/x/g.conf", bytes_of(text), settings, &p->arena, &p->err);
}

static void forget(struct parsed *p)
{
	reader_close(&p->r);
	arena_fini(&p->arena);
	buf_fini(&p->err);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "hostnam = x", "1: unknown setting hostnam; did you mean hostname?" },
		{ "milter m {\n  sokcet = \"unix:/x\"\n}", "2: unknown setting sokcet in milter m; did you mean socket?" },
		{ "quux = 1", "1: unknown setting quux" },
		{ "\n\nproxy amavis { smtp = x }", "3: proxy is not in this version (" GATEPOST_VERSION ")" },
		{ "hostname x", "1: hostname takes a value: \"hostname = ...\"" },
		{ "hostname { }", "1: hostname takes a value: \"hostname = ...\"" },
		{ "hostname = { a }", "1: a value, not a section or a list, is wanted here" },
		{ "tls = x", "1: tls is a section: an opening brace is missing" },
		{ "milter { socket = x }", "1: a name is missing: \"milter NAME { ... }\"" },
		{ "milter a { }\nmilter a { }", "2: \"a\" is defined twice" },
		{ "hostname = a\n\nhostname = b", "3: hostname is set twice, first on line 1" },
		{ "words = {a, b}\nwords = c", "2: words is set twice, first on line 1" },
		{ "words = a\nwords = {b}", "2: words is set twice, first on line 1" },
		{ "hostname += a", "1: hostname takes one value: \"+=\" is for lists" },
		{ "milter m {\n socket = x\n", "1: the brace opened here is never closed" },
		{ "milter m {\n socket = {a,\n }\n", "1: the brace opened here is never closed" },
		{ "\nhostname =", "2: the file ends in the middle of a setting" },
		{ "}\n", "1: this closing brace has no opening one" },
		{ "hostname = \"abc\n\n", "1: this string has no end: \" is missing" },
		{ "\n/* no end\n\n", "2: this comment has no end: \"*/\" is missing" },
		{ "hostname = *", "1: a value with * in it has to be quoted" },
		{ "hostname = a + b", "1: a value with + in it has to be quoted" },
		/* A comment does not count as a line of its own. */
		{ "/* one */ /* two\n */ // three\n# four\nbad = 1", "4: unknown setting bad" },
		{ "tls { on_failure { } }", "1: unknown setting on_failure in tls" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct parsed p;
		char *expected = mem_printf("/etc/x/g.conf:%s", cases[i].said);
		parse(&p, cases[i].text);
		assert_string_equal(buf_str(&p.err), expected);
		assert_int_equal(p.status, -EINVAL);
		forget(&p);
		mem_free(expected);
	}
}

static void test_nul(void **state)
{
	struct parsed p = { 0 };
	(void)state;
	p.status = reader_parse(&p.r, "g.conf", BYTES("a\nb\0c"), settings, &p.arena, &p.err);
	assert_int_equal(p.status, -EINVAL);
	assert_string_equal(buf_str(&p.err), "g.conf:2: there is a NUL byte in this line");
	forget(&p);
}

static void test_values(void **state)
{
	struct parsed p;
	(void)state;
	parse(&p, "spool = sub/spool # relative\nwords = {a, \"b c\",\n d}\nwords += e\n"
		  "milter m {\n on_failure = accept\n command_timeout = 250ms }\nmilter n {\n\n on_failure { default = hold }\n}\n");
	assert_int_equal(p.status, 0);
	assert_string_equal(reader_path(&p.r, p.r.root, "spool"), "/etc/x/sub/spool");
	assert_null(reader_str(&p.r, p.r.root, "hostname"));
	assert_int_equal(reader_count(p.r.root, "words"), 4);
	assert_string_equal(reader_item(&p.r, p.r.root, "words", 1), "b c");
	assert_int_equal(reader_line(&p.r, p.r.root, "words", 2), 3);
	assert_int_equal(reader_line(&p.r, p.r.root, "words", 3), 4);
	cfg_t *m = cfg_getnsec(p.r.root, "milter", 0), *n = cfg_getnsec(p.r.root, "milter", 1);
	assert_int_equal(reader_section_line(&p.r, m), 5);
	assert_int_equal(reader_section_line(&p.r, n), 8);
	assert_int_equal(reader_duration(&p.r, m, "command_timeout", 0), MS(250));
	assert_int_equal(reader_duration(&p.r, n, "command_timeout", 7), 7);
	assert_string_equal(reader_str(&p.r, m, "on_failure"), "accept");
	assert_string_equal(reader_str(&p.r, cfg_getsec(n, "on_failure" CONFIG_TEXT_SECTION_SUFFIX), "default"), "hold");
	assert_false(p.r.failed);
	forget(&p);
}

enum what { DURATION, SIZE, NUMBER, BOOL, WORD };
static int64_t read_as(struct reader *r, enum what what)
{
	static const char *const words[] = { "accept", "reject", NULL };
	switch (what) {
	case DURATION:
		return reader_duration(r, r->root, "hostname", -1);
	case SIZE:
		return (int64_t)reader_size(r, r->root, "hostname", 77);
	case NUMBER:
		return reader_number(r, r->root, "hostname", 77, 1, 99);
	case BOOL:
		return reader_bool(r, r->root, "hostname", false);
	case WORD:
		return reader_word(r, r->root, "hostname", words, -1);
	}
	return 0;
}

static void test_meanings(void **state)
{
	static const struct {
		enum what what;
		const char *text;
		int64_t value;
		const char *said;       /* NULL: it is right */
	} cases[] = {
		{ DURATION, "30", SECONDS(30), NULL },
		{ DURATION, "5m", SECONDS(300), NULL },
		{ DURATION, "\"2 h\"", SECONDS(7200), NULL },
		{ DURATION, "1d", SECONDS(86400), NULL },
		{ DURATION, "0", -1, "hostname is a time such as 30s, 250ms, 5m or 1h, not \"0\"" },
		{ DURATION, "5x", -1, "hostname is a time such as 30s, 250ms, 5m or 1h, not \"5x\"" },
		{ DURATION, "99999999999d", -1, "hostname is a time such as 30s, 250ms, 5m or 1h, not \"99999999999d\"" },
		{ SIZE, "64k", 65536, NULL },
		{ SIZE, "2M", 2 << 20, NULL },
		{ SIZE, "0", 0, NULL },
		{ SIZE, "-1", 77, "hostname is a size in bytes such as 64k, 50M or 1G, not \"-1\"" },
		{ NUMBER, "99", 99, NULL },
		{ NUMBER, "100", 77, "hostname is a number from 1 to 99, not \"100\"" },
		{ NUMBER, "0", 77, "hostname is a number from 1 to 99, not \"0\"" },
		{ NUMBER, "many", 77, "hostname is a number from 1 to 99, not \"many\"" },
		{ BOOL, "yes", true, NULL },
		{ BOOL, "off", false, NULL },
		{ BOOL, "maybe", false, "hostname is yes or no, not \"maybe\"" },
		{ WORD, "reject", 1, NULL },
		{ WORD, "acept", -1, "hostname is one of accept, reject; not \"acept\"; did you mean accept?" },
		{ WORD, "\"\"", -1, "hostname is empty" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct parsed p;
		char *text = mem_printf("\nhostname = %s", cases[i].text);
		parse(&p, text);
		assert_int_equal(p.status, 0);
		assert_int_equal(read_as(&p.r, cases[i].what), cases[i].value);
		assert_int_equal(p.r.failed, cases[i].said != NULL);
		if (cases[i].said) {
			char *expected = mem_printf("/etc/x/g.conf:2: %s", cases[i].said);
			assert_memory_equal(buf_str(&p.err), expected, strlen(expected));
			mem_free(expected);
		}
		forget(&p);
		mem_free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes), cmocka_unit_test(test_nul), cmocka_unit_test(test_values), cmocka_unit_test(test_meanings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
