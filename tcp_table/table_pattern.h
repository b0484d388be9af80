/*
 * table_pattern.h: what pcre: and regexp: files have in common: all but the regular expressions themselves.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_PATTERN_H
#define GATEPOST_TCP_TABLE_TABLE_PATTERN_H

#include "tcp_table/pattern_shape.h"
#include "tcp_table/table_file.h"

/* Where a match was found: the whole first, then the groups.  Unset: both SIZE_MAX. */
struct pattern_span {
	size_t from, to;
};
enum { PATTERN_SPANS = 100 };           /* $0 to $99 */

/* What a text must have for an expression to match it, as its compiler has found out. */
struct pattern_needs {
	unsigned char length;           /* so many bytes at least */
	char bytes[2];                  /* that are in it somewhere, without regard to case; 0: none */
};

struct pattern_try {
	struct bytes key;               /* with a NUL behind it */
	void *scratch;                  /* of begin() */
	bool at_once;                   /* what takes more than some microseconds is -EAGAIN */
};

struct pattern_engine {
	/* Compiles the expression (a C string) with the flags that stand behind it.  -EINVAL with a sentence in WHY. */
	int (*compile)(const char *regex, struct bytes flags, void **ret, unsigned *ret_groups, struct buf *why);
	void (*release)(void *regex);
	/* What is plain to see of an expression.  False: nothing.  Optional. */
	bool (*shape)(const char *regex, struct bytes flags, struct pattern_shape *ret);
	bool final_newline;             /* "^text$" matches "text\n" too */
	/* Optional. */
	void (*needs)(const void *regex, struct pattern_needs *ret);
	/* What match() needs for a while, in one thread.  Optional. */
	void *(*begin)(void);
	void (*end)(void *scratch);
	/* 1 with the first N spans, 0, or -errno with a sentence in WHY. */
	int (*match)(const void *regex, const struct pattern_try *try, struct pattern_span *spans, unsigned n, struct buf *why);
	bool at_once;                   /* match() can be asked for that */
	bool second;                    /* "/one/!/two/" is allowed: matches one and not two */
};
extern const struct pattern_engine pcre_engine, regexp_engine;

/* For struct table_file_kind: load() and get() of an engine, and the one unload(). */
void *pattern_load(const struct pattern_engine *engine, char *text, size_t n, struct table_notes *notes);
void pattern_unload(void *content);
int pattern_get(const void *content, struct bytes key, struct buf *ret, struct buf *err);
/* As pattern_get(), but -EAGAIN, with nothing in ERR, instead of anything that takes long.  May need much stack. */
int pattern_get_at_once(const void *content, struct bytes key, struct buf *ret, struct buf *err);

#endif
