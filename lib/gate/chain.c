/*
 * chain.c: the runner.
 *
 * From the inside out: chain_call() is one call of a method, timed and bounded; chain_ask_link() opens a gate, tells it what it
 * missed, asks it, and makes of a fault what the configuration says; chain_event() asks all of them and merges the answers.
 */
#include "lib/gate/chain.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/gate/edit.h"

#include <errno.h>

struct chain_link {
	const struct gate *gate;
	void *context;                  /* NULL: not open */
	int64_t spent;                  /* ns in this transaction */
	uint16_t told;                  /* stages it has heard of since it was opened, as bits */
	bool attached;                  /* else only asked by name */
	bool misconfigured;             /* of the fault */
	enum gate_fault fault;          /* it failed, and is left alone until the transaction ends */
	enum gate_on_failure action;    /* what its failure means until then */
};

/* A question under way: to whom, about what, and what came of it. */
struct chain_question {
	struct chain *chain;
	struct chain_link *link;
	enum gate_stage stage;
	const struct chain_args *args;
	struct gate_verdict verdict;
	bool failed;                    /* the verdict is that of a fault */
};

#define STAGE_BIT(stage) (1u << (stage))
#define IN_SESSION (STAGE_BIT(GATE_CONNECT) | STAGE_BIT(GATE_EHLO))

void chain_init(struct chain *c, const struct gate_session *session)
{
	*c = (struct chain){ .session = session };
}

static struct chain_link *chain_find(struct chain *c, const struct gate *g)
{
	for (unsigned i = 0; i < c->count; i++) {
		if (c->links[i].gate == g)
			return &c->links[i];
	}
	return NULL;
}

static struct chain_link *chain_find_or_add(struct chain *c, const struct gate *g)
{
	struct chain_link *link = chain_find(c, g);
	if (link)
		return link;
	c->links = mem_array(c->links, c->count + 1, sizeof(*c->links));
	link = &c->links[c->count++];
	*link = (struct chain_link){ .gate = g };
	return link;
}

void chain_attach(struct chain *c, const struct gate *g)
{
	chain_find_or_add(c, g)->attached = true;
}

/* ---- one call ---- */

static const char *chain_action_name(enum gate_action action)
{
	static const char *const names[] = { "continue", "accept", "reject", "tempfail", "discard", "disconnect" };
	return names[action];
}

/* The audit line: one per gate and event. */
static void chain_log(const struct gate_call *call, int64_t ns)
{
	if (!log_wanted(LOG_LEVEL_DEBUG))
		return;
	unsigned edits = call->body_replaced;
	for (const struct list *l = call->edits.next; l != &call->edits; l = l->next)
		edits++;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_DEBUG, "gate");
	log_str(&l, "gate", call->gate->name);
	log_str(&l, "kind", call->gate->ops->kind);
	log_str(&l, "stage", gate_stage_name(call->stage));
	log_str(&l, "verdict", call->fault ? NULL : chain_action_name(call->verdict.action));
	log_str(&l, "fault", call->fault ? gate_fault_name(call->fault) : NULL);
	log_str(&l, "why", call->fault_text);
	log_int(&l, "us", ns / 1000);
	log_int(&l, "edits", edits);
	log_str(&l, "shadow", call->gate->shadow ? "yes" : NULL);
	log_end(&l);
}

static struct gate_call chain_call_make(const struct chain_question *q, enum gate_stage stage, const struct gate_rcpt *rcpt)
{
	return (struct gate_call){
		.gate = q->link->gate,
		.context = q->link->context,
		.stage = stage,
		.session = q->chain->session,
		.txn = q->args->txn,
		.rcpt = rcpt,
		.accepted_before = !rcpt || rcpt->refused.code == 0,
		.line = q->args->line,
	};
}

/* One event, within the gate's time.  0, or -errno; call->fault is set unless the session itself ended the call. */
TASK_FN static int chain_call(struct chain_link *link, struct gate_call *call)
{
	const struct gate *g = link->gate;
	list_init(&call->edits);
	link->told |= STAGE_BIT(call->stage);
	if (!g->ops->event)
		return 0;
	int64_t left = g->total_timeout == FOREVER ? FOREVER : g->total_timeout - link->spent;
	struct deadline d;
	int64_t start = run_now();
	deadline_begin(&d, left > 0 ? left : 0);
	int r = g->ops->event(call);
	bool late = deadline_passed(&d);
	deadline_end(&d);
	int64_t ns = run_now() - start;
	link->spent += ns;
	gate_span_add(call->txn, g->name, ns);
	if (r < 0 && r != -ECANCELED && r != -ESTALE && !call->fault && (r != -ETIMEDOUT || late || deadline_left() > 0))
		call->fault = r == -ETIMEDOUT ? GATE_FAULT_TIMEOUT : GATE_FAULT_PROTOCOL;
	chain_log(call, ns);
	return r;
}

TASK_FN static void chain_link_close(struct chain_link *link, bool quit)
{
	void *context = link->context;
	link->context = NULL;
	link->told = 0;
	if (context)
		link->gate->ops->close(context, quit);
}

/* ---- what was missed ---- */

/* Tells the gate of STAGE, which it missed.  1: it has answered with a verdict that ends the matter.  A fault is FOR_CALL's, the event it
 * was to be asked about. */
TASK_FN static int chain_tell(struct chain_question *q, struct gate_call *for_call, enum gate_stage stage, const struct gate_rcpt *rcpt)
{
	struct gate_call call = chain_call_make(q, stage, rcpt);
	int r = chain_call(q->link, &call);
	if (r < 0) {
		for_call->fault = call.fault;
		for_call->misconfigured = call.misconfigured;
		return r;
	}
	if (call.verdict.action <= GATE_ACCEPT)
		return 0;
	q->verdict = call.verdict;
	return 1;
}

static bool chain_missed(const struct chain_question *q, enum gate_stage stage)
{
	unsigned missed = q->link->gate->ops->history & ~(unsigned)q->link->told;
	return missed & STAGE_BIT(stage) && q->stage > stage;
}

/* The envelope so far, for a gate that comes in at RCPT or later. */
TASK_FN static int chain_catch_up_envelope(struct chain_question *q, struct gate_call *call)
{
	if (!q->args->txn || q->stage > GATE_MESSAGE || !chain_missed(q, GATE_MAIL))
		return 0;
	int r = chain_tell(q, call, GATE_MAIL, NULL);
	if (r != 0 || !(q->link->gate->ops->history & STAGE_BIT(GATE_RCPT)))
		return r;
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &q->args->txn->rcpts, struct gate_rcpt, link) {
		r = chain_tell(q, call, GATE_RCPT, rcpt);
		if (r != 0)
			return r;
	}
	return chain_missed(q, GATE_DATA) ? chain_tell(q, call, GATE_DATA, NULL) : 0;
}

/* 0: it knows all it must; 1: it already refused something; -errno. */
TASK_FN static int chain_catch_up(struct chain_question *q, struct gate_call *call)
{
	int r = 0;
	if (chain_missed(q, GATE_CONNECT))
		r = chain_tell(q, call, GATE_CONNECT, NULL);
	if (r == 0 && q->chain->session->helo && chain_missed(q, GATE_EHLO))
		r = chain_tell(q, call, GATE_EHLO, NULL);
	return r == 0 ? chain_catch_up_envelope(q, call) : r;
}

/* ---- faults ---- */

/* What a fault means for the client.  Texts are Postfix's (M41). */
static struct gate_verdict chain_fault_verdict(const struct chain_question *q, enum gate_on_failure action, bool misconfigured)
{
	struct gate_verdict v = { .gate = q->link->gate->name };
	struct gate_txn *txn = q->args->txn;
	if (action == GATE_ON_FAILURE_REJECT && misconfigured)
		action = GATE_ON_FAILURE_TEMPFAIL;
	switch (action) {
	case GATE_ON_FAILURE_CONTINUE:
		break;
	case GATE_ON_FAILURE_ACCEPT:
		v.action = GATE_ACCEPT;
		break;
	case GATE_ON_FAILURE_TEMPFAIL:
		if (!txn && q->stage < GATE_MAIL && q->link->gate->ops->history)
			break; /* nothing to refuse yet: it is tried again at MAIL */
		v.action = GATE_TEMPFAIL;
		v.reply = q->link->gate->ops->tempfail ? *q->link->gate->ops->tempfail :
			  misconfigured                ? SMTP_REPLY(451, "4.3.5", "Server configuration problem - try again later") :
							 SMTP_REPLY(451, "4.7.1", "Service unavailable - try again later");
		break;
	case GATE_ON_FAILURE_REJECT:
		v.action = GATE_REJECT;
		v.reply = SMTP_REPLY(550, "5.5.0", "Service unavailable");
		break;
	case GATE_ON_FAILURE_HOLD:
		if (txn && !txn->held)
			txn->hold_reason = arena_printf(txn->arena, "%s failed", q->link->gate->name);
		if (txn)
			txn->held = true;
		break;
	case GATE_ON_FAILURE_DISCONNECT:
		v.action = GATE_DISCONNECT;
		v.reply = misconfigured ? SMTP_REPLY(421, "4.3.5", "Server configuration problem - try again later") :
					  SMTP_REPLY(421, "4.7.1", "Service unavailable - try again later");
		break;
	}
	return v;
}

/* The gate failed.  One that lives on its history is of no use before the next transaction; another may be asked again at once. */
TASK_FN static void chain_failed(struct chain_question *q, const struct gate_call *call)
{
	struct chain_link *link = q->link;
	enum gate_on_failure action = link->gate->on_failure[q->stage][call->fault];
	if (call->body_replaced && !call->gate->shadow)
		mail_body_replace_abort(call->txn->mail);
	if (link->gate->ops->history) {
		chain_link_close(link, false);
		link->fault = call->fault;
		link->action = action;
		link->misconfigured = call->misconfigured;
	}
	q->failed = true;
	q->verdict = chain_fault_verdict(q, action, call->misconfigured || call->fault == GATE_FAULT_EDIT);
}

/* ---- one gate ---- */

static void chain_keep_deferred(const struct gate_call *call, struct gate_txn *txn)
{
	if (!txn)
		return;
	if (call->defer_if_permit.code && !txn->defer_if_permit.code)
		txn->defer_if_permit = smtp_reply_copy(&call->defer_if_permit, txn->arena);
	if (call->defer_if_reject.code && !txn->defer_if_reject.code)
		txn->defer_if_reject = smtp_reply_copy(&call->defer_if_reject, txn->arena);
}

/* The edits take effect, for the next gate to see, if the message can still go anywhere. */
static int chain_apply(struct gate_call *call)
{
	bool wanted = call->verdict.action <= GATE_ACCEPT && !call->gate->shadow;
	if (call->body_replaced && !call->gate->shadow) {
		if (!wanted)
			mail_body_replace_abort(call->txn->mail);
		else if (mail_body_replace_end(call->txn->mail) < 0)
			return -EIO;
		call->body_replaced = false;
	}
	return wanted ? gate_edits_apply(&call->edits, call->txn) : 0;
}

static struct gate_verdict chain_stock(struct gate_verdict v, const char *gate)
{
	v.gate = gate;
	if (v.reply.code)
		return v;
	if (v.action == GATE_REJECT)
		v.reply = SMTP_REPLY(550, "5.7.1", "Command rejected");
	else if (v.action == GATE_TEMPFAIL)
		v.reply = SMTP_REPLY(451, "4.7.1", "Service unavailable - try again later");
	else if (v.action == GATE_DISCONNECT)
		v.reply = SMTP_REPLY(421, "4.7.0", "Server closing connection");
	return v;
}

TASK_FN static int chain_open(struct chain_question *q)
{
	struct chain_link *link = q->link;
	return link->context ? 0 : link->gate->ops->open(link->gate, q->chain->session, &link->context);
}

/* Opens the gate if need be, tells it what it missed, and asks.  1: what it missed already brought a verdict. */
TASK_FN static int chain_try(struct chain_question *q, struct gate_call *call)
{
	int r = chain_open(q);
	call->fault = r < 0 && r != -ECANCELED ? GATE_FAULT_CONNECT : GATE_FAULT_NONE;
	if (r == 0)
		r = chain_catch_up(q, call);
	if (r != 0)
		return r;
	call->context = q->link->context;
	return chain_call(q->link, call);
}

/* Asks q->link.  0 with q->verdict, or -ECANCELED/-ETIMEDOUT of the session. */
TASK_FN static int chain_ask_link(struct chain_question *q)
{
	struct chain_link *link = q->link;
	if (q->stage == GATE_MAIL)
		link->fault = GATE_FAULT_NONE; /* of the session so far: a new chance */
	if (link->fault) {
		q->failed = true;
		q->verdict = chain_fault_verdict(q, link->action, link->misconfigured || link->fault == GATE_FAULT_EDIT);
		return 0;
	}
	struct gate_call call = chain_call_make(q, q->stage, q->args->rcpt);
	int r = chain_try(q, &call);
	if (r == -ESTALE) {
		chain_link_close(link, false);
		r = chain_try(q, &call);
		if (r == -ESTALE)
			call.fault = GATE_FAULT_CONNECT;
	}
	if (r == 0) {
		r = chain_apply(&call);
		if (r < 0)
			call.fault = GATE_FAULT_EDIT;
	}
	if (r < 0 && !call.fault)
		return r;
	if (r < 0) {
		chain_failed(q, &call);
	} else if (r == 0) {
		chain_keep_deferred(&call, q->args->txn);
		q->verdict = call.verdict;
	}
	q->verdict = chain_stock(q->verdict, link->gate->name);
	return 0;
}

/* ---- all gates ---- */

static const struct chain_args no_args;

static bool chain_wants(const struct chain_link *link, enum gate_stage stage, const struct chain_args *args)
{
	if (!link->attached || !(link->gate->ops->stages & STAGE_BIT(stage)))
		return false;
	return !(args->rcpt && args->rcpt->refused.code) || link->gate->ops->refused_rcpts;
}

/* The verdict of one event, put together from those of its gates. */
struct chain_merge {
	struct gate_verdict verdict;    /* the first that a gate gave */
	struct gate_verdict fault;      /* the first that a failure means */
};

TASK_FN static int chain_ask_all(struct chain *c, enum gate_stage stage, const struct chain_args *args, struct chain_merge *ret)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct chain_question q = { .chain = c, .link = &c->links[i], .stage = stage, .args = args };
		if (!chain_wants(q.link, stage, args))
			continue;
		int r = chain_ask_link(&q);
		if (r < 0)
			return r;
		if (q.verdict.action <= GATE_ACCEPT || q.link->gate->shadow)
			continue;
		if (!q.failed) {
			ret->verdict = q.verdict;
			return 0;
		}
		if (ret->fault.action == GATE_CONTINUE)
			ret->fault = q.verdict;
	}
	return 0;
}

static int chain_apply_early(struct gate_txn *txn)
{
	if (!txn->mail || list_empty(&txn->early_edits))
		return 0;
	int r = gate_edits_apply(&txn->early_edits, txn);
	list_init(&txn->early_edits);
	return r;
}

/* What the merged verdict changes for the rest of the session or transaction. */
static void chain_remember(struct chain *c, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *v)
{
	if (args->rcpt && args->rcpt->refused.code) {
		*v = (struct gate_verdict){ 0 };
	} else if (v->action == GATE_DISCARD && args->txn && stage <= GATE_MESSAGE) {
		args->txn->discarded = true;
	} else if (v->action == GATE_DISCARD) {
		*v = (struct gate_verdict){ 0 }; /* there is no message to discard (M35) */
	} else if (v->action != GATE_CONTINUE && STAGE_BIT(stage) & IN_SESSION) {
		v->reply = smtp_reply_copy(&v->reply, c->session->arena);
		c->lasting = *v;
	}
}

int chain_event(struct chain *c, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *ret)
{
	args = args ? args : &no_args;
	if (stage == GATE_MESSAGE) {
		int r = chain_apply_early(args->txn);
		if (r < 0)
			return r;
	}
	struct chain_merge merge = { 0 };
	if (c->lasting.action != GATE_CONTINUE) {
		*ret = c->lasting;
		return 0;
	}
	if (!args->txn || !args->txn->discarded) {
		int r = chain_ask_all(c, stage, args, &merge);
		if (r < 0)
			return r;
	}
	struct gate_verdict v = merge.verdict.action != GATE_CONTINUE ? merge.verdict : merge.fault;
	chain_remember(c, stage, args, &v);
	*ret = v;
	return 0;
}

int chain_ask(struct chain *c, const struct gate *g, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *ret)
{
	struct chain_question q = { .chain = c, .link = chain_find_or_add(c, g), .stage = stage, .args = args ? args : &no_args };
	int r = chain_ask_link(&q);
	if (r < 0)
		return r;
	*ret = q.verdict;
	if (g->shadow)
		*ret = (struct gate_verdict){ 0 };
	return 0;
}

void chain_abort(struct chain *c, struct gate_txn *txn, bool committed)
{
	struct chain_args args = { .txn = txn };
	for (unsigned i = 0; i < c->count; i++) {
		struct chain_link *link = &c->links[i];
		if (link->context && link->gate->ops->abort) {
			struct chain_question q = { .chain = c, .link = link, .stage = GATE_RESULT, .args = &args };
			struct gate_call call = chain_call_make(&q, GATE_RESULT, NULL);
			link->gate->ops->abort(&call, committed);
		}
		link->told &= IN_SESSION;
		link->spent = 0;
		link->fault = GATE_FAULT_NONE;
	}
}

void chain_close(struct chain *c, bool quit)
{
	for (unsigned i = 0; i < c->count; i++)
		chain_link_close(&c->links[i], quit);
	mem_free(c->links);
	*c = (struct chain){ .session = c->session };
}

void chain_restart(struct chain *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		chain_link_close(&c->links[i], true);
		c->links[i].fault = GATE_FAULT_NONE;
		c->links[i].spent = 0;
	}
	c->lasting = (struct gate_verdict){ 0 };
}
