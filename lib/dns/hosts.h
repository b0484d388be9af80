/*
 * hosts.h: a hosts file; inside lib/dns.
 */
#ifndef GATEPOST_DNS_HOSTS_H
#define GATEPOST_DNS_HOSTS_H

#include "lib/base/bytes.h"
#include "lib/run/net.h"

struct hosts_entry {
	struct hosts_entry *next;
	int family;
	unsigned char ip[16];
	char *names;            /* the canonical one and the aliases, each with its NUL; an empty one ends them */
};
struct hosts {
	struct hosts_entry *first;
};

/* Lines that make no sense are passed over, as libc does.  -errno when the file cannot be read. */
int hosts_read(const char *file, struct hosts *ret) __attribute__((warn_unused_result));
void hosts_fini(struct hosts *h);
/* The canonical name of the first entry with this address; NULL. */
const char *hosts_name(const struct hosts *h, const struct net_addr *a);
/* The next entry behind FROM (NULL: the first) of FAMILY that has NAME; NULL. */
const struct hosts_entry *hosts_find(const struct hosts *h, const struct hosts_entry *from, int family, struct bytes name);

#endif
