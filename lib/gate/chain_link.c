/*
 * chain_link.c: one gate of a chain, and one question to it.
 *
 * From the inside out: chain_call() is one call of a method, timed and bounded; chain_try() opens the gate and tells it what it
 * missed first; chain_link_settle() makes of a fault what the configuration says.
 */
#include "lib/gate/chain_link.h"

#include "lib/base/log.h"
#include "lib/gate/edit.h"

#include <errno.h>

/* What a gate said before all of the content was there. */
struct chain_early {
	int answer;
	struct gate_call call;
};

/* ---- one call ---- */

static const char *chain_action_name(enum gate_action action)
{
	static const char *const names[] = { "continue", "accept", "reject", "tempfail", "discard", "disconnect" };
	return names[action];
}

static unsigned chain_edits(const struct gate_call *call, unsigned *ret_kinds)
{
	unsigned n = call->body_replaced, kinds = call->body_replaced ? GATE_EDIT_BODY : 0;
	for (const struct list *l = call->edits.next; l != &call->edits; l = l->next, n++)
		kinds |= LIST_ITEM(l, struct gate_edit, link)->kind;
	*ret_kinds = kinds;
	return n;
}

/* One line for each call; smtpd/ logs one for each gate and message. */
static void chain_log(const struct gate_call *call, int64_t ns)
{
	unsigned kinds;
	struct log_line l;
	if (!log_wanted(LOG_LEVEL_DEBUG))
		return;
	log_begin(&l, LOG_LEVEL_DEBUG, "gate-call");
	log_str(&l, "gate", call->gate->name);
	log_str(&l, "kind", call->gate->ops->kind);
	log_str(&l, "stage", gate_stage_name(call->stage));
	log_str(&l, "verdict", call->fault ? NULL : chain_action_name(call->verdict.action));
	log_str(&l, "fault", call->fault ? gate_fault_name(call->fault) : NULL);
	log_str(&l, "why", call->fault_text);
	log_int(&l, "us", ns / 1000);
	log_int(&l, "edits", chain_edits(call, &kinds));
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

void chain_link_begin(struct chain_question *q, unsigned permitted)
{
	q->call = chain_call_make(q, q->stage, q->args->rcpt);
	q->permitted = permitted;
	list_init(&q->call.edits);
}

TASK_FN static int chain_method(struct gate_call *call, bool arriving)
{
	const struct gate_ops *ops = call->gate->ops;
	if (arriving)
		return ops->feed ? ops->feed(call) : 0;
	return ops->event ? ops->event(call) : 0;
}

/* One event, within the gate's time.  0, or -errno; call->fault is set unless the session itself ended the call. */
TASK_FN static int chain_call(struct chain_question *q, struct gate_call *call)
{
	struct chain_link *link = q->link;
	const struct gate *g = link->gate;
	list_init(&call->edits);
	call->permitted = q->permitted;
	if (!q->arriving || call->stage != q->stage)
		link->told |= STAGE_BIT(call->stage);
	int64_t left = g->total_timeout == FOREVER ? FOREVER : g->total_timeout - link->spent;
	struct deadline d;
	int64_t start = run_now();
	deadline_begin(&d, left > 0 ? left : 0);
	int r = chain_method(call, q->arriving && call->stage == q->stage);
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

void chain_link_close(struct chain_link *link, bool quit)
{
	void *context = link->context;
	link->context = NULL;
	link->told = 0;
	if (context)
		link->gate->ops->close(context, quit);
}

/* ---- what was missed ---- */

/* Tells the gate of STAGE, which it missed.  1: it has answered with a verdict that ends the matter.  That, or a fault, is FOR_CALL's, the event
 * it was to be asked about. */
TASK_FN static int chain_tell(struct chain_question *q, struct gate_call *for_call, enum gate_stage stage, const struct gate_rcpt *rcpt)
{
	struct gate_call call = chain_call_make(q, stage, rcpt);
	int r = chain_call(q, &call);
	if (r < 0) {
		for_call->fault = call.fault;
		for_call->misconfigured = call.misconfigured;
		return r;
	}
	if (call.verdict.action <= GATE_ACCEPT)
		return 0;
	for_call->verdict = call.verdict;
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
		v.reply = q->call.tempfail.code          ? q->call.tempfail :
			  q->link->gate->ops->tempfail ? *q->link->gate->ops->tempfail :
			  misconfigured                ? SMTP_REPLY(451, "4.3.5", "Server configuration problem - try again later") :
							 SMTP_REPLY(451, "4.7.1", "Service unavailable - try again later");
		break;
	case GATE_ON_FAILURE_REJECT:
		v.action = GATE_REJECT;
		v.reply = SMTP_REPLY(550, "5.5.0", "Service unavailable");
		break;
	case GATE_ON_FAILURE_HOLD:
		if (!txn || q->link->gate->shadow)
			break;
		if (!txn->held) {
			txn->hold_reason = arena_printf(txn->arena, "%s failed", q->link->gate->name);
			txn->hold_gate = q->link->gate->name;
		}
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

/* What is said of the session is good for every transaction to come, even when another is under way, which EHLO ends. */
static void chain_keep_deferred(struct chain *c, const struct gate_call *call, struct gate_txn *txn)
{
	if (call->stage < GATE_MAIL) {
		if (call->defer_if_permit.code && !c->defer_if_permit[call->stage].code)
			c->defer_if_permit[call->stage] = smtp_reply_copy(&call->defer_if_permit, c->session->arena);
		return;
	}
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
TASK_FN static int chain_try(struct chain_question *q)
{
	struct gate_call *call = &q->call;
	int r = chain_open(q);
	call->fault = r < 0 && r != -ECANCELED ? GATE_FAULT_CONNECT : GATE_FAULT_NONE;
	if (r == 0)
		r = chain_catch_up(q, call);
	if (r != 0)
		return r;
	call->context = q->link->context;
	return chain_call(q, call);
}

/* Who hung up in mid-content may have lost patience with a slow client, and never would have noticed him had he been shown the whole at once. */
static bool chain_hung_up(const struct chain_question *q)
{
	return q->answer < 0 && !q->call.misconfigured && (q->call.fault == GATE_FAULT_PROTOCOL || q->call.fault == GATE_FAULT_CONNECT);
}

/* The first verdict or fault in mid-content is the answer to the whole; but who hung up is shown the whole anew. */
TASK_FN static void chain_keep_early(struct chain_question *q)
{
	if (q->answer == 0 && q->call.verdict.action == GATE_CONTINUE)
		return;
	if (chain_hung_up(q)) {
		chain_link_close(q->link, false);
		q->link->unfed = true;
		return;
	}
	q->link->early = ARENA_NEW(q->args->txn->arena, struct chain_early);
	*q->link->early = (struct chain_early){ .answer = q->answer, .call = q->call };
}

static void chain_recall_early(struct chain_question *q)
{
	q->answer = q->link->early->answer;
	q->call = q->link->early->call;
	list_init(&q->call.edits);
}

int chain_link_ask(struct chain_question *q)
{
	struct chain_link *link = q->link;
	if (q->stage == GATE_MAIL)
		link->fault = GATE_FAULT_NONE; /* of the session so far: a new chance */
	q->left_alone = link->fault != GATE_FAULT_NONE;
	if (q->left_alone)
		return 0;
	if (link->early) {
		chain_recall_early(q);
		return 0;
	}
	q->answer = chain_try(q);
	if (q->answer == -ESTALE) {
		chain_link_close(link, false);
		q->answer = chain_try(q);
		if (q->answer == -ESTALE)
			q->call.fault = GATE_FAULT_CONNECT;
	}
	if (q->answer < 0 && !q->call.fault)
		return q->answer;
	if (q->arriving)
		chain_keep_early(q);
	return 0;
}

bool chain_link_decides(const struct chain_question *q)
{
	return !q->left_alone && q->answer >= 0 && q->call.verdict.action > GATE_ACCEPT && !q->link->gate->shadow;
}

/* ---- what comes of it ---- */

/* A refused recipient says nothing of the message (M38), nor does what has no message. */
static bool chain_audit_verdict(const struct chain_question *q)
{
	enum gate_action action = q->call.verdict.action;
	if (q->stage == GATE_RCPT && (action == GATE_REJECT || action == GATE_TEMPFAIL))
		return false;
	return action != GATE_CONTINUE && q->stage <= GATE_MESSAGE;
}

/* For the audit line of gate and message: what it said, and what it changed (a shadow gate: what it would have). */
static void chain_audit(const struct chain_question *q, unsigned edits, unsigned kinds)
{
	if (!q->args->txn)
		return;
	struct gate_span *span = gate_span_get(q->args->txn, q->link->gate->name);
	span->kind = q->link->gate->ops->kind;
	span->shadow = q->link->gate->shadow;
	if (q->answer < 0)
		span->fault = gate_fault_name(q->call.fault);
	else if (chain_audit_verdict(q))
		span->verdict = chain_action_name(q->call.verdict.action);
	if (q->answer < 0 || q->call.verdict.action > GATE_ACCEPT)
		return;
	span->edits += edits;
	span->edit_kinds |= kinds;
}

void chain_link_settle(struct chain_question *q)
{
	struct chain_link *link = q->link;
	unsigned kinds, edits;
	if (q->left_alone) {
		q->failed = true;
		q->verdict = chain_fault_verdict(q, link->action, link->misconfigured || link->fault == GATE_FAULT_EDIT);
		return;
	}
	edits = chain_edits(&q->call, &kinds);
	if (q->answer == 0 && chain_apply(&q->call) < 0) {
		q->answer = -EIO;
		q->call.fault = GATE_FAULT_EDIT;
	}
	q->holds = q->answer == 0 && kinds & GATE_EDIT_HOLD && !link->gate->shadow;
	chain_audit(q, edits, kinds);
	if (q->answer < 0) {
		chain_failed(q, &q->call);
	} else {
		if (q->answer == 0 && !link->gate->shadow)
			chain_keep_deferred(q->chain, &q->call, q->args->txn);
		q->verdict = q->call.verdict;
	}
	q->verdict = chain_stock(q->verdict, link->gate->name);
}

/* Its conversation may have been cut anywhere: only a new one is of use. */
void chain_link_drop(struct chain_question *q)
{
	if (q->left_alone)
		return;
	if (q->call.body_replaced && !q->link->gate->shadow)
		mail_body_replace_abort(q->call.txn->mail);
	struct gate_span *span = gate_span_get(q->args->txn, q->link->gate->name);
	span->kind = q->link->gate->ops->kind;
	span->verdict = "canceled";
	if (q->answer < 0)
		chain_link_close(q->link, false);
}

void chain_link_abort(struct chain_question *q, bool committed)
{
	struct chain_link *link = q->link;
	if (link->context && link->gate->ops->abort) {
		struct gate_call call = chain_call_make(q, GATE_RESULT, NULL);
		link->gate->ops->abort(&call, committed);
	}
	link->told &= IN_SESSION;
	link->spent = 0;
	link->fault = GATE_FAULT_NONE;
	link->early = NULL;
	link->reads = link->unfed = false;
}
