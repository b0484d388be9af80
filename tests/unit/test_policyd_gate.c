/* test_policyd_gate.c: what is asked at each stage, what answers do, and servers that behave badly.  The test clock says how long it took. */
#include "tests/unit/txn_fixture.h"

#include "lib/base/log.h"
#include "policyd/policyd.h"
#include "policyd/policyd_cache.h"
#include "tests/unit/answerer.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"        /* the tables below leave out what is 0 */

/* ---- a server, a gate that asks it, a session ---- */

static size_t policy_question(struct bytes input)
{
	ptrdiff_t end = bytes_search(input, BYTES("\n\n"));
	return end < 0 ? 0 : (size_t)end + 2;
}

struct scene {
	struct answerer server, second;         /* second.answers: there is a second endpoint */
	struct policyd_params params;
	bool deaf;                              /* nobody listens at the first */
	void (*run)(struct scene *s);
	struct gate gate;
	struct fixture f;
	int seconds;                            /* the last question took */
};

static struct buf logged;

static void on_log(void *arg, enum log_level level, struct bytes line)
{
	(void)arg;
	if (level <= LOG_LEVEL_INFO)
		buf_add(&logged, line);
}

TASK_FN static void scene_main(void *arg)
{
	struct scene *s = arg;
	const char *endpoints[2] = { s->server.endpoint, s->second.endpoint };
	struct buf err = { 0 };

	s->server.question = s->second.question = policy_question;
	answerer_start(&s->server);
	if (s->second.answers)
		answerer_start(&s->second);
	if (s->deaf)
		answerer_stop(&s->server);
	s->params.endpoints = endpoints;
	s->params.endpoint_count = s->second.answers ? 2 : 1;
	assert_int_equal(policyd_configure(&s->params, &s->gate, &err), 0);
	s->gate.name = "greylist";
	fixture_init(&s->f);
	log_capture(on_log, NULL);
	s->run(s);
	log_capture(NULL, NULL);
	chain_close(&s->f.chain, true);
	fixture_fini(&s->f);
	policyd_unconfigure(&s->gate);
	answerer_stop(&s->server);
	answerer_stop(&s->second);
	buf_fini(&logged);
}

#define LIST(type, ...) (const type[]){ __VA_ARGS__ }
#define ANSWERS(...) .answers = LIST(struct answer, __VA_ARGS__), .answer_count = COUNT_OF(LIST(struct answer, __VA_ARGS__))
#define SCENE(fn, ...) with_clock(scene_main, &(struct scene){ .run = (fn), __VA_ARGS__ })

TASK_FN static struct gate_verdict ask_with(struct scene *s, enum gate_stage stage, const struct chain_args *args)
{
	struct gate_verdict v = { 0 };
	int64_t start = run_now();
	assert_int_equal(chain_ask(&s->f.chain, &s->gate, stage, args, &v), 0);
	s->seconds = (int)((run_now() - start) / SECONDS(1));
	return v;
}

TASK_FN static struct gate_verdict ask_of(struct scene *s, enum gate_stage stage, struct gate_txn *txn)
{
	return ask_with(s, stage, &(struct chain_args){ .txn = txn });
}

TASK_FN static struct gate_verdict ask(struct scene *s, enum gate_stage stage, struct gate_rcpt *rcpt)
{
	struct chain_args args = { .txn = stage >= GATE_MAIL && s->f.txn.arena ? &s->f.txn : NULL, .rcpt = rcpt };
	return ask_with(s, stage, &args);
}

static void expect_verdict(const struct gate_verdict *v, enum gate_action action, const char *reply)
{
	struct buf line = { 0 };
	if (v->reply.code)
		smtp_reply_line(&v->reply, &line);
	print_message("[ case     ] %s -> %s\n", v->answer ? v->answer : "(no answer)", buf_str(&line));
	assert_int_equal(v->action, action);
	assert_string_equal(buf_str(&line), reply);
	buf_fini(&line);
}

TASK_FN static void begin_mail(struct scene *s)
{
	if (s->f.txn.arena)
		chain_abort(&s->f.chain, &s->f.txn, false);
	fixture_txn_fini(&s->f);
	fixture_mail(&s->f, "FROM:<a@example.net> SIZE=1234");
}

/* ---- attributes ---- */

/* The value of attribute NAME in the Nth question. */
static void expect_attribute(struct scene *s, unsigned nth, const char *name, const char *want)
{
	struct bytes all = buf_bytes(&s->server.questions), value = { NULL, 0 };
	for (unsigned i = 0; i < nth; i++)
		all = bytes_skip(all, policy_question(all));
	all = bytes_first(all, policy_question(all));
	while (all.n && !value.p) {
		struct bytes line = bytes_cut(&all, '\n'), rest = line;
		if (bytes_eq(bytes_cut(&rest, '='), bytes_of(name)))
			value = rest;
	}
	print_message("[ case     ] question %u: %s=%.*s\n", nth, name, BYTES_ARG(value));
	assert_non_null(value.p);
	assert_true(bytes_eq(value, bytes_of(want)));
}

struct expected {
	const char *state, *protocol, *helo, *sender, *recipient, *count, *queue_id, *instance, *size;
};

static void expect_question(struct scene *s, unsigned nth, const struct expected *e)
{
	expect_attribute(s, nth, "protocol_state", e->state);
	expect_attribute(s, nth, "protocol_name", e->protocol);
	expect_attribute(s, nth, "helo_name", e->helo);
	expect_attribute(s, nth, "sender", e->sender);
	expect_attribute(s, nth, "recipient", e->recipient);
	expect_attribute(s, nth, "recipient_count", e->count);
	expect_attribute(s, nth, "queue_id", e->queue_id);
	expect_attribute(s, nth, "instance", e->instance);
	expect_attribute(s, nth, "size", e->size);
}

static const struct answer dunno = { "action=DUNNO\n\n" };

/* The sequence that was recorded from Postfix 3.7.11. */
TASK_FN static void run_stages(struct scene *s)
{
	struct fixture *f = &s->f;
	f->session.helo = NULL;
	ask(s, GATE_CONNECT, NULL);
	f->session.helo = "bar(x)";
	ask(s, GATE_EHLO, NULL);
	f->session.helo = "bar?x?"; /* smtpd's */
	f->session.esmtp = true;
	ask(s, GATE_VRFY, fixture_rcpt_new(f, "TO:<\"x y\"@example.test>"));
	fixture_mail(f, "FROM:<\"a b\\\"c\"@Example.Org> SIZE=77");
	ask(s, GATE_MAIL, NULL);
	f->txn.sender_accepted = true;
	ask(s, GATE_VRFY, fixture_rcpt_new(f, "TO:<\"x y\"@example.test>"));
	ask(s, GATE_RCPT, fixture_rcpt_new(f, "TO:<@h1,@h2:User+x@example.test>"));
	fixture_rcpt(f, "TO:<User+x@example.test>");
	f->txn.rcpt_seen++;
	ask(s, GATE_RCPT, fixture_rcpt_new(f, "TO:<b@example.test>"));
	ask(s, GATE_DATA, NULL);
	fixture_content(f, BYTES("Subject: x\r\n\r\nhi\r\n"));
	ask(s, GATE_MESSAGE, NULL);
	fixture_rcpt(f, "TO:<b@example.test>");
	ask(s, GATE_MESSAGE, NULL);
	/* EHLO again, in the midst of it. */
	ask_of(s, GATE_EHLO, &f->txn);
	f->session.protocol = GATE_SMTP;
	ask(s, GATE_EHLO, NULL);
	/* After XCLIENT HELO=... */
	f->session.esmtp = false;
	ask(s, GATE_CONNECT, NULL);

	static const char id[] = "4f2a91.3c.1", instance[] = "1.2.3.4";
	const struct expected expected[] = {
		{ "CONNECT", "SMTP", "", "", "", "0", "", "", "0" },
		{ "EHLO", "SMTP", "bar(x)", "", "", "0", "", "", "0" },
		{ "VRFY", "ESMTP", "bar?x?", "", "x y@example.test", "0", "", "", "0" },
		{ "MAIL", "ESMTP", "bar?x?", "a b\"c@Example.Org", "", "0", "", "", "77" },
		{ "VRFY", "ESMTP", "bar?x?", "a b\"c@Example.Org", "x y@example.test", "0", "", instance, "77" },
		{ "RCPT", "ESMTP", "bar?x?", "a b\"c@Example.Org", "User+x@example.test", "0", "", instance, "77" },
		{ "RCPT", "ESMTP", "bar?x?", "a b\"c@Example.Org", "b@example.test", "0", id, instance, "77" },
		{ "DATA", "ESMTP", "bar?x?", "a b\"c@Example.Org", "User+x@example.test", "1", id, instance, "77" },
		{ "END-OF-MESSAGE", "ESMTP", "bar?x?", "a b\"c@Example.Org", "User+x@example.test", "1", id, instance, "18" },
		{ "END-OF-MESSAGE", "ESMTP", "bar?x?", "a b\"c@Example.Org", "", "2", id, instance, "18" },
		{ "EHLO", "ESMTP", "bar?x?", "a b\"c@Example.Org", "b@example.test", "0", id, instance, "77" },
		{ "HELO", "ESMTP", "bar?x?", "", "", "0", "", "", "0" },
		{ "CONNECT", "SMTP", "bar?x?", "", "", "0", "", "", "0" },
	};
	assert_int_equal(s->server.asked, COUNT_OF(expected));
	assert_int_equal(s->server.connections, 1);
	for (unsigned i = 0; i < COUNT_OF(expected); i++)
		expect_question(s, i, &expected[i]);
}

/* shows: P6 P7 P8 P9 */
static void test_stages(void **state)
{
	(void)state;
	SCENE(run_stages, .server = { ANSWERS(dunno) });
}

TASK_FN static void run_session(struct scene *s)
{
	struct gate_session *session = &s->f.session;
	struct tls_info tls = { .protocol = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .cipher_bits = 256, .server_name = "mx.example.org",
				.peer_subject = "client test", .peer_issuer = "CA", .peer_fingerprint = "AA:BB", .peer_key_fingerprint = "CC:DD" };
	static const char *const plain[][2] = {
		{ "request", "smtpd_access_policy" }, { "client_address", "192.0.2.1" }, { "client_name", "client.test" }, { "client_port", "40000" },
		{ "reverse_client_name", "client.test" }, { "server_address", "192.0.2.25" }, { "server_port", "25" }, { "etrn_domain", "" },
		{ "stress", "" }, { "sasl_method", "" }, { "sasl_username", "" }, { "encryption_protocol", "" }, { "encryption_keysize", "0" },
		{ "tls_sni", "" }, { "policy_context", "inbound" }, { "compatibility_level", "3.12" }, { "mail_version", "3.12.0" },
	};
	static const char *const secure[][2] = {
		{ "sasl_method", "PLAIN" }, { "sasl_username", "joe" }, { "sasl_sender", "joe+2Bx@example.net" }, { "encryption_protocol", "TLSv1.3" },
		{ "encryption_cipher", "TLS_AES_256_GCM_SHA384" }, { "encryption_keysize", "256" }, { "tls_sni", "mx.example.org" },
		{ "ccert_subject", "" }, { "ccert_issuer", "" }, { "ccert_fingerprint", "AA:BB" }, { "ccert_pubkey_fingerprint", "CC:DD" },
	};
	ask(s, GATE_CONNECT, NULL);
	for (unsigned i = 0; i < COUNT_OF(plain); i++)
		expect_attribute(s, 0, plain[i][0], plain[i][1]);
	session->tls = &tls;
	session->auth_mechanism = "PLAIN";
	session->auth_user = "joe";
	fixture_mail(&s->f, "FROM:<a@example.net> AUTH=joe+2Bx@example.net");
	ask(s, GATE_MAIL, NULL);
	for (unsigned i = 0; i < COUNT_OF(secure); i++)
		expect_attribute(s, 1, secure[i][0], secure[i][1]);
	/* Names are told when somebody trusted vouches for them; an identity that acts for another is that other. */
	tls.peer_verified = true;
	session->auth_author = "boss";
	fixture_txn_fini(&s->f);
	fixture_mail(&s->f, "FROM:<> AUTH=<>");
	ask(s, GATE_MAIL, NULL);
	expect_attribute(s, 2, "ccert_subject", "client+20test");
	expect_attribute(s, 2, "ccert_issuer", "CA");
	expect_attribute(s, 2, "sasl_username", "boss");
	expect_attribute(s, 2, "sasl_sender", "");
	expect_attribute(s, 2, "sender", "");
	session->protocol = GATE_SMTP;
	ask(s, GATE_EHLO, NULL);
	expect_attribute(s, 3, "protocol_state", "HELO");
	session->protocol = GATE_LMTP;
	ask(s, GATE_EHLO, NULL);
	expect_attribute(s, 4, "protocol_state", "LHLO");
	expect_attribute(s, 4, "protocol_name", "LMTP");
}

/* shows: P10 */
static void test_session(void **state)
{
	(void)state;
	SCENE(run_session, .server = { ANSWERS(dunno) }, .params = { .policy_context = "inbound" });
}

/* ---- actions ---- */

static const struct {
	const char *wire;
	enum gate_action action;
	const char *reply;
} verdicts[] = {
	{ "action=DUNNO\n\n", GATE_CONTINUE, "" },
	{ "action=OK\n\n", GATE_CONTINUE, "" },
	{ "action=\n\n", GATE_CONTINUE, "" },
	{ "action=1234567\n\n", GATE_CONTINUE, "" },
	{ "action=REJECT\n\n", GATE_REJECT, "554 5.7.1 Access denied" },
	{ "action=reject 5.1.1 No\n\n", GATE_REJECT, "554 5.1.1 No" },
	{ "action=550 Go away\n\n", GATE_REJECT, "550 5.7.1 Go away" },
	{ "action=DEFER later\n\n", GATE_TEMPFAIL, "450 4.7.1 later" },
	{ "action=452 4.2.2 full\n\n", GATE_TEMPFAIL, "452 4.2.2 full" },
	{ "action=421 bye\n\n", GATE_DISCONNECT, "421 4.7.1 bye" },
	{ "action=521 bye\n\n", GATE_DISCONNECT, "521 5.7.1 bye" },
	{ "action=DISCARD why\n\n", GATE_DISCARD, "" },
	{ "action=FILTER smtp:x\n\n", GATE_CONTINUE, "" },
	{ "action=REDIRECT c@example.org\n\n", GATE_CONTINUE, "" },
	{ "action=BCC c@example.org\n\n", GATE_CONTINUE, "" },
	{ "action=BCC nobody\n\n", GATE_CONTINUE, "" },
	{ "action=permit_mynetworks\n\n", GATE_TEMPFAIL, "451 4.3.5 Server configuration error" },
};

TASK_FN static void run_verdicts(struct scene *s)
{
	for (unsigned i = 0; i < COUNT_OF(verdicts); i++) {
		begin_mail(s);
		struct gate_verdict v = ask(s, GATE_RCPT, fixture_rcpt_new(&s->f, "TO:<b@example.org>"));
		expect_verdict(&v, verdicts[i].action, verdicts[i].reply);
		struct bytes action = bytes_skip(bytes_of(verdicts[i].wire), 7);
		assert_true(bytes_eq(bytes_of(v.answer), bytes_first(action, action.n - 2)));
		assert_string_equal(v.gate, "greylist");
		chain_abort(&s->f.chain, &s->f.txn, false);
	}
	assert_int_equal(s->server.asked, COUNT_OF(verdicts));
	assert_non_null(strstr(buf_str(&logged), "gate=greylist stage=rcpt action=permit_mynetworks msg=\"permit_mynetworks is a restriction of Postfix"));
	assert_non_null(strstr(buf_str(&logged), "action=BCC text=nobody msg=\"ignored: the text is no address\""));
}

/* shows: P13 */
static void test_verdicts(void **state)
{
	(void)state;
	struct answer answers[COUNT_OF(verdicts)];
	for (unsigned i = 0; i < COUNT_OF(verdicts); i++)
		answers[i] = (struct answer){ verdicts[i].wire };
	SCENE(run_verdicts, .server = { .answers = answers, .answer_count = COUNT_OF(answers) });
}

TASK_FN static void run_deferred(struct scene *s)
{
	begin_mail(s);
	for (unsigned i = 0; i < 2; i++) {
		struct gate_verdict v = ask(s, GATE_RCPT, fixture_rcpt_new(&s->f, "TO:<b@example.org>"));
		expect_verdict(&v, GATE_CONTINUE, "");
		s->f.txn.rcpt_seen++;
	}
	struct buf line = { 0 };
	smtp_reply_line(&s->f.txn.defer_if_permit, &line);
	buf_add_char(&line, '|');
	smtp_reply_line(&s->f.txn.defer_if_reject, &line);
	assert_string_equal(buf_str(&line), "450 4.2.0 Greylisted|450 4.7.1 perhaps");
	buf_fini(&line);
}

/* P14: said of EHLO, also of one that ends a transaction, it is good for every transaction to come, until the next EHLO. */
TASK_FN static void run_deferred_session(struct scene *s)
{
	begin_mail(s);
	ask_of(s, GATE_EHLO, &s->f.txn);
	assert_int_equal(s->f.txn.defer_if_permit.code, 0);
	for (unsigned i = 0; i < 2; i++) {
		begin_mail(s);
		chain_begin(&s->f.chain, GATE_MAIL, &s->f.txn);
		assert_int_equal(s->f.txn.defer_if_permit.code, 450);
	}
	chain_begin(&s->f.chain, GATE_EHLO, NULL);
	begin_mail(s);
	chain_begin(&s->f.chain, GATE_MAIL, &s->f.txn);
	assert_int_equal(s->f.txn.defer_if_permit.code, 0);
}

/* shows: P14 */
static void test_deferred_session(void **state)
{
	(void)state;
	SCENE(run_deferred_session, .server = { ANSWERS({ "action=DEFER_IF_PERMIT 4.2.0 Greylisted\n\n" }) });
}

/* shows: P14 P15 */
static void test_deferred(void **state)
{
	(void)state;
	SCENE(run_deferred, .server = { ANSWERS({ "action=DEFER_IF_PERMIT 4.2.0 Greylisted\n\n" }, { "action=DEFER_IF_REJECT perhaps\n\n" }) });
}

/* Several fields stay in their order, above our own Received; one that is asked for when the message is complete comes too late (P17). */
TASK_FN static void run_edits(struct scene *s)
{
	struct buf message = { 0 };
	struct gate_verdict v;
	begin_mail(s);
	s->f.txn.sender_accepted = true;
	for (unsigned i = 0; i < 5; i++) {
		v = ask(s, GATE_RCPT, fixture_rcpt_new(&s->f, "TO:<b@example.org>"));
		expect_verdict(&v, GATE_CONTINUE, "");
		s->f.txn.rcpt_seen++;
	}
	assert_true(s->f.txn.held);
	assert_string_equal(s->f.txn.hold_reason, "look at it");
	assert_non_null(strstr(buf_str(&logged), "text=\"no field\" msg=\"ignored: the text is no header field\""));
	fixture_content(&s->f, BYTES("Subject: x\r\n\r\nhi\r\n"));
	mail_trace_prepend(s->f.txn.mail, BYTES("Received: by us\r\n"));
	assert_int_equal(chain_event(&s->f.chain, GATE_MESSAGE, &(struct chain_args){ .txn = &s->f.txn }, &v), 0);
	v = ask(s, GATE_MESSAGE, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	fixture_message(&s->f, &message);
	assert_string_equal(buf_str(&message), "X-First: a: b\r\nX-Second: Jos\xc3\xa9\r\nReceived: by us\r\nSubject: x\r\n\r\nhi\r\n");
	buf_fini(&message);
}

/* shows: P17 P18 */
static void test_edits(void **state)
{
	(void)state;
	SCENE(run_edits, .server = { ANSWERS({ "action=PREPEND X-First: a: b\n\n" }, { "action=PREPEND no field\n\n" }, { "action=HOLD look at it\n\n" },
					     { "action=PREPEND X-Second: Jos\xc3\xa9\n\n" }, { "action=INFO seen\n\n" }, { "action=PREPEND X-Third: z\n\n" }) });
}

TASK_FN static void run_early(struct scene *s)
{
	struct gate_verdict v = ask(s, GATE_CONNECT, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	assert_non_null(strstr(buf_str(&logged), "action=PREPEND text=\"X: y\" msg=\"ignored: there is no message before MAIL\""));
	v = ask(s, GATE_EHLO, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	assert_non_null(strstr(buf_str(&logged), "level=warning event=policy"));
	assert_non_null(strstr(buf_str(&logged), "action=WARN text=\"odd name\""));
}

static void test_before_mail(void **state)
{
	(void)state;
	SCENE(run_early, .server = { ANSWERS({ "action=PREPEND X: y\n\n" }, { "action=WARN odd name\n\n" }) });
}

/* Two lines of a script that name one server ask once about a recipient; another recipient, or the same one again, is asked about. */
TASK_FN static void run_dedupe(struct scene *s)
{
	struct gate_verdict v;
	begin_mail(s);
	struct gate_rcpt *rcpt = fixture_rcpt_new(&s->f, "TO:<b@example.org>");
	v = ask(s, GATE_RCPT, rcpt);
	expect_verdict(&v, GATE_REJECT, "554 5.7.1 no");
	v = ask(s, GATE_RCPT, rcpt);
	expect_verdict(&v, GATE_REJECT, "554 5.7.1 no");
	assert_int_equal(s->server.asked, 1);
	s->f.txn.rcpt_seen++;
	v = ask(s, GATE_RCPT, rcpt);
	expect_verdict(&v, GATE_CONTINUE, "");
	v = ask(s, GATE_RCPT, rcpt);
	expect_verdict(&v, GATE_CONTINUE, "");
	assert_string_equal(v.answer, "PREPEND X: y");
	assert_int_equal(s->server.asked, 2);
	ask(s, GATE_RCPT, fixture_rcpt_new(&s->f, "TO:<c@example.org>"));
	assert_int_equal(s->server.asked, 3);
	struct gate_edit *e;
	unsigned edits = 0;
	LIST_EACH(e, &s->f.txn.early_edits, struct gate_edit, link)
		edits += e->kind == GATE_EDIT_HEADER_INSERT;
	assert_int_equal(edits, 1);
	/* The next transaction, though all is the same. */
	chain_abort(&s->f.chain, &s->f.txn, false);
	ask(s, GATE_RCPT, rcpt);
	assert_int_equal(s->server.asked, 4);
}

/* shows: Q2 */
static void test_dedupe(void **state)
{
	(void)state;
	SCENE(run_dedupe, .server = { ANSWERS({ "action=REJECT no\n\n" }, { "action=PREPEND X: y\n\n" }, { "action=DUNNO\n\n" }) });
}

TASK_FN static void expect_pattern(struct scene *s, const char *pattern);

/* ---- an answer that is good for a while ---- */

TASK_FN static unsigned asked_about(struct scene *s, enum gate_stage stage, const char *to)
{
	unsigned before = s->server.asked;
	if (stage == GATE_RCPT)
		ask(s, stage, fixture_rcpt_new(&s->f, to));
	else
		ask(s, stage, NULL);
	s->f.txn.rcpt_seen++;
	return s->server.asked - before;
}

TASK_FN static void run_cache(struct scene *s)
{
	begin_mail(s);
	assert_int_equal(asked_about(s, GATE_RCPT, "TO:<b@example.org>"), 1);
	assert_int_equal(asked_about(s, GATE_RCPT, "TO:<b@example.org>"), 0);
	assert_int_equal(asked_about(s, GATE_RCPT, "TO:<c@example.org>"), 1);
	/* Another message and another connection of the same client. */
	begin_mail(s);
	s->f.txn.instance = "5.6.7.8";
	s->f.session.client_port++;
	assert_int_equal(asked_about(s, GATE_RCPT, "TO:<b@example.org>"), 0);
	assert_int_equal(asked_about(s, GATE_RCPT, "TO:<c@example.org>"), 0);
	/* What is temporary, or about this message, is asked again; and so is what does not name all that it is about. */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(asked_about(s, GATE_RCPT, "TO:<d@example.org>"), 1);
	assert_int_equal(asked_about(s, GATE_DATA, NULL), 1);
	assert_int_equal(asked_about(s, GATE_DATA, NULL), 1);
	assert_int_equal(task_sleep(SECONDS(61)), 0);
	assert_int_equal(asked_about(s, GATE_RCPT, "TO:<b@example.org>"), 1);
}

/* shows: Q5 */
static void test_cache(void **state)
{
	(void)state;
	SCENE(run_cache, .params = { .cache = SECONDS(60) },
	    .server = { ANSWERS({ "action=OK\n\n" }, { "action=REJECT no\n\n" }, { "action=DEFER_IF_PERMIT wait\n\n" }, { "action=450 later\n\n" },
				{ "action=PREPEND X: y\n\n" }, { "action=HOLD\n\n" }, { "action=DUNNO\n\n" }) });
}

TASK_FN static void run_cache_full(struct scene *s)
{
	struct policyd_cache *c = policyd_cache_new(SECONDS(60));
	char key[32];
	(void)s;
	for (unsigned i = 0; i <= POLICYD_CACHE_MAX; i++) {
		snprintf(key, sizeof key, "key %u", i);
		policyd_cache_put(c, bytes_of(key), BYTES("OK"), i);
	}
	assert_null(policyd_cache_get(c, BYTES("key 0"), 0).p);
	assert_true(bytes_eq(policyd_cache_get(c, BYTES("key 1"), 0), BYTES("OK")));
	policyd_cache_put(c, BYTES("key 1"), BYTES("DEFER"), 0);
	assert_null(policyd_cache_get(c, BYTES("key 1"), 0).p);
	policyd_cache_free(&c);
}

/* shows: Q5 */
static void test_cache_full(void **state)
{
	(void)state;
	SCENE(run_cache_full, .server = { ANSWERS(dunno) });
}

/* ---- what Postfix does not tell ---- */

TASK_FN static void run_extras(struct scene *s)
{
	begin_mail(s);
	ask(s, GATE_MAIL, NULL);
	expect_attribute(s, 0, "instance", "");
	expect_attribute(s, 0, "queue_id", "");
	expect_attribute(s, 0, "gatepost_instance", "1.2.3.4");
	expect_attribute(s, 0, "gatepost_queue_id", "4f2a91.3c.1");
	fixture_rcpt(&s->f, "TO:<b@example.org>");
	fixture_rcpt(&s->f, "TO:<\"x y\"@example.org>");
	gate_span_get(&s->f.txn, "rspamd")->kind = "milter";
	struct gate_span *failed = gate_span_get(&s->f.txn, "clamav");
	failed->kind = "milter";
	failed->fault = "timeout";
	fixture_content(&s->f, BYTES("Message-ID: <1@example.net>\r\n\r\nhi\r\n"));
	ask(s, GATE_MESSAGE, NULL);
	expect_attribute(s, 1, "recipient", "");
	expect_attribute(s, 1, "gatepost_recipient_1", "b@example.org");
	expect_attribute(s, 1, "gatepost_recipient_2", "\"x y\"@example.org");
	expect_attribute(s, 1, "gatepost_message_id", "<1@example.net>");
	expect_attribute(s, 1, "gatepost_gate_rspamd", "continue");
	expect_attribute(s, 1, "gatepost_gate_clamav", "fault timeout");
	/* That it has been asked is no other question. */
	struct gate_rcpt *rcpt = fixture_rcpt_new(&s->f, "TO:<c@example.org>");
	ask(s, GATE_RCPT, rcpt);
	ask(s, GATE_RCPT, rcpt);
	assert_int_equal(s->server.asked, 3);
}

/* shows: Q4 */
static void test_extras(void **state)
{
	(void)state;
	SCENE(run_extras, .params = { .extras = true }, .server = { ANSWERS(dunno) });
}

/* ---- replies in Postfix's words ---- */

TASK_FN static void run_worded(struct scene *s)
{
	begin_mail(s);
	struct gate_verdict v = ask(s, GATE_CONNECT, NULL);
	expect_verdict(&v, GATE_REJECT, "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: no");
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_REJECT, "554 5.1.7 <a@example.net>: Sender address rejected: Access denied");
	v = ask(s, GATE_RCPT, fixture_rcpt_new(&s->f, "TO:<b@example.org>"));
	expect_verdict(&v, GATE_TEMPFAIL, "450 4.7.1 <b@example.org>: Recipient address rejected: later");
	v = ask(s, GATE_DATA, NULL);
	expect_verdict(&v, GATE_REJECT, "550 5.0.0 <DATA>: Data command rejected: odd");
	fixture_content(&s->f, BYTES("Subject: x\r\n\r\nhi\r\n"));
	v = ask(s, GATE_MESSAGE, NULL);
	expect_verdict(&v, GATE_DISCONNECT, "521 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: bye");
	/* P4: so is a failure. */
	v = ask(s, GATE_CONNECT, NULL);
	expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 <client.test[192.0.2.1]>: Client host rejected: Server configuration problem");
}

/* shows: P4 P11 */
static void test_worded(void **state)
{
	(void)state;
	SCENE(run_worded, .params = { .postfix = true },
	    .server = { ANSWERS({ "action=REJECT no\n\n" }, { "action=REJECT 5.1.1\n\n" }, { "action=DEFER later\n\n" }, { "action=550 5.1.1 odd\n\n" },
				{ "action=521 bye\n\n" }, { "nonsense\n\n" }) });
}

/* Of two servers the one that is down is noticed once, and asked again when it is back. */
TASK_FN static void run_comes_back(struct scene *s)
{
	expect_pattern(s, "++");
	assert_int_equal(s->second.asked, 2);
	assert_non_null(strstr(buf_str(&logged), "event=policy-down"));
	answerer_start(&s->server);
	assert_int_equal(task_sleep(SECONDS(120)), 0);
	assert_non_null(strstr(buf_str(&logged), "event=policy-up"));
	expect_pattern(s, "++");
	assert_int_equal(s->server.asked, 2);
}

/* shows: Q3 */
static void test_comes_back(void **state)
{
	(void)state;
	SCENE(run_comes_back, .server = { ANSWERS(dunno) }, .deaf = true, .second = { ANSWERS(dunno) });
}

/* P19 */
TASK_FN static void run_utf8(struct scene *s)
{
	struct gate_verdict v;
	fixture_mail(&s->f, "FROM:<a@example.net> SMTPUTF8");
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_REJECT, "554 5.7.1 n\xc3\xb6");
	/* Also where this client does without SMTPUTF8. */
	begin_mail(s);
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
}

/* shows: P19 */
static void test_utf8(void **state)
{
	(void)state;
	SCENE(run_utf8, .server = { ANSWERS({ "action=REJECT n\xf6\n\n" }, { "action=REJECT n\xc3\xb6\n\n" }, { "action=REJECT n\xf6\n\n" }) });
}

/* ---- servers that behave badly ---- */

/* A RCPT for each letter: '+' passes, '-' is answered 451. */
TASK_FN static void expect_pattern(struct scene *s, const char *pattern)
{
	begin_mail(s);
	for (; *pattern; pattern++, s->f.txn.rcpt_seen++) {
		struct gate_verdict v = ask(s, GATE_RCPT, fixture_rcpt_new(&s->f, "TO:<b@example.org>"));
		if (*pattern == '+')
			expect_verdict(&v, GATE_CONTINUE, "");
		else
			expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
	}
}

TASK_FN static void run_fails_fast(struct scene *s)
{
	int64_t start = run_now();
	expect_pattern(s, "-------+");
	assert_true(run_now() - start < SECONDS(5));
	assert_int_equal(s->server.connections, 8);
	static const char *const why[] = { "the answer has no action", "the action has no value", "a line ends in CR LF", "a line is too long",
					   "the answer is too long", "the connection was closed in the middle of an answer" };
	for (unsigned i = 0; i < COUNT_OF(why); i++)
		assert_non_null(strstr(buf_str(&logged), why[i]));
	assert_non_null(strstr(buf_str(&logged), "level=warning event=policy-fault gate=greylist stage=rcpt fault=protocol why=\"the answer has no action\""));
}

static char oversize[100000];

/* shows: P4 */
static void test_garbage(void **state)
{
	(void)state;
	memset(oversize, 'x', sizeof oversize);
	SCENE(run_fails_fast, .server = { ANSWERS({ "\n" }, { "action\n\n" }, { "HTTP/1.1 400 Bad Request\r\n\r\n" }, { "action=OK\r\n\r\n" }, { oversize, sizeof oversize },
						  { "x=y\n", 0, AFTER_FLOOD }, { "action=OK", 0, AFTER_CLOSE }, { "action=OK\n\n" }) });
}

TASK_FN static void run_close_each(struct scene *s)
{
	int64_t start = run_now();
	expect_pattern(s, "++++++");
	assert_true(run_now() - start < SECONDS(5));
	assert_int_equal(s->server.connections, 6);
	assert_int_equal(s->server.asked, 6);
}

/* A server that closes after each answer costs a connection each, not a second each. */
/* shows: P3 Q1 */
static void test_closes_after_each(void **state)
{
	(void)state;
	SCENE(run_close_each, .server = { ANSWERS({ "action=OK\n\n", 0, AFTER_CLOSE }) });
}

TASK_FN static void run_kept_dies(struct scene *s)
{
	int64_t start = run_now();
	expect_pattern(s, "++-+");
	assert_int_equal(s->server.connections, 4);
	assert_true(run_now() - start < SECONDS(1));
}

/* A kept connection that dies on the question is replaced, and the question asked again, once. */
/* shows: P3 */
static void test_kept_connection_dies(void **state)
{
	(void)state;
	SCENE(run_kept_dies, .server = { ANSWERS({ "action=OK\n\n" }, { "", 0, AFTER_CLOSE }, { "action=OK\n\n" }, { "", 0, AFTER_CLOSE },
						 { "act", 0, AFTER_CLOSE }, { "action=OK\n\n" }) });
}

TASK_FN static void run_hangs(struct scene *s)
{
	begin_mail(s);
	for (int i = 0; i < 2; i++) {
		struct gate_verdict v = ask(s, GATE_MAIL, NULL);
		expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
		assert_in_range(s->seconds, 100, 101);
	}
}

/* shows: P4 */
static void test_hangs(void **state)
{
	(void)state;
	SCENE(run_hangs, .server = { ANSWERS({ "action=", 0, AFTER_HANG }, { "x=y\n", 0, AFTER_DRIP }) });
}

TASK_FN static void run_refused(struct scene *s)
{
	begin_mail(s);
	struct gate_verdict v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
	/* A failure counts before MAIL too: what was not asked must not pass. */
	fixture_txn_fini(&s->f);
	v = ask(s, GATE_CONNECT, NULL);
	expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
	s->gate.on_failure[GATE_MAIL][GATE_FAULT_CONNECT] = GATE_ON_FAILURE_CONTINUE;
	begin_mail(s);
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	s->gate.on_failure[GATE_MAIL][GATE_FAULT_CONNECT] = GATE_ON_FAILURE_REJECT;
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_REJECT, "550 5.5.0 Service unavailable");
}

/* shows: Q3 */
static void test_refused(void **state)
{
	(void)state;
	SCENE(run_refused, .server = { ANSWERS(dunno) }, .deaf = true);
}

/* ---- one that is started anew ---- */

TASK_FN static void start_later(struct scene *s)
{
	assert_int_equal(task_sleep(MS(500)), 0);
	answerer_start(&s->server);
}

TASK_FN static void run_restarted(struct scene *s)
{
	struct task_group tasks;
	task_group_init(&tasks);
	if (s->deaf)
		task_spawn(&tasks, "later", start_later, s);
	begin_mail(s);
	struct gate_verdict v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	assert_int_equal(s->seconds, 1);
	v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	assert_int_equal(s->seconds, 0);
	assert_int_equal(task_group_join(&tasks), 0);
}

/* P4: a server that is not there, or hangs up on a new connection, is asked once more a second later: it may be being restarted. */
/* shows: P4 */
static void test_restarted(void **state)
{
	(void)state;
	SCENE(run_restarted, .server = { ANSWERS(dunno) }, .deaf = true);
	SCENE(run_restarted, .server = { ANSWERS(dunno), .close_at_accept = 1 });
}

TASK_FN static void run_stays_away(struct scene *s)
{
	static const int takes[] = { 1, 1, 0, 0 };      /* seconds */
	begin_mail(s);
	for (unsigned i = 0; i < COUNT_OF(takes); i++) {
		struct gate_verdict v = ask(s, GATE_MAIL, NULL);
		expect_verdict(&v, GATE_TEMPFAIL, "451 4.3.5 Server configuration problem");
		assert_int_equal(s->seconds, s->params.retry_delay < 0 ? 0 : takes[i]);
		assert_int_equal(task_sleep(SECONDS(4)), 0);
	}
	/* Back for a moment: the next time is the first. */
	answerer_start(&s->server);
	struct gate_verdict v = ask(s, GATE_MAIL, NULL);
	expect_verdict(&v, GATE_CONTINUE, "");
	answerer_stop(&s->server);
	ask(s, GATE_MAIL, NULL);
	assert_int_equal(s->seconds, s->params.retry_delay < 0 ? 0 : 1);
}

/* Nobody waits for one that has been away for ten seconds, or where the configuration says so. */
/* shows: P4 */
static void test_stays_away(void **state)
{
	(void)state;
	SCENE(run_stays_away, .server = { ANSWERS(dunno) }, .deaf = true);
	SCENE(run_stays_away, .server = { ANSWERS(dunno) }, .deaf = true, .params = { .retry_delay = -1 });
}

TASK_FN static void run_failover(struct scene *s)
{
	expect_pattern(s, "+++");
	assert_int_equal(s->second.asked, 3);
	assert_int_equal(s->second.connections, 1);
}

/* shows: Q3 */
static void test_failover(void **state)
{
	(void)state;
	SCENE(run_failover, .server = { ANSWERS(dunno) }, .deaf = true, .second = { ANSWERS(dunno) });
	/* One that accepts, and closes. */
	SCENE(run_failover, .server = { ANSWERS(dunno), .close_at_accept = 9 }, .second = { ANSWERS(dunno) });
}

/* The connection's limits: 300 s idle, 1000 s in all, and as many requests as are allowed. */
TASK_FN static void run_limits(struct scene *s)
{
	expect_pattern(s, "+");
	assert_int_equal(task_sleep(SECONDS(290)), 0);
	assert_int_equal(s->server.open, 1);
	assert_int_equal(task_sleep(SECONDS(15)), 0);
	assert_int_equal(s->server.open, 0);
	for (int i = 0; i < 6; i++) {
		expect_pattern(s, "+");
		assert_int_equal(task_sleep(SECONDS(250)), 0);
	}
	assert_int_equal(s->server.connections, 3);
}

/* shows: P2 */
static void test_idle_and_ttl(void **state)
{
	(void)state;
	SCENE(run_limits, .server = { ANSWERS(dunno) });
}

TASK_FN static void run_request_limit(struct scene *s)
{
	expect_pattern(s, "+++++");
	assert_int_equal(s->server.connections, 3);
}

/* shows: P2 */
static void test_request_limit(void **state)
{
	(void)state;
	SCENE(run_request_limit, .server = { ANSWERS(dunno) }, .params = { .request_limit = 2 });
}

static void test_configure(void **state)
{
	(void)state;
	struct gate g = { 0 };
	struct buf err = { 0 };
	assert_int_equal(policyd_configure(&(struct policyd_params){ 0 }, &g, &err), -EINVAL);
	assert_string_equal(buf_str(&err), "a policy server needs between 1 and 64 sockets");
	buf_clear(&err);
	const char *bad = "inet:no port";
	assert_int_equal(policyd_configure(&(struct policyd_params){ .endpoints = &bad, .endpoint_count = 1 }, &g, &err), -EINVAL);
	assert_true(err.n > 0);
	buf_fini(&err);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_loop_start, fixture_loop_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stages), TEST(test_session), TEST(test_verdicts), TEST(test_deferred), TEST(test_deferred_session), TEST(test_edits), TEST(test_before_mail),
		TEST(test_dedupe), TEST(test_cache), TEST(test_cache_full), TEST(test_extras), TEST(test_worded), TEST(test_comes_back), TEST(test_utf8), TEST(test_garbage), TEST(test_closes_after_each), TEST(test_kept_connection_dies),
		TEST(test_hangs), TEST(test_refused), TEST(test_restarted), TEST(test_stays_away), TEST(test_failover), TEST(test_idle_and_ttl), TEST(test_request_limit), TEST(test_configure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
