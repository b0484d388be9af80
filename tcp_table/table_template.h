/*
 * table_template.h: values with $1, ${1} and $(1) in them; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_TEMPLATE_H
#define GATEPOST_TCP_TABLE_TABLE_TEMPLATE_H

#include "lib/base/buf.h"

struct table_piece {
	unsigned group;         /* from 1; 0: TEXT as it stands */
	struct bytes text;
};
/* The next piece of *REST.  1; 0 at the end; -EINVAL: a '$' that is followed by no number. */
int table_template_next(struct bytes *rest, struct table_piece *ret) __attribute__((warn_unused_result));
/* All of it is right: 0 with the highest group, else -EINVAL with a sentence in WHY. */
int table_template_check(struct bytes text, unsigned *ret_highest, struct buf *why) __attribute__((warn_unused_result));

#endif
