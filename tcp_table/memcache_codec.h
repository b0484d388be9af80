/*
 * memcache_codec.h: memcached's text protocol, as much of it as a lookup needs; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_MEMCACHE_CODEC_H
#define GATEPOST_TCP_TABLE_MEMCACHE_CODEC_H

#include "lib/base/buf.h"

/* What stands behind a value: the end of its line, and of the reply. */
#define MEMCACHE_TRAILER "\r\nEND\r\n"

/* Can KEY be asked for at all?  White space would end it. */
bool memcache_codec_sane(struct bytes key);
/* The first line of the reply to "get KEY", without its line end.  1: a value of *RET_N bytes follows, and MEMCACHE_TRAILER; 0: there is none; -EPROTO: it is
 * no such reply, and *RET_WHY says why. */
int memcache_codec_reply(struct bytes line, struct bytes key, size_t most, size_t *ret_n, const char **ret_why) __attribute__((warn_unused_result));

#endif
