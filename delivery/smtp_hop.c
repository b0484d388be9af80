/*
 * smtp_hop.c: the next hops `smtp` and `lmtp`: settings, connections, and the adapter to delivery.
 */
#include "delivery/smtp_hop.h"

#include "delivery/smtp_envelope.h"
#include "delivery/smtp_transfer.h"
#include "lib/base/mem.h"
#include "lib/run/pool.h"

#include <errno.h>

/* How long an idle connection is believed to be alive without a question. */
#define SMTP_HOP_FRESH SECONDS(5)

struct smtp_hop {
	struct smtp_client_config client;
	char *name, *helo, *tls_name;
	struct endpoint *endpoints;
	unsigned endpoint_count;
	struct pool_params limits;
	struct pool *pool;              /* of this process: made when first needed */
	struct list link;               /* among those with a pool */
};

/* Next hops of this process that hold connections. */
static struct list smtp_hop_open = { &smtp_hop_open, &smtp_hop_open };

static struct pool *smtp_hop_pool(struct smtp_hop *h)
{
	if (!h->pool) {
		h->pool = pool_new(&h->limits);
		list_append(&smtp_hop_open, &h->link);
	}
	return h->pool;
}

static void smtp_hop_close(struct smtp_hop *h)
{
	list_remove(&h->link);
	pool_free(&h->pool);
}

void smtp_hop_close_all(void)
{
	struct smtp_hop *h;

	LIST_EACH(h, &smtp_hop_open, struct smtp_hop, link)
		smtp_hop_close(h);
}

/* ---- connections ---- */

/* Who asks for a connection. */
struct hop_caller {
	struct smtp_hop *hop;
	const struct gate_session *session;
	struct arena *arena;
};

TASK_FN static int hop_take(const struct hop_caller *caller, bool fresh, struct pool_conn **ret, struct smtp_reply *ret_why)
{
	struct smtp_hop *h = caller->hop;
	struct deadline d;
	int r;

	/* Also for the wait until one of max_connections is free. */
	deadline_begin(&d, h->limits.connect_timeout * h->endpoint_count);
	r = smtp_client_time(&d, pool_take(smtp_hop_pool(h), fresh, ret));
	if (r == -ETIMEDOUT && deadline_left() > 0)
		r = -ETIME;
	if (r < 0)
		*ret_why = SMTP_REPLY(451, "4.4.1", arena_printf(caller->arena, "Cannot connect to %s: %s", h->name, strerror(-r)));
	return r;
}

/* A connection that is ready for MAIL, kept or new.  0, or -errno with the reply that says why there is none. */
TASK_FN static int hop_connect(const struct hop_caller *caller, bool fresh, struct pool_conn **ret, struct smtp_reply *ret_why)
{
	struct smtp_hop *h = caller->hop;
	struct smtp_client_hello hello = { .helo = h->helo ? h->helo : caller->session->hostname, .arena = caller->arena };
	struct pool_conn *conn;
	int r = 0;

	for (unsigned tries = 0; tries < h->endpoint_count; tries += hello.clear ? 0 : 1) {
		r = hop_take(caller, fresh, &conn, ret_why);
		if (r < 0)
			return r;
		if (!conn->kept)
			r = smtp_client_open(&h->client, conn, &hello, ret_why);
		if (r == 0) {
			*ret = conn;
			return 0;
		}
		pool_drop(&conn, r != -ENOTSUP);
		if (r == -ECANCELED || r == -ETIMEDOUT)
			return r;
		/* TLS that only may be: once more, in clear. */
		hello.clear = fresh = r == -ENOTSUP && !hello.clear;
	}
	return r;
}

static int hop_ended(int r)
{
	return r == -ECANCELED || r == -ETIMEDOUT ? r : 0;
}

/* ---- the contract of delivery.h ---- */

struct smtp_hop_work {
	struct smtp_transfer transfer;
	struct pool_conn *conn;
};

TASK_FN static void smtp_hop_rollback(struct delivery_group *g)
{
	struct smtp_hop_work *work = g->state;

	g->state = NULL;
	if (smtp_transfer_end(&work->transfer))
		pool_give(&work->conn);
	else
		pool_drop(&work->conn, false);
}

static void hop_set_replies(struct delivery_group *g, struct smtp_reply reply)
{
	for (struct delivery_target *t = g->targets; t; t = t->group_next)
		t->reply = reply;
}

static bool hop_prepared(const struct delivery_group *g)
{
	for (struct delivery_target *t = g->targets; t; t = t->group_next)
		if (smtp_reply_ok(&t->reply))
			return !g->committed;
	return false;
}

/* What is asked of a connection. */
struct hop_errand {
	struct delivery_group *group;
	bool probe;                     /* only the envelope */
	bool fresh;                     /* on a new connection */
};

/* One attempt; *RET_STALE: over a kept connection that was dead, so that nothing has happened. */
TASK_FN static int hop_attempt(const struct hop_errand *errand, bool *ret_stale)
{
	struct delivery_group *g = errand->group;
	struct hop_caller caller = { .hop = g->hop->config, .session = g->session, .arena = g->txn->arena };
	struct smtp_hop_work *work = ARENA_NEW(g->txn->arena, struct smtp_hop_work);
	struct smtp_reply why;
	int r = hop_connect(&caller, errand->fresh, &work->conn, &why);

	if (r < 0) {
		hop_set_replies(g, why);
		return hop_ended(r);
	}
	struct pool_conn *conn = work->conn;
	work->transfer = (struct smtp_transfer){
		.client = conn->user,
		.group = g,
		.kept = conn->kept,
		.probe = errand->probe,
		.fresh = !conn->kept || run_now() - conn->idle_since < SMTP_HOP_FRESH,
	};
	g->state = work;
	r = smtp_transfer_prepare(&work->transfer);
	*ret_stale = work->transfer.stale;
	if (r < 0 || *ret_stale || errand->probe || !hop_prepared(g))
		smtp_hop_rollback(g);
	return r;
}

TASK_FN static int hop_run(struct delivery_group *g, bool probe)
{
	struct hop_errand errand = { .group = g, .probe = probe };
	bool stale = false;
	int r = hop_attempt(&errand, &stale);

	if (r == 0 && stale) {
		hop_set_replies(g, (struct smtp_reply){ 0 });
		errand.fresh = true;
		r = hop_attempt(&errand, &stale);
	}
	return r;
}

TASK_FN static int smtp_hop_prepare(struct delivery_group *g)
{
	return hop_run(g, false);
}

TASK_FN static int smtp_hop_commit(struct delivery_group *g)
{
	struct smtp_hop_work *work = g->state;

	return smtp_transfer_commit(&work->transfer);
}

TASK_FN static int smtp_hop_verify(const struct next_hop *hop, const struct gate_txn *txn, const struct gate_session *session,
				   const struct smtp_address *rcpt, struct smtp_reply *ret)
{
	struct gate_rcpt plain = { 0 };
	struct delivery_target target = { .address = *rcpt, .rcpt = &plain };
	/* The transaction is only read but for its arena. */
	struct delivery_group g = {
		.hop = hop, .txn = (struct gate_txn *)txn, .session = session, .targets = &target, .target_count = 1, .alone = true
	};
	int r = hop_run(&g, true);

	*ret = target.reply;
	return r;
}

/* ---- settings ---- */

int smtp_hop_tls_parse(struct bytes word, enum smtp_hop_tls *ret)
{
	static const char *const words[] = { "none", "may", "encrypt", "verify" };

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!bytes_eq(word, bytes_of(words[i])))
			continue;
		*ret = (enum smtp_hop_tls)i;
		return 0;
	}
	return -EINVAL;
}

static void smtp_hop_fini(struct next_hop *hop)
{
	struct smtp_hop *h = hop->config;

	if (!h)
		return;
	smtp_hop_close(h);
	for (unsigned i = 0; i < h->endpoint_count; i++)
		endpoint_fini(&h->endpoints[i]);
	mem_free(h->endpoints);
	tls_unref(&h->client.tls);
	mem_free(h->name);
	mem_free(h->helo);
	mem_free(h->tls_name);
	mem_free(h);
	hop->config = NULL;
}

static const struct next_hop_ops smtp_hop_ops = {
	.kind = "smtp",
	.prepare = smtp_hop_prepare,
	.commit = smtp_hop_commit,
	.rollback = smtp_hop_rollback,
	.verify = smtp_hop_verify,
	.fini = smtp_hop_fini,
};
static const struct next_hop_ops lmtp_hop_ops = {
	.kind = "lmtp",
	.prepare = smtp_hop_prepare,
	.commit = smtp_hop_commit,
	.rollback = smtp_hop_rollback,
	.verify = smtp_hop_verify,
	.fini = smtp_hop_fini,
};

static int hop_parse_hosts(struct smtp_hop *h, const struct smtp_hop_params *params, struct buf *err)
{
	for (const char *const *host = params->hosts; host && *host; host++) {
		h->endpoints = mem_array(h->endpoints, h->endpoint_count + 1, sizeof *h->endpoints);
		int r = endpoint_parse(bytes_of(*host), params->lmtp ? 24 : 25, &h->endpoints[h->endpoint_count], err);
		if (r < 0)
			return r;
		h->endpoint_count++;
	}
	if (h->endpoint_count == 0) {
		buf_printf(err, "next hop %s has no host", params->name);
		return -EINVAL;
	}
	return 0;
}

static int hop_set_tls(struct smtp_hop *h, const struct smtp_hop_params *params, struct buf *err)
{
	struct tls_client_config config = { .ca_file = params->tls_ca };

	if (params->tls == SMTP_HOP_TLS_NONE)
		return 0;
	h->client.tls_required = params->tls >= SMTP_HOP_TLS_ENCRYPT;
	h->client.tls_verify = params->tls == SMTP_HOP_TLS_VERIFY;
	h->client.tls_name = h->tls_name;
	for (unsigned i = 0; h->client.tls_verify && !h->tls_name && i < h->endpoint_count; i++) {
		if (h->endpoints[i].kind == ENDPOINT_INET)
			continue;
		buf_printf(err, "next hop %s: a certificate cannot be verified over %s without tls_name", params->name, h->endpoints[i].text);
		return -EINVAL;
	}
	return tls_client_new(&config, &h->client.tls, err);
}

static int64_t hop_or(int64_t value, int64_t otherwise)
{
	return value ? value : otherwise;
}

static char *hop_copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static void hop_set_limits(struct smtp_hop *h, const struct smtp_hop_params *params)
{
	h->client.greeting_timeout = hop_or(params->connect_timeout, SECONDS(30));
	h->limits = (struct pool_params){
		.endpoints = h->endpoints,
		.endpoint_count = h->endpoint_count,
		.connect_timeout = h->client.greeting_timeout,
		.idle = hop_or(params->idle_time, SECONDS(30)),
		.max_ttl = FOREVER,
		.use_limit = params->idle_time < 0,
		.max = params->max_connections ? params->max_connections : 50,
		.closing = smtp_client_closing,
	};
}

int smtp_hop_configure(const struct smtp_hop_params *params, struct next_hop *ret, struct buf *err)
{
	struct smtp_hop *h = NEW(struct smtp_hop);
	struct next_hop hop = {
		.ops = params->lmtp ? &lmtp_hop_ops : &smtp_hop_ops,
		.config = h,
		.connect_timeout = hop_or(params->connect_timeout, SECONDS(30)),
		.command_timeout = hop_or(params->command_timeout, SECONDS(300)),
		.data_timeout = hop_or(params->data_timeout, SECONDS(600)),
		.max_rcpts = params->max_rcpts ? params->max_rcpts : 100,
	};
	int r;

	h->name = mem_strdup(params->name);
	h->helo = hop_copy(params->helo);
	h->tls_name = hop_copy(params->tls_name);
	h->client.hop = hop.name = h->name;
	h->client.lmtp = params->lmtp;
	r = hop_parse_hosts(h, params, err);
	if (r == 0)
		r = hop_set_tls(h, params, err);
	if (r < 0) {
		smtp_hop_fini(&hop);
		return r;
	}
	hop_set_limits(h, params);
	*ret = hop;
	return 0;
}
