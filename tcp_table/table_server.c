/*
 * table_server.c: where Postfix would sleep and try again up to ten times, this connects again at once, once, and only when a connection that was
 * kept has died.  What cannot be told is said to be so in milliseconds; whether to try later is the sender's business.
 */
#include "tcp_table/table_server.h"

#include "lib/base/mem.h"
#include "lib/run/net.h"

#include <errno.h>

enum { TABLE_SERVER_CONNECTIONS = 16 };

struct table_server {
	struct endpoint endpoint;
	struct pool *pool;
	int64_t timeout;
};

int table_server_new(const struct table_server_params *params, struct table_server **ret, struct buf *err)
{
	const struct table_options *o = params->options;
	struct endpoint endpoint;

	int r = endpoint_parse(params->endpoint, 0, &endpoint, err);
	if (r < 0)
		return r;
	struct table_server *s = NEW(struct table_server);
	s->endpoint = endpoint;
	s->timeout = o->timeout ? o->timeout : SECONDS(100);
	s->pool = pool_new(&(struct pool_params){
	    .endpoints = &s->endpoint,
	    .endpoint_count = 1,
	    .connect_timeout = s->timeout,
	    .idle = o->idle_timeout ? o->idle_timeout : params->idle,
	    .max_ttl = params->max_ttl,
	    .max = o->connections ? o->connections : TABLE_SERVER_CONNECTIONS,
	});
	*ret = s;
	return 0;
}

void table_server_free(struct table_server **sp)
{
	struct table_server *s = *sp;
	if (!s)
		return;
	pool_free(&s->pool);
	endpoint_fini(&s->endpoint);
	mem_free(s);
	*sp = NULL;
}

/* net_resolve() has no other words for what a name service says. */
static const char *table_server_unconnected(const struct endpoint *e, int r)
{
	struct net_addr ignored;
	bool name = e->kind == ENDPOINT_INET && net_addr_parse(bytes_of(e->host), 0, &ignored) < 0;

	if (name && r == -EHOSTUNREACH)
		return "the name has no address, or none that can be reached";
	return name && r == -EAGAIN ? "the name cannot be looked up now" : strerror(-r);
}

static int table_server_explain(const struct table_server *s, int r, bool connected, const char *why, struct buf *err)
{
	bool gone = r == -ENODATA || r == -EPIPE || r == -ECONNRESET;

	if (r == -ECANCELED || (r == -ETIMEDOUT && deadline_left() <= 0))
		return r;
	buf_printf(err, "%s: ", s->endpoint.text);
	if (r == -ETIMEDOUT)
		buf_printf(err, "no answer within %lld s", (long long)(s->timeout / SECONDS(1)));
	else if (!connected)
		buf_printf(err, "cannot connect: %s", table_server_unconnected(&s->endpoint, r));
	else if (gone)
		buf_add_str(err, "the connection was closed before the answer was complete");
	else
		buf_add_str(err, why ? why : strerror(-r));
	return r == -ETIMEDOUT || gone || !connected ? -EAGAIN : -EPROTO;
}

TASK_FN int table_server_ask(struct table_server *s, struct table_server_question *q, struct buf *err)
{
	bool connected;
	int r = pool_exchange(s->pool, &(struct pool_exchange){ q->run, q->arg, s->timeout }, &connected);
	return r < 0 ? table_server_explain(s, r, connected, q->why, err) : 0;
}
