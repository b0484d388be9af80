/*
 * pattern_shape.h: what every text has that a regular expression matches, as far as that is plain to see: what it begins with, what it ends with.
 * Most expressions of real tables tell one of the two, as "^user@example\.org$" and "@example\.org$" do.
 *
 * Of two readings of an expression the careful one counts: where anything is not understood nothing is known.  No I/O.
 */
#ifndef GATEPOST_TCP_TABLE_PATTERN_SHAPE_H
#define GATEPOST_TCP_TABLE_PATTERN_SHAPE_H

#include "lib/base/bytes.h"

enum pattern_syntax {
	PATTERN_PERL,           /* PCRE2 without PCRE2_EXTENDED, PCRE2_MULTILINE, PCRE2_UTF */
	PATTERN_POSIX,          /* extended regular expressions of glibc, without REG_NEWLINE */
};

enum { PATTERN_SHAPE_MAX = 128 };

/* Bytes without regard to case: as table_fold() has ASCII; no others are among them. */
struct pattern_shape {
	char head[PATTERN_SHAPE_MAX], tail[PATTERN_SHAPE_MAX];
	unsigned head_n, tail_n;        /* the last HEAD_N bytes at most, or so many; 0: nothing is known */
	bool whole;                     /* the expression is ^HEAD$, and nothing else */
};

/* ANCHORED: it matches at the beginning only, whatever it begins with itself.  A text may have a newline behind TAIL (Perl's '$'). */
void pattern_shape(enum pattern_syntax syntax, bool anchored, const char *regex, struct pattern_shape *ret);

#endif
