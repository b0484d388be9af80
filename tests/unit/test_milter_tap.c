/* test_milter_tap.c: who watches a milter sees each frame, in order, and what went wrong. */
#include "milter/milter_tap.h"
#include "tests/unit/fake_milter.h"

static struct fixture f;
static struct fake_milter fake;
static struct gate gate;
static struct buf seen;

static void note(void *arg, const struct milter_tap_event *e)
{
	static const char marks[] = {
		[MILTER_TAP_OPENED] = 'o', [MILTER_TAP_SENT] = '>', [MILTER_TAP_RECEIVED] = '<',
		[MILTER_TAP_REST] = '?', [MILTER_TAP_FAULT] = '!', [MILTER_TAP_CLOSED] = 'x',
	};
	(void)arg;
	buf_printf(&seen, "%s%c", seen.n ? " " : "", marks[e->what]);
	switch (e->what) {
	case MILTER_TAP_SENT: case MILTER_TAP_RECEIVED:
		buf_printf(&seen, "%c%zu", e->data.p[0], e->data.n);
		break;
	case MILTER_TAP_REST:
		buf_printf(&seen, "%zu", e->data.n);
		break;
	case MILTER_TAP_FAULT:
		buf_printf(&seen, "%s(%.*s)", gate_fault_name(e->fault), BYTES_ARG(e->data));
		break;
	default:
		break;
	}
}

static const struct milter_tap watcher = { .fn = note };

TASK_FN static void begin(enum milter_compat compat)
{
	buf_clear(&seen);
	fake_milter_start(&fake);
	fake_milter_gate(&fake, "fake", compat, &gate);
	milter_tap_gate(&gate, &watcher);
	fixture_init(&f);
	chain_attach(&f.chain, &gate);
}

TASK_FN static void end(void)
{
	chain_close(&f.chain, true);
	fixture_fini(&f);
	fake_milter_stop(&fake);
	milter_unconfigure(&gate);
	fake = (struct fake_milter){ .actions = 0x1ff };
	buf_fini(&seen);
}

TASK_FN static void ask(enum gate_stage stage)
{
	struct gate_verdict v;
	assert_int_equal(chain_event(&f.chain, stage, &(struct chain_args){ .txn = f.txn.arena ? &f.txn : NULL }, &v), 0);
}

/* The body is not in the output buffer, and stands where it belongs all the same. */
TASK_FN static void whole_message(void *arg)
{
	(void)arg;
	fake.replies['E'] = REPLIES(BYTES("hX\0y\0"), BYTES("c"));
	begin(MILTER_COMPAT_SENDMAIL);
	ask(GATE_CONNECT);
	assert_memory_equal(buf_str(&seen), "o >O13 <O13 >D", 14);
	buf_clear(&seen);
	fixture_mail(&f, "FROM:<s@example.org>");
	fixture_rcpt(&f, "TO:<a@example.org>");
	fixture_content(&f, BYTES("A: b\r\n\r\nbody\r\n"));
	ask(GATE_MESSAGE);
	const char *content = strstr(buf_str(&seen), ">L");
	assert_non_null(content);
	assert_string_equal(content, ">L5 <c1 >N1 <c1 >B7 <c1 >D2 >E1 <h5 <c1");
	buf_clear(&seen);
	chain_close(&f.chain, true);
	assert_string_equal(buf_str(&seen), ">Q1 x");
	end();
}

TASK_FN static void faults(void *arg)
{
	(void)arg;
	static const struct {
		struct bytes raw;
		const char *want;
	} cases[] = {
		{ { "\0\0\0\1z", 5 }, "<z1 !protocol(a reply of no known kind) x" },
		{ { "\0\0\0\0", 4 }, "?4 !protocol(a reply without a code) x" },
		{ { "\377\0\0\0c", 5 }, "?5 !protocol(a reply is too long) x" },
		{ { "\0\0", 2 }, "?2 !timeout(it takes too long) x" },
		{ { "\0\0\0\1q", 5 }, "<q1 !protocol(a reply's text does not end) x" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.raw['C'] = cases[i].raw;
		begin(MILTER_COMPAT_SENDMAIL);
		ask(GATE_CONNECT);
		const char *behind = strstr(buf_str(&seen), ">C");
		assert_non_null(behind);
		assert_string_equal(strchr(behind, ' ') + 1, cases[i].want);
		end();
	}
	begin(MILTER_COMPAT_FULL);
	fake_milter_hush(&fake);
	ask(GATE_CONNECT);
	assert_string_equal(buf_str(&seen), "!connect(Connection refused)");
	end();
}

static void test_whole_message(void **state)
{
	(void)state;
	with_clock(whole_message, NULL);
}

static void test_faults(void **state)
{
	(void)state;
	with_clock(faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole_message), cmocka_unit_test(test_faults) };
	fake = (struct fake_milter){ .actions = 0x1ff };
	return cmocka_run_group_tests(tests, fixture_loop_start, fixture_loop_stop);
}
