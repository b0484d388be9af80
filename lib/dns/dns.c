/*
 * dns.c: questions to libunbound.
 *
 * Unbound's state machines run on our event loop.  An answer may come within ub_resolve_event() itself, from the cache; what
 * comes goes deep, so it runs on the loop's stack.
 */
#include "lib/dns/dns.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "lib/dns/dns_impl.h"
#include "lib/dns/hosts.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

#define SYSTEM_ROOT_KEY "/usr/share/dns/root.key"
enum { CLASS_IN = 1 };
enum { SEC_INSECURE, SEC_BOGUS, SEC_SECURE };           /* of ub_event_callback_type */

static struct {
	struct ub_ctx *ub;                              /* NULL: disabled */
	struct hosts hosts;
} dns;

/* ---- beginning and end ---- */

static int refuse(struct buf *err, const char *what, const char *detail, int ub_error)
{
	buf_printf(err, "%s%s%s: %s", what, detail ? " " : "", detail ? detail : "", ub_strerror(ub_error));
	return -EINVAL;
}

static int set_servers(const char *const *servers, struct buf *err)
{
	int r;

	if (!servers) {
		r = ub_ctx_resolvconf(dns.ub, NULL);
		return r ? refuse(err, "cannot use the name servers of", "/etc/resolv.conf", r) : 0;
	}
	for (; *servers; servers++)
		if ((r = ub_ctx_set_fwd(dns.ub, *servers)))
			return refuse(err, "cannot use the name server", *servers, r);
	return 0;
}

static int set_trust_anchor(const char *file, struct buf *err)
{
	int r;

	if (!file)
		file = access(SYSTEM_ROOT_KEY, R_OK) ? "" : SYSTEM_ROOT_KEY;
	if (!*file)
		return 0;
	if (access(file, R_OK)) {
		buf_printf(err, "cannot read the trust anchor %s: %s", file, strerror(errno));
		return -EINVAL;
	}
	r = ub_ctx_add_ta_file(dns.ub, file);
	return r ? refuse(err, "cannot use the trust anchor", file, r) : 0;
}

static int set_options(struct buf *err)
{
	static const char *const options[][2] = {
		/* A forwarder on this machine is the usual case. */
		{ "do-not-query-localhost:", "no" },
		/* What our servers know of private networks they shall say, and need not sign. */
		{ "unblock-lan-zones:", "yes" },
		{ "insecure-lan-zones:", "yes" },
	};

	/* What cannot be resolved is in the answer's status; unbound's own words would go to stderr. */
	ub_ctx_debugout(dns.ub, NULL);
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		int r = ub_ctx_set_option(dns.ub, options[i][0], options[i][1]);

		if (r)
			return refuse(err, "the resolver does not take", options[i][0], r);
	}
	return 0;
}

static int set_up(const struct dns_config *config, struct buf *err)
{
	int r;

	r = set_options(err);
	if (!r)
		r = set_servers(config->servers, err);
	if (!r)
		r = set_trust_anchor(config->trust_anchor, err);
	if (!r && config->hosts && (r = hosts_read(config->hosts, &dns.hosts)))
		buf_printf(err, "cannot read %s: %s", config->hosts, strerror(-r));
	/* RFC 6761: also a name that the servers may know; this call ends the configuration. */
	if (!r)
		(void)!ub_ctx_zone_remove(dns.ub, "test.");
	return r;
}

int dns_init(const struct dns_config *config, struct buf *err)
{
	int r;

	ASSERT(!dns.ub);
	if (!config->enabled)
		return 0;
	dns.ub = ub_ctx_create_event(run_base());
	if (!dns.ub) {
		buf_add_str(err, "cannot make a resolver");
		return -ENOMEM;
	}
	r = set_up(config, err);
	if (r)
		dns_fini();
	return r;
}

void dns_fini(void)
{
	if (dns.ub)
		ub_ctx_delete(dns.ub);
	dns.ub = NULL;
	hosts_fini(&dns.hosts);
}

const struct hosts *dns_hosts(void)
{
	return &dns.hosts;
}

bool dns_enabled(void)
{
	return dns.ub;
}

/* ---- one question ---- */

struct question {
	const char *name;
	int type;
	struct arena *arena;
	struct dns_answer answer;
	bool done;
	struct cond changed;
	int id, error;
};

static void answer_add(struct question *q, const ldns_rr *rr)
{
	struct dns_answer *a = &q->answer;
	struct buf rdata = { 0 };

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *f = ldns_rr_rdf(rr, i);

		buf_add(&rdata, bytes_make(ldns_rdf_data(f), ldns_rdf_size(f)));
	}
	if (!a->count || ldns_rr_ttl(rr) < a->ttl)
		a->ttl = ldns_rr_ttl(rr);
	a->records[a->count++] = arena_bytes(q->arena, buf_bytes(&rdata));
	buf_fini(&rdata);
}

/* Follows the CNAMEs, which unbound puts in order. */
static void answer_read(struct question *q, const ldns_pkt *pkt)
{
	const ldns_rr_list *rrs = ldns_pkt_answer(pkt);
	const ldns_rdf *owner = NULL;

	q->answer.records = ARENA_ARRAY(q->arena, struct bytes, ldns_rr_list_rr_count(rrs) + 1);
	for (size_t i = 0; i < ldns_rr_list_rr_count(rrs); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(rrs, i);

		if (ldns_rr_get_type(rr) == (ldns_rr_type)q->type)
			answer_add(q, rr);
		else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME)
			owner = ldns_rr_rdf(rr, 0);
	}
	if (owner) {
		size_t zero = 0;
		struct bytes wire = bytes_make(ldns_rdf_data(owner), ldns_rdf_size(owner));

		(void)!dns_rdata_name(wire, &zero, q->arena, &q->answer.canonical);
	}
}

static void answer_judge(struct question *q, int rcode)
{
	struct dns_answer *a = &q->answer;

	a->nxdomain = rcode == LDNS_RCODE_NXDOMAIN;
	if (rcode != LDNS_RCODE_NOERROR && rcode != LDNS_RCODE_NXDOMAIN)
		a->status = DNS_TEMP;
	else
		a->status = a->count ? DNS_OK : DNS_NONE;
}

/* RCODE is of unbound's own work; what the servers said is in the packet, and there is none when RCODE is not 0. */
static void on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus, int was_ratelimited)
{
	struct question *q = arg;
	ldns_pkt *pkt;

	(void)why_bogus, (void)was_ratelimited;
	q->done = true;
	cond_broadcast(&q->changed);
	if (sec == SEC_BOGUS) {
		q->answer.status = DNS_BOGUS;
		return;
	}
	if (rcode || len <= 0 || ldns_wire2pkt(&pkt, packet, (size_t)len) != LDNS_STATUS_OK) {
		answer_judge(q, rcode ? rcode : LDNS_RCODE_SERVFAIL);
		return;
	}
	q->answer.secure = sec == SEC_SECURE;
	answer_read(q, pkt);
	answer_judge(q, ldns_pkt_get_rcode(pkt));
	ldns_pkt_free(pkt);
}

static void ask_deep(void *arg)
{
	struct question *q = arg;

	q->error = ub_resolve_event(dns.ub, q->name, q->type, CLASS_IN, q, on_answer, &q->id);
}

static void cancel_deep(void *arg)
{
	ub_cancel(dns.ub, ((struct question *)arg)->id);
}

TASK_FN static int ask(struct question *q)
{
	int r = 0;

	cond_init(&q->changed);
	task_deep(ask_deep, q);
	/* A name that is none: too long, an empty label. */
	if (q->error)
		return 0;
	while (!q->done && !r)
		r = cond_wait(&q->changed);
	if (!q->done)
		task_deep(cancel_deep, q);
	return r;
}

/* As getaddrinfo() does: a name in the file is not looked for elsewhere. */
static bool ask_hosts(const char *name, int family, struct arena *arena, struct dns_answer *ret)
{
	struct bytes wanted = bytes_of(name);
	const struct hosts_entry *e = NULL;
	unsigned n = 0;

	if (wanted.n && wanted.p[wanted.n - 1] == '.')
		wanted.n--;
	while ((e = hosts_find(&dns.hosts, e, family, wanted)))
		n++;
	if (!n)
		return false;
	*ret = (struct dns_answer){ .status = DNS_OK, .canonical = arena_str(arena, wanted) };
	ret->records = ARENA_ARRAY(arena, struct bytes, n);
	while ((e = hosts_find(&dns.hosts, e, family, wanted)))
		ret->records[ret->count++] = arena_bytes(arena, bytes_make(e->ip, family == AF_INET ? 4 : 16));
	return true;
}

TASK_FN int dns_query(const char *name, int type, struct arena *arena, struct dns_answer *ret)
{
	struct question q = { .name = name, .type = type, .arena = arena, .answer = { .status = DNS_NONE, .canonical = name } };
	int family = type == LDNS_RR_TYPE_A ? AF_INET : type == LDNS_RR_TYPE_AAAA ? AF_INET6 : AF_UNSPEC, r = 0;

	if (family != AF_UNSPEC && ask_hosts(name, family, arena, ret))
		return 0;
	if (dns.ub)
		r = ask(&q);
	if (!r)
		*ret = q.answer;
	return r;
}
