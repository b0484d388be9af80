/* test_smtp_address.c: which mailboxes pass, and what is read from them. */
#include "lib/smtp/address.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

struct good {
	const char *text, *address, *local, *domain;
	bool utf8;
};
static const struct good good[] = {
	{ "a@example.org", "a@example.org", "a", "example.org", false },
	{ "A.b+c@Example.ORG", "A.b+c@Example.ORG", "A.b+c", "Example.ORG", false },
	{ "a@example.org.", "a@example.org", "a", "example.org", false },
	{ "postmaster", "postmaster", "postmaster", "", false },
	{ "!#$%&'*+-/=?^_`{|}~@x.test", "!#$%&'*+-/=?^_`{|}~@x.test", "!#$%&'*+-/=?^_`{|}~", "x.test", false },
	{ "SRS0=ab=cd=x.test=u@y.test", "SRS0=ab=cd=x.test=u@y.test", "SRS0=ab=cd=x.test=u", "y.test", false },
	/* Dots anywhere, as Postfix. */
	{ ".a@x.test", ".a@x.test", ".a", "x.test", false },
	{ "a.@x.test", "a.@x.test", "a.", "x.test", false },
	{ "a..b@x.test", "a..b@x.test", "a..b", "x.test", false },
	{ "\"a b\"@x.test", "\"a b\"@x.test", "a b", "x.test", false },
	{ "\"a@b\"@x.test", "\"a@b\"@x.test", "a@b", "x.test", false },
	{ "\"a\\\"b\\\\c\\d\"@x.test", "\"a\\\"b\\\\c\\d\"@x.test", "a\"b\\cd", "x.test", false },
	{ "\"a\".b@x.test", "\"a\".b@x.test", "a.b", "x.test", false },
	{ "a.\"b c\".\"d\"@x.test", "a.\"b c\".\"d\"@x.test", "a.b c.d", "x.test", false },
	{ "\"\\\\\"@x.test", "\"\\\\\"@x.test", "\\", "x.test", false },
	{ "\"quoted\"", "\"quoted\"", "quoted", "", false },
	{ "a@[192.0.2.1]", "a@[192.0.2.1]", "a", "[192.0.2.1]", false },
	{ "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", false },
	{ "a@[ipv6:::ffff:192.0.2.1]", "a@[ipv6:::ffff:192.0.2.1]", "a", "[ipv6:::ffff:192.0.2.1]", false },
	{ "a@localhost", "a@localhost", "a", "localhost", false },
	{ "a@_dmarc.x-y.test", "a@_dmarc.x-y.test", "a", "_dmarc.x-y.test", false },
	{ "a@1x.2.test", "a@1x.2.test", "a", "1x.2.test", false },
	{ "a@" L63 ".test", "a@" L63 ".test", "a", L63 ".test", false },
	{ "j\xc3\xb6rg@b\xc3\xbc" "cher.test", "j\xc3\xb6rg@b\xc3\xbc" "cher.test", "j\xc3\xb6rg", "b\xc3\xbc" "cher.test", true },
	{ "\"\xe2\x82\xac\"@x.test", "\"\xe2\x82\xac\"@x.test", "\xe2\x82\xac", "x.test", true },
	/* Longer than 64 octets, as SRS makes them. */
	{ L63 L63 "@x.test", L63 L63 "@x.test", L63 L63, "x.test", false },
};

static void assert_slice(struct bytes got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

/* As a person writes it, and with the quotes it needs, which Postfix finds in tables. */
static void test_tidy(void **state)
{
	static const char *const pairs[][2] = {
		{ "a@x.test", "a@x.test" }, { "\"a\"@x.test", "a@x.test" }, { "\"a+b\"", "a+b" }, { "\"a\\b\"@x.test", "ab@x.test" },
		{ "\"a b\"@x.test", "\"a b\"@x.test" }, { "a.\"b c\".\"d\"@x.test", "\"a.b c.d\"@x.test" }, { "\"a@b\"@x.test", "\"a@b\"@x.test" },
		{ "\"x\\\"y\\\\\"", "\"x\\\"y\\\\\"" }, { "\"a..b\"@x.test", "a..b@x.test" }, { "\"\"@x.test", "\"\"@x.test" },
		/* No addresses. */
		{ "a\"b\"@x.test", "a\"b\"@x.test" }, { "\"a", "\"a" }, { "\"", "\"" }, { "\"a\"b", "\"a\"b" }, { "", "" }, { "@x\"y", "@x\"y" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct buf got = { 0 };
		smtp_address_tidy(bytes_of(pairs[i][0]), &got);
		assert_string_equal(buf_str(&got), pairs[i][1]);
		buf_fini(&got);
	}
}

static void test_quote(void **state)
{
	static const char *const pairs[][2] = {
		{ "a@x.test", "a@x.test" }, { "a b@x.test", "\"a b\"@x.test" }, { "a@b@x.test", "\"a@b\"@x.test" }, { "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "@x.test", "@x.test" }, { "", "\"\"" }, { "a@", "a@" }, { "a@x y", "a@x y" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct buf got = { 0 };
		smtp_address_quote(bytes_of(pairs[i][0]), &got);
		assert_string_equal(buf_str(&got), pairs[i][1]);
		buf_fini(&got);
	}
}

static void test_good(void **state)
{
	struct arena arena = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct smtp_address a;
		assert_int_equal(smtp_address_parse(bytes_of(good[i].text), &arena, &a), 0);
		assert_slice(a.address, good[i].address);
		assert_slice(a.local, good[i].local);
		assert_slice(a.domain, good[i].domain);
		assert_int_equal(a.utf8, good[i].utf8);
		assert_int_equal(a.address.p[a.address.n], '\0');
	}
	arena_fini(&arena);
}

static const char *const bad[] = {
	"", "@", "@x.test", "a@", "a@.", "a@.x", "a@x..y", "a@x.y..", "a@-x.test", "a@x-.test", "a@x.te st", "a b@x.test", "a@b@c.test",
	"<a@x.test>", "a@x.test>", "a,b@x.test", "a;b@x.test", "a:b@x.test", "(c)a@x.test", "a(c)@x.test", "a[b@x.test", "a\\b@x.test",
	"\"a@x.test", "\"a\"b@x.test", "a\"b\"@x.test", "\"a\"\"b\"@x.test", "\"\"@x.test", "\"\"", "\"a\\\"@x.test", "\"a\x01\"@x.test",
	"\"a\\\x01\"@x.test", "\"a\x7f\"@x.test", "a\x01@x.test", "a\x7f@x.test", "a\t@x.test", "a\r\n@x.test",
	"a@192.0.2.1", "a@1", "a@1.2.", "a@[192.0.2.1", "a@192.0.2.1]", "a@[192.0.2]", "a@[192.0.2.256]", "a@[]", "a@[", "a@[IPv6:]",
	"a@[IPv6:192.0.2.1]", "a@[2001:db8::1]", "a@[tag:x]", "a@[192.0.2.1]x", "a@[[192.0.2.1]]", "a@x!y", "a@x/y", "a@x@", "a@x\x01",
	"a@x" L63 ".test", "j\xf6rg@x.test", "a@\xff.test", "a@x\xc0\x80.test", "\"\xa4\"@x.test",
	"a@[00000000000000000000000000000000000000000000000000000000000000000000192.0.2.1]",
};

static void test_bad(void **state)
{
	struct arena arena = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct smtp_address a = { .utf8 = true };
		if (smtp_address_parse(bytes_of(bad[i]), &arena, &a) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(a.utf8 && !a.address.p);
	}
	struct smtp_address a;
	assert_int_equal(smtp_address_parse(BYTES("a\0b@x.test"), &arena, &a), -EINVAL);
	assert_int_equal(smtp_address_parse(BYTES("a@x\0.test"), &arena, &a), -EINVAL);
	assert_int_equal(smtp_address_parse(BYTES("a@[192.0.2.1\0]"), &arena, &a), -EINVAL);
	assert_int_equal(smtp_address_parse((struct bytes){ NULL, 0 }, &arena, &a), -EINVAL);
	arena_fini(&arena);
}

/* The path with its brackets: 256 octets pass, 257 do not. */
static void test_length(void **state)
{
	struct arena arena = { 0 };
	struct smtp_address a;
	char text[300];

	(void)state;
	memset(text, 'a', sizeof text);
	memcpy(text + 247, "@x.test", 7);
	assert_int_equal(smtp_address_parse(bytes_make(text, 254), &arena, &a), 0);
	memset(text, 'a', sizeof text);
	memcpy(text + 248, "@x.test", 7);
	assert_int_equal(smtp_address_parse(bytes_make(text, 255), &arena, &a), -EINVAL);
	arena_fini(&arena);
}

static void test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool want;
	} table[] = {
		{ "a@x.test", "a@X.TEST", true }, { "a@x.test", "A@x.test", false }, { "\"a\"@x.test", "a@x.test.", true },
		{ "a", "a@x.test", false },       { "a", "a", true },
	};
	struct arena arena = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct smtp_address a, b;
		assert_int_equal(smtp_address_parse(bytes_of(table[i].a), &arena, &a), 0);
		assert_int_equal(smtp_address_parse(bytes_of(table[i].b), &arena, &b), 0);
		assert_int_equal(smtp_address_eq(&a, &b), table[i].want);
	}
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tidy), cmocka_unit_test(test_quote), cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
