/* test_table_keys.c: which keys are tried, in which order; lists of addresses; logical lines of table files. */
#include "tcp_table/address_list.h"
#include "tcp_table/table_keys.h"
#include "lib/base/mem.h"
#include "lib/smtp/address.h"
#include "tcp_table/table_lines.h"
#include "tcp_table/table_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct keys_case {
	enum table_use use;
	const char *key, *delimiters;
	bool whole_only;
	const char *want;       /* the keys, " | " between them */
} keys_cases[] = {
	{ TABLE_WHOLE, "a+b@c.test", "+", false, "a+b@c.test" },
	{ TABLE_ADDRESS, "a+b@c.test", "+", false, "a+b@c.test | a@c.test | @c.test" },
	{ TABLE_ADDRESS, "a@c.test", "+", false, "a@c.test | @c.test" },
	{ TABLE_ADDRESS, "a+b@c.test", "", false, "a+b@c.test | @c.test" },
	{ TABLE_ADDRESS, "a-b+c@d", "+-", false, "a-b+c@d | a@d | @d" },
	{ TABLE_ADDRESS, "+b@c", "+", false, "+b@c | @c" },
	{ TABLE_ADDRESS, "owner-list@c", "-", false, "owner-list@c | @c" },
	{ TABLE_ADDRESS, "list-request@c", "-", false, "list-request@c | @c" },
	{ TABLE_ADDRESS, "owner-list+x@c", "+", false, "owner-list+x@c | owner-list@c | @c" },
	{ TABLE_ADDRESS, "postmaster", "+", false, "postmaster" },
	{ TABLE_ADDRESS, "a@b@c", "+", false, "a@b@c | @c" },
	{ TABLE_ADDRESS, "a+b@c", "+", true, "a+b@c" },
	{ TABLE_RECIPIENT, "a+b@c.test", "+", false, "a+b@c.test | a@c.test | a+b | a | @c.test" },
	{ TABLE_RECIPIENT, "a@c.test", "+", false, "a@c.test | a | @c.test" },
	{ TABLE_RECIPIENT, "a+b", "+", false, "a+b | a" },
	{ TABLE_RECIPIENT, "a+b@c", "+", true, "a+b@c" },
	{ TABLE_ALIAS, "a+b@c", "+", false, "a+b | a" },
	{ TABLE_ALIAS, "a+b", "+", false, "a+b | a" },
	{ TABLE_ALIAS, "a+b@c", "+", true, "a+b" },
	{ TABLE_DOMAIN, "a.b.test", "+", false, "a.b.test | .b.test | .test" },
	{ TABLE_DOMAIN, "test", "+", false, "test" },
	{ TABLE_DOMAIN, "a.b.test", "+", true, "a.b.test" },
	{ TABLE_TRANSPORT, "u+x@a.b.test", "+", false, "u+x@a.b.test | u@a.b.test | a.b.test | .b.test | .test | *" },
	{ TABLE_TRANSPORT, "a.test", "+", false, "a.test | .test | *" },
	{ TABLE_TRANSPORT, "a.test", "+", true, "a.test" },
	{ TABLE_ACCESS_ADDRESS, "u+x@a.test", "+", false, "u+x@a.test | u@a.test | a.test | test | u+x@ | u@" },
	{ TABLE_ACCESS_ADDRESS, "u@a.test", "+", false, "u@a.test | a.test | test | u@" },
	{ TABLE_ACCESS_ADDRESS, "u@a.test", "+", true, "u@a.test" },
	/* As it is written does not matter. */
	{ TABLE_WHOLE, "\"u\"@a.test", "+", false, "\"u\"@a.test" },
	{ TABLE_ADDRESS, "\"u+x\"@a.test", "+", false, "u+x@a.test | u@a.test | @a.test" },
	{ TABLE_ADDRESS, "\"u\"@a.test", "+", true, "u@a.test" },
	{ TABLE_ADDRESS, "\"u v\"@a.test", "+", false, "\"u v\"@a.test | @a.test" },
	{ TABLE_TRANSPORT, "\"u\"@a.test", "+", false, "u@a.test | a.test | .test | *" },
	{ TABLE_ACCESS_ADDRESS, "\"u\\+x\"@a.test", "+", false, "u+x@a.test | u@a.test | a.test | test | u+x@ | u@" },
	{ TABLE_ACCESS_ADDRESS, "\"u v\"@a.test", "+", false, "u v@a.test | a.test | test | u v@" },
	{ TABLE_ALIAS, "\"a list\"@a.test", "+", false, "a list" },
	{ TABLE_ALIAS, "\"a \\\"list\"", "+", false, "a \"list" },
	{ TABLE_ACCESS_HOST, "mx.a.test", "+", false, "mx.a.test | a.test | test" },
	{ TABLE_ACCESS_HOST, "192.0.2.1", "+", false, "192.0.2.1 | 192.0.2 | 192.0 | 192" },
	{ TABLE_ACCESS_HOST, "2001:db8::1", "+", false, "2001:db8::1 | 2001:db8: | 2001:db8 | 2001" },
	{ TABLE_ACCESS_HOST, "192.0.2.1", "+", true, "192.0.2.1" },
	{ TABLE_ACCESS_HOST, "1.2.3", "+", false, "1.2.3 | 2.3 | 3" },
	{ TABLE_ACCESS_HOST, "trailing.dot.", "+", false, "trailing.dot. | dot." },
};

static void test_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(keys_cases); i++) {
		const struct keys_case *c = &keys_cases[i];
		struct table_keys keys;
		struct buf got = { 0 };
		struct bytes key;
		table_keys_init(&keys, c->use, bytes_of(c->key), c->delimiters, c->whole_only);
		while (table_keys_next(&keys, &key)) {
			buf_add_str(&got, got.n ? " | " : "");
			buf_add(&got, key);
		}
		assert_string_equal(buf_str(&got), c->want);
		assert_false(table_keys_next(&keys, &key));
		table_keys_fini(&keys);
		buf_fini(&got);
	}
}

/* The value of the Nth key (from 1), as addresses. */
static const struct map_case {
	enum table_use use;
	const char *key;
	unsigned nth;
	const char *value, *want;
} map_cases[] = {
	{ TABLE_ADDRESS, "a+b@c.test", 1, "x@y.test", "x@y.test" },
	{ TABLE_ADDRESS, "a+b@c.test", 2, "x@y.test", "x+b@y.test" },
	{ TABLE_ADDRESS, "a+b@c.test", 2, "x@y.test, z w@v.test,", "x+b@y.test, z+b@c.test, w+b@v.test" },
	{ TABLE_ADDRESS, "a+b@c.test", 2, "@y.test", "a+b@y.test" },
	{ TABLE_ADDRESS, "a+b@c.test", 3, "@y.test", "a+b@y.test" },
	{ TABLE_ADDRESS, "a+b@c.test", 3, "x@y.test", "x@y.test" },
	{ TABLE_ADDRESS, "a+b@c.test", 2, "\"x y\"@z.test", "\"x y+b\"@z.test" },
	{ TABLE_RECIPIENT, "a+b@c.test", 3, "x", "x@c.test" },
	{ TABLE_RECIPIENT, "a+b@c.test", 4, "x", "x+b@c.test" },
	{ TABLE_RECIPIENT, "a+b", 2, "x", "x+b" },
	{ TABLE_ADDRESS, "a@c.test", 1, " , ", "" },
	{ TABLE_ADDRESS, "a+b@c.test", 2, "Joe <x@y.test> (c)", "x+b@y.test" },
	{ TABLE_ADDRESS, "\"a+b\"@c.test", 2, "@y.test", "a+b@y.test" },
};

static void test_map(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(map_cases); i++) {
		const struct map_case *c = &map_cases[i];
		struct table_keys keys;
		struct buf got = { 0 };
		struct bytes key;
		table_keys_init(&keys, c->use, bytes_of(c->key), "+", false);
		for (unsigned n = 0; n < c->nth; n++)
			assert_true(table_keys_next(&keys, &key));
		table_map_complete(&keys, bytes_of(c->value), &got);
		assert_string_equal(buf_str(&got), c->want);
		table_keys_fini(&keys);
		buf_fini(&got);
	}
}

/* What Debian's Postfix 3.7.11 makes of it; where that is no address, or one with '@' or ':' in its name, there is no answer here: between [ ]. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const struct list_case {
	const char *value, *want;       /* divided by '|' */
	bool aliases;
} list_cases[] = {
	{ "", "" },
	{ " , ,\t", "" },
	{ "one", "one" },
	{ "one@a.test, two@b.test three", "one@a.test|two@b.test|three" },
	{ "<one@a.test>", "one@a.test" },
	{ "<one@a.test>,<two@a.test>", "one@a.test|two@a.test" },
	{ "Joe User <one@a.test>", "one@a.test" },
	{ "Joe Q. User <one@a.test>, Two <two@a.test> three", "one@a.test|two@a.test|three" },
	{ "\"Joe, User\" <one@a.test>", "one@a.test" },
	{ "one@a.test (the, one)", "one@a.test" },
	{ "(the (nested\\)) one) one@a.test", "one@a.test" },
	{ "one (c) two", "one|two" },
	{ "friends: one, two@a.test;", "one|two@a.test" },
	{ "my friends: one, Two <two@a.test>; three", "one|two@a.test|three" },
	{ "one;two", "one|two" },
	{ "\"one\"@a.test, \"two\"", "one@a.test|two" },
	{ "\"a b\"@a.test, a\\ b@a.test, \"x\\\"y\"", "\"a b\"@a.test|\"a b\"@a.test|\"x\\\"y\"" },
	{ "\"one@a.test\"", "\"one@a.test\"" },
	{ "\"one@a.test\", \"two@b\"@a.test", "one@a.test|\"two@b\"@a.test", .aliases = true },
	{ "one @ a . test", "one@a.test" },
	{ "\\one", "one" },
	{ "<@a.test,@b.test:one@c.test>", "one@c.test" },
	{ "one@[192.0.2.1]", "one@[192.0.2.1]" },
	{ "@a.test", "@a.test" },
	{ "j\xc3\xb6@a.test", "j\xc3\xb6@a.test" },
	{ "one@a.test:", "[one@a.test:]" },
	{ "a@b@c.test", "[a@b@c.test]" },
	{ "one <two@a.test", "[one<two@a.test]" },
	{ "one> two", "[one>two]" },
	{ "<>", "[<>]" },
	{ "\"\", one", "[]|one" },
	{ ":include:/etc/list", "[:include:/etc/list]" },
	{ "one :INCLUDE:/etc/list two; three", "one|[:INCLUDE:/etc/list]|two|three" },
	{ "\":include:/etc/a list\", one", "[:include:/etc/a list]|one" },
	{ "\"|cmd 'a b' \\\"c\\\"\", /dev/null", "[|cmd 'a b' \"c\"]|/dev/null" },
};

#pragma GCC diagnostic pop

static bool list_address(struct bytes text)
{
	struct arena arena = { 0 };
	struct smtp_address a;
	bool ok = bytes_starts(text, BYTES("@")) || smtp_address_parse(text, &arena, &a) == 0;
	arena_fini(&arena);
	return ok && !bytes_starts(text, BYTES("\"|")) && !bytes_starts(text, BYTES("\":"));
}

static void test_list(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(list_cases); i++) {
		struct address_list list;
		struct address_item item;
		struct buf got = { 0 };
		address_list_init(&list, bytes_of(list_cases[i].value), list_cases[i].aliases);
		while (address_list_next(&list, &item)) {
			bool ok = list_address(item.address);
			buf_printf(&got, ok ? "%s%.*s" : "%s[%.*s]", got.n ? "|" : "", BYTES_ARG(ok ? item.address : item.plain));
		}
		assert_string_equal(buf_str(&got), list_cases[i].want);
		address_list_fini(&list);
		buf_fini(&got);
	}
}

static const struct lines_case {
	const char *text, *want;        /* "number:line" divided by '|'; '~' before a line that continues nothing */
} lines_cases[] = {
	{ "", "" },
	{ "\n\n# x\n  # y\n", "" },
	{ "a b", "1:a b" },
	{ "a\nb\n", "1:a|2:b" },
	{ "a\n b\n\tc\nd\n", "1:a b\tc|4:d" },
	{ "a\n# in between\n\n  \n b\nc", "1:a b|6:c" },
	{ "# first\n\n  orphan\n more\na\n", "~3:  orphan more|5:a" },
	{ "a\r\nb", "1:a\r|2:b" },
	{ "a\n#c", "1:a" },
	{ "a\n b", "1:a b" },
};

static void test_lines(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(lines_cases); i++) {
		struct table_lines lines;
		struct buf got = { 0 };
		struct bytes line;
		table_lines_init(&lines, bytes_of(lines_cases[i].text));
		while (table_lines_next(&lines, &line))
			buf_printf(&got, "%s%s%u:%.*s", got.n ? "|" : "", lines.orphan ? "~" : "", lines.line, BYTES_ARG(line));
		assert_string_equal(buf_str(&got), lines_cases[i].want);
		table_lines_fini(&lines);
		buf_fini(&got);
	}
}

static void test_notes_are_bounded(void **state)
{
	(void)state;
	struct table_notes notes = { .file = "f" };
	for (unsigned i = 1; i <= 100; i++)
		table_note(&notes, i, "wrong %s", "thing");
	assert_int_equal(notes.count, 100);
	assert_true(bytes_starts(buf_bytes(&notes.text), BYTES("f, line 1: wrong thing\nf, line 2: ")));
	assert_true(bytes_ends(buf_bytes(&notes.text), BYTES("f, line 20: wrong thing\n")));
	table_notes_fini(&notes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_map), cmocka_unit_test(test_list),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_notes_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
