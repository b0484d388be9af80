/*
 * master.h: the process that reads the configuration, holds the listening sockets, and starts and watches the workers.
 */
#ifndef GATEPOST_MTA_MASTER_H
#define GATEPOST_MTA_MASTER_H

#include "mta/config.h"

/* Every check that can be made without serving: the configuration with all it names, the spool, the addresses.  EX_OK, or EX_CONFIG,
 * EX_NOINPUT... with lines in ERR.  NOTE gets what is worth knowing although nothing is wrong. */
int master_check(const char *file, struct buf *err, struct buf *note);

/* Serves until SIGTERM or SIGINT.  STARTED(arg) is called once, when connections are accepted.  Returns the exit code; what went wrong before
 * anything was logged is in ERR. */
int master_serve(const char *file, void (*started)(void *arg), void *arg, struct buf *err);

#endif
