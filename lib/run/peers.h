/*
 * peers.h: the endpoints of one service, as one process sees them: which one is to be asked next, and which are down.
 *
 * An endpoint that failed is down.  Either it is passed over for a while and then simply tried again, or, where the owner can
 * check, it stays down until a check in the background has succeeded, so that nobody's question waits for a dead server twice.  When all
 * are down it is the owner's to try them all the same.  Nothing here yields, or knows what a connection is.
 */
#ifndef GATEPOST_RUN_PEERS_H
#define GATEPOST_RUN_PEERS_H

#include "lib/run/task.h"

#include <stddef.h>

enum { PEERS_MAX = 64 };

/* What was wrong. */
struct peer_failure {
	int error;                      /* -errno */
	int kind;                       /* the owner's own; 0: no connection */
	char why[128];                  /* a few words */
};

struct peers;
struct peers_params {
	unsigned count;                 /* 1 to PEERS_MAX */
	bool spread;                    /* the least busy one; else the first */
	/* From the loop: begins a check of endpoint I, which ends with peers_checked().  NULL: who is down is only passed over for ten seconds. */
	void (*check)(void *arg, unsigned i);
	/* Endpoint I is down (FAILURE), or up again (NULL).  May be NULL. */
	void (*changed)(void *arg, unsigned i, const struct peer_failure *failure);
	void *arg;
};
struct peers *peers_new(const struct peers_params *params);
void peers_free(struct peers **p);              /* no check is under way */

/* The endpoint to try next: of those not in TRIED (a bit each) that are up (or DOWN), the least busy one, or the first.  -ENOENT: there is none. */
int peers_pick(const struct peers *p, uint64_t tried, bool down);
void peers_begin(struct peers *p, unsigned i);  /* somebody uses it... */
void peers_end(struct peers *p, unsigned i);    /* ... no longer */
void peers_worked(struct peers *p, unsigned i);
void peers_failed(struct peers *p, unsigned i, const struct peer_failure *failure);
/* The check is over; what it found was told by one of the two above.  There will be another one as long as I is down. */
void peers_checked(struct peers *p, unsigned i);

bool peers_down(const struct peers *p, unsigned i);
unsigned peers_busy(const struct peers *p, unsigned i);
/* Of the last failure there was. */
const struct peer_failure *peers_last_failure(const struct peers *p);

#endif
