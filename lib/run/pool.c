/*
 * pool.c: a list of parked streams, and the endpoints to make more.
 */
#include "lib/run/pool.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <stdio.h>

struct pool {
	struct pool_params params;
	struct peers *peers;
	struct list idle;               /* of pool_conn, the youngest first; those that owe an answer too */
	unsigned *kept;                 /* how many of them are of each endpoint */
	unsigned idle_count, used;
	struct cond room;
	unsigned checks;                /* tasks that check an endpoint */
	bool freed;                     /* ... and that hold it until they end */
};

static void pool_conn_free(struct pool_conn *c)
{
	if (list_linked(&c->link)) {
		c->pool->idle_count--;
		c->pool->kept[c->endpoint_index]--;
	}
	list_remove(&c->link);
	if (c->pool->params.closing)
		c->pool->params.closing(c);
	stream_close(&c->stream);
	mem_free(c);
}

static void pool_destroy(struct pool *p)
{
	void (*released)(void *) = p->params.released;
	void *arg = p->params.arg;
	peers_free(&p->peers);
	mem_free(p->kept);
	mem_free(p);
	if (released)
		released(arg);
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	if (!p)
		return;
	*pp = NULL;             /* it may lie in what released() frees */
	ASSERT(p->used == 0);
	for (struct pool_conn *c; (c = LIST_FIRST(&p->idle, struct pool_conn, link));) {
		stream_unpark(c->stream);
		pool_conn_free(c);
	}
	p->freed = true;
	if (p->checks == 0)
		pool_destroy(p);
}

/* ---- kept connections ---- */

static void pool_park(struct pool_conn *c);

/* 0: the answer has come, and is good; -EAGAIN: it has not. */
static int pool_hear(struct pool_conn *c, int why)
{
	int r = why ? why : stream_poll(c->stream);
	return r == -EAGAIN ? r : c->pool->params.answered(c, r);
}

/* Nothing was asked of C, which is about to be closed: perhaps because its peer has spoken. */
static void pool_note_unasked(struct pool_conn *c)
{
	if (c->pool->params.answered && stream_poll(c->stream) == 0)
		(void)!c->pool->params.answered(c, -EBADMSG);
}

/* The peer has closed it, or spoke although nobody asked, or its time is over; or what has come is the answer. */
static void pool_idle_ended(void *arg, int why)
{
	struct pool_conn *c = arg;
	int r = c->answer_at ? pool_hear(c, why) : -EPROTO;
	if (!c->answer_at)
		pool_note_unasked(c);
	if (r == 0)
		c->answer_at = 0;
	if (r == 0 || (r == -EAGAIN && why == 0))
		pool_park(c);
	else
		pool_conn_free(c);
}

static void pool_park(struct pool_conn *c)
{
	int64_t idle = c->pool->params.idle;
	stream_park(c->stream, c->answer_at ? c->answer_at : idle == FOREVER ? FOREVER : c->idle_since + idle, pool_idle_ended, c);
}

static bool pool_worn_out(const struct pool_conn *c)
{
	const struct pool_params *params = &c->pool->params;
	return (params->use_limit && c->uses >= params->use_limit) ||
	       (params->max_ttl != FOREVER && run_now() - c->born >= params->max_ttl);
}

static struct pool_conn *pool_find_idle(struct pool *p, unsigned i)
{
	struct pool_conn *c;

	LIST_EACH(c, &p->idle, struct pool_conn, link) {
		if (c->endpoint_index == i && !c->answer_at)
			return c;
	}
	return NULL;
}

/* A kept connection to endpoint I of which nothing is known to be wrong; NULL. */
static struct pool_conn *pool_take_idle(struct pool *p, unsigned i)
{
	struct pool_conn *c;

	while ((c = pool_find_idle(p, i))) {
		stream_unpark(c->stream);
		/* The loop may not have had a turn since the peer closed it. */
		if (!pool_worn_out(c) && stream_poll(c->stream) == -EAGAIN) {
			list_remove(&c->link);
			p->idle_count--;
			p->kept[i]--;
			return c;
		}
		pool_note_unasked(c);
		pool_conn_free(c);
	}
	return NULL;
}

bool pool_wants(const struct pool_conn *c)
{
	unsigned most = c->pool->params.max_idle;
	return !pool_worn_out(c) && (!most || c->pool->kept[c->endpoint_index] < most);
}

void pool_distrust(const struct pool_conn *of)
{
	struct pool_conn *c;

	LIST_EACH(c, &of->pool->idle, struct pool_conn, link) {
		if (c->endpoint_index != of->endpoint_index)
			continue;
		stream_unpark(c->stream);
		pool_conn_free(c);
	}
}

/* ---- new connections ---- */

/* A failure that is the endpoint's, in words where ready() had none. */
static void pool_failed(struct pool *p, unsigned i, int r, struct peer_failure *failure)
{
	failure->error = r;
	if (!failure->why[0])
		snprintf(failure->why, sizeof failure->why, "%s", r == -ETIMEDOUT ? "it does not accept the connection" : strerrordesc_np(-r));
	peers_failed(p->peers, i, failure);
}

/* *RET_OURS: the failure is none of the endpoint's. */
TASK_FN static int pool_connect_stream(struct pool *p, unsigned i, struct stream **ret, bool *ret_ours)
{
	struct deadline d;

	deadline_begin(&d, p->params.connect_timeout);
	int r = stream_connect(&p->params.endpoints[i], NULL, ret);
	bool late = deadline_passed(&d);
	deadline_end(&d);
	*ret_ours = r == -ECANCELED || (r == -ETIMEDOUT && !late);
	return r;
}

TASK_FN static int pool_connect_one(struct pool *p, unsigned i, void *taker, struct pool_conn **ret)
{
	struct peer_failure failure = { 0 };
	struct stream *s;
	bool ours;
	int r = pool_connect_stream(p, i, &s, &ours);
	if (r < 0) {
		if (!ours)
			pool_failed(p, i, r, &failure);
		return r;
	}
	struct pool_conn *c = NEW(struct pool_conn);
	*c = (struct pool_conn){
		.stream = s, .endpoint = &p->params.endpoints[i], .owner = p->params.arg, .pool = p, .endpoint_index = i, .born = run_now()
	};
	r = p->params.ready ? p->params.ready(c, taker, &failure) : 0;
	if (r < 0) {
		if (failure.why[0])
			pool_failed(p, i, r, &failure);
		pool_conn_free(c);
		return r;
	}
	peers_worked(p->peers, i);
	*ret = c;
	return 0;
}

TASK_FN static int pool_open(struct pool *p, unsigned i, const struct pool_want *want, struct pool_conn **ret)
{
	int r = 0;

	peers_begin(p->peers, i);
	struct pool_conn *c = want->fresh ? NULL : pool_take_idle(p, i);
	if (!c)
		r = pool_connect_one(p, i, want->taker, &c);
	if (r < 0)
		peers_end(p->peers, i);
	else
		*ret = c;
	return r;
}

/* Tries those endpoints that are up, or DOWN, and not in *TRIED.  1: there are none. */
TASK_FN static int pool_open_some(struct pool *p, const struct pool_want *want, bool down, uint64_t *tried, struct pool_conn **ret)
{
	int i, r = 1;

	while ((i = peers_pick(p->peers, *tried, down)) >= 0) {
		*tried |= (uint64_t)1 << i;
		r = pool_open(p, (unsigned)i, want, ret);
		if (r == 0 || r == -ECANCELED || deadline_left() <= 0)
			break;
	}
	return r;
}

/* Those that are down only when no other is left, and then in the time for one connection. */
TASK_FN static int pool_open_any(struct pool *p, const struct pool_want *want, struct pool_conn **ret)
{
	uint64_t tried = 0;
	struct deadline d;
	int r = pool_open_some(p, want, false, &tried, ret), again;

	if (r == 0 || r == -ECANCELED || (r < 0 && deadline_left() <= 0))
		return r;
	deadline_begin(&d, p->params.endpoint_count > 1 ? p->params.connect_timeout : FOREVER);
	again = pool_open_some(p, want, true, &tried, ret);
	deadline_end(&d);
	return again == 1 ? r : again;
}

/* ---- checks ---- */

struct pool_check {
	struct pool *pool;
	unsigned i;
};

TASK_FN static void pool_check(struct pool_check *check)
{
	struct pool *p = check->pool;
	struct pool_conn *c;

	if (!p->freed && pool_connect_one(p, check->i, NULL, &c) == 0)
		pool_conn_free(c);
	peers_checked(p->peers, check->i);
	mem_free(check);
	if (--p->checks == 0 && p->freed)
		pool_destroy(p);
}

static void pool_begin_check(void *arg, unsigned i)
{
	struct pool *p = arg;
	struct pool_check *check = NEW(struct pool_check);
	*check = (struct pool_check){ p, i };
	p->checks++;
	task_spawn(run_background(), "check", pool_check, check);
}

static void pool_changed(void *arg, unsigned i, const struct peer_failure *failure)
{
	struct pool *p = arg;
	if (p->params.changed && !p->freed)
		p->params.changed(p->params.arg, &p->params.endpoints[i], failure);
}

struct pool *pool_new(const struct pool_params *params)
{
	ASSERT(params->endpoint_count > 0 && params->endpoint_count <= POOL_ENDPOINTS_MAX);
	struct pool *p = NEW(struct pool);
	p->params = *params;
	p->kept = mem_zalloc(params->endpoint_count * sizeof *p->kept);
	p->peers = peers_new(&(struct peers_params){
	    .count = params->endpoint_count,
	    .spread = params->spread,
	    .check = params->check ? pool_begin_check : NULL,
	    .changed = pool_changed,
	    .arg = p,
	});
	list_init(&p->idle);
	cond_init(&p->room);
	return p;
}

/* ---- taking and giving ---- */

TASK_FN int pool_take_for(struct pool *p, const struct pool_want *want, struct pool_conn **ret)
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
	struct pool_conn *c;
	int r = pool_open_any(p, want, &c);
	if (r < 0) {
		p->used--;
		cond_signal(&p->room);
		return r;
	}
	c->kept = c->uses++ > 0;
	*ret = c;
	return 0;
}

TASK_FN int pool_take(struct pool *p, bool fresh, struct pool_conn **ret)
{
	return pool_take_for(p, &(struct pool_want){ .fresh = fresh }, ret);
}

static struct pool_conn *pool_untake(struct pool_conn **cp)
{
	struct pool_conn *c = *cp;
	*cp = NULL;
	peers_end(c->pool->peers, c->endpoint_index);
	c->pool->used--;
	cond_signal(&c->pool->room);
	return c;
}

static void pool_keep(struct pool_conn *c, int64_t answer_at)
{
	struct pool *p = c->pool;

	list_prepend(&p->idle, &c->link);
	p->idle_count++;
	p->kept[c->endpoint_index]++;
	c->idle_since = run_now();
	c->answer_at = answer_at;
	pool_park(c);
}

void pool_give(struct pool_conn **cp)
{
	struct pool_conn *c = pool_untake(cp);

	/* More than the answer has come: of no use to the next.  An end of file behind it the loop will tell. */
	if (!pool_wants(c) || stream_input(c->stream).n)
		pool_conn_free(c);
	else
		pool_keep(c, 0);
}

void pool_give_asked(struct pool_conn **cp, int64_t timeout)
{
	pool_keep(pool_untake(cp), run_now() + timeout);
}

void pool_drop(struct pool_conn **cp, bool failed)
{
	struct pool_conn *c = pool_untake(cp);
	if (failed)
		pool_failed(c->pool, c->endpoint_index, -EPROTO, &(struct peer_failure){ .why = "it does not behave" });
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

const struct peers *pool_peers(const struct pool *p)
{
	return p->peers;
}
