/*
 * milter_pool.h: the connections to one milter's sockets that a process keeps, and the sessions they pass between.  For milter/ only.
 */
#ifndef GATEPOST_MILTER_POOL_H
#define GATEPOST_MILTER_POOL_H

#include "milter/milter_client.h"

/* C's endpoints and settings are complete; it is handed to FREE when the pool is gone and nothing uses it any more. */
struct pool *milter_pool_new(struct milter_config *c, void (*free)(struct milter_config *c));

/* C gets a connection that has been negotiated: one of a session that has ended, or a new one. */
TASK_FN int milter_pool_take(struct milter_client *c) __attribute__((warn_unused_result));
/* C's session ends in good order.  AFTER_END: the last it was told is the end of a message, which it let go on.  True: its connection is kept, or will be
 * when the filter has shown that it stands it, and C has none any more.  False: it must be told QUIT. */
TASK_FN bool milter_pool_give(struct milter_client *c, bool after_end);
/* C has failed.  True: only because its connection was kept, and dead by now: nobody has heard of this session. */
bool milter_pool_was_dead(struct milter_client *c, int r);

#endif
