/*
 * address.h: the paths of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 for UTF-8).
 */
#ifndef GATEPOST_SMTP_ADDRESS_H
#define GATEPOST_SMTP_ADDRESS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

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

/* PLAIN, an address (a local part) without quotes and backslashes, with quotes where it needs them.  Appended to TO. */
void smtp_address_quote(struct bytes plain, struct buf *to);
void smtp_address_quote_local(struct bytes plain, struct buf *to);
/* TEXT, an address or local part as a peer or a person wrote it, without quotes; without those it does not need.  Appended to TO; what is neither is left as
 * it is. */
void smtp_address_plain(struct bytes text, struct buf *to);
void smtp_address_tidy(struct bytes text, struct buf *to);

/* Same local part to the byte, same domain without case. */
bool smtp_address_eq(const struct smtp_address *a, const struct smtp_address *b);

#endif
