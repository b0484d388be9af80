/*
 * chain.h: the runner: the only caller through gate_ops.
 *
 * It sets the deadline, times and logs each call, checks and applies edits so that the next gate sees them, and turns a fault
 * into what the configuration says for this gate, stage and kind of fault.  A dead gate never starves those after it.
 */
#ifndef GATEPOST_GATE_CHAIN_H
#define GATEPOST_GATE_CHAIN_H

#include "lib/gate/gate.h"

/* The gates of one session, in the order they were attached.  An all-zero chain is empty. */
struct chain {
	struct chain_link *links;
	unsigned count;
	const struct gate_session *session;
};
void chain_init(struct chain *c, const struct gate_session *session);
/* Attaching twice is harmless.  Events that the gate has missed (CONNECT, EHLO) are told to it first when it is next asked. */
void chain_attach(struct chain *c, const struct gate *g);

struct chain_args {
	struct gate_txn *txn;           /* NULL before MAIL */
	struct gate_rcpt *rcpt;         /* RCPT */
	struct bytes line;              /* UNKNOWN, VRFY */
};
/* Asks all attached gates in order.  The first verdict that is not CONTINUE ends this event for those after it, but for a hold and for faults:
 * those let the rest go on and are merged at the end.  At RCPT with rcpt->refused set only gates that want refusals hear of it, and
 * the verdict is CONTINUE.  0, or -ECANCELED/-ETIMEDOUT of the session itself. */
TASK_FN int chain_event(struct chain *c, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* Asks one gate, attached or not: what `policy "name"` does. */
TASK_FN int chain_ask(struct chain *c, const struct gate *g, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* The transaction is over. */
TASK_FN void chain_abort(struct chain *c, struct gate_txn *txn, bool committed);
/* The session is over; always called, and the chain is empty afterwards.  QUIT: gates get their parting word. */
TASK_FN void chain_close(struct chain *c, bool quit);
/* XCLIENT: close all, the next event opens them anew with the new client. */
TASK_FN void chain_restart(struct chain *c);

#endif
