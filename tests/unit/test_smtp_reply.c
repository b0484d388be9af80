/* test_smtp_reply.c: replies given and replies read. */
#include "lib/smtp/client_codec.h"

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

static void test_put(void **state)
{
	static const struct {
		struct smtp_reply reply;
		const char *wire, *line;
	} table[] = {
		{ { 250, "2.0.0", "Ok" }, "250 2.0.0 Ok\r\n", "250 2.0.0 Ok" },
		{ { 250, "", "Ok" }, "250 Ok\r\n", "250 Ok" },
		{ { 354, "", NULL }, "354\r\n", "354" },
		{ { 250, "2.0.0", "" }, "250 2.0.0\r\n", "250 2.0.0" },
		{ { 550, "5.7.1", "a\nb\n\nc\n" }, "550-5.7.1 a\r\n550-5.7.1 b\r\n550-5.7.1\r\n550 5.7.1 c\r\n", "550 5.7.1 a b  c" },
		{ { 250, "", "x.test\nPIPELINING\nSIZE 3" }, "250-x.test\r\n250-PIPELINING\r\n250 SIZE 3\r\n", "250 x.test PIPELINING SIZE 3" },
		{ { 550, "5.7.1", "a\rb\x01\x7f\tc" }, "550 5.7.1 a?b??\tc\r\n", "550 5.7.1 a\rb\x01\x7f\tc" },
		{ { 550, "5.7.1", "gr\xc3\xbc\xc3\x9f" }, "550 5.7.1 gr\xc3\xbc\xc3\x9f\r\n", "550 5.7.1 gr\xc3\xbc\xc3\x9f" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_clear(&out);
		smtp_reply_put(&table[i].reply, &out);
		assert_string_equal(buf_str(&out), table[i].wire);
		buf_clear(&out);
		smtp_reply_line(&table[i].reply, &out);
		assert_string_equal(buf_str(&out), table[i].line);
	}
	buf_fini(&out);
}

static void test_long_line(void **state)
{
	char text[600];
	struct smtp_reply r = SMTP_REPLY(550, "5.7.1", text);
	struct buf out = { 0 };

	(void)state;
	memset(text, 'x', sizeof text);
	text[599] = '\0';
	smtp_reply_put(&r, &out);
	assert_int_equal(out.n, 512);
	assert_memory_equal(out.p + 509, "x\r\n", 3);
	/* The cut falls into a two-byte letter: it goes as a whole. */
	memcpy(text + 499, "\xc3\xa4", 2);
	buf_clear(&out);
	smtp_reply_put(&r, &out);
	assert_int_equal(out.n, 511);
	assert_memory_equal(out.p + 508, "x\r\n", 3);
	buf_fini(&out);
}

static void test_parse_text(void **state)
{
	static const struct {
		const char *in;
		unsigned code;
		const char *enhanced;
		struct smtp_reply want;
	} table[] = {
		{ "550 5.7.1 no entry", 450, "4.7.0", { 550, "5.7.1", "no entry" } },
		{ "450 come back", 550, "5.7.1", { 450, "4.7.1", "come back" } },
		{ "no entry", 550, "5.7.1", { 550, "5.7.1", "no entry" } },
		{ "5.1.8 no entry", 450, "4.7.1", { 450, "4.1.8", "no entry" } },
		{ "550 4.2.2 full", 450, "", { 550, "5.2.2", "full" } },
		{ "550", 450, "4.7.1", { 550, "5.7.1", "" } },
		{ "  550   5.7.1   x  ", 450, "", { 550, "5.7.1", "x" } },
		{ "", 450, "4.3.0", { 450, "4.3.0", "" } },
		{ "text", 450, "", { 450, "", "text" } },
		{ "5501 x", 450, "4.3.0", { 450, "4.3.0", "5501 x" } },
		{ "199 x", 450, "4.3.0", { 450, "4.3.0", "199 x" } },
		{ "600 x", 450, "4.3.0", { 450, "4.3.0", "600 x" } },
		{ "550 5.7 x", 450, "4.3.0", { 550, "5.3.0", "5.7 x" } },
		{ "354 go", 250, "2.0.0", { 354, "", "go" } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct smtp_reply r;
		smtp_reply_parse_text(bytes_of(table[i].in), table[i].code, table[i].enhanced, &arena, &r);
		assert_int_equal(r.code, table[i].want.code);
		assert_string_equal(r.enhanced, table[i].want.enhanced);
		assert_string_equal(r.text, table[i].want.text);
		struct smtp_reply copy = smtp_reply_copy(&r, &arena);
		assert_string_equal(copy.text, r.text);
		assert_ptr_not_equal(copy.text, r.text);
		assert_string_equal(copy.enhanced, r.enhanced);
	}
}

static void test_enhanced(void **state)
{
	static const char *const yes[] = { "2.0.0", "4.7.1", "5.123.999" };
	static const char *const no[] = { "", "5", "5.7", "5.7.", "5..1", ".7.1", "3.0.0", "1.0.0", "55.7.1", "5.7.1.1", "5.1234.1", "5.7.1234", "5.a.1", "5.7.1 " };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(yes); i++)
		assert_true(smtp_enhanced_valid(bytes_of(yes[i])));
	for (size_t i = 0; i < COUNT_OF(no); i++)
		assert_false(smtp_enhanced_valid(bytes_of(no[i])));
}

/* Feeds lines parted by LF; the result of the last one. */
static int parse(struct smtp_reply_parser *p, struct bytes lines)
{
	int r = 0;
	while (lines.p && r == 0)
		r = smtp_reply_parser_line(p, bytes_cut(&lines, '\n'));
	assert_null(r == 1 ? lines.p : NULL);
	return r;
}

static void test_read(void **state)
{
	static const struct {
		const char *lines;
		int want;
		struct smtp_reply reply;
	} table[] = {
		{ "250 2.0.0 Ok", 1, { 250, "2.0.0", "Ok" } },
		{ "250 Ok", 1, { 250, "", "Ok" } },
		{ "250", 1, { 250, "", "" } },
		{ "250 ", 1, { 250, "", "" } },
		{ "250 2.0.0", 1, { 250, "2.0.0", "" } },
		{ "250-a\n250-\n250 c", 1, { 250, "", "a\n\nc" } },
		{ "550-5.7.1 a\n550-5.7.1 b\n550 5.7.1", 1, { 550, "5.7.1", "a\nb\n" } },
		{ "550-5.7.1 a\n550-5.7.2 b\n550 c", 1, { 550, "5.7.1", "a\n5.7.2 b\nc" } },
		{ "550-a\n550 5.7.1 b", 1, { 550, "", "a\n5.7.1 b" } },
		{ "550 4.7.1 other class", 1, { 550, "", "4.7.1 other class" } },
		{ "354 2.0.0 go", 1, { 354, "", "2.0.0 go" } },
		{ "550  5.7.1 two blanks", 1, { 550, "", " 5.7.1 two blanks" } },
		{ "250-a", 0, { 0 } },
		{ "250-a\n251 b", -EPROTO, { 0 } },
		{ "250-a\nb", -EPROTO, { 0 } },
		{ "", -EPROTO, { 0 } },
		{ "25", -EPROTO, { 0 } },
		{ "25x a", -EPROTO, { 0 } },
		{ "2500", -EPROTO, { 0 } },
		{ "250Ok", -EPROTO, { 0 } },
		{ "150 a", -EPROTO, { 0 } },
		{ "600 a", -EPROTO, { 0 } },
		{ " 250 a", -EPROTO, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct smtp_reply_parser p = { 0 };
		/* Twice: the parser is ready again after the first. */
		for (int again = 0; again < 2; again++) {
			assert_int_equal(parse(&p, bytes_of(table[i].lines)), table[i].want);
			if (table[i].want != 1)
				break;
			struct smtp_reply r;
			smtp_reply_parser_take(&p, &arena, &r);
			assert_int_equal(r.code, table[i].reply.code);
			assert_string_equal(r.enhanced, table[i].reply.enhanced);
			assert_string_equal(r.text, table[i].reply.text);
		}
		smtp_reply_parser_fini(&p);
	}
}

/* The parser of a kept connection: nothing of a longer code stays behind a shorter one. */
static void test_read_again(void **state)
{
	(void)state;
	static const struct {
		struct bytes line;
		const char *enhanced;
	} replies[] = {
		{ BYTES("550 5.750.123 long"), "5.750.123" },
		{ BYTES("550 5.7.1 short"), "5.7.1" },
		{ BYTES("250 none"), "" },
		{ BYTES("250 2.0.0 short"), "2.0.0" },
	};
	struct smtp_reply_parser p = { 0 };
	struct smtp_reply r;
	for (size_t i = 0; i < COUNT_OF(replies); i++) {
		assert_int_equal(smtp_reply_parser_line(&p, replies[i].line), 1);
		smtp_reply_parser_take(&p, &arena, &r);
		assert_string_equal(r.enhanced, replies[i].enhanced);
	}
	smtp_reply_parser_fini(&p);
}

static void test_read_limits(void **state)
{
	static char line[SMTP_REPLY_LINE_MAX + 1];
	struct smtp_reply_parser p = { 0 };
	struct smtp_reply r;
	int n;

	(void)state;
	memset(line, 'x', sizeof line);
	memcpy(line, "250-", 4);
	assert_int_equal(smtp_reply_parser_line(&p, bytes_make(line, sizeof line)), -EPROTO);
	for (n = 0; n < 10 && smtp_reply_parser_line(&p, bytes_make(line, SMTP_REPLY_LINE_MAX)) == 0; n++)
		;
	assert_int_equal(n, 4);
	smtp_reply_parser_fini(&p);
	for (n = 0; n < 200 && smtp_reply_parser_line(&p, BYTES("250-x")) == 0; n++)
		;
	assert_int_equal(n, SMTP_REPLY_LINES_MAX);
	smtp_reply_parser_fini(&p);
	assert_int_equal(smtp_reply_parser_line(&p, BYTES("250 a\0b\nc")), 1);
	smtp_reply_parser_take(&p, &arena, &r);
	assert_string_equal(r.text, "a?b?c");
	smtp_reply_parser_fini(&p);
}

static void test_caps(void **state)
{
	struct smtp_caps c;
	struct smtp_reply ehlo = SMTP_REPLY(250, "", "x.test SIZE 1\nPipelining\n8BITMIME\nSIZE 10240000\nDSN\nENHANCEDSTATUSCODES\nCHUNKING\n"
						     "BINARYMIME\nSMTPUTF8\nSTARTTLS\nXCLIENT NAME ADDR PROTO HELO LOGIN\nAUTH PLAIN LOGIN\n"
						     "AUTH=LOGIN PLAIN CRAM-MD5\nXFORWARD NAME\nREQUIRETLS\nLIMITS MAILMAX=7 RCPTMAX=100\nX-UNKNOWN");

	(void)state;
	smtp_caps_parse(&ehlo, &c);
	assert_int_equal(c.flags, 2 * SMTP_CAP_REQUIRETLS - 1);
	assert_int_equal(c.size, 10240000);
	assert_string_equal(c.auth, "PLAIN LOGIN CRAM-MD5");
	assert_string_equal(c.xclient, "NAME ADDR PROTO HELO LOGIN");
	assert_int_equal(c.rcpt_max, 100);

	ehlo = SMTP_REPLY(250, "", "SIZE PIPELINING");
	smtp_caps_parse(&ehlo, &c);
	assert_int_equal(c.flags, 0);

	ehlo = SMTP_REPLY(250, "", "x\nSIZE\nSIZES 3\nAUTH=\nLIMITS RCPTMAX=-1 RCPTMAX\n\n ");
	smtp_caps_parse(&ehlo, &c);
	assert_int_equal(c.flags, SMTP_CAP_SIZE | SMTP_CAP_AUTH);
	assert_int_equal(c.size, 0);
	assert_string_equal(c.auth, "");
	assert_int_equal(c.rcpt_max, 0);

	ehlo = SMTP_REPLY(250, "", "x\nSIZE many");
	smtp_caps_parse(&ehlo, &c);
	assert_int_equal(c.flags, SMTP_CAP_SIZE);
	assert_int_equal(c.size, 0);
}

/* More mechanisms than there is room for: whole words, never over the end. */
static void test_caps_overflow(void **state)
{
	struct buf text = { 0 };
	struct smtp_caps c;

	(void)state;
	buf_add_str(&text, "x\nAUTH");
	for (int i = 0; i < 100; i++)
		buf_printf(&text, " MECH%d", i);
	struct smtp_reply ehlo = SMTP_REPLY(250, "", buf_str(&text));
	smtp_caps_parse(&ehlo, &c);
	assert_in_range(strlen(c.auth), 240, 255);
	assert_true(bytes_starts(bytes_of(ehlo.text + 7), bytes_of(c.auth)));
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),  cmocka_unit_test(test_long_line),   cmocka_unit_test(test_parse_text), cmocka_unit_test(test_enhanced),
		cmocka_unit_test(test_read), cmocka_unit_test(test_read_again), cmocka_unit_test(test_read_limits), cmocka_unit_test(test_caps),       cmocka_unit_test(test_caps_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
