/*
 * delivery_verdict.h: from what became of each target to what the client is told (docs/delivery.md).  Pure.
 */
#ifndef GATEPOST_DELIVERY_DELIVERY_VERDICT_H
#define GATEPOST_DELIVERY_DELIVERY_VERDICT_H

#include "delivery/delivery.h"

/* Targets that share one verdict, counted.  All-zero is none. */
struct delivery_tally {
	unsigned targets;
	unsigned delivered, delivered_now;      /* by an earlier try too; by this one */
	unsigned refused, deferred;
	unsigned held;                          /* would have been taken, but was rolled back */
	bool refused_before;
	bool several_words;                     /* those delivered now got different replies, or are called otherwise than the client calls them */
	const struct delivery_target *first_refused, *first_deferred, *first_delivered;
};
void delivery_tally_add(struct delivery_tally *tally, const struct delivery_target *t);

/* The verdict on all of them.  REMEMBERS: there is a journal, so the client may be told to come again for the sake of the others. */
struct smtp_reply delivery_verdict(const struct delivery_tally *tally, bool remembers, struct arena *arena);

#endif
