/*
 * pool.h: kept connections to one service, for protocols of question and answer.
 *
 * A connection that nobody uses is parked in the loop: it holds no stack and no buffer, and is closed as soon as the peer closes it
 * or speaks unasked, or when it has been idle too long.  A service may have several endpoints (peers.h): the first that is up is used, or the
 * least busy one.  One pool per process: nothing of it survives a fork but an empty one.
 */
#ifndef GATEPOST_RUN_POOL_H
#define GATEPOST_RUN_POOL_H

#include "lib/run/peers.h"
#include "lib/run/stream.h"

struct pool;
struct pool_conn;

enum { POOL_ENDPOINTS_MAX = PEERS_MAX };

/* Times in ns, FOREVER for no limit. */
struct pool_params {
	const struct endpoint *endpoints;       /* kept by the caller as long as the pool lives */
	unsigned endpoint_count;                /* 1 to POOL_ENDPOINTS_MAX */
	int64_t connect_timeout;                /* for each endpoint */
	int64_t idle;                           /* closed when not used for this long */
	int64_t max_ttl;                        /* not used again when older than this */
	unsigned use_limit;                     /* not used again after so many uses; 0: no limit */
	unsigned max;                           /* connections in use at once, who wants one more waits; 0: no limit */
	unsigned max_idle;                      /* kept of each endpoint; 0: no limit */
	bool spread;                            /* the least busy endpoint, not the first */
	bool check;                             /* who is down is checked in the background, and not used before a check succeeded */
	/* Makes a new connection ready: TLS, greetings, negotiation.  TAKER is pool_want's, NULL for a check.  -errno with RET filled in: the endpoint
	 * is down; -ECANCELED and the caller's own -ETIMEDOUT say nothing of it.  NULL: connected is ready. */
	int (*ready)(struct pool_conn *conn, void *taker, struct peer_failure *ret) TASK_PTR;
	/* Something has come on a connection given with pool_give_asked(), or (WHY: -errno) nothing will.  0: keep it; -EAGAIN: more is to come, until
	 * conn->answer_at, which it may change; else it is closed.  Must consume the input.  Also called, with -EBADMSG, when the peer spoke though
	 * nothing was asked: then it is closed in any case.  Never yields. */
	int (*answered)(struct pool_conn *conn, int why);
	void (*changed)(void *arg, const struct endpoint *e, const struct peer_failure *failure);       /* see peers.h */
	void (*released)(void *arg);            /* what ENDPOINTS and ARG point to is not used any more: with pool_free(), or when a check has ended */
	void *arg;
	/* Called from wherever a connection is closed (never yields), its stream still open: says QUIT if the protocol has it and there is room for it,
	 * and frees conn->user.  NULL: nothing of that kind. */
	void (*closing)(struct pool_conn *conn);
};

/* What a taker holds. */
struct pool_conn {
	struct stream *stream;
	const struct endpoint *endpoint;
	bool kept;                              /* has been used before: the peer may have closed it this moment */
	int64_t idle_since;                     /* when it was given back, for a kept one */
	void *owner;                            /* pool_params.arg */
	void *user;                             /* the taker's own, kept with the connection (what the greeting said); NULL when new */
	int64_t answer_at;                      /* a question is under way, whose answer must be there by then; 0: none */
	/* private to pool.c */
	struct list link;
	struct pool *pool;
	unsigned endpoint_index, uses;
	int64_t born;
};

struct pool *pool_new(const struct pool_params *params);
void pool_free(struct pool **p);                /* nothing is taken */

/* A connection that was kept, else a new one; FRESH: a new one in any case.  The youngest is kept busiest.  0, or the failure of the last
 * endpoint tried; -ETIMEDOUT for connect_timeout as well as for the caller's own deadline; -ECANCELED. */
TASK_FN int pool_take(struct pool *p, bool fresh, struct pool_conn **ret) __attribute__((warn_unused_result));
/* The same; TAKER is handed to ready(). */
struct pool_want {
	bool fresh;
	void *taker;
};
TASK_FN int pool_take_for(struct pool *p, const struct pool_want *want, struct pool_conn **ret) __attribute__((warn_unused_result));
/* The exchange was complete: the connection may be used again.  *C is NULL afterwards, as after pool_drop(). */
void pool_give(struct pool_conn **c);
/* The same, but a question has been put whose answer, within TIMEOUT, says whether it may: see answered(). */
void pool_give_asked(struct pool_conn **c, int64_t timeout);
/* Would pool_give() keep it now, or are there enough? */
bool pool_wants(const struct pool_conn *c);
/* Closes all that are kept of C's endpoint: one of them was dead. */
void pool_distrust(const struct pool_conn *c);
/* Closes it.  FAILED: its endpoint did not behave, prefer another for a while. */
void pool_drop(struct pool_conn **c, bool failed);

/* One question and its answer over whichever connection.  One that was kept and turns out to be dead is replaced by a new one, and a new one that is
 * closed on us by that of another endpoint, so RUN may be called several times and starts anew each time. */
struct pool_exchange {
	/* 0: complete; -ENODATA, -EPIPE, -ECONNRESET: the peer is gone; another -errno: of no use to try again. */
	int (*run)(struct stream *s, void *arg) TASK_PTR;
	void *arg;
	int64_t timeout;                        /* ns for all of it; FOREVER */
};
/* What RUN returned last, or the failure of pool_take(): *RET_CONNECTED is false then. */
TASK_FN int pool_exchange(struct pool *p, const struct pool_exchange *x, bool *ret_connected) __attribute__((warn_unused_result));

unsigned pool_idle(const struct pool *p);       /* connections kept and not in use */
const struct peers *pool_peers(const struct pool *p);

#endif
