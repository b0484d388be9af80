/*
 * policyd_cache.h: answers that are good for a while (cache = 60s).  Of one process; never yields.
 */
#ifndef GATEPOST_POLICYD_POLICYD_CACHE_H
#define GATEPOST_POLICYD_POLICYD_CACHE_H

#include "policyd/policyd_codec.h"

struct policyd_cache;
enum { POLICYD_CACHE_MAX = 10000 };     /* answers; the oldest makes room */

/* TTL in ns. */
struct policyd_cache *policyd_cache_new(int64_t ttl);
void policyd_cache_free(struct policyd_cache **c);

/* What makes two questions the same, appended to KEY: all but what is new with each connection or message. */
void policyd_cache_key(const struct policyd_request *r, struct buf *key);
/* The answer to KEY that is not too old at NOW; p NULL: none.  Good until the next call. */
struct bytes policyd_cache_get(const struct policyd_cache *c, struct bytes key, int64_t now);
/* Remembers it, if an answer like this is the same tomorrow: one that goes on or refuses for good. */
void policyd_cache_put(struct policyd_cache *c, struct bytes key, struct bytes action, int64_t now);

#endif
