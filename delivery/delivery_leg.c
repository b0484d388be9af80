/*
 * delivery_leg.c: groups, fail over, and tasks side by side.
 */
#include "delivery/delivery_leg.h"

#include "lib/base/log.h"
#include "lib/base/strmap.h"

#include <ctype.h>

/* ---- grouping ---- */

static bool leg_takes(const struct delivery_leg *leg, const struct delivery_target *t)
{
	unsigned most = t->hops[0]->max_rcpts;

	return leg->hop_count == t->hop_count && memcmp(leg->hops, t->hops, t->hop_count * sizeof *t->hops) == 0 &&
	    (most == 0 || leg->group.target_count < most);
}

static struct delivery_leg *leg_for(struct delivery_legs *legs, const struct delivery_params *p, const struct delivery_target *t)
{
	struct delivery_leg **at = &legs->first;

	for (; *at; at = &(*at)->next)
		if (leg_takes(*at, t))
			return *at;
	struct delivery_leg *leg = *at = ARENA_NEW(p->txn->arena, struct delivery_leg);
	leg->hops = t->hops;
	leg->hop_count = t->hop_count;
	leg->group.hop = t->hops[0];
	leg->group.txn = p->txn;
	leg->group.session = p->session;
	legs->count++;
	return leg;
}

/* Targets stay in the order of their recipients: LMTP answers in that order. */
static void leg_add(struct delivery_leg *leg, struct delivery_target *t)
{
	struct delivery_target **at = &leg->group.targets;

	while (*at)
		at = &(*at)->group_next;
	*at = t;
	t->group_next = NULL;
	leg->group.target_count++;
}

/* The same for all who are the same in what matters to who gets the message, and hears of it (smtp_address_eq()). */
static void leg_put_rcpt(const struct smtp_path *path, struct buf *to)
{
	buf_printf(to, "%u ", path->notify);
	buf_add(to, path->orcpt);
	buf_add_char(to, ' ');
	buf_add(to, path->address.local);
	buf_add_char(to, '@');
	for (size_t i = 0; i < path->address.domain.n; i++)
		buf_add_char(to, (char)tolower((unsigned char)path->address.domain.p[i]));
}

static bool leg_same_target(const struct delivery_target *a, const struct delivery_target *b)
{
	return a->hop_count == b->hop_count && smtp_address_eq(&a->address, &b->address) &&
	    memcmp(a->hops, b->hops, a->hop_count * sizeof *a->hops) == 0;
}

/* The same target of the recipient when it was named first; NULL: this is the first time. */
static const struct delivery_target *leg_twin(const struct gate_rcpt *first, const struct delivery_target *of)
{
	for (const struct delivery_target *t = first ? first->targets : NULL; t; t = t->next)
		if (leg_same_target(t, of))
			return t;
	return NULL;
}

/* RCPT is named now: who was the same before, if anybody was.  One whom a gate has added is its own affair. */
static const struct gate_rcpt *leg_named(struct strmap *seen, struct gate_rcpt *rcpt)
{
	struct buf key = { 0 };
	if (rcpt->added)
		return NULL;
	leg_put_rcpt(&rcpt->path, &key);
	const struct gate_rcpt *first = strmap_get(seen, buf_bytes(&key));
	if (!first)
		strmap_set(seen, buf_bytes(&key), rcpt);
	buf_fini(&key);
	return first;
}

void delivery_legs_share(const struct delivery_params *p)
{
	struct gate_rcpt *rcpt;

	LIST_EACH(rcpt, &p->txn->rcpts, struct gate_rcpt, link) {
		for (struct delivery_target *t = rcpt->targets; t; t = t->next) {
			if (!t->twin)
				continue;
			t->reply = t->twin->reply;
			t->delivered = t->twin->delivered;
			t->delivered_before = t->twin->delivered_before;
			t->refused_before = t->twin->refused_before;
			t->uncertain = t->twin->uncertain;
		}
	}
}

void delivery_legs_collect(const struct delivery_params *p, struct delivery_legs *ret)
{
	struct delivery_legs legs = { 0 };
	struct strmap seen = { 0 };
	struct gate_rcpt *rcpt;

	LIST_EACH(rcpt, &p->txn->rcpts, struct gate_rcpt, link) {
		const struct gate_rcpt *first = p->txn->rcpt_count > 1 ? leg_named(&seen, rcpt) : NULL;
		for (struct delivery_target *t = rcpt->targets; t; t = t->next) {
			t->twin = leg_twin(first, t);
			if (!t->twin && !t->delivered_before)
				leg_add(leg_for(&legs, p, t), t);
		}
	}
	strmap_fini(&seen);
	for (struct delivery_leg *leg = legs.first; leg; leg = leg->next) {
		leg->group.alone = legs.count == 1;
		leg->group.at_once = p->per_recipient || (leg->group.alone && leg->group.target_count == 1);
	}
	*ret = legs;
}

/* ---- one leg ---- */

static void leg_clear(struct delivery_leg *leg)
{
	for (struct delivery_target *t = leg->group.targets; t; t = t->group_next)
		t->reply = (struct smtp_reply){ 0 };
	leg->group.committed = false;
}

/* May the next one in the list be asked?  Not if anybody was taken or refused, nor if somebody may have been taken. */
static bool leg_only_delayed(const struct delivery_leg *leg)
{
	for (const struct delivery_target *t = leg->group.targets; t; t = t->group_next)
		if (!smtp_reply_temporary(&t->reply) || t->uncertain)
			return false;
	return true;
}

TASK_FN static void leg_rollback(struct delivery_leg *leg)
{
	if (leg->group.state)
		leg->group.hop->ops->rollback(&leg->group);
}

/* Accepted by the next hop and committed: delivered.  Kinds that tell targets apart say so themselves. */
static void leg_note_delivered(struct delivery_leg *leg)
{
	for (struct delivery_target *t = leg->group.targets; t; t = t->group_next)
		if (leg->group.committed && smtp_reply_ok(&t->reply))
			t->delivered = true;
}

TASK_FN static void leg_prepare(struct delivery_leg *leg)
{
	struct delivery_group *g = &leg->group;

	for (unsigned i = 0; i < leg->hop_count; i++) {
		int64_t start = run_now();
		leg_clear(leg);
		g->hop = leg->hops[i];
		leg->error = g->hop->ops->prepare(g);
		gate_span_add(g->txn, g->hop->name, run_now() - start);
		if (leg->error < 0 || !leg_only_delayed(leg))
			break;
		log_debug("fail-over", "next hop %s cannot take the message now", g->hop->name);
		leg_rollback(leg);
	}
	leg_note_delivered(leg);
}

TASK_FN static void leg_commit(struct delivery_leg *leg)
{
	struct delivery_group *g = &leg->group;
	int64_t start = run_now();

	leg->error = g->hop->ops->commit(g);
	g->committed = true;
	gate_span_add(g->txn, g->hop->name, run_now() - start);
	leg_note_delivered(leg);
}

/* ---- side by side ---- */

TASK_FN static void leg_task_prepare(struct delivery_leg *leg)
{
	struct deadline d;

	log_set_session(leg->log_session);
	deadline_begin_at(&d, leg->until);
	leg_prepare(leg);
	deadline_end(&d);
}

TASK_FN static void leg_task_commit(struct delivery_leg *leg)
{
	struct deadline d;

	log_set_session(leg->log_session);
	deadline_begin_at(&d, leg->until);
	leg_commit(leg);
	deadline_end(&d);
}

static void leg_set_limits(struct delivery_leg *leg)
{
	int64_t left = deadline_left();

	leg->until = left == FOREVER ? FOREVER : run_now() + left;
	leg->log_session = log_session();
}

/* Only a leg that has never waited for anything can be without replies: it was cancelled before it began. */
TASK_FN int delivery_legs_prepare(struct delivery_legs *legs)
{
	struct task_group tasks;
	int r;

	if (legs->count == 1) {
		leg_prepare(legs->first);
		return legs->first->error;
	}
	task_group_init(&tasks);
	for (struct delivery_leg *leg = legs->first; leg; leg = leg->next) {
		leg_set_limits(leg);
		task_spawn(&tasks, "delivery", leg_task_prepare, leg);
	}
	r = task_group_join(&tasks);
	for (struct delivery_leg *leg = legs->first; leg && r == 0; leg = leg->next)
		r = leg->error;
	return r;
}

static bool leg_any_delivered(const struct delivery_leg *leg)
{
	for (const struct delivery_target *t = leg->group.targets; t; t = t->group_next)
		if (t->delivered || t->uncertain)
			return true;
	return false;
}

static struct delivery_leg *leg_least_sure(const struct delivery_legs *legs)
{
	struct delivery_leg *sure = NULL;

	for (struct delivery_leg *leg = legs->first; leg; leg = leg->next) {
		if (leg->group.committed)
			continue;
		if (!leg->group.hop->ops->sure)
			return leg;
		if (!sure)
			sure = leg;
	}
	return sure;
}

TASK_FN static int legs_commit_rest(struct delivery_legs *legs)
{
	struct task_group tasks;
	int r;

	task_group_init(&tasks);
	for (struct delivery_leg *leg = legs->first; leg; leg = leg->next) {
		if (leg->group.committed)
			continue;
		leg_set_limits(leg);
		task_spawn(&tasks, "delivery", leg_task_commit, leg);
	}
	r = task_group_join(&tasks);
	for (struct delivery_leg *leg = legs->first; leg && r == 0; leg = leg->next)
		r = leg->error;
	return r;
}

TASK_FN int delivery_legs_commit(struct delivery_legs *legs)
{
	struct delivery_leg *first = leg_least_sure(legs);

	if (!first)
		return 0;
	leg_commit(first);
	if (legs->count == 1 || first->error < 0 || !leg_any_delivered(first))
		return first->error;
	return legs_commit_rest(legs);
}

TASK_FN void delivery_legs_rollback(struct delivery_legs *legs)
{
	for (struct delivery_leg *leg = legs->first; leg; leg = leg->next)
		leg_rollback(leg);
}
