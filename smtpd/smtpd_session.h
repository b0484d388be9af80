/*
 * smtpd_session.h: what the verbs share; private to smtpd/.
 *
 * A verb answers the client through smtpd_reply() and returns 0, or -errno when the session must end without
 * another word from it: -ECANCELED, -ETIMEDOUT, -ENODATA and other losses of the connection.
 */
#ifndef GATEPOST_SMTPD_SESSION_H
#define GATEPOST_SMTPD_SESSION_H

#include "delivery/delivery.h"
#include "lib/run/stream.h"
#include "smtpd/bdat_codec.h"
#include "smtpd/smtpd.h"

/* A transaction: MAIL until it is answered, reset or lost. */
struct smtpd_txn {
	struct gate_txn view;           /* what scripts, gates and next hops see */
	struct arena arena;
	int64_t started;
	struct smtpd_answer *answers;   /* told 250, in that order, those the script dropped as well: LMTP replies to each */
	struct smtpd_answer **answers_end;
	unsigned answer_count;
	unsigned overshoot;             /* recipients refused with 452 4.5.3 */
	bool accepted;                  /* the script said `accept`: no more checks */
	struct bdat_text text;          /* content that came by BDAT */
	uint64_t feed_at;               /* from so many bytes of body on gates are shown what has arrived */
	bool headed;                    /* the header has been checked, and has our trace field */
	struct smtp_reply failed;       /* code 0: the content so far is good; else what the client will be told */
	struct delivery_outcome outcome;
	bool held;                      /* it is in the hold area */
};
struct smtpd_answer {
	struct gate_rcpt *rcpt;
	struct smtpd_answer *next;
};

struct smtpd_session {
	struct list link;               /* in smtpd.sessions */
	struct smtpd *srv;
	const struct smtpd_config *config;
	struct stream *stream;
	struct gate_session view;       /* what scripts and gates see */
	struct arena arena;
	struct chain chain;
	void *script_state;
	char *helo;                     /* view.helo, replaced by each EHLO */
	struct smtpd_txn *txn;          /* NULL: none */
	struct smtpd_txn *unread;       /* delivered and answered, but the client may not have read it: until its next command */
	struct smtp_reply denied;       /* code 0: not; else the answer to all that matters (refused at connect or EHLO) */
	unsigned errors, junk, transactions;
	unsigned turn;                  /* bytes of content since others had their turn */
	bool xclient;                   /* may use XCLIENT: by the address that the client has now */
	bool parked, timed_out;
	bool greeted;
	bool banner_denied;             /* 554 instead of 220 */
	bool accepted;                  /* the script said `accept :session` */
	bool quit;                      /* said QUIT */
	bool closing;                   /* the last reply was put */
	bool lost_line_end;             /* the line being served ended in a bare LF */
	char id[40];
};

/* ---- smtpd_session.c ---- */

/* The greeting: looks the client up, asks scripts and gates about the connection, says 220 or what else they decided.
 * Also after XCLIENT. */
TASK_FN int smtpd_session_greet(struct smtpd_session *s) __attribute__((warn_unused_result));
/* Flushes within command_timeout. */
TASK_FN int smtpd_session_flush(struct smtpd_session *s) __attribute__((warn_unused_result));
/* More content into the stream's input, charged to *BUDGET: the time the client has left (smtpd_config.data_rate_min). */
TASK_FN int smtpd_session_fill(struct smtpd_session *s, size_t most, int64_t *budget) __attribute__((warn_unused_result));
/* Is its client, as it is known now, one that may use XCLIENT? */
bool smtpd_session_may_xclient(const struct smtpd_session *s);
struct smtpd_counters *smtpd_session_counters(struct smtpd_session *s);
/* As Postfix makes it, for policy servers that know its form: pid, seconds, microseconds, sequence number; in hexadecimal. */
const char *smtpd_session_instance(struct smtpd_session *s, struct arena *arena);

/* ---- smtpd_reply.c ---- */

/* Puts a reply into the output.  4xx and 5xx count as errors of the client; 421 and 521 close the session. */
void smtpd_reply(struct smtpd_session *s, const struct smtp_reply *r);
void smtpd_say(struct smtpd_session *s, unsigned code, const char *enhanced, const char *text);
void smtpd_sayf(struct smtpd_session *s, unsigned code, const char *enhanced, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- smtpd_ehlo.c ---- */

/* As Postfix: '?' for what could be mistaken for something else in a header field or a log.  NULL is a no-op. */
void smtpd_ehlo_neuter(char *name);

/* ---- smtpd_stage.c ---- */

struct smtpd_question {
	enum gate_stage stage;
	struct gate_rcpt *rcpt;         /* RCPT, VRFY */
	const struct smtp_reply *result;        /* RESULT */
	struct bytes line;              /* UNKNOWN */
};
/* The script, with what it left for the end of the stage (DEFER_IF_PERMIT), then the gates: as in Postfix they do not hear of what is refused or
 * deferred before, and nobody defers in their stead. Discarding is noted in the transaction. */
TASK_FN int smtpd_stage_ask(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* The parts of it, for stages with an order of their own. */
void smtpd_stage_begin(struct smtpd_session *s, enum gate_stage stage);
TASK_FN int smtpd_stage_script(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *ret) __attribute__((warn_unused_result));
TASK_FN int smtpd_stage_gates(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* Will no gate be asked at STAGE? */
bool smtpd_stage_gates_waived(const struct smtpd_session *s, enum gate_stage stage);
/* DEFER_IF_REJECT: what the script refuses for good, or closes the connection for, is refused for now (P15). */
void smtpd_stage_soften(struct smtpd_session *s, struct gate_verdict *v);
/* DEFER_IF_PERMIT as well, and a message that is discarded is marked so. */
void smtpd_stage_settle(struct smtpd_session *s, enum gate_stage stage, struct gate_verdict *v);
/* Does V refuse?  Then *RET is what to tell the client. */
bool smtpd_stage_refuses(const struct gate_verdict *v, struct smtp_reply *ret);
/* One line about a refusal. */
void smtpd_stage_log(const struct smtpd_session *s, const struct smtpd_question *q, const struct gate_verdict *v, const struct smtp_reply *r);

/* ---- smtpd_txn.c ---- */

void smtpd_txn_begin(struct smtpd_session *s);
/* Over: gates are told.  What was delivered is kept as s->unread. */
TASK_FN void smtpd_txn_end(struct smtpd_session *s, bool committed);
void smtpd_txn_free(struct smtpd_txn **t);
void smtpd_txn_accept_rcpt(struct smtpd_txn *t, struct gate_rcpt *rcpt);
struct delivery_params smtpd_txn_delivery(const struct smtpd_session *s, struct smtpd_txn *t);

/* ---- smtpd_rcpt.c ---- */

/* At RCPT and VRFY: the script says where mail for this recipient goes, or refuses it, next hops are asked that it wants asked, and what is left for the
 * end of the stage is done.  A refusal ends up in q->rcpt->refused. */
TASK_FN int smtpd_rcpt_script(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *v) __attribute__((warn_unused_result));

/* ---- smtpd_content.c: between DATA (BDAT) and the message ---- */

/* The stage `data`, and a mail to receive into; or a refusal to tell the client (code 0: none). */
TASK_FN int smtpd_content_begin(struct smtpd_session *s, struct smtp_reply *ret_refusal) __attribute__((warn_unused_result));
/* Adds content; a failure is noted in txn->failed, and the rest is dropped. */
void smtpd_content_add(struct smtpd_session *s, struct bytes piece);
void smtpd_content_end(struct smtpd_session *s);
/* Shows the gates what has arrived of a long message.  Waits if they do: so a filter that is slow slows the client down. */
TASK_FN int smtpd_content_feed(struct smtpd_session *s) __attribute__((warn_unused_result));
void smtpd_content_fail(struct smtpd_txn *t, unsigned code, const char *enhanced, const char *text);

/* ---- smtpd_unread.c ---- */

/* The session ends WHY (0, -errno): may the client have missed the last answer?  Waits a little for its kernel to say so. */
TASK_FN bool smtpd_unread(const struct smtpd_session *s, int why);

/* ---- smtpd_message.c ---- */

/* The header has ended: it is checked, and gets our trace field.  Once. */
void smtpd_message_head(struct smtpd_session *s);
/* All content is there: filters, delivers, answers, and ends the transaction. */
TASK_FN int smtpd_message(struct smtpd_session *s) __attribute__((warn_unused_result));

/* ---- smtpd_hold.c ---- */

/* Puts the message into the hold area: the answer in *RET. */
TASK_FN int smtpd_hold(struct smtpd_session *s, struct smtp_reply *ret) __attribute__((warn_unused_result));

/* ---- smtpd_received.c ---- */

/* The trace field (RFC 5321 section 4.4), CR LF ended.  NOW: seconds since 1970. */
void smtpd_received(const struct gate_session *s, const struct gate_txn *t, int64_t now, struct buf *to);

/* ---- the verbs ---- */

TASK_FN int smtpd_helo(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_ehlo(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_lhlo(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_starttls(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_xclient(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_mail(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_rcpt(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_data(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_bdat(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_rset(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_noop(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_vrfy(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_help(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_quit(struct smtpd_session *s, struct bytes arg);
TASK_FN int smtpd_unknown(struct smtpd_session *s, struct bytes line);
/* A BDAT that is refused: its octets come all the same (RFC 3030 section 2).  Reads and drops them. */
TASK_FN int smtpd_bdat_drop(struct smtpd_session *s, struct bytes arg) __attribute__((warn_unused_result));

/* ---- smtpd_command.c ---- */

/* Serves one command line. */
TASK_FN int smtpd_command(struct smtpd_session *s, struct bytes line) __attribute__((warn_unused_result));

#endif
