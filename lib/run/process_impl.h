/*
 * process_impl.h: what the process_*.c files share; nobody else includes it.
 */
#ifndef GATEPOST_RUN_PROCESS_IMPL_H
#define GATEPOST_RUN_PROCESS_IMPL_H

#include "lib/run/process.h"

/* A worker's request: with it come two descriptors, one for standard input and output, one for reports. */
struct process_request {
	uint32_t command;
};
enum { PROCESS_REQUEST_FDS = 2 };

/* From the spawner to who asked: one when it is decided whether the process runs, and, if it does, one when it has ended. */
struct process_report {
	uint32_t ended;                         /* 0: it runs */
	struct process_end end;
};

/* In the child: becomes the command.  STDIO is its input and output, ERR its standard error; on failure an errno is written to FAILED,
 * which exec closes. */
struct process_exec {
	const struct process_command *command;
	int stdio, err, failed;
	pid_t parent;
};
_Noreturn void process_exec(const struct process_exec *x);

#endif
