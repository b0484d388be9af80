/* test_table_files.c: inline, static and the tables that are text files.  Answers are those of Debian's `postmap -q` (3.7.11) where no other reason is given. */
#include "tests/unit/table_test.h"

#include <sys/stat.h>

static void test_names(void **state)
{
	(void)state;
	expect_refused("/etc/aliases", "needs a type");
	expect_refused("nis:foo", "no table type \"nis\"; there are inline, static, texthash, cidr, pcre, regexp, hash, btree");
}

static void test_inline(void **state)
{
	(void)state;
	static const struct pair pairs[] = { { "a", "b" }, { "A", "b" }, { "c", "d, e" }, { "x", "b=c" }, { "n", "{b}" }, { "d", NULL },
					     { "dup", "2" }, { "br", "{b c}" }, { "", NULL } };
	expect_all(open_map("inline:{a=b,{ c = d, e }\t{X = b=c} {n={b}}, dup=1 dup=2, br={b c}}"), pairs, COUNT_OF(pairs));
	/* Ours alone: a list. */
	static const struct pair list[] = { { "example.org", "" }, { "EXAMPLE.net", "" }, { "example.com", NULL } };
	expect_all(open_map("inline:{example.org, example.net}"), list, COUNT_OF(list));
	expect_refused("inline:{ }", "empty");
	expect_refused("inline:{a=b}x", "needs the form");
	expect_refused("inline:{a=b", "needs the form");
	expect_refused("inline:a=b", "needs the form");
	expect_refused("inline:{a=b} {c=d}", "needs the form");
	expect_refused("inline:{ a = b }", "has a '='");
	expect_all(open_map("inline:{=b, c=d}"), (const struct pair[]){ { "c", "d" }, { "b", NULL } }, 2);
	expect_refused("inline:{a=b c}", "no '='");
	expect_refused("inline:{a, c=d}", "has a '='");
}

static void test_static(void **state)
{
	(void)state;
	static const struct pair pairs[] = { { "any", "bar baz" }, { "other", "bar baz" }, { "", NULL } };
	expect_all(open_map("static:bar baz"), pairs, COUNT_OF(pairs));
	expect_all(open_map("static:{ bar baz }"), pairs, COUNT_OF(pairs));
	expect_refused("static:", "needs a type and a name");
	expect_refused("static:{x}y", "closing brace is missing, or something follows");
	expect_refused("static:{x}{y}", "closing brace");
}

/* Lines in the name: there is no file that could be looked for. */
static void test_inlined(void **state)
{
	(void)state;
	static const struct pair nets[] = { { "192.0.2.1", "net" }, { "::1", "six" }, { "192.0.3.1", NULL } };
	expect_all(open_map("cidr:{ {192.0.2.0/24 net}, { ::1\tsix } {bad} }"), nets, COUNT_OF(nets));
	assert_non_null(strstr(buf_str(&logged), "{bad} }, line 3: "));
	static const struct pair words[] = { { "a{2}", "exact" }, { "aa", "two" }, { "a", NULL } };
	expect_all(open_map("pcre:{{/^a\\{2}$/ exact},{/a{2}/ two}}"), words, COUNT_OF(words));
	expect_refused("pcre:{/x/ y}", "needs the form pcre:{{line}, {line}}");
	expect_refused("regexp:{{/x/ y} {/z/ w}}}", "needs the form");
}

static void test_texthash(void **state)
{
	(void)state;
	file_write(file_path(),
		"# c\na b\n c\n# in\n   \n\td\nB   two  words  \nnoval\n:x y\ndup 1\ndup 2\n\"q r\" z\nkey: val\n  # x\nlast end\n\xff bad\ncr lf\r\n", 60);
	struct table *t = open_file("texthash");
	assert_non_null(strstr(buf_str(&logged), "line 8: a key without a value is ignored: \\\"noval\\\""));
	assert_non_null(strstr(buf_str(&logged), "line 11: \\\"dup\\\" again"));
	static const struct pair pairs[] = { { "a", "b c\td" }, { "A", "b c\td" }, { "b", "two  words" }, { "noval", NULL }, { ":x", "y" },
					     { "dup", "1" }, { "\"q r\"", "z" }, { "q r", NULL }, { "key:", "val" }, { "last", "end" },
					     { "\xff", NULL }, { "cr", "lf" } };
	expect_all(t, pairs, COUNT_OF(pairs));
}

/* As Postfix takes it, which says nothing. */
static void test_byte_order_mark(void **state)
{
	(void)state;
	static const struct pair pairs[] = { { "a", NULL }, { "\xef\xbb\xbf" "a", "b" }, { "c", "d" } };
	file_write(file_path(), "\xef\xbb\xbf" "a b\nc d\n", 60);
	struct table *t = open_file("texthash");
	assert_non_null(strstr(buf_str(&logged), "line 1: the file begins with a byte order mark"));
	expect_all(t, pairs, COUNT_OF(pairs));
}

static void test_cidr(void **state)
{
	(void)state;
	file_write(file_path(),
		"192.0.2.0/24 a\n192.0.2.1/24 bad\n!10.0.0.0/8 notten\n[2001:db8::]/32 six\n[2001:db9::/32] six2\n[2001:dba::1] six3\n"
		"if 10.1.0.0/16\n10.1.2.0/24 onetwo\nif !10.1.3.0/24\n10.1.4.0/24 four\n10.1.3.0/24 never\nendif\nendif x\nENDIF\n"
		"10.1.3.3 late\n  cont inued\n0.0.0.0/0 all4\nif 10.0.0.0/8 x\n10.2.0.0/16 yy\n10.3.0.0/33 y\nendif\n10.3.0.0 z\n"
		"1.2.3.4/ z\n!!10.3.0.1  w\n::/0\n::/0 all6\n", 60);
	struct table *t = open_file("cidr");
	static const struct pair pairs[] = {
		{ "192.0.2.7", "a" }, { "10.1.2.3", "onetwo" }, { "10.1.4.4", "four" }, { "10.1.3.3", "late  cont inued" },
		{ "10.1.3.4", "all4" }, { "10.2.0.1", "all4" }, { "10.3.0.0", "all4" }, { "2001:db8::5", "six" }, { "2001:db9::5", "six2" },
		{ "2001:dba::1", "six3" }, { "2001:dba::2", "all6" }, { "::ffff:10.1.2.3", "all6" }, { "foo", NULL }, { "10.3.0.1", "all4" },
		{ "010.1.2.3", NULL }, { "11.0.0.1", "notten" }, { "1.2.3.4.5", NULL }, { "1.2.3.0/24", NULL },
	};
	for (unsigned line = 2; line <= 25; line++) {
		char text[32];
		snprintf(text, sizeof text, "line %u: ", line);
		bool wrong = line == 2 || line == 13 || line == 18 || line == 20 || line == 21 || line == 23 || line == 25;
		assert_int_equal(strstr(buf_str(&logged), text) != NULL, wrong);
	}
	expect_all(t, pairs, COUNT_OF(pairs));

	file_write(file_path(), "10.1.0.0/16 a\nif 11.0.0.0/8\n11.1.0.0/16 in\n12.0.0.0/8 twelve\n", 60);
	static const struct pair open_if[] = { { "10.1.2.3", "a" }, { "11.1.2.3", "in" }, { "12.1.2.3", NULL } };
	expect_all(open_file("cidr"), open_if, COUNT_OF(open_if));
}

/* Each prefix length, against bit by bit comparison. */
static void test_cidr_bits(void **state)
{
	(void)state;
	struct buf text = { 0 };
	for (unsigned bits = 32; bits > 0; bits--) {
		unsigned long net = 0xa5a5a5a5UL & (0xffffffffUL << (32 - bits));
		buf_printf(&text, "%lu.%lu.%lu.%lu/%u %u\n", net >> 24, net >> 16 & 255, net >> 8 & 255, net & 255, bits, bits);
	}
	file_write(file_path(), buf_str(&text), 60);
	buf_fini(&text);
	struct table *t = open_file("cidr");
	expect(t, "165.165.165.165", "32");
	for (unsigned bit = 0; bit < 32; bit++) {
		unsigned long a = 0xa5a5a5a5UL ^ (0x80000000UL >> bit);
		char key[20], want[4];
		snprintf(key, sizeof key, "%lu.%lu.%lu.%lu", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
		snprintf(want, sizeof want, "%u", bit);
		expect(t, key, bit ? want : NULL);
	}
	table_close(&t);
}

static void test_missing_file(void **state)
{
	(void)state;
	struct table *t = NULL;
	struct buf err = { 0 };
	assert_int_equal(table_open(kinds, BYTES("texthash:/nowhere/table"), NULL, "test", &t, &err), -ENOENT);
	assert_string_equal(buf_str(&err), "cannot read /nowhere/table: No such file or directory");
	buf_clear(&err);
	assert_int_equal(table_open(kinds, BYTES("texthash:/tmp"), NULL, "test", &t, &err), -EISDIR);
	buf_fini(&err);
	/* What people write for a table without entries. */
	t = open_map("cidr:/dev/null");
	expect(t, "192.0.2.1", NULL);
	table_close(&t);
}

/* ---- a file that changes while it is in use ---- */

static void file_replace(const char *text, int seconds_ago)
{
	char other[96];
	snprintf(other, sizeof other, "%s.new", file_path());
	file_write(other, text, seconds_ago);
	assert_int_equal(rename(other, file_path()), 0);
}

static void test_replaced(void **state)
{
	(void)state;
	file_write(file_path(), "a old\n", 60);
	struct table *t = open_file("texthash");
	expect(t, "a", "old");
	/* Moved into place: complete, however young. */
	file_replace("a new\n", 0);
	expect(t, "a", "new");
	/* Written in place: believed when it has come to rest. */
	file_write(file_path(), "b half\n", 0);
	expect(t, "a", "new");
	expect(t, "b", NULL);
	file_write(file_path(), "b whole\n", 10);
	expect(t, "a", NULL);
	expect(t, "b", "whole");
	assert_int_equal(logged.n, 0);
	table_close(&t);
}

static void test_removed_truncated_unreadable(void **state)
{
	(void)state;
	file_write(file_path(), "a old\n", 60);
	struct table *t = open_file("texthash");
	assert_int_equal(unlink(file_path()), 0);
	expect(t, "a", "old");
	expect(t, "a", "old");
	const char *lost = strstr(buf_str(&logged), "No such file or directory: the old entries are kept");
	assert_non_null(lost);
	assert_null(strstr(strstr(lost, "kept"), "the old entries"));

	buf_clear(&logged);
	file_write(file_path(), "", 30);
	expect(t, "a", "old");
	assert_non_null(strstr(buf_str(&logged), "it is empty now"));

	buf_clear(&logged);
	assert_int_equal(unlink(file_path()), 0);
	assert_int_equal(mkdir(file_path(), 0700), 0);
	file_age(file_path(), 25);
	expect(t, "a", "old");
	expect(t, "a", "old");
	lost = strstr(buf_str(&logged), "Is a directory: the old entries are kept");
	assert_non_null(lost);
	assert_null(strstr(strstr(lost, "kept"), "the old entries"));
	assert_int_equal(rmdir(file_path()), 0);

	/* Emptied on purpose. */
	file_write(file_path(), "# nothing\n", 20);
	expect(t, "a", NULL);
	table_close(&t);
}

TASK_FN static void nul_main(void *arg)
{
	struct table *t = arg;
	struct buf value = { 0 }, err = { 0 };
	assert_int_equal(table_get(t, BYTES("a\0b"), &value, &err), -EINVAL);
	assert_int_equal(value.n, 0);
	buf_fini(&err);
}

static void test_nul_in_key(void **state)
{
	(void)state;
	struct table *t = open_map("static:x");
	in_task(nul_main, t);
	table_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names), TEST(test_inline), TEST(test_static), TEST(test_inlined), TEST(test_texthash), TEST(test_byte_order_mark), TEST(test_cidr), TEST(test_cidr_bits),
		TEST(test_missing_file), TEST(test_replaced), TEST(test_removed_truncated_unreadable), TEST(test_nul_in_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
