/*
 * spawner.h: the process that runs the commands of one configuration (lib/run/process.h), and tells the log of them.
 */
#ifndef GATEPOST_MTA_SPAWNER_H
#define GATEPOST_MTA_SPAWNER_H

#include "mta/config.h"

/* The life of a spawner, after the fork: until every worker that has the other end of CHANNEL is gone, and all commands have ended.  Its exit
 * code, as sysexits(3). */
int spawner_run(const struct config *c, int channel);

#endif
