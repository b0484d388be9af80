/*
 * test_smtpd.c: sessions of the server over a socket pair, with a script, a gate and a next hop written in C.
 *
 * A test is a conversation: "> text" is sent with CR LF, ">| text" as it is (\r \n \0 known), "< glob" is the next line
 * from the server, "<eof" its end.  What the script, the gate and the next hop saw is kept as one line of words.
 */
#include "smtpd/smtpd.h"

#include "delivery/delivery.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/run/stream.h"

#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* The world around one server. */
static struct world {
	struct smtpd *srv;
	struct smtpd_config config;
	struct stream *client;
	struct buf seen;                /* what script ("s:"), gate ("g:") and next hop ("h:") were asked */
	struct buf delivered;           /* the last message */
	struct buf logged;
	struct gate_verdict script[GATE_STAGES], gate[GATE_STAGES];
	bool accept_session, accept_message, gate_attached, drained;
	struct smtp_reply hop_prepare, hop_commit;
	const char *const *class_of;    /* pairs: address, class */
	struct smtp_reply defer_if_permit, defer_if_reject;     /* set by the script at RCPT */
} w;

static void saw(const char *who, const char *what)
{
	buf_printf(&w.seen, "%s%s:%s", w.seen.n ? " " : "", who, what);
}

/* ---- the next hop ---- */

static int hop_commit(struct delivery_group *g)
{
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	buf_clear(&w.delivered);
	while (mail_read(g->txn->mail, &at, 4096, &scratch, &piece) == 0 && piece.n)
		buf_add(&w.delivered, piece);
	buf_fini(&scratch);
	buf_printf(&w.seen, " h:commit(%u)", g->target_count);
	for (struct delivery_target *t = g->targets; t; t = t->group_next) {
		t->reply = w.hop_commit;
		t->delivered = smtp_reply_ok(&w.hop_commit);
	}
	return 0;
}

static int hop_prepare(struct delivery_group *g)
{
	saw("h", "prepare");
	for (struct delivery_target *t = g->targets; t; t = t->group_next)
		t->reply = w.hop_prepare;
	g->state = &w;
	g->committed = g->at_once;
	return g->at_once && smtp_reply_ok(&w.hop_prepare) ? hop_commit(g) : 0;
}

static void hop_rollback(struct delivery_group *g)
{
	g->state = NULL;
}

static const struct next_hop_ops hop_ops = {
	.kind = "test", .prepare = hop_prepare, .commit = hop_commit, .rollback = hop_rollback,
};
static const struct next_hop hop = { .ops = &hop_ops, .name = "hop", .connect_timeout = FOREVER, .command_timeout = FOREVER,
	.data_timeout = FOREVER };
static const struct next_hop *const hop_list[] = { &hop };

/* ---- the script ---- */

static void script_rcpt(struct smtpd_stage *io)
{
	struct gate_rcpt *rcpt = io->rcpt;
	if (!bytes_case_eq(rcpt->path.address.domain, BYTES("example.org")))
		return;
	struct delivery_target *t = ARENA_NEW(io->txn->arena, struct delivery_target);
	t->address = rcpt->path.address;
	t->hops = hop_list;
	t->hop_count = 1;
	t->rcpt = rcpt;
	rcpt->targets = t;
	for (const char *const *c = w.class_of; c && *c; c += 2)
		if (bytes_eq(rcpt->path.address.address, bytes_of(c[0])))
			rcpt->class = c[1];
	io->txn->defer_if_permit = w.defer_if_permit;
	io->txn->defer_if_reject = w.defer_if_reject;
}

static int gate_open(const struct gate *g, const struct gate_session *s, void **ret)
{
	(void)g, (void)s;
	saw("g", "open");
	*ret = &w;
	return 0;
}

static int gate_event(struct gate_call *call)
{
	saw("g", gate_stage_name(call->stage));
	call->verdict = w.gate[call->stage];
	return 0;
}

static void gate_abort(struct gate_call *call, bool committed)
{
	(void)call;
	saw("g", committed ? "committed" : "abort");
}

static void gate_close(void *context, bool quit)
{
	(void)context;
	saw("g", quit ? "quit" : "close");
}

static const struct gate_ops gate_kind = {
	.kind = "test", .open = gate_open, .event = gate_event, .abort = gate_abort, .close = gate_close, .stages = ~0u,
};
static const struct gate gate = { .ops = &gate_kind, .name = "gate", .total_timeout = FOREVER };

static int script_stage(const void *script, struct smtpd_stage *io)
{
	(void)script;
	saw("s", gate_stage_name(io->stage));
	if (io->stage == GATE_CONNECT && w.gate_attached)
		chain_attach(io->chain, &gate);
	if (io->stage == GATE_RCPT)
		script_rcpt(io);
	if (io->stage == GATE_RESULT)
		buf_printf(&w.seen, "(%u)", io->result->code);
	io->verdict = w.script[io->stage];
	io->accept_session = w.accept_session;
	io->accept_message = w.accept_message && io->txn;
	if (!*io->session_state)
		*io->session_state = mem_strdup("state");
	return 0;
}

static void script_session_end(const void *script, void *state)
{
	(void)script;
	mem_free(state);
}

static const struct smtpd_script_ops script_ops = { .stage = script_stage, .session_end = script_session_end };

/* ---- the client ---- */

static void client_connect(void)
{
	struct net_addr peer;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(net_addr_parse(BYTES("192.0.2.7"), 4711, &peer), 0);
	w.client = stream_new(fds[1]);
	smtpd_accept(w.srv, &w.config, fds[0], &peer);
}

TASK_FN static void client_send(const char *text)
{
	struct buf out = { 0 };
	for (; *text; text++) {
		static const char codes[] = "r\rn\n0\0";
		const char *code = *text == '\\' ? strchr(codes, text[1]) : NULL;
		buf_add_char(&out, code ? code[1] : *text);
		text += code != NULL;
	}
	stream_put(w.client, buf_bytes(&out));
	buf_fini(&out);
	assert_int_equal(stream_flush(w.client), 0);
}

TASK_FN static void client_expect(const char *want)
{
	struct bytes line;
	int r = stream_line(w.client, 4096, &line, NULL);
	if (strcmp(want, "eof") == 0) {
		assert_true(r == -ENODATA || r == -ECONNRESET);
		return;
	}
	if (r < 0)
		fail_msg("wanted \"%s\", got %s", want, strerror(-r));
	char *got = bytes_dup(line);
	if (fnmatch(want, got, 0) != 0)
		fail_msg("wanted \"%s\", got \"%s\"", want, got);
	mem_free(got);
}

/* What is wanted literally up to the reply's code and text. */
TASK_FN static void talk(const char *conversation)
{
	for (struct bytes rest = bytes_of(conversation), line; rest.p;) {
		line = bytes_cut(&rest, '\n');
		char *text = bytes_dup(line);
		if (strncmp(text, ">| ", 3) == 0) {
			client_send(text + 3);
		} else if (strncmp(text, "> ", 2) == 0) {
			client_send(text + 2);
			client_send("\\r\\n");
		} else if (*text == '<') {
			client_expect(text + 1 + (text[1] == ' '));
		} else {
			assert_string_equal(text, "");
		}
		mem_free(text);
	}
}

/* ---- a test: a function in a task ---- */

static void capture_log(void *arg, enum log_level level, struct bytes line)
{
	(void)arg, (void)level;
	buf_add(&w.logged, line);
	buf_add_char(&w.logged, '\n');
}

static void (*test_body)(void) TASK_PTR;

static void test_drained(void *arg)
{
	(void)arg;
	w.drained = true;
}

TASK_ENTRY static void test_task(struct world *world)
{
	(void)world;
	test_body();
	stream_close(&w.client);
	smtpd_drain(w.srv, test_drained, NULL);
	while (smtpd_live(w.srv))
		task_yield();
	assert_true(w.drained);
	run_stop();
}

static void world_begin(void)
{
	struct smtpd_params params = { 0 };
	struct delivery_settings settings = { 0 };
	struct buf err = { 0 };
	memset(&w, 0, sizeof w);
	log_capture(capture_log, NULL);
	assert_int_equal(run_init(), 0);
	run_clock_test(1763834400);
	assert_int_equal(delivery_init(&settings, &err), 0);
	w.srv = smtpd_new(&params);
	smtpd_config_defaults(&w.config);
	w.config.name = "test";
	w.config.hostname = "mx.test";
	w.config.spool = "/tmp";
	w.config.client_names = false;
	w.config.script = (struct smtpd_script){ .ops = &script_ops };
	w.gate_attached = true;
	w.hop_prepare = SMTP_REPLY(250, "2.0.0", "prepared");
	w.hop_commit = SMTP_REPLY(250, "2.0.0", "stored");
}

/* BODY runs in a task. */
TASK_ENTRY static void world_run(void (*body)(void))
{
	struct task_group g;
	test_body = body;
	task_group_init(&g);
	task_spawn(&g, "test", test_task, &w);
	run_loop();
	smtpd_free(&w.srv);
	delivery_fini();
	run_fini();
	log_capture(NULL, NULL);
	buf_fini(&w.seen);
	buf_fini(&w.delivered);
	buf_fini(&w.logged);
}

/* What was asked since the last look. */
static void assert_seen(const char *want)
{
	assert_string_equal(buf_str(&w.seen), want);
	buf_clear(&w.seen);
}

TASK_FN static void begin(void)
{
	client_connect();
	talk("< 220 mx.test ESMTP gatepost\n> EHLO a.test\n< 250-mx.test\n< 250-PIPELINING\n< 250-SIZE 52428800\n< 250-VRFY\n"
	     "< 250-ENHANCEDSTATUSCODES\n< 250-8BITMIME\n< 250-DSN\n< 250-SMTPUTF8\n< 250-CHUNKING\n< 250-BINARYMIME\n"
	     "< 250 LIMITS RCPTMAX=1000");
}

/* Everybody else has done what there was to do. */
TASK_FN static void settle(void)
{
	for (unsigned i = 0; i < 20; i++)
		task_yield();
}

TASK_FN static void clock_on(int64_t ns)
{
	settle();
	run_clock_advance(ns);
	assert_int_equal(task_sleep(ns), 0);
	settle();
}

/* ---- order of the questions ---- */

TASK_FN static void order(void)
{
	begin();
	assert_seen("s:connect g:open g:connect s:ehlo g:ehlo");
	talk("> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n> RCPT TO:<u@example.org>\n< 250 2.1.5 Ok");
	assert_seen("s:mail g:mail s:rcpt g:rcpt");
	talk("> DATA\n< 354 End data with <CR><LF>.<CR><LF>\n> Subject: x\n> \n> ..dot\n> .\n< 250 2.0.0 stored\n> QUIT\n< 221 2.0.0 Bye\n<eof");
	assert_seen("s:data g:data g:message s:message h:prepare h:commit(1) s:result(250) g:committed g:quit");
	assert_non_null(strstr(buf_str(&w.delivered), "\r\nSubject: x\r\n\r\n.dot\r\n"));
	assert_non_null(strstr(buf_str(&w.delivered), "Received: from a.test (unknown [192.0.2.7])\r\n\tby mx.test (gatepost) with ESMTP id "));
	assert_non_null(strstr(buf_str(&w.delivered), "\r\n\tfor <u@example.org>; Sat, 22 Nov 2025 "));
	assert_non_null(strstr(buf_str(&w.logged), "event=transaction"));
}

TASK_FN static void pipelined(void)
{
	begin();
	buf_clear(&w.seen);
	talk(">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nRCPT TO:<x@elsewhere.test>\\r\\nDATA\\r\\n\n"
	     "< 250 2.1.0 Ok\n< 250 2.1.5 Ok\n< 554 5.7.1 <x@elsewhere.test>: Relay access denied\n< 354 *\n>| .\\r\\nRSET\\r\\nQUIT\\r\\n\n"
	     "< 250 2.0.0 stored\n< 250 2.0.0 Ok\n< 221 *\n<eof");
	assert_seen("s:mail g:mail s:rcpt g:rcpt s:rcpt s:data g:data g:message s:message h:prepare h:commit(1) s:result(250) "
		    "g:committed g:quit");
}

/* ---- refusals ---- */

static void setup_connect_554(void)
{
	w.gate[GATE_CONNECT] = (struct gate_verdict){ .action = GATE_REJECT, .reply = SMTP_REPLY(550, "5.7.1", "go away") };
}

TASK_FN static void connect_554(void)
{
	client_connect();
	talk("< 554 mx.test ESMTP not accepting connections\n> EHLO a.test\n< 250-mx.test\n< 250 ENHANCEDSTATUSCODES\n"
	     "> MAIL FROM:<a@b.test>\n< 550 5.7.1 go away\n> VRFY x\n< 550 5.7.1 go away\n> NOOP\n< 250 *\n> QUIT\n< 221 *\n<eof");
	assert_seen("s:connect g:open g:connect g:quit");
}

static void setup_connect_4xx(void)
{
	w.script[GATE_CONNECT].action = GATE_TEMPFAIL;
}

TASK_FN static void connect_4xx(void)
{
	client_connect();
	talk("< 220 *\n> HELO a.test\n< 250 mx.test\n> MAIL FROM:<a@b.test>\n< 451 4.7.1 Service unavailable - try again later\n"
	     "> QUIT\n< 221 *\n<eof");
}

static void setup_connect_421(void)
{
	w.gate[GATE_CONNECT].action = GATE_DISCONNECT;
}

TASK_FN static void connect_421(void)
{
	client_connect();
	talk("< 421 4.7.0 *\n<eof");
}

static void setup_ehlo_refused(void)
{
	w.gate[GATE_EHLO].action = GATE_REJECT;
}

TASK_FN static void ehlo_refused(void)
{
	client_connect();
	talk("< 220 *\n> HELO a.test\n< 250 mx.test\n> MAIL FROM:<a@b.test>\n< 550 5.7.1 Command rejected\n> HELO b.test\n< 250 *\n"
	     "> MAIL FROM:<a@b.test>\n< 550 5.7.1 Command rejected");
}

static void setup_mail_refused(void)
{
	w.script[GATE_MAIL].action = GATE_REJECT;
}

TASK_FN static void mail_refused(void)
{
	begin();
	buf_clear(&w.seen);
	talk("> MAIL FROM:<a@b.test>\n< 550 5.7.1 Command rejected\n> MAIL FROM:<a@b.test>\n< 550 *");
	assert_seen("s:mail g:abort s:mail g:abort");
	w.script[GATE_MAIL].action = GATE_CONTINUE;
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> MAIL FROM:<b@b.test>\n< 503 5.5.1 Error: nested MAIL command");
}

static void setup_data_refused(void)
{
	w.gate[GATE_DATA].action = GATE_TEMPFAIL;
}

TASK_FN static void data_refused(void)
{
	begin();
	talk("> DATA\n< 503 5.5.1 Error: need RCPT command\n> MAIL FROM:<a@b.test>\n< 250 *\n> DATA\n< 554 5.5.1 Error: no valid recipients\n"
	     "> RCPT TO:<u@example.org>\n< 250 *\n> DATA\n< 451 4.7.1 *\n> MAIL FROM:<b@b.test>\n< 503 *\n> RSET\n< 250 *\n"
	     "> MAIL FROM:<a@b.test>\n< 250 *");
}

static void setup_message_refused(void)
{
	w.gate[GATE_MESSAGE].action = GATE_REJECT;
}

TASK_FN static void message_refused(void)
{
	begin();
	buf_clear(&w.seen);
	talk(">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n> x: y\n> .\n< 550 5.7.1 *\n"
	     "> MAIL FROM:<b@b.test>\n< 250 *");
	assert_seen("s:mail g:mail s:rcpt g:rcpt s:data g:data g:message s:result(550) g:abort s:mail g:mail");
}

static void setup_hop_refuses(void)
{
	w.hop_prepare = SMTP_REPLY(550, "5.1.1", "no such user");
}

TASK_FN static void hop_refuses(void)
{
	begin();
	talk(">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n> .\n< 550 5.1.1 no such user");
}

static void setup_classes(void)
{
	static const char *const classes[] = { "a@example.org", "strict", NULL };
	w.class_of = classes;
}

TASK_FN static void classes(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> RCPT TO:<a@example.org>\n< 452 4.5.3 *\n"
	     "> RCPT TO:<v@example.org>\n< 250 *");
}

/* ---- DEFER_IF_PERMIT, DEFER_IF_REJECT, discard, accept ---- */

static void setup_defer_if_permit(void)
{
	w.defer_if_permit = SMTP_REPLY(450, "4.7.1", "greylisted");
}

TASK_FN static void defer_if_permit(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 450 4.7.1 greylisted\n"
	     "> RCPT TO:<u@elsewhere.test>\n< 554 5.7.1 *Relay access denied");
	w.defer_if_permit.code = 0;
	talk("> RCPT TO:<u@example.org>\n< 250 *");
}

static void setup_defer_if_reject(void)
{
	w.defer_if_reject = SMTP_REPLY(450, "4.7.1", "not sure");
	w.script[GATE_RCPT].action = GATE_REJECT;
}

TASK_FN static void defer_if_reject(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 450 4.7.1 not sure");
}

static void setup_discard_message(void)
{
	w.gate[GATE_MAIL].action = GATE_DISCARD;
}

TASK_FN static void discard_message(void)
{
	begin();
	buf_clear(&w.seen);
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<x@elsewhere.test>\n< 250 *\n> DATA\n< 354 *\n> .\n< 250 2.0.0 Ok");
	assert_seen("s:mail g:mail s:result(250) g:committed");
	assert_int_equal(smtpd_counters(w.srv)->discarded, 1);
}

static void setup_discard_recipient(void)
{
	w.script[GATE_RCPT].action = GATE_DISCARD;
}

TASK_FN static void discard_recipient(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<x@example.org>\n< 250 *");
	w.script[GATE_RCPT].action = GATE_CONTINUE;
	talk("> RCPT TO:<u@example.org>\n< 250 *\n> RCPT TO:<v@example.org>\n< 250 *");
	buf_clear(&w.seen);
	talk("> DATA\n< 354 *\n> .\n< 250 2.0.0 *");
	assert_seen("s:data g:data g:message s:message h:prepare h:commit(2) s:result(250) g:committed");
}

static void setup_accept_session(void)
{
	w.accept_session = true;
}

TASK_FN static void accept_session(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<x@elsewhere.test>\n< 554 5.7.1 *Relay access denied\n> RCPT TO:<u@example.org>\n< 250 *\n"
	     "> DATA\n< 354 *\n> .\n< 250 2.0.0 stored");
	assert_seen("s:connect s:rcpt s:rcpt h:prepare h:commit(1) s:result(250)");
}

/* ---- the other ways a transaction ends ---- */

TASK_FN static void ehlo_resets(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n");
	buf_clear(&w.seen);
	talk("> HELO b.test\n< 250 *\n> RCPT TO:<u@example.org>\n< 503 5.5.1 Error: need MAIL command");
	assert_seen("s:ehlo g:ehlo g:abort");
}

TASK_FN static void vanish_in_envelope(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *");
	buf_clear(&w.seen);
	stream_close(&w.client);
	settle();
	assert_seen("g:abort g:quit");
	assert_int_equal(smtpd_live(w.srv), 0);
}

TASK_FN static void vanish_in_content(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> DATA\n< 354 *\n> Subject: half");
	buf_clear(&w.seen);
	stream_close(&w.client);
	settle();
	assert_seen("g:abort g:quit");
}

TASK_FN static void timeout(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *");
	clock_on(SECONDS(301));
	talk("< 421 4.4.2 mx.test Error: timeout exceeded\n<eof");
}

TASK_FN static void slow_content(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> DATA\n< 354 *");
	for (unsigned i = 0; i < 3; i++) {
		talk("> x");
		clock_on(SECONDS(50));
	}
	clock_on(SECONDS(50));
	talk("< 421 4.4.2 *\n<eof");
}

TASK_FN static void drain(void)
{
	begin();
	struct stream *idle = w.client;
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *");
	smtpd_drain(w.srv, test_drained, NULL);
	struct stream *busy = w.client;
	w.client = idle;
	talk("< 421 4.3.2 mx.test Service shutting down, try again later\n<eof");
	stream_close(&w.client);
	w.client = busy;
	assert_false(w.drained);
	talk("> DATA\n< 354 *\n> .\n< 250 2.0.0 stored");
	clock_on(MS(20));       /* it looks whether that was read */
	talk("< 421 4.3.2 *\n<eof");
	settle();
	assert_true(w.drained);
}

TASK_FN static void cancel(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *");
	smtpd_cancel(w.srv);
	talk("< 421 4.3.2 *\n<eof");
	settle();
	assert_int_equal(smtpd_live(w.srv), 0);
}

/* ---- a client that does not keep to the rules ---- */

TASK_FN static void bare_lf(void)
{
	begin();
	talk(">| NOOP\\n\n< 550 5.5.2 mx.test Error: bare <LF> received\n"
	     ">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n"
	     ">| x\\n.\\nMAIL FROM:<smuggled@b.test>\\r\\n.\\r\\n\n< 550 5.5.2 mx.test Error: bare <LF> received\n> NOOP\n< 250 *");
	assert_int_equal(w.delivered.n, 0);
}

static void setup_bare_lf_normalized(void)
{
	w.config.bare_newline = SMTP_BARE_NORMALIZE;
}

TASK_FN static void bare_lf_normalized(void)
{
	begin();
	talk(">| NOOP\\n\n< 250 *\n"
	     ">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n"
	     ">| \\r\\nx\\n.\\nMAIL FROM:<smuggled@b.test>\\r\\n.\\r\\n\n< 250 2.0.0 stored\n> NOOP\n< 250 *");
	assert_non_null(strstr(buf_str(&w.delivered), "\r\nx\r\n\r\nMAIL FROM:<smuggled@b.test>\r\n"));
}

TASK_FN static void early_talker(void)
{
	struct net_addr peer;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(net_addr_parse(BYTES("192.0.2.7"), 4711, &peer), 0);
	w.client = stream_new(fds[1]);
	client_send("EHLO a.test\\r\\n");
	smtpd_accept(w.srv, &w.config, fds[0], &peer);
	talk("< 554 5.5.0 Error: SMTP protocol synchronization\n<eof");
	assert_seen("s:connect g:open g:connect g:quit");
}

TASK_FN static void synchronization(void)
{
	begin();
	talk(">| EHLO a.test\\r\\nMAIL FROM:<a@b.test>\\r\\n\n< 554 5.5.0 *\n<eof");
	stream_close(&w.client);
	client_connect();
	talk("< 220 *\n> HELO a.test\n< 250 *\n>| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\n\n< 554 5.5.0 *\n<eof");
}

TASK_FN static void malformed(void)
{
	begin();
	talk(">| NO\\0OP\\r\\n\n< 500 5.5.2 Error: bad syntax\n>| \\r\\n\n< 500 5.5.2 Error: bad syntax\n>| NOOP\\rx\\r\\n\n< 550 5.5.2 *bare <CR>*\n"
	     "> FOO bar\n< 500 5.5.2 Error: command not recognized\n> RSET now\n< 501 5.5.4 Syntax: RSET\n> NOOP\n< 250 *");
	struct buf line = { 0 };
	for (unsigned i = 0; i < 5000; i++)
		buf_add_char(&line, 'x');
	client_send(buf_str(&line));
	client_send("\\r\\nNOOP\\r\\n");
	buf_fini(&line);
	talk("< 500 5.5.2 Error: command line too long\n< 250 2.0.0 Ok\n> GET / HTTP/1.0\n< 221 2.7.0 Error: I can break rules, too. Goodbye.\n<eof");
}

TASK_FN static void too_many_errors(void)
{
	begin();
	for (unsigned i = 0; i < 10; i++)
		talk("> FOO\n< 500 *");
	int64_t began = run_now();
	for (unsigned i = 10; i < 19; i++) {
		client_send("FOO\\r\\n");
		clock_on(SECONDS(1));
		talk("< 500 *");
	}
	assert_int_equal(run_now() - began, SECONDS(9));
	client_send("FOO\\r\\n");
	clock_on(SECONDS(1));
	talk("< 500 *\n< 421 4.7.0 mx.test Error: too many errors\n<eof");
}

static void setup_junk(void)
{
	w.config.junk_max = 3;
}

TASK_FN static void junk(void)
{
	begin();
	for (unsigned i = 0; i < 12; i++)
		talk("> NOOP\n< 250 *");
	client_send("NOOP\\r\\n");
	clock_on(SECONDS(1));
	talk("< 250 *");
}

/* ---- limits ---- */

static void setup_size(void)
{
	w.config.size_max = 100;
}

TASK_FN static void size(void)
{
	client_connect();
	talk("< 220 *\n> EHLO a.test\n< 250-mx.test\n< 250-PIPELINING\n< 250-SIZE 100\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n"
	     "< 250-*\n< 250-*\n< 250 *\n> MAIL FROM:<a@b.test> SIZE=101\n< 552 5.3.4 Message size exceeds fixed limit\n"
	     "> MAIL FROM:<a@b.test> SIZE=100\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> DATA\n< 354 *");
	for (unsigned i = 0; i < 20; i++)
		talk("> 1234567890");
	talk("> .\n< 552 5.3.4 Error: message file too big\n> NOOP\n< 250 *");
	assert_int_equal(w.delivered.n, 0);
}

static void setup_spool_fails(void)
{
	w.config.spool = "/nonexistent";
	w.config.memory_max = 10;
}

TASK_FN static void spool_fails(void)
{
	begin();
	talk(">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n"
	     "> \n> more than ten bytes\n> and more\n> .\n< 451 4.3.0 Error: queue file write error\n> NOOP\n< 250 *");
	assert_int_equal(w.delivered.n, 0);
	assert_non_null(strstr(buf_str(&w.logged), "event=spool"));
}

static void setup_hops(void)
{
	w.config.hops_max = 2;
}

TASK_FN static void hops(void)
{
	begin();
	talk(">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n"
	     "> Received: 1\n> Received: 2\n> Received: 3\n> \n> .\n< 554 5.4.0 Error: too many hops\n"
	     ">| MAIL FROM:<a@b.test>\\r\\nRCPT TO:<u@example.org>\\r\\nDATA\\r\\n\n< 250 *\n< 250 *\n< 354 *\n"
	     "> Received: 1\n> Received: 2\n> \n> .\n< 250 *");
}

static void setup_rcpt_max(void)
{
	w.config.rcpt_max = 1;
}

TASK_FN static void rcpt_max(void)
{
	client_connect();
	talk("< 220 *\n> HELO a\n< 250 *\n> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> RCPT TO:<v@example.org>\n"
	     "< 452 4.5.3 Error: too many recipients");
}

/* ---- BDAT ---- */

TASK_FN static void bdat(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n");
	buf_clear(&w.seen);
	talk(">| BDAT 13\\r\\nSubject: x\\r\\n\\nBDAT 0\\r\\nBDAT 5 LAST\\r\\nbo\\ndyQUIT\\r\\n\n"
	     "< 250 2.0.0 Ok: 13 bytes\n< 250 2.0.0 Ok: 0 bytes\n< 250 2.0.0 stored\n< 221 *\n<eof");
	assert_seen("s:data g:data g:message s:message h:prepare h:commit(1) s:result(250) g:committed g:quit");
	assert_non_null(strstr(buf_str(&w.delivered), "\r\nSubject: x\r\n\r\nbo\r\ndy"));
}

static void setup_bdat_errors(void)
{
	w.config.size_max = 10;
}

TASK_FN static void bdat_errors(void)
{
	client_connect();
	talk("< 220 *\n> HELO a\n< 250 *\n>| BDAT 6 LAST\\r\\nQUIT\\r\\n\n< 503 5.5.1 Error: need RCPT command\n> MAIL FROM:<a@b.test>\n< 250 *\n"
	     ">| BDAT 6\\r\\nQUIT\\r\\n\n< 554 5.5.1 Error: no valid recipients\n> RCPT TO:<u@example.org>\n< 503 5.5.1 Error: RCPT after BDAT\n"
	     ">| BDAT 6 LAST\\r\\nQUIT\\r\\n\n< 554 5.5.1 *\n> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n"
	     ">| BDAT 6\\r\\nQUIT\\r\\n\n< 250 *\n> DATA\n< 503 5.5.1 Error: DATA after BDAT\n> RCPT TO:<v@example.org>\n< 503 *\n"
	     ">| BDAT 6\\r\\nQUIT\\r\\n\n< 552 5.3.4 *\n>| BDAT 6 LAST\\r\\nQUIT\\r\\n\n< 552 5.3.4 *\n> MAIL FROM:<b@b.test>\n< 250 *\n> BDAT x\n"
	     "< 501 5.5.4 Syntax: BDAT count *\n<eof");
	assert_int_equal(w.delivered.n, 0);
}

TASK_FN static void binarymime(void)
{
	begin();
	talk("> MAIL FROM:<a@b.test> BODY=BINARYMIME\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> DATA\n< 503 5.5.1 *needs BDAT\n"
	     ">| BDAT 8 LAST\\r\\n\\r\\n\\0\\n\\r\\0x\\n\n< 250 2.0.0 stored");
	assert_memory_equal(w.delivered.p + w.delivered.n - 8, "\r\n\0\n\r\0x\n", 8);
}

/* ---- LMTP ---- */

static void setup_lmtp(void)
{
	w.config.lmtp = true;
}

TASK_FN static void lmtp(void)
{
	client_connect();
	talk("< 220 mx.test LMTP gatepost\n> EHLO a\n< 500 *\n> LHLO a\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n< 250-*\n"
	     "< 250-*\n< 250-*\n< 250 *\n> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> RCPT TO:<x@elsewhere.test>\n"
	     "< 554 *\n> RCPT TO:<v@example.org>\n< 250 *\n> DATA\n< 354 *\n> .\n< 250 2.0.0 stored\n< 250 2.0.0 stored\n> RSET\n< 250 2.0.0 Ok");
	w.gate[GATE_MESSAGE].action = GATE_REJECT;
	talk("> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> RCPT TO:<v@example.org>\n< 250 *\n> DATA\n< 354 *\n> .\n"
	     "< 550 5.7.1 *\n< 550 5.7.1 *\n> RSET\n< 250 2.0.0 Ok");
}

/* ---- XCLIENT ---- */

static void setup_xclient(void)
{
	static struct net_cidr trusted;
	assert_int_equal(net_cidr_parse(BYTES("192.0.2.0/24"), &trusted, NULL), 0);
	w.config.xclient = &trusted;
	w.config.xclient_count = 1;
}

TASK_FN static void xclient(void)
{
	client_connect();
	talk("< 220 *\n> XCLIENT NAME=client.test ADDR=198.51.100.9 HELO=c.test FOO=1\n< 501 5.5.4 Bad XCLIENT attribute name: FOO\n"
	     "> XCLIENT ADDR=198.51.100.999\n< 501 5.5.4 Bad XCLIENT ADDR syntax: *\n"
	     "> XCLIENT NAME=client.test ADDR=198.51.100.9 LOGIN=joe\n< 220 mx.test *\n");
	assert_seen("s:connect g:open g:connect g:quit s:connect g:open g:connect");
	talk("> HELO c.test\n< 250 *\n> MAIL FROM:<a@b.test>\n< 250 *\n> RCPT TO:<u@example.org>\n< 250 *\n> DATA\n< 354 *\n> .\n< 250 *");
	assert_non_null(strstr(buf_str(&w.delivered), "Received: from c.test (client.test [198.51.100.9])\r\n\t(Authenticated sender: joe)\r\n"));
}

TASK_FN static void xclient_forbidden(void)
{
	begin();
	talk("> XCLIENT ADDR=198.51.100.9\n< 550 5.7.0 Error: insufficient authorization");
}

/* ---- all of them ---- */

struct scenario {
	const char *name;
	void (*setup)(void);    /* before the server begins */
	void (*body)(void) TASK_PTR;
};
#define PLAIN(x) { #x, NULL, x }
#define WITH_SETUP(x) { #x, setup_##x, x }
static struct scenario scenarios[] = {
	PLAIN(order),
	PLAIN(pipelined),
	WITH_SETUP(connect_554),
	WITH_SETUP(connect_4xx),
	WITH_SETUP(connect_421),
	WITH_SETUP(ehlo_refused),
	WITH_SETUP(mail_refused),
	WITH_SETUP(data_refused),
	WITH_SETUP(message_refused),
	WITH_SETUP(hop_refuses),
	WITH_SETUP(classes),
	WITH_SETUP(defer_if_permit),
	WITH_SETUP(defer_if_reject),
	WITH_SETUP(discard_message),
	WITH_SETUP(discard_recipient),
	WITH_SETUP(accept_session),
	PLAIN(ehlo_resets),
	PLAIN(vanish_in_envelope),
	PLAIN(vanish_in_content),
	PLAIN(timeout),
	PLAIN(slow_content),
	PLAIN(drain),
	PLAIN(cancel),
	PLAIN(bare_lf),
	WITH_SETUP(bare_lf_normalized),
	PLAIN(early_talker),
	PLAIN(synchronization),
	PLAIN(malformed),
	PLAIN(too_many_errors),
	WITH_SETUP(junk),
	WITH_SETUP(size),
	WITH_SETUP(spool_fails),
	WITH_SETUP(hops),
	WITH_SETUP(rcpt_max),
	PLAIN(bdat),
	WITH_SETUP(bdat_errors),
	PLAIN(binarymime),
	WITH_SETUP(lmtp),
	WITH_SETUP(xclient),
	PLAIN(xclient_forbidden),
};

TASK_ENTRY static void test_scenario(void **state)
{
	const struct scenario *s = *state;
	alarm(60);
	world_begin();
	if (s->setup)
		s->setup();
	world_run(s->body);
}

int main(void)
{
	/* cmocka leaves a failed test by longjmp(), which cannot lead out of a task's stack. */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	struct CMUnitTest tests[COUNT_OF(scenarios)] = { 0 };
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		tests[i].name = scenarios[i].name;
		tests[i].test_func = test_scenario;
		tests[i].initial_state = &scenarios[i];
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
