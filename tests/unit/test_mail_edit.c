/* test_mail_edit.c: edits of header and body, as filters know them from Postfix. */
#include "lib/mail/mail.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define ABA "A: 1\r\nB: 2\r\na: 3\r\n"

static struct mail *mail_of(const char *text)
{
	static const struct mail_limits plenty = { .memory_max = 131072 };
	struct mail *m = mail_new(&plenty);
	assert_int_equal(mail_append(m, bytes_of(text)), 0);
	assert_int_equal(mail_end(m), 0);
	return m;
}

static struct mail *traced(const char *text)
{
	struct mail *m = mail_of(text);
	mail_trace_prepend(m, BYTES("Received: us\r\n"));
	return m;
}

static void read_all(struct mail *m, struct buf *out)
{
	struct mail_cursor c = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;

	do {
		assert_int_equal(mail_read(m, &c, 7, &scratch, &piece), 0);
		buf_add(out, piece);
	} while (piece.n);
	buf_fini(&scratch);
	assert_int_equal(mail_size(m), out->n);
}

static void assert_bytes(struct mail *m, struct bytes want)
{
	struct buf out = { 0 };
	read_all(m, &out);
	if (!bytes_eq(buf_bytes(&out), want))
		fail_msg("got \"%.*s\", want \"%.*s\"", BYTES_ARG(out), BYTES_ARG(want));
	buf_fini(&out);
}

/* Also ends the mail's life. */
static void assert_mail(struct mail *m, const char *want)
{
	assert_bytes(m, bytes_of(want));
	mail_unref(&m);
}

static void test_find(void **state)
{
	static const struct {
		const char *name;
		int nth;
		const char *value;
	} table[] = {
		{ "A", 0, " 1" },          { "A", 1, " 1" },     { "a", 2, " 3" },         { "A", 3, NULL },        { "A", -1, " 3" },
		{ "A", -2, " 1" },         { "A", -3, NULL },    { "Received", 1, " them" }, { "received", 2, NULL }, { "", 1, NULL },
		{ "B", INT_MAX, NULL },    { "B", INT_MIN, NULL }, { "F", 1, " x\r\n\ty" },
	};
	struct mail *m = traced("Received: them\r\n" ABA "F: x\r\n\ty\r\n\r\n");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mail_header *h = mail_header_find(m, bytes_of(table[i].name), table[i].nth);
		assert_int_equal(h != NULL, table[i].value != NULL);
		if (h)
			assert_true(bytes_eq(mail_header_value(h), bytes_of(table[i].value)));
	}
	mail_unref(&m);
}

static void test_value(void **state)
{
	static const struct {
		const char *field, *value;
	} table[] = {
		{ "A:b\r\n", "b" }, { "A : b: c\r\n", " b: c" }, { "A:\r\n", "" }, { "A:", "" }, { "A: b", " b" },
		{ "A: b\r\r\n", " b\r" }, { "A: b\n", " b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mail *m = mail_of(table[i].field);
		assert_true(bytes_eq(mail_header_value(mail_header_find(m, BYTES("A"), 1)), bytes_of(table[i].value)));
		mail_unref(&m);
	}
}

static void test_add_value(void **state)
{
	static const struct {
		struct bytes value;
		bool leading_space;
		const char *field;
	} table[] = {
#define V(literal) { literal, sizeof(literal) - 1 }
		{ V("y"), false, "X: y\r\n" },
		{ V(""), false, "X: \r\n" },
		{ V(""), true, "X:\r\n" },
		{ V("y"), true, "X:y\r\n" },
		{ V("\ty"), true, "X:\ty\r\n" },
		{ V(" y"), false, "X:  y\r\n" },
		/* Folded with LF or CR LF, white space kept or put in. */
		{ V("a\n b"), false, "X: a\r\n b\r\n" },
		{ V("a\r\n\tb"), false, "X: a\r\n\tb\r\n" },
		{ V("a\nb"), false, "X: a\r\n\tb\r\n" },
		{ V("a\r\nb\r\n"), false, "X: a\r\n\tb\r\n" },
		{ V("\n a"), false, "X: \r\n a\r\n" },
		/* No way into the next field, nor into the body. */
		{ V("a\r\nBcc: evil"), false, "X: a\r\n\tBcc: evil\r\n" },
		{ V("a\n\nbody"), false, "X: a\r\n\t\r\n\tbody\r\n" },
		{ V("a\r\n\r\nbody"), false, "X: a\r\n\t\r\n\tbody\r\n" },
		{ V("a\n\r\nBcc: evil"), false, "X: a\r\n\t\r\n\tBcc: evil\r\n" },
		{ V("a\r\rBcc: evil"), false, "X: aBcc: evil\r\n" },
		{ V("a\n\r Bcc"), false, "X: a\r\n Bcc\r\n" },
		{ V("a\n\0Bcc: evil"), false, "X: a\r\n\tBcc: evil\r\n" },
		{ V("a\0b\n\0 c"), false, "X: ab\r\n c\r\n" },
		{ V("\r\n\r\n"), false, "X: \r\n" },
		{ V("a\n\n\n"), false, "X: a\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mail *m = mail_of("A: 1\r\n\r\nbody");
		struct buf want = { 0 };
		assert_int_equal(mail_header_add(m, BYTES("X"), table[i].value, table[i].leading_space), 0);
		buf_printf(&want, "A: 1\r\n%s\r\nbody", table[i].field);
		assert_bytes(m, buf_bytes(&want));
		buf_fini(&want);
		mail_unref(&m);
	}
}

static void test_bad_names(void **state)
{
	static const struct bytes names[] = { V(""), V("A:"), V("A B"), V("A\r\nB"), V("A\n"), V("A\0"), V("\xc3\xa4"), V("A\x7f"), V("A\t") };
	struct mail *m = mail_of(ABA "\r\nbody");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(mail_header_add(m, names[i], BYTES("x"), false), -EINVAL);
		assert_int_equal(mail_header_insert(m, 1, names[i], BYTES("x"), false), -EINVAL);
		assert_int_equal(mail_header_change(m, names[i], 1, BYTES("x"), false), -EINVAL);
		assert_int_equal(mail_header_change(m, names[i], 1, BYTES(""), false), -EINVAL);
		assert_false(mail_header_delete(m, names[i], 1));
	}
	assert_mail(m, ABA "\r\nbody");
}

static void test_insert(void **state)
{
	static const struct {
		unsigned index;
		const char *want;
	} table[] = {
		{ 0, "X: y\r\nReceived: us\r\nA: 1\r\nB: 2\r\n\r\n" },         { 1, "Received: us\r\nX: y\r\nA: 1\r\nB: 2\r\n\r\n" },
		{ 2, "Received: us\r\nA: 1\r\nX: y\r\nB: 2\r\n\r\n" },         { 3, "Received: us\r\nA: 1\r\nB: 2\r\nX: y\r\n\r\n" },
		{ 4, "Received: us\r\nA: 1\r\nB: 2\r\nX: y\r\n\r\n" },         { UINT_MAX, "Received: us\r\nA: 1\r\nB: 2\r\nX: y\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mail *m = traced("A: 1\r\nB: 2\r\n\r\n");
		assert_int_equal(mail_header_insert(m, table[i].index, BYTES("X"), BYTES("y"), false), 0);
		assert_mail(m, table[i].want);
	}
}

static void test_insert_order(void **state)
{
	(void)state;
	/* Each goes to the top: the last one stands first. */
	struct mail *m = traced("A: 1\r\n\r\n");
	assert_int_equal(mail_header_insert(m, 1, BYTES("X"), BYTES("1"), false), 0);
	assert_int_equal(mail_header_insert(m, 1, BYTES("X"), BYTES("2"), false), 0);
	assert_mail(m, "Received: us\r\nX: 2\r\nX: 1\r\nA: 1\r\n\r\n");

	/* Above our own field first, then counted from there, as the message is delivered. */
	m = traced("A: 1\r\n\r\n");
	assert_int_equal(mail_header_insert(m, 0, BYTES("X"), BYTES("1"), false), 0);
	assert_int_equal(mail_header_insert(m, 1, BYTES("X"), BYTES("2"), false), 0);
	assert_int_equal(mail_header_insert(m, 3, BYTES("X"), BYTES("3"), false), 0);
	assert_mail(m, "X: 1\r\nX: 2\r\nReceived: us\r\nX: 3\r\nA: 1\r\n\r\n");

	/* Several trace fields are one. */
	m = traced("A: 1\r\n\r\n");
	mail_trace_prepend(m, BYTES("Return-Path: <>\r\n"));
	assert_int_equal(mail_header_insert(m, 1, BYTES("X"), BYTES("1"), false), 0);
	assert_int_equal(mail_header_insert(m, 0, BYTES("X"), BYTES("0"), false), 0);
	assert_mail(m, "X: 0\r\nReturn-Path: <>\r\nReceived: us\r\nX: 1\r\nA: 1\r\n\r\n");

	/* No trace field yet: 1 is the top of what the filter sees. */
	m = mail_of("A: 1\r\nB: 2\r\n\r\n");
	assert_int_equal(mail_header_insert(m, 2, BYTES("X"), BYTES("2"), false), 0);
	assert_int_equal(mail_header_insert(m, 1, BYTES("X"), BYTES("1"), false), 0);
	assert_mail(m, "X: 1\r\nA: 1\r\nX: 2\r\nB: 2\r\n\r\n");
}

static void test_change(void **state)
{
	static const struct {
		const char *name;
		unsigned nth;
		const char *value, *want;
	} table[] = {
		{ "A", 0, "x", "A: x\r\nB: 2\r\na: 3\r\n\r\n" },
		{ "A", 1, "x", "A: x\r\nB: 2\r\na: 3\r\n\r\n" },
		{ "A", 2, "x", "A: 1\r\nB: 2\r\nA: x\r\n\r\n" },
		{ "a", 1, "x\ny", "a: x\r\n\ty\r\nB: 2\r\na: 3\r\n\r\n" },
		{ "A", 3, "x", ABA "A: x\r\n\r\n" },
		{ "A", UINT_MAX, "x", ABA "A: x\r\n\r\n" },
		{ "New", 1, "x", ABA "New: x\r\n\r\n" },
		{ "A", 1, "", "B: 2\r\na: 3\r\n\r\n" },
		{ "A", 0, "", "B: 2\r\na: 3\r\n\r\n" },
		{ "a", 2, "", "A: 1\r\nB: 2\r\n\r\n" },
		{ "A", 3, "", ABA "\r\n" },
		{ "New", 1, "", ABA "\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mail *m = mail_of(ABA "\r\n");
		assert_int_equal(mail_header_change(m, bytes_of(table[i].name), table[i].nth, bytes_of(table[i].value), false), 0);
		assert_mail(m, table[i].want);
	}
	/* A deletion moves the later ones up. */
	struct mail *m = mail_of(ABA "\r\n");
	assert_int_equal(mail_header_change(m, BYTES("A"), 1, BYTES(""), false), 0);
	assert_int_equal(mail_header_change(m, BYTES("A"), 1, BYTES("x"), true), 0);
	assert_mail(m, "B: 2\r\nA:x\r\n\r\n");
	/* Our own Received is out of reach. */
	m = traced("A: 1\r\n\r\n");
	assert_int_equal(mail_header_change(m, BYTES("Received"), 1, BYTES("forged"), false), 0);
	assert_mail(m, "Received: us\r\nA: 1\r\nReceived: forged\r\n\r\n");
	m = traced("Received: them\r\n\r\n");
	assert_int_equal(mail_header_change(m, BYTES("received"), 1, BYTES("x"), false), 0);
	assert_mail(m, "Received: us\r\nreceived: x\r\n\r\n");
}

static void test_delete(void **state)
{
	struct mail *m = traced(ABA "\r\nbody");

	(void)state;
	assert_false(mail_header_delete(m, BYTES("Received"), 1));
	assert_false(mail_header_delete(m, BYTES("A"), 3));
	assert_true(mail_header_delete(m, BYTES("a"), 2));
	assert_true(mail_header_delete(m, BYTES("a"), 0));
	assert_false(mail_header_delete(m, BYTES("a"), 1));
	mail_header_remove(m, mail_header_find(m, BYTES("B"), 1));
	assert_mail(m, "Received: us\r\n\r\nbody");
}

/* What had no separator gets one only where body would turn into header, or the other way round. */
static void test_without_separator(void **state)
{
	(void)state;
	assert_mail(traced("A: 1\r\nnofield\r\n"), "Received: us\r\nA: 1\r\nnofield\r\n");
	assert_mail(traced(" folded?\r\n"), "Received: us\r\n\r\n folded?\r\n");
	assert_mail(traced("nofield\r\n"), "Received: us\r\nnofield\r\n");
	assert_mail(traced(""), "Received: us\r\n");
	assert_mail(traced("A: 1"), "Received: us\r\nA: 1");

	struct mail *m = traced("A: 1");
	assert_int_equal(mail_header_add(m, BYTES("X"), BYTES("y"), false), 0);
	assert_mail(m, "Received: us\r\nA: 1\r\nX: y\r\n");
	m = traced("A: 1");
	assert_int_equal(mail_body_replace(m, BYTES("B: body")), 0);
	assert_int_equal(mail_body_replace_end(m), 0);
	assert_mail(m, "Received: us\r\nA: 1\r\n\r\nB: body\r\n");
	m = mail_of("nofield\r\n");
	assert_int_equal(mail_body_replace(m, BYTES("B: body")), 0);
	assert_int_equal(mail_body_replace_end(m), 0);
	assert_mail(m, "\r\nB: body\r\n");
	m = mail_of("A: 1\r\nnofield\r\n");
	assert_int_equal(mail_body_replace_end(m), 0);
	assert_mail(m, "A: 1\r\n");
	m = mail_of("A: 1");
	assert_true(mail_header_delete(m, BYTES("A"), 1));
	assert_int_equal(mail_header_add(m, BYTES("X"), BYTES("y"), false), 0);
	assert_mail(m, "X: y\r\n");
}

/* Each body cut in three at every pair of places. */
static void test_body_replace(void **state)
{
	static const struct {
		struct bytes in, want;
	} table[] = {
		{ V(""), V("") },
		{ V("a\r\nb\r\n"), V("a\r\nb\r\n") },
		{ V("a\nb\n"), V("a\r\nb\r\n") },
		{ V("\n\n"), V("\r\n\r\n") },
		{ V("\r\n\n\r\n"), V("\r\n\r\n\r\n") },
		{ V("a"), V("a\r\n") },
		{ V("a\r"), V("a\r\r\n") },
		{ V("a\rb\r\r\n"), V("a\rb\r\r\n") },
		{ V("a\0b\r\n.\r\n"), V("a\0b\r\n.\r\n") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		for (size_t a = 0; a <= table[i].in.n; a++) {
			for (size_t b = a; b <= table[i].in.n; b++) {
				struct mail *m = mail_of("A: 1\r\n\r\nold\r\n");
				struct buf want = { 0 };
				assert_int_equal(mail_body_replace(m, bytes_first(table[i].in, a)), 0);
				assert_int_equal(mail_body_replace(m, bytes_make(table[i].in.p + a, b - a)), 0);
				/* Up to the end the old one is there. */
				assert_int_equal(mail_body_size(m), 5);
				assert_int_equal(mail_body_replace(m, bytes_skip(table[i].in, b)), 0);
				assert_int_equal(mail_body_replace_end(m), 0);
				buf_add_str(&want, "A: 1\r\n\r\n");
				buf_add(&want, table[i].want);
				assert_bytes(m, buf_bytes(&want));
				buf_fini(&want);
				mail_unref(&m);
			}
		}
	}
}

static void test_body_abort(void **state)
{
	struct mail *m = mail_of("A: 1\r\n\r\nold\r\n");

	(void)state;
	assert_int_equal(mail_body_replace(m, BYTES("lost\r")), 0);
	mail_body_replace_abort(m);
	assert_bytes(m, BYTES("A: 1\r\n\r\nold\r\n"));
	/* Nothing of the aborted one is left, not even its CR. */
	assert_int_equal(mail_body_replace(m, BYTES("\n")), 0);
	assert_int_equal(mail_body_replace_end(m), 0);
	assert_bytes(m, BYTES("A: 1\r\n\r\n\r\n"));
	assert_int_equal(mail_body_replace(m, BYTES("second")), 0);
	assert_int_equal(mail_body_replace_end(m), 0);
	assert_mail(m, "A: 1\r\n\r\nsecond\r\n");
}

/* A large new body goes through the spool as the first one did. */
static void test_body_spooled(void **state)
{
	char spool[] = "/tmp/test_mail_edit.XXXXXX";
	struct buf want = { 0 }, out = { 0 };

	(void)state;
	assert_non_null(mkdtemp(spool));
	struct mail_limits limits = { .memory_max = 100, .spool = spool };
	struct mail *m = mail_new(&limits);
	assert_int_equal(mail_append(m, BYTES("A: 1\r\n\r\nold")), 0);
	assert_int_equal(mail_end(m), 0);
	buf_add_str(&want, "A: 1\r\n\r\n");
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(mail_body_replace(m, BYTES("0123456789\n")), 0);
		buf_add_str(&want, "0123456789\r\n");
	}
	assert_int_equal(mail_body_replace_end(m), 0);
	read_all(m, &out);
	assert_true(bytes_eq(buf_bytes(&out), buf_bytes(&want)));
	mail_unref(&m);
	buf_fini(&want);
	buf_fini(&out);
	assert_int_equal(rmdir(spool), 0);
}

static void test_digest_through_edits(void **state)
{
	static const char text[] = ABA "\r\nold body";
	unsigned char got[32], want[32];
	struct mail *m = traced(text);

	(void)state;
	SHA256((const unsigned char *)text, sizeof text - 1, want);
	assert_true(mail_header_delete(m, BYTES("A"), 1));
	assert_int_equal(mail_header_change(m, BYTES("B"), 1, BYTES("x"), false), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mail_body_replace(m, BYTES("new")), 0);
		assert_int_equal(mail_body_replace_end(m), 0);
	}
	assert_int_equal(mail_digest(m, got), 0);
	assert_memory_equal(got, want, 32);
	mail_unref(&m);
}

/* ---- completing ---- */

static void test_complete(void **state)
{
	static const struct {
		const char *header, *sender, *added, *gone;
	} cases[] = {
		{ "Subject: x\r\n", "a@example.org",
		  "Message-Id: <20091113233130.id.1@mx.test>\r\nDate: Fri, 13 Nov 2009 23:31:30 +0000 (UTC)\r\nFrom: a@example.org\r\n", NULL },
		{ "date: x\r\nmessage-ID: <1@b>\r\n", "", "From: MAILER-DAEMON@mx.test\r\n", NULL },
		{ "Date: x\r\nFrom: y\r\n", "", "Message-Id: <20091113233130.id.1@mx.test>\r\n", NULL },
		{ "Date: x\r\nFrom: y\r\nMessage-Id: <1@b>\r\n", "a@example.org", "", NULL },
		{ "Date: x\r\nFrom: y\r\nMessage-Id: <1@b>\r\nResent-Cc: a\r\nresent-date: x\r\n", "a@example.org",
		  "Resent-Message-Id: <20091113233130.id.1@mx.test>\r\nResent-From: a@example.org\r\n", NULL },
		{ "Date: x\r\nFrom: y\r\nMessage-Id: <1@b>\r\n", "a@example.org",
		  "Resent-Message-Id: <20091113233130.id.1@mx.test>\r\nResent-Date: Fri, 13 Nov 2009 23:31:30 +0000 (UTC)\r\n"
		  "Resent-From: a@example.org\r\n", "Resent-Bcc: b@example.org\r\n" },
	};
	/* What is nobody's business but the sender's goes; that there was a Resent-Bcc still says that it was sent on. */
	static const char secret[] = "Bcc: b@example.org\r\nReturn-Path: <x>\r\nbcc: c,\r\n d\r\nContent-Length: 3\r\n";
	(void)state;
	assert_int_equal(setenv("TZ", "UTC0", 1), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct mail_completion c = { "mx.test", "id.1", bytes_of(cases[i].sender), 1258155090 };
		struct buf text = { 0 }, want = { 0 }, out = { 0 };
		buf_printf(&text, "%s%s%s%s\r\nbody\r\n", i % 2 ? secret : "", cases[i].header, i % 3 ? secret : "",
		    cases[i].gone ? cases[i].gone : "");
		buf_printf(&want, "Received: us\r\n%s%s\r\nbody\r\n", cases[i].header, cases[i].added);
		struct mail *m = traced(buf_str(&text));
		assert_int_equal(mail_complete(m, &c), 0);
		assert_int_equal(mail_complete(m, &c), 0);
		read_all(m, &out);
		assert_string_equal(buf_str(&out), buf_str(&want));
		mail_unref(&m);
		buf_fini(&text);
		buf_fini(&want);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),         cmocka_unit_test(test_value),             cmocka_unit_test(test_add_value),
		cmocka_unit_test(test_bad_names),    cmocka_unit_test(test_insert),            cmocka_unit_test(test_insert_order),
		cmocka_unit_test(test_change),       cmocka_unit_test(test_delete),            cmocka_unit_test(test_without_separator),
		cmocka_unit_test(test_body_replace), cmocka_unit_test(test_body_abort),        cmocka_unit_test(test_body_spooled),
		cmocka_unit_test(test_digest_through_edits), cmocka_unit_test(test_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
