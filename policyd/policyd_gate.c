/*
 * policyd_gate.c: the policy client as a gate: a question for each stage, and what the answer does.
 *
 * What an answer does is lib/gate/access.h's to know.
 */
#include "policyd/policyd.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/gate/access.h"
#include "policyd/policyd_cache.h"
#include "policyd/policyd_client.h"
#include "policyd/policyd_view.h"

#include <errno.h>

struct policyd_config {
	struct policyd_client *client;
	char *policy_context, *compatibility_level, *mail_version;
	bool postfix;                   /* replies in Postfix's words */
	bool extras;
	struct policyd_cache *cache;    /* NULL: none */
};

/* One session's.  The last question about a recipient and its answer: two lines of a script that name one server ask once. */
struct policyd_context {
	struct buf asked;               /* the request, as sent; empty: nothing is remembered */
	struct buf action;
	const struct gate_txn *txn;     /* whose recipient it was, and which: rcpt_seen */
	unsigned rcpt;
};

int policyd_configure(const struct policyd_params *params, struct gate *ret, struct buf *err)
{
	struct policyd_client *client;
	int r = policyd_client_new(params, &client, err);
	if (r < 0)
		return r;
	struct policyd_config *config = NEW(struct policyd_config);
	config->client = client;
	config->postfix = params->postfix;
	config->extras = params->extras;
	if (params->cache)
		config->cache = policyd_cache_new(params->cache);
	config->policy_context = mem_strdup(params->policy_context ? params->policy_context : "");
	config->compatibility_level = mem_strdup(params->compatibility_level ? params->compatibility_level : "3.12");
	config->mail_version = mem_strdup(params->mail_version ? params->mail_version : "3.12.0");

	ret->ops = &policyd_ops;
	ret->config = config;
	ret->total_timeout = FOREVER;
	for (unsigned stage = 0; stage < GATE_STAGES; stage++)
		for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
			ret->on_failure[stage][fault] = policyd_ops.default_on_failure;
	return 0;
}

void policyd_unconfigure(struct gate *g)
{
	struct policyd_config *config = g->config;
	policyd_client_free(&config->client);
	policyd_cache_free(&config->cache);
	mem_free(config->policy_context);
	mem_free(config->compatibility_level);
	mem_free(config->mail_version);
	mem_free(config);
	g->config = NULL;
}

TASK_FN static int policyd_open(const struct gate *g, const struct gate_session *s, void **ret_context)
{
	(void)g;
	(void)s;
	*ret_context = NEW(struct policyd_context);
	return 0;
}

static void policyd_forget(struct policyd_context *c)
{
	buf_fini(&c->asked);
	buf_fini(&c->action);
	*c = (struct policyd_context){ 0 };
}

TASK_FN static void policyd_abort(struct gate_call *call, bool committed)
{
	(void)committed;
	policyd_forget(call->context);
}

TASK_FN static void policyd_close(void *context, bool quit)
{
	(void)quit;
	policyd_forget(context);
	mem_free(context);
}

/* ---- what an answer does ---- */

static void policyd_log(const struct gate_call *call, const struct access_action *a, const struct access_note *note)
{
	struct log_line l;
	if (!note->told)
		return;
	log_begin(&l, note->level, "policy");
	log_str(&l, "gate", call->gate->name);
	access_note_put(&l, call, a, note);
	log_end(&l);
}

/* ---- asking ---- */

/* Postfix's smtpd_policy_service_default_action. */
static const struct smtp_reply policyd_tempfail = { .code = 451, .enhanced = "4.3.5", .text = "Server configuration problem" };

/* In Postfix it is an action like any other: so it is worded like one. */
static void policyd_word_failure(struct gate_call *call)
{
	const struct policyd_config *config = call->gate->config;
	struct access_action a = { .kind = ACCESS_REPLY, .reply = policyd_tempfail };
	if (!config->postfix)
		return;
	access_wrap(&a, call, ACCESS_BY_STAGE, gate_call_arena(call));
	call->tempfail = a.reply;
}

static int policyd_fail(struct gate_call *call, int r, struct policyd_failure f)
{
	if (r == -ECANCELED)
		return r;
	policyd_word_failure(call);
	struct log_line l;
	log_begin(&l, LOG_LEVEL_WARNING, "policy-fault");
	log_str(&l, "gate", call->gate->name);
	log_str(&l, "stage", gate_stage_name(call->stage));
	log_str(&l, "fault", gate_fault_name(f.fault));
	log_str(&l, "why", f.why);
	log_end(&l);
	/* A deadline around our own: the runner knows whether it was the gate's or the session's. */
	if (r == -ETIMEDOUT && deadline_left() <= 0)
		return r;
	call->fault = f.fault;
	call->fault_text = arena_str(gate_call_arena(call), bytes_of(f.why));
	return r;
}

/* Only RCPT: whatever else is asked twice is another event (a second EHLO, another MAIL). */
static bool policyd_known(const struct policyd_context *c, const struct gate_call *call, const struct buf *request)
{
	return call->stage == GATE_RCPT && c->asked.n && c->txn == call->txn && c->rcpt == call->txn->rcpt_seen &&
	       bytes_eq(buf_bytes(&c->asked), buf_bytes(request));
}

static void policyd_remember(struct policyd_context *c, const struct gate_call *call, struct buf *request, struct bytes action)
{
	policyd_forget(c);
	if (call->stage != GATE_RCPT)
		return;
	c->asked = *request;
	*request = (struct buf){ 0 };
	buf_add(&c->action, action);
	c->txn = call->txn;
	c->rcpt = call->txn->rcpt_seen;
}

/* AGAIN: the answer is an old one: it refuses as before, but its field is in the header and its warning in the log. */
static int policyd_answer(struct gate_call *call, struct bytes text, bool again)
{
	const struct policyd_config *config = call->gate->config;
	struct access_action a;
	struct access_note note;

	/* Postfix offers SMTPUTF8 as we do, and then takes nothing else from a policy server, whether this client uses it or not (P19). */
	if (!bytes_utf8(text))
		return policyd_fail(call, -EPROTO, (struct policyd_failure){ GATE_FAULT_PROTOCOL, "the action is not UTF-8" });
	text = arena_bytes(gate_call_arena(call), text);
	call->verdict.answer = text.p;
	access_parse(text, gate_call_arena(call), &a);
	if (again && access_once(&a))
		return 0;
	if (config->postfix)
		access_wrap(&a, call, ACCESS_BY_STAGE, gate_call_arena(call));
	int r = access_apply(call, &a, &note);
	policyd_log(call, &a, &note);
	return r < 0 ? policyd_fail(call, r, (struct policyd_failure){ GATE_FAULT_EDIT, strerror(-r) }) : 0;
}

/* A question on its way. */
struct policyd_question {
	struct buf text;                /* all that Postfix would send: two with the same text are one */
	struct buf extended;            /* with extras, which say what has been answered since, what is sent; else empty */
	struct buf key;                 /* of the cache; empty: its answer is not kept */
};

TASK_FN static int policyd_ask_server(struct gate_call *call, struct policyd_question *q)
{
	const struct policyd_config *config = call->gate->config;
	struct policyd_failure failure = { GATE_FAULT_NONE, NULL };
	struct policyd_reply reply = { 0 };

	int r = policyd_client_ask(config->client, buf_bytes(config->extras ? &q->extended : &q->text), &reply, &failure);
	if (r < 0)
		r = policyd_fail(call, r, failure);
	else {
		if (q->key.n)
			policyd_cache_put(config->cache, buf_bytes(&q->key), buf_bytes(&reply.action), run_now());
		policyd_remember(call->context, call, &q->text, buf_bytes(&reply.action));
		r = policyd_answer(call, buf_bytes(&reply.action), false);
	}
	policyd_reply_fini(&reply);
	return r;
}

TASK_FN static int policyd_ask(struct gate_call *call, struct policyd_question *q)
{
	const struct policyd_config *config = call->gate->config;
	const struct policyd_context *context = call->context;

	if (policyd_known(context, call, &q->text))
		return policyd_answer(call, buf_bytes(&context->action), true);
	struct bytes kept = q->key.n ? policyd_cache_get(config->cache, buf_bytes(&q->key), run_now()) : bytes_make(NULL, 0);
	return kept.p ? policyd_answer(call, kept, false) : policyd_ask_server(call, q);
}

TASK_FN static int policyd_event(struct gate_call *call)
{
	const struct policyd_config *config = call->gate->config;
	struct policyd_view view = { 0 };
	struct policyd_question q = { 0 };

	int r = policyd_view_render(&view, call);
	if (r < 0) {
		call->fault = GATE_FAULT_PROTOCOL;
		call->fault_text = "policy servers are not asked at this stage";
		return r;
	}
	view.request.policy_context = config->policy_context;
	view.request.compatibility_level = config->compatibility_level;
	view.request.mail_version = config->mail_version;
	policyd_codec_request(&view.request, &q.text);
	if (config->extras) {
		policyd_view_extras(&view, call);
		policyd_codec_request(&view.request, &q.extended);
	}
	/* Later the question does not name all that it is about: the recipients, the content. */
	if (config->cache && call->stage <= GATE_RCPT)
		policyd_cache_key(&view.request, &q.key);
	policyd_view_fini(&view);
	r = policyd_ask(call, &q);
	buf_fini(&q.text);
	buf_fini(&q.extended);
	buf_fini(&q.key);
	return r;
}

#define POLICYD_STAGE(stage) (1u << (stage))

const struct gate_ops policyd_ops = {
	.kind = "policy",
	.open = policyd_open,
	.event = policyd_event,
	.abort = policyd_abort,
	.close = policyd_close,
	.stages = POLICYD_STAGE(GATE_CONNECT) | POLICYD_STAGE(GATE_EHLO) | POLICYD_STAGE(GATE_AUTH) | POLICYD_STAGE(GATE_MAIL) |
		  POLICYD_STAGE(GATE_RCPT) | POLICYD_STAGE(GATE_DATA) | POLICYD_STAGE(GATE_MESSAGE) | POLICYD_STAGE(GATE_VRFY),
	.default_on_failure = GATE_ON_FAILURE_TEMPFAIL,
	.tempfail = &policyd_tempfail,
};
