/* test_gate_chain.c: the runner, with gates made of C functions: order, merging, edits, faults, what is told again. */
#include "tests/unit/txn_fixture.h"

#define ALL_STAGES ((1u << GATE_STAGES) - 1)
#define BIT(stage) (1u << GATE_##stage)

/* What gates were told, in order: "a:connect a:ehlo b:connect". */
static struct buf trace;

static void note(const char *gate, const char *what)
{
	buf_printf(&trace, "%s%s:%s", trace.n ? " " : "", gate, what);
}

#define assert_trace(want)                                                                                             \
	do {                                                                                                            \
		assert_string_equal(buf_str(&trace), want);                                                             \
		buf_clear(&trace);                                                                                      \
	} while (0)

/* ---- fake gates: a function per gate decides ---- */

typedef int fake_fn(struct gate_call *call);

TASK_FN static int fake_open(const struct gate *g, const struct gate_session *s, void **ret_context)
{
	(void)s;
	note(g->name, "open");
	*ret_context = (void *)g;
	return 0;
}

TASK_FN static int fake_event(struct gate_call *call)
{
	fake_fn *fn = (fake_fn *)call->gate->config;
	note(call->gate->name, gate_stage_name(call->stage));
	return fn ? fn(call) : 0;
}

TASK_FN static void fake_abort(struct gate_call *call, bool committed)
{
	note(call->gate->name, committed ? "done" : "abort");
}

TASK_FN static void fake_close(void *context, bool quit)
{
	const struct gate *g = context;
	note(g->name, quit ? "quit" : "close");
}

static const struct gate_ops fake_ops = {
	.kind = "fake",
	.open = fake_open,
	.event = fake_event,
	.abort = fake_abort,
	.close = fake_close,
	.stages = ALL_STAGES,
	.history = BIT(CONNECT) | BIT(EHLO) | BIT(MAIL) | BIT(RCPT) | BIT(DATA),
};
/* As a policy server: every question stands for itself. */
static const struct gate_ops plain_ops = { .kind = "plain", .open = fake_open, .event = fake_event, .close = fake_close, .stages = ALL_STAGES };

static struct gate fake_gate(const char *name, fake_fn *fn, enum gate_on_failure on_failure)
{
	struct gate g = { .ops = &fake_ops, .name = name, .config = (void *)fn, .total_timeout = FOREVER };
	for (unsigned stage = 0; stage < GATE_STAGES; stage++) {
		for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
			g.on_failure[stage][fault] = on_failure;
	}
	return g;
}

/* ---- their answers ---- */

static int rejects_mail(struct gate_call *call)
{
	if (call->stage == GATE_MAIL)
		call->verdict = (struct gate_verdict){ .action = GATE_REJECT, .reply = SMTP_REPLY(550, "5.7.1", "not you") };
	return 0;
}

static int rejects_ehlo(struct gate_call *call)
{
	if (call->stage == GATE_EHLO)
		call->verdict.action = GATE_REJECT;
	return 0;
}

static int accepts(struct gate_call *call)
{
	call->verdict.action = GATE_ACCEPT;
	return 0;
}

static int discards_mail(struct gate_call *call)
{
	if (call->stage == GATE_MAIL || call->stage == GATE_CONNECT)
		call->verdict.action = GATE_DISCARD;
	return 0;
}

static enum gate_stage failing_stage;
static enum gate_fault failing_how;
static int fails(struct gate_call *call)
{
	if (call->stage != failing_stage)
		return 0;
	call->fault = failing_how;
	return -EPROTO;
}

static bool edit_denied;
static int edits(struct gate_call *call)
{
	if (call->stage != GATE_MESSAGE)
		return 0;
	call->negotiated = edit_denied ? GATE_EDIT_HEADER_ADD : GATE_EDIT_ALL;
	assert_int_equal(gate_edit_header_add(call, BYTES("X-Added"), BYTES("yes"), false), 0);
	int r = gate_edit_header_change(call, 1, BYTES("Subject"), BYTES("new"), false);
	if (r == 0)
		r = gate_edit_body(call, BYTES("new body\r\n"));
	if (r == 0)
		r = gate_edit_rcpt_add(call, BYTES("<c@example.org>"), BYTES("NOTIFY=NEVER FOO=1"));
	if (r == 0)
		r = gate_edit_rcpt_add(call, BYTES("a@EXAMPLE.org"), BYTES(""));
	if (r == 0)
		r = gate_edit_rcpt_delete(call, BYTES("<b@example.org>"));
	if (r == 0)
		r = gate_edit_rcpt_delete(call, BYTES("a@EXAMPLE.ORG"));
	if (r == 0)
		r = gate_edit_sender(call, BYTES("<>"), BYTES("RET=HDRS"));
	if (r == 0)
		r = gate_edit_hold(call, BYTES("smells"));
	if (r < 0)
		call->fault = GATE_FAULT_EDIT;
	return r;
}

static int looks(struct gate_call *call)
{
	if (call->stage == GATE_MESSAGE)
		note(call->gate->name, mail_header_find(call->txn->mail, BYTES("X-Added"), 1) ? "seen" : "unseen");
	return 0;
}

static int prepends(struct gate_call *call)
{
	call->negotiated = GATE_EDIT_HEADER_ADD | GATE_EDIT_HEADER_INSERT;
	if (call->stage == GATE_MAIL)
		assert_int_equal(gate_edit_header_insert(call, 0, BYTES("X-One"), BYTES("1"), false), 0);
	if (call->stage == GATE_RCPT)
		assert_int_equal(gate_edit_header_insert(call, 0, BYTES("X-Two"), BYTES("2"), false), 0);
	return 0;
}

TASK_FN static int sleeps(struct gate_call *call)
{
	(void)call;
	return task_sleep(SECONDS(10));
}

static unsigned stale_left;
static int stale_at_mail(struct gate_call *call)
{
	if (call->stage == GATE_MAIL && stale_left > 0) {
		stale_left--;
		return -ESTALE;
	}
	return 0;
}

/* ---- asking ---- */

static struct fixture f;

TASK_FN static struct gate_verdict ask_rcpt(enum gate_stage stage, struct gate_rcpt *rcpt)
{
	struct chain_args args = { .txn = f.txn.arena ? &f.txn : NULL, .rcpt = rcpt };
	struct gate_verdict v;
	assert_int_equal(chain_event(&f.chain, stage, &args, &v), 0);
	return v;
}

TASK_FN static struct gate_verdict ask(enum gate_stage stage)
{
	return ask_rcpt(stage, NULL);
}

#define assert_verdict(v, a, c, e)                                                                                     \
	do {                                                                                                            \
		struct gate_verdict got = (v);                                                                          \
		assert_int_equal(got.action, a);                                                                        \
		assert_int_equal(got.reply.code, c);                                                                    \
		assert_string_equal(got.reply.enhanced, e);                                                             \
	} while (0)
#define assert_goes_on(v) assert_verdict(v, GATE_CONTINUE, 0, "")

static const struct bytes message = { "Subject: old\r\n\r\nold body\r\n", 26 };

TASK_FN static void begin(struct gate *gates, unsigned count)
{
	fixture_init(&f);
	for (unsigned i = 0; i < count; i++)
		chain_attach(&f.chain, &gates[i]);
}

TASK_FN static void end(void)
{
	chain_close(&f.chain, true);
	assert_int_equal(f.chain.count, 0);
	fixture_fini(&f);
	buf_fini(&trace);
}

/* ---- order ---- */

TASK_FN static void order(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", accepts, 0), fake_gate("b", rejects_mail, 0), fake_gate("c", NULL, 0) };
	begin(gates, 3);
	chain_attach(&f.chain, &gates[0]); /* twice is once */
	assert_goes_on(ask(GATE_CONNECT));
	assert_trace("a:open a:connect b:open b:connect c:open c:connect");
	assert_goes_on(ask(GATE_EHLO));
	assert_trace("a:ehlo b:ehlo c:ehlo");
	fixture_mail(&f, "FROM:<s@example.org>");
	struct gate_verdict v = ask(GATE_MAIL);
	assert_verdict(v, GATE_REJECT, 550, "5.7.1");
	assert_string_equal(v.reply.text, "not you");
	assert_string_equal(v.gate, "b");
	assert_trace("a:mail b:mail");
	chain_abort(&f.chain, &f.txn, false);
	assert_trace("a:abort b:abort c:abort");
	assert_non_null(f.txn.spans);
	assert_string_equal(f.txn.spans->name, "a");
	chain_close(&f.chain, true);
	assert_trace("a:quit b:quit c:quit");
	end();
}

/* shows: M33: a refusal at EHLO is for the session; the gates after it hear no more. */
TASK_FN static void lasting(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", rejects_ehlo, 0), fake_gate("b", NULL, 0) };
	begin(gates, 2);
	assert_goes_on(ask(GATE_CONNECT));
	assert_verdict(ask(GATE_EHLO), GATE_REJECT, 550, "5.7.1");
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_verdict(ask(GATE_MAIL), GATE_REJECT, 550, "5.7.1");
	assert_trace("a:open a:connect b:open b:connect a:ehlo");
	chain_restart(&f.chain);
	assert_trace("a:quit b:quit");
	gates[0].config = NULL;
	assert_goes_on(ask(GATE_MAIL));
	assert_trace("a:open a:connect a:ehlo a:mail b:open b:connect b:ehlo b:mail");
	end();
}

/* shows: M35: nobody hears more of a discarded message; at CONNECT there is nothing to discard. */
TASK_FN static void discarded(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", discards_mail, 0), fake_gate("b", NULL, 0) };
	begin(gates, 2);
	assert_goes_on(ask(GATE_CONNECT));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_verdict(ask(GATE_MAIL), GATE_DISCARD, 0, "");
	assert_true(f.txn.discarded);
	buf_clear(&trace);
	assert_goes_on(ask(GATE_DATA));
	assert_trace("");
	end();
}

TASK_FN static void refused_rcpt(void *arg)
{
	(void)arg;
	struct gate_ops wants = fake_ops;
	wants.refused_rcpts = true;
	struct gate gates[] = { fake_gate("a", NULL, 0), fake_gate("b", NULL, 0) };
	gates[1].ops = &wants;
	begin(gates, 2);
	fixture_mail(&f, "FROM:<s@example.org>");
	struct gate_rcpt *rcpt = fixture_rcpt_new(&f, "TO:<x@example.org>");
	rcpt->refused = SMTP_REPLY(554, "5.7.1", "Relay access denied");
	assert_goes_on(ask_rcpt(GATE_RCPT, rcpt));
	assert_trace("b:open b:connect b:ehlo b:mail b:rcpt");
	end();
}

/* A gate attached late hears what it missed, each accepted recipient too. */
TASK_FN static void late(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", NULL, 0), fake_gate("b", NULL, 0) };
	begin(gates, 1);
	assert_goes_on(ask(GATE_CONNECT));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	fixture_rcpt(&f, "TO:<a@example.org>");
	fixture_rcpt(&f, "TO:<b@example.org>");
	buf_clear(&trace);
	chain_attach(&f.chain, &gates[1]);
	fixture_content(&f, message);
	assert_goes_on(ask(GATE_MESSAGE));
	assert_trace("a:message b:open b:connect b:ehlo b:mail b:rcpt b:rcpt b:data b:message");
	end();
}

TASK_FN static void stale(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", stale_at_mail, GATE_ON_FAILURE_TEMPFAIL) };
	begin(gates, 1);
	assert_goes_on(ask(GATE_CONNECT));
	fixture_mail(&f, "FROM:<s@example.org>");
	stale_left = 1;
	assert_goes_on(ask(GATE_MAIL));
	assert_trace("a:open a:connect a:ehlo a:mail a:close a:open a:connect a:ehlo a:mail");
	chain_abort(&f.chain, &f.txn, true);
	stale_left = 2; /* twice running is a fault */
	assert_verdict(ask(GATE_MAIL), GATE_TEMPFAIL, 451, "4.7.1");
	end();
}

/* ---- edits ---- */

TASK_FN static void edited(void *arg)
{
	(void)arg;
	struct buf now = { 0 };
	struct gate gates[] = { fake_gate("a", looks, 0), fake_gate("b", edits, 0), fake_gate("c", looks, 0) };
	begin(gates, 3);
	edit_denied = false;
	fixture_mail(&f, "FROM:<s@example.org>");
	fixture_rcpt(&f, "TO:<a@example.org>");
	fixture_rcpt(&f, "TO:<b@example.org>");
	fixture_content(&f, message);
	buf_clear(&trace);
	assert_goes_on(ask(GATE_MESSAGE));
	assert_true(bytes_search(buf_bytes(&trace), BYTES("a:unseen")) >= 0);
	assert_true(bytes_search(buf_bytes(&trace), BYTES("c:seen")) >= 0);
	fixture_message(&f, &now);
	assert_string_equal(buf_str(&now), "Subject: new\r\nX-Added: yes\r\n\r\nnew body\r\n");
	/* a@ was there: not twice (M30); b@ is gone, a@EXAMPLE.ORG never was there (M29) */
	assert_int_equal(f.txn.rcpt_count, 2);
	struct gate_rcpt *last = LIST_ITEM(f.txn.rcpts.prev, struct gate_rcpt, link);
	assert_true(bytes_eq(last->path.address.address, BYTES("c@example.org")));
	assert_true(last->added);
	assert_int_equal(last->path.notify, SMTP_NOTIFY_NEVER);
	assert_int_equal(f.txn.sender.address.address.n, 0);
	assert_true(f.txn.sender.ret_headers);
	assert_true(f.txn.held);
	assert_string_equal(f.txn.hold_reason, "smells");
	buf_fini(&now);
	end();
}

/* What filters call an address, and what is meant. */
static const struct {
	const char *text, *params, *rcpt, *sender;      /* NULL: makes no sense */
} named[] = {
	{ "c@d.test", "", "c@d.test", "c@d.test" },
	{ " <c@D.test> ", "", "c@D.test", "c@D.test" },
	{ "Some One <c@d.test>", "", "c@d.test", "c@d.test" },
	{ "\"One, Some <x@y>\" <c@d.test> (who) ", "", "c@d.test", "c@d.test" },
	{ "c@d.test (who \\) is it)", "", "c@d.test", "c@d.test" },
	{ "<\"c> d\"@d.test>", "", "\"c> d\"@d.test", "\"c> d\"@d.test" },
	{ "c d@d.test", "", NULL, NULL },
	{ "c@d.test, e@d.test", "", NULL, NULL },
	{ "(who", "", NULL, "" },
	{ "\"c", "", NULL, NULL },
	{ "<>", "", NULL, "" },
	{ "", "", NULL, "" },
	{ "root", "", "root@mx.example.org", "root@mx.example.org" },
	{ "<\"a b\">", "NOTIFY=NEVER RET=HDRS", "\"a b\"@mx.example.org", "\"a b\"@mx.example.org" },
	{ "c@d.test", "NOTIFY=NEVER RET=HDRS", "c@d.test", "c@d.test" },
	{ "c@d.test", "NOTIFY=WHY NOTIFY=NEVER NOTIFY=DELAY ORCPT=x RET=WHY RET=HDRS RET=FULL ENVID=", "c@d.test", "c@d.test" },
};

static void assert_named(int r, const struct gate_edit *e, const char *want)
{
	assert_int_equal(r, want ? 0 : -EINVAL);
	if (!want)
		return;
	assert_true(bytes_eq(e->path.address.address, bytes_of(want)));
}

static int names(struct gate_call *call)
{
	if (call->stage != GATE_MESSAGE)
		return 0;
	call->negotiated = GATE_EDIT_ALL;
	for (unsigned i = 0; i < COUNT_OF(named); i++) {
		struct bytes text = bytes_of(named[i].text), params = bytes_of(named[i].params);
		int r = gate_edit_rcpt_add(call, text, params);
		const struct gate_edit *e = LIST_ITEM(call->edits.prev, struct gate_edit, link);
		assert_named(r, e, named[i].rcpt);
		assert_true(!named[i].rcpt || !params.n || e->path.notify == SMTP_NOTIFY_NEVER);
		r = gate_edit_sender(call, text, params);
		e = LIST_ITEM(call->edits.prev, struct gate_edit, link);
		assert_named(r, e, named[i].sender);
		assert_true(!named[i].sender || !params.n || (e->path.ret_headers && !e->path.ret_full));
	}
	list_init(&call->edits);
	return 0;
}

TASK_FN static void edit_names(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", names, 0) };
	begin(gates, 1);
	fixture_mail(&f, "FROM:<s@example.org>");
	fixture_content(&f, message);
	assert_goes_on(ask(GATE_MESSAGE));
	assert_int_equal(f.txn.rcpt_count, 0);
	end();
}

/* However a recipient was written, by the client and by the filter. */
static const struct {
	const char *rcpt, *deleted;
	bool gone;
} deletions[] = {
	{ "TO:<a@example.org>", "a@example.org", true },
	{ "TO:<a@example.org>", "<a@example.org>", true },
	{ "TO:<a@example.org>", "One <\"a\"@example.org.>", true },
	{ "TO:<a@example.org.>", "<a@example.org.>", true },
	{ "TO:<\"a\"@example.org>", "<\"a\"@example.org>", true },
	{ "TO:<\"a\"@example.org>", "<a@example.org>", true },
	{ "TO:<@relay.test:a@example.org>", "<@relay.test:a@example.org>", true },
	{ "TO:<postmaster>", "<postmaster>", true },
	{ "TO:<a@example.org>", "<A@example.org>", false },
	{ "TO:<a@example.org>", "<a@Example.org>", false },
	{ "TO:<a@example.org>", "<a>", false },
	{ "TO:<a@example.org>", "<>", false },
	{ "TO:<a@example.org>", "a@example.org, b@example.org", false },
};
static const char *deleted;
static int deletes(struct gate_call *call)
{
	call->negotiated = GATE_EDIT_ALL;
	return call->stage == GATE_MESSAGE ? gate_edit_rcpt_delete(call, bytes_of(deleted)) : 0;
}

TASK_FN static void edit_deletes(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < COUNT_OF(deletions); i++) {
		struct gate gates[] = { fake_gate("a", deletes, 0) };
		begin(gates, 1);
		fixture_mail(&f, "FROM:<s@example.org>");
		fixture_rcpt(&f, deletions[i].rcpt);
		fixture_rcpt(&f, "TO:<b@example.org>");
		fixture_content(&f, message);
		deleted = deletions[i].deleted;
		assert_goes_on(ask(GATE_MESSAGE));
		if (f.txn.rcpt_count != (deletions[i].gone ? 1 : 2))
			fail_msg("%s by %s", deletions[i].rcpt, deleted);
		end();
	}
}

/* An answer with one edit that was not negotiated has no effect at all. */
TASK_FN static void edit_fault(void *arg)
{
	(void)arg;
	struct buf now = { 0 };
	struct gate gates[] = { fake_gate("b", edits, GATE_ON_FAILURE_TEMPFAIL), fake_gate("c", looks, 0) };
	begin(gates, 2);
	edit_denied = true;
	fixture_mail(&f, "FROM:<s@example.org>");
	fixture_content(&f, message);
	assert_verdict(ask(GATE_MESSAGE), GATE_TEMPFAIL, 451, "4.3.5");
	assert_true(bytes_search(buf_bytes(&trace), BYTES("c:unseen")) >= 0);
	fixture_message(&f, &now);
	assert_string_equal(buf_str(&now), message.p);
	buf_fini(&now);
	end();
}

TASK_FN static void edit_shadow(void *arg)
{
	(void)arg;
	struct buf now = { 0 };
	struct gate gates[] = { fake_gate("b", edits, 0), fake_gate("r", rejects_mail, 0) };
	gates[0].shadow = gates[1].shadow = true;
	begin(gates, 2);
	edit_denied = false;
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	fixture_content(&f, message);
	assert_goes_on(ask(GATE_MESSAGE));
	fixture_message(&f, &now);
	assert_string_equal(buf_str(&now), message.p);
	assert_int_equal(f.txn.rcpt_count, 0);
	assert_false(f.txn.held);
	buf_fini(&now);
	end();
}

/* P17: fields given before there is a message keep their order, above our own. */
TASK_FN static void edit_early(void *arg)
{
	(void)arg;
	struct buf now = { 0 };
	struct gate gates[] = { fake_gate("a", prepends, 0) };
	begin(gates, 1);
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_goes_on(ask_rcpt(GATE_RCPT, fixture_rcpt_new(&f, "TO:<a@example.org>")));
	fixture_content(&f, message);
	mail_trace_prepend(f.txn.mail, BYTES("Received: here\r\n"));
	assert_goes_on(ask(GATE_MESSAGE));
	fixture_message(&f, &now);
	assert_string_equal(buf_str(&now), "X-One: 1\r\nX-Two: 2\r\nReceived: here\r\nSubject: old\r\n\r\nold body\r\n");
	buf_fini(&now);
	end();
}

static int edits_wrongly(struct gate_call *call)
{
	call->negotiated = ~0u;
	assert_int_equal(gate_edit_header_add(call, BYTES(""), BYTES("x"), false), -EINVAL);
	assert_int_equal(gate_edit_header_add(call, BYTES("a b"), BYTES("x"), false), -EINVAL);
	assert_int_equal(gate_edit_header_add(call, BYTES("a:"), BYTES("x"), false), -EINVAL);
	assert_int_equal(gate_edit_header_insert(call, 0, BYTES("a\r\nb"), BYTES("x"), false), -EINVAL);
	assert_int_equal(gate_edit_rcpt_add(call, BYTES("<>"), BYTES("")), -EINVAL);
	assert_int_equal(gate_edit_rcpt_add(call, BYTES("<a@@b>"), BYTES("")), -EINVAL);
	call->negotiated = 0;
	assert_int_equal(gate_edit_header_add(call, BYTES("a"), BYTES("x"), false), -EPERM);
	assert_int_equal(gate_edit_rcpt_add(call, BYTES("a@example.org"), BYTES("")), -EPERM);
	assert_int_equal(gate_edit_rcpt_delete(call, BYTES("a@example.org")), -EPERM);
	assert_int_equal(gate_edit_sender(call, BYTES(""), BYTES("")), -EPERM);
	assert_int_equal(gate_edit_hold(call, BYTES("")), -EPERM);
	assert_int_equal(gate_edit_body(call, BYTES("")), -EPERM);
	assert_true(list_empty(&call->edits));
	/* A user of this host. */
	call->negotiated = ~0u;
	assert_int_equal(gate_edit_rcpt_add(call, BYTES("<root>"), BYTES("NOTIFY=NEVER")), 0);
	const struct gate_edit *root = LIST_FIRST(&call->edits, struct gate_edit, link);
	assert_true(bytes_eq(root->path.address.address, bytes_of(arena_printf(call->txn->arena, "root@%s", call->session->hostname))));
	assert_int_equal(root->path.notify, SMTP_NOTIFY_NEVER);
	return 0;
}

static int edits_endlessly(struct gate_call *call)
{
	static const char kilobytes[4096];
	int r = 0;
	call->negotiated = ~0u;
	for (unsigned i = 0; r == 0 && i < 1u << 20; i++)
		r = gate_edit_header_add(call, BYTES("X"), bytes_make(kilobytes, sizeof(kilobytes)), false);
	assert_int_equal(r, -EMSGSIZE);
	for (r = 0; r == 0;)
		r = gate_edit_body(call, bytes_make(kilobytes, sizeof(kilobytes)));
	assert_int_equal(r, -EMSGSIZE);
	assert_true(call->body_bytes > 10000 && call->body_bytes < 8 << 20);
	call->fault = GATE_FAULT_EDIT;
	return r;
}

/* Edits without end, and a body without end, are stopped long before the memory or the disk is full. */
TASK_FN static void edit_endless(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", edits_endlessly, GATE_ON_FAILURE_TEMPFAIL) };
	struct mail_limits limits = { .header_max = 1 << 20, .size_max = 10000, .memory_max = 1000, .spool = "/tmp" };
	begin(gates, 1);
	fixture_mail(&f, "FROM:<s@example.org>");
	f.txn.mail = mail_new(&limits);
	assert_int_equal(mail_append(f.txn.mail, message), 0);
	assert_int_equal(mail_end(f.txn.mail), 0);
	gates[0].ops = &plain_ops;
	assert_verdict(ask(GATE_MESSAGE), GATE_TEMPFAIL, 451, "4.3.5");
	struct buf now = { 0 };
	fixture_message(&f, &now);
	assert_string_equal(buf_str(&now), message.p);
	buf_fini(&now);
	end();
}

TASK_FN static void edit_refused(void *arg)
{
	(void)arg;
	struct gate g = fake_gate("a", edits_wrongly, 0);
	struct gate_verdict v;
	g.ops = &plain_ops;
	begin(NULL, 0);
	fixture_mail(&f, "FROM:<s@example.org>");
	fixture_content(&f, message);
	assert_int_equal(chain_ask(&f.chain, &g, GATE_MESSAGE, &(struct chain_args){ .txn = &f.txn }, &v), 0);
	assert_goes_on(v);
	assert_goes_on(ask(GATE_MESSAGE)); /* asked by name is not attached */
	assert_trace("a:open a:message");
	end();
}

/* ---- faults ---- */

/* Better points 2 and 4: the others still run; the next transaction has the gate back, told what it missed. */
TASK_FN static void fault_starves_nobody(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", fails, GATE_ON_FAILURE_TEMPFAIL), fake_gate("b", NULL, 0) };
	begin(gates, 2);
	failing_stage = GATE_RCPT;
	failing_how = GATE_FAULT_PROTOCOL;
	assert_goes_on(ask(GATE_CONNECT));
	assert_goes_on(ask(GATE_EHLO));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	buf_clear(&trace);
	struct gate_verdict v = ask_rcpt(GATE_RCPT, fixture_rcpt_new(&f, "TO:<a@example.org>"));
	assert_verdict(v, GATE_TEMPFAIL, 451, "4.7.1");
	assert_string_equal(v.gate, "a");
	assert_trace("a:rcpt a:close b:rcpt");
	assert_verdict(ask(GATE_DATA), GATE_TEMPFAIL, 451, "4.7.1");
	assert_trace("b:data");
	chain_abort(&f.chain, &f.txn, false);
	fixture_txn_fini(&f);
	fixture_mail(&f, "FROM:<s@example.org>");
	buf_clear(&trace);
	assert_goes_on(ask(GATE_MAIL));
	assert_trace("a:open a:connect a:ehlo a:mail b:mail");
	end();
}

/* A verdict outranks a fault, whichever came first. */
TASK_FN static void fault_outranked(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", fails, GATE_ON_FAILURE_TEMPFAIL), fake_gate("b", rejects_mail, 0) };
	begin(gates, 2);
	failing_stage = GATE_MAIL;
	failing_how = GATE_FAULT_TIMEOUT;
	fixture_mail(&f, "FROM:<s@example.org>");
	struct gate_verdict v = ask(GATE_MAIL);
	assert_verdict(v, GATE_REJECT, 550, "5.7.1");
	assert_string_equal(v.gate, "b");
	end();
}

/* shows: B3 */
TASK_FN static void fault_table(void *arg)
{
	(void)arg;
	static const struct {
		enum gate_stage stage;
		enum gate_fault fault;
		enum gate_on_failure what;
		enum gate_action action;
		unsigned code;
		const char *enhanced;
		bool held;
	} cases[] = { /* M41 */
		{ GATE_CONNECT, GATE_FAULT_CONNECT, GATE_ON_FAILURE_TEMPFAIL, GATE_CONTINUE, 0, "", false },
		{ GATE_CONNECT, GATE_FAULT_CONNECT, GATE_ON_FAILURE_HOLD, GATE_CONTINUE, 0, "", false },
		{ GATE_CONNECT, GATE_FAULT_CONNECT, GATE_ON_FAILURE_REJECT, GATE_REJECT, 550, "5.5.0", false },
		{ GATE_EHLO, GATE_FAULT_TIMEOUT, GATE_ON_FAILURE_DISCONNECT, GATE_DISCONNECT, 421, "4.7.1", false },
		{ GATE_MAIL, GATE_FAULT_CONNECT, GATE_ON_FAILURE_TEMPFAIL, GATE_TEMPFAIL, 451, "4.7.1", false },
		{ GATE_MAIL, GATE_FAULT_CONNECT, GATE_ON_FAILURE_ACCEPT, GATE_CONTINUE, 0, "", false },
		{ GATE_MAIL, GATE_FAULT_CONNECT, GATE_ON_FAILURE_CONTINUE, GATE_CONTINUE, 0, "", false },
		{ GATE_DATA, GATE_FAULT_TIMEOUT, GATE_ON_FAILURE_HOLD, GATE_CONTINUE, 0, "", true },
		{ GATE_MESSAGE, GATE_FAULT_PROTOCOL, GATE_ON_FAILURE_REJECT, GATE_REJECT, 550, "5.5.0", false },
		{ GATE_MESSAGE, GATE_FAULT_EDIT, GATE_ON_FAILURE_REJECT, GATE_TEMPFAIL, 451, "4.3.5", false },
		{ GATE_MESSAGE, GATE_FAULT_EDIT, GATE_ON_FAILURE_TEMPFAIL, GATE_TEMPFAIL, 451, "4.3.5", false },
		{ GATE_MESSAGE, GATE_FAULT_EDIT, GATE_ON_FAILURE_DISCONNECT, GATE_DISCONNECT, 421, "4.3.5", false },
		{ GATE_MESSAGE, GATE_FAULT_EDIT, GATE_ON_FAILURE_ACCEPT, GATE_CONTINUE, 0, "", false },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		/* Every other place of the table says something else. */
		struct gate gates[] = { fake_gate("a", fails, cases[i].what ? GATE_ON_FAILURE_CONTINUE : GATE_ON_FAILURE_REJECT) };
		gates[0].on_failure[cases[i].stage][cases[i].fault] = cases[i].what;
		failing_stage = cases[i].stage;
		failing_how = cases[i].fault;
		begin(gates, 1);
		if (cases[i].stage >= GATE_MAIL)
			fixture_mail(&f, "FROM:<s@example.org>");
		assert_verdict(ask(cases[i].stage), cases[i].action, cases[i].code, cases[i].enhanced);
		assert_int_equal(f.txn.held, cases[i].held);
		end();
	}
}

/* A fault before MAIL is no refusal: the gate is tried again at MAIL, where it counts. */
TASK_FN static void fault_at_connect(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("a", fails, GATE_ON_FAILURE_TEMPFAIL) };
	begin(gates, 1);
	failing_stage = GATE_CONNECT;
	failing_how = GATE_FAULT_CONNECT;
	assert_goes_on(ask(GATE_CONNECT));
	assert_goes_on(ask(GATE_EHLO)); /* left alone */
	assert_trace("a:open a:connect a:close");
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_verdict(ask(GATE_MAIL), GATE_TEMPFAIL, 451, "4.7.1");
	assert_trace("a:open a:connect a:close");
	chain_abort(&f.chain, &f.txn, false);
	failing_stage = GATE_RESULT;
	assert_goes_on(ask(GATE_MAIL));
	assert_trace("a:open a:connect a:ehlo a:mail");
	end();
}

/* A gate without history is asked again at once. */
TASK_FN static void fault_plain(void *arg)
{
	(void)arg;
	struct gate g = fake_gate("p", fails, GATE_ON_FAILURE_TEMPFAIL);
	struct gate_verdict v;
	g.ops = &plain_ops;
	begin(NULL, 0);
	failing_stage = GATE_RCPT;
	failing_how = GATE_FAULT_CONNECT;
	fixture_mail(&f, "FROM:<s@example.org>");
	struct chain_args args = { .txn = &f.txn, .rcpt = fixture_rcpt_new(&f, "TO:<a@example.org>") };
	assert_int_equal(chain_ask(&f.chain, &g, GATE_RCPT, &args, &v), 0);
	assert_verdict(v, GATE_TEMPFAIL, 451, "4.7.1");
	failing_stage = GATE_RESULT;
	assert_int_equal(chain_ask(&f.chain, &g, GATE_RCPT, &args, &v), 0);
	assert_goes_on(v);
	assert_trace("p:open p:rcpt p:rcpt");
	end();
}

/* ---- time ---- */

/* shows: B6: all calls of a transaction together. */
TASK_FN static void total_deadline(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("slow", sleeps, GATE_ON_FAILURE_TEMPFAIL) };
	gates[0].total_timeout = SECONDS(35);
	gates[0].on_failure[GATE_DATA][GATE_FAULT_TIMEOUT] = GATE_ON_FAILURE_REJECT;
	begin(gates, 1);
	assert_goes_on(ask(GATE_CONNECT));
	chain_abort(&f.chain, NULL, false); /* another transaction, another 35 s */
	assert_goes_on(ask(GATE_EHLO));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_goes_on(ask_rcpt(GATE_RCPT, fixture_rcpt_new(&f, "TO:<a@example.org>")));
	int64_t before = run_now();
	assert_verdict(ask(GATE_DATA), GATE_REJECT, 550, "5.5.0");
	assert_true(run_now() - before < SECONDS(6));
	assert_true(f.txn.spans->ns >= SECONDS(24));
	end();
}

/* The session's own deadline is nobody's fault. */
TASK_FN static void session_deadline(void *arg)
{
	(void)arg;
	struct gate gates[] = { fake_gate("slow", sleeps, GATE_ON_FAILURE_ACCEPT) };
	struct gate_verdict v;
	struct deadline d;
	begin(gates, 1);
	deadline_begin(&d, SECONDS(5));
	assert_int_equal(chain_event(&f.chain, GATE_CONNECT, NULL, &v), -ETIMEDOUT);
	deadline_end(&d);
	end();
}

#define IN_TASK(name)                                                                                                  \
	static void test_##name(void **state)                                                                           \
	{                                                                                                               \
		(void)state;                                                                                            \
		with_clock(name, NULL);                                                                                       \
	}
IN_TASK(order)
IN_TASK(lasting)
IN_TASK(discarded)
IN_TASK(refused_rcpt)
IN_TASK(late)
IN_TASK(stale)
IN_TASK(edited)
IN_TASK(edit_names)
IN_TASK(edit_deletes)
IN_TASK(edit_fault)
IN_TASK(edit_shadow)
IN_TASK(edit_early)
IN_TASK(edit_refused)
IN_TASK(edit_endless)
IN_TASK(fault_starves_nobody)
IN_TASK(fault_outranked)
IN_TASK(fault_table)
IN_TASK(fault_at_connect)
IN_TASK(fault_plain)
IN_TASK(total_deadline)
IN_TASK(session_deadline)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_lasting),
		cmocka_unit_test(test_discarded),
		cmocka_unit_test(test_refused_rcpt),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_edited),
		cmocka_unit_test(test_edit_names),
		cmocka_unit_test(test_edit_deletes),
		cmocka_unit_test(test_edit_fault),
		cmocka_unit_test(test_edit_shadow),
		cmocka_unit_test(test_edit_early),
		cmocka_unit_test(test_edit_refused),
		cmocka_unit_test(test_edit_endless),
		cmocka_unit_test(test_fault_starves_nobody),
		cmocka_unit_test(test_fault_outranked),
		cmocka_unit_test(test_fault_table),
		cmocka_unit_test(test_fault_at_connect),
		cmocka_unit_test(test_fault_plain),
		cmocka_unit_test(test_total_deadline),
		cmocka_unit_test(test_session_deadline),
	};
	return cmocka_run_group_tests(tests, fixture_loop_start, fixture_loop_stop);
}
