/*
 * delivery_leg.h: one group of targets and the next hops it may go to.
 */
#ifndef GATEPOST_DELIVERY_DELIVERY_LEG_H
#define GATEPOST_DELIVERY_DELIVERY_LEG_H

#include "delivery/delivery.h"

struct delivery_leg {
	struct delivery_group group;
	const struct next_hop *const *hops;     /* fail over in this order */
	unsigned hop_count;
	int64_t until;                          /* run_now() at which a task of its own gives up */
	const char *log_session;
	int error;                              /* of the last step: 0, -ECANCELED, -ETIMEDOUT */
	struct delivery_leg *next;
};

/* Targets with the same next hops go together, up to what those take at once.  LEGS and their count live in the arena of TXN.  Targets
 * that need nothing more (delivered_before) are left out, and those of a recipient that the client has named before: its outcome is theirs. */
struct delivery_legs {
	struct delivery_leg *first;
	unsigned count;
};
void delivery_legs_collect(const struct delivery_params *p, struct delivery_legs *ret);

/* Each leg's prepare, with fail over: the next hop in the list is tried when one has only temporary failures to offer and cannot have taken anything.
 * A single leg in this task, several side by side in tasks of their own.  0, or -ECANCELED, -ETIMEDOUT of the caller, then every target has a
 * reply nonetheless. */
TASK_FN int delivery_legs_prepare(struct delivery_legs *legs) __attribute__((warn_unused_result));
/* The commit of every leg that is prepared.  The first dot alone, one that may be refused if there is any: as long as it is refused, nobody has the
 * message and all the others can be rolled back.  Then the rest side by side, each to its end: whoever cancels us now cannot undo what is on its way, only not wait for its own part. */
TASK_FN int delivery_legs_commit(struct delivery_legs *legs) __attribute__((warn_unused_result));
/* Whatever is prepared and not committed is dropped. */
TASK_FN void delivery_legs_rollback(struct delivery_legs *legs);
/* Targets that were left out for another's sake get its outcome. */
void delivery_legs_share(const struct delivery_params *p);

#endif
