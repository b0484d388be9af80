/*
 * command_table.h: what the verbs of gatepost table share.
 *
 * Where Postfix has the same, exit codes are those of postmap(1): 0, and 1 for "not found" and for all that goes wrong, which is said on the standard
 * error output.
 */
#ifndef GATEPOST_MTA_COMMAND_TABLE_H
#define GATEPOST_MTA_COMMAND_TABLE_H

#include "mta/command.h"
#include "mta/config.h"
#include "tcp_table/table.h"
#include "tcp_table/table_lines.h"

#include <sys/stat.h>

enum { TABLE_NO = 1 };

/* The command line, read. */
struct table_command {
	const char *file;               /* gatepost.conf */
	const char *map;                /* "type:spec", or the name of a table section */
	char **keys;                    /* what stands behind it */
	unsigned key_count;
	const char *letters;            /* the options that were given */
	enum table_use use;
	const char *removed;            /* -d: a key, or "-" */
	unsigned warnings;              /* told by tables so far */
	/* what MAP is */
	struct config *config;          /* if it is a name */
	struct table *table;
};

bool table_command_has(const struct table_command *c, char option);
void table_command_complain(struct table_command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Finds or opens c->map.  An exit code. */
int table_command_open(struct table_command *c);
void table_command_close(struct table_command *c);

/* Reads gatepost.conf.  An exit code. */
int table_command_configure(struct table_command *c);

/* command_table_build.c */
/* -errno */
int table_command_read(const char *file, struct stat *ret_st, struct buf *to);
void table_command_tell(const struct table_notes *n);
int command_table_build(struct table_command *c);

/* command_table_check.c */
int command_table_check(struct table_command *c);

/* command_table_get.c */
int command_table_get(struct table_command *c);
int command_table_dump(struct table_command *c);

#endif
