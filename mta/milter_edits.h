/*
 * milter_edits.h: what a milter has made of a message, as a difference.
 */
#ifndef GATEPOST_MTA_MILTER_EDITS_H
#define GATEPOST_MTA_MILTER_EDITS_H

#include "lib/gate/txn.h"

/* The envelope, a path a line. */
void milter_edits_envelope(const struct gate_txn *txn, struct buf *out);
/* Appends what differs between an ENVELOPE and the CONTENT that the client sent, and TXN now; that nothing does; and whether it is held.
 * -EIO if the spool fails. */
int milter_edits_print(struct bytes envelope, struct bytes content, const struct gate_txn *txn, struct buf *out) __attribute__((warn_unused_result));

#endif
