/*
 * regexp_weight.h: what a POSIX regular expression costs glibc.  No I/O.
 */
#ifndef GATEPOST_TCP_TABLE_REGEXP_WEIGHT_H
#define GATEPOST_TCP_TABLE_REGEXP_WEIGHT_H

#include "lib/base/buf.h"

enum { REGEXP_COPIES_MAX = 2000, REGEXP_DEPTH_MAX = 100 };

/* May it be given to regcomp()?  -E2BIG with a sentence in WHY if its repetitions or its groups are too much.  What is no
 * regular expression at all is regcomp()'s to say. */
int regexp_weight(const char *regex, bool extended, struct buf *why) __attribute__((warn_unused_result));

#endif
