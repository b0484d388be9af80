/*
 * client_codec.h: what an SMTP or LMTP server says to us (RFC 5321 section 4.2).
 *
 *	Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 */
#ifndef GATEPOST_SMTP_CLIENT_CODEC_H
#define GATEPOST_SMTP_CLIENT_CODEC_H

#include "lib/smtp/reply.h"

enum { SMTP_REPLY_LINES_MAX = 100, SMTP_REPLY_BYTES_MAX = 16384, SMTP_REPLY_LINE_MAX = 4096 };

/* Puts a reply together line by line.  All-zero is ready. */
struct smtp_reply_parser {
	unsigned code, lines;
	char enhanced[12];
	struct buf text;
};
/* One line without its CR LF.  1: the reply is whole; 0: more lines follow; -EPROTO: not a reply, or over the limits. */
int smtp_reply_parser_line(struct smtp_reply_parser *p, struct bytes line) __attribute__((warn_unused_result));
/* The whole reply, its text in ARENA; the parser is ready for the next one.  The enhanced code is taken off the text when
 * its class fits the code. */
void smtp_reply_parser_take(struct smtp_reply_parser *p, struct arena *arena, struct smtp_reply *ret);
void smtp_reply_parser_fini(struct smtp_reply_parser *p);

/* The reply to EHLO or LHLO. */
enum {
	SMTP_CAP_PIPELINING = 1, SMTP_CAP_8BITMIME = 2, SMTP_CAP_SIZE = 4, SMTP_CAP_DSN = 8, SMTP_CAP_ENHANCED = 16,
	SMTP_CAP_CHUNKING = 32, SMTP_CAP_BINARYMIME = 64, SMTP_CAP_SMTPUTF8 = 128, SMTP_CAP_STARTTLS = 256, SMTP_CAP_XCLIENT = 512,
	SMTP_CAP_AUTH = 1024, SMTP_CAP_XFORWARD = 2048, SMTP_CAP_REQUIRETLS = 4096,
};
struct smtp_caps {
	unsigned flags;
	uint64_t size;          /* 0: no limit told */
	char auth[256];         /* mechanisms, as told */
	char xclient[128];      /* attribute names, as told */
	unsigned rcpt_max;      /* LIMITS RCPTMAX= (RFC 9422), 0: not told */
};
void smtp_caps_parse(const struct smtp_reply *ehlo, struct smtp_caps *ret);

#endif
