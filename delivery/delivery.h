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
	struct smtp_reply reply;                /* what the next hop said of it; code 0: nothing yet */
	bool delivered;                         /* the next hop has it */
	bool delivered_before;                  /* and had it already, from an earlier try of the client's: the journal knows */
	bool refused_before;                    /* at an earlier try, and the client was told to come again (docs/delivery.md) */
	bool uncertain;                         /* all was sent and no answer came: it may have it.  The reply is 4xx */
	struct delivery_target *group_next;
	const struct delivery_target *twin;     /* the client has named this recipient before, and this is its outcome; NULL: it has not */
};

/* All targets that go to one next hop in one transaction. */
struct delivery_group {
	const struct next_hop *hop;
	struct gate_txn *txn;
	const struct gate_session *session;
	struct delivery_target *targets;        /* linked by group_next */
	unsigned target_count;
	bool alone;                             /* no other group: commit follows prepare at once, so the content may wait for it */
	bool at_once;                           /* nothing hangs on its outcome: prepare goes all the way, and sets `committed` */
	bool committed;                         /* replies are the outcome */
	void *state;                            /* the next hop's own: a connection, a file in tmp/ */
};

/* A kind of next hop.  All yield but fini.  Every method answers for each target in target->reply, also when it is cut short; the int is 0, or
 * -ECANCELED/-ETIMEDOUT of the session or the delivery (then rollback follows). */
struct next_hop_ops {
	const char *kind;                       /* "lmtp" */
	bool sure;                              /* its commit hardly ever fails: it comes after those that may still refuse the content */
	/* Up to the final dot, for targets without a reply.  Afterwards each has one of 2xx (can be committed), 4xx or 5xx; when at least one is
	 * 2xx and not yet committed there is a state. */
	int (*prepare)(struct delivery_group *g) TASK_PTR;
	/* The final dot.  Replies of the prepared targets (2xx) are replaced by the outcome. */
	int (*commit)(struct delivery_group *g) TASK_PTR;
	/* Drops what was prepared; nothing must arrive.  Also after commit, to free the state.  Called exactly once. */
	void (*rollback)(struct delivery_group *g) TASK_PTR;
	/* Would this recipient be taken now?  NULL: yes. */
	int (*verify)(const struct next_hop *hop, const struct gate_txn *txn, const struct gate_session *session,
		      const struct smtp_address *rcpt, struct smtp_reply *ret) TASK_PTR;
	/* Frees hop->config. */
	void (*fini)(struct next_hop *hop);
};
struct next_hop {
	const struct next_hop_ops *ops;
	const char *name;                       /* owned by the config */
	void *config;                           /* made by the kind's own configure function (smtp_hop.h, maildir_hop.h) */
	int64_t connect_timeout, command_timeout, data_timeout;
	unsigned max_rcpts;                     /* in one transaction: more make another group; 0: no limit */
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
/* Delivers to every target of every recipient.  Sets each rcpt->result.  0, or -ECANCELED/-ETIMEDOUT of the session: what was delivered by then is
 * in the journal. */
TASK_FN int delivery_run(const struct delivery_params *p, struct delivery_outcome *ret) __attribute__((warn_unused_result));
/* Has all of it been taken at an earlier try of the client's, as far as the journal knows?  Then it is as after delivery_run(), and nothing was sent.  For
 * whoever takes a message in another way, having marked its targets as delivered for delivery_unanswered() the last time. */
TASK_FN bool delivery_taken_before(const struct delivery_params *p, struct delivery_outcome *ret);
/* The client is gone before it could read the 250: remember what was delivered so that its retry is not delivered twice. */
TASK_FN void delivery_unanswered(const struct delivery_params *p, const struct delivery_outcome *o);
/* :verify */
TASK_FN int delivery_verify(const struct delivery_target *t, const struct gate_txn *txn, const struct gate_session *session, struct smtp_reply *ret) __attribute__((warn_unused_result));
/* At RCPT: a next hop has lately refused this recipient when it was too late to refuse it alone, and the client was told to come again: to be
 * verified now, whether the script says so or not.  Costs nothing when the journal is empty. */
bool delivery_doubtful(const struct delivery_target *t, const struct gate_txn *txn);

struct delivery_settings {
	const char *journal_folder;             /* NULL: no delivered journal */
	int64_t journal_window;                 /* ns its entries count; 0: a day */
};
/* Per process, after run_init() and after privileges were dropped.  -errno with a sentence in ERR. */
int delivery_init(const struct delivery_settings *settings, struct buf *err) __attribute__((warn_unused_result));
/* Closes the kept connections and the journal.  Before run_fini(). */
void delivery_fini(void);

#endif
