/*
 * held_codec.h: what is kept of a held message beside its content: an envelope as a JSON text.
 *
 *	{ "version": 1, "id": "2f1c.1.1", "time": 1793000000, "size": 2311, "reason": "looks odd", "gate": "rspamd",
 *	  "session": { "listener": "mx", "client": { "ip": "192.0.2.7", ... }, "tls": { ... }, ... },
 *	  "sender": { "command": "FROM:<a@example.net> SIZE=2000", "address": "a@example.net" },
 *	  "recipients": [ { "command": "TO:<b@example.org>", "address": "b@example.org",
 *	                    "targets": [ { "address": "b@example.org", "hops": [ "dovecot" ], "delivered": true } ] } ],
 *	  "gates": [ "rspamd", "opendkim" ], "trace": [ 0 ] }
 *
 * A string that is not UTF-8, or holds NUL, is written { "hex": "ff00" }.  What is not known is left out.  Next hops and gates are kept by their
 * names in gatepost.conf.  A target that has been delivered to stays, marked so: what was done is not done again.
 *
 * Whoever can write in the spool can write here: nothing of it is believed that the parsers of the server would not have let pass.
 */
#ifndef GATEPOST_QUEUE_HELD_CODEC_H
#define GATEPOST_QUEUE_HELD_CODEC_H

#include "lib/gate/txn.h"

/* One destination of a recipient, as delivery_target, but by name. */
struct held_target {
	struct smtp_address address;
	const char **hops;              /* fail over in this order; at least one */
	unsigned hop_count;
	bool queue;                     /* the script said :queue */
	bool delivered;
	struct held_target *next;
};
struct held_rcpt {
	struct list link;               /* in held.rcpts */
	struct gate_rcpt view;          /* its link and targets are for those who deliver it */
	struct held_target *targets;    /* at least one */
};
struct held {
	const char *id;                 /* the transaction's: mail.id */
	int64_t time;                   /* seconds since 1970 */
	uint64_t size;                  /* bytes of the content */
	const char *reason;             /* NULL: none was told */
	const char *gate;               /* who wants it held; NULL: the script */
	struct gate_session session;    /* its TLS and arena point below */
	struct tls_info tls;            /* protocol NULL: in clear */
	const char *instance;
	bool chunking;
	struct smtp_path sender;
	struct list rcpts;              /* of struct held_rcpt */
	const char **gates;             /* that the script had attached */
	unsigned gate_count;
	unsigned *trace;                /* which of the header fields, from 0, are our own trace fields, hidden from gates */
	unsigned trace_count;
};

/* Letters, digits, '.' and '-', 64 at most, the first a letter or digit: what a file may be called. */
bool held_id_valid(struct bytes id);
/* Is there anything left to deliver? */
bool held_rcpt_done(const struct held_rcpt *r);

void held_encode(const struct held *h, struct buf *to);
/* All lives in ARENA, but for *RET itself, which must stay where it is.  -EBADMSG with half a sentence appended to ERR. */
int held_decode(struct bytes text, struct arena *arena, struct held *ret, struct buf *err) __attribute__((warn_unused_result));

#endif
