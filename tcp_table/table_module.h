/*
 * table_module.h: kinds of table that need a large library: each is a shared object that is loaded when a table names it.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_MODULE_H
#define GATEPOST_TCP_TABLE_TABLE_MODULE_H

#include "tcp_table/table_driver.h"

/* Loads table_TYPE.so: from the folder `modules` beside this program (as it is built), or from the one it was installed in.  It stays
 * loaded.  LIBRARY is what it needs, for the sentence in ERR when it is not there. */
int table_module_load(const char *type, const char *library, const struct table_driver **ret, struct buf *err) __attribute__((warn_unused_result));

#endif
