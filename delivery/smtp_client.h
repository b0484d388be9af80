/*
 * smtp_client.h: our side of a connection to an SMTP or LMTP server (RFC 5321, RFC 2033): greeting, capabilities, STARTTLS, replies.
 */
#ifndef GATEPOST_DELIVERY_SMTP_CLIENT_H
#define GATEPOST_DELIVERY_SMTP_CLIENT_H

#include "lib/run/pool.h"
#include "lib/run/task.h"
#include "lib/smtp/client_codec.h"

/* Constant for a next hop. */
struct smtp_client_config {
	const char *hop;                /* its name, for what we say of it */
	bool lmtp;
	bool tls_required;              /* else: STARTTLS when offered */
	bool tls_verify;
	struct tls_context *tls;        /* NULL: never */
	const char *tls_name;           /* NULL: the endpoint's host */
	int64_t greeting_timeout;       /* each reply until the server is ready for MAIL, and the handshake */
};

/* One connection: kept as pool_conn.user. */
struct smtp_client {
	const struct smtp_client_config *config;
	struct stream *stream;
	struct smtp_caps caps;
	struct smtp_reply_parser parser;
	bool encrypted;
	bool broken;                    /* out of step or closing: not to be used again, and no QUIT */
};

/* Makes CONN, just connected, ready for MAIL and sets conn->user.  HELO: our name.  CLEAR: no TLS even if it is wanted.  0, or -errno with the reply for
 * our own client in *RET_WHY (ARENA): -ENOTSUP when a TLS handshake failed that is not required: another connection may do without.  -ETIME when the
 * server took too long; -ETIMEDOUT and -ECANCELED are the caller's own. */
struct smtp_client_hello {
	const char *helo;
	bool clear;
	struct arena *arena;
};
TASK_FN int smtp_client_open(const struct smtp_client_config *config, struct pool_conn *conn, const struct smtp_client_hello *hello,
			     struct smtp_reply *ret_why) __attribute__((warn_unused_result));
/* pool_params.closing */
void smtp_client_closing(struct pool_conn *conn);

/* Flushes what was put, then reads one reply.  -EPROTO: garbage or too much of it; -ENODATA, -ECONNRESET, -EPIPE: the connection is lost; -ETIME: no
 * whole reply in TIMEOUT.  After a failure the connection is broken. */
TASK_FN int smtp_client_reply(struct smtp_client *c, int64_t timeout, struct arena *arena, struct smtp_reply *ret) __attribute__((warn_unused_result));

/* Ends D.  R, or -ETIME when it is -ETIMEDOUT because of D itself. */
int smtp_client_time(struct deadline *d, int r) __attribute__((warn_unused_result));

/* The connection is gone. */
bool smtp_client_lost(int error);
/* What our own client is told of an error: 451 4.4.1, 4.4.2...  DURING: "MAIL", "end of data". */
struct smtp_reply smtp_client_fault(const char *hop, int error, const char *during, struct arena *arena);
/* 421 is about a connection, and not about our client's: it becomes 451. */
void smtp_client_soften(struct smtp_reply *r);

#endif
