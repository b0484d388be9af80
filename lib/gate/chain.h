/*
 * chain.h: the runner: the only caller through gate_ops.
 *
 * It sets the deadline, times and logs each call, checks and applies edits so that the next gate sees them, and turns a fault
 * into what the configuration says for this gate, stage and kind of fault.  A dead gate never starves those after it.
 *
 * At MESSAGE gates that can edit nothing in this session are asked side by side, and with them the first after them that can: all of these see the
 * same message.  What they say takes effect in their order when all have answered, so the outcome is as if one had been asked after another; when
 * one decides, those after it are cut short.
 *
 * A gate that failed is closed and left alone until the transaction ends; meanwhile its failure's action is the answer to every event it
 * would have heard.  With the next transaction it is opened anew and told what it missed.
 */
#ifndef GATEPOST_GATE_CHAIN_H
#define GATEPOST_GATE_CHAIN_H

#include "lib/gate/gate.h"

/* The gates of one session, in the order they were attached.  An all-zero chain is empty. */
struct chain {
	struct chain_link *links;
	unsigned count;
	const struct gate_session *session;
	struct smtp_reply defer_if_permit[GATE_MAIL];   /* said at CONNECT, EHLO, AUTH: of each transaction (P14); code 0: not */
	struct gate_verdict lasting;    /* a refusal at CONNECT or EHLO: the answer to every later event (M33) */
};
void chain_init(struct chain *c, const struct gate_session *session);
/* STAGE begins: to be called before anybody is asked there.  What was deferred at the same stage before is forgotten, and at MAIL that of all
 * earlier stages holds for TXN, which is NULL before. */
void chain_begin(struct chain *c, enum gate_stage stage, struct gate_txn *txn);
/* Attaching twice is harmless.  Events that the gate has missed (CONNECT, EHLO) are told to it first when it is next asked. */
void chain_attach(struct chain *c, const struct gate *g);

/* The Ith gate that is attached, in order; NULL at the end. */
const struct gate *chain_gate(const struct chain *c, unsigned i);

struct chain_args {
	struct gate_txn *txn;           /* NULL before MAIL */
	struct gate_rcpt *rcpt;         /* RCPT, VRFY: not yet in txn->rcpts */
	struct bytes line;              /* UNKNOWN */
};
/* Asks all attached gates in order.  The first verdict that is not CONTINUE ends this event for those after it, but for a hold and for faults:
 * those let the rest go on and are merged at the end: a verdict outranks a fault.  At RCPT with rcpt->refused set only gates that want refusals
 * hear of it, and the verdict is CONTINUE; so do those behind a gate that refuses it.
 *
 * The verdict is never ACCEPT, and has a reply when it is REJECT, TEMPFAIL or DISCONNECT.  DISCARD sets txn->discarded; no gate is asked
 * any more until the transaction ends, or EHLO is about to end it.  A refusal at CONNECT or EHLO is returned again for every later event, whatever the server made
 * of it at the time.  A fault at CONNECT or EHLO whose action needs a message (hold, and tempfail of a gate that is told its history) is
 * CONTINUE; the gate is tried again at MAIL.  At UNKNOWN a refusal is the answer to the command, and no more than that.  At MESSAGE
 * txn->early_edits are applied first, so it must be called for every message.
 *
 * 0, or -ECANCELED/-ETIMEDOUT of the session itself, or another -errno when the message could not be changed. */
TASK_FN int chain_event(struct chain *c, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* Content is arriving: shows the gates that will be asked first at MESSAGE what is there, so that they need not begin when all of it is.  A verdict
 * is kept for MESSAGE.  The header must have ended, with our trace fields on it: txn->early_edits are applied.  A gate that takes its time
 * holds the caller up.  Errors as chain_event(). */
TASK_FN int chain_feed(struct chain *c, struct gate_txn *txn) __attribute__((warn_unused_result));
TASK_FN bool chain_eats(const struct chain *c);         /* false: chain_feed() would do nothing */
/* So much more of the body is worth a call. */
enum { GATE_FEED_BYTES = 65536 };
/* Asks one gate, attached or not: what `policy "name"` does.  The verdict may also be ACCEPT. */
TASK_FN int chain_ask(struct chain *c, const struct gate *g, enum gate_stage stage, const struct chain_args *args, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* The transaction is over: to be called whenever chain_event() was asked about a MAIL, whatever came of it. */
TASK_FN void chain_abort(struct chain *c, struct gate_txn *txn, bool committed);
/* The session is over; always called, and the chain is empty afterwards.  QUIT: gates get their parting word. */
TASK_FN void chain_close(struct chain *c, bool quit);
/* XCLIENT: close all, the next event opens them anew with the new client. */
TASK_FN void chain_restart(struct chain *c);

#endif
