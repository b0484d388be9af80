/*
 * journal.h: the delivered journal: what a client's next try of the same message needs to know (RFC 1047).
 *
 * A text file, appended to by all workers, one line an entry:
 *
 *	STATE SP expiry SP digest SP next-hop SP sender SP recipient SP checksum LF
 *
 *	D 1735689600 9f86d0...b0f00a08 dovecot a@example.org b@example.net 5d41402a
 *
 * STATE is D (delivered), R (refused for good while others were not), U (uncertain: it may have been delivered; only told in the log), or S (settled:
 * the client has come again and has its answer, so the lines before count no more, and the same message once more is another).  Names are in xtext.  A line is written with one write and made durable before the client is answered; one that a crash cut short fails its checksum
 * and is passed over.  Each worker keeps an index and reads what others have added when the file has grown: while nothing is remembered, a look costs
 * one fstat().  Expired lines go when they are half of a file of some size.
 *
 * This is not a Berkeley DB environment because of what a killed worker would leave there: locks held in shared memory, to be recovered only when all
 * other workers have left the environment.  flock() ends with its holder.
 */
#ifndef GATEPOST_DELIVERY_JOURNAL_H
#define GATEPOST_DELIVERY_JOURNAL_H

#include "lib/base/buf.h"
#include "lib/run/marks.h"

enum journal_state { JOURNAL_NONE, JOURNAL_DELIVERED, JOURNAL_REFUSED, JOURNAL_UNCERTAIN, JOURNAL_SETTLED };

struct journal;
struct journal_key {
	struct bytes hop;               /* name of the next hop */
	struct bytes sender, rcpt;      /* addresses: as the client gave it, as the next hop is told */
};
struct journal_note {
	struct journal_key key;
	enum journal_state state;
};

/* WINDOW: seconds an entry counts.  -errno with a sentence appended to ERR. */
int journal_open(const char *folder, int64_t window, struct journal **ret, struct buf *err) __attribute__((warn_unused_result));
void journal_close(struct journal **j);         /* NULL is nothing */

/* Is anything remembered at all?  Reads what others have added. */
bool journal_any(struct journal *j);
/* Is anything remembered of this key, whatever the message?  To be asked before the message is digested. */
bool journal_knows(const struct journal *j, const struct journal_key *key);
/* What is remembered of this message since it was settled last: the last word, but for DELIVERED, which stays. */
enum journal_state journal_find(const struct journal *j, const struct journal_key *key, const unsigned char digest[static 32]);
/* Was this recipient refused, whatever the message? */
bool journal_refused(const struct journal *j, const struct journal_key *key);

/* Remembers: durable when it returns 0.  -ENOSPC and others: nothing, or some of it, is remembered. */
TASK_FN int journal_add(struct journal *j, const unsigned char digest[static 32], const struct journal_note *notes, unsigned n) __attribute__((warn_unused_result));

#endif
