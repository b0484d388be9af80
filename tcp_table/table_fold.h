/* table_fold.h: the one form that keys are kept and looked up in. */
#ifndef GATEPOST_TCP_TABLE_TABLE_FOLD_H
#define GATEPOST_TCP_TABLE_TABLE_FOLD_H

#include "lib/base/buf.h"

/* Appends KEY in lower case; see table_fold.c for what is not ASCII. */
void table_fold(struct bytes key, struct buf *to);

#endif
