/*
 * edit.h: what the runner does with a gate's edits.  For lib/gate only.
 */
#ifndef GATEPOST_GATE_EDIT_H
#define GATEPOST_GATE_EDIT_H

#include "lib/gate/gate.h"

/* In order.  Header edits wait in txn->early_edits while there is no message.  -errno: the message could not be changed (spool). */
int gate_edits_apply(struct list *edits, struct gate_txn *txn) __attribute__((warn_unused_result));

#endif
