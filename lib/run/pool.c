/*
 * pool.c: a list of parked streams, and the endpoints to make more.
 */
#include "lib/run/pool.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>

/* So long an endpoint that failed is passed over while another works. */
#define POOL_AVOID SECONDS(10)

struct pool {
	struct pool_params params;
	struct list idle;               /* of pool_conn, the youngest first */
	unsigned idle_count, used;
	struct cond room;
	int64_t *avoid_until;           /* of each endpoint; 0: it works */
};

struct pool *pool_new(const struct pool_params *params)
{
	ASSERT(params->endpoint_count > 0 && params->endpoint_count <= POOL_ENDPOINTS_MAX);
	struct pool *p = NEW(struct pool);
	p->params = *params;
	p->avoid_until = mem_zalloc(params->endpoint_count * sizeof *p->avoid_until);
	list_init(&p->idle);
	cond_init(&p->room);
	return p;
}

static void pool_conn_free(struct pool_conn *c)
{
	if (list_linked(&c->link))
		c->pool->idle_count--;
	list_remove(&c->link);
	if (c->pool->params.closing)
		c->pool->params.closing(c);
	stream_close(&c->stream);
	mem_free(c);
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	if (!p)
		return;
	ASSERT(p->used == 0);
	for (struct pool_conn *c; (c = LIST_FIRST(&p->idle, struct pool_conn, link));) {
		stream_unpark(c->stream);
		pool_conn_free(c);
	}
	mem_free(p->avoid_until);
	mem_free(p);
	*pp = NULL;
}

/* The peer has closed it, or spoke although nobody asked, or its time is over. */
static void pool_idle_ended(void *arg, int why)
{
	(void)why;
	pool_conn_free(arg);
}

static bool pool_worn_out(const struct pool_conn *c)
{
	const struct pool_params *params = &c->pool->params;
	return (params->use_limit && c->uses >= params->use_limit) ||
	       (params->max_ttl != FOREVER && run_now() - c->born >= params->max_ttl);
}

/* A kept connection of which nothing is known to be wrong; NULL. */
static struct pool_conn *pool_take_idle(struct pool *p)
{
	struct pool_conn *c;

	while ((c = LIST_FIRST(&p->idle, struct pool_conn, link))) {
		stream_unpark(c->stream);
		/* The loop may not have had a turn since the peer closed it. */
		if (!pool_worn_out(c) && stream_poll(c->stream) == -EAGAIN) {
			list_remove(&c->link);
			p->idle_count--;
			return c;
		}
		pool_conn_free(c);
	}
	return NULL;
}

TASK_FN static int pool_connect_one(struct pool *p, unsigned i, struct pool_conn **ret)
{
	struct stream *s;
	struct deadline d;

	deadline_begin(&d, p->params.connect_timeout);
	int r = stream_connect(&p->params.endpoints[i], NULL, &s);
	deadline_end(&d);
	if (r < 0) {
		p->avoid_until[i] = run_now() + POOL_AVOID;
		return r;
	}
	p->avoid_until[i] = 0;
	struct pool_conn *c = NEW(struct pool_conn);
	*c = (struct pool_conn){
		.stream = s, .endpoint = &p->params.endpoints[i], .pool = p, .endpoint_index = i, .born = run_now()
	};
	*ret = c;
	return 0;
}

/* Tries those endpoints in order that are in WHICH, a bit each.  -ECONNREFUSED when there are none. */
TASK_FN static int pool_connect_some(struct pool *p, uint64_t which, struct pool_conn **ret)
{
	int r = -ECONNREFUSED;

	for (unsigned i = 0; i < p->params.endpoint_count; i++) {
		if (!(which >> i & 1))
			continue;
		r = pool_connect_one(p, i, ret);
		if (r == 0 || r == -ECANCELED || deadline_left() <= 0)
			return r;
	}
	return r;
}

/* Those that failed lately only when no other is left. */
TASK_FN static int pool_connect(struct pool *p, struct pool_conn **ret)
{
	uint64_t avoided = 0, all = UINT64_MAX >> (POOL_ENDPOINTS_MAX - p->params.endpoint_count);
	int64_t now = run_now();

	for (unsigned i = 0; i < p->params.endpoint_count; i++)
		avoided |= (uint64_t)(p->avoid_until[i] > now) << i;
	int r = pool_connect_some(p, all & ~avoided, ret);
	if (r == 0 || r == -ECANCELED || !avoided || deadline_left() <= 0)
		return r;
	return pool_connect_some(p, avoided, ret);
}

TASK_FN int pool_take(struct pool *p, bool fresh, struct pool_conn **ret)
{
	while (p->params.max && p->used >= p->params.max) {
		int r = cond_wait(&p->room);
		if (r < 0) {
			/* Whoever gave a connection back may have woken us: pass it on. */
			cond_signal(&p->room);
			return r;
		}
	}
	p->used++;
	struct pool_conn *c = fresh ? NULL : pool_take_idle(p);
	int r = c ? 0 : pool_connect(p, &c);
	if (r < 0) {
		p->used--;
		cond_signal(&p->room);
		return r;
	}
	c->kept = c->uses++ > 0;
	*ret = c;
	return 0;
}

static struct pool_conn *pool_untake(struct pool_conn **cp)
{
	struct pool_conn *c = *cp;
	*cp = NULL;
	c->pool->used--;
	cond_signal(&c->pool->room);
	return c;
}

void pool_give(struct pool_conn **cp)
{
	struct pool_conn *c = pool_untake(cp);
	struct pool *p = c->pool;

	/* More than the answer has come: of no use to the next.  An end of file behind it the loop will tell. */
	if (pool_worn_out(c) || stream_input(c->stream).n) {
		pool_conn_free(c);
		return;
	}
	list_prepend(&p->idle, &c->link);
	p->idle_count++;
	c->idle_since = run_now();
	stream_park(c->stream, p->params.idle == FOREVER ? FOREVER : c->idle_since + p->params.idle, pool_idle_ended, c);
}

void pool_drop(struct pool_conn **cp, bool failed)
{
	struct pool_conn *c = pool_untake(cp);
	if (failed)
		c->pool->avoid_until[c->endpoint_index] = run_now() + POOL_AVOID;
	pool_conn_free(c);
}

static bool pool_peer_gone(int r)
{
	return r == -ENODATA || r == -EPIPE || r == -ECONNRESET;
}

TASK_FN static int pool_exchange_once(struct pool *p, const struct pool_exchange *x, bool fresh, bool *ret_connected, bool *ret_kept)
{
	struct pool_conn *c;
	int r = pool_take(p, fresh, &c);

	*ret_connected = r == 0;
	*ret_kept = r == 0 && c->kept;
	if (r < 0)
		return r;
	r = x->run(c->stream, x->arg);
	if (r == 0)
		pool_give(&c);
	else
		pool_drop(&c, !*ret_kept && r != -ECANCELED);
	return r;
}

TASK_FN int pool_exchange(struct pool *p, const struct pool_exchange *x, bool *ret_connected)
{
	unsigned left = p->params.endpoint_count;
	struct deadline d;
	bool kept = false;
	int r;

	deadline_begin(&d, x->timeout);
	do
		r = pool_exchange_once(p, x, kept, ret_connected, &kept);
	while (*ret_connected && pool_peer_gone(r) && (kept || --left > 0));
	deadline_end(&d);
	return r;
}

unsigned pool_idle(const struct pool *p)
{
	return p->idle_count;
}
