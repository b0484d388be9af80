/*
 * kinds.h: the sections of gatepost.conf that define something by name.  kinds.c is the only file that names every kind of gate, table
 * and next hop.
 */
#ifndef GATEPOST_MTA_KINDS_H
#define GATEPOST_MTA_KINDS_H

#include "mta/config.h"
#include "mta/reader.h"
#include "tcp_table/table.h"

struct kind {
	const char *section;            /* "milter" */
	cfg_opt_t *settings;
	struct strmap *(*map)(struct config *c);        /* where the names go: two kinds may share one map */
	/* Makes what SECTION describes, called NAME, in the config's arena.  NULL after reader_fail(). */
	void *(*define)(struct reader *r, cfg_t *section, const char *name, struct config *c);
};
extern const struct kind kinds[];
extern const unsigned kind_count;
/* Every kind of table, for table_open(). */
extern const struct table_ops *const table_kinds[];

/* A next hop that no section defines: the server HOST over SMTP or LMTP.  -EINVAL with a sentence in ERR. */
int kinds_server_hop(const char *name, bool lmtp, const char *host, struct next_hop *ret, struct buf *err) __attribute__((warn_unused_result));

#endif
