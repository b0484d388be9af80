/* test_table_kinds.c: the tables of the system, and those that are made of others. */
#include "tests/unit/table_test.h"

#include <grp.h>
#include <pwd.h>

/* ---- the system's ---- */

static void test_unix(void **state)
{
	(void)state;
	char line[1024];
	const struct passwd *pw = getpwuid(0);
	assert_non_null(pw);
	snprintf(line, sizeof line, "%s:%s:0:%u:%s:%s:%s", pw->pw_name, pw->pw_passwd, (unsigned)pw->pw_gid, pw->pw_gecos, pw->pw_dir, pw->pw_shell);
	const struct pair users[] = { { pw->pw_name, line }, { "ROOT", line }, { "no-such-user", NULL }, { "root:", NULL }, { "", NULL } };
	expect_all(open_map("unix:passwd.byname"), users, COUNT_OF(users));

	char members[8192];
	const struct group *gr = getgrgid(0);
	assert_non_null(gr);
	int n = snprintf(members, sizeof members, "%s:%s:0:", gr->gr_name, gr->gr_passwd);
	for (char **m = gr->gr_mem; *m; m++)
		n += snprintf(members + n, sizeof members - (size_t)n, "%s%s", m == gr->gr_mem ? "" : ",", *m);
	const struct pair groups[] = { { gr->gr_name, members }, { "no-such-group", NULL } };
	expect_all(open_map("unix:group.byname"), groups, COUNT_OF(groups));
	expect_refused("unix:shadow.byname", "only unix:passwd.byname and unix:group.byname");
}

static void test_environ(void **state)
{
	(void)state;
	setenv("gatepost_test", "a value", 1);
	setenv("gatepost_empty", "", 1);
	setenv("GATEPOST_UPPER", "x", 1);
	const struct pair p[] = {
		{ "gatepost_test", "a value" }, { "Gatepost_Test", "a value" }, { "gatepost_empty", "" }, { "gatepost_upper", NULL },
		{ "gatepost_test=a", NULL }, { "", NULL },
	};
	expect_all(open_map("environ:x"), p, COUNT_OF(p));
	expect_refused("environ:", "needs a type and a name");
}

/* WHY: what is said. */
static void expect_unknown(const char *map, const char *key, const char *why)
{
	struct question q = { .t = open_map(map), .key = key };
	in_task(ask_main, &q);
	print_message("[ case     ] %s -> %d %s\n", map, q.r, buf_str(&q.err));
	assert_int_equal(q.r, -EAGAIN);
	assert_int_equal(q.value.n, 0);
	assert_string_equal(buf_str(&q.err), why);
	buf_fini(&q.value);
	buf_fini(&q.err);
	table_close(&q.t);
}

static void test_fail(void **state)
{
	(void)state;
	expect_unknown("fail:it", "x", "fail:it always fails");
}

/* ---- made of others ---- */

static void test_unionmap(void **state)
{
	(void)state;
	const struct pair p[] = {
		{ "x", "1" }, { "Y", "2,3" }, { "z", NULL }, { "both", "b,b" }, { "empty", "full" }, { "nothing", NULL }, { "", NULL },
	};
	expect_all(open_map("unionmap:{ inline:{x=1, y=2, both=b, empty=, nothing=} , inline:{y=3 both=b empty=full} }"), p, COUNT_OF(p));
	expect_all(open_map("unionmap:{static:a,static:{b, c}}"), &(struct pair){ "x", "a,b, c" }, 1);
	/* One that cannot tell makes the whole so, wherever it stands. */
	expect_unknown("unionmap:{static:a, fail:it}", "x", "fail:it: fail:it always fails");
	expect_unknown("unionmap:{fail:it, static:a}", "x", "fail:it: fail:it always fails");
	expect_unknown("unionmap:{static:a, pipemap:{static:b, fail:it}}", "x", "pipemap:{static:b, fail:it}: fail:it: fail:it always fails");
}

static void test_pipemap(void **state)
{
	(void)state;
	const struct pair p[] = { { "x", "z w" }, { "X", "z w" }, { "y", NULL }, { "lost", NULL }, { "empty", NULL } };
	expect_all(open_map("pipemap:{inline:{x=Y, lost=q, empty=}, inline:{{y=z w}}}"), p, COUNT_OF(p));
	expect_all(open_map("pipemap:{static:a}"), &(struct pair){ "x", "a" }, 1);
	expect_all(open_map("pipemap:{unionmap:{static:a static:b},inline:{{a,b=both}}}"), &(struct pair){ "x", "both" }, 1);
	/* Not asked, not told. */
	expect_all(open_map("pipemap:{inline:{x=y}, fail:it}"), &(struct pair){ "y", NULL }, 1);
	expect_unknown("pipemap:{inline:{x=y}, fail:it}", "x", "fail:it: fail:it always fails");
	expect_unknown("pipemap:{fail:it, static:a}", "x", "fail:it: fail:it always fails");
}

/* Members in the thread pool and in files, beside others. */
static void test_members_that_wait(void **state)
{
	(void)state;
	char map[256];
	file_write(file_path(), "root u0\n", 60);
	snprintf(map, sizeof map, "unionmap:{texthash:%s, pipemap:{unix:group.byname, inline:{root:x:0:=g0}}, proxy:texthash:%s}", file_path(), file_path());
	expect_all(open_map(map), &(struct pair){ "root", "u0,g0,u0" }, 1);
}

static void test_randmap(void **state)
{
	(void)state;
	struct table *t = open_map("randmap:{a, {b c} d,e}");
	unsigned seen[5] = { 0 };
	/* Each misses 200 draws with a chance of 10^-25. */
	for (int i = 0; i < 200; i++) {
		struct question q = { .t = t, .key = "any" };
		in_task(ask_main, &q);
		assert_int_equal(q.r, 1);
		const char *value = buf_str(&q.value);
		assert_true(strcmp(value, "{b c}") == 0 || (strlen(value) == 1 && strchr("ade", *value)));
		seen[*value == '{' ? 1 : *value - 'a']++;
		buf_fini(&q.value);
		buf_fini(&q.err);
	}
	assert_true(seen[0] && seen[1] && !seen[2] && seen[3] && seen[4]);
	table_close(&t);
}

static void test_debug(void **state)
{
	(void)state;
	const struct pair p[] = { { "X", "y" }, { "z", NULL } };
	expect_all(open_map("debug:proxy:inline:{x=y}"), p, COUNT_OF(p));
	assert_non_null(strstr(buf_str(&logged), "proxy:inline:{x=y}: \\\"X\\\" = \\\"y\\\""));
	assert_non_null(strstr(buf_str(&logged), "proxy:inline:{x=y}: \\\"z\\\": not found"));
	expect_unknown("debug:fail:it", "x", "fail:it always fails");
	assert_non_null(strstr(buf_str(&logged), "fail:it: \\\"x\\\": cannot tell: fail:it always fails"));
}

static void test_refused(void **state)
{
	(void)state;
	static const struct pair refused[] = {
		{ "unionmap:{}", "there is no table in it" },
		{ "pipemap:{ , }", "there is no table in it" },
		{ "randmap:{}", "there is no value in it" },
		{ "unionmap:static:a", "it needs the form unionmap:{type:name, ...}" },
		{ "pipemap:{static:a", "it needs the form pipemap:{type:name, ...}" },
		{ "pipemap:{static:a}}", "it needs the form pipemap:{type:name, ...}" },
		{ "randmap:{a}{b}", "it needs the form randmap:{value, ...}" },
		{ "unionmap:{static:a, nosuch:b}", "nosuch:b: no table type \"nosuch\"" },
		{ "unionmap:{static:a, b}", "b: \"b\" is no table" },
		{ "pipemap:{static:a, unionmap:{inline:{}}}", "unionmap:{inline:{}}: inline:{}: the table is empty" },
		{ "debug:nosuch:b", "no table type \"nosuch\"" },
		{ "proxy:nosuch:b", "no table type \"nosuch\"" },
		{ "proxy:", "needs a type and a name" },
		{ "debug:debug:debug:debug:debug:debug:debug:debug:static:a", "more than 8 tables within each other" },
	};
	for (unsigned i = 0; i < COUNT_OF(refused); i++)
		expect_refused(refused[i].key, refused[i].value);
	expect_all(open_map("debug:debug:debug:debug:debug:debug:debug:static:a"), &(struct pair){ "x", "a" }, 1);
}

/* A relative file within another table is of the same folder as one alone. */
static void test_folder(void **state)
{
	(void)state;
	const struct table_options o = { .folder = folder };
	struct buf err = { 0 };
	struct table *t;
	file_write(file_path(), "joe jane\n", 60);
	for (int i = 0; i < 2; i++) {
		const char *map = i ? "unionmap:{proxy:texthash:table}" : "texthash:table";
		assert_int_equal(table_open(kinds, bytes_of(map), &o, "test", &t, &err), 0);
		expect_all(t, &(struct pair){ "joe", "jane" }, 1);
	}
}

struct find {
	struct table *t;
	int r;
};

TASK_FN static void find_main(void *arg)
{
	struct find *f = arg;
	struct buf value = { 0 }, err = { 0 };
	f->r = table_find(f->t, TABLE_ADDRESS, BYTES("joe@example.org"), &value, &err);
	buf_fini(&value);
	buf_fini(&err);
}

/* The first member says whether parts of keys are asked for. */
static void test_parts_of_keys(void **state)
{
	(void)state;
	static const struct {
		const char *map;
		int r;
	} cases[] = {
		{ "unionmap:{inline:{@example.org=x}, randmap:{y}}", 1 },
		{ "pipemap:{inline:{@example.org=x}, randmap:{y}}", 1 },
		{ "debug:unionmap:{inline:{@example.org=x}}", 1 },
		{ "pipemap:{pcre:/dev/null, inline:{@example.org=x}}", 0 },
		{ "unionmap:{pcre:/dev/null, inline:{@example.org=x}}", 0 },
		{ "debug:unionmap:{pcre:/dev/null, inline:{@example.org=x}}", 0 },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct find f = { .t = open_map(cases[i].map) };
		in_task(find_main, &f);
		print_message("[ case     ] %s -> %d\n", cases[i].map, f.r);
		assert_int_equal(f.r, cases[i].r);
		table_close(&f.t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unix), TEST(test_environ), TEST(test_fail), TEST(test_unionmap), TEST(test_pipemap), TEST(test_members_that_wait),
		TEST(test_randmap), TEST(test_debug), TEST(test_refused), TEST(test_folder), TEST(test_parts_of_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
