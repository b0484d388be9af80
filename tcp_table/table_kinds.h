/*
 * table_kinds.h: the kinds of table there are, for mta/kinds.c to list.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_KINDS_H
#define GATEPOST_TCP_TABLE_TABLE_KINDS_H

#include "tcp_table/table.h"

extern const struct table_ops table_tcp;
extern const struct table_ops table_socketmap;
extern const struct table_ops table_inline;
extern const struct table_ops table_texthash;
extern const struct table_ops table_hash;
extern const struct table_ops table_btree;
extern const struct table_ops table_cdb;
extern const struct table_ops table_lmdb;
extern const struct table_ops table_cidr;
extern const struct table_ops table_pcre;
extern const struct table_ops table_regexp;
extern const struct table_ops table_static;
extern const struct table_ops table_unix;
extern const struct table_ops table_environ;
extern const struct table_ops table_fail;
extern const struct table_ops table_randmap;
extern const struct table_ops table_unionmap;
extern const struct table_ops table_pipemap;
extern const struct table_ops table_debug;
extern const struct table_ops table_sqlite;
extern const struct table_ops table_pgsql;
extern const struct table_ops table_mysql;
extern const struct table_ops table_ldap;
extern const struct table_ops table_memcache;

#endif
