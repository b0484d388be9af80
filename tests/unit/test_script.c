/*
 * test_script.c: vnd.gatepost.mta: what scripts tell the server at each stage, and which are an open relay.
 */
#include "tests/unit/txn_fixture.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/script.h"
#include "tcp_table/table_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MTA "require [\"vnd.gatepost.mta\", \"envelope\", \"variables\", \"extlists\", \"ereject\", \"relational\", \"editheader\"];\n"
#define RCPT(block) MTA "stage \"rcpt\" { " block " }"

/* ---- what the configuration defines: gates ---- */

static struct buf asked;                /* "greylist:rcpt:<a@b> " */

TASK_FN static int gate_open(const struct gate *g, const struct gate_session *s, void **ret_context)
{
	(void)s;
	*ret_context = (void *)(uintptr_t)g;
	return 0;
}

TASK_FN static void gate_close(void *context, bool quit)
{
	(void)context;
	(void)quit;
}

TASK_FN static int gate_event(struct gate_call *call)
{
	buf_printf(&asked, "%s:%s%s%.*s ", call->gate->name, gate_stage_name(call->stage), call->rcpt ? ":" : "",
	    call->rcpt ? (int)call->rcpt->path.raw.n : 0, call->rcpt ? call->rcpt->path.raw.p : "");
	if (strcmp(call->gate->name, "greylist") == 0)
		call->verdict = (struct gate_verdict){ .action = GATE_TEMPFAIL, .reply = SMTP_REPLY(450, "4.2.0", "Greylisted"), .answer = "DEFER Greylisted" };
	else
		call->verdict = (struct gate_verdict){ .action = GATE_ACCEPT, .answer = "OK" };
	return 0;
}

static const struct gate_ops milter_kind = { .kind = "milter", .open = gate_open, .close = gate_close, .event = gate_event, .stages = ~0u };
static const struct gate_ops policy_kind = { .kind = "policy", .open = gate_open, .close = gate_close, .event = gate_event, .stages = ~0u };
static const struct gate gates[] = {
	{ .ops = &milter_kind, .name = "rspamd", .total_timeout = FOREVER },
	{ .ops = &policy_kind, .name = "greylist", .total_timeout = FOREVER },
	{ .ops = &policy_kind, .name = "friendly", .total_timeout = FOREVER },
};

static const struct gate *find_gate(void *arg, struct bytes name)
{
	(void)arg;
	for (unsigned i = 0; i < COUNT_OF(gates); i++)
		if (bytes_eq(name, bytes_of(gates[i].name)))
			return &gates[i];
	return NULL;
}

/* ---- tables ---- */

static int broken_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)spec;
	(void)o;
	(void)err;
	*ret_state = NULL;
	return 0;
}

static void broken_close(void *state)
{
	(void)state;
}

TASK_FN static int broken_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	(void)state;
	(void)key;
	(void)ret;
	buf_add_str(err, "nobody there");
	return -EIO;
}

static const struct table_ops broken_kind = { .type = "broken", .open = broken_open, .close = broken_close, .ask = broken_ask };
static const struct table_ops *const kinds[] = { &table_inline, &broken_kind, NULL };
static struct {
	const char *name, *map;
	struct table *table;
} tables[] = {
	{ "domains", "inline:{example.org=1, example.net=1}", NULL },
	{ "aliases", "inline:{ alias@example.org=user1@example.org, { list@example.org = user1@example.org, user2@example.org user3 },"
		" { self@example.org = self@example.org, user2@example.org }, loop1@example.org=loop2@example.org, loop2@example.org=loop1@example.org,"
		" only@example.org=only@example.org, { twoself@example.org = back@example.org, twoself@example.org }, back@example.org=twoself@example.org,"
		" out@example.org=someone@elsewhere.test, cmd@example.org=|/bin/cat, other@example.org=@example.net, deep@example.org=list@example.org,"
		" { mixed@example.org = user1@example.org, spam@example.org }, { dropped@example.org = drop@example.org, user1@example.org },"
		" { alldropped@example.org = drop@example.org } }", NULL },
	{ "virtual", "inline:{ user@example.org=other@example.net, { list@example.org = a, b@example.net, self@example.org },"
		" self@example.org=self@example.org, Case@example.org=CASE@example.org, ring1@example.org=ring2@example.org, ring2@example.org=ring1@example.org,"
		" moved@example.org=@example.net, @example.net=sink@example.net, sink@example.net=sink@example.net, local=here@example.org,"
		" @example.com=@example.org }", NULL },
	{ "canonical", "inline:{ a@example.net=b@example.net, b@example.net=c@example.net, c@example.net=c@example.net, self@example.net=self@example.net,"
		" { two@example.net = d@example.net, e@example.net }, @old.test=@new.test, ring1@x.test=ring2@x.test, ring2@x.test=ring1@x.test }", NULL },
	{ "keys", "inline:{ test=top, .example.org=sub, example.org=exact, u@=user, u=local, 192.0.2=net, *=any }", NULL },
	{ "scores", "inline:{a@example.net=7, b@example.net=30}", NULL },
	{ "broken", "broken:x", NULL },
};

static struct table *find_table(void *arg, struct bytes name)
{
	(void)arg;
	for (unsigned i = 0; i < COUNT_OF(tables); i++)
		if (bytes_eq(name, bytes_of(tables[i].name)))
			return tables[i].table;
	return NULL;
}

/* ---- next hops ---- */

static const struct next_hop_ops hop_kind = { .kind = "lmtp" };
static const struct next_hop hops[] = { { .ops = &hop_kind, .name = "local" }, { .ops = &hop_kind, .name = "backup" }, { .ops = &hop_kind, .name = "archive" } };

static const struct next_hop *find_hop(void *arg, struct bytes name)
{
	(void)arg;
	for (unsigned i = 0; i < COUNT_OF(hops); i++)
		if (bytes_eq(name, bytes_of(hops[i].name)))
			return &hops[i];
	return NULL;
}

static const char *candidate(void *arg, enum script_name_kind kind, unsigned i)
{
	(void)arg;
	switch (kind) {
	case SCRIPT_GATE: return i < COUNT_OF(gates) ? gates[i].name : NULL;
	case SCRIPT_TABLE: return i < COUNT_OF(tables) ? tables[i].name : NULL;
	default: return i < COUNT_OF(hops) ? hops[i].name : NULL;
	}
}

static const struct script_names names = { .gate = find_gate, .table = find_table, .next_hop = find_hop, .candidate = candidate };

static void capture(void *arg, enum log_level level, struct bytes line)
{
	(void)level;
	buf_add(arg, line);
	buf_add_char(arg, '\n');
}
static struct buf logged;

static int setup(void **state)
{
	if (fixture_loop_start(state) < 0)
		return -1;
	log_capture(capture, &logged);
	for (unsigned i = 0; i < COUNT_OF(tables); i++) {
		struct table_options o = { 0 };
		struct buf err = { 0 };
		int r = table_open(kinds, bytes_of(tables[i].map), &o, tables[i].name, &tables[i].table, &err);
		if (r < 0)
			print_error("%s\n", buf_str(&err));
		buf_fini(&err);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < COUNT_OF(tables); i++)
		table_close(&tables[i].table);
	buf_fini(&asked);
	buf_fini(&logged);
	log_capture(NULL, NULL);
	return fixture_loop_stop(state);
}

/* ---- a play: one session through the stages ---- */

struct play {
	const char *source;
	const char *from, *to;          /* arguments of MAIL and RCPT; NULL: a@example.net, user@example.org */
	const char *auth;               /* user; NULL */
	const struct tls_info *tls;
	struct buf answer;              /* of the stages, one line each that did not just go on */
	struct buf header;
	struct script *script;
	struct fixture f;
	void *state;
};

static void tell(struct play *p, const struct smtpd_stage *io)
{
	static const char *const actions[] = { "", "accept", "reject", "tempfail", "discard", "disconnect" };
	const struct gate_verdict *v = &io->verdict;
	if (v->action != GATE_CONTINUE || (io->rcpt && !io->rcpt->targets))
		buf_printf(&p->answer, "%s: %s", gate_stage_name(io->stage), v->action ? actions[v->action] : "nowhere");
	if (v->reply.code)
		buf_printf(&p->answer, " %u %s %s", v->reply.code, v->reply.enhanced, v->reply.text);
	if (v->action != GATE_CONTINUE || (io->rcpt && !io->rcpt->targets))
		buf_add_str(&p->answer, "\n");
	for (const struct delivery_target *t = io->rcpt ? io->rcpt->targets : NULL; t; t = t->next) {
		buf_printf(&p->answer, "to %.*s by", BYTES_ARG(t->address.address));
		for (unsigned i = 0; i < t->hop_count; i++)
			buf_printf(&p->answer, " %s", t->hops[i]->name);
		buf_printf(&p->answer, "%s%s\n", t->queue ? " queue" : "", t->verify ? " verify" : "");
	}
}

/* True: the session goes on. */
TASK_FN static bool play_stage(struct play *p, enum gate_stage stage, struct gate_rcpt *rcpt)
{
	static const struct smtp_reply done = { .code = 250, .enhanced = "2.0.0", .text = "Saved" };
	struct smtpd_stage io = {
		.stage = stage, .session = &p->f.session, .chain = &p->f.chain, .txn = stage >= GATE_MAIL ? &p->f.txn : NULL, .rcpt = rcpt,
		.result = stage == GATE_RESULT ? &done : NULL, .session_state = &p->state,
	};
	assert_int_equal(script_ops.stage(p->script, &io), 0);
	tell(p, &io);
	if (rcpt && rcpt->class)
		buf_printf(&p->answer, "class %s\n", rcpt->class);
	return io.verdict.action <= GATE_ACCEPT && (!rcpt || rcpt->targets);
}

static const char content[] = "From: a@example.net\r\nSubject: hello\r\nX-Spam-Score: 17\r\n\r\nbody\r\n";

TASK_FN static void play_transaction(struct play *p)
{
	fixture_mail(&p->f, p->from ? p->from : "FROM:<a@example.net> SIZE=1234");
	if (!play_stage(p, GATE_MAIL, NULL))
		return;
	struct gate_rcpt *rcpt = fixture_rcpt_new(&p->f, p->to ? p->to : "TO:<user@example.org>");
	if (!play_stage(p, GATE_RCPT, rcpt))
		return;
	list_append(&p->f.txn.rcpts, &rcpt->link);
	if (!play_stage(p, GATE_DATA, NULL))
		return;
	fixture_content(&p->f, bytes_make(content, sizeof content - 1));
	if (play_stage(p, GATE_MESSAGE, NULL))
		(void)play_stage(p, GATE_RESULT, NULL);
	if (p->f.txn.held)
		buf_printf(&p->answer, "held: %s\n", p->f.txn.hold_reason);
	fixture_message(&p->f, &p->header);
}

TASK_ENTRY static void play_task(void *arg)
{
	struct play *p = arg;
	p->f.session.auth_user = p->auth;
	p->f.session.auth_mechanism = p->auth ? "PLAIN" : NULL;
	p->f.session.tls = p->tls;
	if (play_stage(p, GATE_CONNECT, NULL) && play_stage(p, GATE_EHLO, NULL)) {
		play_transaction(p);
		fixture_txn_fini(&p->f);
	}
	script_ops.session_end(p->script, p->state);
	chain_close(&p->f.chain, true);
}

static void play(struct play *p)
{
	struct buf err = { 0 };
	buf_clear(&asked);
	buf_clear(&logged);
	if (script_compile(bytes_of(p->source), "t.sieve", &names, &p->script, &err) < 0)
		fail_msg("%s\n%s", p->source, buf_str(&err));
	buf_fini(&err);
	fixture_init(&p->f);
	with_clock(play_task, p);
	fixture_fini(&p->f);
	script_free(&p->script);
}

static void play_fini(struct play *p)
{
	buf_fini(&p->answer);
	buf_fini(&p->header);
}

/* ---- verdicts, conditions, variables ---- */

#define DELIVER "stage \"rcpt\" { deliver \"local\"; }"
#define LOCAL "to user@example.org by local\n"

static const struct tls_info tls13 = { .protocol = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .cipher_bits = 256 };

static const struct {
	const char *source, *answer;
	const char *auth;
	const struct tls_info *tls;
} cases[] = {
	/* a recipient for whom nothing was chosen goes nowhere: the server denies relaying */
	{ "", "rcpt: nowhere\n", NULL, NULL },
	{ "keep;", "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("log \"nothing\";"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("deliver :copy \"archive\";"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("accept;"), "rcpt: accept\n", NULL, NULL },
	/* deliver */
	{ RCPT("deliver \"local\";"), LOCAL, NULL, NULL },
	{ RCPT("deliver :queue :verify [\"local\", \"backup\"];"), "to user@example.org by local backup queue verify\n", NULL, NULL },
	{ RCPT("deliver :copy \"archive\"; deliver \"local\"; deliver \"local\";"), "to user@example.org by archive\n" LOCAL, NULL, NULL },
	{ RCPT("deliver \"local\"; class \"bulk\";"), LOCAL "class bulk\n", NULL, NULL },
	{ RCPT("set \"rcpt.to\" \"new@${rcpt.domain}\"; deliver \"local\";"), "to new@example.org by local\n", NULL, NULL },
	{ RCPT("deliver \"local\"; accept;"), "rcpt: accept\n" LOCAL, NULL, NULL },
	{ RCPT("deliver \"local\"; stop; ereject \"no\";"), LOCAL, NULL, NULL },
	/* verdicts */
	{ RCPT("ereject \"no such user\"; deliver \"local\";"), "rcpt: reject 550 5.7.1 no such user\n", NULL, NULL },
	{ RCPT("deliver \"local\"; ereject :code 554 :status \"5.1.1\" \"no\";"), "rcpt: reject 554 5.1.1 no\n", NULL, NULL },
	{ RCPT("ereject text:\none\ntwo\n.\n;"), "rcpt: reject 550 5.7.1 one\ntwo\n", NULL, NULL },
	{ RCPT("ereject \"\";"), "rcpt: reject 550 5.7.1 Rejected\n", NULL, NULL },
	{ RCPT("defer :code 450 :status \"4.2.0\" \"later\";"), "rcpt: tempfail 450 4.2.0 later\n", NULL, NULL },
	{ RCPT("defer \"later\";"), "rcpt: tempfail 451 4.7.1 later\n", NULL, NULL },
	{ RCPT("discard;"), "rcpt: discard\n", NULL, NULL },
	{ RCPT("deliver \"local\"; discard;"), "rcpt: discard\n", NULL, NULL },
	{ MTA "stage \"connect\" { disconnect; }", "connect: disconnect 421 4.7.0 Closing the connection\n", NULL, NULL },
	{ MTA "stage \"ehlo\" { disconnect \"bye\"; }", "ehlo: disconnect 421 4.7.0 bye\n", NULL, NULL },
	{ MTA "stage \"mail\" { discard; }", "mail: discard\n", NULL, NULL },
	{ MTA "stage \"data\" { ereject \"d\"; }" DELIVER, LOCAL "data: reject 550 5.7.1 d\n", NULL, NULL },
	{ MTA DELIVER "if header :value \"ge\" \"x-spam-score\" \"15\" { ereject \"spam\"; }", LOCAL "message: reject 550 5.7.1 spam\n", NULL, NULL },
	{ MTA DELIVER "discard;", LOCAL "message: discard\n", NULL, NULL },
	{ MTA DELIVER "keep;", LOCAL, NULL, NULL },
	{ MTA DELIVER "stage \"mail\" { hold \"look at it\"; }", LOCAL "held: look at it\n", NULL, NULL },
	/* code outside of blocks and in several blocks is one stage, in order */
	{ MTA DELIVER "set \"a\" \"1\"; stage \"message\" { set \"a\" \"${a}2\"; } ereject \"${a}\";", LOCAL "message: reject 550 5.7.1 12\n", NULL, NULL },
	/* conditions */
	{ RCPT("if client \"192.0.2.0/24\" { deliver \"local\"; }"), LOCAL, NULL, NULL },
	{ RCPT("if client [\"203.0.113.0/24\", \"2001:db8::/32\"] { deliver \"local\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if authenticated { deliver \"local\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if authenticated { deliver \"local\"; }"), LOCAL, "tim", NULL },
	{ RCPT("if authenticated :matches \"t*\" { deliver \"local\"; }"), LOCAL, "tim", NULL },
	{ RCPT("if authenticated \"tom\" { deliver \"local\"; }"), "rcpt: nowhere\n", "tim", NULL },
	{ RCPT("if tls { deliver \"local\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if tls { deliver \"local\"; }"), LOCAL, NULL, &tls13 },
	{ RCPT("if tls :value \"ge\" \"version\" \"TLSv1.2\" { deliver \"local\"; }"), LOCAL, NULL, &tls13 },
	{ RCPT("if tls \"version\" \"TLSv1.2\" { deliver \"local\"; }"), "rcpt: nowhere\n", NULL, &tls13 },
	{ RCPT("if tls :contains \"cipher\" \"aes\" { deliver \"local\"; }"), LOCAL, NULL, &tls13 },
	{ RCPT("if envelope :domain \"from\" \"EXAMPLE.net\" { deliver \"local\"; }"), LOCAL, NULL, NULL },
	{ MTA DELIVER "if envelope \"to\" \"user@example.org\" { ereject \"yes\"; }", LOCAL "message: reject 550 5.7.1 yes\n", NULL, NULL },
	/* tables */
	{ RCPT("if envelope :domain :list \"to\" \":table:domains\" { deliver \"local\"; }"), LOCAL, NULL, NULL },
	{ RCPT("if lookup \"domains\" \"elsewhere.test\" { deliver \"local\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" \"scores\" [\"nobody\", \"${mail.from}\", \"b@example.net\"] { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 7\n", NULL, NULL },
	{ RCPT("if lookup :value \"gt\" \"scores\" \"a@example.net\" \"5\" { deliver \"local\"; }"), LOCAL, NULL, NULL },
	{ RCPT("if lookup \"scores\" \"a@example.net\" [\"8\", \"9\"] { deliver \"local\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :subdomain \"keys\" \"a.example.org\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 sub\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :subdomain \"keys\" \"example.org\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 exact\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :host \"keys\" \"mx.other.test\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 top\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :host \"keys\" \"${env.remote_ip}\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 net\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :address \"keys\" \"u+x@elsewhere.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 user\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :transport \"keys\" \"u@elsewhere.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 any\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :recipient \"keys\" \"u+x@elsewhere.net\" { ereject \"${v}\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :recipient :local \"keys\" \"u+x@elsewhere.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 local\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :aliases \"keys\" \"u+x@elsewhere.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 local\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" \"keys\" \"u+x@elsewhere.net\" { ereject \"${v}\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :virtual \"virtual\" \"user+x@example.org\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 other+x@example.net\n", NULL, NULL },
	/* canonical(5): again and again, the first of several, as Postfix */
	{ RCPT("if lookup :as \"v\" :canonical \"canonical\" \"a+x@example.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 c+x@example.net\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :canonical \"canonical\" \"self@example.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 self@example.net\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :canonical \"canonical\" \"two@example.net\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 d@example.net\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :canonical \"canonical\" \"u@old.test\" { ereject \"${v}\"; }"), "rcpt: reject 550 5.7.1 u@new.test\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :canonical \"canonical\" [\"no@example.net\", \"\"] { ereject \"${v}\"; }"), "rcpt: nowhere\n", NULL, NULL },
	{ RCPT("if lookup :as \"v\" :canonical \"canonical\" \"ring1@x.test\" { ereject \"${v}\"; }"),
		"rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n", NULL, NULL },
	{ MTA "stage \"mail\" { if lookup :as \"mail.from\" :canonical \"canonical\" \"${mail.from}\" {} } stage \"rcpt\" { ereject \"${mail.from}\"; }",
		"rcpt: reject 550 5.7.1 c@example.net\n", NULL, NULL },
	{ RCPT("if lookup \"broken\" \"x\" { deliver \"local\"; }"), "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n", NULL, NULL },
	{ RCPT("if not lookup \"broken\" \"x\" { deliver \"local\"; }"), "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n", NULL, NULL },
	{ RCPT("if lookup :lenient \"broken\" \"x\" { discard; } deliver \"local\";"), LOCAL, NULL, NULL },
	{ RCPT("if envelope :list :lenient \"to\" \":table:broken\" { discard; } deliver \"local\";"), LOCAL, NULL, NULL },
	{ RCPT("if envelope :list \"to\" \":table:broken\" { discard; } deliver \"local\";"),
		"rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n", NULL, NULL },
	/* gates */
	{ RCPT("policy \"greylist\"; deliver \"local\";"), "rcpt: tempfail 450 4.2.0 Greylisted\n", NULL, NULL },
	{ RCPT("policy \"friendly\"; deliver \"local\";"), LOCAL, NULL, NULL },
	{ RCPT("if policy :matches \"greylist\" \"defer *\" { deliver \"backup\"; }"), "to user@example.org by backup\n", NULL, NULL },
	{ RCPT("if not policy \"friendly\" \"ok\" { stop; } deliver \"local\";"), LOCAL, NULL, NULL },
	/* accept waives checks that follow, but not what the rcpt block says */
	{ MTA "stage \"connect\" { accept :session; } stage \"rcpt\" { policy \"greylist\"; deliver \"local\"; }", "connect: accept\n" LOCAL, NULL, NULL },
	{ MTA "stage \"mail\" { accept; } stage \"rcpt\" { policy \"greylist\"; ereject \"no\"; }", "mail: accept\nrcpt: reject 550 5.7.1 no\n", NULL, NULL },
	{ MTA "stage \"mail\" { accept; } stage \"rcpt\" { log \"x\"; }", "mail: accept\nrcpt: nowhere\n", NULL, NULL },
	/* variables */
	{ RCPT("ereject \"${env.remote_ip} ${env.remote_port} ${env.remote_name} ${env.helo} ${env.listener} ${env.hostname} ${env.protocol}\";"),
		"rcpt: reject 550 5.7.1 192.0.2.1 40000 client.test client.test mx mx.example.org ESMTPSA\n", "tim", &tls13 },
	{ RCPT("ereject \"${env.tls_version} ${env.tls_bits} ${auth.user} ${auth.mech} ${env.local_port}\";"), "rcpt: reject 550 5.7.1 TLSv1.3 256 tim PLAIN 25\n", "tim", &tls13 },
	{ RCPT("ereject \"${mail.from} ${mail.local} ${mail.domain} ${mail.size} ${mail.id} ${rcpt.to} ${rcpt.local} ${rcpt.domain}\";"),
		"rcpt: reject 550 5.7.1 a@example.net a example.net 1234 4f2a91.3c.1 user@example.org user example.org\n", NULL, NULL },
	{ MTA DELIVER "ereject \"${mail.size}${env.tls_version}\";", LOCAL "message: reject 550 5.7.1 63\n", NULL, NULL },
	{ MTA "stage \"mail\" { set \"mail.from\" \"b@example.net\"; }" DELIVER "ereject \"${mail.from}\";", LOCAL "message: reject 550 5.7.1 b@example.net\n", NULL, NULL },
	{ MTA "stage \"mail\" { set \"mail.from\" \"\"; }" DELIVER "ereject \"<${mail.from}>\";", LOCAL "message: reject 550 5.7.1 <>\n", NULL, NULL },
	{ MTA "stage \"mail\" { set \"mail.from\" \"no address\"; }", "mail: tempfail 451 4.3.5 Server configuration problem - try again later\n", NULL, NULL },
	{ MTA "stage \"connect\" { set \"session.a\" \"1\"; } stage \"mail\" { set \"mail.x_b\" \"2\"; set \"session.a\" \"${session.a}+\"; set \"c\" \"3\"; }" DELIVER
		"ereject \"${session.a} ${mail.x_b} ${c}${session.none}.\";", LOCAL "message: reject 550 5.7.1 1+ 2 .\n", NULL, NULL },
};

static void test_stages(void **state)
{
	(void)state;
	unsigned wrong = 0;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct play p = { .source = cases[i].source, .auth = cases[i].auth, .tls = cases[i].tls };
		play(&p);
		if (strcmp(buf_str(&p.answer), cases[i].answer) != 0) {
			print_error("%s\nsays:     %sexpected: %s", cases[i].source, buf_str(&p.answer), cases[i].answer);
			wrong++;
		}
		play_fini(&p);
	}
	assert_int_equal(wrong, 0);
}

/* ---- redirect ---- */

#define USUAL RCPT("if not envelope :domain :list \"to\" \":table:domains\" { ereject :code 554 \"We do not relay for ${rcpt.domain}\"; }"          \
	"elsif lookup :as \"target\" \"aliases\" [\"${rcpt.to}\", \"${rcpt.local}\"] { redirect \"${target}\"; }"                        \
	"elsif envelope :localpart \"to\" \"spam\" { ereject \"No ${rcpt.original}\"; }"                                                 \
	"elsif envelope :localpart \"to\" \"drop\" { discard; }"                                                                         \
	"else { policy \"friendly\"; deliver \"local\"; }")

static const struct {
	const char *to, *answer, *asked;
} redirects[] = {
	{ "TO:<user@example.org>", LOCAL, "friendly:rcpt:<user@example.org> " },
	{ "TO:<x@elsewhere.test>", "rcpt: reject 554 5.7.1 We do not relay for elsewhere.test\n", "" },
	{ "TO:<alias@example.org>", "to user1@example.org by local\n", "friendly:rcpt:<user1@example.org> " },
	{ "TO:<list@example.org>", "to user1@example.org by local\nto user2@example.org by local\nto user3@example.org by local\n",
		"friendly:rcpt:<user1@example.org> friendly:rcpt:<user2@example.org> friendly:rcpt:<user3@example.org> " },
	{ "TO:<deep@example.org>", "to user1@example.org by local\nto user2@example.org by local\nto user3@example.org by local\n", NULL },
	{ "TO:<other@example.org>", "to other@example.net by local\n", NULL },
	/* virtual(5): what maps to itself is final */
	{ "TO:<self@example.org>", "to self@example.org by local\nto user2@example.org by local\n", NULL },
	{ "TO:<only@example.org>", "to only@example.org by local\n", NULL },
	{ "TO:<twoself@example.org>", "to twoself@example.org by local\n", NULL },
	{ "TO:<loop1@example.org>", "rcpt: reject 554 5.4.6 Mail forwarding loop\n", NULL },
	/* one bad target refuses the recipient */
	{ "TO:<out@example.org>", "rcpt: reject 554 5.7.1 We do not relay for elsewhere.test\n", NULL },
	{ "TO:<mixed@example.org>", "rcpt: reject 550 5.7.1 No mixed@example.org\n", NULL },
	{ "TO:<cmd@example.org>", "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n", NULL },
	/* a dropped one does not */
	{ "TO:<dropped@example.org>", "to user1@example.org by local\n", NULL },
	{ "TO:<alldropped@example.org>", "rcpt: discard\n", NULL },
};

static void test_redirects(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(redirects); i++) {
		struct play p = { .source = USUAL, .to = redirects[i].to };
		play(&p);
		if (strcmp(buf_str(&p.answer), redirects[i].answer) != 0)
			print_error("%s\n", redirects[i].to);
		assert_string_equal(buf_str(&p.answer), redirects[i].answer);
		if (redirects[i].asked)
			assert_string_equal(buf_str(&asked), redirects[i].asked);
		play_fini(&p);
	}
}

/* virtual(5), by Postfix's keys. */
static void test_virtual(void **state)
{
	static const char source[] = RCPT("if lookup :virtual :local :as \"t\" \"virtual\" \"${rcpt.to}\" { redirect \"${t}\"; }"
		"elsif envelope :domain \"to\" [\"example.org\", \"example.net\"] { deliver \"local\"; }");
	static const struct {
		const char *to, *answer;
	} mapped[] = {
		{ "TO:<nobody@example.org>", "to nobody@example.org by local\n" },
		/* the extension that was not asked about is kept; a catch-all comes last */
		{ "TO:<user+x@example.org>", "to sink@example.net by local\n" },
		{ "TO:<self+x@example.org>", "to self+x@example.org by local\n" },
		{ "TO:<list@example.org>", "to a@example.org by local\nto self@example.org by local\nto sink@example.net by local\n" },
		{ "TO:<moved+x@example.org>", "to sink@example.net by local\n" },
		{ "TO:<local+x@example.org>", "to here+x@example.org by local\n" },
		{ "TO:<nobody+x@example.com>", "to nobody+x@example.org by local\n" },
		/* what maps to itself is final, whatever its case */
		{ "TO:<case@EXAMPLE.org>", "to CASE@example.org by local\n" },
		{ "TO:<ring1@example.org>", "rcpt: reject 554 5.4.6 Mail forwarding loop\n" },
	};
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(mapped); i++) {
		struct play p = { .source = source, .to = mapped[i].to };
		play(&p);
		assert_string_equal(buf_str(&p.answer), mapped[i].answer);
		play_fini(&p);
	}
}

/* ---- redirect :aliases ---- */

static char folder[] = "/tmp/gatepost-script-XXXXXX";

static void write_list(const char *name, const char *text, mode_t mode)
{
	char *path = mem_printf("%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	mem_free(path);
}

static void remove_list(const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);
	assert_int_equal(remove(path), 0);
	mem_free(path);
}

static const struct {
	const char *value;      /* % is the folder */
	const char *answer;     /* NULL: 451 4.3.5 */
	const char *logged;
} included[] = {
	{ "\\\":include:%/list\\\"", "to a@example.org by local\nto b@example.org by local\nto \"c d\"@example.net by local\nto e@example.org by local\n", NULL },
	{ ":include:%/list, z", "to a@example.org by local\nto b@example.org by local\nto \"c d\"@example.net by local\nto e@example.org by local\nto z@example.org by local\n", NULL },
	{ ":INCLUDE:%/outer", "to first@example.org by local\nto a@example.org by local\nto b@example.org by local\nto \"c d\"@example.net by local\nto e@example.org by local\n", NULL },
	{ "a, :include:%/none", NULL, "/none\\\" cannot be used: No such file or directory" },
	{ ":include:%", NULL, "cannot be used: it is no regular file" },
	{ ":include:list", NULL, "\\\":include:list\\\" is no absolute path" },
	{ ":include:%/open", NULL, "/open\\\" cannot be used: anybody may write to it" },
	{ ":include:%/long", NULL, "/long\\\" cannot be used: it is longer than 1 MiB" },
	{ ":include:%/itself", NULL, "/itself\\\" is one file too many" },
	{ ":include:%/command", NULL, "goes to a command, which is not done here: \\\"|/bin/cat\\\"" },
	{ ":include:%/empty", NULL, "has no address" },
	{ ":include:%/many", "rcpt: tempfail 451 4.6.0 Alias expansion error\n", "more than 1000 addresses" },
	{ "\\\"|/bin/cat -n\\\"", NULL, "goes to a command, which is not done here: \\\"|/bin/cat -n\\\"" },
	{ "|/bin/cat", NULL, "goes to a command" },
	{ "/dev/null", "rcpt: discard\n", NULL },
	{ "/dev/null, a, \\\"/dev/null\\\"", "to a@example.org by local\n", NULL },
	{ "Joe <a> (the one), friends: b, \\\"c\\\";", "to a@example.org by local\nto b@example.org by local\nto c@example.org by local\n", NULL },
	{ "/var/mail/x", NULL, "goes to a file, which is not done here: \\\"/var/mail/x\\\"" },
	{ "\\\"./mail box\\\"", NULL, "goes to a file, which is not done here: \\\"./mail box\\\"" },
};

static char *with_folder(const char *text)
{
	struct buf b = { 0 };
	for (; *text; text++) {
		if (*text == '%')
			buf_add_str(&b, folder);
		else
			buf_add_char(&b, *text);
	}
	return buf_take_str(&b);
}

static void play_list(const char *tag, const char *value, const char *answer, const char *say)
{
	char *filled = with_folder(value);
	char *source = mem_printf(RCPT("if envelope \"to\" \"user@example.org\" { redirect %s \"%s\"; } else { deliver \"local\"; }"), tag, filled);
	struct play p = { .source = source };
	play(&p);
	assert_string_equal(buf_str(&p.answer), answer ? answer : "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n");
	if (say && !strstr(buf_str(&logged), say))
		fail_msg("%s\nis not in\n%s", say, buf_str(&logged));
	play_fini(&p);
	mem_free(source);
	mem_free(filled);
}

static void test_aliases(void **state)
{
	(void)state;
	static const char *const lists[] = { "list", "outer", "open", "long", "itself", "command", "empty", "many" };
	struct buf text = { 0 };
	assert_non_null(mkdtemp(folder));
	write_list("list", "# who reads it\na, b@example.org\n\n\"c d\"@example.net\r\n  e", 0644);
	char *outer = with_folder("first\n:include:%/list\n"), *itself = with_folder("first :include:%/itself\n");
	write_list("outer", outer, 0600);
	write_list("itself", itself, 0600);
	write_list("open", "a\n", 0646);
	write_list("command", "a\n|/bin/cat\n", 0600);
	write_list("empty", "# nobody\n", 0600);
	for (unsigned i = 0; i < 1001; i++)
		buf_printf(&text, "u%u\n", i);
	write_list("many", buf_str(&text), 0600);
	while (text.n <= 1 << 20)
		buf_add_str(&text, "u1\n");
	write_list("long", buf_str(&text), 0600);
	for (unsigned i = 0; i < COUNT_OF(included); i++)
		play_list(":aliases", included[i].value, included[i].answer, included[i].logged);
	/* Only who asks for it gets files read. */
	play_list("", ":include:%/list", NULL, "is read by \\\"redirect :aliases\\\" only");
	play_list("", "/dev/null", NULL, "goes to a file");
	for (unsigned i = 0; i < COUNT_OF(lists); i++)
		remove_list(lists[i]);
	assert_int_equal(rmdir(folder), 0);
	buf_fini(&text);
	mem_free(outer);
	mem_free(itself);
}

/* No end but the limits. */
static void test_redirect_limits(void **state)
{
	(void)state;
	static const struct {
		const char *source, *answer;
	} endless[] = {
		{ RCPT("redirect \"x${rcpt.local}@example.org\";"), "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n" },
		{ RCPT("redirect \"${rcpt.to}\";"), "rcpt: reject 554 5.4.6 Mail forwarding loop\n" },
		{ RCPT("if true { redirect \"${rcpt.to}\"; } else { deliver \"local\"; }"), LOCAL },
		{ RCPT("if envelope \"to\" \"user@example.org\" { redirect \"a@example.org\"; redirect \"b@example.org\"; redirect \"a@example.org\"; } else { deliver \"local\"; }"),
			"to a@example.org by local\nto b@example.org by local\n" },
		{ RCPT("redirect \"\";"), "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n" },
		{ RCPT("redirect \"a b@c@d\";"), "rcpt: tempfail 451 4.3.5 Server configuration problem - try again later\n" },
		/* an address that goes nowhere denies the whole recipient */
		{ RCPT("if envelope \"to\" \"user@example.org\" { redirect \"a@example.org, b@example.org\"; } elsif envelope \"to\" \"a@example.org\" { deliver \"local\"; }"),
			"rcpt: nowhere\n" },
	};
	for (unsigned i = 0; i < COUNT_OF(endless); i++) {
		struct play p = { .source = endless[i].source };
		play(&p);
		assert_string_equal(buf_str(&p.answer), endless[i].answer);
		play_fini(&p);
	}
}

/* ---- what is logged, edited, kept apart ---- */

static void test_failure_is_logged_once(void **state)
{
	(void)state;
	struct play p = { .source = RCPT("\n if lookup \"broken\" \"x\" { discard; }") };
	play(&p);
	const char *line = strstr(buf_str(&logged), "why=\"t.sieve:3:5: table \\\"broken\\\" gave no answer: nobody there\"");
	assert_non_null(line);
	assert_null(strstr(line + 1, "why="));
	play_fini(&p);
}

static void test_log_and_edit(void **state)
{
	(void)state;
	struct play p = { .source = MTA DELIVER "addheader \"X-Seen\" \"by ${env.hostname}\"; deleteheader \"x-spam-score\";"
					       "stage \"result\" { log :notice \"${result.code} ${result.status} ${result.text}\"; }" };
	play(&p);
	assert_string_equal(buf_str(&p.header), "X-Seen: by mx.example.org\r\nFrom: a@example.net\r\nSubject: hello\r\n\r\nbody\r\n");
	assert_non_null(strstr(buf_str(&logged), "level=notice event=script"));
	assert_non_null(strstr(buf_str(&logged), "stage=result text=\"250 2.0.0 Saved\""));
	play_fini(&p);
}

TASK_ENTRY static void attach_task(void *arg)
{
	struct play *p = arg;
	(void)play_stage(p, GATE_CONNECT, NULL);
	buf_printf(&p->answer, "%u attached", p->f.chain.count);
	chain_close(&p->f.chain, true);
	script_ops.session_end(p->script, p->state);
}

static void test_milter_is_attached(void **state)
{
	(void)state;
	struct play p = { .source = MTA "stage \"connect\" { milter [\"rspamd\"]; milter \"rspamd\"; }" DELIVER };
	struct buf err = { 0 };
	assert_int_equal(script_compile(bytes_of(p.source), "t.sieve", &names, &p.script, &err), 0);
	fixture_init(&p.f);
	with_clock(attach_task, &p);
	assert_string_equal(buf_str(&p.answer), "1 attached");
	fixture_fini(&p.f);
	script_free(&p.script);
	play_fini(&p);
}

/* mail.x_X ends with its transaction, session.X does not. */
TASK_ENTRY static void two_transactions(void *arg)
{
	struct play *p = arg;
	play_transaction(p);
	fixture_txn_fini(&p->f);
	fixture_mail(&p->f, "FROM:<a@example.net>");
	p->f.txn.id = "4f2a91.3c.2";
	(void)play_stage(p, GATE_MAIL, NULL);
	fixture_txn_fini(&p->f);
	script_ops.session_end(p->script, p->state);
	chain_close(&p->f.chain, true);
}

static void test_mail_variables_end(void **state)
{
	(void)state;
	struct play p = { .source = MTA "stage \"mail\" { if not string \"${session.n}\" \"\" { ereject \"${session.n}${mail.x_n}\"; } set \"session.n\" \"s\";"
					       "set \"mail.x_n\" \"m\"; } stage \"data\" { log \"${session.n}${mail.x_n}\"; }" DELIVER };
	struct buf err = { 0 };
	buf_clear(&logged);
	assert_int_equal(script_compile(bytes_of(p.source), "t.sieve", &names, &p.script, &err), 0);
	fixture_init(&p.f);
	with_clock(two_transactions, &p);
	assert_non_null(strstr(buf_str(&logged), "text=sm"));
	assert_string_equal(buf_str(&p.answer), LOCAL "mail: reject 550 5.7.1 s\n");
	fixture_fini(&p.f);
	script_free(&p.script);
	play_fini(&p);
}

/* ---- mistakes ---- */

static const struct {
	const char *source, *complaint;
} mistakes[] = {
	{ "stage \"rcpt\" {}", "t.sieve:1:1: \"stage\" needs require \"vnd.gatepost.mta\"\n" },
	{ MTA "stage \"rctp\" {}", "t.sieve:2:7: there is no stage \"rctp\"; did you mean \"rcpt\"? (connect ehlo auth mail rcpt data message result are the stages)\n" },
	{ MTA "if true { stage \"rcpt\" {} }", "t.sieve:2:11: \"stage\" cannot stand within a block\n" },
	{ MTA "stage \"rcpt\" { stage \"mail\" {} }", "t.sieve:2:16: \"stage\" cannot stand within a block\n" },
	{ MTA "stage \"rcpt\";", "t.sieve:2:1: \"stage\" lacks its block\n" },
	{ MTA "deliver \"local\";", "t.sieve:2:1: \"deliver\" makes no sense at stage \"message\": it belongs to \"rcpt\"\n" },
	{ MTA "redirect \"a@b\";", "t.sieve:2:1: \"redirect\" makes no sense at stage \"message\": it belongs to \"rcpt\"\n" },
	{ MTA "milter \"rspamd\";", "t.sieve:2:1: \"milter\" makes no sense at stage \"message\": it belongs to \"connect\"\n" },
	{ MTA "stage \"mail\" { if header \"a\" \"b\" {} }", "t.sieve:2:19: \"header\" makes no sense at stage \"mail\": it belongs to \"message\"\n" },
	{ MTA "stage \"mail\" { addheader \"a\" \"b\"; }", "t.sieve:2:16: \"addheader\" makes no sense at stage \"mail\": it belongs to \"message\"\n" },
	{ MTA "stage \"connect\" { discard; }", "t.sieve:2:19: \"discard\" makes no sense at stage \"connect\": it belongs to \"mail\", \"rcpt\", \"data\", \"message\"\n" },
	{ MTA "stage \"result\" { ereject \"x\"; }",
		"t.sieve:2:18: \"ereject\" makes no sense at stage \"result\": it belongs to \"connect\", \"ehlo\", \"auth\", \"mail\", \"rcpt\", \"data\", \"message\"\n" },
	{ MTA "stage \"connect\" { accept; }",
		"t.sieve:2:19: \"accept\" without :session makes no sense at stage \"connect\": it belongs to \"mail\", \"rcpt\", \"data\", \"message\", \"result\"\n" },
	{ MTA "stage \"mail\" { if envelope \"to\" \"x\" {} }",
		"t.sieve:2:28: the envelope part \"to\" makes no sense at stage \"mail\": it belongs to \"rcpt\", \"data\", \"message\", \"result\"\n" },
	{ MTA "stage \"mail\" { log \"${rcpt.to}\"; }", "t.sieve:2:20: \"${rcpt.to}\" makes no sense at stage \"mail\": it belongs to \"rcpt\"\n" },
	{ MTA "stage \"connect\" { log \"${mail.x_a}\"; }",
		"t.sieve:2:23: \"${mail.x_a}\" makes no sense at stage \"connect\": it belongs to \"mail\", \"rcpt\", \"data\", \"message\", \"result\"\n" },
	{ MTA "log \"${env.remote_id}\";", "t.sieve:2:5: there is no variable \"env.remote_id\"; did you mean \"env.remote_ip\"?\n" },
	{ MTA "set \"env.helo\" \"x\";", "t.sieve:2:5: \"env.helo\" can be read, but not set\n" },
	{ MTA "stage \"result\" { set \"mail.from\" \"x@y\"; }",
		"t.sieve:2:22: setting \"mail.from\" makes no sense at stage \"result\": it belongs to \"mail\", \"rcpt\", \"data\", \"message\"\n" },
	{ MTA "stage \"rcpt\" { deliver \"locl\"; }", "t.sieve:2:24: the configuration defines no next hop \"locl\"; did you mean \"local\"?\n" },
	{ MTA "stage \"rcpt\" { deliver [\"local\", \"nosuchthing\"]; }", "t.sieve:2:34: the configuration defines no next hop \"nosuchthing\"\n" },
	{ MTA "stage \"rcpt\" { deliver \"${rcpt.domain}\"; }", "t.sieve:2:24: \"${rcpt.domain}\" holds a variable, but must be known when the script is read\n" },
	{ MTA "stage \"connect\" { milter [\"rspamd\", \"clamv\", \"greylist\"]; }",
		"t.sieve:2:37: the configuration defines no milter \"clamv\"\nt.sieve:2:46: \"greylist\" is a policy, not a milter\n" },
	{ MTA "policy \"graylist\";", "t.sieve:2:8: the configuration defines no policy \"graylist\"; did you mean \"greylist\"?\n" },
	{ MTA "policy \"rspamd\";", "t.sieve:2:8: \"rspamd\" is a milter, not a policy\n" },
	{ MTA "if lookup \"alias\" \"x\" {}", "t.sieve:2:11: the configuration defines no table \"alias\"; did you mean \"aliases\"?\n" },
	{ MTA "if lookup :virtual :transport \"aliases\" \"x\" {}", "t.sieve:2:20: \":transport\" cannot stand beside \":virtual\"\n" },
	{ MTA "if lookup :local :transport \"aliases\" \"x\" {}", "t.sieve:2:4: \":local\" makes sense only beside :virtual, :canonical or :recipient\n" },
	{ MTA "if header :list \"from\" \"domains\" {}", "t.sieve:2:24: there is no list \"domains\"\n" },
	{ MTA "if header :list \"from\" \":table:domans\" {}", "t.sieve:2:24: there is no list \":table:domans\"; did you mean \":table:domains\"?\n" },
	{ MTA "ereject :code 450 \"x\";", "t.sieve:2:15: \"ereject\" takes a :code from 500 to 599, not 450\n" },
	{ MTA "defer :code 550 \"x\";", "t.sieve:2:13: \"defer\" takes a :code from 400 to 499, not 550\n" },
	{ MTA "ereject :status \"4.7.1\" \"x\";", "t.sieve:2:17: \"4.7.1\" is no :status for \"ereject\": it should look like \"5.7.1\"\n" },
	{ MTA "ereject :status \"5.7\" \"x\";", "t.sieve:2:17: \"5.7\" is no :status for \"ereject\": it should look like \"5.7.1\"\n" },
	{ "require \"ereject\"; ereject :code 550 \"x\";", "t.sieve:1:28: \":code\" needs require \"vnd.gatepost.mta\"\n" },
	{ MTA "if client \"192.0.2.1/24\" {}", NULL },
	{ MTA "if tls \"version\" {}", "t.sieve:2:8: \"tls\" lacks the values to compare \"version\" with\n" },
	{ MTA "if tls \"verison\" \"x\" {}", "t.sieve:2:8: \"tls\" knows no \"verison\"; did you mean \"version\"?\n" },
	{ MTA "log :error :debug \"x\";", "t.sieve:2:12: \":debug\" cannot stand beside \":error\"\n" },
	{ "require [\"vnd.gatepost.mta\"]; if lookup :as \"v\" \"aliases\" \"x\" {}", "t.sieve:1:45: setting \"v\" needs require \"variables\"\n" },
};

static void test_mistakes(void **state)
{
	(void)state;
	unsigned wrong = 0;
	for (unsigned i = 0; i < COUNT_OF(mistakes); i++) {
		struct script *s;
		struct buf err = { 0 };
		int r = script_compile(bytes_of(mistakes[i].source), "t.sieve", &names, &s, &err);
		bool right = mistakes[i].complaint ? strcmp(buf_str(&err), mistakes[i].complaint) == 0 : strstr(buf_str(&err), "is no network: ") != NULL;
		if (r != -EINVAL || !right) {
			print_error("%s\nis told:  %sexpected: %s", mistakes[i].source, buf_str(&err), mistakes[i].complaint);
			wrong++;
		}
		buf_fini(&err);
	}
	assert_int_equal(wrong, 0);
}

/* ---- the relay probe ---- */

static const struct {
	const char *source;
	bool open;
} relays[] = {
	{ "", false },
	{ USUAL, false },
	{ RCPT("deliver \"local\";"), true },
	{ RCPT("deliver :copy \"archive\";"), false },
	{ RCPT("if not envelope :domain :list \"to\" \":table:domains\" { deliver \"local\"; }"), true },
	{ RCPT("if envelope :domain \"to\" [\"example.org\", \"mx.example.org\"] { deliver \"local\"; }"), false },
	{ RCPT("if authenticated { deliver \"local\"; }"), false },
	{ RCPT("if not tls { deliver \"local\"; }"), true },
	{ RCPT("if client \"192.0.2.0/24\" { deliver \"local\"; }"), false },
	{ RCPT("if client [\"0.0.0.0/0\", \"::/0\"] { deliver \"local\"; }"), true },
	{ RCPT("policy \"greylist\"; deliver \"local\";"), true },
	{ RCPT("if lookup \"broken\" \"${rcpt.to}\" { discard; } deliver \"local\";"), true },
	{ RCPT("discard;"), false },
	{ RCPT("redirect \"sink@example.org\";"), false },
	{ RCPT("if envelope :domain \"to\" \"example.org\" { deliver \"local\"; } else { redirect \"sink@example.org\"; }"), true },
	{ RCPT("if envelope :localpart \"to\" \"postmaster\" { deliver \"local\"; }"), true },
	{ MTA "stage \"mail\" { ereject \"no\"; } stage \"rcpt\" { deliver \"local\"; }", false },
	{ MTA "stage \"connect\" { if not client \"127.0.0.0/8\" { disconnect; } } stage \"rcpt\" { deliver \"local\"; }", false },
	{ MTA "stage \"connect\" { accept :session; } stage \"rcpt\" { if envelope :domain \"to\" \"example.org\" { deliver \"local\"; } }", false },
	/* tricky forms: quoted @, percent hack, UUCP, unpacked by the script */
	{ RCPT("if envelope :domain \"to\" \"mx.example.org\" { if envelope :localpart :matches \"to\" \"*%*\" { set \"rcpt.to\" \"${1}@${2}\"; } deliver \"local\"; }"), true },
	{ RCPT("if envelope :domain \"to\" \"mx.example.org\" { if envelope :localpart :matches \"to\" \"*!*\" { set \"rcpt.to\" \"${2}@${1}\"; } deliver \"local\"; }"), true },
	{ RCPT("if envelope :domain \"to\" \"mx.example.org\" { if envelope :localpart :matches \"to\" \"*@*\" { set \"rcpt.to\" \"${1}@${2}\"; } deliver \"local\"; }"), true },
	{ RCPT("if envelope :contains \"to\" \"mx.example.org\" { deliver \"local\"; }"), false },
	{ RCPT("if envelope :all :matches \"to\" \"*@[*]\" { deliver \"local\"; }"), true },
};

struct probe {
	struct script *script;
	struct buf err;
	int result;
};

TASK_ENTRY static void probe_task(void *arg)
{
	struct probe *p = arg;
	p->result = script_probe_relay(p->script, "mx.example.org", &p->err);
}

static void test_probe(void **state)
{
	(void)state;
	unsigned wrong = 0;
	for (unsigned i = 0; i < COUNT_OF(relays); i++) {
		struct probe p = { 0 };
		if (script_compile(bytes_of(relays[i].source), "t.sieve", &names, &p.script, &p.err) < 0) {
			print_error("%s%s\n", relays[i].source, buf_str(&p.err));
			wrong++;
			continue;
		}
		buf_clear(&asked);
		with_clock(probe_task, &p);
		assert_int_equal(asked.n, 0);
		if (p.result != (relays[i].open ? -EACCES : 0)) {
			print_error("%s\n%d %s\n", relays[i].source, p.result, buf_str(&p.err));
			wrong++;
		}
		buf_fini(&p.err);
		script_free(&p.script);
	}
	assert_int_equal(wrong, 0);
}

static void test_probe_says_why(void **state)
{
	(void)state;
	struct probe p = { 0 };
	assert_int_equal(script_compile(bytes_of(RCPT("deliver \"local\";")), "t.sieve", &names, &p.script, &p.err), 0);
	with_clock(probe_task, &p);
	assert_string_equal(buf_str(&p.err), "it would take mail from a stranger (198.51.100.1) to <probe@relay-probe.invalid> and deliver it; "
					     "its rcpt stage must deliver or redirect only to recipients that it has found to be ours");
	buf_fini(&p.err);
	script_free(&p.script);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages), cmocka_unit_test(test_redirects), cmocka_unit_test(test_virtual), cmocka_unit_test(test_aliases), cmocka_unit_test(test_redirect_limits),
		cmocka_unit_test(test_failure_is_logged_once), cmocka_unit_test(test_log_and_edit), cmocka_unit_test(test_milter_is_attached),
		cmocka_unit_test(test_mail_variables_end), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_probe), cmocka_unit_test(test_probe_says_why),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
