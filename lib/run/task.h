/*
 * task.h: coroutines on one event loop, one loop per process.
 *
 * A task runs until it waits; nothing pre-empts it.  Every wait returns an int: 0, or -ECANCELED, or -ETIMEDOUT, or
 * another -errno of its own; -ECANCELED outranks -ETIMEDOUT outranks success.  After a yield only your own stack, your
 * arena and what you hold a reference on are still yours.
 *
 * Tasks have fixed stacks (RUN_STACK_SIZE) with a guard page, from a pool; they are small: no large arrays, no alloca.
 */
#ifndef GATEPOST_RUN_TASK_H
#define GATEPOST_RUN_TASK_H

#include "lib/base/list.h"
#include "lib/run/marks.h"

#include <stdbool.h>
#include <stdint.h>

struct task;
struct event_base;

/* ---- the loop ---- */

/* Once per process, after fork: makes the loop.  -errno if the kernel refuses. */
int run_init(void) __attribute__((warn_unused_result));
void run_fini(void);                    /* every task has ended */
void run_loop(void);                    /* until run_stop() and no task is left */
void run_stop(void);
struct event_base *run_base(void);      /* for lib/run, lib/dns and evhttp only */

/* Now, in nanoseconds of a clock that only goes forward; cached per loop turn where a turn is short.  The test clock
 * (run_clock_test) stands still until run_clock_advance(): timers then fire in order. */
int64_t run_now(void);
int64_t run_wall(void);                 /* seconds since 1970, moved by the test clock too */
/* The number of the loop's present turn: what happens in the world is noticed between two of them. */
uint64_t run_turn(void);
void run_clock_test(int64_t wall_start);
void run_clock_advance(int64_t ns);

#define MS(n) ((int64_t)(n)*1000000)
#define SECONDS(n) ((int64_t)(n)*1000000000)
#define FOREVER INT64_MAX

/* A function called from the loop (never in a task) after DELAY ns, once.  timer_stop() is harmless when not armed. */
struct timer {                          /* all zero: not armed */
	int64_t at;
	void (*fn)(void *arg);
	void *arg;
	unsigned slot;                  /* its place in the loop's heap; 0: none */
};
void timer_start(struct timer *t, int64_t delay, void (*fn)(void *arg), void *arg);
void timer_stop(struct timer *t);       /* disarms: the loop forgets T */

/* A function called from the loop for a signal (SIGTERM, SIGHUP, SIGCHLD...), for the life of the process. */
int run_on_signal(int signo, void (*fn)(void *arg), void *arg) __attribute__((warn_unused_result));

/* ---- groups: a child never outlives what it was started for ---- */

struct task_group {
	struct list tasks;
	struct task *waiter;
	unsigned count;
	bool canceled;
};
void task_group_init(struct task_group *g);
/* Every task of the group, now and later, sees -ECANCELED from its waits (a task that has not begun still runs, and
 * sees it at its first wait).  Does not wait. */
void task_group_cancel(struct task_group *g);
/* Waits until all have ended; not cut short by the caller's own cancellation or deadline: cancel the group first when
 * those matter.  Afterwards the group may be reused or forgotten.  Yields. */
TASK_FN void task_group_wait(struct task_group *g);
/* As task_group_wait, but cancels the group when the caller's deadline passes or it is cancelled: returns
 * that -errno, after all have ended. */
TASK_FN int task_group_join(struct task_group *g);

/* The tasks of this process that nobody waits for, such as checks of servers that are down.  When no other is left and run_stop() has been
 * called, run_loop() cancels them. */
struct task_group *run_background(void);

/* Starts FN(arg) as a task of GROUP.  It begins at the loop's next turn, or in run_loop().  May be called from a task
 * or from the loop.  NAME is a literal, for logs.  ARG's type is checked against FN's parameter. */
void task_spawn_fn(struct task_group *group, const char *name, void (*fn)(void *), void *arg);
#define task_spawn(group, name, fn, arg)                                                                         \
	task_spawn_fn((group), (name), (void (*)(void *))(1 ? (fn) : (void (*)(__typeof__(arg)))0), (arg))
/* As task_spawn(), but runs FN at once, up to its first wait, when called from the loop (not in a task). */
void task_start_fn(struct task_group *group, const char *name, void (*fn)(void *), void *arg);
#define task_start(group, name, fn, arg)                                                                         \
	task_start_fn((group), (name), (void (*)(void *))(1 ? (fn) : (void (*)(__typeof__(arg)))0), (arg))

/* Runs FN(arg) on the loop's large stack and comes back: for what goes deep (OpenSSL, PCRE, a crypt), so that the pages
 * of the small stacks stay untouched.  FN must not yield.  Outside a task it is simply called. */
void task_deep(void (*fn)(void *arg), void *arg);

bool task_running(void);                /* are we in a task? */
bool task_canceled(void);               /* the running task's group has been cancelled */

/* ---- deadlines: absolute, nested, only ever shortening ---- */

/*	struct deadline d;
 *	deadline_begin(&d, MS(30000));
 *	r = stream_fill(s);                     // -ETIMEDOUT when d, or one around it, has passed
 *	if (r == -ETIMEDOUT && deadline_passed(&d)) ...
 *	deadline_end(&d);
 */
struct deadline {
	int64_t at, outer;
};
void deadline_begin(struct deadline *d, int64_t in_ns);         /* from now; FOREVER: only those around it count */
void deadline_begin_at(struct deadline *d, int64_t at);         /* absolute, run_now() clock */
bool deadline_passed(const struct deadline *d);                 /* this very scope's time is over */
void deadline_end(struct deadline *d);
int64_t deadline_left(void);                                    /* ns until the nearest one; FOREVER */

/* ---- waiting ---- */

TASK_FN int task_sleep(int64_t ns);     /* 0 after the time; -ECANCELED, -ETIMEDOUT */
TASK_FN void task_yield(void);          /* lets others run; returns in the next turn */

/* Conditions: wait inside while (!predicate). */
struct cond {
	struct list waiters;
};
void cond_init(struct cond *c);
TASK_FN int cond_wait(struct cond *c);
void cond_signal(struct cond *c);       /* the one that has waited longest */
void cond_broadcast(struct cond *c);

/* A bounded queue of pointers between tasks.  push waits while full, pop while empty; pop returns -EPIPE when the queue
 * is closed and empty, push when it is closed. */
struct task_queue {
	void **items;
	unsigned cap, head, n;
	bool closed;
	struct cond changed;
};
void task_queue_init(struct task_queue *q, unsigned cap);
void task_queue_fini(struct task_queue *q);                     /* nobody waits in it */
TASK_FN int task_queue_push(struct task_queue *q, void *item);
TASK_FN int task_queue_pop(struct task_queue *q, void **ret);
void task_queue_close(struct task_queue *q);

/* Runs FN(arg) in the thread pool and waits for it: its return value.  Cannot be cut short (ARG usually lies on
 * this stack): FN itself must end.  Threads start when first needed.  FN may not touch tasks, streams or logs. */
TASK_FN int task_offload(int (*fn)(void *arg), void *arg);
void run_set_threads(unsigned n);       /* size of the pool, default 4 */

/* ---- figures, for the log and the benchmark ---- */
struct run_stats {
	unsigned tasks, tasks_peak;     /* alive now; the most at once */
	unsigned stacks;                /* mapped, pooled ones included */
	unsigned stack_high_water;      /* bytes, of the stacks looked at (each when it is returned to the pool, debug builds) */
	uint64_t switches, long_slices; /* slices over 50 ms without a yield: logged with the task's name */
};
void run_get_stats(struct run_stats *ret);

#define RUN_STACK_SIZE ((size_t)64 * 1024)

#endif
