/* test_milter_codec.c: the bytes of milter frames, both ways. */
#include "lib/base/mem.h"
#include "milter/milter_codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

/* Compares and empties. */
static void assert_buf(struct buf *b, struct bytes want)
{
	assert_int_equal(b->n, want.n);
	assert_memory_equal(b->p, want.p, want.n);
	buf_clear(b);
}

/* ---- events ---- */

static void test_events(void **state)
{
	(void)state;
	struct buf b = { 0 };
	struct milter_terms offer = milter_codec_offer(6);
	milter_codec_negotiate(&b, &offer);
	assert_buf(&b, BYTES("\0\0\0\x0dO\0\0\0\6\0\0\1\xff\0\x1f\xff\xff")); /* M1 */

	milter_codec_put_connect(&b, &(struct milter_peer){ BYTES("mx.test"), SMFIA_INET, 2525, BYTES("192.0.2.1") });
	assert_buf(&b, BYTES("\0\0\0\x16" "Cmx.test\0" "4\x09\xdd" "192.0.2.1\0"));
	milter_codec_put_connect(&b, &(struct milter_peer){ BYTES("[x]"), SMFIA_UNKNOWN, 25, BYTES("x") });
	assert_buf(&b, BYTES("\0\0\0\6" "C[x]\0U"));

	milter_codec_put_text(&b, SMFIC_HELO, BYTES("a.test"));
	assert_buf(&b, BYTES("\0\0\0\x08Ha.test\0"));
	milter_codec_put_text(&b, SMFIC_UNKNOWN, BYTES("FOO\0BAR")); /* a NUL cannot be carried */
	assert_buf(&b, BYTES("\0\0\0\x08UFOOBAR\0"));
	milter_codec_put_bare(&b, SMFIC_BODYEOB);
	assert_buf(&b, BYTES("\0\0\0\1E"));
	milter_codec_put_chunk_head(&b, 65535);
	assert_buf(&b, BYTES("\0\1\0\0B"));
	buf_fini(&b);
}

/* M21: one blank after the colon is eaten, a TAB never; folds become bare LF, their white space stays. */
static void test_headers(void **state)
{
	(void)state;
	static const struct {
		struct bytes raw;
		bool keep;
		struct bytes want;
	} cases[] = {
		{ BYTES(" one"), false, BYTES("one") },
		{ BYTES(" one"), true, BYTES(" one") },
		{ BYTES("  two"), false, BYTES(" two") },
		{ BYTES("\ttab"), false, BYTES("\ttab") },
		{ BYTES("none"), false, BYTES("none") },
		{ BYTES(" a\r\n  b\r\n\tc"), false, BYTES("a\n  b\n\tc") },
		{ BYTES(" a\rb"), false, BYTES("a\rb") },
		{ BYTES(""), false, BYTES("") },
	};
	struct buf b = { 0 }, want = { 0 };
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		assert_true(milter_codec_put_header(&b, &(struct milter_header){ BYTES("Subject"), cases[i].raw, cases[i].keep, 65535 }));
		buf_add_u32be(&want, 1 + 8 + cases[i].want.n + 1);
		buf_add(&want, BYTES("LSubject\0"));
		buf_add(&want, cases[i].want);
		buf_add_char(&want, '\0');
		assert_buf(&b, buf_bytes(&want));
		buf_clear(&want);
	}
	buf_fini(&b);
	buf_fini(&want);
}

/* A filter that takes no more is shown the beginning, well formed. */
static void test_long_headers(void **state)
{
	(void)state;
	struct buf b = { 0 };
	assert_true(milter_codec_put_header(&b, &(struct milter_header){ BYTES("Subject"), BYTES(" 1234567"), false, 16 }));
	assert_buf(&b, BYTES("\0\0\0\x11LSubject\0" "1234567\0"));
	assert_false(milter_codec_put_header(&b, &(struct milter_header){ BYTES("Subject"), BYTES(" 12345678"), false, 16 }));
	assert_buf(&b, BYTES("\0\0\0\x11LSubject\0" "1234567\0"));
	assert_false(milter_codec_put_header(&b, &(struct milter_header){ BYTES("A-name-too-long-for-it"), BYTES("v"), false, 16 }));
	assert_buf(&b, BYTES("\0\0\0\x11LA-name-too-lon\0" "\0"));
	buf_fini(&b);
}

/* M2: what a version lacks is neither offered nor sent. */
static void test_offers(void **state)
{
	(void)state;
	static const struct milter_terms want[] = {
		{ 2, 0x3f, 0x7f & ~0 }, { 3, 0x3f, 0x17f }, { 4, 0x3f, 0x37f }, { 5, 0x3f, 0x37f }, { 6, 0x1ff, 0x1fffff },
	};
	for (unsigned i = 0; i < COUNT_OF(want); i++) {
		struct milter_terms t = milter_codec_offer(want[i].version);
		assert_int_equal(t.actions, want[i].actions);
		assert_int_equal(t.protocol, want[i].protocol);
	}
	assert_int_equal(milter_codec_event(SMFIC_UNKNOWN)->since, 3);
	assert_int_equal(milter_codec_event(SMFIC_DATA)->since, 4);
}

/* ---- negotiation ---- */

static void test_agree(void **state)
{
	(void)state;
	static const struct {
		struct bytes frame;
		unsigned offered;
		const char *why;        /* NULL: agreed */
		uint32_t version, actions, protocol;
	} cases[] = {
		{ BYTES("O\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"), 6, NULL, 6, 0x1ff, 0x1fffff },
		{ BYTES("O\0\0\0\2\0\0\0\1\0\0\0\x40"), 6, NULL, 2, 1, 0x40 },
		{ BYTES("O\0\0\0\5\0\0\0\1\0\0\0\0"), 6, NULL, 5, 1, 0 },
		/* protocol bits of another world are not ours to obey */
		{ BYTES("O\0\0\0\6\0\0\0\0\xf0\0\0\1"), 6, NULL, 6, 0, 1 },
		/* nor is a reply left out that an old host would wait for */
		{ BYTES("O\0\0\0\2\0\0\0\0\0\0\x10\1"), 2, NULL, 2, 0, 1 },
		{ BYTES("O\0\0\0\7\0\0\0\0\0\0\0\0"), 6, "it wants a newer version than it was offered", 0, 0, 0 },
		{ BYTES("O\0\0\0\6\0\0\0\0\0\0\0\0"), 4, "it wants a newer version than it was offered", 0, 0, 0 },
		{ BYTES("O\0\0\0\1\0\0\0\0\0\0\0\0"), 6, "it speaks version 1, or none", 0, 0, 0 },
		{ BYTES("O\0\0\0\6\0\0\2\0\0\0\0\0"), 6, "it wants edits that it was not offered", 0, 0, 0 },
		{ BYTES("O\0\0\0\6\0\0\0\0\0\0\0"), 6, "the answer to the negotiation is too short", 0, 0, 0 },
		{ BYTES("c"), 6, "the answer to the negotiation is something else", 0, 0, 0 },
		{ BYTES("O\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\2i j"), 6, "its macro lists are malformed", 0, 0, 0 },
		{ BYTES("O\0\0\0\6\0\0\0\0\0\0\0\0\0\0"), 6, "its macro lists are malformed", 0, 0, 0 },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct milter_terms offer = milter_codec_offer(cases[i].offered), t = { 0 };
		struct bytes symbols[MILTER_SYMBOL_STAGES];
		const char *why = NULL;
		int r = milter_codec_agree(cases[i].frame, &offer, &t, symbols, &why);
		assert_int_equal(r, cases[i].why ? -EPROTO : 0);
		if (cases[i].why)
			assert_string_equal(why, cases[i].why);
		assert_int_equal(t.version, cases[i].version);
		assert_int_equal(t.actions, cases[i].actions);
		assert_int_equal(t.protocol, cases[i].protocol);
	}
}

/* M3 */
static void test_symbols(void **state)
{
	(void)state;
	struct milter_terms offer = milter_codec_offer(6), t;
	struct bytes symbols[MILTER_SYMBOL_STAGES];
	const char *why;
	struct bytes frame = BYTES("O\0\0\0\6\0\0\1\xff\0\0\0\0" "\0\0\0\2i j\0" "\0\0\0\x09nowhere\0" "\0\0\0\5\0");
	assert_int_equal(milter_codec_agree(frame, &offer, &t, symbols, &why), 0);
	assert_true(bytes_eq(symbols[2], BYTES("i j")));
	assert_non_null(symbols[5].p);
	assert_int_equal(symbols[5].n, 0);
	assert_null(symbols[0].p);
	assert_null(symbols[6].p);
}

/* ---- replies ---- */

static void test_frames(void **state)
{
	(void)state;
	struct bytes frame = { 0 };
	const char *why = NULL;
	struct bytes whole = BYTES("\0\0\0\3abcd");
	for (size_t n = 0; n < 7; n++)
		assert_int_equal(milter_codec_frame(bytes_first(whole, n), 100, &frame, &why), 0);
	assert_int_equal(milter_codec_frame(whole, 100, &frame, &why), 1);
	assert_true(bytes_eq(frame, BYTES("abc")));
	assert_int_equal(milter_codec_frame(BYTES("\0\0\0\0"), 100, &frame, &why), -EPROTO);
	assert_string_equal(why, "a reply without a code");
	assert_int_equal(milter_codec_frame(BYTES("\0\0\0\x65"), 100, &frame, &why), -EPROTO);
	assert_string_equal(why, "a reply is too long");
	assert_int_equal(milter_codec_frame(BYTES("\xff\xff\xff\xff"), 1 << 20, &frame, &why), -EPROTO);
}

static void test_replies(void **state)
{
	(void)state;
	static const char cut[] = "a reply's text does not end", more[] = "a reply is followed by something",
			  number[] = "a reply's number is cut off", unknown[] = "a reply of no known kind";
	static const struct {
		struct bytes frame;
		const char *name, *why;
		uint32_t index;
		struct bytes text[2];
	} cases[] = {
		{ BYTES("c"), "continue", NULL, 0, { { 0 } } },
		{ BYTES("cx"), NULL, more, 0, { { 0 } } }, /* M40 */
		{ BYTES("a\0"), NULL, more, 0, { { 0 } } },
		{ BYTES("p"), "progress", NULL, 0, { { 0 } } },
		{ BYTES("z"), NULL, unknown, 0, { { 0 } } },
		{ BYTES("\0"), NULL, unknown, 0, { { 0 } } },
		{ BYTES("y550 no\0"), "replycode", NULL, 0, { BYTES("550 no") } },
		{ BYTES("y550 no"), NULL, cut, 0, { { 0 } } }, /* better point 18 */
		{ BYTES("y550 no\0x"), NULL, more, 0, { { 0 } } },
		{ BYTES("hX-A\0b\0"), "addheader", NULL, 0, { BYTES("X-A"), BYTES("b") } },
		{ BYTES("hX-A\0\0"), "addheader", NULL, 0, { BYTES("X-A"), BYTES("") } },
		{ BYTES("hX-A\0b"), NULL, cut, 0, { { 0 } } },
		{ BYTES("hX-A\0"), NULL, cut, 0, { { 0 } } },
		{ BYTES("hX-A\0b\0c\0"), NULL, more, 0, { { 0 } } },
		{ BYTES("i\0\0\0\1X\0y\0"), "insheader", NULL, 1, { BYTES("X"), BYTES("y") } },
		{ BYTES("m\0\0\1\0X\0\0"), "chgheader", NULL, 256, { BYTES("X"), BYTES("") } },
		{ BYTES("m\0\0\1"), NULL, number, 0, { { 0 } } },
		{ BYTES("b"), "replbody", NULL, 0, { BYTES("") } },
		{ BYTES("ba\0b"), "replbody", NULL, 0, { BYTES("a\0b") } },
		{ BYTES("+<a@b>\0"), "addrcpt", NULL, 0, { BYTES("<a@b>") } },
		{ BYTES("+<a@b>\0x\0"), NULL, more, 0, { { 0 } } },
		{ BYTES("2<a@b>\0NOTIFY=NEVER\0"), "addrcpt_par", NULL, 0, { BYTES("<a@b>"), BYTES("NOTIFY=NEVER") } },
		{ BYTES("2<a@b>\0"), "addrcpt_par", NULL, 0, { BYTES("<a@b>") } },
		{ BYTES("-<a@b>\0"), "delrcpt", NULL, 0, { BYTES("<a@b>") } },
		{ BYTES("e<>\0"), "chgfrom", NULL, 0, { BYTES("<>") } },
		{ BYTES("e<>\0RET=HDRS"), NULL, cut, 0, { { 0 } } },
		{ BYTES("qspam\0"), "quarantine", NULL, 0, { BYTES("spam") } },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct milter_reply reply = { 0 };
		const char *why = NULL;
		int r = milter_codec_reply(cases[i].frame, &reply, &why);
		assert_int_equal(r, cases[i].why ? -EPROTO : 0);
		if (cases[i].why) {
			assert_string_equal(why, cases[i].why);
			continue;
		}
		assert_string_equal(reply.kind->name, cases[i].name);
		assert_int_equal(reply.index, cases[i].index);
		for (unsigned t = 0; t < 2; t++) {
			assert_true(bytes_eq(reply.text[t], cases[i].text[t]));
			assert_int_equal(reply.text[t].p != NULL, cases[i].text[t].p != NULL);
		}
	}
}

/* M37 */
static void test_reply_texts(void **state)
{
	(void)state;
	static const struct {
		struct bytes text;
		unsigned code;          /* 0: refused */
		const char *enhanced, *want;
	} cases[] = {
		{ BYTES("550 5.7.1 go away"), 550, "5.7.1", "go away" },
		{ BYTES("451 later"), 451, "", "later" },
		{ BYTES("550 "), 550, "", "" },
		{ BYTES("550-"), 550, "", "" },
		{ BYTES("550 5.7.1"), 550, "5.7.1", "" },
		{ BYTES("550  5.7.1 x"), 550, "", " 5.7.1 x" },
		{ BYTES("550-5.7.1 one\r\n550 5.7.1 two"), 550, "5.7.1", "one\ntwo" },
		{ BYTES("550-5.7.1 one\n550 5.7.1 two\r\n"), 550, "5.7.1", "one\ntwo" },
		{ BYTES("550-5.7.1 \r\n550 5.7.1 two"), 550, "5.7.1", "\ntwo" },
		{ BYTES("550-one\r\n550 5.7.1 two"), 550, "", "one\n5.7.1 two" },
		{ BYTES("550-5.7.1 one\r\n550 5.7.2 two"), 550, "", "5.7.1 one\n5.7.2 two" },
		{ BYTES("550 100%% of 5% x%"), 550, "", "100% of 5 x" },
		{ BYTES("550 5.7.1000 long"), 550, "", "5.7.1000 long" },
		{ BYTES("550 4.7.1 class"), 0, NULL, NULL },
		{ BYTES("550 5.7.1 one\r\n450 4.7.1 two"), 0, NULL, NULL },
		{ BYTES("550 one\r\ntwo"), 0, NULL, NULL },
		{ BYTES("250 2.0.0 ok"), 0, NULL, NULL },
		{ BYTES("650 x"), 0, NULL, NULL },
		{ BYTES("55 x"), 0, NULL, NULL },
		{ BYTES("5500 x"), 0, NULL, NULL },
		{ BYTES("550"), 0, NULL, NULL },
		{ BYTES("no"), 0, NULL, NULL },
		{ BYTES(""), 0, NULL, NULL },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct arena arena = { 0 };
		struct smtp_reply reply = { 0 };
		int r = milter_codec_reply_text(cases[i].text, &arena, &reply);
		assert_int_equal(r, cases[i].code ? 0 : -EPROTO);
		assert_int_equal(reply.code, cases[i].code);
		if (r == 0) {
			assert_string_equal(reply.enhanced, cases[i].enhanced);
			assert_string_equal(reply.text, cases[i].want);
		}
		arena_fini(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),  cmocka_unit_test(test_headers), cmocka_unit_test(test_long_headers), cmocka_unit_test(test_offers),
		cmocka_unit_test(test_agree),   cmocka_unit_test(test_symbols), cmocka_unit_test(test_frames),
		cmocka_unit_test(test_replies), cmocka_unit_test(test_reply_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
