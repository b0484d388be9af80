/* alias_line.h: one line of an aliases(5) file, as postalias(1) takes it apart; no I/O. */
#ifndef GATEPOST_TCP_TABLE_ALIAS_LINE_H
#define GATEPOST_TCP_TABLE_ALIAS_LINE_H

#include "lib/base/buf.h"

/* Writes the name, without its quotes, to KEY, and the value, in the form with quotes, to VALUE.  NULL, or what is wrong with the line ("": there is
 * nothing on it). */
const char *alias_line_parse(struct bytes line, struct buf *key, struct buf *value);

#endif
