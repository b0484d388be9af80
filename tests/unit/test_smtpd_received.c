/* test_smtpd_received.c: the trace field in all its forms. */
#include "smtpd/smtpd_session.h"

#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

static const struct tls_info tls = { .protocol = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .cipher_bits = 256 };
static const struct tls_info tls_client = {
	.protocol = "TLSv1.2", .cipher = "C", .cipher_bits = 128, .peer_subject = "a(b)\"c\n", .peer_issuer = "ca", .peer_verified = true,
};

#define DATE "Sun, 22 Nov 2026 18:00:00 +0000 (UTC)\r\n"

static const struct {
	struct gate_session s;
	bool utf8;
	unsigned rcpts;
	const char *want;
} cases[] = {
	{ { .helo = "a.test", .protocol = GATE_SMTP }, false, 1,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\tby mx.test (gatepost) with SMTP id t1\r\n\tfor <r@example.org>; " DATE },
	{ { .helo = "a.test", .protocol = GATE_ESMTP }, false, 2,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\tby mx.test (gatepost) with ESMTP id t1;\r\n\t" DATE },
	{ { .helo = "a.test", .protocol = GATE_ESMTP, .tls = &tls }, false, 2,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n"
	  "\tby mx.test (gatepost) with ESMTPS id t1;\r\n\t" DATE },
	{ { .helo = "a.test", .protocol = GATE_ESMTP, .tls = &tls_client, .auth_user = "jo(e)" }, true, 2,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\t(using TLSv1.2 with cipher C (128/128 bits))\r\n"
	  "\t(Client CN \"a?b??c?\", Issuer \"ca\" (verified OK))\r\n\t(Authenticated sender: jo?e?)\r\n"
	  "\tby mx.test (gatepost) with UTF8SMTPSA id t1;\r\n\t" DATE },
	{ { .helo = "a.test", .protocol = GATE_SMTP, .tls = &tls, .auth_user = "joe" }, true, 2,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n"
	  "\t(Authenticated sender: joe)\r\n\tby mx.test (gatepost) with SMTP id t1;\r\n\t" DATE },
	{ { .helo = "a.test", .protocol = GATE_LMTP }, false, 2,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\tby mx.test (gatepost) with LMTP id t1;\r\n\t" DATE },
	{ { .helo = "a.test", .protocol = GATE_LMTP, .tls = &tls }, true, 2,
	  "Received: from a.test (client.test [192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n"
	  "\tby mx.test (gatepost) with UTF8LMTPS id t1;\r\n\t" DATE },
	{ { .helo = "a.test", .protocol = GATE_ESMTP, .client = { .sa = { .sa_family = AF_INET6 } }, .client_ip = "2001:db8::7" }, false, 2,
	  "Received: from a.test (client.test [IPv6:2001:db8::7])\r\n\tby mx.test (gatepost) with ESMTP id t1;\r\n\t" DATE },
};

static void test_received(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct gate_session s = cases[i].s;
		struct gate_txn t = { .id = "t1", .sender.smtputf8 = cases[i].utf8, .rcpt_count = cases[i].rcpts };
		struct gate_rcpt rcpts[2] = { { .path.address.address = BYTES("r@example.org") }, { .path.address.address = BYTES("q@example.org") } };
		struct buf out = { 0 };
		s.hostname = "mx.test";
		s.client_name = "client.test";
		if (!s.client_ip)
			s.client_ip = "192.0.2.7";
		list_init(&t.rcpts);
		for (unsigned k = 0; k < cases[i].rcpts; k++)
			list_append(&t.rcpts, &rcpts[k].link);
		smtpd_received(&s, &t, 1795370400, &out);
		assert_string_equal(buf_str(&out), cases[i].want);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_received) };
	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
