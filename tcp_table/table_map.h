/*
 * table_map.h: values that are lists of addresses, as in virtual(5), canonical(5), aliases(5); no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_MAP_H
#define GATEPOST_TCP_TABLE_TABLE_MAP_H

#include "tcp_table/table_keys.h"

/* What the last key of KEYS was found to have, VALUE, as whole addresses (address_list.h) with ", " between them, appended to TO: "@domain" is the user in another
 * domain, "user" is in the domain that was asked about, and the extension that the key lacks goes to each address. */
void table_map_complete(const struct table_keys *keys, struct bytes value, struct buf *to);

#endif
