/*
 * strmap.h: a hash table from byte strings to pointers.  An all-zero struct strmap is empty.
 * Keys are copied; values are the caller's.
 */
#ifndef GATEPOST_BASE_STRMAP_H
#define GATEPOST_BASE_STRMAP_H

#include "lib/base/bytes.h"

struct strmap_entry {
	char *key;              /* NUL behind it */
	size_t key_len;
	uint64_t hash;
	void *value;
};
struct strmap {
	struct strmap_entry *slots;
	size_t n, cap;
	bool fold_case;         /* set before the first use: keys compared without regard to ASCII case */
};

void strmap_fini(struct strmap *m);                             /* keys only */
void *strmap_get(const struct strmap *m, struct bytes key);     /* NULL: none */
void strmap_set(struct strmap *m, struct bytes key, void *value);
void *strmap_remove(struct strmap *m, struct bytes key);        /* the value that was there */
/* Each entry in no special order: *I starts at 0; NULL at the end.  The map must not change meanwhile. */
const struct strmap_entry *strmap_next(const struct strmap *m, size_t *i);

#endif
