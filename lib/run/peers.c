/*
 * peers.c: a busy count, a state and a timer for each endpoint.
 */
#include "lib/run/peers.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>

#define PEERS_AVOID SECONDS(10)                 /* so long who failed is passed over, where nobody checks */
#define PEERS_PAUSE_FIRST SECONDS(1)            /* before the first check; each failure doubles it... */
#define PEERS_PAUSE_MOST SECONDS(60)            /* ... up to this */

struct peer {
	struct peers *peers;
	unsigned busy;
	bool down;
	bool checking;
	int64_t until;                  /* without checks: when it may be tried again */
	int64_t pause;                  /* before the next check */
	struct timer timer;
};
struct peers {
	struct peers_params params;
	struct peer_failure last;
	struct peer peer[];
};

struct peers *peers_new(const struct peers_params *params)
{
	ASSERT(params->count > 0 && params->count <= PEERS_MAX);
	struct peers *p = mem_zalloc(sizeof *p + params->count * sizeof p->peer[0]);
	p->params = *params;
	for (unsigned i = 0; i < params->count; i++)
		p->peer[i].peers = p;
	return p;
}

void peers_free(struct peers **pp)
{
	struct peers *p = *pp;
	if (!p)
		return;
	for (unsigned i = 0; i < p->params.count; i++) {
		ASSERT(!p->peer[i].checking);
		timer_stop(&p->peer[i].timer);
	}
	mem_free(p);
	*pp = NULL;
}

bool peers_down(const struct peers *p, unsigned i)
{
	const struct peer *peer = &p->peer[i];
	return peer->down && (p->params.check || peer->until > run_now());
}

unsigned peers_busy(const struct peers *p, unsigned i)
{
	return p->peer[i].busy;
}

int peers_pick(const struct peers *p, uint64_t tried, bool down)
{
	int best = -ENOENT;
	for (unsigned i = 0; i < p->params.count; i++) {
		if (tried >> i & 1 || peers_down(p, i) != down)
			continue;
		if (best < 0 || (p->params.spread && p->peer[i].busy < p->peer[best].busy))
			best = (int)i;
	}
	return best;
}

void peers_begin(struct peers *p, unsigned i)
{
	p->peer[i].busy++;
}

void peers_end(struct peers *p, unsigned i)
{
	ASSERT(p->peer[i].busy > 0);
	p->peer[i].busy--;
}

/* ---- up and down ---- */

static void peer_check(void *arg)
{
	struct peer *peer = arg;
	peer->checking = true;
	peer->peers->params.check(peer->peers->params.arg, (unsigned)(peer - peer->peers->peer));
}

static void peer_check_later(struct peer *peer)
{
	timer_start(&peer->timer, peer->pause, peer_check, peer);
}

void peers_checked(struct peers *p, unsigned i)
{
	struct peer *peer = &p->peer[i];
	peer->checking = false;
	if (!peer->down)
		return;
	peer->pause = peer->pause * 2 < PEERS_PAUSE_MOST ? peer->pause * 2 : PEERS_PAUSE_MOST;
	peer_check_later(peer);
}

void peers_worked(struct peers *p, unsigned i)
{
	struct peer *peer = &p->peer[i];
	if (!peer->down)
		return;
	peer->down = false;
	timer_stop(&peer->timer);
	if (p->params.changed)
		p->params.changed(p->params.arg, i, NULL);
}

/* Somebody who tried it although it is known to be down is no reason to put the next check off. */
void peers_failed(struct peers *p, unsigned i, const struct peer_failure *failure)
{
	struct peer *peer = &p->peer[i];
	p->last = *failure;
	peer->until = run_now() + PEERS_AVOID;
	if (peer->down)
		return;
	peer->down = true;
	peer->pause = PEERS_PAUSE_FIRST;
	if (p->params.check && !peer->checking)
		peer_check_later(peer);
	if (p->params.changed)
		p->params.changed(p->params.arg, i, failure);
}

const struct peer_failure *peers_last_failure(const struct peers *p)
{
	return &p->last;
}
