/*
 * table_pool.h: many strings in little memory, for tables of a million lines: the strings one behind the other, and a hash of their places.
 *
 * An all-zero struct table_pool is empty.  No I/O; never yields.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_POOL_H
#define GATEPOST_TCP_TABLE_TABLE_POOL_H

#include "lib/base/buf.h"

struct table_pool_slot {
	uint32_t hash, at;              /* at 0: free */
};
struct table_pool {
	struct buf text;                /* strings without NUL in them, each with one behind it; the first byte is nobody's */
	struct table_pool_slot *slots;
	uint32_t count, cap;
};

/* The place of a string that was added, 0 if it was not. */
uint32_t table_pool_find(const struct table_pool *p, struct bytes s);
/* Adds a string that holds no NUL and is not there; its place.  All of them may take 4 GiB. */
uint32_t table_pool_add(struct table_pool *p, struct bytes s);
/* Adds a string that cannot be found, right behind the one that was added last. */
void table_pool_append(struct table_pool *p, struct bytes s);
static inline const char *table_pool_str(const struct table_pool *p, uint32_t at) { return p->text.p + at; }
/* No more will be added: gives back what was kept for that. */
void table_pool_trim(struct table_pool *p);
/* Strings will only be asked for by their place from now on. */
void table_pool_forget(struct table_pool *p);
void table_pool_fini(struct table_pool *p);

#endif
