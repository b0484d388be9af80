/* in_task.h: a loop with the test clock, and a function run in a task on it. */
#ifndef GATEPOST_TESTS_UNIT_IN_TASK_H
#define GATEPOST_TESTS_UNIT_IN_TASK_H

#include "lib/run/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* cmocka_unit_test_setup_teardown(test, loop_setup, loop_teardown) */
static inline int loop_setup(void **state)
{
	(void)state;
	if (run_init())
		return -1;
	run_clock_test(1000000);
	return 0;
}

static inline int loop_teardown(void **state)
{
	struct run_stats stats;

	(void)state;
	run_get_stats(&stats);
	if (stats.tasks)
		return -1;      /* an assertion left a task by longjmp: cmocka says which */
	run_fini();
	return 0;
}

/* Runs FN in a task and the loop until all tasks have ended. */
static inline void in_task(void (*fn)(void *), void *arg)
{
	struct task_group g;

	task_group_init(&g);
	task_spawn_fn(&g, "test", fn, arg);
	run_stop();
	run_loop();
	assert_int_equal(g.count, 0);
}

#endif
