/*
 * table_read.h: a whole file, once.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_READ_H
#define GATEPOST_TCP_TABLE_TABLE_READ_H

#include "lib/base/buf.h"

/* Appends the file PATH, of MOST bytes, to RET.  -errno; -EFBIG. */
int table_read(const char *path, size_t most, struct buf *ret) __attribute__((warn_unused_result));

#endif
