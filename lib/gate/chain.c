/*
 * chain.c: the runner: asks all gates of a session about an event, and merges their answers.
 */
#include "lib/gate/chain_link.h"

#include "lib/base/mem.h"
#include "lib/gate/edit.h"

void chain_init(struct chain *c, const struct gate_session *session)
{
	*c = (struct chain){ .session = session };
}

void chain_begin(struct chain *c, enum gate_stage stage, struct gate_txn *txn)
{
	if (stage < GATE_MAIL)
		c->defer_if_permit[stage].code = 0;
	for (unsigned i = 0; stage == GATE_MAIL && i < GATE_MAIL; i++)
		if (txn && !txn->defer_if_permit.code)
			txn->defer_if_permit = c->defer_if_permit[i];
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

const struct gate *chain_gate(const struct chain *c, unsigned i)
{
	for (unsigned k = 0; k < c->count; k++)
		if (c->links[k].attached && i-- == 0)
			return c->links[k].gate;
	return NULL;
}

/* ---- all gates ---- */

static const struct chain_args no_args;

static bool chain_wants(const struct chain_link *link, enum gate_stage stage, const struct chain_args *args)
{
	if (!link->attached || !(link->gate->ops->stages & STAGE_BIT(stage)))
		return false;
	return !(args->rcpt && args->rcpt->refused.code) || link->gate->ops->refused_rcpts;
}

/* The recipient is refused: the gates from FROM on hear of it, if they want to; what they say to that does not count (M11). */
TASK_FN static int chain_tell_refusal(struct chain *c, unsigned from, const struct chain_args *args)
{
	int r = 0;
	for (unsigned i = from; r == 0 && i < c->count; i++) {
		struct chain_question q = { .chain = c, .link = &c->links[i], .stage = GATE_RCPT, .args = args };
		if (!chain_wants(q.link, GATE_RCPT, args))
			continue;
		chain_link_begin(&q, GATE_EDIT_EVERY);
		r = chain_link_ask(&q);
		if (r == 0)
			chain_link_settle(&q);
	}
	return r;
}

/* The gate before FROM has refused it. */
TASK_FN static int chain_tell_verdict(struct chain *c, unsigned from, const struct chain_args *args, const struct gate_verdict *v)
{
	if (v->action == GATE_DISCARD)
		return 0;
	args->rcpt->refused = v->reply;
	args->rcpt->refused_by = GATE_REFUSED_BY_GATE;
	int r = chain_tell_refusal(c, from, args);
	/* The refusal itself is the caller's to make. */
	args->rcpt->refused = (struct smtp_reply){ 0 };
	return r;
}

TASK_FN static int chain_ask_in_turn(struct chain *c, enum gate_stage stage, const struct chain_args *args, struct chain_merge *ret)
{
	if (args->rcpt && args->rcpt->refused.code)
		return chain_tell_refusal(c, 0, args);
	for (unsigned i = 0; i < c->count; i++) {
		struct chain_question q = { .chain = c, .link = &c->links[i], .stage = stage, .args = args };
		if (!chain_wants(q.link, stage, args))
			continue;
		chain_link_begin(&q, GATE_EDIT_EVERY);
		int r = chain_link_ask(&q);
		if (r < 0)
			return r;
		chain_link_settle(&q);
		if (chain_merge_add(ret, &q))
			return stage == GATE_RCPT ? chain_tell_verdict(c, i + 1, args, &ret->verdict) : 0;
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
	if (v->action == GATE_DISCARD && args->txn && stage <= GATE_MESSAGE) {
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
	/* EHLO amid a transaction is about those to come. */
	if (stage < GATE_MAIL || !args->txn || !args->txn->discarded) {
		int r = stage == GATE_MESSAGE ? chain_batch_ask(c, args, &merge) : chain_ask_in_turn(c, stage, args, &merge);
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
	chain_link_begin(&q, GATE_EDIT_EVERY);
	int r = chain_link_ask(&q);
	if (r < 0)
		return r;
	chain_link_settle(&q);
	*ret = q.verdict;
	if (g->shadow)
		*ret = (struct gate_verdict){ 0 };
	return 0;
}

bool chain_eats(const struct chain *c)
{
	return c->lasting.action == GATE_CONTINUE && chain_batch_eats(c);
}

int chain_feed(struct chain *c, struct gate_txn *txn)
{
	struct chain_args args = { .txn = txn };
	if (txn->discarded || !chain_eats(c))
		return 0;
	int r = chain_apply_early(txn);
	return r < 0 ? r : chain_batch_feed(c, &args);
}

void chain_abort(struct chain *c, struct gate_txn *txn, bool committed)
{
	struct chain_args args = { .txn = txn };
	for (unsigned i = 0; i < c->count; i++) {
		struct chain_question q = { .chain = c, .link = &c->links[i], .stage = GATE_RESULT, .args = &args };
		chain_link_abort(&q, committed);
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
	memset(c->defer_if_permit, 0, sizeof(c->defer_if_permit));
	c->lasting = (struct gate_verdict){ 0 };
}
