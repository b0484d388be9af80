/*
 * net.c: addresses, listening sockets, names.
 */
#include "lib/run/net.h"

#include "lib/base/mem.h"
#include "lib/run/task.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <unistd.h>

/* ---- addresses ---- */

void net_addr_ip(const struct net_addr *a, char ret[static INET6_ADDRSTRLEN])
{
	strcpy(ret, "local");
	if (a->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in.sin_addr, ret, INET6_ADDRSTRLEN);
	else if (a->sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->in6.sin6_addr, ret, INET6_ADDRSTRLEN);
}

uint16_t net_addr_port(const struct net_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return ntohs(a->in.sin_port);
	if (a->sa.sa_family == AF_INET6)
		return ntohs(a->in6.sin6_port);
	return 0;
}

/* inet_pton() wants a C string. */
static int parse_ip(struct bytes ip, int *ret_family, unsigned char ret[static 16])
{
	char text[INET6_ADDRSTRLEN];

	if (!ip.n || ip.n >= sizeof text || bytes_find(ip, '\0') >= 0)
		return -EINVAL;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = '\0';
	*ret_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(*ret_family, text, ret) == 1 ? 0 : -EINVAL;
}

int net_addr_parse(struct bytes ip, uint16_t port, struct net_addr *ret)
{
	unsigned char raw[16];
	int family;

	if (parse_ip(ip, &family, raw))
		return -EINVAL;
	memset(ret, 0, sizeof *ret);
	if (family == AF_INET) {
		ret->len = sizeof ret->in;
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons(port);
		memcpy(&ret->in.sin_addr, raw, sizeof ret->in.sin_addr);
	} else {
		ret->len = sizeof ret->in6;
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(port);
		memcpy(&ret->in6.sin6_addr, raw, sizeof ret->in6.sin6_addr);
	}
	return 0;
}

void net_addr_unmap(struct net_addr *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return;
	in.sin_port = a->in6.sin6_port;
	memcpy(&in.sin_addr, a->in6.sin6_addr.s6_addr + 12, 4);
	a->in = in;
	a->len = sizeof in;
}

/* ---- CIDR patterns ---- */

static unsigned char prefix_mask(unsigned bits, unsigned byte)
{
	if (bits >= byte * 8 + 8)
		return 0xff;
	return bits <= byte * 8 ? 0 : (unsigned char)(0xff << (8 - (bits - byte * 8)));
}

int net_cidr_parse(struct bytes text, struct net_cidr *ret, struct buf *err)
{
	struct bytes rest = text, ip = bytes_cut(&rest, '/');
	struct net_cidr c = { 0 };
	uint64_t bits;

	/* As in Postfix, an IPv6 network may stand in brackets: [2001:db8::]/32. */
	if (ip.n > 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']')
		ip = bytes_make(ip.p + 1, ip.n - 2);
	if (parse_ip(ip, &c.family, c.net)) {
		buf_printf(err, "\"%.*s\" is not an IP address", BYTES_ARG(ip));
		return -EINVAL;
	}
	bits = c.family == AF_INET ? 32 : 128;
	if (rest.p && bytes_to_u64(rest, bits, &bits)) {
		buf_printf(err, "\"/%.*s\" is not a prefix length of %s", BYTES_ARG(rest), c.family == AF_INET ? "IPv4" : "IPv6");
		return -EINVAL;
	}
	c.bits = (unsigned)bits;
	for (unsigned i = 0; i < sizeof c.net; i++)
		if (c.net[i] & ~prefix_mask(c.bits, i)) {
			buf_printf(err, "\"%.*s\": bits behind the prefix are set", BYTES_ARG(text));
			return -EINVAL;
		}
	*ret = c;
	return 0;
}

bool net_cidr_match(const struct net_cidr *c, const struct net_addr *a)
{
	const unsigned char *ip = a->sa.sa_family == AF_INET ? (const unsigned char *)&a->in.sin_addr : a->in6.sin6_addr.s6_addr;

	if (a->sa.sa_family != c->family)
		return false;
	for (unsigned i = 0; i * 8 < c->bits; i++)
		if ((ip[i] ^ c->net[i]) & prefix_mask(c->bits, i))
			return false;
	return true;
}

/* ---- listening ---- */

/* Nobody accepts on it: a socket that a process that has died left behind. */
static bool unix_is_stale(const struct net_addr *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, &a->sa, a->len) && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int bind_and_listen(int fd, const struct net_addr *a, bool share)
{
	enum { BACKLOG = 4096 };
	int on = 1;

	if (a->sa.sa_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on))
			return -errno;
		/* [::] and 0.0.0.0 are two listeners. */
		if (a->sa.sa_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	}
	if (bind(fd, &a->sa, a->len)) {
		if (errno != EADDRINUSE || a->sa.sa_family != AF_UNIX || !unix_is_stale(a))
			return -errno;
		unlink(a->un.sun_path);
		if (bind(fd, &a->sa, a->len))
			return -errno;
	}
	return listen(fd, BACKLOG) ? -errno : 0;
}

int net_listen(const struct net_addr *a, bool share)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = bind_and_listen(fd, a, share);
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

/* ---- names ---- */

struct lookup {
	const char *host;
	struct addrinfo *found;
};

static int lookup_blocking(void *arg)
{
	struct lookup *l = arg;
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };

	switch (getaddrinfo(l->host, NULL, &hints, &l->found)) {
	case 0:
		return 0;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return -EHOSTUNREACH;
	default:
		return -EAGAIN;
	}
}

static unsigned copy_found(const struct addrinfo *found, uint16_t port, struct net_addr *ret, unsigned max)
{
	unsigned n = 0;

	for (; found && n < max; found = found->ai_next) {
		if (found->ai_family != AF_INET && found->ai_family != AF_INET6)
			continue;
		memset(&ret[n], 0, sizeof ret[n]);
		ret[n].len = found->ai_addrlen;
		memcpy(&ret[n].sa, found->ai_addr, found->ai_addrlen);
		/* At the same place in both families. */
		ret[n++].in.sin_port = htons(port);
	}
	return n;
}

TASK_FN int net_resolve(const char *host, uint16_t port, struct net_addr *ret, unsigned max)
{
	struct lookup l = { .host = host };
	int r;

	if (max && !net_addr_parse(bytes_of(host), port, ret))
		return 1;
	r = task_offload(lookup_blocking, &l);
	if (r)
		return r;
	r = (int)copy_found(l.found, port, ret, max);
	freeaddrinfo(l.found);
	return r ? r : -EHOSTUNREACH;
}
