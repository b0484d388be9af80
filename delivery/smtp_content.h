/*
 * smtp_content.h: a message onto a stream, in as few writes as can be.
 */
#ifndef GATEPOST_DELIVERY_SMTP_CONTENT_H
#define GATEPOST_DELIVERY_SMTP_CONTENT_H

#include "lib/mail/mail.h"
#include "lib/run/stream.h"

enum smtp_content_form {
	SMTP_CONTENT_PLAIN,     /* as it is: behind BDAT */
	SMTP_CONTENT_STUFFED,   /* a dot before each dot that begins a line, and a CR LF if the last line has none: RFC 5321 4.5.2 */
	SMTP_CONTENT_WHOLE,     /* the same, and the final dot */
};
/* Writes what was put on S before, and the message.  0, or the failure of the stream or of the spool (-EIO). */
TASK_FN int smtp_content_write(struct stream *s, struct mail *m, enum smtp_content_form form) __attribute__((warn_unused_result));

#endif
