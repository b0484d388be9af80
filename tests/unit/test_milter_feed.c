/* test_milter_feed.c: a message is shown to filters while it arrives: the same frames, only earlier. */
#include "milter/milter_codec.h"
#include "tests/unit/fake_milter.h"

enum { FAKES = 3 };
static struct fixture f;
static struct fake_milter fakes[FAKES];
static struct gate gates[FAKES];
static unsigned count;

static void clear(void)
{
	for (unsigned i = 0; i < FAKES; i++)
		fakes[i] = (struct fake_milter){ .actions = 0x1ff };
	count = 0;
}

TASK_FN static void begin(unsigned n, enum milter_compat compat)
{
	static const char *const names[FAKES] = { "a", "b", "c" };
	fixture_init(&f);
	for (count = 0; count < n; count++) {
		fake_milter_start(&fakes[count]);
		fake_milter_gate(&fakes[count], names[count], compat, &gates[count]);
		chain_attach(&f.chain, &gates[count]);
	}
}

TASK_FN static void end(void)
{
	chain_close(&f.chain, true);
	fixture_fini(&f);
	for (unsigned i = 0; i < count; i++) {
		fake_milter_stop(&fakes[i]);
		milter_unconfigure(&gates[i]);
	}
	clear();
}

TASK_FN static struct gate_verdict ask_rcpt(enum gate_stage stage, struct gate_rcpt *rcpt)
{
	struct gate_verdict v;
	assert_int_equal(chain_event(&f.chain, stage, &(struct chain_args){ .txn = &f.txn, .rcpt = rcpt }, &v), 0);
	return v;
}

TASK_FN static struct gate_verdict ask(enum gate_stage stage)
{
	return ask_rcpt(stage, NULL);
}

/* Up to DATA, and a message that has not come yet. */
TASK_FN static void envelope(void)
{
	struct mail_limits limits = { .header_max = 1 << 20, .memory_max = 128 << 10, .spool = "/tmp" };
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_int_equal(ask(GATE_MAIL).action, GATE_CONTINUE);
	assert_int_equal(ask_rcpt(GATE_RCPT, fixture_rcpt(&f, "TO:<a@example.org>")).action, GATE_CONTINUE);
	assert_int_equal(ask(GATE_DATA).action, GATE_CONTINUE);
	f.txn.mail = mail_new(&limits);
}

static const char header[] = "Received: there\r\nSubject: one\r\nX-Fold: a\r\n\t b\r\n  c\r\n\r\n";

/* A header and N bytes of body, no two chunks of it alike. */
static struct buf message(size_t n)
{
	struct buf b = { 0 };
	buf_add_str(&b, header);
	size_t whole = b.n + n;
	for (unsigned i = 0; b.n < whole; i++)
		buf_printf(&b, "%07u the quick brown fox jumps over the lazy dog\r\n", i);
	b.n = whole;
	return b;
}

/* Appends CONTENT in pieces of STEP, showing the gates what is there as the server does. */
TASK_FN static void arrive(struct bytes content, size_t step)
{
	uint64_t feed_at = GATE_FEED_BYTES;
	while (content.n > 0) {
		struct bytes piece = bytes_first(content, step);
		assert_int_equal(mail_append(f.txn.mail, piece), 0);
		content = bytes_skip(content, piece.n);
		if (mail_body_size(f.txn.mail) < feed_at)
			continue;
		if (feed_at == GATE_FEED_BYTES)
			mail_trace_prepend(f.txn.mail, BYTES("Received: here\r\n"));
		assert_int_equal(chain_feed(&f.chain, &f.txn), 0);
		feed_at = mail_body_size(f.txn.mail) + GATE_FEED_BYTES;
	}
}

TASK_FN static struct gate_verdict dot(void)
{
	assert_int_equal(mail_end(f.txn.mail), 0);
	return ask(GATE_MESSAGE);
}

TASK_FN static void arrive_sized(size_t body, size_t step)
{
	struct buf m = message(body);
	arrive(buf_bytes(&m), step);
	buf_fini(&m);
}

static struct buf take_trace(unsigned i)
{
	struct buf taken = fakes[i].trace;
	fakes[i].trace = (struct buf){ 0 };
	return taken;
}

#define assert_told(i, want)                                                                                           \
	do {                                                                                                            \
		fake_milter_settle();                                                                                   \
		struct buf told = take_trace(i);                                                                        \
		assert_string_equal(buf_str(&told), want);                                                              \
		buf_fini(&told);                                                                                        \
	} while (0)

/* ---- the same frames ---- */

/* What the filter is told of a message that comes in pieces of STEP; 0: whole. */
TASK_FN static struct buf told_of(size_t body, size_t step, uint32_t protocol)
{
	struct buf m = message(body);
	fakes[0].verbose = true;
	fakes[0].protocol = protocol;
	begin(1, MILTER_COMPAT_FULL);
	envelope();
	if (step)
		arrive(buf_bytes(&m), step);
	else
		assert_int_equal(mail_append(f.txn.mail, buf_bytes(&m)), 0);
	if (step && body > 3 * MILTER_CHUNK_MAX && !(protocol & SMFIP_NOBODY)) {
		fake_milter_settle(); /* it has heard of it before the end */
		assert_non_null(strstr(buf_str(&fakes[0].trace), "0000000 the quick"));
	}
	assert_int_equal(dot().action, GATE_CONTINUE);
	chain_abort(&f.chain, &f.txn, true);
	chain_close(&f.chain, true);
	fake_milter_settle();
	struct buf told = take_trace(0);
	end();
	buf_fini(&m);
	return told;
}

TASK_FN static void same_frames(void *arg)
{
	(void)arg;
	static const size_t bodies[] = { 0, 1, 65534, 65535, 65536, 65537, 131069, 131070, 131071, 131072, 196605, 200000, 300001, 8 << 20 };
	static const size_t steps[] = { 65536, 9999, 131072, 200000 };
	static const uint32_t protocols[] = { 0, SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY, SMFIP_NR_BODY, SMFIP_NOBODY, SMFIP_NOHDRS | SMFIP_NOEOH };
	for (unsigned p = 0; p < COUNT_OF(protocols); p++) {
		for (unsigned i = 0; i < COUNT_OF(bodies); i++) {
			if (p > 0 && bodies[i] > 1 << 20)
				continue;
			struct buf whole = told_of(bodies[i], 0, protocols[p]);
			struct buf pieces = told_of(bodies[i], steps[(i + p) % COUNT_OF(steps)], protocols[p]);
			assert_true(whole.n > (protocols[p] & SMFIP_NOBODY ? 0 : bodies[i]));
			assert_true(bytes_eq(buf_bytes(&whole), buf_bytes(&pieces)));
			buf_fini(&whole);
			buf_fini(&pieces);
		}
	}
}

/* Frame by frame: what has gone when, and what is owed meanwhile. */
TASK_FN static void step_by_step(void *arg)
{
	(void)arg;
	begin(1, MILTER_COMPAT_FULL);
	envelope();
	assert_told(0, "O DC C DH H DM M DR R DT T");
	arrive_sized(65535, 65535 + sizeof(header) - 1);
	assert_told(0, "");     /* may be the last chunk */
	chain_abort(&f.chain, &f.txn, false);
	fixture_txn_fini(&f);
	envelope();
	assert_told(0, "A DM M DR R DT T");
	arrive_sized(131072, 4096);
	assert_told(0, "DN L L L N B");
	assert_int_equal(dot().action, GATE_CONTINUE);
	assert_told(0, "B B DE E");
	end();
}

/* ---- answers in mid-content ---- */

TASK_FN static void decided(void *arg)
{
	(void)arg;
	static const struct {
		char event;
		const char *reply;
		unsigned skip;
		enum gate_action action;
		unsigned code;
		const char *told, *next;        /* of this message; of the next one's MAIL */
	} cases[] = {
		{ 'L', "r", 1, GATE_REJECT, 550, "DN L L L N B", "O DC C DH H DM M" },
		{ 'B', "r", 0, GATE_REJECT, 550, "DN L L L N B", "A DM M" },
		{ 'B', "t", 1, GATE_TEMPFAIL, 451, "DN L L L N B B", "A DM M" },
		{ 'B', "a", 0, GATE_CONTINUE, 0, "DN L L L N B", "A DM M" },
		{ 'N', "a", 0, GATE_CONTINUE, 0, "DN L L L N B", "O DC C DH H DM M" },
		{ 'B', "d", 0, GATE_DISCARD, 0, "DN L L L N B", "A DM M" },
		{ 'B', "s", 0, GATE_CONTINUE, 0, "DN L L L N B DE E", "A DM M" },
		{ 'B', "4", 1, GATE_DISCONNECT, 421, "DN L L L N B B", "" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		unsigned char event = cases[i].event;
		begin(1, MILTER_COMPAT_FULL);
		envelope();
		fake_milter_settle();
		buf_clear(&fakes[0].trace);
		fakes[0].replies[event] = REPLIES(bytes_of(cases[i].reply));
		fakes[0].skip[event] = cases[i].skip;
		arrive_sized(400000, 65536);
		struct gate_verdict v = dot();
		assert_int_equal(v.action, cases[i].action);
		/* One that is left may be told so, unless an answer of its own finds nobody any more before. */
		fake_milter_settle();
		assert_int_equal(strncmp(buf_str(&fakes[0].trace), cases[i].told, strlen(cases[i].told)), 0);
		assert_true(fakes[0].trace.n <= strlen(cases[i].told) + 2);
		buf_clear(&fakes[0].trace);
		assert_int_equal(v.reply.code, cases[i].code);
		fakes[0].replies[event] = NULL;
		chain_abort(&f.chain, &f.txn, false);
		fixture_txn_fini(&f);
		fixture_mail(&f, "FROM:<s@example.org>");
		assert_int_equal(ask(GATE_MAIL).action, GATE_CONTINUE);
		assert_told(0, cases[i].next);
		end();
	}
}

/* A fault is kept for the end, and counts as one at the message. */
TASK_FN static void failed(void *arg)
{
	(void)arg;
	static const struct {
		struct bytes raw;
		enum gate_fault fault;
	} cases[] = {
		{ CLOSE, GATE_FAULT_PROTOCOL },
		{ HANG, GATE_FAULT_TIMEOUT },
		{ { "\0\0\0\1z", 5 }, GATE_FAULT_PROTOCOL },
		{ { "\0\0\0\7hX\0y\0\0\0", 11 }, GATE_FAULT_PROTOCOL }, /* an edit */
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		begin(2, MILTER_COMPAT_FULL);
		for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
			gates[0].on_failure[GATE_MESSAGE][fault] = fault == cases[i].fault ? GATE_ON_FAILURE_HOLD : GATE_ON_FAILURE_REJECT;
		fakes[0].actions = 0; /* so that the second is beside it */
		envelope();
		fakes[0].raw['B'] = cases[i].raw;
		fakes[0].skip['B'] = 1;
		arrive_sized(400000, 65536);
		assert_false(f.txn.held);
		assert_int_equal(dot().action, GATE_CONTINUE);
		assert_true(f.txn.held);
		assert_string_equal(f.txn.hold_reason, "a failed");
		fake_milter_settle();
		assert_non_null(strstr(buf_str(&fakes[1].trace), "B DE E")); /* the other was told all */
		end();
	}
}

/* One that hung up on a client that took its time is shown all of it when it is there, as by a server that waits until then: once, and not while
 * it arrives. */
TASK_FN static void hung_up(void *arg)
{
	(void)arg;
	begin(2, MILTER_COMPAT_FULL);
	fakes[0].actions = 0;
	envelope();
	fakes[0].raw['B'] = CLOSE;
	fakes[0].skip['B'] = 1;
	arrive_sized(200000, 65536);
	fake_milter_settle();
	fakes[0].raw['B'] = (struct bytes){ 0 };
	buf_clear(&fakes[0].trace);
	arrive_sized(200000, 65536);
	assert_told(0, "");
	fakes[0].replies['E'] = REPLIES(BYTES("r"));
	struct gate_verdict v = dot();
	assert_int_equal(v.action, GATE_REJECT);
	assert_string_equal(v.gate, "a");
	assert_told(0, "O DC C DH H DM M DR R DT T DN L L L N B B B B B B B DE E");
	end();
}

/* The client vanishes, or its message is too big: the filter is told so, and its late answers harm nobody. */
TASK_FN static void aborted(void *arg)
{
	(void)arg;
	begin(1, MILTER_COMPAT_FULL);
	envelope();
	fake_milter_settle();
	buf_clear(&fakes[0].trace);
	arrive_sized(200000, 65536);
	chain_abort(&f.chain, &f.txn, false);
	fixture_txn_fini(&f);
	assert_told(0, "DN L L L N B B A");
	envelope();
	assert_told(0, "DM M DR R DT T");
	arrive_sized(1000, 65536);
	assert_int_equal(dot().action, GATE_CONTINUE);
	assert_told(0, "DN L L L N B DE E");
	/* It has not answered: after a while it is left alone, and the next message has another connection. */
	chain_abort(&f.chain, &f.txn, true);
	fixture_txn_fini(&f);
	envelope();
	fakes[0].raw['B'] = HANG;
	arrive_sized(100000, 65536);
	int64_t before = run_now();
	chain_abort(&f.chain, &f.txn, false);
	assert_true(run_now() - before < SECONDS(5));
	fakes[0].raw['B'] = (struct bytes){ 0 };
	fixture_txn_fini(&f);
	buf_clear(&fakes[0].trace);
	envelope();
	assert_told(0, "O DC C DH H DM M DR R DT T");
	end();
}

/* ---- who is shown what ---- */

/* Postfix and Sendmail have the whole message before a filter sees any of it. */
TASK_FN static void not_in_turn(void *arg)
{
	(void)arg;
	static const enum milter_compat compats[] = { MILTER_COMPAT_POSTFIX, MILTER_COMPAT_SENDMAIL };
	for (unsigned i = 0; i < COUNT_OF(compats); i++) {
		begin(1, compats[i]);
		envelope();
		assert_false(chain_eats(&f.chain));
		fake_milter_settle();
		buf_clear(&fakes[0].trace);
		arrive_sized(200000, 65536);
		assert_told(0, "");
		end();
	}
}

/* The first batch: a filter that edits nothing and the first that does; the third must see what that one did. */
TASK_FN static void batch(void *arg)
{
	(void)arg;
	fakes[0].actions = SMFIF_QUARANTINE;
	begin(3, MILTER_COMPAT_FULL);
	envelope();
	fake_milter_settle();
	for (unsigned i = 0; i < 3; i++)
		buf_clear(&fakes[i].trace);
	fakes[1].replies['E'] = REPLIES(BYTES("hX-Two\0two\0"), BYTES("c"));
	fakes[2].verbose = true;
	arrive_sized(200000, 65536);
	assert_told(0, "DN L L L N B B");
	assert_told(1, "DN L L L N B B");
	assert_told(2, "");
	assert_int_equal(dot().action, GATE_CONTINUE);
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fakes[2].trace), "LX-Fold|a\\n\t b\\n  c| LX-Two|two| N"));
	end();
}

/* One that has decided is shown no more, nor are those after it; those before it are. */
TASK_FN static void batch_decided(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 3; i++)
		fakes[i].actions = 0;
	begin(3, MILTER_COMPAT_FULL);
	envelope();
	fake_milter_settle();
	for (unsigned i = 0; i < 3; i++)
		buf_clear(&fakes[i].trace);
	fakes[1].replies['B'] = REPLIES(BYTES("r"));
	arrive_sized(400000, 65536);
	struct gate_verdict v = dot();
	assert_int_equal(v.action, GATE_REJECT);
	assert_string_equal(v.gate, "b");
	assert_told(0, "DN L L L N B B B B B B B DE E");
	assert_told(1, "DN L L L N B");
	assert_told(2, "DN L L L N B");
	chain_abort(&f.chain, &f.txn, false);
	assert_told(2, "A");
	end();
}

/* A policy server's PREPEND of an earlier stage is there when the first filter sees the header. */
TASK_FN static void early_edits(void *arg)
{
	(void)arg;
	begin(1, MILTER_COMPAT_FULL);
	envelope();
	fake_milter_settle();
	buf_clear(&fakes[0].trace);
	fakes[0].verbose = true;
	struct gate_edit *e = ARENA_NEW(f.txn.arena, struct gate_edit);
	*e = (struct gate_edit){ .kind = GATE_EDIT_HEADER_INSERT, .name = BYTES("X-Early"), .value = BYTES("yes") };
	list_append(&f.txn.early_edits, &e->link);
	arrive_sized(200000, 65536);
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fakes[0].trace), " LX-Early|yes| LReceived|there| LSubject|one|"));
	assert_int_equal(dot().action, GATE_CONTINUE);
	struct buf now = { 0 };
	fixture_message(&f, &now);
	assert_int_equal(strncmp(buf_str(&now), "X-Early: yes\r\nReceived: here\r\nReceived: there\r\n", 47), 0);
	buf_fini(&now);
	end();
}

/* A filter that does not read holds the client up; what it is owed is no more than before. */
TASK_FN static void slow(void *arg)
{
	(void)arg;
	begin(1, MILTER_COMPAT_FULL);
	envelope();
	fakes[0].raw['B'] = HANG;
	int64_t before = run_now();
	arrive_sized(65536 * 2, 65536);
	assert_true(run_now() - before < SECONDS(100)); /* the first chunk's answer is not waited for */
	arrive_sized(65536 * 2, 65536);
	assert_true(run_now() - before >= SECONDS(300));
	assert_int_equal(dot().action, GATE_TEMPFAIL);
	end();
}

#define IN_TASK(name)                                                                                                  \
	static void test_##name(void **state)                                                                           \
	{                                                                                                               \
		(void)state;                                                                                            \
		clear();                                                                                                \
		with_clock(name, NULL);                                                                                 \
	}
IN_TASK(same_frames)
IN_TASK(step_by_step)
IN_TASK(decided)
IN_TASK(failed)
IN_TASK(hung_up)
IN_TASK(aborted)
IN_TASK(not_in_turn)
IN_TASK(batch)
IN_TASK(batch_decided)
IN_TASK(early_edits)
IN_TASK(slow)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_frames),
		cmocka_unit_test(test_step_by_step),
		cmocka_unit_test(test_decided),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_hung_up),
		cmocka_unit_test(test_aborted),
		cmocka_unit_test(test_not_in_turn),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_batch_decided),
		cmocka_unit_test(test_early_edits),
		cmocka_unit_test(test_slow),
	};
	return cmocka_run_group_tests(tests, fixture_loop_start, fixture_loop_stop);
}
