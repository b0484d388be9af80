/*
 * generation.h: the workers of one configuration, as their master sees them.
 */
#ifndef GATEPOST_MTA_GENERATION_H
#define GATEPOST_MTA_GENERATION_H

#include "lib/base/list.h"
#include "mta/config.h"
#include "mta/sockets.h"

#include <sys/types.h>

struct child {
	pid_t pid;                      /* 0: none now */
	int ready_fd;                   /* a byte comes when it accepts; -1 afterwards */
	bool ready;
	int64_t born, again;            /* when it was started; when its replacement is due (0: not) */
	int64_t backoff;                /* how long the replacement waited */
	struct smtpd_counters *counters;        /* shared with it */
};
struct generation {
	struct list link;
	unsigned number;
	struct config *config;
	struct child *children;         /* config->workers of them */
	struct child spawner;           /* if the configuration has commands */
	int channel[2];                 /* between spawner and workers: its end, theirs; -1 */
	bool ending;                    /* told to retire or to drain: who dies is not replaced */
	unsigned urged;                 /* how often: by SIGTERM, WORKER_CUT_SHORT, SIGKILL */
	int64_t urge_at;                /* when next; FOREVER */
	struct smtpd_counters past;     /* what children that are gone have counted */
};

/* What a new child does: never returns into the master's life.  Its return value is its exit code. */
struct generation_start {
	struct sockets *sockets;
	sigset_t *signals;              /* to be unblocked in the child */
	int (*run)(struct generation *g, unsigned index, const struct generation_start *how);
	int (*run_spawner)(struct generation *g, const struct generation_start *how);
	void *arg;
};

struct generation *generation_new(struct config *c, unsigned number);   /* takes C over */
void generation_free(struct generation **g);                            /* no child is alive */

/* In a child: gives up what it inherited of G, an other generation than its own. */
void generation_disown(struct generation *g);
/* Starts every child that is due at NOW.  -errno of fork(). */
int generation_start_due(struct generation *g, const struct generation_start *how, int64_t now) __attribute__((warn_unused_result));
/* Has the children finish the sessions they have, and take no more; they are urged at NOW + MOST. */
void generation_retire(struct generation *g, int64_t now, int64_t most);
/* Asks the children to end, each time more firmly: to drain, to cut short, by SIGKILL. */
void generation_urge(struct generation *g, int64_t now, int64_t drain);
/* Reads the ready byte of child I. */
void generation_read_ready(struct generation *g, unsigned i);

bool generation_ready(const struct generation *g);      /* every child accepts */
unsigned generation_alive(const struct generation *g);
struct child *generation_find(struct generation *g, pid_t pid);         /* a worker, or the spawner */
/* Child C has ended with STATUS (wait(2)): logs how, and arranges for its replacement. */
void generation_reap(struct generation *g, struct child *c, int status, int64_t now);
/* When something is due next; FOREVER. */
int64_t generation_next(const struct generation *g);
/* Adds all it has counted to *TO. */
void generation_count(const struct generation *g, struct smtpd_counters *to);

#endif
