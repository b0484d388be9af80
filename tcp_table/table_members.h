/*
 * table_members.h: for tables that are made of others: {type:a, type:b}.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_MEMBERS_H
#define GATEPOST_TCP_TABLE_TABLE_MEMBERS_H

#include "tcp_table/table.h"

struct table_members {
	struct table **tables;
	unsigned count;
};

/* For the kind's open(), of TYPE. */
int table_members_open(const char *type, struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
	__attribute__((warn_unused_result));
void table_members_close(void *state);
/* Postfix asks the whole for parts of keys when it does so with the first of them. */
bool table_members_whole(const void *state);
/* Asks the Ith of them: as table_get(), but that ERR names it. */
TASK_FN int table_members_get(const struct table_members *m, unsigned i, struct bytes key, struct buf *ret, struct buf *err)
	__attribute__((warn_unused_result));

#endif
