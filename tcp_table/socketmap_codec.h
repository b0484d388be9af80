/*
 * socketmap_codec.h: the socketmap protocol, bytes and structs; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_SOCKETMAP_CODEC_H
#define GATEPOST_TCP_TABLE_SOCKETMAP_CODEC_H

#include "lib/base/buf.h"

enum {
	SOCKETMAP_REPLY_MAX = 100000,   /* bytes of a reply's payload */
	SOCKETMAP_QUERY_MAX = 10000,    /* bytes of a key: a longer one is in no table (Postfix 3.12) */
	SOCKETMAP_FRAME = 12,           /* the most that a length and the two delimiters take */
};

void socketmap_codec_request(struct bytes map, struct bytes key, struct buf *to);

/* Takes the frame off: 1 with the payload in *RET, all of INPUT is the reply then; 0: more must come; -EPROTO, -EMSGSIZE (over MAX) with *RET_WHY. */
int socketmap_codec_frame(struct bytes input, size_t max, struct bytes *ret, const char **ret_why) __attribute__((warn_unused_result));

enum socketmap_status { SOCKETMAP_FOUND, SOCKETMAP_NOT_FOUND, SOCKETMAP_TEMPORARY, SOCKETMAP_PERMANENT };
/* What a payload says; *RET_TEXT is the value, or the reason. */
enum socketmap_status socketmap_codec_reply(struct bytes payload, struct bytes *ret_text);

#endif
