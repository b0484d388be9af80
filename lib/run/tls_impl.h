/*
 * tls_impl.h: the inside of a TLS context, for stream_tls.c.
 */
#ifndef GATEPOST_RUN_TLS_IMPL_H
#define GATEPOST_RUN_TLS_IMPL_H

#include "lib/run/tls.h"

#include <openssl/ssl.h>

struct tls_context {
	SSL_CTX *ssl;
	unsigned refs;
	bool server;
};

/* Appends what OpenSSL's error queue says, and empties it. */
void tls_explain(struct buf *err);

#endif
