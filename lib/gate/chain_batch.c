/*
 * chain_batch.c: gates asked about a message side by side.
 *
 * A batch is a run of gates that can edit nothing, and the first after them that can.  All of them see the same message; what they said
 * then takes effect in their order.  So it makes no difference to anybody but the clock: who waits for three filters of a second waits
 * one.  Each but the first has a task of its own; a batch of one costs nothing.
 */
#include "lib/gate/chain_link.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>

struct chain_member {
	struct chain_question q;
	struct chain_batch *batch;
	struct task_group task;
	int r;                          /* of the session */
};

struct chain_batch {
	struct chain_member *members;
	unsigned count;
};

bool chain_merge_add(struct chain_merge *m, const struct chain_question *q)
{
	if (q->verdict.action <= GATE_ACCEPT || q->link->gate->shadow)
		return false;
	if (!q->failed) {
		m->verdict = q->verdict;
		return true;
	}
	if (m->fault.action == GATE_CONTINUE)
		m->fault = q->verdict;
	return false;
}

/* ---- who belongs together ---- */

static bool chain_batch_asked(const struct chain_link *link)
{
	return link->attached && link->gate->ops->stages & STAGE_BIT(GATE_MESSAGE);
}

/* A gate that is not open may be anything. */
static bool chain_batch_edits(const struct chain_link *link)
{
	const struct gate *g = link->gate;
	if (g->shadow || link->fault || link->early || link->reads)
		return false;
	return !link->context || !g->ops->edits || g->ops->edits(link->context) & ~(unsigned)GATE_EDIT_HOLD;
}

/* The link behind the last of the batch that begins with FIRST. */
static unsigned chain_batch_end(const struct chain *c, unsigned first)
{
	unsigned end = first;
	for (unsigned i = first; i < c->count; i++) {
		const struct chain_link *link = &c->links[i];
		if (!chain_batch_asked(link))
			continue;
		bool alone = link->gate->in_turn || link->gate->hold_ends;
		if (alone && end > first)
			break;
		end = i + 1;
		if (alone || chain_batch_edits(link))
			break;
	}
	return end;
}

static unsigned chain_batch_permitted(const struct chain_link *link)
{
	return link->gate->shadow || chain_batch_edits(link) ? GATE_EDIT_EVERY : GATE_EDIT_HOLD;
}

static void chain_batch_make(struct chain_batch *b, struct chain *c, unsigned first, const struct chain_args *args)
{
	unsigned end = chain_batch_end(c, first);
	b->members = mem_array(NULL, end - first, sizeof(*b->members));
	b->count = 0;
	for (unsigned i = first; i < end; i++) {
		struct chain_link *link = &c->links[i];
		if (!chain_batch_asked(link))
			continue;
		struct chain_member *m = &b->members[b->count++];
		*m = (struct chain_member){ .q = { .chain = c, .link = link, .stage = GATE_MESSAGE, .args = args }, .batch = b };
		chain_link_begin(&m->q, chain_batch_permitted(link));
		task_group_init(&m->task);
	}
}

/* ---- asking ---- */

/* The answer of M is in: whether those before it decide, too, or not, nobody will ask what those after it say. */
static void chain_batch_answered(struct chain_member *m)
{
	if (!chain_link_decides(&m->q))
		return;
	for (struct chain_member *later = m + 1; later < m->batch->members + m->batch->count; later++)
		task_group_cancel(&later->task);
}

static TASK_ENTRY void chain_batch_task(struct chain_member *m)
{
	m->r = chain_link_ask(&m->q);
	if (m->r == -ECANCELED)
		chain_link_close(m->q.link, false); /* the filter need not go on with it */
	chain_batch_answered(m);
}

/* Its answer needs no asking. */
static bool chain_batch_known(const struct chain_member *m)
{
	return m->q.link->fault || m->q.link->early;
}

/* Sets tasks to work for all but the first of those that must be asked, which is *RET. */
TASK_FN static int chain_batch_start(struct chain_batch *b, struct chain_member **ret)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct chain_member *m = &b->members[i];
		if (!chain_batch_known(m) && *ret) {
			task_spawn(&m->task, "gate", chain_batch_task, m);
			continue;
		}
		if (!chain_batch_known(m)) {
			*ret = m;
			continue;
		}
		int r = chain_link_ask(&m->q);
		if (r < 0)
			return r;
		if (chain_link_decides(&m->q))
			b->count = i + 1;
	}
	return 0;
}

/* Asks all, and waits for all.  -errno of the session. */
TASK_FN static int chain_batch_run(struct chain_batch *b)
{
	struct chain_member *own = NULL;
	int r = chain_batch_start(b, &own);
	if (r == 0 && own) {
		r = chain_link_ask(&own->q);
		chain_batch_answered(own);
	}
	for (unsigned i = 0; i < b->count; i++) {
		struct chain_member *m = &b->members[i];
		if (r < 0)
			task_group_cancel(&m->task);
		int joined = task_group_join(&m->task);
		if (r == 0)
			r = joined;
	}
	return r;
}

/* True: the event is decided. */
TASK_FN static bool chain_batch_settle(struct chain_batch *b, struct chain_merge *ret)
{
	bool decided = false;
	for (unsigned i = 0; i < b->count; i++) {
		struct chain_question *q = &b->members[i].q;
		if (decided) {
			chain_link_drop(q);
			continue;
		}
		ASSERT(b->members[i].r == 0);
		chain_link_settle(q);
		decided = chain_merge_add(ret, q);
	}
	return decided;
}

/* 1: decided. */
TASK_FN static int chain_batch_one(struct chain *c, unsigned at, const struct chain_args *args, struct chain_merge *ret)
{
	struct chain_question q = { .chain = c, .link = &c->links[at], .stage = GATE_MESSAGE, .args = args };
	chain_link_begin(&q, chain_batch_permitted(q.link));
	int r = chain_link_ask(&q);
	if (r < 0)
		return r;
	chain_link_settle(&q);
	return chain_merge_add(ret, &q) || (q.holds && q.link->gate->hold_ends);
}

TASK_FN static int chain_batch_many(struct chain *c, unsigned first, const struct chain_args *args, struct chain_merge *ret)
{
	struct chain_batch b;
	chain_batch_make(&b, c, first, args);
	int r = chain_batch_run(&b);
	if (r == 0)
		r = chain_batch_settle(&b, ret);
	mem_free(b.members);
	return r;
}

int chain_batch_ask(struct chain *c, const struct chain_args *args, struct chain_merge *ret)
{
	int r = 0;
	for (unsigned i = 0, end; r == 0 && i < c->count; i = end) {
		end = i + 1;
		if (!chain_batch_asked(&c->links[i]))
			continue;
		end = chain_batch_end(c, i);
		r = end == i + 1 ? chain_batch_one(c, i, args, ret) : chain_batch_many(c, i, args, ret);
	}
	return r < 0 ? r : 0;
}

/* ---- while content arrives ---- */

TASK_FN static bool chain_batch_eater(const struct chain_link *link)
{
	return chain_batch_asked(link) && link->gate->ops->feed && !link->gate->in_turn && !link->unfed;
}

bool chain_batch_eats(const struct chain *c)
{
	unsigned end = chain_batch_end(c, 0);
	for (unsigned i = 0; i < end; i++)
		if (chain_batch_eater(&c->links[i]))
			return true;
	return false;
}

/* One after another: each only takes what it is given, and works on it while the others get theirs. */
int chain_batch_feed(struct chain *c, const struct chain_args *args)
{
	unsigned end = chain_batch_end(c, 0);
	for (unsigned i = 0; i < end; i++) {
		struct chain_question q = { .chain = c, .link = &c->links[i], .stage = GATE_MESSAGE, .args = args, .arriving = true };
		if (!chain_batch_eater(q.link))
			continue;
		/* One that comes back meanwhile with other wishes has to keep its word. */
		q.link->reads = !chain_batch_edits(q.link);
		chain_link_begin(&q, 0);
		int r = chain_link_ask(&q);
		if (r < 0)
			return r;
		if (chain_link_decides(&q))
			break;
	}
	return 0;
}
