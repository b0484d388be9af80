/*
 * filter_hop.c: next hops that no section of gatepost.conf defines: a table or a policy server names them, as
 * FILTER transport:nexthop.  Made when they are first named, and kept: there are as many as somebody has written down, but
 * there is a limit, for a policy server may make them up.
 */
#include "mta/filter_hop.h"

#include "delivery/delivery.h"
#include "lib/base/mem.h"
#include "mta/kinds.h"

#include <errno.h>

enum { FILTERS_MAX = 256 };

static const struct next_hop *filter_hop_make(const struct config *c, struct bytes destination, bool lmtp, struct bytes host, struct buf *err)
{
	if (c->filters->n >= FILTERS_MAX) {
		buf_printf(err, "there are %d of them already: define a next_hop, and name that", FILTERS_MAX);
		return NULL;
	}
	struct next_hop *hop = NEW(struct next_hop);
	char *name = bytes_dup(destination), *where = bytes_dup(host);
	int r = kinds_server_hop(name, lmtp, where, hop, err);
	mem_free(where);
	if (r < 0) {
		mem_free(name);
		mem_free(hop);
		return NULL;
	}
	hop->name = name;
	strmap_set(c->filters, destination, hop);
	return hop;
}

/* "scan", "scan:", "scan:dummy": the last is how Postfix's examples name a transport that knows by itself where to go. */
static const struct next_hop *filter_hop_named(const struct config *c, struct bytes destination)
{
	struct bytes rest = destination, name = bytes_cut(&rest, ':');
	return rest.n == 0 || bytes_eq(rest, BYTES("dummy")) ? config_next_hop(c, name) : NULL;
}

const struct next_hop *filter_hop_find(const struct config *c, struct bytes destination, struct buf *err)
{
	const struct next_hop *hop = filter_hop_named(c, destination);
	struct bytes host = destination, transport = bytes_cut(&host, ':');
	bool lmtp = bytes_eq(transport, BYTES("lmtp"));
	if (!hop)
		hop = strmap_get(c->filters, destination);
	if (hop)
		return hop;
	if (host.n && (lmtp || bytes_eq(transport, BYTES("smtp")) || bytes_eq(transport, BYTES("relay"))))
		return filter_hop_make(c, destination, lmtp, host, err);
	buf_printf(err, "%s defines no next_hop \"%.*s\", and it is not smtp:[host]:port, smtp:host, lmtp:host:port or lmtp:unix:/path",
	    c->file, BYTES_ARG(bytes_first(transport, 60)));
	return NULL;
}

void filter_hop_free_all(const struct config *c)
{
	const struct strmap_entry *e;
	size_t at = 0;
	while ((e = strmap_next(c->filters, &at))) {
		struct next_hop *hop = e->value;
		char *name = (char *)hop->name;
		hop->ops->fini(hop);
		mem_free(name);
		mem_free(hop);
	}
	strmap_fini(c->filters);
}
