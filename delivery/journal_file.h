/*
 * journal_file.h: appending to the delivered journal.  Blocks: for the thread pool.
 */
#ifndef GATEPOST_DELIVERY_JOURNAL_FILE_H
#define GATEPOST_DELIVERY_JOURNAL_FILE_H

#include "lib/base/buf.h"

struct journal_append {
	const char *path, *folder;
	int64_t now;                    /* seconds since 1970 */
	struct buf text;                /* whole lines */
};
/* ARG is a struct journal_append.  0 when the lines are on the disk, -errno. */
int journal_file_append(void *arg);

#endif
