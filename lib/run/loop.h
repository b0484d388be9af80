/*
 * loop.h: what the files of lib/run share; nobody else includes it (but for tests that look inside).
 */
#ifndef GATEPOST_RUN_LOOP_H
#define GATEPOST_RUN_LOOP_H

#include "lib/base/list.h"
#include "lib/run/task.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__)
#define RUN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RUN_ASAN 1
#endif
#endif
#ifndef RUN_ASAN
#define RUN_ASAN 0
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_STACK_REGISTER(from, to) 0
#define VALGRIND_STACK_DEREGISTER(id) (void)(id)
#endif

/* ---- tasks ---- */

enum task_state {
	TASK_READY,     /* in loop.ready or loop.yielded */
	TASK_RUNNING,
	TASK_WAITING,   /* woken by what it waits for, its deadline, its cancellation */
	TASK_DEAF,      /* woken by what it waits for only */
	TASK_ENDED,
};

/* Lies at the top of its own stack, so that a waiting task touches one page. */
struct task {
	void *context;                  /* of Boost.Context, while it does not run */
	char *stack;                    /* lowest usable byte */
	enum task_state state;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	struct task_group *group;
	struct list in_group;
	struct list in_ready;
	int64_t deadline;               /* the nearest one; FOREVER */
	struct timer timer;
	const char *session;            /* log context, while it does not run */
};

/* ---- the loop ---- */

struct loop {
	struct event_base *base;
	pid_t pid;                      /* who made it: another one after fork() must make its own */
	struct list ready, yielded;
	struct task *current;
	bool deep;                      /* current has called task_deep() */
	struct task_group background;
	bool stopping;
	void *context;                  /* of the loop, while a task runs */
	const void *stack_bottom;       /* of the loop's own stack, as ASAN told us */
	size_t stack_size;

	int64_t mono;                   /* the kernel's clock at the last look */
	int64_t now;                    /* run_now(): mono, or the test clock */
	int64_t test_target, test_start, test_wall;
	bool test_clock;
	uint64_t events;                /* that libevent told us of */
	uint64_t turns;                 /* run_turn() */
	int64_t cpu, cpu_at;            /* CPU time used, and the time at which it was looked at */

	struct event *alarm;            /* the loop's only libevent timer */
	int64_t alarm_at;               /* FOREVER: not armed */
	int notify_fd;                  /* eventfd: signals and the thread pool report here */
	struct event *notify;
	int spawner;                    /* who runs our commands (process.h) */
	bool has_spawner;
	struct run_stats stats;
};
extern struct loop loop;

void loop_look_at_clock(void);
void loop_poke(void);                   /* from a thread or a signal handler */

/* Never waits; 0, -ECANCELED, -ETIMEDOUT: what a wait would return at once. */
int task_check(void);
/* Until task_wake(), the deadline or the cancellation.  A wake-up may be spurious. */
TASK_FN int task_suspend(void);
TASK_FN void task_suspend_deaf(void);
void task_wake(struct task *t);
void task_resume(struct task *t);       /* from the loop only */

/* ---- timers: a heap whose keys may be earlier than the time wanted, so that putting one off costs nothing ---- */
void timer_set(struct timer *t, int64_t at);
static inline void timer_clear(struct timer *t) { t->at = FOREVER; }
int64_t timer_next(void);               /* nothing fires before; FOREVER */
void timer_fire(int64_t now);
void timer_fini(void);

/* ---- stacks ---- */
char *stack_take(void);
void stack_give(char *stack);
void stack_fini(void);

/* ---- threads and signals ---- */
void offload_reap(void);
void offload_fini(void);
void offload_forget(void);              /* after fork: the threads are not ours */
void signal_deliver(void);
void signal_forget(void);

#endif
