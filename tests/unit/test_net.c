/* test_net.c: endpoints, addresses and networks as users write them. */
#include "lib/base/mem.h"
#include "lib/run/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/in_task.h"

static void test_endpoint(void **state)
{
	static const struct {
		const char *text;
		uint16_t default_port;
		enum endpoint_kind kind;
		const char *host_or_path;
		uint16_t port;
	} good[] = {
		{ "inet:127.0.0.1:10025", 0, ENDPOINT_INET, "127.0.0.1", 10025 },
		{ "127.0.0.1:24", 25, ENDPOINT_INET, "127.0.0.1", 24 },
		{ "mx.example.org", 25, ENDPOINT_INET, "mx.example.org", 25 },
		{ "[mx.example.org]", 25, ENDPOINT_INET, "mx.example.org", 25 },
		{ "inet:[2001:db8::1]:smtp", 0, ENDPOINT_INET, "2001:db8::1", 25 },
		{ "[2001:db8::1]", 24, ENDPOINT_INET, "2001:db8::1", 24 },
		{ "inet:8891@localhost", 0, ENDPOINT_INET, "localhost", 8891 },
		{ "inet6:8891@[::1]", 0, ENDPOINT_INET, "::1", 8891 },
		{ "inet6:8891@::1", 0, ENDPOINT_INET, "::1", 8891 },
		{ "unix:/run/rspamd.sock", 0, ENDPOINT_UNIX, "/run/rspamd.sock", 0 },
		{ "local:private/policy", 0, ENDPOINT_UNIX, "private/policy", 0 },
		{ "unix:/with:colon@and", 25, ENDPOINT_UNIX, "/with:colon@and", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct endpoint e = { 0 };
		struct buf err = { 0 };

		print_message("  %s\n", good[i].text);
		assert_int_equal(endpoint_parse(bytes_of(good[i].text), good[i].default_port, &e, &err), 0);
		assert_int_equal(err.n, 0);
		assert_int_equal(e.kind, good[i].kind);
		assert_string_equal(e.kind == ENDPOINT_UNIX ? e.path : e.host, good[i].host_or_path);
		assert_int_equal(e.port, good[i].port);
		assert_string_equal(e.text, good[i].text);
		endpoint_fini(&e);
		endpoint_fini(&e);
		buf_fini(&err);
	}
}

static void test_endpoint_refused(void **state)
{
	static const struct {
		struct bytes text;
		const char *says;
	} bad[] = {
		{ { "", 0 }, "\"\" is not a host name or address" },
		{ { "mx.example.org", 14 }, "the port is missing" },
		{ { "mx.example.org:", 15 }, "\"\" is not a port" },
		{ { "mx.example.org:0", 16 }, "\"0\" is not a port" },
		{ { "mx.example.org:65536", 20 }, "\"65536\" is not a port" },
		{ { "mx.example.org:nosuchservice", 28 }, "\"nosuchservice\" is not a port" },
		{ { ":25", 3 }, "\"\" is not a host name or address" },
		{ { "2001:db8::1:25", 14 }, "in brackets" },
		{ { "[::1", 4 }, "\"[\" without \"]\"" },
		{ { "[::1]x:25", 9 }, "where \":PORT\" is expected" },
		{ { "[]:25", 5 }, "is not a host name or address" },
		{ { "a b:25", 6 }, "is not a host name or address" },
		{ { "@host", 5 }, "\"\" is not a port" },
		{ { "25@", 3 }, "is not a host name or address" },
		{ { "unix:", 5 }, "the path of the unix socket is missing" },
		{ { "/run/x", 6 }, "is written unix:/run/x" },
		{ { "a\0b:25", 6 }, "no NUL" },
		{ { "unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		    "0123456789", 115 }, "longer than 107 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct endpoint e = { .text = NULL, .port = 7 };
		struct buf err = { 0 };

		assert_int_equal(endpoint_parse(bad[i].text, 0, &e, &err), -EINVAL);
		print_message("  %s\n", buf_str(&err));
		assert_non_null(strstr(buf_str(&err), bad[i].says));
		assert_int_equal(e.port, 7);
		buf_fini(&err);
	}
}

static void test_endpoint_exec(void **state)
{
	static const struct {
		const char *text, *argv[5];
	} good[] = {
		{ "exec:/bin/cat", { "/bin/cat" } },
		{ "exec: /bin/cat  -n\tx ", { "/bin/cat", "-n", "x" } },
		{ "exec:{/bin/cat -n}", { "/bin/cat", "-n" } },
		{ "exec:{/opt/my server}", { "/opt/my", "server" } },
		{ "exec:{{/opt/my server} -c}", { "/opt/my server", "-c" } },
		{ "exec:/bin/x { two words } {} {{b}} a{b", { "/bin/x", "two words", "", "{b}", "a{b" } },
	};
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "exec:", "the command is missing" },
		{ "exec:{ }", "the command is missing" },
		{ "exec:cat", "is not a path that begins with" },
		{ "exec:/bin/cat {a", "\"{\" without \"}\"" },
		{ "exec:/bin/cat {a}b", "\"b\" stands where a blank is expected" },
	};
	struct buf err = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct endpoint e = { 0 };
		size_t n = 0;
		assert_int_equal(endpoint_parse_any(bytes_of(good[i].text), 0, &e, &err), 0);
		assert_int_equal(e.kind, ENDPOINT_EXEC);
		for (; e.argv[n]; n++)
			assert_string_equal(e.argv[n], good[i].argv[n]);
		assert_true(n == COUNT_OF(good[i].argv) || !good[i].argv[n]);
		endpoint_fini(&e);
		assert_int_equal(endpoint_parse(bytes_of(good[i].text), 0, &e, &err), -EINVAL);
		assert_non_null(strstr(buf_str(&err), "for a policy server only"));
		buf_fini(&err);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct endpoint e = { 0 };
		assert_int_equal(endpoint_parse_any(bytes_of(bad[i].text), 0, &e, &err), -EINVAL);
		print_message("  %s\n", buf_str(&err));
		assert_non_null(strstr(buf_str(&err), bad[i].says));
		buf_fini(&err);
	}
}

static void test_addr(void **state)
{
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "::g", "localhost", "1.2.3.4 ", "[::1]" };
	struct net_addr a;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(net_addr_parse(BYTES("192.0.2.1"), 25, &a), 0);
	net_addr_ip(&a, text);
	assert_string_equal(text, "192.0.2.1");
	assert_int_equal(net_addr_port(&a), 25);
	assert_int_equal(net_addr_parse(BYTES("2001:DB8:0::1"), 587, &a), 0);
	net_addr_ip(&a, text);
	assert_string_equal(text, "2001:db8::1");
	assert_int_equal(net_addr_port(&a), 587);
	net_addr_unmap(&a);
	assert_int_equal(a.sa.sa_family, AF_INET6);
	assert_int_equal(net_addr_parse(BYTES("::ffff:192.0.2.7"), 465, &a), 0);
	net_addr_unmap(&a);
	assert_int_equal(a.sa.sa_family, AF_INET);
	assert_int_equal(a.len, sizeof a.in);
	net_addr_ip(&a, text);
	assert_string_equal(text, "192.0.2.7");
	assert_int_equal(net_addr_port(&a), 465);
	a.sa.sa_family = AF_UNIX;
	net_addr_ip(&a, text);
	assert_string_equal(text, "local");
	assert_int_equal(net_addr_port(&a), 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(net_addr_parse(bytes_of(bad[i]), 0, &a), -EINVAL);
	assert_int_equal(net_addr_parse(bytes_make("::1\0", 4), 0, &a), -EINVAL);
}

static void test_cidr(void **state)
{
	static const struct {
		const char *pattern, *ip;
		bool match;
	} cases[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.200", true },
		{ "192.0.2.4/31", "192.0.2.5", true },
		{ "192.0.2.4/31", "192.0.2.6", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "192.0.2.1", false },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "[2001:db8::]/32", "2001:db9::1", false },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "2001:db8::2/127", "2001:db8::3", true },
		{ "2001:db8::2/127", "2001:db8::4", false },
	};
	static const struct {
		const char *pattern, *says;
	} bad[] = {
		{ "192.0.2.1/24", "bits behind the prefix are set" },
		{ "2001:db8::1/64", "bits behind the prefix are set" },
		{ "192.0.2.0/33", "\"/33\" is not a prefix length of IPv4" },
		{ "::/129", "\"/129\" is not a prefix length of IPv6" },
		{ "192.0.2.0/", "is not a prefix length" },
		{ "192.0.2.0/-1", "is not a prefix length" },
		{ "192.0.2/24", "is not an IP address" },
		{ "/24", "is not an IP address" },
		{ "", "is not an IP address" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_cidr c;
		struct net_addr a;
		struct buf err = { 0 };

		assert_int_equal(net_cidr_parse(bytes_of(cases[i].pattern), &c, &err), 0);
		assert_int_equal(net_addr_parse(bytes_of(cases[i].ip), 0, &a), 0);
		if (net_cidr_match(&c, &a) != cases[i].match)
			fail_msg("%s %s", cases[i].pattern, cases[i].ip);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct net_cidr c = { .bits = 77 };
		struct buf err = { 0 };

		assert_int_equal(net_cidr_parse(bytes_of(bad[i].pattern), &c, &err), -EINVAL);
		assert_non_null(strstr(buf_str(&err), bad[i].says));
		assert_int_equal(c.bits, 77);
		buf_fini(&err);
	}
}

/* ---- names, by way of a thread ---- */

TASK_FN static void resolve_main(void *arg)
{
	struct net_addr a[4];
	char ip[INET6_ADDRSTRLEN];
	int n;

	(void)arg;
	assert_int_equal(net_resolve("192.0.2.1", 25, a, 4), 1);
	net_addr_ip(&a[0], ip);
	assert_string_equal(ip, "192.0.2.1");
	assert_int_equal(net_addr_port(&a[0]), 25);
	n = net_resolve("localhost", 24, a, 4);
	assert_in_range(n, 1, 4);
	for (int i = 0; i < n; i++) {
		net_addr_ip(&a[i], ip);
		assert_true(!strcmp(ip, "127.0.0.1") || !strcmp(ip, "::1"));
		assert_int_equal(net_addr_port(&a[i]), 24);
	}
	assert_int_equal(net_resolve("localhost", 24, a, 1), 1);
	/* Not a name at all, so nobody need be asked. */
	assert_int_equal(net_resolve("a..b", 24, a, 4), -EHOSTUNREACH);
}

static void test_resolve(void **state)
{
	(void)state;
	in_task(resolve_main, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_endpoint_refused),
		cmocka_unit_test(test_endpoint_exec),
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test_setup_teardown(test_resolve, loop_setup, loop_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
