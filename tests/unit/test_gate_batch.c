/* test_gate_batch.c: gates asked about a message side by side: as fast as the slowest, and with the outcome of one after another. */
#include "tests/unit/txn_fixture.h"

#define STAGE(stage) (1u << GATE_##stage)

/* What a gate does when it is asked about the message. */
struct plan {
	const char *name;
	unsigned seconds;               /* it takes */
	enum gate_action action;
	enum gate_fault fault;
	unsigned later_edits;           /* it is restarted at the second feed, and can do this from then on */
	bool lies;                      /* edits although it said that it would not */
	unsigned edits;                 /* gate_edit_kind bits: it says so, and makes one of each */
	struct smtp_reply defer;
	/* what was seen */
	unsigned opened, asked, aborted, closed, fed;
	bool cut;                       /* its call was canceled */
	int64_t begun, ended;
	char seen[512];                 /* the message as it saw it */
};

static struct fixture f;

static void plan_look(struct gate_call *call, struct plan *p)
{
	struct mail_cursor cursor = { 0 };
	struct buf scratch = { 0 }, all = { 0 };
	struct bytes piece;
	do {
		assert_int_equal(mail_read(call->txn->mail, &cursor, 512, &scratch, &piece), 0);
		buf_add(&all, piece);
	} while (piece.n > 0);
	buf_printf(&all, "%u %.*s", call->txn->rcpt_count, BYTES_ARG(call->txn->sender.address.address));
	snprintf(p->seen, sizeof(p->seen), "%s", buf_str(&all));
	buf_fini(&all);
	buf_fini(&scratch);
}

static int plan_edit(struct gate_call *call, const struct plan *p, unsigned kind)
{
	char text[64];
	struct bytes value = bytes_make(text, snprintf(text, sizeof(text), "%s@example.org", p->name));
	switch (kind) {
	case GATE_EDIT_HEADER_ADD:
		return gate_edit_header_add(call, BYTES("X-Add"), value, false);
	case GATE_EDIT_HEADER_INSERT:
		return gate_edit_header_insert(call, 1, BYTES("X-Insert"), value, false);
	case GATE_EDIT_HEADER_CHANGE:
		return gate_edit_header_change(call, 1, BYTES("Subject"), value, false);
	case GATE_EDIT_BODY:
		return gate_edit_body(call, value);
	case GATE_EDIT_RCPT_ADD:
		return gate_edit_rcpt_add(call, value, BYTES(""));
	case GATE_EDIT_RCPT_DELETE:
		return gate_edit_rcpt_delete(call, BYTES("a@example.org"));
	case GATE_EDIT_SENDER:
		return gate_edit_sender(call, value, BYTES(""));
	case GATE_EDIT_HOLD:
		return gate_edit_hold(call, value);
	}
	return 0;
}

static int plan_edits(struct gate_call *call, const struct plan *p)
{
	int r = 0;
	for (unsigned kind = 1; r == 0 && kind < GATE_EDIT_EVERY; kind <<= 1)
		if (p->edits & kind)
			r = plan_edit(call, p, kind);
	if (r < 0)
		call->fault = GATE_FAULT_EDIT;
	return r;
}

TASK_FN static int plan_open(const struct gate *g, const struct gate_session *s, void **ret_context)
{
	struct plan *p = g->config;
	(void)s;
	p->opened++;
	*ret_context = p;
	return 0;
}

/* It looks, works, and edits bit by bit, so that others have their turn in between. */
TASK_FN static int plan_event(struct gate_call *call)
{
	struct plan *p = call->context;
	if (call->stage != GATE_MESSAGE)
		return 0;
	p->asked++;
	p->begun = run_now();
	plan_look(call, p);
	call->negotiated = p->edits;
	int r = plan_edits(call, p);
	task_yield();
	if (r == 0 && p->seconds > 0)
		r = task_sleep(SECONDS(p->seconds));
	p->ended = run_now();
	p->cut = r == -ECANCELED;
	if (r < 0)
		return r;
	call->defer_if_permit = p->defer;
	call->fault = p->fault;
	if (p->fault)
		return -EPROTO;
	call->verdict.action = p->action;
	return 0;
}

static int plan_feed(struct gate_call *call)
{
	struct plan *p = call->context;
	p->fed++;
	if (p->later_edits && p->fed == 2) {
		p->edits = p->later_edits;
		return -ESTALE;
	}
	assert_int_equal(gate_edit_header_add(call, BYTES("X-Too-Early"), BYTES("x"), false), -EPERM);
	return 0;
}

static unsigned plan_can(void *context)
{
	const struct plan *p = context;
	return p->lies ? 0 : p->edits;
}

TASK_FN static void plan_abort(struct gate_call *call, bool committed)
{
	struct plan *p = call->context;
	(void)committed;
	p->aborted++;
}

TASK_FN static void plan_close(void *context, bool quit)
{
	struct plan *p = context;
	(void)quit;
	p->closed++;
}

static const struct gate_ops plan_ops = {
	.kind = "plan",
	.open = plan_open,
	.event = plan_event,
	.feed = plan_feed,
	.edits = plan_can,
	.abort = plan_abort,
	.close = plan_close,
	.stages = STAGE(MAIL) | STAGE(MESSAGE),
	.history = STAGE(MAIL),
};

static struct gate plan_gate(struct plan *p, enum gate_on_failure on_failure)
{
	struct gate g = { .ops = &plan_ops, .name = p->name, .config = p, .total_timeout = FOREVER };
	for (unsigned stage = 0; stage < GATE_STAGES; stage++)
		for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
			g.on_failure[stage][fault] = on_failure;
	return g;
}

/* ---- one message ---- */

enum { MOST = 8 };
static struct plan plans[MOST];
static struct gate gates[MOST];
static unsigned count;

static struct plan *add(struct plan p, enum gate_on_failure on_failure)
{
	assert_true(count < MOST);
	plans[count] = p;
	gates[count] = plan_gate(&plans[count], on_failure);
	return &plans[count++];
}
#define ADD(...) add((struct plan){ __VA_ARGS__ }, GATE_ON_FAILURE_TEMPFAIL)

struct outcome {
	int r;
	struct gate_verdict verdict;
	char reply[64], gate[8], message[1024], hold[64], defer[16];
	int64_t took;
};

static void outcome_note(struct outcome *o)
{
	struct buf now = { 0 };
	struct gate_rcpt *rcpt;
	fixture_message(&f, &now);
	buf_printf(&now, "\nfrom %.*s", BYTES_ARG(f.txn.sender.address.address));
	LIST_EACH(rcpt, &f.txn.rcpts, struct gate_rcpt, link)
		buf_printf(&now, "\nto %.*s", BYTES_ARG(rcpt->path.address.address));
	snprintf(o->message, sizeof(o->message), "%s", buf_str(&now));
	buf_fini(&now);
	snprintf(o->reply, sizeof(o->reply), "%u %s", o->verdict.reply.code, o->verdict.reply.code ? o->verdict.reply.text : "");
	snprintf(o->gate, sizeof(o->gate), "%s", o->verdict.gate ? o->verdict.gate : "");
	snprintf(o->hold, sizeof(o->hold), "%d %s", f.txn.held, f.txn.hold_reason ? f.txn.hold_reason : "");
	snprintf(o->defer, sizeof(o->defer), "%u", f.txn.defer_if_permit.code);
}

TASK_FN static void begin(void)
{
	fixture_init(&f);
	for (unsigned i = 0; i < count; i++)
		chain_attach(&f.chain, &gates[i]);
	struct gate_verdict v;
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_int_equal(chain_event(&f.chain, GATE_MAIL, &(struct chain_args){ .txn = &f.txn }, &v), 0);
	fixture_rcpt(&f, "TO:<a@example.org>");
	fixture_content(&f, BYTES("Subject: old\r\n\r\nold body\r\n"));
	mail_trace_prepend(f.txn.mail, BYTES("Received: here\r\n"));
}

TASK_FN static struct outcome ask(void)
{
	struct outcome o = { .took = run_now() };
	o.r = chain_event(&f.chain, GATE_MESSAGE, &(struct chain_args){ .txn = &f.txn }, &o.verdict);
	o.took = run_now() - o.took;
	outcome_note(&o);
	return o;
}

TASK_FN static void end(void)
{
	chain_abort(&f.chain, &f.txn, false);
	chain_close(&f.chain, true);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(plans[i].opened, plans[i].closed);
	fixture_fini(&f);
	count = 0;
}

static const struct gate_span *span(const char *name)
{
	for (const struct gate_span *s = f.txn.spans; s; s = s->next)
		if (strcmp(s->name, name) == 0)
			return s;
	fail_msg("no span of %s", name);
	return NULL;
}

/* ---- time ---- */

TASK_FN static void three_seconds_are_one(void *arg)
{
	(void)arg;
	ADD(.name = "a", .seconds = 5);
	ADD(.name = "b", .seconds = 5, .edits = GATE_EDIT_HOLD);
	ADD(.name = "c", .seconds = 5);
	begin();
	struct outcome o = ask();
	assert_int_equal(o.verdict.action, GATE_CONTINUE);
	assert_string_equal(o.hold, "1 b@example.org");
	assert_true(o.took >= SECONDS(5) && o.took < SECONDS(10));
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(plans[i].asked, 1);
		assert_true(span(plans[i].name)->ns >= SECONDS(5));
	}
	assert_string_equal(span("b")->kind, "plan");
	assert_int_equal(span("b")->edits, 1);
	assert_int_equal(span("b")->edit_kinds, GATE_EDIT_HOLD);
	assert_null(span("b")->verdict);
	end();
}

/* a, b and the editor c; then d and e, who see what it did; f in turn, alone. */
TASK_FN static void batches(void *arg)
{
	(void)arg;
	static const char old[] = "Received: here\r\nSubject: old\r\n\r\nold body\r\n1 s@example.org";
	static const char new[] = "Received: here\r\nX-Insert: c@example.org\r\nSubject: old\r\nX-Add: c@example.org\r\n\r\nc@example.org\r\n2 c@example.org";
	ADD(.name = "a", .seconds = 5);
	ADD(.name = "b", .seconds = 2);
	ADD(.name = "c", .seconds = 3, .edits = GATE_EDIT_EVERY & ~(GATE_EDIT_HEADER_CHANGE | GATE_EDIT_RCPT_DELETE));
	ADD(.name = "d", .seconds = 5);
	ADD(.name = "e", .seconds = 5);
	ADD(.name = "f", .seconds = 5);
	ADD(.name = "g", .seconds = 1);
	gates[5].in_turn = true;
	begin();
	struct outcome o = ask();
	assert_int_equal(o.verdict.action, GATE_CONTINUE);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(plans[i].seen, old);
	for (unsigned i = 3; i < 7; i++)
		assert_string_equal(plans[i].seen, new);
	assert_true(plans[1].begun < plans[0].ended && plans[2].begun < plans[1].ended);
	assert_true(plans[3].begun >= plans[0].ended);
	assert_true(plans[4].begun < plans[3].ended);
	assert_true(plans[5].begun >= plans[3].ended && plans[5].begun >= plans[4].ended);
	assert_true(plans[6].begun >= plans[5].ended);
	end();
}

/* A gate as Postfix has them: who comes after it is not asked about a message that it holds, and is about any other. */
TASK_FN static void hold_ends(void *arg)
{
	for (unsigned holds = 0; holds < 2; holds++) {
		ADD(.name = "a", .edits = GATE_EDIT_HOLD);
		ADD(.name = "b", .edits = holds ? GATE_EDIT_HOLD : 0);
		ADD(.name = "c");
		gates[1].in_turn = gates[1].hold_ends = true;
		begin();
		assert_int_equal(ask().verdict.action, GATE_CONTINUE);
		assert_int_equal(plans[1].asked, 1);
		assert_int_equal(plans[2].asked, !holds);
		assert_true(f.txn.held);
		assert_string_equal(f.txn.hold_gate, "a");
		end();
	}
	(void)arg;
}

/* ---- who decides ---- */

/* The first in order, though it is the last to say so; those after it are cut short and met anew. */
TASK_FN static void first_in_order(void *arg)
{
	(void)arg;
	ADD(.name = "a", .seconds = 2);
	ADD(.name = "b", .seconds = 8, .action = GATE_REJECT);
	ADD(.name = "c", .seconds = 4, .action = GATE_TEMPFAIL);
	ADD(.name = "d", .seconds = 1, .edits = GATE_EDIT_HOLD);
	ADD(.name = "e", .seconds = 1000, .edits = GATE_EDIT_BODY);
	begin();
	struct outcome o = ask();
	assert_int_equal(o.verdict.action, GATE_REJECT);
	assert_string_equal(o.gate, "b");
	assert_true(o.took < SECONDS(12));
	assert_string_equal(o.hold, "0 ");
	assert_non_null(strstr(o.message, "old body"));
	assert_false(plans[2].cut);
	assert_false(plans[3].cut);
	assert_true(plans[4].cut);
	assert_true(plans[4].ended - plans[4].begun < SECONDS(6));
	assert_string_equal(span("b")->verdict, "reject");
	assert_string_equal(span("c")->verdict, "canceled");
	assert_string_equal(span("e")->verdict, "canceled");
	assert_int_equal(span("e")->edits, 0);
	/* The one that was cut has lost its conversation: it is told of the next message from its beginning. */
	chain_abort(&f.chain, &f.txn, false);
	assert_int_equal(plans[3].aborted, 1);
	assert_int_equal(plans[4].aborted, 0);
	assert_int_equal(plans[4].closed, 1);
	struct gate_verdict v;
	fixture_txn_fini(&f);
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_int_equal(chain_event(&f.chain, GATE_MAIL, &(struct chain_args){ .txn = &f.txn }, &v), 0);
	assert_int_equal(plans[4].opened, 2);
	assert_int_equal(plans[3].opened, 1);
	end();
}

/* A fault is merged at the end: a verdict outranks it, and it cuts nobody short. */
TASK_FN static void faults(void *arg)
{
	(void)arg;
	static const struct {
		enum gate_on_failure on_failure;
		enum gate_action later, action;
		const char *reply, *hold;
	} cases[] = {
		{ GATE_ON_FAILURE_TEMPFAIL, GATE_CONTINUE, GATE_TEMPFAIL, "451 Service unavailable - try again later", "1 c@example.org" },
		{ GATE_ON_FAILURE_TEMPFAIL, GATE_REJECT, GATE_REJECT, "550 Command rejected", "0 " },
		{ GATE_ON_FAILURE_REJECT, GATE_CONTINUE, GATE_REJECT, "550 Service unavailable", "1 c@example.org" },
		{ GATE_ON_FAILURE_DISCONNECT, GATE_CONTINUE, GATE_DISCONNECT, "421 Service unavailable - try again later", "1 c@example.org" },
		{ GATE_ON_FAILURE_CONTINUE, GATE_CONTINUE, GATE_CONTINUE, "0 ", "1 c@example.org" },
		{ GATE_ON_FAILURE_ACCEPT, GATE_DISCARD, GATE_DISCARD, "0 ", "0 " },
		{ GATE_ON_FAILURE_HOLD, GATE_CONTINUE, GATE_CONTINUE, "0 ", "1 a failed" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		add((struct plan){ .name = "a", .seconds = 3, .fault = GATE_FAULT_PROTOCOL }, cases[i].on_failure);
		ADD(.name = "b", .seconds = 2, .action = cases[i].later);
		ADD(.name = "c", .seconds = 1, .edits = GATE_EDIT_HOLD);
		begin();
		struct outcome o = ask();
		assert_int_equal(o.verdict.action, cases[i].action);
		assert_string_equal(o.reply, cases[i].reply);
		assert_string_equal(o.hold, cases[i].hold);
		assert_string_equal(span("a")->fault, "protocol");
		assert_int_equal(plans[0].closed, 1);
		end();
	}
}

/* One of three hangs: its own time ends it, as if it were alone. */
TASK_FN static void hangs(void *arg)
{
	(void)arg;
	ADD(.name = "a", .seconds = 1);
	add((struct plan){ .name = "b", .seconds = 100000 }, GATE_ON_FAILURE_REJECT);
	ADD(.name = "c", .seconds = 1, .edits = GATE_EDIT_HOLD);
	gates[1].total_timeout = SECONDS(20);
	begin();
	struct outcome o = ask();
	assert_int_equal(o.verdict.action, GATE_REJECT);
	assert_string_equal(o.gate, "b");
	assert_string_equal(o.hold, "1 c@example.org");
	assert_true(o.took >= SECONDS(20) && o.took < SECONDS(40));
	assert_string_equal(span("b")->fault, "timeout");
	end();
}

/* What said that it edits nothing cannot: others have not seen it. */
TASK_FN static void liar(void *arg)
{
	(void)arg;
	ADD(.name = "a", .edits = GATE_EDIT_HEADER_ADD | GATE_EDIT_BODY, .lies = true);
	ADD(.name = "b");
	begin();
	struct outcome o = ask();
	assert_string_equal(o.reply, "451 Server configuration problem - try again later");
	assert_null(strstr(o.message, "X-Add"));
	assert_string_equal(span("a")->fault, "edit");
	end();
}

/* One that said so, and is restarted in mid-content as one that edits, has to keep its word: the one after it has begun with the message.
 * shows: B13 */
TASK_FN static void changes_its_mind(void *arg)
{
	(void)arg;
	ADD(.name = "a", .later_edits = GATE_EDIT_HEADER_ADD);
	ADD(.name = "b");
	ADD(.name = "c", .edits = GATE_EDIT_HOLD, .later_edits = GATE_EDIT_HOLD);
	begin();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(chain_feed(&f.chain, &f.txn), 0);
	assert_int_equal(plans[0].fed, 4);
	assert_int_equal(plans[0].opened, 2);
	assert_int_equal(plans[1].fed, 3);
	struct outcome o = ask();
	assert_string_equal(o.gate, "a");
	assert_string_equal(o.reply, "451 Server configuration problem - try again later");
	assert_string_equal(o.hold, "1 c@example.org");
	assert_int_equal(plans[1].asked, 1);
	assert_null(strstr(plans[1].seen, "X-Add"));
	end();
}

/* Shadow gates go beside others whatever they want to edit, and have no effect. */
TASK_FN static void shadows(void *arg)
{
	(void)arg;
	ADD(.name = "a", .seconds = 3, .edits = GATE_EDIT_EVERY, .action = GATE_REJECT, .defer = SMTP_REPLY(450, "4.7.1", "later"));
	ADD(.name = "b", .seconds = 3, .edits = GATE_EDIT_EVERY, .defer = SMTP_REPLY(450, "4.7.1", "later"));
	ADD(.name = "c", .seconds = 3);
	add((struct plan){ .name = "d", .fault = GATE_FAULT_TIMEOUT }, GATE_ON_FAILURE_HOLD);
	gates[0].shadow = gates[1].shadow = gates[3].shadow = true;
	begin();
	struct outcome o = ask();
	assert_int_equal(o.verdict.action, GATE_CONTINUE);
	assert_string_equal(o.message, "Received: here\r\nSubject: old\r\n\r\nold body\r\n\nfrom s@example.org\nto a@example.org");
	assert_string_equal(o.hold, "0 ");
	assert_string_equal(o.defer, "0");
	assert_true(o.took < SECONDS(6));
	assert_string_equal(span("a")->verdict, "reject");
	assert_true(span("a")->shadow);
	assert_int_equal(span("b")->edits, 8);
	end();
}

/* The session's end is everybody's. */
TASK_FN static void session_ends(void *arg)
{
	(void)arg;
	struct deadline d;
	ADD(.name = "a", .seconds = 1);
	ADD(.name = "b", .seconds = 1000);
	ADD(.name = "c", .seconds = 1000, .edits = GATE_EDIT_BODY);
	begin();
	deadline_begin(&d, SECONDS(5));
	struct outcome o = ask();
	deadline_end(&d);
	assert_int_equal(o.r, -ETIMEDOUT);
	assert_false(plans[0].cut);
	assert_true(plans[1].cut && plans[2].cut);
	end();
	ADD(.name = "a", .seconds = 1000);
	ADD(.name = "b", .seconds = 1000);
	begin();
	deadline_begin(&d, SECONDS(5));
	o = ask();
	deadline_end(&d);
	assert_int_equal(o.r, -ETIMEDOUT);
	assert_true(plans[1].cut);
	end();
}

/* ---- any gates at all ---- */

static unsigned random_below(unsigned *state, unsigned n)
{
	*state = *state * 1103515245 + 12345;
	return (*state >> 16) % n;
}

static void random_plans(unsigned seed)
{
	static const char *const names[MOST] = { "a", "b", "c", "d", "e", "f", "g", "h" };
	static const enum gate_on_failure what[] = { GATE_ON_FAILURE_CONTINUE, GATE_ON_FAILURE_ACCEPT, GATE_ON_FAILURE_TEMPFAIL,
		GATE_ON_FAILURE_REJECT, GATE_ON_FAILURE_HOLD, GATE_ON_FAILURE_DISCONNECT };
	unsigned state = seed, n = 2 + random_below(&state, MOST - 1);
	while (count < n) {
		struct plan p = { .name = names[count], .seconds = random_below(&state, 4) };
		if (random_below(&state, 4) == 0)
			p.action = random_below(&state, GATE_DISCONNECT + 1);
		if (random_below(&state, 5) == 0)
			p.fault = 1 + random_below(&state, GATE_FAULTS - 1);
		if (random_below(&state, 3) == 0)
			p.edits = random_below(&state, GATE_EDIT_EVERY + 1);
		else if (random_below(&state, 3) == 0)
			p.edits = GATE_EDIT_HOLD;
		if (random_below(&state, 8) == 0)
			p.defer = SMTP_REPLY(450 + count, "4.7.1", "later");
		add(p, what[random_below(&state, COUNT_OF(what))]);
		gates[count - 1].shadow = random_below(&state, 8) == 0;
	}
}

/* The same gates, asked as COUNT says and one after another: the same verdict, message, envelope and hold; who was asked in turn saw
 * the same beside others, too. */
TASK_FN static void any(void *arg)
{
	(void)arg;
	unsigned faster = 0;
	for (unsigned seed = 1; seed <= 300; seed++) {
		struct outcome beside, after;
		char seen[MOST][512];
		random_plans(seed);
		begin();
		beside = ask();
		for (unsigned i = 0; i < count; i++)
			memcpy(seen[i], plans[i].seen, sizeof(seen[i]));
		end();
		random_plans(seed);
		for (unsigned i = 0; i < count; i++)
			gates[i].in_turn = true;
		begin();
		after = ask();
		assert_int_equal(beside.verdict.action, after.verdict.action);
		assert_string_equal(beside.reply, after.reply);
		assert_string_equal(beside.gate, after.gate);
		assert_string_equal(beside.message, after.message);
		assert_string_equal(beside.hold, after.hold);
		assert_string_equal(beside.defer, after.defer);
		for (unsigned i = 0; i < count; i++)
			if (plans[i].asked)
				assert_string_equal(seen[i], plans[i].seen);
		faster += beside.took < after.took;
		end();
	}
	assert_true(faster > 100);
}

#define IN_TASK(name)                                                                                                  \
	static void test_##name(void **state)                                                                           \
	{                                                                                                               \
		(void)state;                                                                                            \
		with_clock(name, NULL);                                                                                 \
	}
IN_TASK(three_seconds_are_one)
IN_TASK(batches)
IN_TASK(hold_ends)
IN_TASK(first_in_order)
IN_TASK(faults)
IN_TASK(hangs)
IN_TASK(liar)
IN_TASK(changes_its_mind)
IN_TASK(shadows)
IN_TASK(session_ends)
IN_TASK(any)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_seconds_are_one),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_hold_ends),
		cmocka_unit_test(test_first_in_order),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_liar),
		cmocka_unit_test(test_changes_its_mind),
		cmocka_unit_test(test_shadows),
		cmocka_unit_test(test_session_ends),
		cmocka_unit_test(test_any),
	};
	return cmocka_run_group_tests(tests, fixture_loop_start, fixture_loop_stop);
}
