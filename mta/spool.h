/*
 * spool.h: the spool folder: who serves with it, and whether workers can write there.
 */
#ifndef GATEPOST_MTA_SPOOL_H
#define GATEPOST_MTA_SPOOL_H

#include "mta/config.h"

/* Takes the lock that one server at a time holds: a descriptor to keep open.  -EWOULDBLOCK: somebody else serves with this spool;
 * another -errno.  A sentence in ERR. */
int spool_lock(const char *spool, struct buf *err);
void spool_unlock(int *fd);
/* The process that holds the lock; 0: none, or it cannot be told.  Never called by that process itself: it would give the lock up. */
pid_t spool_holder(const char *spool);

/* Becomes the configured user for good, if there is one and we are root. */
int spool_drop_privileges(const struct config *c) __attribute__((warn_unused_result));
/* Can files be made there, by who we are now? */
int spool_try(const char *spool) __attribute__((warn_unused_result));
/* Makes the folders that workers need, and clears the hold area of what a crash left.  By who we are now.  -errno with a sentence in ERR. */
int spool_prepare(const struct config *c, struct buf *err) __attribute__((warn_unused_result));
/* Could the workers make files there?  Asks a child that has become their user.  -errno with a sentence in ERR. */
int spool_check(const struct config *c, struct buf *err) __attribute__((warn_unused_result));

#endif
