/*
 * run.c: the loop and its clock.  A turn: timers fire, ready tasks run, then libevent waits for the world.
 */
#include "lib/base/assert.h"
#include "lib/run/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct loop loop = { .notify_fd = -1 };

enum { TURN_SWITCHES = 1024 };          /* so many tasks run before the loop looks at its descriptors again */

/* ---- the clock ---- */

static int64_t clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return SECONDS(ts.tv_sec) + ts.tv_nsec;
}

void loop_look_at_clock(void)
{
	loop.mono = clock_read(CLOCK_MONOTONIC);
	if (!loop.test_clock)
		loop.now = loop.mono;
}

int64_t run_now(void)
{
	return loop.now;
}

uint64_t run_turn(void)
{
	return loop.turns;
}

int64_t run_wall(void)
{
	if (loop.test_clock)
		return loop.test_wall + (loop.now - loop.test_start) / SECONDS(1);
	return time(NULL);
}

void run_clock_test(int64_t wall_start)
{
	loop.test_clock = true;
	loop.test_wall = wall_start;
	loop.test_start = loop.test_target = loop.now;
}

void run_clock_advance(int64_t ns)
{
	ASSERT(loop.test_clock && ns >= 0);
	loop.test_target += ns;
}

static bool behind(void)
{
	return loop.test_clock && loop.now < loop.test_target;
}

/* To the next timer on the way to where run_clock_advance() wants us: each timer sees its own time. */
static void clock_step(void)
{
	int64_t next = timer_next();

	if (next <= loop.now)
		next = loop.now + 1;
	loop.now = next < loop.test_target ? next : loop.test_target;
}

/* ---- what the kernel tells us ---- */

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	loop.alarm_at = FOREVER;
}

static void on_notify(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what, (void)arg;
	loop.events++;
	if (read(fd, &count, sizeof count) != sizeof count)
		return;
	signal_deliver();
	offload_reap();
}

void loop_poke(void)
{
	static const uint64_t one = 1;
	int saved = errno;

	/* It fails only when 2^64 pokes wait already. */
	if (write(loop.notify_fd, &one, sizeof one) < 0)
		errno = saved;
	errno = saved;
}

/* ---- beginning and end ---- */

/* What a forked child inherits is the parent's: its tasks are never resumed, its timers never fire.  event_reinit() first
 * gives the copy of the base an epoll descriptor of its own, so that to free it does not touch the parent's. */
static void loop_forget_parent(void)
{
	signal_forget();
	offload_forget();
	if (!event_reinit(loop.base)) {
		event_free(loop.alarm);
		event_free(loop.notify);
		event_base_free(loop.base);
	}
	close(loop.notify_fd);
	timer_fini();
	stack_fini();
}

static int loop_open(void)
{
	struct event_config *config = event_config_new();

	if (!config)
		return -ENOMEM;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop.base = event_base_new_with_config(config);
	event_config_free(config);
	loop.notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!loop.base || loop.notify_fd < 0)
		return -errno;
	loop.alarm = evtimer_new(loop.base, on_alarm, NULL);
	loop.notify = event_new(loop.base, loop.notify_fd, EV_READ | EV_PERSIST, on_notify, NULL);
	return loop.alarm && loop.notify && !event_add(loop.notify, NULL) ? 0 : -ENOMEM;
}

int run_init(void)
{
	ASSERT(!loop.current && (!loop.base || loop.pid != getpid()));
	if (loop.base)
		loop_forget_parent();
	memset(&loop, 0, sizeof loop);
	loop.pid = getpid();
	loop.alarm_at = FOREVER;
	list_init(&loop.ready);
	list_init(&loop.yielded);
	task_group_init(&loop.background);
	loop_look_at_clock();
	return loop_open();
}

void run_fini(void)
{
	ASSERT(!loop.stats.tasks);
	offload_fini();
	signal_forget();
	event_free(loop.alarm);
	event_free(loop.notify);
	event_base_free(loop.base);
	close(loop.notify_fd);
	timer_fini();
	stack_fini();
	memset(&loop, 0, sizeof loop);
	loop.notify_fd = -1;
}

struct task_group *run_background(void)
{
	return &loop.background;
}

struct event_base *run_base(void)
{
	return loop.base;
}

void run_get_stats(struct run_stats *ret)
{
	*ret = loop.stats;
}

/* ---- turning ---- */

static void run_ready(void)
{
	for (struct list *l; (l = loop.yielded.next) != &loop.yielded;) {
		list_remove(l);
		list_append(&loop.ready, l);
	}
	for (int n = 0; n < TURN_SWITCHES && !list_empty(&loop.ready); n++) {
		struct task *t = LIST_FIRST(&loop.ready, struct task, in_ready);

		list_remove(&t->in_ready);
		task_resume(t);
	}
}

static bool work_left(void)
{
	return !list_empty(&loop.ready) || !list_empty(&loop.yielded);
}

/* An alarm that is too early does no harm, so it is set anew only when it would be too late. */
static void set_alarm(void)
{
	int64_t next = timer_next(), delay;
	struct timeval tv;

	if (next >= loop.alarm_at || loop.test_clock)
		return;
	delay = next > loop.now ? next - loop.now : 0;
	tv.tv_sec = delay / SECONDS(1);
	tv.tv_usec = (delay % SECONDS(1) + 999) / 1000;
	if (tv.tv_usec >= 1000000)
		tv = (struct timeval){ tv.tv_sec + 1, 0 };
	if (!event_add(loop.alarm, &tv))
		loop.alarm_at = next;
}

/* For note_long_slice(). */
static void look_at_cpu_clock(void)
{
	if (loop.mono - loop.cpu_at < MS(10))
		return;
	loop.cpu_at = loop.mono;
	loop.cpu = clock_read(CLOCK_THREAD_CPUTIME_ID);
}

static void poll_events(bool wait)
{
	set_alarm();
	event_base_loop(loop.base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));
	loop_look_at_clock();
	look_at_cpu_clock();
}

/* The test clock moves on only when nothing more happens at the present time. */
static void poll_test_clock(void)
{
	uint64_t before = loop.events;
	poll_events(!behind() && !work_left() && timer_next() > loop.now);
	if (behind() && !work_left() && loop.events == before && timer_next() > loop.now)
		clock_step();
}

/* Nothing but background tasks: they have nobody left to be of use to. */
static void end_background(void)
{
	if (loop.background.count && loop.background.count == loop.stats.tasks && !loop.background.canceled)
		task_group_cancel(&loop.background);
}

void run_loop(void)
{
	ASSERT(!loop.current && loop.pid == getpid());
	for (;;) {
		loop.turns++;
		timer_fire(loop.now);
		run_ready();
		if (loop.stopping)
			end_background();
		if (loop.stopping && !loop.stats.tasks && !behind())
			break;
		if (loop.test_clock)
			poll_test_clock();
		else
			poll_events(!work_left());
	}
	loop.stopping = loop.background.canceled = false;
}

void run_stop(void)
{
	loop.stopping = true;
}
