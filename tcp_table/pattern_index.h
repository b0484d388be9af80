/*
 * pattern_index.h: which of a million rules may match a text, in their order: those whose head it begins with (pattern_shape.h), those whose tail it ends with,
 * and those of which neither is known.
 *
 * Rules are numbers from 0 on.  A rule that the index leaves out cannot match; one that it names need not.  No I/O; never yields.
 */
#ifndef GATEPOST_TCP_TABLE_PATTERN_INDEX_H
#define GATEPOST_TCP_TABLE_PATTERN_INDEX_H

#include "tcp_table/pattern_shape.h"

/* Heads and tails are known by so many of their bytes at most. */
enum { PATTERN_INDEX_MAX = 63 };
/* A text has so many heads, and tails with and without a newline behind them; and there are the rules that are always tried. */
enum { PATTERN_INDEX_LISTS = 3 * PATTERN_INDEX_MAX };

struct pattern_index_slot {
	uint32_t hash, first;           /* of the rules with this hash; 0: free */
};
/* What is known of a rule, while the index is made. */
struct pattern_index_rule {
	uint32_t head, tail;            /* hashes; 0: not known */
	unsigned char head_n, tail_n;
};
struct pattern_index {                  /* all zero: of no rules */
	uint32_t count, cap;
	struct pattern_index_rule *rules;       /* while it is made */
	uint64_t heads, tails;          /* bit N: there are some of N bytes */
	struct pattern_index_slot *slots;
	uint32_t slot_cap;
	uint32_t *next;                 /* of each rule: the next one with the same hash, plus one; 0: it is the last */
	uint32_t *always, always_count; /* rules that are always to be tried, in their order */
};

/* The next rule, and what is known of it; NULL: nothing, or it is to be tried however that may be. */
void pattern_index_add(struct pattern_index *x, const struct pattern_shape *shape);
/* All rules have been added. */
void pattern_index_seal(struct pattern_index *x);
void pattern_index_fini(struct pattern_index *x);

/* The rules that may match one text. */
struct pattern_candidates {
	const struct pattern_index *index;
	uint32_t lists[PATTERN_INDEX_LISTS];    /* of each, its next rule plus one */
	uint32_t list_count, always;
};
#define PATTERN_NO_RULE UINT32_MAX
/* TEXT is without regard to case, as in struct pattern_shape. */
void pattern_candidates_init(struct pattern_candidates *c, const struct pattern_index *x, struct bytes text);
/* The first one from FROM on, which never becomes less. */
uint32_t pattern_candidates_next(struct pattern_candidates *c, uint32_t from);

#endif
