/*
 * tcp_codec.h: the tcp_table(5) protocol, bytes and structs; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_TCP_CODEC_H
#define GATEPOST_TCP_TABLE_TCP_CODEC_H

#include "lib/base/buf.h"

enum { TCP_REPLY_MAX = 4096 };          /* bytes of a reply line, its newline included */

void tcp_codec_request(struct bytes key, struct buf *to);

enum tcp_status { TCP_FOUND, TCP_NOT_FOUND, TCP_ERROR };
struct tcp_reply {
	enum tcp_status status;
	struct buf text;                /* decoded: the value, or why not; all-zero before */
};
/* LINE without its line end.  0; -EPROTO: it is no reply, and *RET_WHY says why. */
int tcp_codec_reply(struct bytes line, struct tcp_reply *ret, const char **ret_why) __attribute__((warn_unused_result));

#endif
