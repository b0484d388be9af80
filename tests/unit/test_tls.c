/* test_tls.c: TLS over a socket pair: both sides, large data, certificates that hold and that do not, garbage. */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/run/stream_impl.h"
#include "lib/run/tls_impl.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a small PKI in a temporary folder ---- */

static char dir[] = "/tmp/test_tls.XXXXXX";

static const char *path(const char *name)
{
	static char text[4][200];
	static unsigned turn;

	turn = (turn + 1) % 4;
	snprintf(text[turn], sizeof text[turn], "%s/%s", dir, name);
	return text[turn];
}

struct cert {
	X509 *x509;
	EVP_PKEY *key;
};

static void add_extension(X509 *x509, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	X509_add_ext(x509, e, -1);
	X509_EXTENSION_free(e);
}

static struct cert cert_new(const char *cn, const char *san, const struct cert *issuer, long lives)
{
	static long serial = 1;
	struct cert c = { X509_new(), EVP_EC_gen("P-256") };
	X509_NAME *name = X509_get_subject_name(c.x509);

	assert_non_null(c.key);
	X509_set_version(c.x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(c.x509), lives < 0 ? 2 * lives : -3600);
	X509_gmtime_adj(X509_getm_notAfter(c.x509), lives);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(c.x509, issuer ? X509_get_subject_name(issuer->x509) : name);
	X509_set_pubkey(c.x509, c.key);
	if (!issuer)
		add_extension(c.x509, NID_basic_constraints, "critical,CA:TRUE");
	if (san)
		add_extension(c.x509, NID_subject_alt_name, san);
	assert_true(X509_sign(c.x509, issuer ? issuer->key : c.key, EVP_sha256()) > 0);
	return c;
}

static void cert_write(const char *name, const struct cert *c)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	PEM_write_X509(f, c->x509);
	PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static void cert_free(struct cert *c)
{
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
}

static const char *const files[] = { "ca.pem", "other-ca.pem", "mx.pem", "expired.pem", "client.pem", "garbage.pem" };

static int group_setup(void **state)
{
	struct cert ca = cert_new("Test CA", NULL, NULL, 3600), other = cert_new("Other CA", NULL, NULL, 3600);
	struct cert mx = cert_new("mx.example.test", "DNS:mx.example.test,IP:127.0.0.1", &ca, 3600);
	struct cert expired = cert_new("mx.example.test", "DNS:mx.example.test", &ca, -3600);
	struct cert client = cert_new("client.example.test", NULL, &ca, 3600);
	FILE *f;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	cert_write("ca.pem", &ca);
	cert_write("other-ca.pem", &other);
	cert_write("mx.pem", &mx);
	cert_write("expired.pem", &expired);
	cert_write("client.pem", &client);
	f = fopen(path("garbage.pem"), "w");
	fputs("not a certificate\n", f);
	fclose(f);
	cert_free(&ca);
	cert_free(&other);
	cert_free(&mx);
	cert_free(&expired);
	cert_free(&client);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(files); i++)
		unlink(path(files[i]));
	return rmdir(dir);
}

/* ---- */

static int setup(void **state)
{
	(void)state;
	if (run_init())
		return -1;
	run_clock_test(1000000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (loop.stats.tasks)
		return -1;
	run_fini();
	iobuf_trim_pool();
	return 0;
}

static void in_task(void (*fn)(void *), void *arg)
{
	struct task_group g;

	task_group_init(&g);
	task_spawn_fn(&g, "test", fn, arg);
	run_stop();
	run_loop();
}

static struct tls_context *server_context(const char *cert, const char *client_ca, int min_version)
{
	struct tls_server_config config = { .certificate = path(cert), .key = path(cert), .min_version = min_version };
	struct tls_context *t = NULL;
	struct buf err = { 0 };

	if (client_ca)
		config.client_ca = path(client_ca);
	config.ask_client_certificate = client_ca;
	if (tls_server_new(&config, &t, &err))
		fail_msg("%s", buf_str(&err));
	buf_fini(&err);
	return t;
}

static struct tls_context *client_context(const char *ca, const char *cert)
{
	struct tls_client_config config = { .ca_file = path(ca) };
	struct tls_context *t = NULL;
	struct buf err = { 0 };

	if (cert)
		config.certificate = path(cert);
	if (tls_client_new(&config, &t, &err))
		fail_msg("%s", buf_str(&err));
	buf_fini(&err);
	return t;
}

/* Two ends, each with a task of its own for the handshake. */
struct pair {
	struct stream *client, *server;
	struct tls_context *client_tls, *server_tls;
	struct tls_connect_params params;
	int client_r, server_r;
	struct buf client_err, server_err;
};

TASK_FN static void accept_main(struct pair *p)
{
	p->server_r = stream_tls_accept(p->server, p->server_tls, &p->server_err);
	if (p->server_r)
		stream_close(&p->server);
}

TASK_FN static void connect_main(struct pair *p)
{
	p->client_r = stream_tls_connect(p->client, p->client_tls, &p->params, &p->client_err);
}

TASK_FN static void shake(struct pair *p)
{
	struct task_group g;

	if (!p->client)
		assert_int_equal(stream_pair(&p->client, &p->server), 0);
	task_group_init(&g);
	task_spawn(&g, "accept", accept_main, p);
	task_spawn(&g, "connect", connect_main, p);
	task_group_wait(&g);
}

static void pair_fini(struct pair *p)
{
	stream_close(&p->client);
	stream_close(&p->server);
	tls_unref(&p->client_tls);
	tls_unref(&p->server_tls);
	buf_fini(&p->client_err);
	buf_fini(&p->server_err);
}

/* ---- certificates ---- */

struct cert_case {
	const char *name, *server_cert, *ca, *server_name;
	bool verify;
	int r;
	bool verified;
	const char *says;
};

TASK_FN static void cert_case_main(struct cert_case *t)
{
	struct pair p = {
		.server_tls = server_context(t->server_cert, NULL, 0),
		.client_tls = client_context(t->ca, NULL),
		.params = { t->server_name, t->verify },
	};
	const struct tls_info *info;

	shake(&p);
	assert_int_equal(p.client_r, t->r);
	if (t->says)
		assert_non_null(strstr(buf_str(&p.client_err), t->says));
	if (t->r) {
		assert_null(stream_tls(p.client));
		assert_int_equal(stream_fill(p.client, 100), -EPROTO);
	} else {
		info = stream_tls(p.client);
		assert_string_equal(info->protocol, "TLSv1.3");
		assert_string_equal(info->cipher, "TLS_AES_256_GCM_SHA384");
		assert_int_equal(info->cipher_bits, 256);
		assert_string_equal(info->peer_subject, "mx.example.test");
		assert_string_equal(info->peer_issuer, "Test CA");
		assert_int_equal(strlen(info->peer_fingerprint), 95);
		assert_int_equal(strlen(info->peer_key_fingerprint), 95);
		assert_int_equal(info->peer_verified, t->verified);
		info = stream_tls(p.server);
		assert_null(info->peer_subject);
		assert_false(info->peer_verified);
		if (strcmp(t->server_name, "127.0.0.1"))
			assert_string_equal(info->server_name, t->server_name);
		else
			assert_null(info->server_name);
	}
	pair_fini(&p);
}

static void test_certificates(void **state)
{
	struct cert_case cases[] = {
		{ "good", "mx.pem", "ca.pem", "mx.example.test", true, 0, true, NULL },
		{ "good, by address", "mx.pem", "ca.pem", "127.0.0.1", true, 0, true, NULL },
		{ "good, nobody asks", "mx.pem", "ca.pem", "mx.example.test", false, 0, true, NULL },
		{ "wrong name", "mx.pem", "ca.pem", "mx2.example.test", true, -EPROTO, false, "hostname mismatch" },
		{ "wrong name, nobody asks", "mx.pem", "ca.pem", "mx2.example.test", false, 0, false, NULL },
		{ "unknown CA", "mx.pem", "other-ca.pem", "mx.example.test", true, -EPROTO, false, "unable to get local issuer certificate" },
		{ "unknown CA, nobody asks", "mx.pem", "other-ca.pem", "mx.example.test", false, 0, false, NULL },
		{ "expired", "expired.pem", "ca.pem", "mx.example.test", true, -EPROTO, false, "certificate has expired" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		print_message("  %s\n", cases[i].name);
		in_task((void (*)(void *))cert_case_main, &cases[i]);
	}
}

TASK_FN static void client_cert_main(const char **ca)
{
	struct pair p = {
		.server_tls = server_context("mx.pem", *ca, 0),
		.client_tls = client_context("ca.pem", "client.pem"),
		.params = { "mx.example.test", true },
	};
	const struct tls_info *info;

	shake(&p);
	assert_int_equal(p.client_r, 0);
	assert_int_equal(p.server_r, 0);
	info = stream_tls(p.server);
	assert_string_equal(info->peer_subject, "client.example.test");
	assert_string_equal(info->peer_issuer, "Test CA");
	assert_int_equal(info->peer_verified, !strcmp(*ca, "ca.pem"));
	assert_string_not_equal(info->peer_fingerprint, info->peer_key_fingerprint);
	pair_fini(&p);
}

static void test_client_certificate(void **state)
{
	const char *good = "ca.pem", *other = "other-ca.pem";

	(void)state;
	in_task((void (*)(void *))client_cert_main, &good);
	in_task((void (*)(void *))client_cert_main, &other);
}

/* ---- contexts that cannot be made ---- */

static void test_contexts(void **state)
{
	static const struct {
		const char *certificate, *key, *ca, *ciphers, *says;
	} cases[] = {
		{ "none.pem", "mx.pem", NULL, NULL, "none.pem: No such file or directory" },
		{ "garbage.pem", "mx.pem", NULL, NULL, "cannot use the certificate in" },
		{ "mx.pem", "none.pem", NULL, NULL, "cannot use the key in" },
		{ "mx.pem", "client.pem", NULL, NULL, "client.pem: key values mismatch" },
		{ "mx.pem", "mx.pem", "garbage.pem", NULL, "cannot use the CA certificates in" },
		{ "mx.pem", "mx.pem", NULL, "NONSENSE", "cannot use the ciphers NONSENSE" },
	};
	struct tls_context *t = NULL;
	struct buf err = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_server_config config = { .certificate = path(cases[i].certificate), .key = path(cases[i].key),
			.client_ca = cases[i].ca ? path(cases[i].ca) : NULL, .ciphers = cases[i].ciphers };

		buf_clear(&err);
		assert_int_equal(tls_server_new(&config, &t, &err), -EINVAL);
		print_message("  %s\n", buf_str(&err));
		assert_non_null(strstr(buf_str(&err), cases[i].says));
		assert_null(t);
	}
	buf_clear(&err);
	assert_int_equal(tls_client_new(&(struct tls_client_config){ .ca_file = path("none.pem") }, &t, &err), -EINVAL);
	assert_non_null(strstr(buf_str(&err), "No such file"));
	assert_int_equal(tls_client_new(&(struct tls_client_config){ 0 }, &t, &err), 0);
	tls_unref(&t);
	tls_unref(&t);
	buf_fini(&err);
}

/* ---- data ---- */

enum { LARGE = 1000 * 1000 };

TASK_FN static void send_large(struct stream *s)
{
	char *data = mem_alloc(LARGE);
	struct iovec iov[3];

	for (size_t i = 0; i < LARGE; i++)
		data[i] = (char)(i % 251);
	stream_put(s, bytes_make(data, 100));
	iov[0] = (struct iovec){ data + 100, 1 };
	iov[1] = (struct iovec){ data + 101, 50000 };
	iov[2] = (struct iovec){ data + 50101, LARGE - 50101 };
	assert_int_equal(stream_writev(s, iov, 3), 0);
	mem_free(data);
}

TASK_FN static void receive_large(struct stream *s)
{
	for (size_t got = 0; got < LARGE;) {
		struct bytes in;

		assert_int_equal(stream_fill(s, 1 + got % 40000), 0);
		in = stream_input(s);
		for (size_t i = 0; i < in.n; i++)
			assert_true((unsigned char)in.p[i] == (got + i) % 251);
		got += in.n;
		stream_consume(s, in.n);
	}
}

/* Both directions at once, a reader and a writer on each stream. */
TASK_FN static void data_main(int *version)
{
	struct pair p = {
		.server_tls = server_context("mx.pem", NULL, 0),
		.client_tls = client_context("ca.pem", NULL),
		.params = { "mx.example.test", true },
	};
	struct task_group g;
	struct bytes line;

	SSL_CTX_set_max_proto_version(p.client_tls->ssl, *version);
	shake(&p);
	assert_string_equal(stream_tls(p.server)->protocol, *version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
	task_group_init(&g);
	task_spawn(&g, "receive", receive_large, p.server);
	task_spawn(&g, "receive", receive_large, p.client);
	task_spawn(&g, "send", send_large, p.client);
	task_spawn(&g, "send", send_large, p.server);
	task_group_wait(&g);

	/* Two lines in one record; then the end, said by close_notify. */
	stream_put(p.client, BYTES("MAIL FROM:<>\r\nQUIT\r\n"));
	assert_int_equal(stream_flush(p.client), 0);
	assert_int_equal(stream_line(p.server, 100, &line, NULL), 0);
	assert_true(bytes_eq(line, BYTES("MAIL FROM:<>")));
	assert_int_equal(stream_poll(p.server), 0);
	assert_int_equal(stream_line(p.server, 100, &line, NULL), 0);
	assert_true(bytes_eq(line, BYTES("QUIT")));
	assert_int_equal(stream_poll(p.server), -EAGAIN);
	stream_close(&p.client);
	assert_int_equal(stream_fill(p.server, 100), -ENODATA);
	pair_fini(&p);
}

static void test_data(void **state)
{
	int tls12 = TLS1_2_VERSION, tls13 = TLS1_3_VERSION;

	(void)state;
	in_task((void (*)(void *))data_main, &tls12);
	in_task((void (*)(void *))data_main, &tls13);
}

/* ---- versions, resumption ---- */

TASK_FN static void version_main(void *arg)
{
	struct pair p = {
		.server_tls = server_context("mx.pem", NULL, TLS1_3_VERSION),
		.client_tls = client_context("ca.pem", NULL),
		.params = { "mx.example.test", true },
	};

	(void)arg;
	SSL_CTX_set_max_proto_version(p.client_tls->ssl, TLS1_2_VERSION);
	shake(&p);
	assert_int_equal(p.client_r, -EPROTO);
	assert_int_equal(p.server_r, -EPROTO);
	assert_non_null(strstr(buf_str(&p.server_err), "unsupported protocol"));
	assert_non_null(strstr(buf_str(&p.client_err), "protocol version"));
	pair_fini(&p);
}

static void test_version(void **state)
{
	(void)state;
	in_task(version_main, NULL);
}

static SSL_SESSION *ticket;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

/* The server keeps nothing, and a client that comes back resumes by its ticket. */
TASK_FN static void resume_main(void *arg)
{
	struct pair p = {
		.server_tls = server_context("mx.pem", NULL, 0),
		.client_tls = client_context("ca.pem", NULL),
		.params = { "mx.example.test", true },
	};
	char byte;
	SSL *ssl;
	int fd[2];

	(void)arg;
	SSL_CTX_set_session_cache_mode(p.client_tls->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(p.client_tls->ssl, keep_ticket);
	shake(&p);
	stream_put(p.server, BYTES("2"));
	assert_int_equal(stream_flush(p.server), 0);
	assert_int_equal(stream_read(p.client, &byte, 1), 0);
	assert_non_null(ticket);
	stream_close(&p.client);
	stream_close(&p.server);

	assert_int_equal(SSL_CTX_sess_number(p.server_tls->ssl), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	p.server = stream_new(fd[0]);
	ssl = SSL_new(p.client_tls->ssl);
	SSL_set_fd(ssl, fd[1]);
	SSL_set_session(ssl, ticket);
	assert_int_equal(SSL_connect(ssl), -1);
	{
		struct task_group g;

		task_group_init(&g);
		task_spawn(&g, "accept", accept_main, &p);
		while (SSL_connect(ssl) != 1)
			task_yield();
		task_group_wait(&g);
	}
	assert_int_equal(p.server_r, 0);
	assert_true(SSL_session_reused(ssl));
	SSL_free(ssl);
	close(fd[1]);
	SSL_SESSION_free(ticket);
	ticket = NULL;
	pair_fini(&p);
}

static void test_resumption(void **state)
{
	(void)state;
	in_task(resume_main, NULL);
}

/* ---- peers that do not play along ---- */

struct rude_case {
	const char *name, *sent;
	bool close;
	int r;
	const char *says;
};

TASK_FN static void rude_main(struct rude_case *t)
{
	struct pair p = { .server_tls = server_context("mx.pem", NULL, 0) };
	struct deadline d;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	p.server = stream_new(fd[0]);
	assert_int_equal(write(fd[1], t->sent, strlen(t->sent)), strlen(t->sent));
	if (t->close)
		shutdown(fd[1], SHUT_WR);
	deadline_begin(&d, SECONDS(30));
	run_clock_advance(SECONDS(30));
	accept_main(&p);
	deadline_end(&d);
	assert_int_equal(p.server_r, t->r);
	print_message("    %s\n", buf_str(&p.server_err));
	if (t->says)
		assert_non_null(strstr(buf_str(&p.server_err), t->says));
	assert_int_equal(ERR_peek_error(), 0);
	close(fd[1]);
	pair_fini(&p);
}

static void test_rude(void **state)
{
	struct rude_case cases[] = {
		{ "speaks SMTP", "EHLO client.example.test\r\nMAIL FROM:<>\r\n", false, -EPROTO, "is not TLS" },
		{ "speaks HTTP", "GET / HTTP/1.0\r\n\r\n", false, -EPROTO, "is not TLS" },
		{ "leaves", "", true, -EPROTO, "closed the connection during the TLS handshake" },
		{ "leaves in mid-record", "\x16\x03\x01\x02", true, -EPROTO, "closed the connection during the TLS handshake" },
		{ "says nothing", "", false, -ETIMEDOUT, NULL },
		{ "half a hello", "\x16\x03\x01\x02\x01\x01\x02", false, -ETIMEDOUT, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		print_message("  %s\n", cases[i].name);
		in_task((void (*)(void *))rude_main, &cases[i]);
	}
}

/* Commands that came in clear behind STARTTLS never get into the TLS session. */
TASK_FN static void injection_main(void *arg)
{
	struct pair p = { .server_tls = server_context("mx.pem", NULL, 0) };

	(void)arg;
	assert_int_equal(stream_pair(&p.client, &p.server), 0);
	stream_put(p.client, BYTES("RSET\r\n"));
	assert_int_equal(stream_flush(p.client), 0);
	assert_int_equal(stream_fill(p.server, 100), 0);
	accept_main(&p);
	assert_int_equal(p.server_r, -EPROTO);
	assert_non_null(strstr(buf_str(&p.server_err), "in clear"));
	pair_fini(&p);
}

static void test_injection(void **state)
{
	(void)state;
	in_task(injection_main, NULL);
}

/* ---- parking ---- */

static unsigned calls;

static void on_unpark(void *arg, int why)
{
	(void)arg;
	assert_int_equal(why, 0);
	calls++;
}

TASK_FN static void park_main(void *arg)
{
	struct pair p = {
		.server_tls = server_context("mx.pem", NULL, 0),
		.client_tls = client_context("ca.pem", NULL),
		.params = { "mx.example.test", true },
	};
	struct bytes line;

	(void)arg;
	calls = 0;
	shake(&p);
	/* The ticket is no input. */
	stream_park(p.client, FOREVER, on_unpark, NULL);
	stream_park(p.server, FOREVER, on_unpark, NULL);
	for (int i = 0; i < 5; i++)
		task_yield();
	assert_int_equal(calls, 0);
	stream_put(p.client, BYTES("NOOP\r\nQUIT\r\n"));
	assert_int_equal(stream_flush(p.client), 0);
	for (int i = 0; i < 5; i++)
		task_yield();
	assert_int_equal(calls, 1);
	assert_int_equal(stream_line(p.server, 100, &line, NULL), 0);
	/* One line is still there. */
	stream_park(p.server, FOREVER, on_unpark, NULL);
	for (int i = 0; i < 5; i++)
		task_yield();
	assert_int_equal(calls, 2);
	stream_unpark(p.client);
	pair_fini(&p);
}

static void test_park(void **state)
{
	(void)state;
	in_task(park_main, NULL);
}

/* ---- what an idle session costs ---- */

enum { IDLE = 50 };

TASK_FN static void memory_main(void *arg)
{
	struct tls_context *server = server_context("mx.pem", NULL, 0), *client = client_context("ca.pem", NULL);
	static struct pair p[IDLE];
	static struct pair warm;
	struct mallinfo2 before, after;
	size_t each;
	char byte;

	(void)arg;
	warm = (struct pair){ .server_tls = tls_ref(server), .client_tls = tls_ref(client), .params = { "mx.example.test", true } };
	shake(&warm);
	before = mallinfo2();
	for (int i = 0; i < IDLE; i++) {
		p[i] = (struct pair){ .server_tls = tls_ref(server), .client_tls = tls_ref(client), .params = { "mx.example.test", true } };
		shake(&p[i]);
		stream_put(p[i].client, BYTES("x"));
		assert_int_equal(stream_flush(p[i].client), 0);
		assert_int_equal(stream_read(p[i].server, &byte, 1), 0);
		stream_put(p[i].server, BYTES("y"));
		assert_int_equal(stream_flush(p[i].server), 0);
		assert_int_equal(stream_read(p[i].client, &byte, 1), 0);
		stream_park(p[i].server, FOREVER, on_unpark, NULL);
	}
	/* Without a wait between here and the count: the servers do not hear of it. */
	for (int i = 0; i < IDLE; i++)
		stream_close(&p[i].client);
	after = mallinfo2();
	each = (after.uordblks - before.uordblks) / IDLE;
	print_message("  an idle TLS session holds %zu bytes\n", each);
	assert_in_range(each, 1000, 20 * 1024);
	for (int i = 0; i < IDLE; i++) {
		stream_unpark(p[i].server);
		pair_fini(&p[i]);
	}
	pair_fini(&warm);
	tls_unref(&server);
	tls_unref(&client);
}

static void test_memory(void **state)
{
	(void)state;
	if (RUN_ASAN || RUNNING_ON_VALGRIND)
		skip();         /* their allocators do not tell */
	in_task(memory_main, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contexts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rude, setup, teardown),
		cmocka_unit_test_setup_teardown(test_injection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_park, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
