/*
 * smtp_transfer.h: one message over one connection: envelope, content, end.
 *
 * Round trips with a server that offers PIPELINING (each is one write and, usually, one read):
 *
 *	at once, CHUNKING, small        1       MAIL RCPT BDAT-LAST content
 *	at once, or alone               2       MAIL RCPT [DATA]        content-and-end
 *	several groups                  2+1     MAIL RCPT [DATA]        content         end, when all are prepared
 *
 * BDAT is preferred to DATA: nothing is searched for dots, and an end that is refused is told apart from content that is.  The single round trip of
 * the first line is the reason to have it: RFC 3030 section 2 lets BDAT be pipelined with RCPT, and one whose recipients were all refused
 * fails without harm.  It can only be used where no other recipient's fate hangs on this one, as nothing can be rolled back.
 */
#ifndef GATEPOST_DELIVERY_SMTP_TRANSFER_H
#define GATEPOST_DELIVERY_SMTP_TRANSFER_H

#include "delivery/delivery.h"
#include "delivery/smtp_client.h"

struct smtp_transfer {
	struct smtp_client *client;
	struct delivery_group *group;
	bool kept;                      /* the connection has been used before, and may be dead */
	bool probe;                     /* only ask whether the recipients would be taken: there is no message yet */
	bool fresh;                     /* it was used a moment ago, or is new: a message may be trusted to it whole */

	/* private */
	const char *step;               /* what is being said, for replies */
	struct buf commands;
	unsigned accepted;              /* targets the next hop has taken at RCPT */
	bool chunking;
	bool answered;                  /* it has said something in this transaction */
	bool sent_all;                  /* the end of the content went out: it may have taken the message */
	bool in_data;                   /* after 354 only the end of the content, or of the connection, leads out */
	bool dirty;                     /* inside a transaction: RSET before the next MAIL */
	bool stale;                     /* a kept connection that was dead: nothing has reached the next hop, replies are void */
};

/* next_hop_ops.prepare and .commit for a connected transfer: all targets have a reply afterwards, unless it is stale.  0, -ECANCELED, -ETIMEDOUT. */
TASK_FN int smtp_transfer_prepare(struct smtp_transfer *t) __attribute__((warn_unused_result));
TASK_FN int smtp_transfer_commit(struct smtp_transfer *t) __attribute__((warn_unused_result));
/* The end, in any state: afterwards true says that the connection may be used again. */
TASK_FN bool smtp_transfer_end(struct smtp_transfer *t);

#endif
