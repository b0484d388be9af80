/*
 * table_file.h: tables that are text files, held in memory.
 *
 * The file is looked at (file_watch.h) at each lookup, but once for all of one turn of the loop, and read again, in the thread pool, when it has changed:
 * those who ask meanwhile get the old answers.  So do all when the file is gone, cannot be read, was emptied, or is being written this moment: an entry is never
 * "not found" because its file could not be read.
 *
 * Some kinds may have their lines in the name instead, each between braces, as since Postfix 3.7: pcre:{{/pattern/ value}, {/another/ value}}.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_FILE_H
#define GATEPOST_TCP_TABLE_TABLE_FILE_H

#include "tcp_table/table.h"
#include "tcp_table/table_lines.h"

struct table_file_kind {
	const char *type;
	/* Takes the file apart.  TEXT may be written to, and is gone afterwards.  In the thread pool.  Lines that are wrong are noted and
	 * left out, as Postfix does. */
	void *(*load)(char *text, size_t n, struct table_notes *notes);
	void (*unload)(void *content);
	/* As table_ops.get(). */
	int (*get)(const void *content, struct bytes key, struct buf *ret, struct buf *err);
	int (*each)(const void *content, table_entry_fn *fn, void *arg);        /* optional */
	bool inlined;           /* its lines may stand in the name */
	bool slow;              /* get() may take long, or much stack: it runs in the thread pool too */
	/* Optional, where get() is slow: the same, but -EAGAIN, with nothing in ERR, for what takes longer than a task may without a wait. */
	int (*get_at_once)(const void *content, struct bytes key, struct buf *ret, struct buf *err);
};

extern const struct table_file_kind texthash_kind, cidr_kind, pcre_kind, regexp_kind;

/* For the kind's open(): PATH is the file, or lines within braces.  ask and close are its methods. */
int table_file_open(const struct table_file_kind *kind, struct bytes path, void **ret_state, struct buf *err) __attribute__((warn_unused_result));
TASK_FN int table_file_ask(void *state, struct bytes key, struct buf *ret, struct buf *err);
int table_file_each(void *state, table_entry_fn *fn, void *arg, struct buf *err);       /* for kinds that have it */
void table_file_close(void *state);

#endif
