/*
 * smtp_client.c: greeting, capabilities, STARTTLS, replies.
 */
#include "delivery/smtp_client.h"

#include "lib/base/mem.h"

#include <errno.h>

int smtp_client_time(struct deadline *d, int r)
{
	bool own = r == -ETIMEDOUT && deadline_passed(d);

	deadline_end(d);
	return own ? -ETIME : r;
}

bool smtp_client_lost(int error)
{
	return error == -EPIPE || error == -ECONNRESET || error == -ENODATA;
}

struct smtp_reply smtp_client_fault(const char *hop, int error, const char *during, struct arena *arena)
{
	switch (error) {
	case -ETIME:
	case -ETIMEDOUT:
		return SMTP_REPLY(451, "4.4.2", arena_printf(arena, "%s timed out (%s)", hop, during));
	case -ECANCELED:
		return SMTP_REPLY(451, "4.3.2", arena_printf(arena, "Delivery to %s interrupted (%s)", hop, during));
	case -EPROTO:
		return SMTP_REPLY(451, "4.5.0", arena_printf(arena, "%s said what is no SMTP (%s)", hop, during));
	case -EIO:
		return SMTP_REPLY(451, "4.3.0", "The message cannot be read from the spool");
	default:
		return SMTP_REPLY(451, "4.4.2", arena_printf(arena, "Connection to %s lost (%s)", hop, during));
	}
}

void smtp_client_soften(struct smtp_reply *r)
{
	if (r->code == 421)
		r->code = 451;
}

TASK_FN static int client_read_reply(struct smtp_client *c)
{
	struct bytes line;
	int r;

	if (stream_unsent(c->stream)) {
		r = stream_flush(c->stream);
		/* A server that closes has perhaps said why. */
		if (r < 0 && !smtp_client_lost(r))
			return r;
	}
	do {
		r = stream_line(c->stream, SMTP_REPLY_LINE_MAX, &line, NULL);
		if (r == -EMSGSIZE)
			return -EPROTO;
		if (r < 0)
			return r;
		r = smtp_reply_parser_line(&c->parser, line);
	} while (r == 0);
	return r < 0 ? r : 0;
}

TASK_FN int smtp_client_reply(struct smtp_client *c, int64_t timeout, struct arena *arena, struct smtp_reply *ret)
{
	struct deadline d;
	int r;

	deadline_begin(&d, timeout);
	r = smtp_client_time(&d, client_read_reply(c));
	if (r < 0) {
		c->broken = true;
		return r;
	}
	smtp_reply_parser_take(&c->parser, arena, ret);
	/* RFC 5321 3.8: with 421 the server closes the connection, whatever it answers. */
	if (ret->code == 421)
		c->broken = true;
	return 0;
}

/* ---- getting ready ---- */

/* The state of an opening connection. */
struct client_opening {
	struct smtp_client *c;
	const struct smtp_client_hello *hello;
	const char *server_name;
	struct smtp_reply why;
};

/* A server that refuses to talk at all says nothing of our recipients: a 5xx here is an answer for now, and the next host's turn. */
static int opening_refused(struct client_opening *o, const struct smtp_reply *said, const char *during)
{
	o->why = SMTP_REPLY(451, "4.4.1", arena_printf(o->hello->arena, "%s refused %s: %u %s", o->c->config->hop, during, said->code, said->text));
	o->c->broken = true;
	return -ECONNREFUSED;
}

TASK_FN static int opening_ask(struct client_opening *o, const char *during, struct smtp_reply *ret)
{
	int r = smtp_client_reply(o->c, o->c->config->greeting_timeout, o->hello->arena, ret);

	if (r < 0)
		o->why = smtp_client_fault(o->c->config->hop, r, during, o->hello->arena);
	return r;
}

TASK_FN static int opening_hello(struct client_opening *o)
{
	bool lmtp = o->c->config->lmtp;
	struct smtp_reply reply;
	int r;

	stream_putf(o->c->stream, "%s %s\r\n", lmtp ? "LHLO" : "EHLO", o->hello->helo);
	r = opening_ask(o, lmtp ? "LHLO" : "EHLO", &reply);
	if (r < 0)
		return r;
	if (smtp_reply_ok(&reply)) {
		smtp_caps_parse(&reply, &o->c->caps);
		return 0;
	}
	if (lmtp || !smtp_reply_permanent(&reply))
		return opening_refused(o, &reply, lmtp ? "LHLO" : "EHLO");

	/* RFC 5321 3.2: a server that does not know EHLO is asked with HELO. */
	stream_putf(o->c->stream, "HELO %s\r\n", o->hello->helo);
	r = opening_ask(o, "HELO", &reply);
	if (r == 0 && !smtp_reply_ok(&reply))
		r = opening_refused(o, &reply, "HELO");
	return r;
}

TASK_FN static int opening_handshake(struct client_opening *o)
{
	const struct smtp_client_config *config = o->c->config;
	struct tls_connect_params params = { .server_name = o->server_name, .verify = config->tls_verify };
	struct buf err = { 0 };
	struct deadline d;
	int r;

	deadline_begin(&d, config->greeting_timeout);
	r = smtp_client_time(&d, stream_tls_connect(o->c->stream, config->tls, &params, &err));
	if (r < 0) {
		o->c->broken = true;
		o->why = SMTP_REPLY(451, "4.7.5", arena_printf(o->hello->arena, "TLS with %s failed: %s", config->hop, buf_str(&err)));
		if (!config->tls_required && r != -ECANCELED && r != -ETIMEDOUT)
			r = -ENOTSUP;
	}
	buf_fini(&err);
	return r;
}

TASK_FN static int opening_starttls(struct client_opening *o)
{
	const struct smtp_client_config *config = o->c->config;
	struct smtp_reply reply;
	int r;

	if (!config->tls || o->hello->clear)
		return 0;
	if (!(o->c->caps.flags & SMTP_CAP_STARTTLS)) {
		if (!config->tls_required)
			return 0;
		o->why = SMTP_REPLY(451, "4.7.4", arena_printf(o->hello->arena, "%s does not offer TLS", config->hop));
		return -EPROTO;
	}
	stream_put(o->c->stream, BYTES("STARTTLS\r\n"));
	r = opening_ask(o, "STARTTLS", &reply);
	if (r < 0)
		return r;
	if (!smtp_reply_ok(&reply))
		return config->tls_required || o->c->broken ? opening_refused(o, &reply, "STARTTLS") : 0;
	r = opening_handshake(o);
	if (r < 0)
		return r;
	/* RFC 3207 4.2: what was learnt before TLS is forgotten. */
	o->c->encrypted = true;
	o->c->caps = (struct smtp_caps){ 0 };
	return opening_hello(o);
}

TASK_FN static int opening_run(struct client_opening *o)
{
	struct smtp_reply reply;
	int r = opening_ask(o, "greeting", &reply);

	if (r < 0)
		return r;
	if (!smtp_reply_ok(&reply))
		return opening_refused(o, &reply, "the connection");
	r = opening_hello(o);
	return r < 0 ? r : opening_starttls(o);
}

TASK_FN int smtp_client_open(const struct smtp_client_config *config, struct pool_conn *conn, const struct smtp_client_hello *hello,
			     struct smtp_reply *ret_why)
{
	struct smtp_client *c = NEW(struct smtp_client);
	struct client_opening o = { .c = c, .hello = hello };
	int r;

	*c = (struct smtp_client){ .config = config, .stream = conn->stream };
	o.server_name = config->tls_name ? config->tls_name : conn->endpoint->host;
	conn->user = c;
	r = opening_run(&o);
	if (r < 0)
		*ret_why = o.why;
	return r;
}

/* RFC 5321 4.1.1.10 asks for QUIT; this is called from the loop and cannot wait, so only what a socket in clear takes at once is said.  Under TLS
 * the close_notify has to do. */
void smtp_client_closing(struct pool_conn *conn)
{
	struct smtp_client *c = conn->user;

	if (!c)
		return;
	if (!c->broken && !c->encrypted)
		(void)!send(stream_fd(conn->stream), "QUIT\r\n", 6, MSG_DONTWAIT | MSG_NOSIGNAL);
	smtp_reply_parser_fini(&c->parser);
	mem_free(c);
	conn->user = NULL;
}
