/* test_smtp_tls.c: TLS to a next hop: when it is offered, when it is not, and whom the certificate names. */
#include "tests/unit/delivery_fixture.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define MAIL "C MAIL FROM:<a@example.net>\nS 250 ok\nC RCPT TO:<b@example.org>\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 taken\neof\n"
#define OFFERS FX_EHLO "S 250-hop\nS 250-PIPELINING\nS 250 STARTTLS\n"
#define ENCRYPTED OFFERS "C STARTTLS\nS 220 go\ntls\nC EHLO mx.example.org\nS 250 hop\n"

/* A certificate for hop.test that is its own authority, and its key, in one file. */
static void make_certificate(const char *path)
{
	X509 *x509 = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:hop.test");
	X509_NAME *name = X509_get_subject_name(x509);
	FILE *f = fopen(path, "w");

	X509_set_version(x509, 2);
	X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"hop.test", -1, -1, 0);
	X509_set_issuer_name(x509, name);
	X509_set_pubkey(x509, key);
	X509_add_ext(x509, san, -1);
	assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
	assert_non_null(f);
	PEM_write_X509(f, x509);
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_EXTENSION_free(san);
	X509_free(x509);
	EVP_PKEY_free(key);
}

struct tls_case {
	enum smtp_hop_tls mode;
	bool trusted;
	const char *name;
	const char *const *scripts;
	const char *want;
};

TASK_FN static void check(struct fx *fx, const struct tls_case *c)
{
	struct fx_server server;
	char pem[96];
	struct buf err = { 0 };
	struct next_hop hop;

	snprintf(pem, sizeof pem, "%s/hop.pem", fx->folder);
	make_certificate(pem);
	fx_server_start(fx, &server, c->scripts);
	assert_int_equal(tls_server_new(&(struct tls_server_config){ .certificate = pem, .key = pem }, &server.tls, &err), 0);
	const char *const hosts[] = { server.host, NULL };
	const struct smtp_hop_params params = {
		.name = "next", .hosts = hosts, .tls = c->mode, .tls_ca = c->trusted ? pem : NULL, .tls_name = c->name
	};
	assert_int_equal(smtp_hop_configure(&params, &hop, &err), 0);
	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	assert_int_equal(fx->result, 0);
	assert_string_equal(buf_str(&fx->trouble), "");
	struct buf got = { 0 };
	smtp_reply_line(&fx->outcome.reply, &got);
	assert_true(bytes_starts(buf_bytes(&got), bytes_of(c->want)));
	buf_fini(&got);
	fx_finish(fx);
	hop.ops->fini(&hop);
	buf_fini(&err);
}

#define SCRIPTS(...) (const char *const[]){ __VA_ARGS__, NULL }

FX_TEST(test_may)
{
	const struct tls_case cases[] = {
		{ SMTP_HOP_TLS_MAY, false, NULL, SCRIPTS(ENCRYPTED MAIL), "250 taken" },
		{ SMTP_HOP_TLS_MAY, false, NULL, SCRIPTS(FX_EHLO "S 250 hop\n" MAIL), "250 taken" },
		{ SMTP_HOP_TLS_MAY, false, NULL, SCRIPTS(FX_EHLO "S 250-hop\nS 250 STARTTLS\nC STARTTLS\nS 454 4.7.0 not now\n" MAIL), "250 taken" },
		/* A handshake that fails: another connection, in clear. */
		{ SMTP_HOP_TLS_MAY, false, NULL,
		    SCRIPTS(OFFERS "C STARTTLS\nS 220 go\nS this is no handshake\neof\n", FX_EHLO "S 250-hop\nS 250 STARTTLS\n" MAIL), "250 taken" },
		/* A reply that came in clear must not be taken for one that came under TLS. */
		{ SMTP_HOP_TLS_MAY, false, NULL,
		    SCRIPTS(OFFERS "C STARTTLS\nS 220 go\nS 250-hop\nS 250 CHUNKING\n" "close\n", FX_EHLO "S 250 hop\n" MAIL), "250 taken" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(fx, &cases[i]);
}

FX_TEST(test_encrypt)
{
	const struct tls_case cases[] = {
		{ SMTP_HOP_TLS_ENCRYPT, false, NULL, SCRIPTS(ENCRYPTED MAIL), "250 taken" },
		{ SMTP_HOP_TLS_ENCRYPT, false, NULL, SCRIPTS(FX_EHLO "S 250 hop\neof\n"), "451 4.7.4 next does not offer TLS" },
		{ SMTP_HOP_TLS_ENCRYPT, false, NULL, SCRIPTS(OFFERS "C STARTTLS\nS 454 4.7.0 not now\neof\n"), "451 4.4.1 next refused STARTTLS" },
		{ SMTP_HOP_TLS_ENCRYPT, false, NULL, SCRIPTS(OFFERS "C STARTTLS\nS 220 go\nS no\nclose\n"), "451 4.7.5 TLS with next failed" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(fx, &cases[i]);
}

FX_TEST(test_verify)
{
	const struct tls_case cases[] = {
		{ SMTP_HOP_TLS_VERIFY, true, "hop.test", SCRIPTS(ENCRYPTED MAIL), "250 taken" },
		{ SMTP_HOP_TLS_VERIFY, true, "other.test", SCRIPTS(OFFERS "C STARTTLS\nS 220 go\ntls\nclose\n"), "451 4.7.5 TLS with next failed" },
		{ SMTP_HOP_TLS_VERIFY, true, NULL, SCRIPTS(OFFERS "C STARTTLS\nS 220 go\ntls\nclose\n"), "451 4.7.5 TLS with next failed" },
		{ SMTP_HOP_TLS_VERIFY, false, "hop.test", SCRIPTS(OFFERS "C STARTTLS\nS 220 go\ntls\nclose\n"), "451 4.7.5 TLS with next failed" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(fx, &cases[i]);
}

static void test_settings(void **state)
{
	static const char *const unix_host[] = { "unix:/run/lmtp", NULL }, *const inet_host[] = { "host", NULL };
	static const struct {
		struct smtp_hop_params params;
		const char *want;
	} cases[] = {
		{ { .name = "next" }, "next hop next has no host" },
		{ { .name = "next", .hosts = unix_host, .tls = SMTP_HOP_TLS_VERIFY }, "without tls_name" },
		{ { .name = "next", .hosts = inet_host, .tls = SMTP_HOP_TLS_MAY, .tls_ca = "/nonexistent" }, "/nonexistent" },
	};
	enum smtp_hop_tls mode;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct next_hop hop;
		struct buf err = { 0 };
		assert_int_equal(smtp_hop_configure(&cases[i].params, &hop, &err), -EINVAL);
		assert_non_null(strstr(buf_str(&err), cases[i].want));
		buf_fini(&err);
	}
	assert_int_equal(smtp_hop_tls_parse(BYTES("verify"), &mode), 0);
	assert_int_equal(mode, SMTP_HOP_TLS_VERIFY);
	assert_int_equal(smtp_hop_tls_parse(BYTES("dane?"), &mode), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_may),
		cmocka_unit_test(test_encrypt),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_settings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
