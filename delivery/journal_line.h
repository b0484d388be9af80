/*
 * journal_line.h: the lines of the delivered journal as bytes.  No I/O.
 */
#ifndef GATEPOST_DELIVERY_JOURNAL_LINE_H
#define GATEPOST_DELIVERY_JOURNAL_LINE_H

#include "delivery/journal.h"

enum { JOURNAL_LINE_MAX = 4096 };

struct journal_line {
	enum journal_state state;
	int64_t expires;                /* seconds since 1970 */
	unsigned char digest[32];
	struct journal_key key;         /* within the buffer given to the parser */
};
void journal_line_put(const struct journal_line *l, struct buf *to);
/* LINE without its LF; the decoded names are appended to NAMES, where ret->key points.  -EINVAL for a line that is not whole. */
int journal_line_parse(struct bytes line, struct buf *names, struct journal_line *ret) __attribute__((warn_unused_result));
/* Calls FN for every line of TEXT that ends in LF, is whole, and has not expired at NOW.  Returns how many bytes the ended lines are. */
size_t journal_line_each(struct bytes text, int64_t now, void (*fn)(void *arg, const struct journal_line *l), void *arg);

#endif
