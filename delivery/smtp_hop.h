/*
 * smtp_hop.h: next hops of kind `smtp` and `lmtp`: a mail server that takes the message while our client waits.
 */
#ifndef GATEPOST_DELIVERY_SMTP_HOP_H
#define GATEPOST_DELIVERY_SMTP_HOP_H

#include "delivery/delivery.h"

enum smtp_hop_tls {
	SMTP_HOP_TLS_NONE,
	SMTP_HOP_TLS_MAY,       /* STARTTLS when offered, whatever the certificate; in clear when the handshake fails */
	SMTP_HOP_TLS_ENCRYPT,   /* STARTTLS or 451; whatever the certificate */
	SMTP_HOP_TLS_VERIFY,    /* STARTTLS with a chain to a trusted CA and the right name, or 451 */
};
int smtp_hop_tls_parse(struct bytes word, enum smtp_hop_tls *ret) __attribute__((warn_unused_result));  /* "none may encrypt verify" */

/* 0 and NULL stand for the default, but where they say otherwise.  Times in ns.  Everything is copied. */
struct smtp_hop_params {
	const char *name;               /* as in gatepost.conf: in logs, spans and replies */
	bool lmtp;
	const char *const *hosts;       /* NULL at the end: "unix:/run/dovecot/lmtp", "inet:127.0.0.1:24", "mx.example.org:25"; the
					 * port is 24 (lmtp), 25 (smtp) unless given.  The first that can be reached is
					 * used; one that cannot is left out for a while */
	const char *helo;               /* what we call ourselves; NULL: the session's hostname */
	enum smtp_hop_tls tls;          /* 0: none */
	const char *tls_ca;             /* PEM file of trusted CAs; NULL: the system's */
	const char *tls_name;           /* the name in the certificate, and for SNI; NULL: the host's own */
	int64_t connect_timeout;        /* connection, greeting and EHLO, TLS: each; 30 s */
	int64_t command_timeout;        /* each reply; 300 s */
	int64_t data_timeout;           /* the content and the reply to its end; 600 s */
	unsigned max_connections;       /* of each worker to all hosts of this next hop; 50 */
	unsigned max_rcpts;             /* in one transaction; 100, which every server must take (RFC 5321 4.5.3.1.8) */
	int64_t idle_time;              /* how long an unused connection is kept; 30 s; negative: not at all */
};
/* -EINVAL with a sentence appended to ERR.  RET is freed with RET->ops->fini(). */
int smtp_hop_configure(const struct smtp_hop_params *params, struct next_hop *ret, struct buf *err) __attribute__((warn_unused_result));
/* Closes the kept connections of all next hops of this process. */
void smtp_hop_close_all(void);

#endif
