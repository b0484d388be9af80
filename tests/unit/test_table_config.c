/* test_table_config.c: the files of sqlite_table(5) and its kin, and their templates.  Expansions are those of Debian's `postmap -q` (3.7.11); tests/interop/
 * test_table_modules.py asks it. */
#include "tests/unit/table_test.h"

#include "tcp_table/memcache_codec.h"
#include "tcp_table/table_config.h"
#include "tcp_table/table_domains.h"
#include "tcp_table/table_module.h"
#include "tcp_table/table_query.h"

#include <limits.h>

static int parse(const char *text, struct table_config *ret, struct buf *err)
{
	buf_clear(err);
	return table_config_parse(bytes_of(text), "file", ret, err);
}

static void test_config(void **state)
{
	(void)state;
	struct table_config c;
	struct buf err = { 0 };
	assert_int_equal(parse("# c\n\nquery = SELECT a\n  FROM b # no comment\n# in between\n\tWHERE c\nempty =\nuser=x = y  \nyes = YES\nn = 12\nn = 13\nodd = 1\n", &c, &err), 0);
	assert_string_equal(table_config_str(&c, "query", ""), "SELECT a  FROM b # no comment\tWHERE c");
	assert_string_equal(table_config_str(&c, "empty", "x"), "");
	assert_string_equal(table_config_str(&c, "user", ""), "x = y");
	assert_string_equal(table_config_str(&c, "none", "default"), "default");
	assert_true(table_config_bool(&c, "yes", false));
	assert_true(table_config_bool(&c, "none", true));
	assert_int_equal(table_config_int(&c, "n", 0, 0, INT_MAX), 13);
	assert_int_equal(table_config_done(&c, &err), 0);
	assert_string_equal(buf_str(&c.notes.text), "file, line 11: \"n\" again: line 10 has no effect\nfile, line 12: there is no parameter \"odd\"\n");
	table_config_fini(&c);
	buf_fini(&err);
}

static void test_config_mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} unreadable[] = {
		{ " a = b\n", "file, line 1: the first line begins with white space, and so continues nothing" },
		{ "a = b\nc\n", "file, line 2: there is no '='" },
		{ "= b\n", "file, line 1: there is no name before the '='" },
	}, wrong[] = {
		{ "n = x\n", "file, line 1: n is a number from 0 to 9, not \"x\"" },
		{ "\nn = 10\n", "file, line 2: n is a number from 0 to 9, not \"10\"" },
		{ "n =\n", "file, line 1: n is a number from 0 to 9, not \"\"" },
		{ "b = true\n", "file, line 1: b cannot be \"true\"" },
		{ "need =\n", "file: the parameter \"need\" is missing" },
	};
	struct table_config c;
	struct buf err = { 0 };
	for (unsigned i = 0; i < COUNT_OF(unreadable); i++) {
		assert_int_equal(parse(unreadable[i].text, &c, &err), -EINVAL);
		assert_string_equal(buf_str(&err), unreadable[i].why);
	}
	for (unsigned i = 0; i < COUNT_OF(wrong); i++) {
		assert_int_equal(parse(wrong[i].text, &c, &err), 0);
		table_config_int(&c, "n", 0, 0, 9);
		table_config_bool(&c, "b", false);
		if (strncmp(wrong[i].text, "need", 4) == 0)
			assert_string_equal(table_config_need(&c, "need"), "");
		assert_int_equal(table_config_done(&c, &err), -EINVAL);
		assert_string_equal(buf_str(&err), wrong[i].why);
		table_config_fini(&c);
	}
	buf_fini(&err);
}

static int quote(void *arg, struct bytes value, struct buf *ret)
{
	(void)arg;
	buf_printf(ret, "<%.*s>", BYTES_ARG(value));
	return 0;
}

static void test_questions(void **state)
{
	(void)state;
	static const struct {
		const char *template, *key, *question;  /* NULL: not asked */
	} cases[] = {
		{ "%s", "u@d", "<u@d>" }, { "x%%y", "k", "x%y" }, { "%u", "u@d", "<u>" }, { "%u", "user", "<user>" }, { "%u", "@d", NULL },
		{ "%d", "u@d", "<d>" }, { "%d", "user", NULL }, { "%d", "u@", NULL }, { "%u", "u@", "<u>" }, { "%S %U %D", "u@d", "<u@d> <u> <d>" },
		{ "%u at %d", "a@b@c", "<a@b> at <c>" }, { "%1", "u@a.b.c", "<c>" }, { "%3.%2", "u@a.b.c", "<a>.<b>" }, { "%4", "u@a.b.c", NULL },
		{ "%1", "user", NULL }, { "%2", "u@a..b", "<a>" }, { "%2", "u@.b", NULL }, { "%1", "u@b.", "<b>" }, { "%1", "u@.", NULL },
		{ "%d %s", "@d", "<d> <@d>" }, { "%1", "@a.b", "<b>" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct table_query q = { 0 };
		struct buf text = { 0 }, err = { 0 };
		struct bytes key = bytes_of(cases[i].key);
		assert_int_equal(table_query_learn(&q, cases[i].template, false, &err), 0);
		assert_int_equal(table_query_fits(&q, key), cases[i].question != NULL);
		if (cases[i].question) {
			assert_int_equal(table_query_ask(cases[i].template, key, &(struct table_quote){ quote, NULL }, &text), 0);
			assert_string_equal(buf_str(&text), cases[i].question);
		}
		buf_fini(&text);
	}
}

static void test_question_mistakes(void **state)
{
	(void)state;
	static const char *const wrong[] = { "%", "a%0", "%x", "%s%" };
	for (unsigned i = 0; i < COUNT_OF(wrong); i++) {
		struct table_query q = { 0 };
		struct buf err = { 0 };
		assert_int_equal(table_query_learn(&q, wrong[i], false, &err), -EINVAL);
		assert_non_null(strstr(buf_str(&err), "a '%' that is followed by none of"));
		buf_fini(&err);
	}
}

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *template, *key, *values[4], *value;
		unsigned limit;
		int result;
	} cases[] = {
		{ "%s", "k", { "a", "b" }, "a,b", 0, 0 },
		{ "%s", "k", { "", "b", "" }, "b", 1, 0 },
		{ "%s", "k", { "a", "b" }, "a", 1, -E2BIG },
		{ "%u+%d", "k", { "x@y", "z", "@w", "q@" }, "x+y", 0, 0 },
		{ "<%u>", "k", { "x@y", "z", "@w" }, "<x>,<z>", 0, 0 },
		{ "%s:%S:%U:%D:%1", "u@d.e", { "v'" }, "v':u@d.e:u:d.e:e", 0, 0 },
		{ "%s", "k", { "0123456789012345678901234567890123456789" }, NULL, 0, -EMSGSIZE },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct table_query q = { 0 };
		struct buf err = { 0 }, value = { 0 };
		assert_int_equal(table_query_learn(&q, cases[i].template, true, &err), 0);
		struct table_values v = { .query = &q, .template = cases[i].template, .key = bytes_of(cases[i].key), .limit = cases[i].limit, .most = 30, .ret = &value };
		int r = 0;
		for (unsigned k = 0; r == 0 && k < COUNT_OF(cases[i].values) && cases[i].values[k]; k++)
			r = table_values_add(&v, bytes_of(cases[i].values[k]));
		assert_int_equal(r, cases[i].result);
		if (cases[i].value)
			assert_string_equal(buf_str(&value), cases[i].value);
		buf_fini(&value);
	}
}

/* ---- domains ---- */

struct admit_job {
	struct table_domains *domains;
	const char *key;
	int result;
};

TASK_FN static void admit_run(void *arg)
{
	struct admit_job *job = arg;
	struct buf err = { 0 };
	job->result = table_domains_admit(job->domains, bytes_of(job->key), &err);
	buf_fini(&err);
}

static void test_domains(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		int admitted;
	} cases[] = { { "u@a.test", 1 }, { "u@A.TEST", 1 }, { "u@b.test", 0 }, { "u@sub.a.test", 0 }, { "u@c.test", 1 }, { "u@in.test", 1 }, { "user", 0 },
		      { "@a.test", 0 }, { "u@", 0 }, { "u@f.test", 1 }, { "u@not.test", 0 } };
	struct table_domains *d;
	struct buf err = { 0 };
	char list[200];
	file_write(file_path(), "# names\nf.test, g.test\n!not.test\n", 60);
	snprintf(list, sizeof list, "!b.test a.test, %s,inline:{in.test=x, {not.test = y}}\tc.test b.test", file_path());
	const struct table_options o = { .kinds = kinds };
	assert_int_equal(table_domains_open(bytes_of(list), &o, &d, &err), 0);
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct admit_job job = { .domains = d, .key = cases[i].key };
		in_task(admit_run, &job);
		assert_int_equal(job.result, cases[i].admitted);
	}
	table_domains_close(&d);
	assert_int_equal(table_domains_open(BYTES("a.test /nonexistent/file"), &o, &d, &err), -ENOENT);
	assert_string_equal(buf_str(&err), "cannot read /nonexistent/file: No such file or directory");
	buf_fini(&err);
}

/* ---- modules ---- */

static void test_module_missing(void **state)
{
	(void)state;
	const struct table_driver *d;
	struct buf err = { 0 };
	assert_int_equal(table_module_load("nonesuch", "its library (Debian: libnonesuch)", &d, &err), -ENOENT);
	assert_non_null(strstr(buf_str(&err), "tables of type nonesuch need the module /"));
	assert_non_null(strstr(buf_str(&err), "/table_nonesuch.so: gatepost was built without its library (Debian: libnonesuch)"));
	buf_fini(&err);
}

static void test_memcache(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		int result;
		size_t n;
		const char *why;
	} cases[] = {
		{ "END", 0, 0, NULL }, { "VALUE key 0 12", 1, 12, NULL }, { "VALUE key 7 0 99", 1, 0, NULL }, { "VALUE other 0 12", -EPROTO, 0, "an unexpected reply" },
		{ "VALUE key 0 1001", -EPROTO, 0, "the value is too long (data_size_limit)" }, { "VALUE key 0 -1", -EPROTO, 0, "an unexpected reply" },
		{ "VALUE key 0 99999999999999999999999", -EPROTO, 0, "an unexpected reply" }, { "VALUE key", -EPROTO, 0, "an unexpected reply" },
		{ "ERROR", -EPROTO, 0, "an unexpected reply" }, { "", -EPROTO, 0, "an unexpected reply" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		const char *why = NULL;
		size_t n = 0;
		assert_int_equal(memcache_codec_reply(bytes_of(cases[i].line), BYTES("key"), 1000, &n, &why), cases[i].result);
		assert_int_equal(n, cases[i].n);
		if (cases[i].why)
			assert_string_equal(why, cases[i].why);
	}
	assert_true(memcache_codec_sane(BYTES("k'%*")));
	assert_false(memcache_codec_sane(BYTES("a\r\nflush_all")));
	assert_false(memcache_codec_sane(BYTES("a b")));
	assert_false(memcache_codec_sane(BYTES("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config), cmocka_unit_test(test_config_mistakes), cmocka_unit_test(test_questions),
		cmocka_unit_test(test_question_mistakes), cmocka_unit_test(test_values), cmocka_unit_test(test_memcache),
		cmocka_unit_test_setup_teardown(test_domains, setup, teardown), cmocka_unit_test(test_module_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
