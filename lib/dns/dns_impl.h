/*
 * dns_impl.h: inside lib/dns.
 */
#ifndef GATEPOST_DNS_DNS_IMPL_H
#define GATEPOST_DNS_DNS_IMPL_H

#include "lib/dns/hosts.h"

const struct hosts *dns_hosts(void);
bool dns_enabled(void);

#endif
