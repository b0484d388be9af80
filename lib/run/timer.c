/*
 * timer.c: a binary heap of timers.
 *
 * A waiting task or parked session arms a deadline minutes away and is woken long before, again and again.  So the
 * heap is lazy: a timer that is put off or cleared stays where it is, and only when its old time comes is it moved to
 * the new one, or dropped.  A timer's key is never later than the time it wants.
 */
#include "lib/base/assert.h"
#include "lib/run/loop.h"

#include <string.h>

struct entry {
	int64_t key;
	struct timer *timer;
};
static struct {
	struct entry *e;        /* e[1] fires first */
	unsigned n, cap;
} heap;

static void heap_place(unsigned slot, struct entry e)
{
	heap.e[slot] = e;
	e.timer->slot = slot;
}

static void heap_up(unsigned slot, struct entry e)
{
	for (; slot > 1 && heap.e[slot / 2].key > e.key; slot /= 2)
		heap_place(slot, heap.e[slot / 2]);
	heap_place(slot, e);
}

static void heap_down(unsigned slot, struct entry e)
{
	for (unsigned child; (child = slot * 2) <= heap.n; slot = child) {
		if (child < heap.n && heap.e[child + 1].key < heap.e[child].key)
			child++;
		if (heap.e[child].key >= e.key)
			break;
		heap_place(slot, heap.e[child]);
	}
	heap_place(slot, e);
}

static void heap_add(struct entry e)
{
	if (heap.n + 1 >= heap.cap) {
		heap.cap = heap.cap ? heap.cap * 2 : 64;
		heap.e = mem_array(heap.e, heap.cap, sizeof *heap.e);
	}
	heap_up(++heap.n, e);
}

static void heap_remove(unsigned slot)
{
	struct entry last = heap.e[heap.n--];

	heap.e[slot].timer->slot = 0;
	if (slot > heap.n)
		return;
	if (slot > 1 && heap.e[slot / 2].key > last.key)
		heap_up(slot, last);
	else
		heap_down(slot, last);
}

void timer_set(struct timer *t, int64_t at)
{
	t->at = at;
	if (at == FOREVER)
		return;
	if (!t->slot)
		heap_add((struct entry){ at, t });
	else if (at < heap.e[t->slot].key)
		heap_up(t->slot, (struct entry){ at, t });
}

void timer_start(struct timer *t, int64_t delay, void (*fn)(void *arg), void *arg)
{
	int64_t now = run_now();

	t->fn = fn;
	t->arg = arg;
	timer_set(t, delay >= FOREVER - now ? FOREVER : now + delay);
}

void timer_stop(struct timer *t)
{
	t->at = FOREVER;
	if (t->slot)
		heap_remove(t->slot);
}

int64_t timer_next(void)
{
	return heap.n ? heap.e[1].key : FOREVER;
}

/* A timer that arms itself again for now waits for the next turn: hence the count. */
void timer_fire(int64_t now)
{
	unsigned most = heap.n;

	while (most && heap.n && heap.e[1].key <= now) {
		struct timer *t = heap.e[1].timer;

		ASSERT(t->slot == 1);
		if (t->at == FOREVER) {
			heap_remove(1);
		} else if (t->at > heap.e[1].key) {
			heap_down(1, (struct entry){ t->at, t });
		} else {
			most--;
			heap_remove(1);
			t->at = FOREVER;
			t->fn(t->arg);
		}
	}
}

/* After fork() the timers that are still there are the parent's. */
void timer_fini(void)
{
	for (unsigned i = 1; i <= heap.n; i++)
		heap.e[i].timer->slot = 0;
	mem_free(heap.e);
	memset(&heap, 0, sizeof heap);
}
