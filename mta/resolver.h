/*
 * resolver.h: the start-up checks of the resolver.  Not in a task, and with no loop: each makes one, gone before anything forks.
 */
#ifndef GATEPOST_MTA_RESOLVER_H
#define GATEPOST_MTA_RESOLVER_H

#include "lib/dns/dns.h"

/* Can it be set up: servers, trust anchor, hosts file?  -errno with a sentence in ERR. */
int resolver_check(const struct dns_config *config, struct buf *err) __attribute__((warn_unused_result));
/* Does anybody answer?  One question, a few seconds at most.  If not, a sentence in NOTE: the server would run, but tell its
 * clients 4xx wherever a name has to be looked up. */
void resolver_ask(const struct dns_config *config, struct buf *note);

#endif
