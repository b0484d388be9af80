/*
 * maildir_file.h: one message into one maildir.  Blocks: for the thread pool.
 */
#ifndef GATEPOST_DELIVERY_MAILDIR_FILE_H
#define GATEPOST_DELIVERY_MAILDIR_FILE_H

#include "lib/mail/mail.h"

#include <sys/types.h>

/* How maildirs are made. */
struct maildir_rules {
	char *base;             /* must exist, else nobody is unknown: -ENXIO */
	bool existing_only;
	bool chown;
	uid_t uid;
	gid_t gid;
};
struct maildir_file {
	const struct maildir_rules *rules;
	const char *folder;     /* the maildir */
	const char *name;       /* unique; in tmp, and with its size added in new */
	struct bytes head;      /* lines that stand before the message, LF ended */
	int fd;                 /* while prepared, else -1 */
	uint64_t size;
};

/* Writes tmp/NAME.  -ENOENT: there is no such user; -ENXIO: the rules' base is not there; another -errno: of the file system or the
 * spool.  After a failure nothing is left. */
int maildir_file_write(struct maildir_file *f, struct mail *m) __attribute__((warn_unused_result));
/* fsync, rename into new, fsync of new.  After a failure nothing is left; -EINPROGRESS: it may be there nonetheless. */
int maildir_file_commit(struct maildir_file *f) __attribute__((warn_unused_result));
/* Removes what was written and not committed; else nothing. */
void maildir_file_discard(struct maildir_file *f);

#endif
