/* test_dns.c: the resolver against a name server of its own, which runs on the same loop and holds signed zones. */
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/dns/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/in_task.h"

/* ---- the name server ---- */

static const char *const zone[] = {
	"test. 60 SOA ns.test. hostmaster.test. 1 3600 600 86400 60",
	"test. 60 NS ns.test.",
	"ns.test. 60 A 127.0.0.1",
	"example.test. 60 MX 10 mx.example.test.",
	"example.test. 60 MX 20 mx2.example.test.",
	"example.test. 60 TXT \"v=spf1 -all\"",
	"mx.example.test. 60 A 192.0.2.1",
	"mx.example.test. 60 A 192.0.2.2",
	"mx.example.test. 60 AAAA 2001:db8::1",
	"mx2.example.test. 30 A 192.0.2.3",
	"_25._tcp.mx.example.test. 60 TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	"www.example.test. 60 CNAME web.example.test.",
	"web.example.test. 60 CNAME mx.example.test.",
	"client.example.test. 60 A 192.0.2.10",
	"client6.example.test. 60 AAAA 2001:db8::10",
	"spoiled.test. 60 A 192.0.2.66",
	/* Not signed, and nobody says that they should be. */
	"10.2.0.192.in-addr.arpa. 60 PTR client.example.test.",
	"99.2.0.192.in-addr.arpa. 60 PTR client.example.test.",
	"98.2.0.192.in-addr.arpa. 60 PTR nowhere.example.test.",
	"97.2.0.192.in-addr.arpa. 60 PTR dead.example.test.",
	"96.2.0.192.in-addr.arpa. 60 PTR 192.0.2.96.",
	"95.2.0.192.in-addr.arpa. 60 PTR bad\\032name.example.test.",
	"0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 PTR client6.example.test.",
	"odd.arpa. 60 PTR a\\.b\\\\c\\007.example.test.",
};

static struct {
	int fd;
	struct event *event;
	ldns_rr_list *rrs;
	unsigned asked, silent;         /* questions answered; questions about "slow" names, which are not */
	char address[64], trust_anchor[64], hosts[64];
} server;

static void sign_zone(ldns_key *key)
{
	ldns_key_list *keys = ldns_key_list_new();
	ldns_rr *dnskey, *ds;
	ldns_rr_list *signatures, *sorted = ldns_rr_list_new(), *set;
	FILE *f;
	int fd;

	ldns_key_set_pubkey_owner(key, ldns_dname_new_frm_str("test."));
	ldns_key_set_flags(key, LDNS_KEY_ZONE_KEY | LDNS_KEY_SEP_KEY);
	ldns_key_set_inception(key, (uint32_t)time(NULL) - 3600);
	ldns_key_set_expiration(key, (uint32_t)time(NULL) + 3600);
	dnskey = ldns_key2rr(key);
	ldns_rr_set_ttl(dnskey, 60);
	ldns_key_set_keytag(key, ldns_calc_keytag(dnskey));
	ldns_key_list_push_key(keys, key);
	ldns_rr_list_push_rr(server.rrs, dnskey);

	for (size_t i = 0; i < ldns_rr_list_rr_count(server.rrs); i++) {
		ldns_rr *rr = ldns_rr_list_rr(server.rrs, i);
		ldns_rdf *test = ldns_dname_new_frm_str("test.");

		if (ldns_dname_is_subdomain(ldns_rr_owner(rr), test) || !ldns_dname_compare(ldns_rr_owner(rr), test))
			ldns_rr_list_push_rr(sorted, rr);
		ldns_rdf_deep_free(test);
	}
	ldns_rr_list_sort(sorted);
	while ((set = ldns_rr_list_pop_rrset(sorted))) {
		signatures = ldns_sign_public(set, keys);
		assert_non_null(signatures);
		ldns_rr_list_push_rr_list(server.rrs, signatures);
		ldns_rr_list_free(signatures);
		ldns_rr_list_free(set);
	}
	ldns_rr_list_free(sorted);

	ds = ldns_key_rr2ds(dnskey, LDNS_SHA256);
	strcpy(server.trust_anchor, "/tmp/test_dns.XXXXXX");
	fd = mkstemp(server.trust_anchor);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	ldns_rr_print(f, ds);
	fclose(f);
	ldns_rr_free(ds);
	ldns_key_list_free(keys);
}

static void spoil(const char *owner, const char *address)
{
	ldns_rdf *name = ldns_dname_new_frm_str(owner);

	for (size_t i = 0; i < ldns_rr_list_rr_count(server.rrs); i++) {
		ldns_rr *rr = ldns_rr_list_rr(server.rrs, i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_A && !ldns_dname_compare(ldns_rr_owner(rr), name))
			ldns_rdf_deep_free(ldns_rr_set_rdf(rr, ldns_rdf_new_frm_str(LDNS_RDF_TYPE_A, address), 0));
	}
	ldns_rdf_deep_free(name);
}

static bool covers(const ldns_rr *sig, ldns_rr_type type)
{
	return ldns_rr_get_type(sig) == LDNS_RR_TYPE_RRSIG && ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(sig)) == type;
}

/* Adds what there is for NAME, and goes on behind a CNAME.  Whether the name exists at all. */
static bool add_answer(ldns_pkt *reply, const ldns_rdf *name, ldns_rr_type type)
{
	bool exists = false;
	const ldns_rdf *next = NULL;

	for (size_t i = 0; i < ldns_rr_list_rr_count(server.rrs); i++) {
		ldns_rr *rr = ldns_rr_list_rr(server.rrs, i);
		ldns_rr_type has = ldns_rr_get_type(rr);

		if (ldns_dname_compare(ldns_rr_owner(rr), name))
			continue;
		exists = true;
		if (has == LDNS_RR_TYPE_CNAME && type != LDNS_RR_TYPE_CNAME)
			next = ldns_rr_rdf(rr, 0);
		if (has == type || has == LDNS_RR_TYPE_CNAME || covers(rr, type) || covers(rr, LDNS_RR_TYPE_CNAME))
			ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, ldns_rr_clone(rr));
	}
	if (next)
		add_answer(reply, next, type);
	return exists;
}

static void answer(const ldns_pkt *query, const struct sockaddr_in *from)
{
	const ldns_rr *question = ldns_rr_list_rr(ldns_pkt_question(query), 0);
	ldns_pkt *reply = ldns_pkt_new();
	char *name = ldns_rdf2str(ldns_rr_owner(question));
	uint8_t *wire = NULL;
	size_t len = 0;

	ldns_pkt_set_id(reply, ldns_pkt_id(query));
	ldns_pkt_set_qr(reply, true);
	ldns_pkt_set_ra(reply, true);
	ldns_pkt_set_rd(reply, ldns_pkt_rd(query));
	ldns_pkt_set_edns_udp_size(reply, 4096);
	ldns_pkt_set_edns_do(reply, ldns_pkt_edns_do(query));
	ldns_pkt_push_rr(reply, LDNS_SECTION_QUESTION, ldns_rr_clone(question));
	if (!strncmp(name, "dead.", 5))
		ldns_pkt_set_rcode(reply, LDNS_RCODE_SERVFAIL);
	else if (!add_answer(reply, ldns_rr_owner(question), ldns_rr_get_type(question)))
		ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
	if (!strncmp(name, "slow.", 5)) {
		server.silent++;
	} else if (ldns_pkt2wire(&wire, reply, &len) == LDNS_STATUS_OK) {
		server.asked++;
		sendto(server.fd, wire, len, 0, (const struct sockaddr *)from, sizeof *from);
	}
	free(wire);
	free(name);
	ldns_pkt_free(reply);
}

static void on_query(evutil_socket_t fd, short what, void *arg)
{
	uint8_t packet[1500];
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	ssize_t n;

	(void)what, (void)arg;
	while ((n = recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) > 0) {
		ldns_pkt *query;

		if (ldns_wire2pkt(&query, packet, (size_t)n) != LDNS_STATUS_OK)
			continue;
		answer(query, &from);
		ldns_pkt_free(query);
	}
}

static void write_hosts(void)
{
	FILE *f;
	int fd;

	strcpy(server.hosts, "/tmp/test_dns.XXXXXX");
	fd = mkstemp(server.hosts);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	fputs("# comment\n"
	      "127.0.0.1\tlocalhost localhost.localdomain # trailing\n"
	      "::1 localhost ip6-localhost\n"
	      "not-an-address foo\n"
	      "192.0.2.200\n"
	      "192.0.2.201 Relay.Example.Test relay\n"
	      "192.0.2.202 relay.example.test",
	    f);
	fclose(f);
}

static int group_setup(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;

	(void)state;
	server.rrs = ldns_rr_list_new();
	for (size_t i = 0; i < COUNT_OF(zone); i++) {
		ldns_rr *rr = NULL;

		assert_int_equal(ldns_rr_new_frm_str(&rr, zone[i], 60, NULL, NULL), LDNS_STATUS_OK);
		ldns_rr_list_push_rr(server.rrs, rr);
	}
	sign_zone(ldns_key_new_frm_algorithm(LDNS_SIGN_ECDSAP256SHA256, 256));
	spoil("spoiled.test.", "192.0.2.67");
	write_hosts();
	server.fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&a, sizeof a), 0);
	getsockname(server.fd, (struct sockaddr *)&a, &len);
	snprintf(server.address, sizeof server.address, "127.0.0.1@%u", ntohs(a.sin_port));
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	ldns_rr_list_deep_free(server.rrs);
	close(server.fd);
	unlink(server.hosts);
	return unlink(server.trust_anchor);
}

/* ---- */

static int setup_with(bool enabled, bool validate)
{
	const char *servers[] = { server.address, NULL };
	struct dns_config config = { .servers = servers, .trust_anchor = validate ? server.trust_anchor : "",
		.hosts = server.hosts, .enabled = enabled };
	struct buf err = { 0 };

	if (run_init())
		return -1;
	server.event = event_new(run_base(), server.fd, EV_READ | EV_PERSIST, on_query, NULL);
	event_add(server.event, NULL);
	if (dns_init(&config, &err))
		fail_msg("%s", buf_str(&err));
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(true, true);
}

static int setup_insecure(void **state)
{
	(void)state;
	return setup_with(true, false);
}

static int setup_disabled(void **state)
{
	(void)state;
	return setup_with(false, true);
}

static int teardown(void **state)
{
	dns_fini();
	event_free(server.event);
	return loop_teardown(state);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *show_record(struct bytes rdata, int type, struct arena *arena)
{
	uint8_t wire[1024] = { 0, (uint8_t)(type >> 8), (uint8_t)type, 0, 1, 0, 0, 0, 0, (uint8_t)(rdata.n >> 8), (uint8_t)rdata.n };
	struct buf text = { 0 };
	const char *shown;
	size_t pos = 0;
	ldns_rr *rr;

	memcpy(wire + 11, rdata.p, rdata.n);
	assert_int_equal(ldns_wire2rr(&rr, wire, 11 + rdata.n, &pos, LDNS_SECTION_ANSWER), LDNS_STATUS_OK);
	for (size_t k = 0; k < ldns_rr_rd_count(rr); k++) {
		char *field = ldns_rdf2str(ldns_rr_rdf(rr, k));

		buf_printf(&text, "%s%s", k ? " " : "", field);
		free(field);
	}
	ldns_rr_free(rr);
	shown = arena_str(arena, buf_bytes(&text));
	buf_fini(&text);
	return shown;
}

/* Records as drill would show them, sorted: unbound takes turns with who comes first. */
static const char *show(const struct dns_answer *a, int type, struct arena *arena)
{
	const char *records[16], *shown;
	struct buf text = { 0 };

	assert_true(a->count <= COUNT_OF(records));
	for (unsigned i = 0; i < a->count; i++)
		records[i] = show_record(a->records[i], type, arena);
	qsort(records, a->count, sizeof *records, by_text);
	for (unsigned i = 0; i < a->count; i++)
		buf_printf(&text, "%s%s", i ? "; " : "", records[i]);
	shown = arena_str(arena, buf_bytes(&text));
	buf_fini(&text);
	return shown;
}

struct query_case {
	const char *name;
	int type;
	enum dns_status status;
	bool secure, nxdomain;
	const char *records, *canonical;
	unsigned ttl;
};

TASK_FN static void query_case_main(struct query_case *t)
{
	struct arena arena = { 0 };
	struct dns_answer a;
	const char *canonical = t->canonical ? t->canonical : t->name;

	for (int again = 0; again < 2; again++) {       /* the second time from unbound's cache */
		unsigned asked = server.asked;

		assert_int_equal(dns_query(t->name, t->type, &arena, &a), 0);
		assert_int_equal(a.status, t->status);
		assert_int_equal(a.secure, t->secure);
		assert_int_equal(a.nxdomain, t->nxdomain);
		assert_string_equal(show(&a, t->type, &arena), t->records);
		assert_string_equal(a.canonical, canonical);
		if (t->status == DNS_OK)
			assert_in_range(a.ttl, t->ttl > 2 ? t->ttl - 2 : 0, t->ttl);
		if (again && t->status == DNS_OK)
			assert_int_equal(server.asked, asked);
	}
	arena_fini(&arena);
}

static void run_cases(struct query_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		print_message("  %s %d\n", cases[i].name, cases[i].type);
		in_task((void (*)(void *))query_case_main, &cases[i]);
	}
}

static void test_query(void **state)
{
	struct query_case cases[] = {
		{ "mx2.example.test", 1, DNS_OK, true, false, "192.0.2.3", NULL, 30 },
		{ "example.test.", 15, DNS_OK, true, false, "10 mx.example.test.; 20 mx2.example.test.", NULL, 60 },
		{ "example.test", 16, DNS_OK, true, false, "\"v=spf1 -all\"", NULL, 60 },
		{ "mx.example.test", 28, DNS_OK, true, false, "2001:db8::1", NULL, 60 },
		{ "_25._tcp.mx.example.test", 52, DNS_OK, true, false,
		    "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL, 60 },
		{ "www.example.test", 28, DNS_OK, true, false, "2001:db8::1", "mx.example.test", 60 },
		{ "10.2.0.192.in-addr.arpa", 12, DNS_OK, false, false, "client.example.test.", NULL, 60 },
		/* A denial without proof is worth nothing in a signed zone. */
		{ "nowhere.test", 1, DNS_BOGUS, false, false, "", NULL, 0 },
		{ "spoiled.test", 1, DNS_BOGUS, false, false, "", NULL, 0 },
		{ "1.2.0.192.in-addr.arpa", 12, DNS_NONE, false, true, "", NULL, 0 },
		{ "10.2.0.192.in-addr.arpa", 16, DNS_NONE, false, false, "", NULL, 0 },
		{ "dead.arpa", 1, DNS_TEMP, false, false, "", NULL, 0 },
		{ "empty..label.test", 1, DNS_NONE, false, false, "", NULL, 0 },
		{ "relay.EXAMPLE.test.", 1, DNS_OK, false, false, "192.0.2.201; 192.0.2.202", "relay.EXAMPLE.test", 0 },
		{ "ip6-localhost", 28, DNS_OK, false, false, "::1", NULL, 0 },
	};

	(void)state;
	run_cases(cases, COUNT_OF(cases));
}

static void test_insecure(void **state)
{
	struct query_case cases[] = {
		{ "spoiled.test", 1, DNS_OK, false, false, "192.0.2.67", NULL, 60 },
		{ "nowhere.test", 1, DNS_NONE, false, true, "", NULL, 0 },
		{ "www.example.test", 15, DNS_NONE, false, false, "", "mx.example.test", 0 },
	};

	(void)state;
	run_cases(cases, COUNT_OF(cases));
}

static void test_disabled(void **state)
{
	struct query_case cases[] = {
		{ "mx.example.test", 1, DNS_NONE, false, false, "", NULL, 0 },
		{ "localhost", 1, DNS_NONE, false, false, "", NULL, 0 },
	};

	(void)state;
	run_cases(cases, COUNT_OF(cases));
}

/* ---- cut short ---- */

struct cut {
	int r;
	bool done;
};

TASK_FN static void cut_child(struct cut *c)
{
	struct arena arena = { 0 };
	struct dns_answer a = { .ttl = 77 };

	c->r = dns_query("slow.arpa", 1, &arena, &a);
	assert_int_equal(a.ttl, 77);
	c->done = true;
	arena_fini(&arena);
}

TASK_FN static void cut_main(void *arg)
{
	struct cut c[3] = { 0 };
	struct task_group g;
	struct deadline d;
	unsigned silent = server.silent;

	(void)arg;
	task_group_init(&g);
	for (int i = 0; i < 3; i++)
		task_spawn(&g, "cut", cut_child, &c[i]);
	while (server.silent == silent)
		task_yield();
	task_group_cancel(&g);
	task_group_wait(&g);
	for (int i = 0; i < 3; i++)
		assert_int_equal(c[i].r, -ECANCELED);

	deadline_begin(&d, MS(20));
	cut_child(&c[0]);
	deadline_end(&d);
	assert_int_equal(c[0].r, -ETIMEDOUT);
	/* What unbound does about it later meets nobody's stack. */
	assert_int_equal(task_sleep(MS(400)), 0);
}

static void test_cut(void **state)
{
	(void)state;
	in_task(cut_main, NULL);
}

/* ---- clients ---- */

struct client_case {
	const char *ip;
	enum dns_client_status status;
	const char *ptr, *name;
};

TASK_FN static void client_case_main(struct client_case *t)
{
	struct arena arena = { 0 };
	struct dns_client c;
	struct net_addr a = { .len = sizeof a.un, .un.sun_family = AF_UNIX };

	if (strcmp(t->ip, "local"))
		assert_int_equal(net_addr_parse(bytes_of(t->ip), 25, &a), 0);
	assert_int_equal(dns_client(&a, &arena, &c), 0);
	assert_int_equal(c.status, t->status);
	assert_string_equal(c.ptr, t->ptr);
	assert_string_equal(c.name, t->name);
	arena_fini(&arena);
}

static void run_clients(struct client_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		print_message("  %s\n", cases[i].ip);
		in_task((void (*)(void *))client_case_main, &cases[i]);
	}
}

static void test_client(void **state)
{
	struct client_case cases[] = {
		{ "192.0.2.10", DNS_CLIENT_OK, "client.example.test", "client.example.test" },
		{ "::ffff:192.0.2.10", DNS_CLIENT_OK, "client.example.test", "client.example.test" },
		{ "2001:db8::10", DNS_CLIENT_OK, "client6.example.test", "client6.example.test" },
		{ "192.0.2.99", DNS_CLIENT_FORGED, "client.example.test", "unknown" },
		{ "192.0.2.98", DNS_CLIENT_FORGED, "nowhere.example.test", "unknown" },
		{ "192.0.2.97", DNS_CLIENT_TEMP, "dead.example.test", "unknown" },
		{ "192.0.2.96", DNS_CLIENT_FAIL, "unknown", "unknown" },
		{ "192.0.2.95", DNS_CLIENT_FAIL, "unknown", "unknown" },
		{ "192.0.2.1", DNS_CLIENT_FAIL, "unknown", "unknown" },
		{ "127.0.0.1", DNS_CLIENT_OK, "localhost", "localhost" },
		{ "::1", DNS_CLIENT_OK, "localhost", "localhost" },
		{ "192.0.2.202", DNS_CLIENT_OK, "relay.example.test", "relay.example.test" },
		{ "local", DNS_CLIENT_FAIL, "unknown", "unknown" },
	};

	(void)state;
	run_clients(cases, COUNT_OF(cases));
}

static void test_client_disabled(void **state)
{
	struct client_case cases[] = {
		{ "192.0.2.10", DNS_CLIENT_FAIL, "unknown", "unknown" },
		{ "127.0.0.1", DNS_CLIENT_FAIL, "unknown", "unknown" },
	};

	(void)state;
	run_clients(cases, COUNT_OF(cases));
}

/* ---- names in record data ---- */

static void rdata_main(void *arg)
{
	static const struct {
		struct bytes rdata;
		size_t offset;
		int r;
		const char *name;
		size_t end;
	} cases[] = {
		{ { "\3foo\4test", 10 }, 0, 0, "foo.test", 10 },
		{ { "\0\12\3foo\0x", 8 }, 2, 0, "foo", 7 },
		{ { "", 1 }, 0, 0, "", 1 },
		{ { "\3a.b\2\\\7", 8 }, 0, 0, "a\\.b.\\\\\\007", 8 },
		{ { "", 0 }, 0, -EINVAL, NULL, 0 },
		{ { "\3fo", 3 }, 0, -EINVAL, NULL, 0 },
		{ { "\3foo", 4 }, 0, -EINVAL, NULL, 0 },
		{ { "\300\0", 2 }, 0, -EINVAL, NULL, 0 },
		{ { "\100aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 66 }, 0, -EINVAL, NULL, 0 },
	};
	struct arena arena = { 0 };
	char endless[400];

	(void)arg;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t offset = cases[i].offset;
		const char *name = NULL;

		assert_int_equal(dns_rdata_name(cases[i].rdata, &offset, &arena, &name), cases[i].r);
		if (cases[i].r) {
			assert_null(name);
			assert_int_equal(offset, cases[i].offset);
		} else {
			assert_string_equal(name, cases[i].name);
			assert_int_equal(offset, cases[i].end);
		}
	}
	for (size_t i = 0; i < sizeof endless; i++)
		endless[i] = i % 2 ? 'a' : 1;
	assert_int_equal(dns_rdata_name(bytes_make(endless, 400), &(size_t){ 0 }, &arena, &(const char *){ NULL }), -EINVAL);
	arena_fini(&arena);
}

static void test_rdata(void **state)
{
	(void)state;
	rdata_main(NULL);
}

/* ---- what cannot be set up ---- */

static void test_refused(void **state)
{
	static const struct {
		const char *server, *anchor, *hosts, *says;
	} cases[] = {
		{ "not an address", "", NULL, "cannot use the name server not an address" },
		{ "127.0.0.1", "/nonexistent/key", NULL, "cannot read the trust anchor /nonexistent/key: No such file" },
		{ "127.0.0.1", "", "/nonexistent/hosts", "cannot read /nonexistent/hosts: No such file" },
	};
	struct buf err = { 0 };

	(void)state;
	dns_fini();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *servers[] = { cases[i].server, NULL };
		struct dns_config config = { servers, cases[i].anchor, cases[i].hosts, true };

		buf_clear(&err);
		assert_true(dns_init(&config, &err) < 0);
		print_message("  %s\n", buf_str(&err));
		assert_non_null(strstr(buf_str(&err), cases[i].says));
	}
	buf_fini(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_query, setup, teardown),
		cmocka_unit_test_setup_teardown(test_insecure, setup_insecure, teardown),
		cmocka_unit_test_setup_teardown(test_disabled, setup_disabled, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client, setup_insecure, teardown),
		cmocka_unit_test_setup_teardown(test_client_disabled, setup_disabled, teardown),
		cmocka_unit_test(test_rdata),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
