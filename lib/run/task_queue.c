/*
 * task_queue.c: a bounded queue of pointers between tasks.
 */
#include "lib/base/assert.h"
#include "lib/run/loop.h"

#include <string.h>

void task_queue_init(struct task_queue *q, unsigned cap)
{
	memset(q, 0, sizeof *q);
	q->items = mem_array(NULL, cap, sizeof *q->items);
	q->cap = cap;
	cond_init(&q->changed);
}

void task_queue_fini(struct task_queue *q)
{
	ASSERT(list_empty(&q->changed.waiters));
	mem_free(q->items);
	memset(q, 0, sizeof *q);
}

TASK_FN int task_queue_push(struct task_queue *q, void *item)
{
	int r = task_check();

	while (!r && !q->closed && q->n == q->cap)
		r = cond_wait(&q->changed);
	if (r)
		return r;
	if (q->closed)
		return -EPIPE;
	q->items[(q->head + q->n++) % q->cap] = item;
	cond_broadcast(&q->changed);
	return 0;
}

TASK_FN int task_queue_pop(struct task_queue *q, void **ret)
{
	int r = task_check();

	while (!r && !q->closed && !q->n)
		r = cond_wait(&q->changed);
	if (r)
		return r;
	if (!q->n)
		return -EPIPE;
	*ret = q->items[q->head];
	q->head = (q->head + 1) % q->cap;
	q->n--;
	cond_broadcast(&q->changed);
	return 0;
}

void task_queue_close(struct task_queue *q)
{
	q->closed = true;
	cond_broadcast(&q->changed);
}
