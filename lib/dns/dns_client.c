/*
 * dns_client.c: who is this client?  As Postfix's smtpd_peer.c.
 *
 * The name that the address maps to is believed only when it maps back to the address.
 */
#include "lib/dns/dns.h"
#include "lib/dns/dns_impl.h"

#include <stdio.h>

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28 };

static const struct dns_client unknown = { DNS_CLIENT_FAIL, "unknown", "unknown" };

static void reverse_name(const struct net_addr *a, char ret[static 80])
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *ip = (const unsigned char *)&a->in.sin_addr;
	char *p = ret;

	if (a->sa.sa_family == AF_INET) {
		snprintf(ret, 80, "%u.%u.%u.%u.in-addr.arpa.", ip[3], ip[2], ip[1], ip[0]);
		return;
	}
	for (int i = 15; i >= 0; i--) {
		*p++ = digits[a->in6.sin6_addr.s6_addr[i] & 15];
		*p++ = '.';
		*p++ = digits[a->in6.sin6_addr.s6_addr[i] >> 4];
		*p++ = '.';
	}
	strcpy(p, "ip6.arpa.");
}

/* What may stand as a name in a log, a Received header, an access table: letters, digits, "-", "_", in labels of at most
 * 63; and not an address in disguise. */
static bool valid_hostname(const char *name)
{
	size_t label = 0;
	bool letter = false;

	if (strlen(name) > 255)
		return false;
	for (const char *p = name; *p; p++) {
		bool alpha = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';

		letter |= alpha || *p == '-';
		if (*p == '.' ? !label : !alpha && !(*p >= '0' && *p <= '9') && !(*p == '-' && label && p[1] && p[1] != '.'))
			return false;
		label = *p == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return letter && label;
}

/* 0 with *RET, or NULL there and in *RET_STATUS why. */
TASK_FN static int find_name(
    const struct net_addr *a, struct arena *arena, const char **ret, enum dns_client_status *ret_status)
{
	const char *name = hosts_name(dns_hosts(), a);
	struct dns_answer answer;
	char question[80];
	size_t offset = 0;
	int r;

	*ret_status = DNS_CLIENT_FAIL;
	*ret = name;
	if (name)
		return 0;
	reverse_name(a, question);
	r = dns_query(question, TYPE_PTR, arena, &answer);
	if (r)
		return r;
	if (answer.status == DNS_TEMP || answer.status == DNS_BOGUS)
		*ret_status = DNS_CLIENT_TEMP;
	if (answer.status == DNS_OK && !dns_rdata_name(answer.records[0], &offset, arena, &name) && valid_hostname(name))
		*ret = name;
	return 0;
}

static bool lists(const struct dns_answer *answer, const struct net_addr *a)
{
	struct bytes ip = a->sa.sa_family == AF_INET ? bytes_make(&a->in.sin_addr, 4) : bytes_make(&a->in6.sin6_addr, 16);

	for (unsigned i = 0; i < answer->count; i++)
		if (bytes_eq(answer->records[i], ip))
			return true;
	return false;
}

TASK_FN int dns_client(const struct net_addr *peer, struct arena *arena, struct dns_client *ret)
{
	struct net_addr a = *peer;
	struct dns_client c = unknown;
	struct dns_answer answer;
	const char *name;
	int r;

	net_addr_unmap(&a);
	if (!dns_enabled() || (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6)) {
		*ret = c;
		return 0;
	}
	r = find_name(&a, arena, &name, &c.status);
	if (r)
		return r;
	if (name) {
		r = dns_query(name, a.sa.sa_family == AF_INET ? TYPE_A : TYPE_AAAA, arena, &answer);
		if (r)
			return r;
		c.ptr = arena_str(arena, bytes_of(name));
		if (answer.status == DNS_OK && lists(&answer, &a))
			c = (struct dns_client){ DNS_CLIENT_OK, c.ptr, c.ptr };
		else
			c.status = answer.status == DNS_TEMP || answer.status == DNS_BOGUS ? DNS_CLIENT_TEMP : DNS_CLIENT_FORGED;
	}
	*ret = c;
	return 0;
}
