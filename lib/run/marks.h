/*
 * marks.h: yield marks that the compiler checks (docs/task-marks.md).
 *
 * TASK_FN stands before every function that may yield, on prototype and definition.  Under clang it is a
 * capability, so `make lint` turns a missing mark into an error; gcc sees nothing.  TASK_PTR marks function
 * pointer members that may yield, BLOCKS redeclared libc calls that must not be made in a task, TASK_ENTRY the few
 * places where a task begins.
 */
#ifndef GATEPOST_RUN_MARKS_H
#define GATEPOST_RUN_MARKS_H

#if defined(__clang__)
struct __attribute__((capability("task"))) task_capability {
	int unused;
};
extern struct task_capability task_context, task_pinned;
#define TASK_FN __attribute__((requires_capability(task_context), locks_excluded(task_pinned)))
#define TASK_PTR __attribute__((guarded_by(task_context)))
#define BLOCKS __attribute__((locks_excluded(task_context)))
#define TASK_ENTRY __attribute__((no_thread_safety_analysis))
#else
#define TASK_FN
#define TASK_PTR
#define BLOCKS
#define TASK_ENTRY
#endif

#endif
