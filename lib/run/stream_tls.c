/*
 * stream_tls.c: TLS on a stream.
 *
 * OpenSSL reads and writes through a BIO of ours, so that the stream's readiness flags stay true.  Its functions go deep:
 * they run on the loop's stack.  Its error queue belongs to the thread: it is emptied before each call and read
 * before anybody else may run.
 */
#include "lib/base/assert.h"
#include "lib/run/stream_impl.h"
#include "lib/run/tls_impl.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

struct stream_tls {
	SSL *ssl;
	struct tls_context *context;
	int io_error;                   /* of the socket, as met under OpenSSL */
	bool established, broken;
	bool read_wants_write;
	struct tls_info info;           /* strings that vary are owned */
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *to, size_t n, size_t *ret)
{
	struct stream *s = BIO_get_data(bio);
	struct iovec iov = { to, n };
	ssize_t got = stream_recv(s, &iov, 1);

	BIO_clear_retry_flags(bio);
	*ret = 0;
	if (got == -EAGAIN)
		BIO_set_retry_read(bio);
	else if (got == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	else if (got < 0)
		s->tls->io_error = (int)got;
	if (got <= 0)
		return 0;
	*ret = (size_t)got;
	return 1;
}

static int bio_write(BIO *bio, const char *p, size_t n, size_t *ret)
{
	struct stream *s = BIO_get_data(bio);
	struct iovec iov = { (char *)p, n };
	ssize_t sent = stream_send(s, &iov, 1);

	BIO_clear_retry_flags(bio);
	*ret = 0;
	if (sent == -EAGAIN)
		BIO_set_retry_write(bio);
	else if (sent < 0)
		s->tls->io_error = (int)sent;
	if (sent <= 0)
		return 0;
	*ret = (size_t)sent;
	return 1;
}

static long bio_ctrl(BIO *bio, int command, long n, void *p)
{
	(void)n, (void)p;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (method)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	ASSERT(method);
	BIO_meth_set_read_ex(method, bio_read);
	BIO_meth_set_write_ex(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	return method;
}

/* ---- calls into OpenSSL, on the loop's stack ---- */

struct ssl_call {
	struct stream_tls *tls;
	enum { DO_HANDSHAKE, DO_READ, DO_WRITE, DO_SHUTDOWN } what;
	void *p;
	size_t n;
	size_t done;
	int error;              /* SSL_ERROR_... */
};

static void ssl_call_deep(void *arg)
{
	struct ssl_call *c = arg;
	SSL *ssl = c->tls->ssl;
	int r = -1;

	ERR_clear_error();
	switch (c->what) {
	case DO_HANDSHAKE:
		r = SSL_do_handshake(ssl);
		break;
	case DO_READ:
		r = SSL_read_ex(ssl, c->p, c->n, &c->done);
		break;
	case DO_WRITE:
		r = SSL_write_ex(ssl, c->p, c->n, &c->done);
		break;
	case DO_SHUTDOWN:
		r = SSL_shutdown(ssl);
		break;
	}
	c->error = r > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl, r);
}

/* 0, -EAGAIN, -ENODATA at the end, -errno of the socket, -EPROTO. */
static int ssl_call(struct ssl_call *c)
{
	task_deep(ssl_call_deep, c);
	switch (c->error) {
	case SSL_ERROR_NONE:
		return 0;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return -ENODATA;
	case SSL_ERROR_SYSCALL:
		c->tls->broken = true;
		return c->tls->io_error ? c->tls->io_error : -ENODATA;
	default:
		c->tls->broken = true;
		return c->tls->io_error ? c->tls->io_error : -EPROTO;
	}
}

static int tls_read_some(struct stream *s, size_t n)
{
	struct ssl_call c = { .tls = s->tls, .what = DO_READ };
	int r;

	iobuf_reserve(&s->in, 1);
	c.p = s->in.p + s->in.to;
	c.n = iobuf_space(&s->in) < n ? iobuf_space(&s->in) : n;
	r = ssl_call(&c);
	s->tls->read_wants_write = c.error == SSL_ERROR_WANT_WRITE;
	s->in.to += (uint32_t)c.done;
	return r;
}

int stream_tls_receive(struct stream *s, size_t most)
{
	struct stream_tls *tls = s->tls;
	size_t want = most - iobuf_used(&s->in), pending;
	int r;

	if (!s->readable && !s->in_doubt && !tls->read_wants_write && !SSL_has_pending(tls->ssl))
		return -EAGAIN;
	r = tls_read_some(s, want);
	if (r)
		return r;
	/* The rest of the record is decrypted already; should it fail, the next call will say so. */
	want = most - iobuf_used(&s->in);
	pending = (size_t)SSL_pending(tls->ssl);
	if (pending > want)
		pending = want;
	if (!pending)
		return 0;
	iobuf_reserve(&s->in, pending);
	(void)!tls_read_some(s, pending);
	return 0;
}

int stream_tls_send(struct stream *s)
{
	struct ssl_call c = { .tls = s->tls, .what = DO_WRITE, .p = s->out.p + s->out.from, .n = iobuf_used(&s->out) };
	int r = ssl_call(&c);

	iobuf_consume(&s->out, c.done);
	return r == -ENODATA ? -EPIPE : r;
}

/* ---- what the handshake has found ---- */

static char *common_name(const X509_NAME *name)
{
	int i = X509_NAME_get_index_by_NID(name, NID_commonName, -1), n;
	unsigned char *utf8 = NULL;
	char *copy;

	if (i < 0)
		return NULL;
	n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
	if (n < 0)
		return NULL;
	/* "good.example\0.evil.example" is not good.example. */
	for (int k = 0; k < n; k++)
		if (!utf8[k])
			utf8[k] = '?';
	copy = bytes_dup(bytes_make(utf8, (size_t)n));
	OPENSSL_free(utf8);
	return copy;
}

static char *colon_hex(const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";
	char *text = mem_alloc(n * 3), *q = text;

	for (size_t i = 0; i < n; i++) {
		*q++ = digits[p[i] >> 4];
		*q++ = digits[p[i] & 15];
		*q++ = ':';
	}
	q[-1] = '\0';
	return text;
}

static char *key_fingerprint(X509 *cert)
{
	unsigned char *der = NULL, md[EVP_MAX_MD_SIZE];
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	unsigned n = 0;
	char *text = NULL;

	if (len > 0 && EVP_Digest(der, (size_t)len, md, &n, EVP_sha256(), NULL) == 1)
		text = colon_hex(md, n);
	OPENSSL_free(der);
	return text;
}

static void describe_peer(struct tls_info *info, SSL *ssl)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!cert)
		return;
	info->peer_subject = common_name(X509_get_subject_name(cert));
	info->peer_issuer = common_name(X509_get_issuer_name(cert));
	if (X509_digest(cert, EVP_sha256(), md, &n) == 1)
		info->peer_fingerprint = colon_hex(md, n);
	info->peer_key_fingerprint = key_fingerprint(cert);
	info->peer_verified = SSL_get_verify_result(ssl) == X509_V_OK;
}

static void describe_deep(void *arg)
{
	struct stream_tls *tls = arg;
	struct tls_info *info = &tls->info;
	const char *sni = tls->context->server ? SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name) : NULL;

	info->protocol = SSL_get_version(tls->ssl);
	info->cipher = SSL_get_cipher_name(tls->ssl);
	info->cipher_bits = SSL_get_cipher_bits(tls->ssl, NULL);
	info->server_name = sni ? mem_strdup(sni) : NULL;
	describe_peer(info, tls->ssl);
}

const struct tls_info *stream_tls(struct stream *s)
{
	return s->tls && s->tls->established ? &s->tls->info : NULL;
}

/* ---- the handshake ---- */

static void explain_failure(const struct stream_tls *tls, int r, struct buf *err)
{
	long verdict = SSL_get_verify_result(tls->ssl);
	int reason = ERR_GET_REASON(ERR_peek_last_error());

	if (r == -ENODATA || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		buf_add_str(err, "the peer closed the connection during the TLS handshake");
	} else if (r != -EPROTO) {
		buf_printf(err, "the connection broke during the TLS handshake: %s", strerror(-r));
	} else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		buf_printf(err, "the peer's certificate does not hold: %s", X509_verify_cert_error_string(verdict));
	} else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_PACKET_LENGTH_TOO_LONG) {
		buf_add_str(err, "what the peer sent is not TLS: ");
		tls_explain(err);
	} else {
		buf_add_str(err, "the TLS handshake failed: ");
		tls_explain(err);
	}
	ERR_clear_error();
}

static void begin_deep(void *arg)
{
	struct stream *s = arg;
	struct stream_tls *tls = s->tls;
	BIO *bio = BIO_new(bio_method());

	tls->ssl = SSL_new(tls->context->ssl);
	ASSERT(bio && tls->ssl);
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	if (tls->context->server)
		SSL_set_accept_state(tls->ssl);
	else
		SSL_set_connect_state(tls->ssl);
}

TASK_FN static int handshake(struct stream *s, struct buf *err)
{
	struct stream_tls *tls = s->tls;
	int r = task_check();

	while (!r) {
		struct ssl_call c = { .tls = tls, .what = DO_HANDSHAKE };

		r = ssl_call(&c);
		if (!r) {
			task_deep(describe_deep, tls);
			tls->established = true;
			return 0;
		}
		if (r != -EAGAIN) {
			explain_failure(tls, r, err);
			s->in_error = s->out_error = r = -EPROTO;
			return r;
		}
		r = stream_wait(s, &s->reader);
	}
	return r;
}

/* In the clear so far; SSL is made. */
TASK_FN static int begin(struct stream *s, struct tls_context *t, struct buf *err)
{
	int r = stream_flush(s);

	ASSERT(!s->tls);
	if (r)
		return r;
	if (iobuf_used(&s->in)) {
		buf_add_str(err, "the peer sent something in clear behind its request for TLS");
		return -EPROTO;
	}
	iobuf_release(&s->in);
	s->scanned = 0;
	s->tls = NEW(struct stream_tls);
	s->tls->context = tls_ref(t);
	task_deep(begin_deep, s);
	return 0;
}

TASK_FN int stream_tls_accept(struct stream *s, struct tls_context *t, struct buf *err)
{
	int r;

	ASSERT(t->server);
	r = begin(s, t, err);
	return r ? r : handshake(s, err);
}

/* The name is looked for in the certificate even when nobody insists: then it only shows in peer_verified. */
static bool set_server_name(SSL *ssl, const char *name)
{
	unsigned char ip[16];

	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

TASK_FN int stream_tls_connect(
    struct stream *s, struct tls_context *t, const struct tls_connect_params *p, struct buf *err)
{
	int r;

	ASSERT(!t->server);
	r = begin(s, t, err);
	if (r)
		return r;
	SSL_set_verify(s->tls->ssl, p->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (p->server_name && !set_server_name(s->tls->ssl, p->server_name)) {
		buf_printf(err, "\"%s\" cannot be asked for in TLS: ", p->server_name);
		tls_explain(err);
		return -EPROTO;
	}
	return handshake(s, err);
}

static void free_deep(void *arg)
{
	SSL_free(arg);
	ERR_clear_error();
}

void stream_tls_close(struct stream *s)
{
	struct stream_tls *tls = s->tls;
	struct ssl_call c = { .tls = tls, .what = DO_SHUTDOWN };

	/* Whatever comes of it: we do not wait for the answer. */
	if (tls->established && !tls->broken)
		task_deep(ssl_call_deep, &c);
	task_deep(free_deep, tls->ssl);
	mem_free((char *)tls->info.server_name);
	mem_free((char *)tls->info.peer_subject);
	mem_free((char *)tls->info.peer_issuer);
	mem_free((char *)tls->info.peer_fingerprint);
	mem_free((char *)tls->info.peer_key_fingerprint);
	tls_unref(&tls->context);
	mem_free(tls);
	s->tls = NULL;
}
