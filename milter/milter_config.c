/*
 * milter_config.c: from what the configuration says to a gate.
 */
#include "milter/milter_pool.h"

#include <errno.h>

static int milter_config_word(const char *const *words, unsigned count, struct bytes word)
{
	for (unsigned i = 0; i < count; i++) {
		if (bytes_eq(word, bytes_of(words[i])))
			return i;
	}
	return -EINVAL;
}

int milter_compat_parse(struct bytes word, enum milter_compat *ret)
{
	static const char *const words[] = {
		[MILTER_COMPAT_FULL] = "full",
		[MILTER_COMPAT_POSTFIX] = "postfix",
		[MILTER_COMPAT_SENDMAIL] = "sendmail",
	};
	int i = milter_config_word(words, COUNT_OF(words), word);
	if (i < 0)
		return i;
	*ret = i;
	return 0;
}

int milter_macro_stage_parse(struct bytes word, enum milter_macro_stage *ret)
{
	static const char *const words[MILTER_MACRO_STAGES] = {
		[MILTER_MACROS_CONNECT] = "connect",
		[MILTER_MACROS_HELO] = "helo",
		[MILTER_MACROS_MAIL] = "mail",
		[MILTER_MACROS_RCPT] = "rcpt",
		[MILTER_MACROS_DATA] = "data",
		[MILTER_MACROS_EOM] = "eom",
		[MILTER_MACROS_EOH] = "eoh",
		[MILTER_MACROS_UNKNOWN] = "unknown",
	};
	int i = milter_config_word(words, COUNT_OF(words), word);
	if (i < 0)
		return i;
	*ret = i;
	return 0;
}

/* A path has no name that a certificate could carry, and only a unix socket knows its peer. */
static int milter_config_check_endpoint(const struct milter_params *p, const struct endpoint *e, struct buf *err)
{
	bool local = e->kind == ENDPOINT_UNIX;
	if (local && p->tls == MILTER_TLS_VERIFY && !p->tls_name)
		buf_printf(err, "%s has no host name: tls = verify needs a tls_name", e->text);
	else if (!local && p->peer_uid_count > 0)
		buf_printf(err, "peer_user is for unix sockets, %s is none", e->text);
	else
		return 0;
	return -EINVAL;
}

static int milter_config_endpoints(const struct milter_params *p, struct milter_config *c, struct buf *err)
{
	if (p->socket_count == 0 || p->socket_count > POOL_ENDPOINTS_MAX) {
		buf_add_str(err, p->socket_count ? "a milter has at most 64 sockets" : "a milter needs a socket");
		return -EINVAL;
	}
	c->sockets = mem_zalloc(p->socket_count * sizeof(*c->sockets));
	c->endpoints = mem_array(NULL, p->socket_count, sizeof(*c->endpoints));
	for (int r = 0; c->endpoint_count < p->socket_count; ) {
		struct endpoint *e = &c->endpoints[c->endpoint_count];
		r = endpoint_parse(bytes_of(p->sockets[c->endpoint_count]), 0, e, err);
		if (r < 0)
			return r;
		c->endpoint_count++;
		r = milter_config_check_endpoint(p, e, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int milter_config_macros(const struct milter_params *p, struct milter_config *c, struct buf *err)
{
	milter_macros_defaults(p->compat, c->macros);
	for (unsigned stage = 0; stage < MILTER_MACRO_STAGES; stage++) {
		struct bytes unknown;
		if (!p->macros[stage])
			continue;
		if (milter_macros_parse(bytes_of(p->macros[stage]), &c->macros[stage], &unknown) > 0) {
			buf_printf(err, "there is no macro \"%.*s\"", BYTES_ARG(unknown));
			return -EINVAL;
		}
	}
	return 0;
}

static void milter_config_free(struct milter_config *c)
{
	for (unsigned i = 0; i < c->endpoint_count; i++)
		endpoint_fini(&c->endpoints[i]);
	tls_unref(&c->tls);
	mem_free(c->endpoints);
	mem_free(c->sockets);
	mem_free(c->tls_name);
	mem_free(c->peer_uids);
	mem_free(c->name);
	mem_free(c);
}

static int milter_config_tls(const struct milter_params *p, struct milter_config *c, struct buf *err)
{
	const struct tls_client_config tls = { .ca_file = p->tls_ca, .certificate = p->tls_certificate, .key = p->tls_key };
	c->tls_verify = p->tls == MILTER_TLS_VERIFY;
	c->tls_name = p->tls_name ? mem_strdup(p->tls_name) : NULL;
	if (p->tls != MILTER_TLS_NONE)
		return tls_client_new(&tls, &c->tls, err);
	if (!p->tls_ca && !p->tls_name && !p->tls_certificate && !p->tls_key)
		return 0;
	buf_add_str(err, "tls_ca, tls_name, tls_certificate and tls_key have no effect without tls");
	return -EINVAL;
}

static void milter_config_peers(const struct milter_params *p, struct milter_config *c)
{
	c->peer_uids = mem_array(NULL, p->peer_uid_count + 1, sizeof(*c->peer_uids));
	for (; c->peer_uid_count < p->peer_uid_count; c->peer_uid_count++)
		c->peer_uids[c->peer_uid_count] = p->peer_uids[c->peer_uid_count];
}

static int milter_config_new(const struct milter_params *p, struct milter_config **ret, struct buf *err)
{
	unsigned version = p->protocol ? p->protocol : 6;
	if (version < 2 || version > 6) {
		buf_printf(err, "there is no milter protocol version %u, only 2 to 6", version);
		return -EINVAL;
	}
	if (p->data_max && p->data_max < 1024) {
		buf_add_str(err, "a milter must take at least 1024 bytes at once");
		return -EINVAL;
	}
	struct milter_config *c = NEW(struct milter_config);
	c->connect_timeout = p->connect_timeout ? p->connect_timeout : SECONDS(30);
	c->command_timeout = p->command_timeout ? p->command_timeout : SECONDS(30);
	c->content_timeout = p->content_timeout ? p->content_timeout : SECONDS(300);
	c->reply_max = p->reply_max ? p->reply_max : (size_t)1088 * 1024;
	c->data_max = p->data_max ? p->data_max : MILTER_DATA_MAX;
	c->name = mem_strdup(p->name);
	c->keep = p->keep == 0 ? 10 : p->keep < 0 ? 0 : (unsigned)p->keep;
	c->idle = p->idle ? p->idle : SECONDS(60);
	c->compat = p->compat;
	c->offer = milter_codec_offer(version);
	int r = milter_config_endpoints(p, c, err);
	if (r == 0)
		r = milter_config_macros(p, c, err);
	if (r == 0)
		r = milter_config_tls(p, c, err);
	if (r < 0) {
		milter_config_free(c);
		return r;
	}
	milter_config_peers(p, c);
	c->pool = milter_pool_new(c, milter_config_free);
	*ret = c;
	return 0;
}

int milter_configure(const struct milter_params *p, struct gate *ret, struct buf *err)
{
	struct milter_config *c;
	int r = milter_config_new(p, &c, err);
	if (r < 0)
		return r;
	*ret = (struct gate){
		.ops = &milter_ops,
		.name = p->name,
		.config = c,
		/* An SMTP client waits ten minutes for the answer to its dot (RFC 5321 section 4.5.3.2.6). */
		.total_timeout = 2 * c->content_timeout,
		/* Both send each filter the whole message before the next one sees any of it (M19). */
		.in_turn = p->compat != MILTER_COMPAT_FULL,
		.hold_ends = p->compat == MILTER_COMPAT_POSTFIX,
	};
	for (unsigned stage = 0; stage < GATE_STAGES; stage++) {
		for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
			ret->on_failure[stage][fault] = milter_ops.default_on_failure;
	}
	return 0;
}

void milter_unconfigure(struct gate *g)
{
	struct milter_config *c = g->config;
	pool_free(&c->pool);
	g->config = NULL;
}
