/*
 * db_page.h: is a page of a Berkeley DB file (hash, btree) what it should be?  No I/O.
 *
 * The library believes what it reads, and one wrong offset in a damaged file leads it, and the server with it, to anywhere in memory.  So each page is looked at
 * before the library sees it.
 */
#ifndef GATEPOST_TCP_TABLE_DB_PAGE_H
#define GATEPOST_TCP_TABLE_DB_PAGE_H

#include "lib/base/bytes.h"

/* PAGE is all of a page, or as much as is read of the first one before its size is known; it stands at OFFSET. */
bool db_page_sound(struct bytes page, uint64_t offset);

#endif
