/*
 * table_driver.h: what a module gives: how to ask one kind of database.
 *
 * A module is a shared object table_TYPE.so that exports `table_driver`, made of modules/table_TYPE.c and of its own copies of what it needs of
 * lib/base: it uses nothing of the program that loads it.  No tasks, no streams, no logs.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_DRIVER_H
#define GATEPOST_TCP_TABLE_TABLE_DRIVER_H

#include "tcp_table/table_config.h"
#include "tcp_table/table_query.h"

/* What open() fills in.  Strings may be the configuration's own: it lives as long as the table. */
struct table_driver_plan {
	int64_t timeout;                /* ns, for one lookup; set before, and changed by what the file says */
	struct table_query query;
	const char *result_format;
	unsigned expansion_limit;       /* 0: none */
};

struct table_driver {
	const char *version;            /* GATEPOST_VERSION, of the same build as the program */
	const char *type;
	/* PLAN lives as long as the table.  Says what is wrong through C, or by -errno with a sentence in ERR.  Keeps no connection: the process forks
	 * afterwards. */
	int (*open)(struct table_config *c, struct table_driver_plan *plan, void **ret_state, struct buf *err);
	void (*close)(void *state);
	/* Blocks, in any thread, in several at a time.  KEY is UTF-8, holds no NUL, and fits the query.  0: VALUES has what there is;
	 * -errno: cannot tell, with a sentence in ERR (-E2BIG: without).  */
	int (*get)(void *state, struct bytes key, struct table_values *values, struct buf *err);
};

extern const struct table_driver table_driver __attribute__((visibility("default")));

#endif
