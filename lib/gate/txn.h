/*
 * txn.h: the view of a session and its transaction that gates, scripts and next hops share.
 *
 * Milter macros and policy attributes are two renderings of it, made in milter/ and policyd/.  smtpd owns it and
 * fills it in; gates read it; only the chain runner changes it (edits).
 */
#ifndef GATEPOST_GATE_TXN_H
#define GATEPOST_GATE_TXN_H

#include "lib/base/list.h"
#include "lib/mail/mail.h"
#include "lib/run/net.h"
#include "lib/run/tls.h"
#include "lib/smtp/command.h"
#include "lib/smtp/reply.h"

/* The points of a transaction at which scripts and gates are asked.  UNKNOWN exists for gates only;
 * at VRFY scripts are asked as at RCPT, and of gates those alone that the script asks. */
enum gate_stage {
	GATE_CONNECT, GATE_EHLO, GATE_AUTH, GATE_MAIL, GATE_RCPT, GATE_DATA, GATE_MESSAGE, GATE_RESULT, GATE_UNKNOWN, GATE_VRFY,
	GATE_STAGES
};
const char *gate_stage_name(enum gate_stage stage);     /* "connect"... */

enum gate_resolve { GATE_RESOLVE_OK, GATE_RESOLVE_FAIL, GATE_RESOLVE_TEMP, GATE_RESOLVE_FORGED };
enum gate_protocol { GATE_SMTP, GATE_ESMTP, GATE_LMTP };

/* Constant while a verb runs.  Strings live in the session's arena; none is NULL unless it says so. */
struct gate_session {
	const char *id;                 /* "4f2a91.3c": unique on this machine, in every log line */
	const char *hostname;           /* ours, as in the greeting */
	const char *listener;           /* name of the listener */
	struct net_addr server;         /* our side of the connection */
	const char *server_ip;
	struct net_addr client;         /* after XCLIENT: what it told */
	const char *client_ip;
	uint16_t client_port;           /* 0: not known */
	const char *client_name;        /* verified name or "unknown" */
	const char *client_ptr;         /* reverse name, not verified, or "unknown" */
	enum gate_resolve client_resolve;
	enum gate_protocol protocol;
	bool esmtp;                     /* EHLO has been answered before, which neither HELO nor STARTTLS takes back: what Postfix calls the protocol */
	const char *helo;               /* NULL before EHLO/HELO; as typed while they are decided upon, afterwards '?' for what has a meaning in fields */
	const struct tls_info *tls;     /* NULL in clear */
	const char *auth_mechanism;     /* NULL: not authenticated; so are the next two then */
	const char *auth_user;          /* authentication identity */
	const char *auth_author;        /* authorization identity, when told and different, else NULL */
	struct arena *arena;            /* lives as long as the session */
};

/* Who refused a recipient: the script and whom it asked; the protocol (syntax, one too many); a gate that is attached. */
enum gate_refuser { GATE_REFUSED_BY_SCRIPT, GATE_REFUSED_BY_PROTOCOL, GATE_REFUSED_BY_GATE };

/* A recipient the client named (or a gate added). */
struct gate_rcpt {
	struct list link;               /* in gate_txn.rcpts, in the order they came */
	struct smtp_path path;          /* as given */
	struct smtp_reply refused;      /* code 0: not refused; known to gates that want to hear of refusals */
	enum gate_refuser refused_by;
	bool added;                     /* by a gate: no RCPT stage has been run for it yet */
	const char *class;              /* NULL: the default class */
	struct delivery_target *targets;        /* where it goes (delivery/delivery.h), set by the script */
	struct smtp_reply result;       /* what became of it, set by delivery */
	void *extra;                    /* what the next hop keeps about it while it delivers */
};

/* One gate's (next hop's, table's) share of the time, and what a gate said and did, for the lines that sum a transaction up. */
struct gate_span {
	const char *name;
	uint32_t calls;
	int64_t ns;
	struct gate_span *next;

	const char *kind;               /* of gate; NULL: it is none, and the rest is empty */
	const char *verdict;            /* the last but "continue"; "canceled": another's came first; NULL: it went on */
	const char *fault;              /* NULL: none */
	unsigned edits;                 /* so many... */
	unsigned edit_kinds;            /* ... of these (gate_edit_kind) */
	bool shadow;
};

struct next_hop;
struct gate_path {
	struct smtp_path path;
	struct gate_path *next;
};

/* A transaction: from MAIL on.  Ends with the reply to the message, RSET, EHLO or the session. */
struct gate_txn {
	const char *id;                 /* "4f2a91.3c.1": mail.id, in Received, milter macro i, policy queue_id; from MAIL on */
	const char *instance;           /* policy attribute: the same for all requests of one transaction */
	struct smtp_path sender;        /* as given; sender.address may be changed by gates (raw, params stay) */
	bool sender_accepted;
	struct list rcpts;              /* accepted ones (gate_rcpt) */
	unsigned rcpt_count;            /* accepted */
	unsigned rcpt_seen;             /* accepted and refused */
	struct mail *mail;              /* NULL before DATA/BDAT */
	bool chunking;                  /* content comes by BDAT */
	bool held;                      /* a gate or the script wants it held */
	const char *hold_reason;        /* NULL: none told */
	const char *hold_gate;          /* which gate; NULL: the script */
	bool complete;                  /* gates see it with the header fields its client left out (mail_complete) */
	bool discarded;                 /* taken with 250 and dropped: no gate hears more of it */
	const char *filter;             /* access(5) FILTER: where all of it goes instead of where the script said; NULL */
	const struct next_hop *filter_hop;      /* which next hop that is; NULL: none, and the message cannot be taken */
	const struct smtp_path *redirect;       /* REDIRECT: who gets it instead of all recipients; NULL */
	struct gate_path *bcc;          /* BCC: who gets it, too */
	struct smtp_reply defer_if_permit, defer_if_reject;     /* code 0: not set; see policy.md P14, P15 */
	struct list early_edits;        /* of the header, made before there was one; chain_event() applies them at MESSAGE */
	struct gate_span *spans;
	struct arena *arena;            /* lives as long as the transaction */
};

struct gate_span *gate_span_get(struct gate_txn *txn, const char *name);        /* made if need be */
/* redirect and bcc take effect on rcpts: those that come in are `added`. */
void gate_txn_reroute(struct gate_txn *txn);
/* mail_complete(), now. */
int gate_txn_complete(struct gate_txn *txn, const struct gate_session *s) __attribute__((warn_unused_result));

void gate_span_add(struct gate_txn *txn, const char *name, int64_t ns); /* TXN may be NULL: nothing is kept */

#endif
