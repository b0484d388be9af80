/*
 * sql_query.h: the query of a table in SQL, as its file has it: `query`, or the older parameters it was once made of.
 */
#ifndef GATEPOST_TCP_TABLE_MODULES_SQL_QUERY_H
#define GATEPOST_TCP_TABLE_MODULES_SQL_QUERY_H

#include "tcp_table/table_driver.h"

/* A template, to be freed; -errno with a sentence in ERR.  FUNCTIONS: there is `select_function`, too. */
int sql_query_read(struct table_config *c, struct table_driver_plan *plan, bool functions, char **ret, struct buf *err)
    __attribute__((warn_unused_result));

#endif
