/*
 * reply.h: an SMTP reply (RFC 5321 section 4.2, enhanced codes RFC 2034/3463).
 */
#ifndef GATEPOST_SMTP_REPLY_H
#define GATEPOST_SMTP_REPLY_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/* CODE 0 means "no reply". TEXT holds no code and no enhanced code; several lines are divided by LF.  An enhanced code of ""
 * means none (a reply of somebody else that had none is passed on without one).  Strings belong to whoever's arena
 * made them, or are literals. */
struct smtp_reply {
	unsigned code;          /* 200-599 */
	char enhanced[12];      /* "5.7.1" */
	const char *text;
};

#define SMTP_REPLY(c, e, t) ((struct smtp_reply){ .code = (c), .enhanced = e, .text = (t) })

static inline bool smtp_reply_ok(const struct smtp_reply *r) { return r->code >= 200 && r->code < 300; }
static inline bool smtp_reply_temporary(const struct smtp_reply *r) { return r->code >= 400 && r->code < 500; }
static inline bool smtp_reply_permanent(const struct smtp_reply *r) { return r->code >= 500 && r->code < 600; }

/* The wire form, CR LF ended, "250-..." for all lines but the last, the enhanced code on each.  Lines are cut at 510 bytes as
 * RFC 5321 4.5.3.1.5 wants; bytes that do not belong in a reply (CR, NUL, other controls) become '?'. */
void smtp_reply_put(const struct smtp_reply *r, struct buf *to);

/* Reads text as people configure it: "550 5.7.1 text", "450 text", "text" (then CODE and ENHANCED are the defaults; an
 * enhanced code whose class differs from the code's is corrected as Postfix does).  Copies into ARENA. */
void smtp_reply_parse_text(struct bytes text, unsigned code, const char *enhanced, struct arena *arena, struct smtp_reply *ret);

/* A copy whose text lives in ARENA. */
struct smtp_reply smtp_reply_copy(const struct smtp_reply *r, struct arena *arena);

/* One line for the log: "550 5.7.1 text", LF as space. */
void smtp_reply_line(const struct smtp_reply *r, struct buf *to);

/* "5.7.1": class 2, 4 or 5, subject and detail 1-3 digits. */
bool smtp_enhanced_valid(struct bytes text);

#endif
