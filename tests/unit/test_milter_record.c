/* test_milter_record.c: recordings of milter conversations, written, read, and printed for people. */
#include "milter/milter_print.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define DATA(literal) { literal, sizeof(literal) - 1 }

static const struct milter_record_entry conversation[] = {
	{ 0, MILTER_RECORD_OPENED, DATA("unix:/run/x") },
	{ 41000, MILTER_RECORD_SENT, DATA("O\0\0\0\6\0\0\1\377\0\37\377\377") },
	{ 1214000, MILTER_RECORD_RECEIVED, DATA("O\0\0\0\6\0\0\1\21\0\10\100\0\0\0\0\2i {auth_authen}\0\0\0\0\5\0") },
	{ 1300000, MILTER_RECORD_CLIENT, DATA("MAIL FROM:<a@example.org> ") },
	{ 1400000, MILTER_RECORD_SENT, DATA("DMi\0004f.1\0_\0a.test [192.0.2.1]\0{mail_addr}\0\0") },
	{ 1400000, MILTER_RECORD_SENT, DATA("M<a@example.org>\0SIZE=3\0") },
	{ 1400000, MILTER_RECORD_SENT, DATA("R<b@example.org>\0") },
	{ 1900000, MILTER_RECORD_RECEIVED, DATA("p") },
	{ 2400000, MILTER_RECORD_RECEIVED, DATA("y550 5.7.1 no\0") },
	{ 2400000, MILTER_RECORD_SERVER, DATA("550-5.7.1 no\n550 5.7.1 really") },
	{ 60000000000, MILTER_RECORD_REST, DATA("\0\0\0\t\b\177\\") },
	{ 61234567000, MILTER_RECORD_FAULT, DATA("timeout: it takes too long") },
	{ 61234567000, MILTER_RECORD_CLOSED, { NULL, 0 } },
};

static const char conversation_text[] =
    "gatepost-milter-record 1\n"
    "0.000000 = unix:/run/x\n"
    "0.000041 > O\\0\\0\\0\\x06\\0\\0\\x01\\xff\\0\\x1f\\xff\\xff\n"
    "0.001214 < O\\0\\0\\0\\x06\\0\\0\\x01\\x11\\0\\x08@\\0\\0\\0\\0\\x02i {auth_authen}\\0\\0\\0\\0\\x05\\0\n"
    "0.001300 C MAIL FROM:<a@example.org>\\x20\n"
    "0.001400 > DMi\\04f.1\\0_\\0a.test [192.0.2.1]\\0{mail_addr}\\0\\0\n"
    "0.001400 > M<a@example.org>\\0SIZE=3\\0\n"
    "0.001400 > R<b@example.org>\\0\n"
    "0.001900 < p\n"
    "0.002400 < y550 5.7.1 no\\0\n"
    "0.002400 S 550-5.7.1 no\\n550 5.7.1 really\n"
    "60.000000 ? \\0\\0\\0\\t\\x08\\x7f\\\\\n"
    "61.234567 ! timeout: it takes too long\n"
    "61.234567 x\n"
    "end 13\n";

static const char conversation_print[] =
    "       0.000 ms == connected to unix:/run/x\n"
    "       0.041 ms -> negotiate version 6\n"
    "                   actions: ADDHDRS CHGBODY ADDRCPT DELRCPT CHGHDRS QUARANTINE CHGFROM ADDRCPT_PAR SETSYMLIST\n"
    "                   protocol: NOCONNECT NOHELO NOMAIL NORCPT NOBODY NOHDRS NOEOH NR_HDR NOUNKNOWN NODATA SKIP RCPT_REJ NR_CONN NR_HELO"
    " NR_MAIL NR_RCPT NR_DATA NR_UNKN NR_EOH NR_BODY HDR_LEADSPC\n"
    "       1.214 ms <- negotiate version 6\n"
    "                   actions: ADDHDRS CHGHDRS SETSYMLIST\n"
    "                   protocol: NR_MAIL NR_BODY\n"
    "                   macros at MAIL: i {auth_authen}\n"
    "                   macros at EOM: none\n"
    "C: MAIL FROM:<a@example.org> \n"
    "       1.400 ms -> macros for MAIL: i=4f.1 _=\"a.test [192.0.2.1]\" {mail_addr}=\"\"\n"
    "       1.400 ms -> MAIL <a@example.org> SIZE=3\n"
    "       1.400 ms -> RCPT <b@example.org>\n"
    "       1.900 ms <- progress  [RCPT, for 0.500 ms]\n"
    "       2.400 ms <- replycode 550 5.7.1 no  [RCPT, 1.000 ms]\n"
    "S: 550-5.7.1 no\n"
    "S: 550 5.7.1 really\n"
    "   60000.000 ms <? 7 bytes that are no frame: \\x00\\x00\\x00\\t\\x08\\x7f\\\\\n"
    "   61234.567 ms !! timeout: it takes too long\n"
    "   61234.567 ms == closed\n";

static void test_written(void **state)
{
	struct buf out = { 0 };
	(void)state;
	milter_record_put_begin(&out);
	for (unsigned i = 0; i < sizeof(conversation) / sizeof(*conversation); i++)
		milter_record_put(&out, &conversation[i]);
	milter_record_put_end(&out, sizeof(conversation) / sizeof(*conversation));
	assert_string_equal(buf_str(&out), conversation_text);
	buf_fini(&out);
}

static void read_same(const char *text)
{
	struct milter_record r;
	struct buf err = { 0 };
	assert_int_equal(milter_record_parse(bytes_of(text), &r, &err), 0);
	assert_int_equal(r.count, sizeof(conversation) / sizeof(*conversation));
	for (unsigned i = 0; i < r.count; i++) {
		assert_int_equal(r.entries[i].at, conversation[i].at);
		assert_int_equal(r.entries[i].kind, conversation[i].kind);
		assert_true(bytes_eq(r.entries[i].data, conversation[i].data));
	}
	milter_record_fini(&r);
	buf_fini(&err);
}

static void test_read(void **state)
{
	struct buf crlf = { 0 };
	(void)state;
	read_same(conversation_text);
	/* As it comes out of a mail reader: other line ends, remarks, empty lines. */
	for (const char *p = conversation_text; *p; p++) {
		if (*p == '\n')
			buf_add_str(&crlf, "\r");
		buf_add_char(&crlf, *p);
		if (*p == '\n')
			buf_add_str(&crlf, "# remark\r\n\r\n");
	}
	read_same(buf_str(&crlf));
	buf_fini(&crlf);
}

/* Every byte, and every place a line may be broken at. */
static void test_long(void **state)
{
	struct buf data = { 0 }, text = { 0 }, err = { 0 };
	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		buf_add_char(&data, i % 3 ? ' ' : (char)(i / 3));
	milter_record_put_begin(&text);
	milter_record_put(&text, &(struct milter_record_entry){ .kind = MILTER_RECORD_SENT, .data = buf_bytes(&data) });
	milter_record_put_end(&text, 1);
	struct bytes rest = buf_bytes(&text);
	while (rest.n > 0) {
		struct bytes line = bytes_cut(&rest, '\n');
		assert_in_range(line.n, 1, 140);
		assert_true(line.p[0] != ' ' && line.p[line.n - 1] != ' ');
	}
	struct milter_record r;
	assert_int_equal(milter_record_parse(buf_bytes(&text), &r, &err), 0);
	assert_int_equal(r.count, 1);
	assert_true(bytes_eq(r.entries[0].data, buf_bytes(&data)));
	milter_record_fini(&r);
	buf_fini(&data);
	buf_fini(&text);
	buf_fini(&err);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "1: this is no recording of milter-test, or one of another version" },
		{ "gatepost-milter-record 2\nend 0\n", "1: this is no recording of milter-test, or one of another version" },
		{ "\n0.000000 x\nend 1\n", "3: the end is missing" },
		{ "\n0.000000 x\nend 2\n", "3: entries are missing, or there are more than there were" },
		{ "\n0.000000 x\nend x\n", "3: entries are missing, or there are more than there were" },
		{ "\n0.000000 x\nend 1\n0.1 x\n", "4: something follows the end" },
		{ "\n0.000000 q\nend 1\n", "2: there is no such kind of entry" },
		{ "\n0.000000\nend 1\n", "2: there is no such kind of entry" },
		{ "\n0.000000 xx\nend 1\n", "2: there is no such kind of entry" },
		{ "\n0.00000 x\nend 1\n", "2: it begins with no time" },
		{ "\n-1.000000 x\nend 1\n", "2: it begins with no time" },
		{ "\n99999999999.000000 x\nend 1\n", "2: it begins with no time" },
		{ "\n0.000000 > a\\\nend 1\n", "2: its bytes are malformed" },
		{ "\n0.000000 > a\\x1\nend 1\n", "2: its bytes are malformed" },
		{ "\n0.000000 > a\\xzz\nend 1\n", "2: its bytes are malformed" },
		{ "\n0.000000 > a\tb\nend 1\n", "2: its bytes are malformed" },
		{ "\n0.000000 > caf\303\251\nend 1\n", "2: its bytes are malformed" },
		{ "\n0.000000 >\nend 1\n", "3: the frame before this line is empty" },
		{ "\n0.000000 <\n0.000000 x\nend 2\n", "3: the frame before this line is empty" },
		{ "\n+ a\nend 1\n", "2: there is nothing to go on with" },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct milter_record r;
		struct buf err = { 0 }, text = { 0 };
		buf_printf(&text, "%s%s", cases[i].text[0] == '\n' ? "gatepost-milter-record 1" : "", cases[i].text);
		if (i == 2)
			text.n -= 6;
		assert_int_equal(milter_record_parse(buf_bytes(&text), &r, &err), -EINVAL);
		assert_string_equal(buf_str(&err), cases[i].want);
		buf_fini(&err);
		buf_fini(&text);
	}
}

static void test_printed(void **state)
{
	struct milter_print p = { 0 };
	struct buf out = { 0 };
	(void)state;
	for (unsigned i = 0; i < sizeof(conversation) / sizeof(*conversation); i++)
		milter_print_entry(&p, &conversation[i], &out);
	assert_string_equal(buf_str(&out), conversation_print);
	milter_print_fini(&p);
	buf_fini(&out);
}

static void test_frames(void **state)
{
	static const struct {
		enum milter_record_kind kind;
		struct bytes data;
		const char *want;
	} cases[] = {
		{ '>', DATA("Ca.test\0004\x9c\x40" "192.0.2.1\0"), "-> CONNECT a.test IPv4 192.0.2.1 port 40000" },
		{ '>', DATA("C[::1]\0006\0\0::1\0"), "-> CONNECT [::1] IPv6 ::1 port 0" },
		{ '>', DATA("Clocalhost\0L\0\0/run/s\0"), "-> CONNECT localhost unix /run/s port 0" },
		{ '>', DATA("Cx\0U"), "-> CONNECT x" },
		{ '>', DATA("Cx"), "-> CONNECT x" },
		{ '>', DATA("Hmail.test\0"), "-> HELO mail.test" },
		{ '>', DATA("T"), "-> DATA" },
		{ '>', DATA("LSubject\0a\n\tb\0"), "-> HEADER Subject: a\\n\\tb" },
		{ '>', DATA("LSubject\0caf\303\251 \302\205\0"), "-> HEADER Subject: caf\303\251 \\xc2\\x85" },
		{ '>', DATA("LSubject\0caf\351\0"), "-> HEADER Subject: caf\\xe9" },
		{ '>', DATA("Lx"), "-> HEADER x" },
		{ '>', DATA("N"), "-> EOH" },
		{ '>', DATA("Bhello\r\n\033[2J"), "-> BODY 11 bytes: hello\\r\\n\\x1b[2J" },
		{ '>', DATA("E"), "-> EOM" },
		{ '>', DATA("UFOO\0"), "-> UNKNOWN FOO" },
		{ '>', DATA("A"), "-> ABORT" },
		{ '>', DATA("Q"), "-> QUIT" },
		{ '>', DATA("K"), "-> QUIT_NC" },
		{ '>', DATA("D"), "-> unknown command D" },
		{ '>', DATA("D!i\0"), "-> macros for ?: i=\"\"" },
		{ '>', DATA("O\0"), "-> unknown command O\\x00" },
		{ '>', DATA("z1"), "-> unknown command z1" },
		{ '<', DATA("c"), "<- continue" },
		{ '<', DATA("4"), "<- shutdown" },
		{ '<', DATA("hX-Spam\0yes\0"), "<- addheader X-Spam: yes" },
		{ '<', DATA("i\0\0\0\1X\0y\0"), "<- insheader 1 X: y" },
		{ '<', DATA("m\0\0\0\2Subject\0new\0"), "<- chgheader 2 Subject: new" },
		{ '<', DATA("m\0\0\0\2Subject\0\0"), "<- chgheader 2 Subject: (to be deleted)" },
		{ '<', DATA("bnew\r\n"), "<- replbody 5 bytes: new\\r\\n" },
		{ '<', DATA("+<a@b>\0"), "<- addrcpt <a@b>" },
		{ '<', DATA("2<a@b>\0NOTIFY=NEVER\0"), "<- addrcpt_par <a@b> NOTIFY=NEVER" },
		{ '<', DATA("-<a@b>\0"), "<- delrcpt <a@b>" },
		{ '<', DATA("e<>\0"), "<- chgfrom <>" },
		{ '<', DATA("qbad\0"), "<- quarantine bad" },
		{ '<', DATA("y550 no"), "<- malformed (a reply's text does not end): y550 no" },
		{ '<', DATA("c!"), "<- malformed (a reply is followed by something): c!" },
		{ '<', DATA("O\0\0\0\2\0\0\0\0\200\0\0\0"), "<- negotiate version 2\n                   actions: none\n"
		  "                   protocol: 0x80000000" },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf out = { 0 };
		milter_print_frame(&(struct milter_record_entry){ .kind = cases[i].kind, .data = cases[i].data }, &out);
		assert_int_equal(out.p[out.n - 1], '\n');
		out.n--;
		assert_string_equal(buf_str(&out), cases[i].want);
		buf_fini(&out);
	}
}

static void test_text_cut(void **state)
{
	struct buf out = { 0 };
	(void)state;
	milter_print_text(&out, BYTES("a\303\251b"), 2);
	assert_string_equal(buf_str(&out), "a... (4 bytes)");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written), cmocka_unit_test(test_read), cmocka_unit_test(test_long), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_printed), cmocka_unit_test(test_frames), cmocka_unit_test(test_text_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
