/*
 * milter_config.c: from what the configuration says to a gate.
 */
#include "milter/milter_client.h"

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

static int milter_config_endpoints(const struct milter_params *p, struct milter_config *c, struct buf *err)
{
	if (p->socket_count == 0) {
		buf_add_str(err, "a milter needs a socket");
		return -EINVAL;
	}
	c->endpoints = mem_array(NULL, p->socket_count, sizeof(*c->endpoints));
	for (; c->endpoint_count < p->socket_count; c->endpoint_count++) {
		int r = endpoint_parse(bytes_of(p->sockets[c->endpoint_count]), 0, &c->endpoints[c->endpoint_count], err);
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
	mem_free(c->endpoints);
	mem_free(c);
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
	c->compat = p->compat;
	c->offer = milter_codec_offer(version);
	int r = milter_config_endpoints(p, c, err);
	if (r == 0)
		r = milter_config_macros(p, c, err);
	if (r < 0)
		milter_config_free(c);
	else
		*ret = c;
	return r;
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
	milter_config_free(g->config);
	g->config = NULL;
}
