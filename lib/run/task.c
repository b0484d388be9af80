/*
 * task.c: tasks: how they begin, switch, wait and end.  Deadlines and groups are at the end.
 *
 * The stack switch is Boost.Context's; its C ABI is declared here since Debian ships a C++ header only.
 */
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/run/loop.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#if RUN_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__clang__)
struct task_capability task_context, task_pinned;
#endif

struct transfer {
	void *context;          /* of whoever jumped here */
	void *data;
};
struct transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *stack_top, size_t size, void (*fn)(struct transfer));

/* What a task hands to the loop when it leaves: NULL, or a call to make on the loop's stack. */
struct deep_call {
	void (*fn)(void *arg);
	void *arg;
};

#define LONG_SLICE MS(50)

/* ---- switching ---- */

static struct deep_call *jump_to_task(struct task *t)
{
	struct transfer from;
#if RUN_ASAN
	void *fake;

	__sanitizer_start_switch_fiber(&fake, t->stack, RUN_STACK_SIZE);
#endif
	from = jump_fcontext(t->context, t);
#if RUN_ASAN
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
	t->context = from.context;
	return from.data;
}

static void jump_to_loop(struct deep_call *call)
{
	struct transfer from;
#if RUN_ASAN
	void *fake = NULL;

	/* A task that ends gives up its fake stack. */
	__sanitizer_start_switch_fiber(loop.current->state == TASK_ENDED ? NULL : &fake, loop.stack_bottom, loop.stack_size);
#endif
	from = jump_fcontext(loop.context, call);
#if RUN_ASAN
	__sanitizer_finish_switch_fiber(fake, &loop.stack_bottom, &loop.stack_size);
#endif
	loop.context = from.context;
}

TASK_ENTRY static void task_main(struct transfer from)
{
	struct task *t = from.data;

#if RUN_ASAN
	__sanitizer_finish_switch_fiber(NULL, &loop.stack_bottom, &loop.stack_size);
#endif
	loop.context = from.context;
	t->fn(t->arg);
	t->state = TASK_ENDED;
	jump_to_loop(NULL);
	ASSERT(!"a task that ended runs");
}

static void run_deep(struct deep_call *call)
{
	loop.deep = true;
	call->fn(call->arg);
	loop.deep = false;
}

void task_deep(void (*fn)(void *arg), void *arg)
{
	struct deep_call call = { fn, arg };

	if (loop.current && !loop.deep)
		jump_to_loop(&call);
	else
		fn(arg);
}

/* Only CPU time is held against the task: on a busy machine the kernel may take the CPU away for longer than that.
 * The CPU clock costs a system call, so it was looked at up to 10 ms before the slice began. */
static void note_long_slice(const struct task *t, int64_t took)
{
	struct timespec ts;
	int64_t busy;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	busy = SECONDS(ts.tv_sec) + ts.tv_nsec - loop.cpu;
	loop.stats.long_slices++;
	if (busy >= LONG_SLICE + MS(10) && !RUNNING_ON_VALGRIND)
		log_warning("long_slice", "task %s ran for %d ms without a wait", t->name, (int)(took / MS(1)));
	else
		log_debug("long_slice", "task %s held the loop for %d ms", t->name, (int)(took / MS(1)));
}

static void task_end(struct task *t)
{
	struct task_group *g = t->group;

	timer_stop(&t->timer);
	list_remove(&t->in_group);
	loop.stats.tasks--;
	stack_give(t->stack);
	if (!--g->count && g->waiter)
		task_wake(g->waiter);
}

void task_resume(struct task *t)
{
	const char *outer = log_session();
	int64_t began = loop.mono;
	struct deep_call *call;

	ASSERT(!loop.current && t->state == TASK_READY);
	t->state = TASK_RUNNING;
	loop.current = t;
	loop.stats.switches++;
	log_set_session(t->session);
	while ((call = jump_to_task(t)))
		run_deep(call);
	t->session = log_session();
	log_set_session(outer);
	loop.current = NULL;
	loop_look_at_clock();
	if (loop.mono - began > LONG_SLICE)
		note_long_slice(t, loop.mono - began);
	if (t->state == TASK_ENDED)
		task_end(t);
}

/* ---- beginning ---- */

static struct task *task_new(struct task_group *group, const char *name, void (*fn)(void *), void *arg)
{
	char *stack = stack_take();
	struct task *t = (struct task *)(stack + RUN_STACK_SIZE - ((sizeof *t + 63) & ~(size_t)63));

	memset(t, 0, sizeof *t);
	t->stack = stack;
	t->context = make_fcontext(t, (size_t)((char *)t - stack), task_main);
	t->state = TASK_READY;
	t->name = name;
	t->fn = fn;
	t->arg = arg;
	t->group = group;
	t->deadline = FOREVER;
	t->session = log_session();
	list_append(&group->tasks, &t->in_group);
	group->count++;
	if (++loop.stats.tasks > loop.stats.tasks_peak)
		loop.stats.tasks_peak = loop.stats.tasks;
	return t;
}

void task_spawn_fn(struct task_group *group, const char *name, void (*fn)(void *), void *arg)
{
	list_append(&loop.ready, &task_new(group, name, fn, arg)->in_ready);
}

void task_start_fn(struct task_group *group, const char *name, void (*fn)(void *), void *arg)
{
	if (loop.current) {
		task_spawn_fn(group, name, fn, arg);
		return;
	}
	loop_look_at_clock();
	task_resume(task_new(group, name, fn, arg));
}

bool task_running(void)
{
	return loop.current;
}

bool task_canceled(void)
{
	return loop.current && loop.current->group->canceled;
}

/* ---- waiting ---- */

void task_wake(struct task *t)
{
	if (t->state != TASK_WAITING && t->state != TASK_DEAF)
		return;
	t->state = TASK_READY;
	list_append(&loop.ready, &t->in_ready);
}

static void task_interrupt(void *arg)
{
	struct task *t = arg;

	if (t->state == TASK_WAITING)
		task_wake(t);
}

int task_check(void)
{
	const struct task *t = loop.current;

	ASSERT(t && !loop.deep);
	if (t->group->canceled)
		return -ECANCELED;
	return t->deadline <= run_now() ? -ETIMEDOUT : 0;
}

TASK_FN int task_suspend(void)
{
	struct task *t = loop.current;
	int r = task_check();

	if (r)
		return r;
	t->timer.fn = task_interrupt;
	t->timer.arg = t;
	timer_set(&t->timer, t->deadline);
	t->state = TASK_WAITING;
	jump_to_loop(NULL);
	timer_clear(&t->timer);
	return task_check();
}

TASK_FN void task_suspend_deaf(void)
{
	ASSERT(loop.current && !loop.deep);
	loop.current->state = TASK_DEAF;
	jump_to_loop(NULL);
}

TASK_FN int task_sleep(int64_t ns)
{
	struct deadline d;
	int r;

	deadline_begin(&d, ns);
	do
		r = task_suspend();
	while (!r);
	/* Both may have passed: then it is the caller's own deadline that speaks. */
	deadline_end(&d);
	if (r == -ETIMEDOUT)
		r = task_check();
	return r;
}

TASK_FN void task_yield(void)
{
	struct task *t = loop.current;

	ASSERT(t && !loop.deep);
	t->state = TASK_READY;
	list_append(&loop.yielded, &t->in_ready);
	jump_to_loop(NULL);
}

/* ---- deadlines ---- */

void deadline_begin(struct deadline *d, int64_t in_ns)
{
	int64_t now = run_now();

	deadline_begin_at(d, in_ns >= FOREVER - now ? FOREVER : now + in_ns);
}

void deadline_begin_at(struct deadline *d, int64_t at)
{
	struct task *t = loop.current;

	ASSERT(t);
	d->at = at;
	d->outer = t->deadline;
	if (at < t->deadline)
		t->deadline = at;
}

bool deadline_passed(const struct deadline *d)
{
	return d->at <= run_now();
}

void deadline_end(struct deadline *d)
{
	ASSERT(loop.current);
	loop.current->deadline = d->outer;
}

int64_t deadline_left(void)
{
	int64_t at = loop.current ? loop.current->deadline : FOREVER, now = run_now();

	if (at == FOREVER)
		return FOREVER;
	return at > now ? at - now : 0;
}

/* ---- groups ---- */

void task_group_init(struct task_group *g)
{
	memset(g, 0, sizeof *g);
	list_init(&g->tasks);
}

void task_group_cancel(struct task_group *g)
{
	struct task *t;

	g->canceled = true;
	LIST_EACH(t, &g->tasks, struct task, in_group)
		task_interrupt(t);
}

TASK_FN void task_group_wait(struct task_group *g)
{
	ASSERT(!g->waiter);
	g->waiter = loop.current;
	while (g->count)
		task_suspend_deaf();
	g->waiter = NULL;
	g->canceled = false;
}

TASK_FN int task_group_join(struct task_group *g)
{
	int r = 0;

	ASSERT(!g->waiter);
	g->waiter = loop.current;
	while (g->count && !r)
		r = task_suspend();
	g->waiter = NULL;
	if (r)
		task_group_cancel(g);
	task_group_wait(g);
	return r;
}
