/*
 * command.h: what a client says (RFC 5321 section 4.1, the ESMTP parameters of RFC 1870, 3461, 6152, 3030, 4954, 6531).
 */
#ifndef GATEPOST_SMTP_COMMAND_H
#define GATEPOST_SMTP_COMMAND_H

#include "lib/smtp/address.h"
#include "lib/smtp/reply.h"

/* "MAIL FROM:<a@b> SIZE=3" -> verb "MAIL", argument "FROM:<a@b> SIZE=3".  Trailing blanks are removed. */
void smtp_command_split(struct bytes line, struct bytes *ret_verb, struct bytes *ret_argument);

struct smtp_param {
	struct bytes keyword;   /* as written */
	struct bytes value;     /* p == NULL when there was no '=' */
	struct bytes text;      /* the whole "KEYWORD=value", as written */
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

/* A MAIL or RCPT command.  All lives in the arena. */
struct smtp_path {
	struct bytes raw;               /* "<a@b>" exactly as typed, brackets added if they were missing */
	bool bare;                      /* they were: milters are shown it without */
	struct smtp_address address;
	struct smtp_param *params;
	unsigned param_count;

	/* MAIL */
	uint64_t size;                  /* SIZE=; 0: not declared; UINT64_MAX: that or more */
	enum smtp_body body;
	bool body_given, smtputf8;
	bool ret_full, ret_headers;     /* RET= */
	struct bytes envid;             /* ENVID=, xtext as written; empty: none */
	struct bytes auth;              /* AUTH=, xtext as written; p == NULL: none */

	/* RCPT */
	unsigned notify;                /* 0: not given */
	struct bytes orcpt;             /* ORCPT=, "rfc822;..." xtext as written */
};

enum smtp_verb { SMTP_MAIL, SMTP_RCPT };

/* Parses the argument of MAIL ("FROM:<..> ...") or RCPT.  A blank after the colon and a missing pair of brackets are accepted unless
 * STRICT (as Postfix does).  Failures give the reply to send (501 5.1.7, 501 5.1.3, 501 5.5.4, 555 5.5.4 for parameters that are unknown) as code, enhanced
 * code and text in *RET_ERROR and return -EINVAL.  A parameter whose extension is not offered is refused by the caller. */
int smtp_path_parse(enum smtp_verb verb, struct bytes argument, bool strict, struct arena *arena, struct smtp_path *ret,
		    struct smtp_reply *ret_error) __attribute__((warn_unused_result));

/* xtext of RFC 3461 section 4.  Decoding: -EINVAL for a '+' without two hexadecimal digits, and for bytes that are not graphic
 * ASCII.  A bare '=' passes, although the RFC wants it encoded: clients do not, and Postfix does not mind. */
void smtp_xtext_encode(struct bytes in, struct buf *out);
int smtp_xtext_decode(struct bytes in, struct buf *out) __attribute__((warn_unused_result));

#endif
