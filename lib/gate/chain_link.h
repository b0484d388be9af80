/*
 * chain_link.h: one gate of a chain, and one question to it.  For lib/gate only.
 *
 * A question has two halves.  chain_link_ask() yields, and changes nothing that another gate can see: so several may be asked at a time.
 * chain_link_settle() lets the answer take effect, one gate after another in their order.
 */
#ifndef GATEPOST_GATE_CHAIN_LINK_H
#define GATEPOST_GATE_CHAIN_LINK_H

#include "lib/gate/chain.h"

struct chain_link {
	const struct gate *gate;
	void *context;                  /* NULL: not open */
	int64_t spent;                  /* ns in this transaction */
	uint16_t told;                  /* stages it has heard of since it was opened, as bits */
	bool attached;                  /* else only asked by name */
	bool reads;                     /* it said that it edits nothing, and others after it have been shown the message for that */
	bool unfed;                     /* it hung up while content arrived, and will be shown it when all is there */
	bool misconfigured;             /* of the fault */
	enum gate_fault fault;          /* it failed, and is left alone until the transaction ends */
	enum gate_on_failure action;    /* what its failure means until then */
	struct chain_early *early;      /* it answered while content still arrived; in the transaction's arena */
};

/* A question under way: to whom, about what, and what came of it. */
struct chain_question {
	struct chain *chain;
	struct chain_link *link;
	enum gate_stage stage;
	const struct chain_args *args;
	bool arriving;                  /* MESSAGE: only what has arrived so far is shown */
	unsigned permitted;             /* gate_edit_kind bits */

	/* asked */
	struct gate_call call;
	int answer;                     /* 0; 1: a verdict about something it had missed; -errno */
	bool left_alone;                /* it had failed before and was not asked */

	/* settled */
	struct gate_verdict verdict;
	bool failed;                    /* the verdict is that of a fault */
	bool holds;                     /* it wants the message held */
};

#define STAGE_BIT(stage) (1u << (stage))
#define IN_SESSION (STAGE_BIT(GATE_CONNECT) | STAGE_BIT(GATE_EHLO))

/* Q holds chain, link, stage and args, and is otherwise zero. */
void chain_link_begin(struct chain_question *q, unsigned permitted);
/* Opens the gate if need be, tells it what it missed, and asks.  0, or -ECANCELED/-ETIMEDOUT of the session. */
TASK_FN int chain_link_ask(struct chain_question *q) __attribute__((warn_unused_result));
/* Will the answer end the event for the gates after it? */
bool chain_link_decides(const struct chain_question *q);
/* Edits take effect, and a fault becomes a verdict. */
TASK_FN void chain_link_settle(struct chain_question *q);
/* Nobody cares for the answer any more, or it was cut short. */
TASK_FN void chain_link_drop(struct chain_question *q);
TASK_FN void chain_link_abort(struct chain_question *q, bool committed);
TASK_FN void chain_link_close(struct chain_link *link, bool quit);

/* chain_batch.c: what the gates of an event say together. */
struct chain_merge {
	struct gate_verdict verdict;    /* the first that a gate gave */
	struct gate_verdict fault;      /* the first that a failure means */
};
/* Adds a settled answer.  True: the event is decided. */
bool chain_merge_add(struct chain_merge *m, const struct chain_question *q);
/* MESSAGE: asks the attached gates, side by side where that makes no difference. */
TASK_FN int chain_batch_ask(struct chain *c, const struct chain_args *args, struct chain_merge *ret) __attribute__((warn_unused_result));
/* Shows the gates that will be asked first what has arrived. */
TASK_FN int chain_batch_feed(struct chain *c, const struct chain_args *args) __attribute__((warn_unused_result));
/* Would it? */
TASK_FN bool chain_batch_eats(const struct chain *c);

#endif
