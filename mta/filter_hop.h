/*
 * filter_hop.h: the next hop that an access(5) FILTER action names.
 */
#ifndef GATEPOST_MTA_FILTER_HOP_H
#define GATEPOST_MTA_FILTER_HOP_H

#include "mta/config.h"

/* DESTINATION is a next_hop's name, or transport:nexthop as in Postfix: smtp:[host]:port, smtp:host, lmtp:inet:host:port, lmtp:unix:/path; of
 * another transport only its name counts, and it must be a next_hop's.  NULL with a sentence in ERR.  Lives as long as the config. */
const struct next_hop *filter_hop_find(const struct config *c, struct bytes destination, struct buf *err);
void filter_hop_free_all(const struct config *c);

#endif
