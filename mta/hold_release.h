/*
 * hold_release.h: a held message goes on to where its script had sent it.
 */
#ifndef GATEPOST_MTA_HOLD_RELEASE_H
#define GATEPOST_MTA_HOLD_RELEASE_H

#include "mta/config.h"
#include "queue/hold.h"

/* Delivers what is not yet delivered of E, which is open, locked and loaded; GATES: if those that its script had attached let it pass now.  A line for each recipient
 * in OUT, one sentence for all else in ERR, each ended by LF.  Who has it is noted in the hold area at once; when all have it the message is removed.  An exit code: EX_OK: it is gone;
 * EX_TEMPFAIL, EX_UNAVAILABLE: for some it stays; EX_CONFIG: something that it names is no more; EX_IOERR. */
TASK_FN int hold_release(const struct config *c, struct hold_entry *e, bool gates, struct buf *out, struct buf *err);

#endif
