/*
 * table_keys.h: the partial keys that Postfix tries, in its order; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_KEYS_H
#define GATEPOST_TCP_TABLE_TABLE_KEYS_H

#include "lib/base/buf.h"
#include "tcp_table/table.h"

/* A walk over the keys.  All but step are set once by table_keys_init(). */
struct table_keys {
	enum table_use use;
	bool whole_only;
	struct bytes key;
	struct buf tidy, name;                  /* the key without quotes that it does not need; its local part without any */
	struct bytes local, bare, domain;       /* of an address: user+ext, user (p == NULL: no extension), domain (p == NULL: no @) */
	struct bytes parent;                    /* where a walk up a name or address stands */
	unsigned step;
	bool stripped;                          /* the last key is without the extension */
	struct buf text;                        /* keys that are no slice of KEY */
};

/* KEY must outlive the walk.  An address is asked for as Postfix would write it: "user"@domain as user@domain.  WHOLE_ONLY: patterns and servers, which see only whole keys. */
void table_keys_init(struct table_keys *k, enum table_use use, struct bytes key, const char *delimiters, bool whole_only);
/* The next key, valid until the next call; false: there are no more. */
bool table_keys_next(struct table_keys *k, struct bytes *ret);
/* What the last key lacks, with its delimiter; empty: nothing. */
struct bytes table_keys_extension(const struct table_keys *k);
void table_keys_fini(struct table_keys *k);

/* The local part without its address extension, as Postfix's split_addr(): never from postmaster and the like.  False: it has none. */
bool table_keys_bare(struct bytes local, const char *delimiters, struct bytes *ret);

#endif
