/*
 * policyd_cache.c: a map from questions to answers, and the order in which they came, which is that in which they end.
 */
#include "policyd/policyd_cache.h"

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"
#include "lib/gate/access.h"

struct policyd_cached {
	struct list link;               /* the oldest first */
	char *key;
	size_t key_len;
	int64_t until;
	struct buf action;
};
struct policyd_cache {
	struct strmap map;
	struct list order;
	int64_t ttl;
};

struct policyd_cache *policyd_cache_new(int64_t ttl)
{
	struct policyd_cache *c = NEW(struct policyd_cache);
	c->ttl = ttl;
	list_init(&c->order);
	return c;
}

static void policyd_cached_free(struct policyd_cache *c, struct policyd_cached *e)
{
	strmap_remove(&c->map, bytes_make(e->key, e->key_len));
	list_remove(&e->link);
	mem_free(e->key);
	buf_fini(&e->action);
	mem_free(e);
}

void policyd_cache_free(struct policyd_cache **cp)
{
	struct policyd_cache *c = *cp;
	if (!c)
		return;
	while (!list_empty(&c->order))
		policyd_cached_free(c, LIST_FIRST(&c->order, struct policyd_cached, link));
	strmap_fini(&c->map);
	mem_free(c);
	*cp = NULL;
}

void policyd_cache_key(const struct policyd_request *r, struct buf *key)
{
	struct policyd_request same = *r;
	same.instance = same.queue_id = NULL;
	same.client_port = 0;
	same.extras = NULL;
	policyd_codec_request(&same, key);
}

struct bytes policyd_cache_get(const struct policyd_cache *c, struct bytes key, int64_t now)
{
	const struct policyd_cached *e = strmap_get(&c->map, key);
	return e && now < e->until ? buf_bytes(&e->action) : bytes_make(NULL, 0);
}

/* A temporary refusal is meant to be asked again, an action on a message is about that message. */
static bool policyd_cache_lasts(struct bytes action)
{
	struct arena arena = { 0 };
	struct access_action a;
	access_parse(action, &arena, &a);
	bool lasts = a.kind == ACCESS_DUNNO || a.kind == ACCESS_OK || (a.kind == ACCESS_REPLY && smtp_reply_permanent(&a.reply));
	arena_fini(&arena);
	return lasts;
}

void policyd_cache_put(struct policyd_cache *c, struct bytes key, struct bytes action, int64_t now)
{
	struct policyd_cached *e = strmap_get(&c->map, key);
	if (e)
		policyd_cached_free(c, e);
	if (!policyd_cache_lasts(action))
		return;
	if (c->map.n >= POLICYD_CACHE_MAX)
		policyd_cached_free(c, LIST_FIRST(&c->order, struct policyd_cached, link));
	e = NEW(struct policyd_cached);
	e->key = bytes_dup(key);
	e->key_len = key.n;
	e->until = now + c->ttl;
	buf_add(&e->action, action);
	list_append(&c->order, &e->link);
	strmap_set(&c->map, key, e);
}
