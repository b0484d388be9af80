/* test_smtp_command.c: MAIL and RCPT, and xtext. */
#include "lib/smtp/command.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct arena arena;

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void assert_slice(struct bytes got, const char *want)
{
	if (got.n != strlen(want) || (got.n && memcmp(got.p, want, got.n) != 0))
		fail_msg("got \"%.*s\", want \"%s\"", BYTES_ARG(got), want);
}

static void test_split(void **state)
{
	static const struct {
		const char *line, *verb, *argument;
	} table[] = {
		{ "NOOP", "NOOP", "" },
		{ "MAIL FROM:<a@b> SIZE=3", "MAIL", "FROM:<a@b> SIZE=3" },
		{ " \tmail   FROM:<> \t ", "mail", "FROM:<>" },
		{ "", "", "" },
		{ "   ", "", "" },
		{ "MAILFROM:<a@b>", "MAILFROM:<a@b>", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct bytes verb, argument;
		smtp_command_split(bytes_of(table[i].line), &verb, &argument);
		assert_slice(verb, table[i].verb);
		assert_slice(argument, table[i].argument);
	}
}

enum { STRICT_NO = 1, STRICT_YES = 2, EITHER = 3 };

static const struct path_case {
	enum smtp_verb verb;
	const char *argument;
	unsigned strict;        /* modes in which it passes */
	const char *raw, *address;
} path_cases[] = {
	{ SMTP_MAIL, "FROM:<a@x.test>", EITHER, "<a@x.test>", "a@x.test" },
	{ SMTP_MAIL, "from:<>", EITHER, "<>", "" },
	{ SMTP_RCPT, "To:<a@x.test>", EITHER, "<a@x.test>", "a@x.test" },
	{ SMTP_RCPT, "TO:<postmaster>", EITHER, "<postmaster>", "postmaster" },
	{ SMTP_RCPT, "TO:<Postmaster@x.test>", EITHER, "<Postmaster@x.test>", "Postmaster@x.test" },
	{ SMTP_RCPT, "TO:<@a.test,@b.test:c@x.test>", EITHER, "<@a.test,@b.test:c@x.test>", "c@x.test" },
	{ SMTP_RCPT, "TO:<@[192.0.2.1]:c@x.test>", EITHER, "<@[192.0.2.1]:c@x.test>", "c@x.test" },
	{ SMTP_RCPT, "TO:<\"a>b\"@x.test>", EITHER, "<\"a>b\"@x.test>", "\"a>b\"@x.test" },
	{ SMTP_RCPT, "TO:<\"a\\\">b\"@x.test>", EITHER, "<\"a\\\">b\"@x.test>", "\"a\\\">b\"@x.test" },
	{ SMTP_RCPT, "TO:<\"a b\"@x.test>", EITHER, "<\"a b\"@x.test>", "\"a b\"@x.test" },
	{ SMTP_MAIL, "FROM:<a@x.test.>", EITHER, "<a@x.test.>", "a@x.test" },
	/* What Postfix takes unless strict_rfc821_envelopes is set. */
	{ SMTP_MAIL, "FROM: <a@x.test>", STRICT_NO, "<a@x.test>", "a@x.test" },
	{ SMTP_MAIL, "FROM: \t <>", STRICT_NO, "<>", "" },
	{ SMTP_MAIL, "FROM:a@x.test", STRICT_NO, "<a@x.test>", "a@x.test" },
	{ SMTP_RCPT, "TO: a@x.test", STRICT_NO, "<a@x.test>", "a@x.test" },
	{ SMTP_RCPT, "TO:\"a b\"@x.test", STRICT_NO, "<\"a b\"@x.test>", "\"a b\"@x.test" },
	{ SMTP_RCPT, "TO:@a.test:c@x.test", STRICT_NO, "<@a.test:c@x.test>", "c@x.test" },
	{ SMTP_RCPT, "TO:< a@x.test >", STRICT_NO, "< a@x.test >", "a@x.test" },
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(path_cases); i++) {
		const struct path_case *c = &path_cases[i];
		for (unsigned strict = 0; strict < 2; strict++) {
			struct smtp_path path = { 0 };
			struct smtp_reply error = { 0 };
			int r = smtp_path_parse(c->verb, bytes_of(c->argument), strict, &arena, &path, &error);
			if ((r == 0) != ((c->strict & (strict ? STRICT_YES : STRICT_NO)) != 0))
				fail_msg("%s strict %u: %d", c->argument, strict, r);
			if (r < 0) {
				assert_int_equal(error.code, 501);
				continue;
			}
			assert_slice(path.raw, c->raw);
			assert_slice(path.address.address, c->address);
			assert_int_equal(path.param_count, 0);
			assert_null(path.params);
		}
	}
}

static void test_parameters(void **state)
{
	struct smtp_path p;
	struct smtp_reply error;

	(void)state;
	assert_int_equal(smtp_path_parse(SMTP_MAIL, BYTES("FROM:<a@x.test>  size=42\tBODY=BinaryMIME SMTPUTF8 RET=hdrs ENVID=q+2B1 AUTH=<>"), true,
			     &arena, &p, &error), 0);
	assert_int_equal(p.size, 42);
	assert_int_equal(p.body, SMTP_BODY_BINARYMIME);
	assert_true(p.body_given && p.smtputf8 && p.ret_headers && !p.ret_full);
	assert_slice(p.envid, "q+2B1");
	assert_slice(p.auth, "<>");
	assert_int_equal(p.param_count, 6);
	assert_slice(p.params[0].keyword, "size");
	assert_slice(p.params[0].value, "42");
	assert_slice(p.params[0].text, "size=42");
	assert_null(p.params[2].value.p);
	assert_slice(p.params[2].text, "SMTPUTF8");

	assert_int_equal(smtp_path_parse(SMTP_MAIL, BYTES("FROM:<> RET=FULL AUTH=a+2Bb@x.test BODY=8BITMIME SIZE=18446744073709551615"), true, &arena, &p, &error), 0);
	assert_true(p.ret_full && !p.ret_headers && p.body == SMTP_BODY_8BITMIME);
	assert_slice(p.auth, "a+2Bb@x.test");
	assert_true(p.size == UINT64_MAX);
	/* 20 digits, yet more than 64 bits: no syntax error but more than anybody takes. */
	assert_int_equal(smtp_path_parse(SMTP_MAIL, BYTES("FROM:<> SIZE=99999999999999999999"), true, &arena, &p, &error), 0);
	assert_true(p.size == UINT64_MAX);
	assert_null(p.auth.p);

	assert_int_equal(smtp_path_parse(SMTP_RCPT, BYTES("TO:<a@x.test> NOTIFY=success,DELAY,FAILURE ORCPT=rfc822;a+2Bb@x.test"), true, &arena, &p, &error), 0);
	assert_int_equal(p.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY | SMTP_NOTIFY_FAILURE);
	assert_slice(p.orcpt, "rfc822;a+2Bb@x.test");
	assert_int_equal(smtp_path_parse(SMTP_RCPT, BYTES("TO:<a@x.test> NOTIFY=NEVER ORCPT=utf-8;j\xc3\xb6rg@x.test"), true, &arena, &p, &error), 0);
	assert_int_equal(p.notify, SMTP_NOTIFY_NEVER);
	/* Seen in the field, and taken by Postfix: '=' left as it is. */
	assert_int_equal(smtp_path_parse(SMTP_RCPT, BYTES("TO:<a@x.test> ORCPT=rfc822;SRS0=x=y@x.test"), true, &arena, &p, &error), 0);
	assert_slice(p.orcpt, "rfc822;SRS0=x=y@x.test");
}

static const struct {
	enum smtp_verb verb;
	const char *argument, *want;
} refusals[] = {
	{ SMTP_MAIL, "", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_MAIL, "FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_MAIL, "FROM: ", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_MAIL, "FROM", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_MAIL, "FROM :<a@x.test>", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_MAIL, "TO:<a@x.test>", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_RCPT, "FROM:<a@x.test>", "501 5.5.4 Syntax: RCPT TO:<address>" },
	{ SMTP_MAIL, "FROM:<a@x.test>SIZE=3", "501 5.5.4 Syntax: MAIL FROM:<address>" },
	{ SMTP_RCPT, "TO:<>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<@x.test>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<@a,@b>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<@a;b:c@x.test>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<a@x.test", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:\"a@x.test", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<a@x.test\\>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<<a@x.test>>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_RCPT, "TO:<a@x.test,b@x.test>", "501 5.1.3 Bad recipient address syntax" },
	{ SMTP_MAIL, "FROM:<a b@x.test>", "501 5.1.7 Bad sender address syntax" },
	{ SMTP_MAIL, "FROM:<a@b@c>", "501 5.1.7 Bad sender address syntax" },
	{ SMTP_MAIL, "FROM:<\xff@x.test>", "501 5.1.7 Bad sender address syntax" },
	{ SMTP_MAIL, "FROM:<> SIZE=", "501 5.5.4 Bad parameter syntax: SIZE=" },
	{ SMTP_MAIL, "FROM:<> SIZE", "501 5.5.4 Bad message size syntax" },
	{ SMTP_MAIL, "FROM:<> SIZE=-1", "501 5.5.4 Bad message size syntax" },
	{ SMTP_MAIL, "FROM:<> SIZE=1k", "501 5.5.4 Bad message size syntax" },
	{ SMTP_MAIL, "FROM:<> SIZE=000000000000000000001", "501 5.5.4 Bad message size syntax" },
	{ SMTP_MAIL, "FROM:<> SIZE=1 size=1", "501 5.5.4 Duplicate parameter: size" },
	{ SMTP_MAIL, "FROM:<> BODY=9BIT", "555 5.5.4 Unsupported option: BODY=9BIT" },
	{ SMTP_MAIL, "FROM:<> BODY", "555 5.5.4 Unsupported option: BODY" },
	{ SMTP_MAIL, "FROM:<> FOO=bar", "555 5.5.4 Unsupported option: FOO=bar" },
	{ SMTP_MAIL, "FROM:<> NOTIFY=NEVER", "555 5.5.4 Unsupported option: NOTIFY=NEVER" },
	{ SMTP_RCPT, "TO:<a@x.test> SIZE=1", "555 5.5.4 Unsupported option: SIZE=1" },
	{ SMTP_MAIL, "FROM:<> -FOO", "501 5.5.4 Bad parameter syntax: -FOO" },
	{ SMTP_MAIL, "FROM:<> =FOO", "501 5.5.4 Bad parameter syntax: =FOO" },
	{ SMTP_MAIL, "FROM:<> F,O=1", "501 5.5.4 Bad parameter syntax: F,O=1" },
	{ SMTP_MAIL, "FROM:<> ENVID=a\x01", "501 5.5.4 Bad parameter syntax: ENVID=a?" },
	{ SMTP_MAIL, "FROM:<> SMTPUTF8=yes", "501 5.5.4 Bad SMTPUTF8 parameter syntax" },
	{ SMTP_MAIL, "FROM:<> RET=BODY", "501 5.5.4 Bad RET parameter syntax" },
	{ SMTP_MAIL, "FROM:<> RET", "501 5.5.4 Bad RET parameter syntax" },
	{ SMTP_MAIL, "FROM:<> ENVID=a+4", "501 5.5.4 Bad ENVID parameter syntax" },
	{ SMTP_MAIL, "FROM:<> ENVID=a+zz", "501 5.5.4 Bad ENVID parameter syntax" },
	{ SMTP_MAIL, "FROM:<> ENVID=a+0Ab", "501 5.5.4 Bad ENVID parameter syntax" },
	{ SMTP_MAIL, "FROM:<> ENVID", "501 5.5.4 Bad ENVID parameter syntax" },
	{ SMTP_MAIL, "FROM:<> AUTH=a+", "501 5.5.4 Bad AUTH parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> NOTIFY=NEVER,DELAY", "501 5.5.4 Error: Bad NOTIFY parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> NOTIFY=SOON", "501 5.5.4 Error: Bad NOTIFY parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> NOTIFY=DELAY,", "501 5.5.4 Error: Bad NOTIFY parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> NOTIFY", "501 5.5.4 Error: Bad NOTIFY parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4 Duplicate parameter: NOTIFY" },
	{ SMTP_RCPT, "TO:<a@x.test> ORCPT=a@x.test", "501 5.5.4 Error: Bad ORCPT parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> ORCPT=;a@x.test", "501 5.5.4 Error: Bad ORCPT parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> ORCPT=rfc822;", "501 5.5.4 Error: Bad ORCPT parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> ORCPT=rfc822;a+4g@x.test", "501 5.5.4 Error: Bad ORCPT parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> ORCPT=rfc822;\xc3\xb6@x.test", "501 5.5.4 Error: Bad ORCPT parameter syntax" },
	{ SMTP_RCPT, "TO:<a@x.test> ORCPT=utf-8;\xff@x.test", "501 5.5.4 Error: Bad ORCPT parameter syntax" },
};

static void test_refusals(void **state)
{
	struct buf wire = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		struct smtp_path path = { .size = 7 };
		struct smtp_reply error = { 0 };
		if (smtp_path_parse(refusals[i].verb, bytes_of(refusals[i].argument), false, &arena, &path, &error) != -EINVAL)
			fail_msg("accepted: %s", refusals[i].argument);
		assert_true(path.size == 7 && !path.raw.p);
		buf_clear(&wire);
		smtp_reply_put(&error, &wire);
		wire.n -= 2;
		assert_slice(buf_bytes(&wire), refusals[i].want);
	}
	struct smtp_path path;
	struct smtp_reply error;
	assert_int_equal(smtp_path_parse(SMTP_RCPT, BYTES("TO:<a\0b@x.test>"), false, &arena, &path, &error), -EINVAL);
	assert_string_equal(error.text, "Bad recipient address syntax");
	buf_fini(&wire);
}

/* Sessions wait with this in memory, in thousands. */
static void test_cheap(void **state)
{
	struct smtp_path path;
	struct smtp_reply error;
	struct arena small = { 0 };

	(void)state;
	char *before = arena_alloc(&small, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(smtp_path_parse(SMTP_RCPT, BYTES("TO:<someone@example.org>"), false, &small, &path, &error), 0);
	char *after = arena_alloc(&small, 1);
	/* Still the first chunk of 512 bytes. */
	assert_true(after > before && after - before < 400);
	arena_fini(&small);
}

static void test_xtext(void **state)
{
	static const char *const bad[] = { "+", "a+4", "+4g", "+g4", "a b", "\x80", "\x7f", "a+" };
	struct buf all = { 0 }, coded = { 0 }, back = { 0 };

	(void)state;
	for (int c = 0; c < 256; c++)
		buf_add_char(&all, (char)c);
	smtp_xtext_encode(buf_bytes(&all), &coded);
	assert_true(bytes_find(buf_bytes(&coded), '=') < 0 && bytes_find(buf_bytes(&coded), ' ') < 0);
	assert_int_equal(smtp_xtext_decode(buf_bytes(&coded), &back), 0);
	assert_true(bytes_eq(buf_bytes(&all), buf_bytes(&back)));
	buf_clear(&coded);
	smtp_xtext_encode(BYTES("a+b=c d"), &coded);
	assert_slice(buf_bytes(&coded), "a+2Bb+3Dc+20d");
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		buf_clear(&back);
		buf_add_str(&back, "kept");
		assert_int_equal(smtp_xtext_decode(bytes_of(bad[i]), &back), -EINVAL);
		assert_slice(buf_bytes(&back), "kept");
	}
	buf_fini(&all);
	buf_fini(&coded);
	buf_fini(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),      cmocka_unit_test(test_paths), cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_refusals),   cmocka_unit_test(test_cheap), cmocka_unit_test(test_xtext),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
