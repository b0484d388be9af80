/* test_smtp_content.c: a message onto a stream: dot-stuffed or not, from memory and from the spool, in pieces of any size. */
#include "lib/smtp/data.h"
#include "tests/unit/delivery_fixture.h"

#include "delivery/smtp_content.h"

/* ---- writing to a stream whose other end collects ---- */

struct collector {
	struct stream *stream;
	struct buf got;
};

TASK_FN static void collector_run(struct collector *c)
{
	while (stream_fill(c->stream, 65536) == 0) {
		struct bytes in = stream_input(c->stream);
		buf_add(&c->got, in);
		stream_consume(c->stream, in.n);
	}
}

TASK_FN static void collect(struct mail *m, enum smtp_content_form form, struct buf *ret)
{
	struct collector c = { 0 };
	struct task_group group;
	struct stream *to;

	assert_int_equal(stream_pair(&to, &c.stream), 0);
	task_group_init(&group);
	task_spawn(&group, "collector", collector_run, &c);
	stream_put(to, BYTES("COMMAND\r\n"));
	assert_int_equal(smtp_content_write(to, m, form), 0);
	stream_close(&to);
	task_group_wait(&group);
	stream_close(&c.stream);
	*ret = c.got;
}

static struct mail *mail_of(struct bytes text, size_t memory_max)
{
	const struct mail_limits limits = { .header_max = 1 << 20, .size_max = 1 << 24, .memory_max = memory_max, .spool = "/tmp" };
	struct mail *m = mail_new(&limits);

	assert_int_equal(mail_append(m, text), 0);
	assert_int_equal(mail_end(m), 0);
	return m;
}

TASK_FN static void check(struct mail *m, enum smtp_content_form form, struct bytes want)
{
	struct buf got = { 0 };

	collect(m, form, &got);
	assert_true(bytes_starts(buf_bytes(&got), BYTES("COMMAND\r\n")));
	struct bytes content = bytes_skip(buf_bytes(&got), 9);
	assert_int_equal(content.n, want.n);
	assert_memory_equal(content.p, want.p, want.n);
	buf_fini(&got);
}

/* ---- small ones, written out ---- */

FX_TEST(test_stuffing)
{
	static const struct {
		struct bytes text, want;
	} cases[] = {
		{ BYTES("A: b\r\n\r\nx\r\n"), BYTES("A: b\r\n\r\nx\r\n.\r\n") },
		{ BYTES("A: b\r\n\r\n.x\r\n"), BYTES("A: b\r\n\r\n..x\r\n.\r\n") },
		{ BYTES("A: b\r\n\r\n.\r\n.\r\n..\r\n"), BYTES("A: b\r\n\r\n..\r\n..\r\n...\r\n.\r\n") },
		{ BYTES("A: b\r\n\r\nx"), BYTES("A: b\r\n\r\nx\r\n.\r\n") },
		{ BYTES("A: b\r\n\r\nx\r"), BYTES("A: b\r\n\r\nx\r\r\n.\r\n") },
		{ BYTES("A: b\r\n\r\nx\r.\r\n"), BYTES("A: b\r\n\r\nx\r.\r\n.\r\n") },
		{ BYTES("A: b\r\n\r\nx.\r\ny.z\r\n"), BYTES("A: b\r\n\r\nx.\r\ny.z\r\n.\r\n") },
		{ BYTES(".body at once\r\n"), BYTES("..body at once\r\n.\r\n") },
		{ BYTES("A: b\r\n"), BYTES("A: b\r\n.\r\n") },
		{ BYTES(""), BYTES(".\r\n") },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct mail *m = mail_of(cases[i].text, 1 << 17);
		check(m, SMTP_CONTENT_WHOLE, cases[i].want);
		check(m, SMTP_CONTENT_STUFFED, bytes_first(cases[i].want, cases[i].want.n - 3));
		check(m, SMTP_CONTENT_PLAIN, cases[i].text);
		mail_unref(&m);
	}
	fx_finish(fx);
}

/* ---- large ones, against the encoder of lib/smtp ---- */

/* Lines of all lengths, many of them dots; SEED makes them come at other places of the pieces in which a message is read. */
static void make_text(struct buf *text, size_t size, unsigned seed)
{
	static const char *const lines[] = { ".\r\n", "..\r\n", ".dot\r\n", "\r\n", "x\r\n", "x.\r\n", "a longer line, as there are many\r\n", "\r.\r\n" };

	buf_add_str(text, "Subject: large\r\n\r\n");
	while (text->n < size) {
		seed = seed * 1103515245 + 12345;
		buf_add_str(text, lines[seed >> 16 & 7]);
		if ((seed >> 20 & 255) == 0)
			for (unsigned i = 0; i < 9000 + (seed >> 8 & 0xff); i++)
				buf_add_char(text, "abcdefghijklmnopqrstuvwxyz."[i % 27]);
	}
}

static void encode(struct bytes text, struct buf *ret)
{
	struct smtp_data_encoder e;

	smtp_data_encoder_init(&e);
	smtp_data_encode(&e, text, ret);
	smtp_data_encode_end(&e, ret);
}

FX_TEST(test_large_messages)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		struct buf text = { 0 }, want = { 0 };
		make_text(&text, 100000 + 50000 * (seed % 4), seed);
		encode(buf_bytes(&text), &want);
		/* Wholly in memory, and all of the body in the spool. */
		for (int spooled = 0; spooled <= 1; spooled++) {
			struct mail *m = mail_of(buf_bytes(&text), spooled ? 0 : 1 << 20);
			check(m, SMTP_CONTENT_WHOLE, buf_bytes(&want));
			check(m, SMTP_CONTENT_PLAIN, buf_bytes(&text));
			mail_unref(&m);
		}
		buf_fini(&text);
		buf_fini(&want);
	}
	fx_finish(fx);
}

/* Edited headers come in pieces of their own. */
FX_TEST(test_many_headers)
{
	struct buf text = { 0 }, want = { 0 };
	struct mail *m;

	for (int i = 0; i < 200; i++)
		buf_printf(&text, "X-Header-%d: %0*d\r\n", i, i * 20, i);
	buf_add_str(&text, "\r\n.body\r\n");
	m = mail_of(buf_bytes(&text), 1 << 17);
	for (int i = 0; i < 200; i += 3) {
		char name[32];
		snprintf(name, sizeof name, "X-Header-%d", i);
		assert_int_equal(mail_header_change(m, bytes_of(name), 1, BYTES("changed"), false), 0);
	}
	buf_clear(&text);
	for (int i = 0; i < 200; i++) {
		if (i % 3)
			buf_printf(&text, "X-Header-%d: %0*d\r\n", i, i * 20, i);
		else
			buf_printf(&text, "X-Header-%d: changed\r\n", i);
	}
	buf_add_str(&text, "\r\n.body\r\n");
	encode(buf_bytes(&text), &want);
	check(m, SMTP_CONTENT_WHOLE, buf_bytes(&want));
	mail_unref(&m);
	buf_fini(&text);
	buf_fini(&want);
	fx_finish(fx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stuffing),
		cmocka_unit_test(test_large_messages),
		cmocka_unit_test(test_many_headers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
