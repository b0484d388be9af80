/*
 * process.h: commands that we run and talk to through their standard input and output, as Postfix's spawn(8) does.
 *
 * Who runs them is the spawner: a process that the master keeps for each configuration, with the rights to become the commands' users.  Workers
 * have given those rights up, and parse what strangers send: all they can say to the spawner is the number of a command that the configuration names,
 * with a socket for its input and output and one for reports.  The spawner reads nothing else from anybody.
 *
 *	worker                          spawner                         command
 *	number + two sockets    --->    fork, become its user   --->    exec
 *	  report: started       <---
 *	  ... question and answer, with nobody between ...      <-->    stdin, stdout
 *	closes both             --->    waits, SIGTERM, SIGKILL --->    (end of file on stdin)
 *	  report: ended, how    <---                            <---    ends
 *
 * A command runs in a session of its own, in "/", with the environment given to it and nothing else, no descriptor but 0 to 2, every signal at its default,
 * umask 077, no core files and at most 1024 descriptors.  What it writes to standard error goes to the spawner, line by line.  When it ends,
 * whatever is left of its process group is killed; when the spawner is killed, so is the command (PR_SET_PDEATHSIG).
 */
#ifndef GATEPOST_RUN_PROCESS_H
#define GATEPOST_RUN_PROCESS_H

#include "lib/run/stream.h"

#include <sys/types.h>

enum { PROCESS_LINE_MAX = 500 };        /* of a line on standard error: what is longer is cut */

/* Times in ns. */
struct process_command {
	const char *name;                       /* whose it is, for the log */
	char *const *argv;                      /* its path and arguments, NULL-terminated */
	char *const *env;                       /* "NAME=value", NULL-terminated */
	bool become;                            /* as the user below; else as who we are */
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	unsigned group_count;
	int64_t time_limit;                     /* a process is ended when it is older than this; FOREVER */
	unsigned max;                           /* processes at once, of all workers; 0: no limit */
};

/* Could it be run now?  -ENOENT, -EACCES...; -EISDIR: it is not a file.  Looks with the user's rights (in a child of its own: not in a task). */
int process_check(const struct process_command *c) __attribute__((warn_unused_result));

/* ---- the spawner ---- */

/* How a process ended, or why there is none. */
struct process_end {
	int error;                              /* -errno: it could not be started; 0 */
	int status;                             /* else as wait(2) */
	char last[200];                         /* the last line it wrote to standard error; "" */
};
/* "exit status 1: no such file", "SIGKILL", "Permission denied" */
void process_end_text(const struct process_end *e, char *to, size_t size);

enum process_event {
	PROCESS_STARTED,
	PROCESS_SAID,                           /* LINE, on standard error */
	PROCESS_SAID_MORE,                      /* much more than is worth a log: what it says now is left out for some seconds */
	PROCESS_ENDED,                          /* END */
	PROCESS_NOT_STARTED,                    /* END; PID is 0 */
	PROCESS_TOO_OLD,                        /* its time_limit is over: it will be ended */
};
struct process_news {
	enum process_event event;
	const struct process_command *command;
	pid_t pid;
	struct bytes line;
	const struct process_end *end;
	bool wanted;                            /* PROCESS_ENDED: we had hung up, or ended it */
	int64_t pause;                          /* so long no other is started, since they fail one after the other; 0 */
};
struct process_spawner_params {
	const struct process_command *commands;
	unsigned count;
	int channel;                            /* a SOCK_SEQPACKET socket; workers have the other end */
	int64_t grace;                          /* from end of file to SIGTERM, and from that to SIGKILL; 0: 5 s */
	void (*news)(void *arg, const struct process_news *news);
	void *arg;
};
/* Runs commands until nobody is left who could ask for one, and all have ended.  Has no loop, no tasks: the whole process is for this.
 * -errno: it could not begin. */
int process_spawner_run(const struct process_spawner_params *p) __attribute__((warn_unused_result));

/* ---- in a worker ---- */

/* CHANNEL is our end; kept by the caller.  -1: there is no spawner. */
void process_use_spawner(int channel);
/* A new process of command TO->command, as a stream: stream_connect() does this for an "exec:" endpoint.  -errno of exec; -EAGAIN: there are too many,
 * or they fail one after the other; -ENOTCONN: no spawner. */
TASK_FN int process_connect(const struct endpoint *to, struct stream **ret) __attribute__((warn_unused_result));
/* S has ended: how did its process?  -ENOENT: it is no process's, or the process goes on for more than WAIT. */
TASK_FN int process_ended(struct stream *s, int64_t wait, struct process_end *ret) __attribute__((warn_unused_result));

#endif
