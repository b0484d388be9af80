/*
 * table_source.h: the entries of a file that postmap(1) or postalias(1) reads; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_SOURCE_H
#define GATEPOST_TCP_TABLE_TABLE_SOURCE_H

#include "tcp_table/table_lines.h"

struct table_source {
	struct table_lines lines;
	struct table_notes *notes;      /* what is wrong with lines that are left out */
	bool aliases;                   /* "name: value, value", as in aliases(5); else "key value" */
	struct buf key, value;          /* of an alias */
};
void table_source_init(struct table_source *s, struct bytes text, bool aliases, struct table_notes *notes);
/* The next entry, valid until the next call; false at the end.  Its line is s->lines.line. */
bool table_source_next(struct table_source *s, struct bytes *ret_key, struct bytes *ret_value);
void table_source_fini(struct table_source *s);

#endif
