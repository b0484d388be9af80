/*
 * table.h: lookup tables, named as in Postfix: "hash:/etc/aliases", "tcp:127.0.0.1:10001", "inline:{a=b, c=d}".
 *
 * A file table/FAMILY is one `const struct table_ops`; mta/kinds.c lists them all.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_H
#define GATEPOST_TCP_TABLE_TABLE_H

#include "lib/base/buf.h"
#include "lib/base/strmap.h"
#include "lib/run/task.h"

struct table;
struct table_builder;
struct table_ops;

struct table_options {
	int64_t timeout;        /* ns, per lookup, for tables that ask a server; 0: the kind's default (100 s) */
	int64_t idle_timeout;   /* 0: default */
	size_t reply_max;       /* 0: default (tcp 4096, socketmap 100000) */
	unsigned connections;   /* at once, to a server; 0: default (16) */
	bool keep_case;         /* keys are asked for as they are, whatever the kind */
	const char *delimiters; /* between user and extension, any of them (recipient_delimiter); NULL: "+"; "": addresses have none */
	const char *folder;     /* of files whose names do not begin with '/'; NULL: the working one */
	const struct table_ops *const *kinds;   /* set by table_open(): for tables that are made of others */
	unsigned depth;         /* set by table_open(): in so many others this one is */
};

/* One entry of a table, as it is kept: of a file that was built, perhaps with a NUL behind key and value.  Not 0 ends the walk. */
typedef int table_entry_fn(void *arg, struct bytes key, struct bytes value);

/* What a kind of table must do. */
struct table_ops {
	const char *type;       /* "hash" */
	bool blocks;            /* get() is run in the thread pool and must not touch tasks, streams, logs */
	bool fold_key;          /* keys are made lower case before get() (Postfix: DICT_FLAG_FOLD_FIX) */
	bool whole_key;         /* patterns, servers: table_find() asks for the whole key only (Postfix: DICT_FLAG_PATTERN) */
	bool names_file;        /* SPEC is the name of a file */
	/* SPEC is what follows "type:".  -EINVAL, -ENOENT... with a sentence appended to ERR.  Not in a task; may read files. */
	int (*open)(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err);
	void (*close)(void *state);
	/* One of the two.  1: found, value appended to RET; 0: not found; -errno: cannot tell, with a sentence in ERR.  "Not found" is never
	 * said for "cannot tell". */
	int (*get)(void *state, struct bytes key, struct buf *ret, struct buf *err);
	int (*ask)(void *state, struct bytes key, struct buf *ret, struct buf *err) TASK_PTR;
	/* Optional, instead of .whole_key: of kinds that are made of others. */
	bool (*is_whole)(const void *state);
	/* Optional: all entries, as they are kept, in an order of the kind's own.  Blocks; not in a task.  0, what FN said, or -errno with a
	 * sentence in ERR. */
	int (*each)(void *state, table_entry_fn *fn, void *arg, struct buf *err);
	const struct table_builder *builder;    /* of files that table_build.h makes; NULL: there are none */
};

/* Opens MAP ("type:spec") with the kinds in the NULL-terminated list KINDS.  "proxy:type:spec" is the same: Postfix asks its proxymap(8) then, out of a
 * chroot, or to have fewer connections; here is neither. */
int table_open(const struct table_ops *const *kinds, struct bytes map, const struct table_options *o, const char *name,
	       struct table **ret, struct buf *err) __attribute__((warn_unused_result));
void table_close(struct table **t);
const char *table_name(const struct table *t);
const char *table_source(const struct table *t);        /* what its file is made of by table_build.h; NULL: it is no such file */
bool table_whole(const struct table *t);        /* table_find() asks for the whole key only */

/* Looks KEY up.  1: found, the value appended to RET; 0: no; -errno: cannot tell (ERR says why).  -ECANCELED and -ETIMEDOUT are the task's own:
 * a server that takes too long is -EAGAIN.  The empty key is in no table.  Cached answers and changed files are the table's own business. */
TASK_FN int table_get(struct table *t, struct bytes key, struct buf *ret, struct buf *err) __attribute__((warn_unused_result));

/* Calls FN for each entry.  0, what FN said, or -errno with a sentence in ERR: -EOPNOTSUPP for kinds that cannot tell what they have.  Blocks; not in
 * a task. */
int table_each(struct table *t, table_entry_fn *fn, void *arg, struct buf *err) __attribute__((warn_unused_result));

/* The each() of kinds that hold C strings in a map. */
int table_each_string(const struct strmap *entries, table_entry_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The keys Postfix would try, most specific first, for one use: docs/tables.md has the lists.  Calls table_get() until one is found. */
enum table_use {
	TABLE_WHOLE,            /* the key as it is */
	TABLE_ADDRESS,          /* virtual(5), canonical(5): user+ext@domain, user@domain, @domain */
	TABLE_RECIPIENT,        /* the same for a domain of one's own: user+ext@domain, user@domain, user+ext, user, @domain */
	TABLE_DOMAIN,           /* domain, .parent... */
	TABLE_TRANSPORT,        /* transport(5): user+ext@domain, user@domain, domain, .parent..., * */
	TABLE_ALIAS,            /* aliases(5), the local part: user+ext, user */
	TABLE_ACCESS_ADDRESS,   /* access(5): user+ext@domain, user@domain, domain, parent..., user+ext@, user@ */
	TABLE_ACCESS_HOST,      /* access(5): host name and its parents, or address and its networks by octets */
	TABLE_MAP = 16,         /* together with ADDRESS or RECIPIENT: the value is a list of addresses, see table_map_complete() */
};
TASK_FN int table_find(struct table *t, enum table_use use, struct bytes key, struct buf *ret, struct buf *err) __attribute__((warn_unused_result));

#endif
