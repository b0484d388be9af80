/*
 * cond.c: conditions.
 */
#include "lib/base/assert.h"
#include "lib/run/loop.h"

/* Lies on the stack of the task that waits. */
struct cond_waiter {
	struct list link;
	struct task *task;
};

void cond_init(struct cond *c)
{
	list_init(&c->waiters);
}

TASK_FN int cond_wait(struct cond *c)
{
	struct cond_waiter w = { .task = loop.current };
	bool signaled;
	int r;

	list_append(&c->waiters, &w.link);
	r = task_suspend();
	signaled = !list_linked(&w.link);
	list_remove(&w.link);
	/* Who was signaled but gives up hands the signal on: it was meant for somebody who acts on it. */
	if (signaled && r)
		cond_signal(c);
	return r;
}

void cond_signal(struct cond *c)
{
	struct cond_waiter *w = LIST_FIRST(&c->waiters, struct cond_waiter, link);

	if (!w)
		return;
	list_remove(&w->link);
	task_wake(w->task);
}

void cond_broadcast(struct cond *c)
{
	while (!list_empty(&c->waiters))
		cond_signal(c);
}
