/*
 * mail.h: a message, byte-exact (RFC 5322 as it arrives, not as it ought to be).
 *
 * Lines end in CR LF.  Header fields keep their original bytes, folding included; what nobody edits leaves exactly as it came.
 * The body is in memory up to a limit, then in an unlinked file in the spool.  Nothing here ever waits or yields: the writes
 * go to the page cache.
 */
#ifndef GATEPOST_MAIL_MAIL_H
#define GATEPOST_MAIL_MAIL_H

#include "lib/base/buf.h"
#include "lib/base/list.h"

struct mail_limits {
	size_t header_max;      /* bytes of all header fields together; over it: -EMSGSIZE, nothing is ever cut; 0: no limit */
	uint64_t size_max;      /* bytes of the whole message as received; over it: -EFBIG; 0: no limit */
	size_t memory_max;      /* body bytes kept in memory */
	const char *spool;      /* folder for the rest, outlives the mail; NULL: all stays in memory */
};

/* One header field.  RAW is the whole field, CR LF included, owned by the mail. */
struct mail_header {
	struct list link;
	struct bytes raw;
	struct bytes name;      /* within raw */
	bool hidden;            /* our own trace field: on the wire, but not counted or seen by gates */
};

struct mail {
	struct list headers;            /* of struct mail_header */
	/* rest is private to lib/mail */
	struct mail_limits limits;
	struct mail_private *priv;
	unsigned refs;
};

struct mail *mail_new(const struct mail_limits *limits);
struct mail *mail_ref(struct mail *m);
void mail_unref(struct mail **m);

/* ---- receiving ---- */

/* The next bytes as the client sent them (dot-unstuffed).  The header ends at an empty line, or before the first line that
 * cannot be a field (such as mbox's "From "), as in Postfix: a field's name is graphic ASCII, and blanks may stand before its colon.  The fields are
 * there once the header has ended.  -EMSGSIZE, -EFBIG as above, -ENOSPC (also for a quota or a file size limit; SIGXFSZ must be
 * ignored) or another -errno when the spool fails: the message is then useless and only mail_unref() may follow. */
int mail_append(struct mail *m, struct bytes raw) __attribute__((warn_unused_result));
/* All has arrived: no more mail_append().  Edits may follow; of the header also before, once there is a body. */
int mail_end(struct mail *m) __attribute__((warn_unused_result));

/* ---- reading ---- */

uint64_t mail_received_size(const struct mail *m);      /* bytes given to mail_append() */
uint64_t mail_size(const struct mail *m);               /* bytes mail_read() gives now, trace fields and edits included */
uint64_t mail_body_size(const struct mail *m);
bool mail_has_8bit(const struct mail *m);               /* any byte over 127 in the message as it is now */
bool mail_has_8bit_header(const struct mail *m);        /* in its header fields */
/* True: an empty line parted header and body.  False: the message ended within the header, or its body began with a line that
 * cannot be a field.  Such a message leaves without one, too, unless edits would otherwise make header of what was body. */
bool mail_has_separator(const struct mail *m);
/* Body bytes from OFFSET on, up to MOST: *RET points into the mail or into SCRATCH.  RET->n == 0 at the end.  -EIO if the spool fails.
 * Also before mail_end(), once there is a body: until the next mail_append(). */
int mail_body_read(struct mail *m, uint64_t offset, size_t most, struct buf *scratch, struct bytes *ret) __attribute__((warn_unused_result));
/* The whole message as it would be sent now, piece by piece, MOST > 0 bytes at a time: an all-zero cursor begins.  RET->n == 0 at
 * the end.  No edits meanwhile. */
struct mail_cursor {
	struct list *header;
	uint64_t offset;
	int part;
};
int mail_read(struct mail *m, struct mail_cursor *c, size_t most, struct buf *scratch, struct bytes *ret) __attribute__((warn_unused_result));
/* SHA-256 of the message as received (before any edit and trace field), at any time: what was received is kept through all
 * edits, so it costs nothing until somebody asks.  -EIO if the spool fails. */
int mail_digest(const struct mail *m, unsigned char ret[static 32]) __attribute__((warn_unused_result));

/* The NTH (from 1; 0 is taken as 1) of the visible fields called NAME, whatever its case; NULL.  A negative NTH counts from the last. */
struct mail_header *mail_header_find(const struct mail *m, struct bytes name, int nth);
/* The bytes behind the colon, without the final CR LF. */
struct bytes mail_header_value(const struct mail_header *h);

/* ---- edits ---- */

/* VALUE is written as a filter gives it: its lines divided by LF (or CR LF), "Name:" and one blank put before it unless LEADING_SPACE,
 * where VALUE brings its own.  A continuation line that does not begin with white space gets a TAB, so nothing can be injected.  Bytes NUL and
 * bare CR are removed, and so are line ends behind the last line.  An empty NAME, or one that cannot be a field name: -EINVAL. */
int mail_header_add(struct mail *m, struct bytes name, struct bytes value, bool leading_space) __attribute__((warn_unused_result));      /* at the end */
/* INDEX 0: before everything, our own trace fields included.  1: just below them; beyond the end: at the end (Postfix: spec M25).  In other
 * words, so many fields stand above it, our trace fields counting as one wherever they are. */
int mail_header_insert(struct mail *m, unsigned index, struct bytes name, struct bytes value, bool leading_space) __attribute__((warn_unused_result));
/* Replaces the NTH field NAME (0 is 1), its name spelt as here; appends when there is none.  An empty VALUE deletes (M26). */
int mail_header_change(struct mail *m, struct bytes name, unsigned nth, struct bytes value, bool leading_space) __attribute__((warn_unused_result));
bool mail_header_delete(struct mail *m, struct bytes name, unsigned nth);      /* false: there was none */
void mail_header_remove(struct mail *m, struct mail_header *h);
/* A field of ours, hidden from gates, before everything else.  RAW is whole and CR LF ended. */
void mail_trace_prepend(struct mail *m, struct bytes raw);

/* Adds, at the end of the header, what a client left out of Message-Id, Date and From (RFC 6409 section 8): in a message that is sent on by hand,
 * which has fields of the kind Resent-To (RFC 5322 section 3.6.6), the Resent- ones.  Takes Bcc, Resent-Bcc, Return-Path and Content-Length away.
 * -errno as mail_header_add(). */
struct mail_completion {
	const char *hostname;   /* ours: the right side of Message-Id, and the domain of MAILER-DAEMON */
	const char *id;         /* the transaction's */
	struct bytes sender;    /* of the envelope; empty: MAILER-DAEMON */
	int64_t now;            /* seconds since 1970 */
};
int mail_complete(struct mail *m, const struct mail_completion *c) __attribute__((warn_unused_result));
/* "Sun, 22 Nov 2026 23:18:00 +0000 (UTC)": RFC 5322 section 3.3, in local time. */
void mail_date(int64_t now, struct buf *to);

/* The new body, in pieces; the old one stays until the end, and for good when it is aborted.  A bare LF becomes CR LF,
 * a missing final line end is added (M28). */
int mail_body_replace(struct mail *m, struct bytes piece) __attribute__((warn_unused_result));
int mail_body_replace_end(struct mail *m) __attribute__((warn_unused_result));
void mail_body_replace_abort(struct mail *m);

#endif
