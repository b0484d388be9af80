/*
 * delivery.h: next hops, and delivery before the answer: prepare, then commit (docs/delivery.md).
 */
#ifndef GATEPOST_DELIVERY_DELIVERY_H
#define GATEPOST_DELIVERY_DELIVERY_H

#include "lib/gate/txn.h"
#include "lib/run/task.h"

struct next_hop;

/* One final destination of a recipient.  A plain recipient has one; an alias has one for each of its targets.  Lives in the transaction's arena. */
struct delivery_target {
	struct smtp_address address;            /* what the next hop is told */
	const struct next_hop *const *hops;     /* fail over in this order */
	unsigned hop_count;
	bool queue;                             /* a temporary failure is queued, not answered 4xx */
	bool verify;                            /* the next hop was asked at RCPT */
	struct delivery_target *next;

	/* while delivering */
	struct gate_rcpt *rcpt;                 /* whose target this is */
	struct smtp_reply reply;                /* what the next hop said of it */
	struct delivery_target *group_next;
};

/* All targets that go to one next hop in one transaction. */
struct delivery_group {
	const struct next_hop *hop;
	struct gate_txn *txn;
	const struct gate_session *session;
	struct delivery_target *targets;        /* linked by group_next */
	unsigned target_count;
	void *state;                            /* the next hop's own: a connection, a file in tmp/ */
};

/* A kind of next hop.  All yield but the names.  Every method answers for each target in target->reply; the int is 0, or -ECANCELED/-ETIMEDOUT
 * of the session (then rollback follows). */
struct next_hop_ops {
	const char *kind;                       /* "lmtp" */
	/* Up to the final dot.  Afterwards each target has a reply of 2xx (can be committed), 4xx or 5xx; when at least one is 2xx there is a state. */
	int (*prepare)(struct delivery_group *g) TASK_PTR;
	/* The final dot.  Replies of the committed targets are replaced by the outcome.  -EAGAIN in addition: the next hop's answer never came (it may
	 * have taken the message): replies are 4xx. */
	int (*commit)(struct delivery_group *g) TASK_PTR;
	/* Drops what was prepared; nothing must arrive.  Also after commit, to free the state. */
	void (*rollback)(struct delivery_group *g) TASK_PTR;
	/* Would this recipient be taken now?  NULL: yes. */
	int (*verify)(const struct next_hop *hop, const struct gate_txn *txn, const struct gate_session *session,
		      const struct smtp_address *rcpt, struct smtp_reply *ret) TASK_PTR;
};
struct next_hop {
	const struct next_hop_ops *ops;
	const char *name;
	void *config;                           /* made by the kind's own configure function */
	int64_t connect_timeout, command_timeout, data_timeout;
};

/* Where a delivery stands, for `result`, the summary line, and the delivered journal. */
struct delivery_outcome {
	struct smtp_reply reply;                /* one verdict for a transaction (not LMTP: there each rcpt->result counts) */
	unsigned delivered, refused, deferred;  /* targets */
	bool uncertain;                         /* at least one group took it and the client may not come to know */
};
struct delivery_params {
	struct gate_txn *txn;
	const struct gate_session *session;
	bool per_recipient;                     /* LMTP: each recipient has its own verdict, nothing is rolled back for another's sake */
	int64_t deadline;                       /* ns from now until we decide (default SECONDS(240)) */
};
/* Delivers to every target of every recipient.  Sets each rcpt->result.  0, or -ECANCELED/-ETIMEDOUT. */
TASK_FN int delivery_run(const struct delivery_params *p, struct delivery_outcome *ret) __attribute__((warn_unused_result));
/* The client is gone before it could read the 250: remember what was delivered so that its retry is not delivered twice. */
TASK_FN void delivery_unanswered(const struct delivery_params *p, const struct delivery_outcome *o);
/* :verify */
TASK_FN int delivery_verify(const struct delivery_target *t, const struct gate_txn *txn, const struct gate_session *session, struct smtp_reply *ret) __attribute__((warn_unused_result));

/* Per process, after run_init(): pools, the journal's folder (NULL: no delivered journal). */
int delivery_init(const char *journal_folder, struct buf *err) __attribute__((warn_unused_result));
void delivery_fini(void);

#endif
