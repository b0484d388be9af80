/* test_policyd_codec.c: the bytes of a policy request, and what is taken for an answer. */
#include "policyd/policyd_codec.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ADDRESS(l, d) ((struct smtp_address){ .local = BYTES(l), .domain = BYTES(d) })

/* Postfix 3.7.11 and 3.12 send exactly these names in this order; 3.7 has neither tls_sni nor the last two. */
/* shows: P1 */
static void test_request_order(void **state)
{
	(void)state;
	struct smtp_address sender = ADDRESS("a b\"c", "Example.Org"), rcpt = ADDRESS("user+x", "example.test");
	struct policyd_request r = {
		.protocol_state = "RCPT", .protocol_name = "ESMTP", .client_address = "2001:db8::1", .client_name = "mx.example.org",
		.client_port = 44588, .reverse_client_name = "mx.example.org", .server_address = "192.0.2.25", .server_port = 25,
		.helo_name = "mx.example.org", .sender = &sender, .recipient = &rcpt, .recipient_count = 0, .queue_id = "4f2a.3c.1",
		.instance = "3d9c.6b033280.dd963.0", .size = 5000000000, .sasl_method = "PLAIN", .sasl_username = "joe",
		.sasl_sender = BYTES("joe+2Bx@example.org"), .ccert_subject = "Jos\xc3\xa9 + Co = x", .ccert_issuer = "CA\n",
		.ccert_fingerprint = "AA:BB", .ccert_pubkey_fingerprint = "CC:DD", .encryption_protocol = "TLSv1.3",
		.encryption_cipher = "TLS_AES_256_GCM_SHA384", .encryption_keysize = 256, .tls_sni = "mx.example.test",
		.policy_context = "submission", .compatibility_level = "3.12", .mail_version = "3.12.0",
	};
	struct buf b = { 0 };
	policyd_codec_request(&r, &b);
	assert_string_equal(buf_str(&b), "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
					 "client_address=2001:db8::1\nclient_name=mx.example.org\nclient_port=44588\n"
					 "reverse_client_name=mx.example.org\nserver_address=192.0.2.25\nserver_port=25\n"
					 "helo_name=mx.example.org\nsender=a b\"c@Example.Org\nrecipient=user+x@example.test\n"
					 "recipient_count=0\nqueue_id=4f2a.3c.1\ninstance=3d9c.6b033280.dd963.0\nsize=5000000000\n"
					 "etrn_domain=\nstress=\nsasl_method=PLAIN\nsasl_username=joe\n"
					 "sasl_sender=joe+2Bx@example.org\nccert_subject=Jos+C3+A9+20+2B+20Co+20=+20x\n"
					 "ccert_issuer=CA+0A\nccert_fingerprint=AA:BB\nccert_pubkey_fingerprint=CC:DD\n"
					 "encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n"
					 "encryption_keysize=256\ntls_sni=mx.example.test\npolicy_context=submission\n"
					 "compatibility_level=3.12\nmail_version=3.12.0\n\n");
	buf_fini(&b);
}

static void test_request_empty(void **state)
{
	(void)state;
	struct policyd_request r = { .protocol_state = "CONNECT", .protocol_name = "SMTP" };
	struct buf b = { 0 };
	policyd_codec_request(&r, &b);
	assert_string_equal(buf_str(&b), "request=smtpd_access_policy\nprotocol_state=CONNECT\nprotocol_name=SMTP\n"
					 "client_address=\nclient_name=\nclient_port=unknown\nreverse_client_name=\nserver_address=\n"
					 "server_port=unknown\nhelo_name=\nsender=\nrecipient=\nrecipient_count=0\nqueue_id=\ninstance=\n"
					 "size=0\netrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\n"
					 "ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
					 "encryption_protocol=\nencryption_cipher=\nencryption_keysize=0\ntls_sni=\n"
					 "policy_context=\ncompatibility_level=\nmail_version=\n\n");
	buf_fini(&b);
}

/* A client that says EHLO "x\nrecipient=..." must not get to write attributes. */
static void test_request_injection(void **state)
{
	(void)state;
	struct smtp_address a = ADDRESS("x\nsasl_username=root", "d\n\naction=OK");
	struct policyd_request r = { .helo_name = "x\nclient_address=127.0.0.1\n\n", .sender = &a, .sasl_sender = BYTES("a\0b\x7f") };
	struct buf b = { 0 };
	policyd_codec_request(&r, &b);
	assert_non_null(strstr(buf_str(&b), "\nhelo_name=x?client_address=127.0.0.1??\n"));
	assert_non_null(strstr(buf_str(&b), "\nsender=x?sasl_username=root@d??action=OK\n"));
	assert_non_null(strstr(buf_str(&b), "\nsasl_sender=a?b?\n"));
	buf_fini(&b);
}

static void test_null_sender_and_bare_local(void **state)
{
	(void)state;
	struct smtp_address null = { 0 }, bare = { .local = BYTES("postmaster") };
	struct policyd_request r = { .sender = &null, .recipient = &bare };
	struct buf b = { 0 };
	policyd_codec_request(&r, &b);
	assert_non_null(strstr(buf_str(&b), "\nsender=\nrecipient=postmaster\nrecipient_count="));
	buf_fini(&b);
}

static const struct reply_case {
	const char *wire;
	int outcome;            /* 1: complete; 0: would read on; -errno */
	const char *action;
} reply_cases[] = {
	{ "action=DUNNO\n\n", 1, "DUNNO" },
	{ "action=\n\n", 1, "" },
	{ "action=REJECT a=b\n\n", 1, "REJECT a=b" },
	{ "action=OK\naction=REJECT no\n\n", 1, "OK" },
	{ "x=1\nrubbish\n=\naction=OK\nmore=2\n\n", 1, "OK" },
	{ "Action=OK\n\n", -EPROTO, NULL },
	{ " action=OK\n\n", -EPROTO, NULL },
	{ "action=PREPEND X: Jos\xc3\xa9\n\n", 1, "PREPEND X: Jos\xc3\xa9" },
	{ "action=OK\n", 0, "OK" },
	{ "\n", -EPROTO, NULL },
	{ "x=y\n\n", -EPROTO, NULL },
	{ "action\n\n", -EPROTO, NULL },
	{ "action=OK\r\n\r\n", -EPROTO, NULL },
	{ "HTTP/1.1 400 Bad Request\r\n", -EPROTO, NULL },
};

/* Feeds WIRE line by line, as the stream would. */
static int feed(struct policyd_reply *reply, struct bytes wire)
{
	const char *why = NULL;
	int r = 0;
	while (wire.n && r == 0) {
		struct bytes line = bytes_cut(&wire, '\n');
		bool crlf = bytes_ends(line, BYTES("\r"));
		r = policyd_codec_reply_line(reply, bytes_first(line, line.n - crlf), crlf, &why);
		assert_true(r >= 0 || why);
	}
	return r;
}

/* shows: P1 */
static void test_replies(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(reply_cases); i++) {
		const struct reply_case *c = &reply_cases[i];
		struct policyd_reply reply = { 0 };
		print_message("[ case     ] %s", c->wire);
		assert_int_equal(feed(&reply, bytes_of(c->wire)), c->outcome);
		if (c->action)
			assert_string_equal(buf_str(&reply.action), c->action);
		policyd_reply_fini(&reply);
	}
}

static void test_reply_nul(void **state)
{
	(void)state;
	struct policyd_reply reply = { 0 };
	assert_int_equal(feed(&reply, BYTES("action=OK\0REJECT\n\n")), -EPROTO);
	policyd_reply_fini(&reply);
}

/* An answer without an end is given up after 64 KiB, however short its lines. */
static void test_reply_endless(void **state)
{
	(void)state;
	struct policyd_reply reply = { 0 };
	const char *why = NULL;
	unsigned lines = 0;
	int r;
	while ((r = policyd_codec_reply_line(&reply, BYTES("a=b"), false, &why)) == 0)
		assert_true(++lines <= POLICYD_REPLY_MAX / 4);
	assert_int_equal(r, -EMSGSIZE);
	assert_int_equal(lines, POLICYD_REPLY_MAX / 4);
	policyd_reply_fini(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_order),
		cmocka_unit_test(test_request_empty),
		cmocka_unit_test(test_request_injection),
		cmocka_unit_test(test_null_sender_and_bare_local),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_reply_nul),
		cmocka_unit_test(test_reply_endless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
