/*
 * address.h: the paths of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 for UTF-8).
 */
#ifndef GATEPOST_SMTP_ADDRESS_H
#define GATEPOST_SMTP_ADDRESS_H

#include "lib/base/arena.h"

/* An address without its angle brackets and source route.  All slices point into one string of the arena, NUL behind each whole
 * ADDRESS.  The null sender has an empty address. */
struct smtp_address {
	struct bytes address;   /* local@domain, quoting as the peer wrote it */
	struct bytes local;     /* quotes and backslashes removed */
	struct bytes domain;    /* case kept; empty for <>, <postmaster> */
	bool utf8;              /* holds bytes over 127 */
};

/* `local@domain`, also a bare `local`; an address literal `[192.0.2.1]` or `[IPv6:...]` is a domain.  -EINVAL for anything
 * the grammar does not allow.  A trailing dot of the domain is dropped.
 *
 * As Postfix, and because such addresses exist: dots may stand anywhere in the local part, and it may be longer than 64 octets
 * (SRS, VERP) as long as the path with its brackets keeps to 256 (RFC 5321 4.5.3.1.3).  Domains may hold '_'.  A domain of
 * digits and dots is no address literal and is refused. */
int smtp_address_parse(struct bytes text, struct arena *arena, struct smtp_address *ret) __attribute__((warn_unused_result));

/* Same local part to the byte, same domain without case. */
bool smtp_address_eq(const struct smtp_address *a, const struct smtp_address *b);

#endif
