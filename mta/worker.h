/*
 * worker.h: one process that serves sessions; it shares nothing with its siblings but its counters with the master.
 */
#ifndef GATEPOST_MTA_WORKER_H
#define GATEPOST_MTA_WORKER_H

#include "mta/config.h"
#include "mta/sockets.h"

#include <signal.h>

/* No new sessions: those there are go on to their end. */
#define WORKER_RETIRE SIGUSR2
/* SIGTERM lets sessions end after what they are doing; this ends them where they stand.  (Not a second SIGTERM: two that come close are one.) */
#define WORKER_CUT_SHORT SIGUSR1

struct worker_params {
	struct config *config;                  /* released at the end: the child's copy of the generation's */
	struct sockets *sockets;
	unsigned index;                         /* which of each address's sockets is ours */
	struct smtpd_counters *counters;        /* shared with the master */
	pid_t master;
	int spawner;                            /* who runs commands, if the configuration has any; else -1 */
	int ready_fd;                           /* gets one byte when connections are accepted */
};
/* The life of a worker, after the fork: becomes the configured user, serves until SIGTERM, then drains.  Its exit code, as sysexits(3). */
int worker_run(const struct worker_params *p);

#endif
