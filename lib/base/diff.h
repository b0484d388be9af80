/*
 * diff.h: two texts, line by line, as people read them: what went away behind "-", what came behind "+", a few lines around them behind
 * a blank, and "@@ -1,4 +1,5 @@" before each place.
 */
#ifndef GATEPOST_BASE_DIFF_H
#define GATEPOST_BASE_DIFF_H

#include "lib/base/buf.h"

struct diff_params {
	struct bytes before, after;     /* lines ended by LF; so may the last one be */
	unsigned context;               /* lines around a difference */
	unsigned most;                  /* lines written, then how many more there would be; 0: no limit */
	/* Writes a line, which has no LF; NULL: as it is. */
	void (*line)(struct buf *out, struct bytes line);
};
/* Appends to OUT.  Returns whether there is a difference.  The result is the shortest one unless the texts are long and very different. */
bool diff_lines(const struct diff_params *p, struct buf *out);

#endif
