/*
 * policyd_client.c: one exchange, and when to try it again.
 *
 * Postfix asks over one connection per process, sleeps a second before each second try and takes a server that closes after each
 * answer for a failure.  Here requests in flight have a connection each, and a server that has closed a kept
 * connection is simply connected to again: whether it did so before, while or after we wrote cannot be told apart.
 */
#include "policyd/policyd_client.h"

#include "lib/base/mem.h"
#include "lib/run/pool.h"

#include <errno.h>

struct policyd_client {
	struct endpoint *endpoints;
	unsigned endpoint_count;
	int64_t timeout;
	struct pool *pool;
};

static int64_t policyd_default(int64_t given, int64_t otherwise)
{
	return given ? given : otherwise;
}

static int policyd_parse_endpoints(struct policyd_client *c, const struct policyd_params *params, struct buf *err)
{
	for (unsigned i = 0; i < params->endpoint_count; i++) {
		int r = endpoint_parse(bytes_of(params->endpoints[i]), 0, &c->endpoints[i], err);
		if (r < 0)
			return r;
		c->endpoint_count++;
	}
	return 0;
}

int policyd_client_new(const struct policyd_params *params, struct policyd_client **ret, struct buf *err)
{
	if (params->endpoint_count == 0) {
		buf_add_str(err, "a policy server needs a socket");
		return -EINVAL;
	}
	struct policyd_client *c = NEW(struct policyd_client);
	c->endpoints = mem_array(NULL, params->endpoint_count, sizeof *c->endpoints);
	c->timeout = policyd_default(params->timeout, SECONDS(100));
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
	});
	*ret = c;
	return 0;
}

void policyd_client_free(struct policyd_client **cp)
{
	struct policyd_client *c = *cp;
	if (!c)
		return;
	pool_free(&c->pool);
	for (unsigned i = 0; i < c->endpoint_count; i++)
		endpoint_fini(&c->endpoints[i]);
	mem_free(c->endpoints);
	mem_free(c);
	*cp = NULL;
}

TASK_FN static int policyd_exchange(struct stream *s, struct bytes request, struct policyd_reply *reply, const char **ret_why)
{
	stream_put(s, request);
	int r = stream_flush(s);
	if (r < 0)
		return r;
	do {
		struct bytes line;
		bool crlf;
		r = stream_line(s, POLICYD_REPLY_MAX, &line, &crlf);
		if (r == -EMSGSIZE)
			*ret_why = "a line is too long";
		if (r < 0)
			return r;
		r = policyd_codec_reply_line(reply, line, crlf, ret_why);
	} while (r == 0);
	return r < 0 ? r : 0;
}

static bool policyd_peer_gone(int r)
{
	return r == -ENODATA || r == -EPIPE || r == -ECONNRESET;
}

static void policyd_failure_set(int r, const struct policyd_reply *reply, const char *why, struct policyd_failure *ret)
{
	if (r == -ETIMEDOUT)
		*ret = (struct policyd_failure){ GATE_FAULT_TIMEOUT, "no answer in time" };
	else if (!policyd_peer_gone(r))
		*ret = (struct policyd_failure){ GATE_FAULT_PROTOCOL, why ? why : strerror(-r) };
	else if (reply->bytes)
		*ret = (struct policyd_failure){ GATE_FAULT_PROTOCOL, "the connection was closed in the middle of an answer" };
	else
		*ret = (struct policyd_failure){ GATE_FAULT_CONNECT, "the connection was closed without an answer" };
}

/* One exchange over one connection; *RET_KEPT: it had been used before. */
TASK_FN static int policyd_try(struct policyd_client *c, struct bytes request, struct policyd_reply *reply, bool *ret_kept,
    struct policyd_failure *ret_failure)
{
	struct pool_conn *conn;
	const char *why = NULL;
	bool fresh = *ret_kept;         /* a kept one has just failed: do not try the next */

	*ret_kept = false;
	int r = pool_take(c->pool, fresh, &conn);
	if (r < 0) {
		*ret_failure = (struct policyd_failure){ GATE_FAULT_CONNECT, strerror(-r) };
		return r;
	}
	*ret_kept = conn->kept;
	r = policyd_exchange(conn->stream, request, reply, &why);
	if (r == 0) {
		pool_give(&conn);
		return 0;
	}
	policyd_failure_set(r, reply, why, ret_failure);
	pool_drop(&conn, !*ret_kept && r != -ECANCELED);
	return r;
}

TASK_FN int policyd_client_ask(struct policyd_client *c, struct bytes request, struct policyd_reply *reply, struct policyd_failure *ret_failure)
{
	unsigned left = c->endpoint_count;
	struct deadline d;
	bool kept = false;
	int r;

	deadline_begin(&d, c->timeout);
	do {
		policyd_reply_fini(reply);
		r = policyd_try(c, request, reply, &kept, ret_failure);
	} while (policyd_peer_gone(r) && (kept || --left > 0));
	deadline_end(&d);
	return r;
}
