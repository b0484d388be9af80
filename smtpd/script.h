/*
 * script.h: how the server asks for decisions.  mta/ fills this table with the Sieve engine; tests with C functions.
 */
#ifndef GATEPOST_SMTPD_SCRIPT_H
#define GATEPOST_SMTPD_SCRIPT_H

#include "lib/gate/chain.h"

/* One stage of one session.  VRFY is RCPT for a transaction that nothing becomes of: the same is asked, and nothing is remembered.  At RCPT the script sets rcpt->targets (none: relay denied), rcpt->class, or txn->discarded...; at CONNECT it
 * attaches gates to CHAIN; at MESSAGE it edits txn->mail. */
struct smtpd_stage {
	enum gate_stage stage;
	struct gate_session *session;
	struct chain *chain;
	struct gate_txn *txn;           /* NULL before MAIL */
	struct gate_rcpt *rcpt;         /* RCPT, VRFY */
	const struct smtp_reply *result;        /* RESULT: what the client was told */
	void **session_state;           /* the script's own, kept for the session: freed through ops->session_end */

	/* answer */
	struct gate_verdict verdict;
	bool accept_session, accept_message;    /* `accept`: no more checks (scripts, gates), never the relay rule */
};

struct smtpd_script_ops {
	/* Runs the block of io->stage.  0 with the answer in io, or -errno, and it has logged why: 451 4.3.5 (-ECANCELED, -ETIMEDOUT of the
	 * session pass through). */
	int (*stage)(const void *script, struct smtpd_stage *io) TASK_PTR;
	void (*session_end)(const void *script, void *session_state);
};
struct smtpd_script {
	const struct smtpd_script_ops *ops;
	const void *script;
};

#endif
