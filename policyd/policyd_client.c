/*
 * policyd_client.c: one exchange, and when to try it again.
 *
 * Postfix asks over one connection per process, sleeps a second before each second try and takes a server that closes after each
 * answer for a failure.  Here requests in flight have a connection each, and a server that has closed a kept
 * connection is simply connected to again: whether it did so before, while or after we wrote cannot be told apart.
 *
 * One that nobody listens at, or that hangs up on a new connection, may be being restarted: as in Postfix it is asked once more after a second, by
 * those who notice it in the first seconds.  What stays away longer is of no use to wait for.
 */
#include "policyd/policyd_client.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/run/pool.h"
#include "lib/run/process.h"

#include <errno.h>
#include <stdio.h>

#define POLICYD_PATIENCE SECONDS(10)    /* so long after it was there last a server is waited for */

struct policyd_client {
	struct endpoint *endpoints;
	unsigned endpoint_count;
	int64_t timeout, retry_delay;
	int64_t away_since;             /* when it was first found not to be there; 0: it was there the last time */
	struct pool *pool;
	char ended[256];                /* what became of the last command that ended without an answer */
};

static int64_t policyd_default(int64_t given, int64_t otherwise)
{
	return given ? given : otherwise;
}

static int policyd_parse_endpoints(struct policyd_client *c, const struct policyd_params *params, struct buf *err)
{
	for (unsigned i = 0; i < params->endpoint_count; i++) {
		int r = endpoint_parse_any(bytes_of(params->endpoints[i]), 0, &c->endpoints[i], err);
		if (r < 0)
			return r;
		if (params->commands)
			c->endpoints[i].command = params->commands[i];
		c->endpoint_count++;
	}
	return 0;
}

/* From a check in the background, or from whoever was the first to notice. */
static void policyd_changed(void *arg, const struct endpoint *e, const struct peer_failure *failure)
{
	const struct policyd_client *c = arg;
	struct log_line l;
	if (c->endpoint_count == 1)
		return;
	log_begin(&l, failure ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, failure ? "policy-down" : "policy-up");
	log_str(&l, "socket", e->text);
	log_str(&l, "why", failure ? failure->why : NULL);
	log_end(&l);
}

/* The last check has ended. */
static void policyd_released(void *arg)
{
	struct policyd_client *c = arg;
	for (unsigned i = 0; i < c->endpoint_count; i++)
		endpoint_fini(&c->endpoints[i]);
	mem_free(c->endpoints);
	mem_free(c);
}

void policyd_client_free(struct policyd_client **cp)
{
	struct policyd_client *c = *cp;
	struct pool *pool = c ? c->pool : NULL;
	if (pool)
		pool_free(&pool);
	else if (c)
		policyd_released(c);
	*cp = NULL;
}

int policyd_client_new(const struct policyd_params *params, struct policyd_client **ret, struct buf *err)
{
	if (params->endpoint_count == 0 || params->endpoint_count > POOL_ENDPOINTS_MAX) {
		buf_printf(err, "a policy server needs between 1 and %d sockets", POOL_ENDPOINTS_MAX);
		return -EINVAL;
	}
	struct policyd_client *c = NEW(struct policyd_client);
	c->endpoints = mem_array(NULL, params->endpoint_count, sizeof *c->endpoints);
	c->timeout = policyd_default(params->timeout, POLICYD_TIMEOUT);
	c->retry_delay = policyd_default(params->retry_delay, POLICYD_RETRY_DELAY);
	int r = policyd_parse_endpoints(c, params, err);
	if (r < 0) {
		policyd_client_free(&c);
		return r;
	}
	c->pool = pool_new(&(struct pool_params){
	    .endpoints = c->endpoints,
	    .endpoint_count = c->endpoint_count,
	    .connect_timeout = policyd_default(params->connect_timeout, SECONDS(30)),
	    .idle = policyd_default(params->idle, SECONDS(300)),
	    .max_ttl = policyd_default(params->max_ttl, SECONDS(1000)),
	    .use_limit = params->request_limit,
	    .max = params->max_connections,
	    .spread = true,
	    .check = c->endpoint_count > 1,
	    .changed = policyd_changed,
	    .released = policyd_released,
	    .arg = c,
	});
	*ret = c;
	return 0;
}

struct policyd_exchange {
	struct bytes request;
	struct policyd_reply *reply;
	const char *why;                /* what was wrong with the answer; NULL */
	bool begun;                     /* something came before it failed */
	char *ended;                    /* client's */
};

static bool policyd_gone(int r)
{
	return r == -ENODATA || r == -EPIPE || r == -ECONNRESET;
}

/* A command that has closed its output ends, or its output would be of no use to anybody: wait a little to hear why. */
TASK_FN static void policyd_hear_end(struct stream *s, struct policyd_exchange *x)
{
	struct process_end end;
	char how[200];

	if (process_ended(s, SECONDS(1), &end) != 0)
		return;
	process_end_text(&end, how, sizeof how);
	snprintf(x->ended, sizeof ((struct policyd_client *)NULL)->ended, "the command ended without an answer: %s", how);
	x->why = x->ended;
}

TASK_FN static int policyd_exchange(struct stream *s, void *arg)
{
	struct policyd_exchange *x = arg;

	x->why = NULL;
	policyd_reply_fini(x->reply);
	stream_put(s, x->request);
	int r = stream_flush(s);
	while (r == 0) {
		struct bytes line;
		bool crlf;
		r = stream_line(s, POLICYD_REPLY_MAX, &line, &crlf);
		if (r == -EMSGSIZE)
			x->why = "a line is too long";
		if (r == 0)
			r = policyd_codec_reply_line(x->reply, line, crlf, &x->why);
	}
	x->begun = x->reply->bytes || stream_input(s).n;
	if (policyd_gone(r) && !x->begun)
		policyd_hear_end(s, x);
	return r == 1 ? 0 : r;
}

static struct policyd_failure policyd_failure_of(int r, bool connected, const struct policyd_exchange *x)
{
	bool gone = policyd_gone(r);

	if (!connected)
		return (struct policyd_failure){ GATE_FAULT_CONNECT, strerror(-r) };
	if (r == -ETIMEDOUT)
		return (struct policyd_failure){ GATE_FAULT_TIMEOUT, "no answer in time" };
	if (gone && !x->begun)
		return (struct policyd_failure){ GATE_FAULT_CONNECT, x->why ? x->why : "the connection was closed without an answer" };
	if (gone)
		return (struct policyd_failure){ GATE_FAULT_PROTOCOL, "the connection was closed in the middle of an answer" };
	return (struct policyd_failure){ GATE_FAULT_PROTOCOL, x->why ? x->why : strerror(-r) };
}

/* Is R what a server looks like that is being restarted? */
static bool policyd_away(int r, bool connected, const struct policyd_exchange *x)
{
	if (r == -ETIMEDOUT)
		return false;
	return connected ? policyd_gone(r) && !x->begun : r < 0;
}

/* One exchange, as far as it comes, and whether it is worth another. */
TASK_FN static int policyd_try(struct policyd_client *c, struct policyd_exchange *x, bool *ret_connected, bool *ret_again)
{
	int r = pool_exchange(c->pool, &(struct pool_exchange){ policyd_exchange, x, c->timeout }, ret_connected);

	*ret_again = false;
	if (r == -ECANCELED)
		return r;
	if (!policyd_away(r, *ret_connected, x)) {
		c->away_since = 0;
		return r;
	}
	if (!c->away_since)
		c->away_since = run_now();
	*ret_again = c->retry_delay >= 0 && run_now() - c->away_since < POLICYD_PATIENCE;
	return r;
}

/* 0: it is time to ask again. */
TASK_FN static int policyd_wait(const struct policyd_client *c, const struct policyd_failure *failure)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, "policy-retry");
	log_str(&l, "socket", c->endpoints[0].text);
	log_str(&l, "why", failure->why);
	log_printf(&l, "s", "%.1f", (double)c->retry_delay / 1e9);
	log_end(&l);
	return task_sleep(c->retry_delay);
}

TASK_FN int policyd_client_ask(struct policyd_client *c, struct bytes request, struct policyd_reply *reply, struct policyd_failure *ret_failure)
{
	struct policyd_exchange x = { .request = request, .reply = reply, .ended = c->ended };
	bool connected, again;

	int r = policyd_try(c, &x, &connected, &again);
	if (r < 0)
		*ret_failure = policyd_failure_of(r, connected, &x);
	if (!again)
		return r;
	r = policyd_wait(c, ret_failure);
	if (r == 0)
		r = policyd_try(c, &x, &connected, &again);
	if (r < 0)
		*ret_failure = policyd_failure_of(r, connected, &x);
	return r;
}
