/* test_task.c: tasks wait, are cancelled, time out, and wake each other; the test clock drives all time. */
#include "lib/base/log.h"
#include "lib/run/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

/* What happened, in order. */
static char trace[256];

static void note(const char *what)
{
	size_t n = strlen(trace);

	snprintf(trace + n, sizeof trace - n, "%s%s", n ? " " : "", what);
}

static int setup(void **state)
{
	(void)state;
	trace[0] = '\0';
	if (run_init())
		return -1;
	run_clock_test(1000000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (loop.stats.tasks)
		return -1;      /* the test left by longjmp: cmocka says why */
	run_fini();
	return 0;
}

/* Runs FN in a task and the loop until all tasks have ended. */
static void in_task(void (*fn)(void *), void *arg)
{
	struct task_group g;

	task_group_init(&g);
	task_spawn_fn(&g, "test", fn, arg);
	run_stop();
	run_loop();
	assert_int_equal(g.count, 0);
}

/* ---- a child that waits in one of several ways, and tells what it got ---- */

struct child {
	enum { SLEEP, COND, POP, JOIN, YIELD_THEN_SLEEP } how;
	struct cond cond;
	struct task_queue queue;
	int64_t deadline;       /* 0: none */
	int result;
	bool began, ended;
};

TASK_FN static void child_main(struct child *c);

TASK_FN static int join_inner(void)
{
	struct task_group g;
	struct child inner = { .how = SLEEP };
	int r;

	task_group_init(&g);
	task_spawn(&g, "inner", child_main, &inner);
	r = task_group_join(&g);
	assert_true(inner.ended);
	assert_int_equal(inner.result, r ? -ECANCELED : 0);
	return r;
}

TASK_FN static int child_wait(struct child *c)
{
	void *item;

	switch (c->how) {
	case YIELD_THEN_SLEEP:
		task_yield();
		return task_sleep(SECONDS(10));
	case SLEEP:
		return task_sleep(SECONDS(10));
	case COND:
		return cond_wait(&c->cond);
	case POP:
		return task_queue_pop(&c->queue, &item);
	case JOIN:
		return join_inner();
	}
	return -EINVAL;
}

TASK_FN static void child_main(struct child *c)
{
	struct deadline d;

	c->began = true;
	deadline_begin(&d, c->deadline ? c->deadline : FOREVER);
	c->result = child_wait(c);
	deadline_end(&d);
	c->ended = true;
}

static void child_init(struct child *c)
{
	cond_init(&c->cond);
	task_queue_init(&c->queue, 1);
	c->result = 1;
}

enum cancel_when { BEFORE_IT_RUNS, DURING, WITH_THE_WAKE_UP, AFTER_TIMEOUT };
struct cancel_case {
	const char *name;
	int how;
	enum cancel_when when;
	int result;
};

TASK_FN static void cancel_case_main(struct cancel_case *t)
{
	struct task_group g;
	struct child c = { .how = (int)t->how, .deadline = t->when == AFTER_TIMEOUT ? SECONDS(1) : 0 };

	child_init(&c);
	task_group_init(&g);
	task_spawn(&g, "child", child_main, &c);
	if (t->when != BEFORE_IT_RUNS) {
		while (!c.began)
			task_yield();
	}
	if (t->when == WITH_THE_WAKE_UP) {
		cond_signal(&c.cond);
		task_queue_close(&c.queue);
	}
	if (t->when == AFTER_TIMEOUT) {
		run_clock_advance(SECONDS(1));
		assert_int_equal(task_sleep(SECONDS(1)), 0);
		while (!c.ended)
			task_yield();
	}
	task_group_cancel(&g);
	task_group_wait(&g);
	assert_true(c.began && c.ended);
	assert_int_equal(c.result, t->result);
	task_queue_fini(&c.queue);
	/* The group may be used again. */
	c.ended = false;
	c.how = SLEEP;
	task_spawn(&g, "child", child_main, &c);
	run_clock_advance(SECONDS(20));
	task_group_wait(&g);
	assert_int_equal(c.result, t->when == AFTER_TIMEOUT ? -ETIMEDOUT : 0);
}

static void test_cancel(void **state)
{
	struct cancel_case cases[] = {
		{ "sleep, before it runs", SLEEP, BEFORE_IT_RUNS, -ECANCELED },
		{ "sleep, while it waits", SLEEP, DURING, -ECANCELED },
		{ "sleep, after its deadline", SLEEP, AFTER_TIMEOUT, -ETIMEDOUT },
		{ "cond, before it runs", COND, BEFORE_IT_RUNS, -ECANCELED },
		{ "cond, while it waits", COND, DURING, -ECANCELED },
		{ "cond, signaled and cancelled in one turn", COND, WITH_THE_WAKE_UP, -ECANCELED },
		{ "cond, after its deadline", COND, AFTER_TIMEOUT, -ETIMEDOUT },
		{ "queue, before it runs", POP, BEFORE_IT_RUNS, -ECANCELED },
		{ "queue, while it waits", POP, DURING, -ECANCELED },
		{ "queue, closed and cancelled in one turn", POP, WITH_THE_WAKE_UP, -ECANCELED },
		{ "join, before it runs", JOIN, BEFORE_IT_RUNS, -ECANCELED },
		{ "join, while it waits", JOIN, DURING, -ECANCELED },
		{ "join, after its deadline", JOIN, AFTER_TIMEOUT, -ETIMEDOUT },
		{ "a task that is ready", YIELD_THEN_SLEEP, DURING, -ECANCELED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		print_message("  %s\n", cases[i].name);
		in_task((void (*)(void *))cancel_case_main, &cases[i]);
	}
}

/* ---- deadlines ---- */

TASK_FN static void deadlines_main(void *arg)
{
	struct deadline outer, inner;
	int64_t began = run_now();

	(void)arg;
	run_clock_advance(SECONDS(100));

	/* The inner one passes; the outer one still holds. */
	deadline_begin(&outer, SECONDS(10));
	deadline_begin(&inner, SECONDS(2));
	assert_int_equal(deadline_left(), SECONDS(2));
	assert_int_equal(task_sleep(SECONDS(5)), -ETIMEDOUT);
	assert_int_equal(run_now() - began, SECONDS(2));
	assert_true(deadline_passed(&inner));
	assert_false(deadline_passed(&outer));
	deadline_end(&inner);
	assert_int_equal(deadline_left(), SECONDS(8));

	/* An inner one cannot lengthen the outer one. */
	deadline_begin(&inner, SECONDS(60));
	assert_int_equal(deadline_left(), SECONDS(8));
	assert_int_equal(task_sleep(SECONDS(30)), -ETIMEDOUT);
	assert_int_equal(run_now() - began, SECONDS(10));
	assert_false(deadline_passed(&inner));
	assert_true(deadline_passed(&outer));
	/* Every wait says so from now on, without waiting. */
	assert_int_equal(task_sleep(SECONDS(1)), -ETIMEDOUT);
	assert_int_equal(run_now() - began, SECONDS(10));
	deadline_end(&inner);
	deadline_end(&outer);
	assert_true(deadline_left() == FOREVER);

	/* Both at once: the sleep's own time and the deadline. */
	deadline_begin(&outer, SECONDS(3));
	assert_int_equal(task_sleep(SECONDS(3)), -ETIMEDOUT);
	deadline_end(&outer);
	assert_int_equal(task_sleep(SECONDS(3)), 0);

	/* A later wait is not woken by the timer of an earlier one, and an earlier deadline is not hidden by a later one. */
	deadline_begin(&outer, SECONDS(4));
	assert_int_equal(task_sleep(SECONDS(1)), 0);
	deadline_end(&outer);
	began = run_now();
	assert_int_equal(task_sleep(SECONDS(9)), 0);
	assert_int_equal(run_now() - began, SECONDS(9));
	deadline_begin_at(&outer, FOREVER);
	assert_int_equal(task_sleep(MS(1)), 0);
	deadline_end(&outer);
	deadline_begin_at(&outer, run_now() - 1);
	assert_int_equal(task_sleep(0), -ETIMEDOUT);
	assert_int_equal(deadline_left(), 0);
	deadline_end(&outer);
}

static void test_deadlines(void **state)
{
	(void)state;
	in_task(deadlines_main, NULL);
	assert_int_equal(run_wall(), 1000000 + 100);
}

/* The deadline passes and the signal comes in one turn: -ETIMEDOUT, and the signal is not lost. */
struct race {
	struct cond cond;
	struct child late, other;
};

TASK_FN static void race_wait(struct race *r)
{
	struct deadline d;

	deadline_begin(&d, SECONDS(1));
	r->late.result = cond_wait(&r->cond);
	deadline_end(&d);
}

TASK_FN static void race_other(struct race *r)
{
	r->other.result = cond_wait(&r->cond);
}

static void race_signal(void *arg)
{
	struct race *r = arg;

	cond_signal(&r->cond);
}

TASK_FN static void race_main(void *arg)
{
	struct race r = { .late.result = 1, .other.result = 1 };
	struct task_group g;
	struct timer timer = { 0 };

	(void)arg;
	cond_init(&r.cond);
	task_group_init(&g);
	/* Armed before the deadline, for the same instant: the signal comes first. */
	timer_start(&timer, SECONDS(1), race_signal, &r);
	task_spawn(&g, "late", race_wait, &r);
	task_spawn(&g, "other", race_other, &r);
	task_yield();
	run_clock_advance(SECONDS(1));
	task_group_wait(&g);
	assert_int_equal(r.late.result, -ETIMEDOUT);
	assert_int_equal(r.other.result, 0);
	timer_stop(&timer);
}

static void test_signal_is_handed_on(void **state)
{
	(void)state;
	in_task(race_main, NULL);
}

/* ---- conditions ---- */

struct fair {
	struct cond cond;
	int tickets;
	const char *name[4];
	unsigned n;
};

TASK_FN static void fair_wait(struct fair *f)
{
	const char *name = f->name[f->n++];

	while (!f->tickets)
		assert_int_equal(cond_wait(&f->cond), 0);
	f->tickets--;
	note(name);
}

TASK_FN static void fair_main(void *arg)
{
	struct fair f = { .name = { "first", "second", "third", "fourth" } };
	struct task_group g;

	(void)arg;
	cond_init(&f.cond);
	cond_signal(&f.cond);           /* nobody waits: nothing happens */
	task_group_init(&g);
	for (int i = 0; i < 4; i++)
		task_spawn(&g, "fair", fair_wait, &f);
	task_yield();
	/* Woken for nothing: they wait again. */
	cond_broadcast(&f.cond);
	task_yield();
	assert_string_equal(trace, "");
	for (int i = 0; i < 2; i++) {
		f.tickets++;
		cond_signal(&f.cond);
	}
	task_yield();
	assert_string_equal(trace, "first second");
	f.tickets += 2;
	cond_broadcast(&f.cond);
	task_group_wait(&g);
	assert_string_equal(trace, "first second third fourth");
}

static void test_cond(void **state)
{
	(void)state;
	in_task(fair_main, NULL);
}

/* ---- queues ---- */

TASK_FN static void producer(struct task_queue *q)
{
	static const char *const items[] = { "a", "b", "c", "d", "e" };

	for (size_t i = 0; i < COUNT_OF(items); i++) {
		assert_int_equal(task_queue_push(q, (void *)items[i]), 0);
		assert_true(q->n <= 2);
	}
	task_queue_close(q);
	assert_int_equal(task_queue_push(q, NULL), -EPIPE);
}

TASK_FN static void blocked_push(struct task_queue *q)
{
	assert_int_equal(task_queue_push(q, q), 0);
	assert_int_equal(task_queue_push(q, q), -EPIPE);
}

TASK_FN static void queue_main(void *arg)
{
	struct task_queue q;
	struct task_group g;
	void *item;
	int r;

	(void)arg;
	task_queue_init(&q, 2);
	task_group_init(&g);
	task_spawn(&g, "producer", producer, &q);
	while (!(r = task_queue_pop(&q, &item)))
		note(item);
	assert_int_equal(r, -EPIPE);
	assert_string_equal(trace, "a b c d e");
	task_group_wait(&g);
	task_queue_fini(&q);

	task_queue_init(&q, 1);
	task_spawn(&g, "blocked", blocked_push, &q);
	task_yield();
	task_yield();
	task_queue_close(&q);
	task_group_wait(&g);
	assert_int_equal(task_queue_pop(&q, &item), 0);
	assert_int_equal(task_queue_pop(&q, &item), -EPIPE);
	task_queue_fini(&q);
}

static void test_queue(void **state)
{
	(void)state;
	in_task(queue_main, NULL);
}

/* ---- groups ---- */

TASK_FN static void quick(int *count)
{
	task_yield();
	++*count;
}

TASK_FN static void join_main(void *arg)
{
	struct task_group g;
	int count = 0;

	(void)arg;
	task_group_init(&g);
	assert_int_equal(task_group_join(&g), 0);
	for (int i = 0; i < 10; i++)
		task_spawn(&g, "quick", quick, &count);
	assert_int_equal(task_group_join(&g), 0);
	assert_int_equal(count, 10);
	/* Tasks that come later to a cancelled group are cancelled too, but run. */
	task_group_cancel(&g);
	task_spawn(&g, "quick", quick, &count);
	task_group_wait(&g);
	assert_int_equal(count, 11);
}

static void test_join(void **state)
{
	(void)state;
	in_task(join_main, NULL);
}

/* ---- beginning: at once from the loop, in the next turn from a task ---- */

TASK_FN static void say(char *what)
{
	assert_true(task_running());
	note(what);
	log_set_session(what);
	task_yield();
	assert_string_equal(log_session(), what);
}

static void on_timer(void *arg)
{
	static char at_once[] = "at-once";
	struct task_group *g = arg;

	assert_false(task_running());
	task_start(g, "at once", say, at_once);
	note("timer");
	assert_null(log_session());
}

TASK_FN static void start_main(void *arg)
{
	static char later[] = "later";
	struct task_group g;
	struct timer timer = { 0 };

	(void)arg;
	task_group_init(&g);
	task_start(&g, "later", say, later);
	note("main");
	task_yield();
	assert_string_equal(trace, "main later");
	timer_start(&timer, SECONDS(1), on_timer, &g);
	timer_start(&timer, SECONDS(2), on_timer, &g);
	run_clock_advance(SECONDS(2));
	task_group_wait(&g);
	assert_int_equal(task_sleep(SECONDS(2)), 0);
	assert_string_equal(trace, "main later at-once timer");
	/* A child inherits the log's session. */
	log_set_session("parent");
	task_group_wait(&g);
}

static void test_start(void **state)
{
	(void)state;
	in_task(start_main, NULL);
}

/* ---- task_deep ---- */

/* Uses more stack than a task has. */
__attribute__((noinline)) static unsigned recurse(unsigned n)
{
	volatile char frame[1024];

	frame[n % sizeof frame] = 1;
	return n ? recurse(n - 1) + (unsigned)frame[n % sizeof frame] : 0;
}

static void deep(void *arg)
{
	enum { FRAMES = 2 * RUN_STACK_SIZE / 1024 };
	const char **where = arg, here = 0;

	*where = &here;
	assert_int_equal(recurse(FRAMES), FRAMES);
	assert_true(task_running());
}

TASK_FN static void deep_main(void *arg)
{
	const char *where = NULL;

	(void)arg;
	log_set_session("deep");
	task_deep(deep, &where);
	assert_true(where < loop.current->stack || where >= loop.current->stack + RUN_STACK_SIZE);
	assert_string_equal(log_session(), "deep");
	assert_int_equal(task_sleep(0), 0);
}

static void triple(void *arg)
{
	*(int *)arg *= 3;
}

static void test_deep(void **state)
{
	int n = 3;

	(void)state;
	in_task(deep_main, NULL);
	/* Outside a task it is a call. */
	task_deep(triple, &n);
	assert_int_equal(n, 9);
}

/* ---- offload ---- */

static int slow_double(void *arg)
{
	int *n = arg;

	usleep(20000);
	*n *= 2;
	return *n;
}

struct offload_child {
	int n, result, next;
};

TASK_FN static void offload_child(struct offload_child *c)
{
	c->result = task_offload(slow_double, &c->n);
	c->next = task_sleep(SECONDS(1));
}

TASK_FN static void offload_main(void *arg)
{
	struct offload_child c[10];
	struct task_group g;

	(void)arg;
	task_group_init(&g);
	for (int i = 0; i < 10; i++) {
		c[i] = (struct offload_child){ .n = i + 1 };
		task_spawn(&g, "offload", offload_child, &c[i]);
	}
	task_yield();
	task_yield();
	/* It comes back with its result all the same, and learns of the cancellation at its next wait. */
	task_group_cancel(&g);
	task_group_wait(&g);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(c[i].result, 2 * (i + 1));
		assert_int_equal(c[i].next, -ECANCELED);
	}
}

static void test_offload(void **state)
{
	(void)state;
	run_set_threads(3);
	in_task(offload_main, NULL);
	run_set_threads(4);
}

/* ---- timers ---- */

struct shot {
	struct timer timer;
	const char *name;
};

static void fire(void *arg)
{
	struct shot *s = arg;

	note(s->name);
	if (s->name[0] == 'r' && strlen(trace) < 20)
		timer_start(&s->timer, SECONDS(1), fire, s);
}

static void test_timers(void **state)
{
	struct shot s[] = { { .name = "c" }, { .name = "a" }, { .name = "b" }, { .name = "x" }, { .name = "put-off" } };

	(void)state;
	for (int i = 0; i < 4; i++)
		timer_stop(&s[i].timer);        /* harmless when not armed */
	timer_start(&s[0].timer, SECONDS(3), fire, &s[0]);
	timer_start(&s[1].timer, SECONDS(1), fire, &s[1]);
	timer_start(&s[2].timer, SECONDS(2), fire, &s[2]);
	timer_start(&s[3].timer, SECONDS(2), fire, &s[3]);
	timer_start(&s[4].timer, SECONDS(1), fire, &s[4]);
	timer_start(&s[4].timer, SECONDS(4), fire, &s[4]);
	timer_stop(&s[3].timer);
	run_clock_advance(SECONDS(2));
	run_stop();
	run_loop();
	assert_string_equal(trace, "a b");
	run_clock_advance(SECONDS(10));
	run_stop();
	run_loop();
	assert_string_equal(trace, "a b c put-off");
	for (int i = 0; i < 5; i++)
		assert_int_equal(s[i].timer.slot, 0);

	trace[0] = '\0';
	s[0].name = "r";
	timer_start(&s[0].timer, SECONDS(1), fire, &s[0]);
	run_clock_advance(SECONDS(3));
	run_stop();
	run_loop();
	assert_string_equal(trace, "r r r");
	timer_stop(&s[0].timer);
}

/* Many timers armed, moved and stopped at random fire in order. */
static int64_t last_fired;
static unsigned fired;

static void in_order(void *arg)
{
	(void)arg;
	assert_true(run_now() >= last_fired);
	last_fired = run_now();
	fired++;
}

static void test_timer_heap(void **state)
{
	enum { N = 500 };
	static struct timer t[N];
	unsigned seed = 1, armed = 0;

	(void)state;
	memset(t, 0, sizeof t);
	fired = 0;
	last_fired = 0;
	for (int round = 0; round < 5 * N; round++) {
		struct timer *one;

		seed = seed * 1103515245 + 12345;
		one = &t[(seed >> 8) % N];
		if (seed >> 28 < 4)
			timer_stop(one);
		else
			timer_start(one, (int64_t)(seed >> 4) * 1000, in_order, NULL);
	}
	for (int i = 0; i < N; i++)
		armed += t[i].at && t[i].at != FOREVER;
	assert_in_range(armed, 100, N);
	run_clock_advance(SECONDS(1000));
	run_stop();
	run_loop();
	assert_int_equal(fired, armed);
}

/* ---- many at once ---- */

enum { MANY = 10000 };

TASK_FN static void one_of_many(struct cond *c)
{
	assert_int_equal(cond_wait(c), 0);
}

static unsigned resident_pages(const char *stack)
{
	unsigned char in_core[RUN_STACK_SIZE / 4096];
	unsigned n = 0;

	assert_int_equal(mincore((void *)stack, RUN_STACK_SIZE, in_core), 0);
	for (size_t i = 0; i < sizeof in_core; i++)
		n += in_core[i] & 1;
	return n;
}

TASK_FN static void many_main(void *arg)
{
	struct task_group g;
	struct cond c;
	struct task *t;
	unsigned most = 0;
	struct run_stats stats;

	(void)arg;
	cond_init(&c);
	task_group_init(&g);
	for (int i = 0; i < MANY; i++) {
		task_spawn(&g, "one of many", one_of_many, &c);
		if (i % 500 == 0)
			task_yield();
	}
	task_yield();
	LIST_EACH(t, &g.tasks, struct task, in_group) {
		unsigned pages = resident_pages(t->stack);

		assert_int_equal(t->state, TASK_WAITING);
		if (pages > most)
			most = pages;
	}
	print_message("  %u pages of stack per waiting task\n", most);
	assert_in_range(most, 1, 2);
	run_get_stats(&stats);
	assert_int_equal(stats.tasks, MANY + 1);
	assert_in_range(stats.stacks, MANY + 1, MANY + 64);
	cond_broadcast(&c);
	task_group_wait(&g);
}

/* After the peak its memory goes back. */
static void test_many(void **state)
{
	struct task_group g;
	char *stack;
	int cold = 0;

	(void)state;
	in_task(many_main, NULL);
	run_clock_advance(SECONDS(60));
	task_group_init(&g);
	run_stop();
	run_loop();
	for (int i = 0; i < 200; i++) {
		stack = stack_take();
		cold += !resident_pages(stack);
	}
	assert_int_equal(cold, 200);
}

/* More than the kernel has mappings for, with a guard page each: the others go without. */
enum { TOO_MANY = 36000 };

TASK_FN static void too_many_main(void *arg)
{
	struct task_group g;
	struct cond c;
	struct run_stats stats;

	(void)arg;
	cond_init(&c);
	task_group_init(&g);
	for (int i = 0; i < TOO_MANY; i++) {
		task_spawn(&g, "one of many", one_of_many, &c);
		if (i % 500 == 0)
			task_yield();
	}
	task_yield();
	run_get_stats(&stats);
	assert_int_equal(stats.tasks, TOO_MANY + 1);
	cond_broadcast(&c);
	task_group_wait(&g);
}

static void test_too_many(void **state)
{
	(void)state;
	if (RUN_ASAN || RUNNING_ON_VALGRIND)
		skip();         /* ASAN needs mappings of its own for each, valgrind an age */
	in_task(too_many_main, NULL);
}

/* ---- signals, fork ---- */

static void on_usr1(void *arg)
{
	(void)arg;
	note("usr1");
	run_stop();
}

static void test_signal(void **state)
{
	(void)state;
	assert_int_equal(run_on_signal(SIGUSR1, on_usr1, NULL), 0);
	assert_int_equal(run_on_signal(SIGKILL, on_usr1, NULL), -EINVAL);
	raise(SIGUSR1);
	run_loop();
	assert_string_equal(trace, "usr1");
}

TASK_FN static void offload_once(int *n)
{
	int result = task_offload(slow_double, n);

	assert_int_equal(result, *n);
}

/* The child has a loop of its own: none of the parent's tasks, timers, signals, threads. */
static int child_process(void)
{
	int n = 21;

	trace[0] = '\0';
	if (run_init())
		return 1;
	in_task((void (*)(void *))offload_once, &n);
	if (run_on_signal(SIGUSR2, on_usr1, NULL))
		return 2;
	raise(SIGUSR2);
	run_loop();
	run_fini();
	if (strcmp(trace, "usr1"))
		return 3;
	raise(SIGUSR1);                 /* the parent's handler is gone */
	return n == 42 ? 0 : 4;
}

TASK_FN static void wait_for_child(struct cond *c)
{
	assert_int_equal(cond_wait(c), 0);
	note("parent");
}

static void fork_now(void *arg)
{
	struct cond *c = arg;
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(child_process());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGUSR1);
	cond_broadcast(c);
	run_stop();
}

static void test_fork(void **state)
{
	struct task_group g;
	struct cond c;
	struct timer timer = { 0 }, never = { 0 };
	int n = 1;

	(void)state;
	cond_init(&c);
	task_group_init(&g);
	assert_int_equal(run_on_signal(SIGUSR1, on_usr1, NULL), 0);
	in_task((void (*)(void *))offload_once, &n);
	task_spawn(&g, "waits", wait_for_child, &c);
	timer_start(&timer, SECONDS(1), fork_now, &c);
	timer_start(&never, SECONDS(3600), fire, NULL);
	run_clock_advance(SECONDS(1));
	run_loop();
	assert_string_equal(trace, "parent");
	timer_stop(&never);
}

/* ---- long slices, on the kernel's clock ---- */

static unsigned warnings;
static char warning[256];

static void capture(void *arg, enum log_level level, struct bytes line)
{
	(void)arg;
	if (level == LOG_LEVEL_WARNING) {
		warnings++;
		snprintf(warning, sizeof warning, "%.*s", BYTES_ARG(line));
	}
}

TASK_FN static void busy(void *arg)
{
	struct timespec ts;
	int64_t end;

	(void)arg;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	end = SECONDS(ts.tv_sec) + ts.tv_nsec + MS(90);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	while (SECONDS(ts.tv_sec) + ts.tv_nsec < end);
}

static void test_long_slice(void **state)
{
	struct run_stats stats;

	(void)state;
	warnings = 0;
	log_capture(capture, NULL);
	in_task(busy, NULL);
	log_capture(NULL, NULL);
	run_get_stats(&stats);
	assert_int_equal(stats.long_slices, 1);
	if (RUNNING_ON_VALGRIND)        /* where everything is slow, nobody is told */
		return;
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warning, "task test ran"));
}

/* Without the test clock. */
TASK_FN static void real_main(void *arg)
{
	int64_t began = run_now();

	(void)arg;
	assert_int_equal(task_sleep(MS(30)), 0);
	assert_true(run_now() - began >= MS(30));
	assert_true(run_now() - began < SECONDS(30));
}

static void test_real_clock(void **state)
{
	(void)state;
	loop.test_clock = false;
	loop_look_at_clock();
	in_task(real_main, NULL);
	assert_in_range(run_wall(), time(NULL) - 1, time(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal_is_handed_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cond, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer_heap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_slice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real_clock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
