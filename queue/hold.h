/*
 * hold.h: the hold area: messages that wait for an administrator, in the folder hold/ of the spool.
 *
 * A message is two files of mode 0600:
 *
 *	ID.eml          its content, byte for byte as it would have been delivered; never changed
 *	ID.json         its envelope (held_codec.h); replaced as a whole when a recipient has been delivered to
 *
 * It is held when both are there.  They are written without a name and get one when all of it is on the disk, ID.json last; it goes first when
 * a message is removed.  So an ID.eml alone is what a crash has left, and nothing.
 *
 * Whoever does something with a message holds flock() on its ID.eml: two commands cannot deliver it twice, and no lock outlives its holder.
 */
#ifndef GATEPOST_QUEUE_HOLD_H
#define GATEPOST_QUEUE_HOLD_H

#include "lib/run/task.h"
#include "queue/held_codec.h"

/* Makes the folder if need be, and clears away what a crash has left.  Harmless while others use it.  -errno with a sentence in ERR.
 * Blocks, as all but hold_put(). */
int hold_begin(const char *spool, struct buf *err) __attribute__((warn_unused_result));

/* Holds MAIL as it is now, under the name of h->id; sets h->size and h->trace.  0: it is on the disk, envelope and all.  -ENOSPC (quota and file size
 * limit included) or another -errno: nothing of it is kept. */
TASK_FN int hold_put(const char *spool, struct held *h, struct mail *mail) __attribute__((warn_unused_result));

/* The names of all that is held, in no special order, in ARENA.  No folder is an empty one. */
int hold_ids(const char *spool, struct arena *arena, const char ***ret, unsigned *ret_count) __attribute__((warn_unused_result));
/* The envelope, without a lock.  -ENOENT: nothing of that name is held; -EBADMSG: it cannot be read, with a sentence in ERR. */
int hold_peek(const char *spool, const char *id, struct arena *arena, struct held *ret, struct buf *err) __attribute__((warn_unused_result));

/* A message that is open, and locked if that was wanted. */
struct hold_entry {
	int folder;
	int fd;                         /* its content; -1: lost */
	const char *id;
	struct held held;               /* after hold_load() */
	struct arena arena;
};
/* Without a LOCK it may be looked at, no more.  -ENOENT as above, -EWOULDBLOCK: somebody has locked it. */
int hold_open(const char *spool, const char *id, bool lock, struct hold_entry **ret) __attribute__((warn_unused_result));
void hold_close(struct hold_entry **e);
/* Its envelope into e->held.  -EBADMSG as above, also when the content is not of the size it should be. */
int hold_load(struct hold_entry *e, struct buf *err) __attribute__((warn_unused_result));
/* The content, received anew; our trace fields are hidden again.  -EMSGSIZE... as mail_append(). */
int hold_mail(const struct hold_entry *e, const struct mail_limits *limits, struct mail **ret) __attribute__((warn_unused_result));
/* Writes e->held as it is now: on the disk when it returns 0, else unchanged. */
int hold_save(const struct hold_entry *e) __attribute__((warn_unused_result));
/* Could it be saved now?  -errno as hold_save().  What is on the disk stays as it is. */
int hold_can_save(const struct hold_entry *e) __attribute__((warn_unused_result));
/* It is held no more; the entry stays open. */
int hold_remove(const struct hold_entry *e) __attribute__((warn_unused_result));

#endif
