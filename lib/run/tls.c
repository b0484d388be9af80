/*
 * tls.c: TLS contexts.
 */
#include "lib/base/mem.h"
#include "lib/run/tls_impl.h"

#include <errno.h>
#include <openssl/err.h>

void tls_explain(struct buf *err)
{
	unsigned long e = ERR_peek_error();     /* the first one is the cause of the others */
	const char *reason = ERR_reason_error_string(e);

	buf_add_str(err, reason ? reason : ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : "no reason given");
	ERR_clear_error();
}

static int refuse(struct tls_context **t, struct buf *err, const char *what, const char *file)
{
	buf_printf(err, "%s%s%s: ", what, file ? " " : "", file ? file : "");
	tls_explain(err);
	tls_unref(t);
	return -EINVAL;
}

static struct tls_context *context_new(bool server, int min_version)
{
	struct tls_context *t = NEW(struct tls_context);

	ERR_clear_error();
	t->refs = 1;
	t->server = server;
	t->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!t->ssl)
		return t;
	/* Idle sessions hold no record buffers, and one read takes in whole records, several if they are there. */
	SSL_CTX_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(t->ssl, 1);
	/* SMTP says itself where a message ends, and many peers close without a close_notify. */
	SSL_CTX_set_options(t->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_min_proto_version(t->ssl, min_version ? min_version : TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
	return t;
}

static int use_certificate(struct tls_context **t, const char *certificate, const char *key, struct buf *err)
{
	SSL_CTX *ssl = (*t)->ssl;

	if (SSL_CTX_use_certificate_chain_file(ssl, certificate) != 1)
		return refuse(t, err, "cannot use the certificate in", certificate);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return refuse(t, err, "cannot use the key in", key);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return refuse(t, err, "the certificate does not belong to the key in", key);
	return 0;
}

/* The handshake takes every client certificate, or none; what it is worth is in struct tls_info. */
static int accept_any(int ok, X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	return 1;
}

static int ask_clients(struct tls_context **t, const char *ca, struct buf *err)
{
	SSL_CTX *ssl = (*t)->ssl;

	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, accept_any);
	if (!ca)
		return 0;
	if (SSL_CTX_load_verify_file(ssl, ca) != 1)
		return refuse(t, err, "cannot use the CA certificates in", ca);
	SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(ca));
	return 0;
}

int tls_server_new(const struct tls_server_config *config, struct tls_context **ret, struct buf *err)
{
	static const unsigned char session_id_context[] = "gatepost";
	struct tls_context *t = context_new(true, config->min_version);
	int r;

	if (!t->ssl)
		return refuse(&t, err, "cannot make a TLS context", NULL);
	/* Stateless tickets let clients that come back resume.  One is enough; it leaves in its own write as soon as the
	 * client's Finished has come, and with TCP_NODELAY the first reply does not wait behind it. */
	SSL_CTX_set_num_tickets(t->ssl, 1);
	SSL_CTX_set_session_id_context(t->ssl, session_id_context, sizeof session_id_context - 1);
	r = use_certificate(&t, config->certificate, config->key, err);
	if (!r && config->ciphers && SSL_CTX_set_cipher_list(t->ssl, config->ciphers) != 1)
		r = refuse(&t, err, "cannot use the ciphers", config->ciphers);
	if (!r && (config->ask_client_certificate || config->client_ca))
		r = ask_clients(&t, config->client_ca, err);
	if (r)
		return r;
	*ret = t;
	return 0;
}

int tls_client_new(const struct tls_client_config *config, struct tls_context **ret, struct buf *err)
{
	struct tls_context *t = context_new(false, config->min_version);
	int r = 0;

	if (!t->ssl)
		return refuse(&t, err, "cannot make a TLS context", NULL);
	if (config->ca_file && SSL_CTX_load_verify_file(t->ssl, config->ca_file) != 1)
		r = refuse(&t, err, "cannot use the CA certificates in", config->ca_file);
	else if (!config->ca_file && SSL_CTX_set_default_verify_paths(t->ssl) != 1)
		r = refuse(&t, err, "cannot use the system's CA certificates", NULL);
	if (!r && config->certificate)
		r = use_certificate(&t, config->certificate, config->key ? config->key : config->certificate, err);
	if (r)
		return r;
	*ret = t;
	return 0;
}

struct tls_context *tls_ref(struct tls_context *t)
{
	t->refs++;
	return t;
}

void tls_unref(struct tls_context **t)
{
	if (*t && !--(*t)->refs) {
		SSL_CTX_free((*t)->ssl);
		mem_free(*t);
	}
	*t = NULL;
}
