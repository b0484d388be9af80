/*
 * dns.h: the resolver, validating in process (libunbound on our own event loop).
 */
#ifndef GATEPOST_DNS_DNS_H
#define GATEPOST_DNS_DNS_H

#include "lib/base/arena.h"
#include "lib/run/net.h"
#include "lib/run/task.h"

struct dns_config {
	const char *const *servers;     /* "127.0.0.1@5353" (ub_ctx_set_fwd); NULL-terminated; NULL: those of resolv.conf */
	const char *trust_anchor;       /* file of DS/DNSKEY records; NULL: the system's root key if there is one; "": do not validate */
	const char *hosts;              /* a hosts file to read; NULL: none */
	bool enabled;                   /* false: every question is answered DNS_NONE at once */
};
/* After run_init().  -errno with a sentence in ERR. */
int dns_init(const struct dns_config *config, struct buf *err) __attribute__((warn_unused_result));
void dns_fini(void);

enum dns_status {
	DNS_OK,         /* records */
	DNS_NONE,       /* no such name, or no such records */
	DNS_TEMP,       /* cannot tell now: SERVFAIL, timeout */
	DNS_BOGUS,      /* validation failed */
};
struct dns_answer {
	enum dns_status status;
	bool secure;                    /* validated */
	bool nxdomain;
	struct bytes *records;          /* RDATA as on the wire, in the arena */
	unsigned count;
	unsigned ttl;
	const char *canonical;          /* the name at the end of the CNAMEs */
};
/* TYPE by number (1 A, 12 PTR, 15 MX, 16 TXT, 28 AAAA, 52 TLSA).  0, or -ECANCELED, -ETIMEDOUT: the answer is then untouched. */
TASK_FN int dns_query(const char *name, int type, struct arena *arena, struct dns_answer *ret) __attribute__((warn_unused_result));

/* A wire-format name of RDATA at *OFFSET as text without the final dot (the root is ""); moves *OFFSET behind it.  A dot or
 * backslash within a label is written "\." and "\\", what is not graphic ASCII "\DDD".  -EINVAL if it does not fit. */
int dns_rdata_name(struct bytes rdata, size_t *offset, struct arena *arena, const char **ret) __attribute__((warn_unused_result));

/* Who is this client?  Postfix's terms: PTR is the name its address maps to ("unknown" if none), NAME the same when that name maps back to
 * the address, else "unknown".  Status as the milter macro {client_resolve}. */
enum dns_client_status { DNS_CLIENT_OK, DNS_CLIENT_FAIL, DNS_CLIENT_TEMP, DNS_CLIENT_FORGED };
struct dns_client {
	enum dns_client_status status;
	const char *ptr, *name;         /* in the arena, or literals */
};
TASK_FN int dns_client(const struct net_addr *peer, struct arena *arena, struct dns_client *ret) __attribute__((warn_unused_result));

#endif
