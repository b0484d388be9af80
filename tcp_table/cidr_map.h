/*
 * cidr_map.h: which rule of a cidr file an address belongs to, for files of a million rules.
 *
 * The rules are tried in order, so each address has one that is the first to match.  Along the addresses that one changes only where a network of the
 * file begins or ends: at most twice for each line, whatever "!" and "if" there are.  So the file becomes a sorted list of
 * those places, with the value that counts from there on, and a lookup is a binary search.
 *
 * No I/O; never yields.
 */
#ifndef GATEPOST_TCP_TABLE_CIDR_MAP_H
#define GATEPOST_TCP_TABLE_CIDR_MAP_H

#include "lib/base/bytes.h"

struct cidr_address {
	unsigned char bytes[16];        /* IPv4: the first four, the others 0 */
	bool v6;
};

/* A pattern, and the rules that can only match where it does: the one it stands in, or all between if and endif. */
struct cidr_guard {
	unsigned char net[16];          /* as in cidr_address; nothing set behind BITS */
	uint32_t from, to;              /* rules are counted from 0; TO is behind the last */
	unsigned char bits;
	bool v6, negated;
};

/* Of one family: from each place on, up to the next, the value; 0: none. */
struct cidr_ranges {
	unsigned char *starts;          /* four or 16 bytes each */
	uint32_t *values;
	uint32_t count, cap;
};
struct cidr_map {
	struct cidr_ranges v4, v6;
};

/* Reorders the guards.  VALUES has one, not 0, for each rule. */
void cidr_map_init(struct cidr_map *m, struct cidr_guard *guards, uint32_t guard_count, const uint32_t *values, uint32_t rule_count);
void cidr_map_fini(struct cidr_map *m);
uint32_t cidr_map_get(const struct cidr_map *m, const struct cidr_address *a);
/* Is it in the guard's network?  Both are of one family. */
bool cidr_guard_covers(const struct cidr_guard *g, const unsigned char *address);

#endif
