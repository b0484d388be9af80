/*
 * net.h: endpoints and addresses, written as in Postfix.
 *
 *	inet:HOST:PORT   inet:[2001:db8::1]:25   HOST:PORT   unix:/path   (and for milters local:/path, inet:PORT@HOST)
 *	exec:/path/to/command argument {an argument with blanks}
 */
#ifndef GATEPOST_RUN_NET_H
#define GATEPOST_RUN_NET_H

#include "lib/base/buf.h"
#include "lib/run/marks.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A socket address of any family we use. */
struct net_addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

enum endpoint_kind { ENDPOINT_INET, ENDPOINT_UNIX, ENDPOINT_EXEC };
struct endpoint {
	enum endpoint_kind kind;
	char *host;             /* inet: name or address, without brackets */
	char *path;             /* unix */
	uint16_t port;
	char **argv;            /* exec: NULL-terminated */
	unsigned command;       /* exec: its number for the spawner (process.h): the caller's to set */
	char *text;             /* as written, for logs */
};

/* DEFAULT_PORT 0: a port must be given.  Ports may be service names (smtp, lmtp).  On -EINVAL a sentence that says what
 * is wrong is appended to ERR. */
int endpoint_parse(struct bytes text, uint16_t default_port, struct endpoint *ret, struct buf *err) __attribute__((warn_unused_result));
/* The same, and "exec:" is taken as well: by those who can have commands run.  The command is as in master.cf: words between blanks, and one
 * argument that has blanks itself in braces.  Braces around all of it mean nothing. */
int endpoint_parse_any(struct bytes text, uint16_t default_port, struct endpoint *ret, struct buf *err) __attribute__((warn_unused_result));
void endpoint_fini(struct endpoint *e);

/* "192.0.2.1", "2001:db8::1"; a unix address gives "local". */
void net_addr_ip(const struct net_addr *a, char ret[static INET6_ADDRSTRLEN]);
uint16_t net_addr_port(const struct net_addr *a);               /* host order; 0 for unix */
int net_addr_parse(struct bytes ip, uint16_t port, struct net_addr *ret) __attribute__((warn_unused_result));
/* IPv4-mapped IPv6 becomes IPv4. */
void net_addr_unmap(struct net_addr *a);

/* CIDR patterns: "192.0.2.0/24", "2001:db8::/32", "192.0.2.1".  Host bits that are set are an error, as in Postfix. */
struct net_cidr {
	int family;             /* AF_INET, AF_INET6 */
	unsigned char net[16];
	unsigned bits;
};
int net_cidr_parse(struct bytes text, struct net_cidr *ret, struct buf *err) __attribute__((warn_unused_result));
bool net_cidr_match(const struct net_cidr *c, const struct net_addr *a);

/* A listening socket, non-blocking, close-on-exec, backlog 4096; SO_REUSEPORT when SHARE (one socket a worker).  A
 * stale unix socket (nobody accepts) is replaced.  Returns the fd or -errno.  Not in a task: called by the master. */
int net_listen(const struct net_addr *a, bool share);

/* A host name's addresses by getaddrinfo() in the thread pool (numeric addresses at once): how many were put into RET,
 * or -EHOSTUNREACH (no such name), -EAGAIN (name service failed for now). */
TASK_FN int net_resolve(const char *host, uint16_t port, struct net_addr *ret, unsigned max);

#endif
