/*
 * tls.h: TLS contexts (OpenSSL).  What happens on the wire is in stream.h.
 */
#ifndef GATEPOST_RUN_TLS_H
#define GATEPOST_RUN_TLS_H

#include "lib/base/buf.h"

struct tls_context;             /* shared and constant once made; counted */

struct tls_server_config {
	const char *certificate;        /* PEM, leaf first */
	const char *key;                /* PEM */
	const char *client_ca;          /* PEM of CAs whose client certificates count as trusted; NULL */
	bool ask_client_certificate;    /* asked for, never required by the handshake */
	int min_version;                /* TLS1_2_VERSION by default (0) */
	const char *ciphers;            /* OpenSSL list for TLS <= 1.2; NULL: OpenSSL's default */
};
/* -EINVAL with a sentence appended to ERR: unreadable file, key and certificate that do not match... */
int tls_server_new(const struct tls_server_config *config, struct tls_context **ret, struct buf *err) __attribute__((warn_unused_result));

struct tls_client_config {
	const char *ca_file;            /* PEM; NULL: the system's */
	const char *certificate, *key;  /* to show when asked; NULL */
	int min_version;
};
int tls_client_new(const struct tls_client_config *config, struct tls_context **ret, struct buf *err) __attribute__((warn_unused_result));

struct tls_context *tls_ref(struct tls_context *t);
void tls_unref(struct tls_context **t);

/* What a finished handshake says of itself; strings belong to the stream. */
struct tls_info {
	const char *protocol;           /* "TLSv1.3" */
	const char *cipher;             /* "TLS_AES_256_GCM_SHA384" */
	int cipher_bits;
	const char *server_name;        /* SNI the client asked for; NULL */
	const char *peer_subject;       /* CN of the peer's certificate, of its issuer; NULL without one */
	const char *peer_issuer;
	const char *peer_fingerprint;   /* of the certificate, of its public key: "AA:BB:..." SHA-256; NULL without one */
	const char *peer_key_fingerprint;
	bool peer_verified;             /* chain leads to a trusted CA (and the name matched, for a client) */
};

#endif
