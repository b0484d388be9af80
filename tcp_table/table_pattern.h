/*
 * table_pattern.h: what pcre: and regexp: files have in common: all but the regular expressions themselves.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_PATTERN_H
#define GATEPOST_TCP_TABLE_TABLE_PATTERN_H

#include "tcp_table/table_file.h"

/* Where a match was found: the whole first, then the groups.  Unset: both SIZE_MAX. */
struct pattern_span {
	size_t from, to;
};
enum { PATTERN_SPANS = 100 };           /* $0 to $99 */

struct pattern_engine {
	/* Compiles the expression (a C string) with the flags that stand behind it.  -EINVAL with a sentence in WHY. */
	int (*compile)(const char *regex, struct bytes flags, void **ret, unsigned *ret_groups, struct buf *why);
	void (*release)(void *regex);
	/* KEY has a NUL behind it.  1 with the first N spans, 0, or -errno with a sentence in WHY. */
	int (*match)(const void *regex, struct bytes key, struct pattern_span *spans, unsigned n, struct buf *why);
	bool second;                    /* "/one/!/two/" is allowed: matches one and not two */
};

/* For struct table_file_kind: load() and get() of an engine, and the one unload(). */
void *pattern_load(const struct pattern_engine *engine, char *text, size_t n, struct table_notes *notes);
void pattern_unload(void *content);
int pattern_get(const void *content, struct bytes key, struct buf *ret, struct buf *err);

#endif
