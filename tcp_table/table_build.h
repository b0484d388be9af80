/*
 * table_build.h: files made for lookups, from entries: what postmap(1) and postalias(1) write.
 *
 * The entries are collected in memory and written to a file beside the old one, which is then moved into its place.  So whoever has the old file open
 * reads on in it, whole; who opens the name gets the old file or the new one; and when something fails the old one stays.  Postfix and gatepost both
 * notice that the file they have open has no name any more.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_BUILD_H
#define GATEPOST_TCP_TABLE_TABLE_BUILD_H

#include "tcp_table/table.h"

#include <sys/types.h>

/* With the NUL behind them, if the file has that. */
struct table_entry {
	struct bytes key, value;
};

/* What a kind of table that can be built has: table_ops.builder. */
struct table_builder {
	const char *suffix;     /* of the file: ".db" */
	bool nul;               /* keys and values have NUL behind them, unless somebody wants it otherwise */
	size_t key_max;         /* longer ones cannot be in such a file; 0: no limit */
	/* Writes N entries, of different keys, in the order of bytes_cmp(), to the empty file PATH, which is open as FD.  Blocks. */
	int (*write)(int fd, const char *path, const struct table_entry *entries, size_t n, struct buf *err);
};
extern const struct table_builder hash_builder, btree_builder, lmdb_builder, cdb_builder;

/* For write(): the whole content of the file. */
int table_build_put_out(int fd, struct bytes content) __attribute__((warn_unused_result));

enum table_nul { TABLE_NUL_DEFAULT, TABLE_NUL_NONE, TABLE_NUL_ONE };

struct table_build_options {
	bool keep;              /* begin with what the file has, if it is there */
	bool must_exist;        /* with keep: it has to be there */
	bool keep_case;         /* keys are not made lower case */
	bool replace;           /* of two entries with one key the last one counts */
	enum table_nul nul;
	mode_t mode;            /* of a file that is new */
};

struct table_build;

/* For MAP, "type:file".  Waits until nobody else builds this file.  -errno with a sentence in ERR: -EOPNOTSUPP for kinds that cannot be built. */
int table_build_new(const struct table_ops *const *kinds, struct bytes map, const struct table_build_options *o, struct table_build **ret,
		    struct buf *err) __attribute__((warn_unused_result));
/* 0: added; 1: the key was there already, and one entry counts; -E2BIG: the key is too long for such a file. */
int table_build_add(struct table_build *b, struct bytes key, struct bytes value) __attribute__((warn_unused_result));
/* As table_build_add(), for what postalias adds itself: replaces, in the case it has, and perhaps without NUL. */
int table_build_sign(struct table_build *b, struct bytes key, struct bytes value, enum table_nul nul) __attribute__((warn_unused_result));
bool table_build_remove(struct table_build *b, struct bytes key);       /* was it there? */
/* Writes the file and moves it into its place. */
int table_build_write(struct table_build *b, struct buf *err) __attribute__((warn_unused_result));
void table_build_free(struct table_build **b);

#endif
