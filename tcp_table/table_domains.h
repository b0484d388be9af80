/*
 * table_domains.h: the list of domains that a table is asked for (mysql_table(5), "domain"): names, files of them, and other tables.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_DOMAINS_H
#define GATEPOST_TCP_TABLE_TABLE_DOMAINS_H

#include "tcp_table/table.h"

struct table_domains;

/* TEXT is the list: "example.org, !sub.example.org /file hash:/table".  -errno with a sentence in ERR. */
int table_domains_open(struct bytes text, const struct table_options *o, struct table_domains **ret, struct buf *err) __attribute__((warn_unused_result));
void table_domains_close(struct table_domains **d);
/* May KEY be asked for?  1: its domain is in the list; 0: no, or it has none; -errno with a sentence in ERR: a table cannot tell. */
TASK_FN int table_domains_admit(struct table_domains *d, struct bytes key, struct buf *err) __attribute__((warn_unused_result));

#endif
