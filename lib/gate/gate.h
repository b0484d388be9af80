/*
 * gate.h: the contract between the server and its gates (milters, policy servers, proxy filters).
 *
 * A gate kind is a `static const struct gate_ops`.  A configured gate is a struct gate, constant after start.  Each session
 * has one context per gate it uses.  A method answers by filling in the call: a verdict, and edits through gate_edit_*().
 * It never decides what its own failure means: it returns -errno and says which kind of fault it was; lib/gate/chain.c turns
 * that into what the configuration says.
 */
#ifndef GATEPOST_GATE_GATE_H
#define GATEPOST_GATE_GATE_H

#include "lib/gate/txn.h"
#include "lib/run/task.h"

enum gate_action {
	GATE_CONTINUE,
	GATE_ACCEPT,            /* this gate wants no more of this message (or session): the others go on */
	GATE_REJECT,
	GATE_TEMPFAIL,
	GATE_DISCARD,           /* 250, and dropped */
	GATE_DISCONNECT,        /* reply (421), then close */
};
struct gate_verdict {
	enum gate_action action;
	struct smtp_reply reply;        /* code 0: the stock reply of the action (550 5.7.1, 451 4.7.1, 421 4.7.0) */
	const char *gate;               /* whose verdict; NULL: the script's */
	const char *answer;             /* what it said in its own words, for scripts to match (policy: the action); NULL */
};

/* Edits, also as a bit mask of what was negotiated. */
enum gate_edit_kind {
	GATE_EDIT_HEADER_ADD = 1, GATE_EDIT_BODY = 2, GATE_EDIT_RCPT_ADD = 4, GATE_EDIT_RCPT_DELETE = 8, GATE_EDIT_HEADER_CHANGE = 16,
	GATE_EDIT_HOLD = 32, GATE_EDIT_SENDER = 64, GATE_EDIT_ALL = 127,
	GATE_EDIT_HEADER_INSERT = 128,  /* negotiated together with HEADER_ADD */
	GATE_EDIT_FILTER = 256, GATE_EDIT_REDIRECT = 512, GATE_EDIT_BCC = 1024, /* of access(5): see gate_edit_route() */
	GATE_EDIT_EVERY = 2047,
};
/* "header-add,body" for a mask of kinds, appended. */
void gate_edit_names(unsigned kinds, struct buf *to);

enum gate_fault { GATE_FAULT_NONE, GATE_FAULT_CONNECT, GATE_FAULT_TIMEOUT, GATE_FAULT_PROTOCOL, GATE_FAULT_EDIT, GATE_FAULTS };
const char *gate_fault_name(enum gate_fault fault);

/* What a failure means.  DEFAULT: the gate kind's own default. */
enum gate_on_failure {
	GATE_ON_FAILURE_CONTINUE, GATE_ON_FAILURE_ACCEPT, GATE_ON_FAILURE_TEMPFAIL, GATE_ON_FAILURE_REJECT, GATE_ON_FAILURE_HOLD,
	GATE_ON_FAILURE_DISCONNECT
};
extern const char *const gate_on_failure_words[];      /* by their number; NULL at the end */

struct gate_ops;
/* A configured gate. */
struct gate {
	const struct gate_ops *ops;
	const char *name;               /* as in gatepost.conf */
	void *config;                   /* the kind's own, made by ops->configure */
	int64_t total_timeout;          /* ns for all calls of one transaction together; FOREVER */
	enum gate_on_failure on_failure[GATE_STAGES][GATE_FAULTS];
	bool shadow;                    /* asked and logged, without effect */
	bool in_turn;                   /* sees a message only when those before it have answered, and all of it at once: as other servers do it */
	bool hold_ends;                 /* a message that it wants held is shown to no gate after it: as Postfix does it */
};

/* What the edits of one answer but the body may take; the body may grow by as much over the limit for messages. */
enum { GATE_EDITS_MAX = 4 * 1024 * 1024 };

/* One edit, between the gate's answer and its effect.  Lives in the transaction's arena, as its strings do. */
struct gate_edit {
	struct list link;
	enum gate_edit_kind kind;
	unsigned index;                 /* header insert, change */
	bool leading_space;
	bool twice;                     /* recipient add */
	struct bytes name, value;       /* header; value alone: the reason of a hold, where a filter is */
	struct smtp_path path;          /* recipient add and delete, sender, redirect, bcc */
	const char *gate;               /* hold: whose */
};

/* One question to one gate.  Made by the runner. */
struct gate_call {
	const struct gate *gate;
	void *context;                  /* what open() made */
	enum gate_stage stage;
	const struct gate_session *session;
	struct gate_txn *txn;           /* read only for gates; NULL before MAIL */
	const struct gate_rcpt *rcpt;   /* at RCPT and VRFY */
	bool accepted_before;           /* at RCPT: false when rcpt->refused tells why it was refused */
	struct bytes line;              /* at UNKNOWN: the command line */

	/* answer */
	struct gate_verdict verdict;
	struct smtp_reply defer_if_permit, defer_if_reject;     /* code 0: none */
	enum gate_fault fault;
	const char *fault_text;         /* for the log, in the transaction's or session's arena */
	struct smtp_reply tempfail;     /* with a fault: what tempfail answers; code 0: what its kind does */
	bool misconfigured;             /* with a fault: it works, but talks nonsense: 451 4.3.5, and never a permanent refusal (M41) */
	unsigned permitted;             /* gate_edit_kind bits that make sense now: set by the runner */
	unsigned negotiated;            /* gate_edit_kind bits this gate may use: set by the method before it edits */
	bool rcpt_twice;                /* a recipient it adds that the client has named is delivered to twice (M30) */
	struct list edits;              /* of struct gate_edit */
	size_t edit_bytes;              /* they take */
	uint64_t body_bytes;            /* of the new body so far */
	bool body_replaced;
};

/* What an answer says lives as long as the transaction, or before there is one, the session. */
static inline struct arena *gate_call_arena(const struct gate_call *call) { return call->txn ? call->txn->arena : call->session->arena; }

/* Every method but open and close may be NULL: "go on".  0, or -errno with call->fault set.  -ECANCELED passes through untouched: the
 * session is ending.  -ESTALE: the gate found, before it said anything, that what it was told before is lost (its peer hung
 * up meanwhile): it is opened anew, told what it missed, and asked once more. */
struct gate_ops {
	const char *kind;               /* "milter" */
	int (*open)(const struct gate *g, const struct gate_session *s, void **ret_context) TASK_PTR;
	int (*event)(struct gate_call *call) TASK_PTR;          /* any stage */
	/* MESSAGE may come later: part of the content has arrived in call->txn->mail, all of the header among it, and more will follow.  Takes what it
	 * can, and need not wait for an answer; event() for MESSAGE then goes on from there.  A verdict that is not CONTINUE, or a fault, is the
	 * answer to the whole message: neither feed() nor event() is called for it any more.  But a gate that could not be reached, or did not keep to its
	 * protocol (it may have hung up on a slow client), is opened anew for event().  No edits. */
	int (*feed)(struct gate_call *call) TASK_PTR;
	/* gate_edit_kind bits of what it can still do to a message in this session; NULL: any.  Gates that can do nothing but hold it are asked
	 * side by side. */
	unsigned (*edits)(void *context);
	/* The transaction is over without (RSET, EHLO, lost client) or after (COMMITTED) a message. */
	void (*abort)(struct gate_call *call, bool committed) TASK_PTR;
	/* Exactly once after a successful open(), also when the session is cancelled; QUIT says whether there is time for
	 * a parting word. */
	void (*close)(void *context, bool quit) TASK_PTR;
	unsigned stages;                /* bit mask (1u << stage) of those it wants */
	unsigned history;               /* ... of those it must have heard of before any later one: told by the runner when it missed them */
	bool refused_rcpts;             /* wants RCPT for recipients that were refused already */
	enum gate_on_failure default_on_failure;
	const struct smtp_reply *tempfail;      /* what a failure that means tempfail is answered; NULL: 451 4.7.1, or 4.3.5 when misconfigured */
};

/* Edits, for gates to call.  Each appends to the call; the runner applies them in order when the gate has answered and
 * only if all were negotiated.  -EPERM: not negotiated (return it, with GATE_FAULT_EDIT); -EINVAL: makes no sense; -EMSGSIZE: too much.
 * Addresses may stand in angle brackets, and a name and comments beside them; a sender or recipient without a domain is given our host name; ESMTP
 * parameters that make no sense are left out.  All but the body may also be edited before there is a message: header edits then wait for it, in front
 * of our own trace fields. */
int gate_edit_header_add(struct gate_call *c, struct bytes name, struct bytes value, bool leading_space) __attribute__((warn_unused_result));
int gate_edit_header_insert(struct gate_call *c, unsigned index, struct bytes name, struct bytes value, bool leading_space) __attribute__((warn_unused_result));
int gate_edit_header_change(struct gate_call *c, unsigned nth, struct bytes name, struct bytes value, bool leading_space) __attribute__((warn_unused_result)); /* empty: delete */
int gate_edit_rcpt_add(struct gate_call *c, struct bytes address, struct bytes params) __attribute__((warn_unused_result));
int gate_edit_rcpt_delete(struct gate_call *c, struct bytes address) __attribute__((warn_unused_result));
int gate_edit_sender(struct gate_call *c, struct bytes address, struct bytes params) __attribute__((warn_unused_result));
int gate_edit_hold(struct gate_call *c, struct bytes reason) __attribute__((warn_unused_result));
/* Where the whole message goes, as access(5) has it: FILTER to the next hop WHERE (a text that the script's host makes something of), REDIRECT to the
 * address WHERE and nobody else, BCC to the address WHERE too.  Of the first two the last one said holds. */
int gate_edit_route(struct gate_call *c, enum gate_edit_kind kind, struct bytes where) __attribute__((warn_unused_result));
int gate_edit_body(struct gate_call *c, struct bytes piece) __attribute__((warn_unused_result));        /* goes straight into the mail's pending new body */

#endif
