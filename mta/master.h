/*
 * master.h: the process that reads the configuration, holds the listening sockets, and starts and watches the workers.
 */
#ifndef GATEPOST_MTA_MASTER_H
#define GATEPOST_MTA_MASTER_H

#include "mta/config.h"

/* Every check that can be made without serving: the configuration with all it names, the spool, the addresses.  EX_OK, or EX_CONFIG,
 * EX_NOINPUT... with lines in ERR.  NOTE gets what is worth knowing although nothing is wrong. */
int master_check(const char *file, struct buf *err, struct buf *note);

struct master_params {
	const char *file;
	bool background;                /* once connections are accepted nothing of the caller's is held: terminal, pipes */
	void (*started)(void *arg);     /* called once, when connections are accepted; NULL */
	void *arg;
};
/* Serves until SIGTERM or SIGINT.  Returns the exit code; what went wrong before anything was logged is in ERR. */
int master_serve(const struct master_params *p, struct buf *err);

#endif
