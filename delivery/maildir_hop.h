/*
 * maildir_hop.h: next hops of kind `maildir`: tmp, fsync, rename into new.
 *
 * The path's variables are %d (domain), %n (local part), %u (local@domain), all in lower case, and %% (a percent sign).  A value with a '/', a
 * control character, a leading '.', of no length or of more than 200 bytes is no user: 550 5.1.1.
 *
 * Who exists is the script's business (a table), not the file system's: a maildir that is missing is made, with cur, new and tmp, as long as the
 * folder that is to hold it exists; if not, the user is unknown: 550 5.1.1.  So `/var/vmail/%d/%n` serves every local part of the domains that have a
 * folder, and `/var/vmail/%d/%n/Maildir` only users who have a home.  The part of the path before the first variable must be there: else 451 4.3.0,
 * because a file system that is not mounted is no reason to refuse mail for good.
 *
 * On top of the message stand Return-Path and Delivered-To; lines end in LF.
 */
#ifndef GATEPOST_DELIVERY_MAILDIR_HOP_H
#define GATEPOST_DELIVERY_MAILDIR_HOP_H

#include "delivery/delivery.h"

#include <sys/types.h>

struct maildir_hop_params {
	const char *name;               /* as in gatepost.conf: in logs, spans and replies */
	const char *path;               /* absolute: "/var/vmail/%d/%n" */
	bool existing_only;             /* never make a maildir: one that is missing is 550 5.1.1 */
	bool chown;                     /* give what is made to UID and GID (needs the privilege: else 451 4.3.0) */
	uid_t uid;
	gid_t gid;
};
/* -EINVAL with a sentence appended to ERR.  RET is freed with RET->ops->fini(). */
int maildir_hop_configure(const struct maildir_hop_params *params, struct next_hop *ret, struct buf *err) __attribute__((warn_unused_result));

#endif
