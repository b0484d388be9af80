/*
 * table_disk.h: tables that are files made for lookups (cdb, lmdb), read in place, a few hundred bytes at a time.
 *
 * Every offset and length in them is checked, so that a file that is damaged cannot do more than have no answer.
 *
 * A lookup takes no lock and waits for nobody.  It is done at once through a memory map (file_map.h); while there is none (the file has been asked for
 * little so far, or is too large) with pread(2), which is begun again in the thread pool when what it reads is not in the page cache.
 *
 * After a lookup the file is looked at (file_watch.h), but once for all of one turn of the loop: when something has happened to it the lookup is done anew.
 * Whether it was cut is known after each lookup.  A file that was replaced is taken at once; one that was removed, or replaced by something of no use, goes on
 * answering.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_DISK_H
#define GATEPOST_TCP_TABLE_TABLE_DISK_H

#include "tcp_table/file_map.h"
#include "tcp_table/table.h"

struct table_disk_file {
	int fd;
	uint64_t size;          /* when it was looked at last */
	bool at_once;           /* what is not in memory is -EAGAIN */
	const struct file_map *map;     /* of the file as it was once; NULL: not to be used */
};

struct table_disk_kind {
	const char *suffix;     /* ".cdb" */
	bool shared;            /* others may write to the file meanwhile: find() itself knows whether its answer is whole */
	/* 1: found, the value appended to RET; 0: not in the file; -EAGAIN: it would have to wait; -EBUSY: somebody is writing to the file; -EIO: it is
	 * damaged.  Has no state; runs in the loop or the thread pool, where it may not touch tasks and logs.  Not shared: the file has passed check()
	 * in the state it is in; was it in another in the end, the answer does not count. */
	int (*find)(const struct table_disk_file *f, struct bytes key, struct buf *ret);
	/* Calls FN for each entry.  0, what FN said, or as find(): -EBUSY may come late. */
	int (*each)(const struct table_disk_file *f, table_entry_fn *fn, void *arg);
	/* Is it such a file?  0, or as find(). */
	int (*check)(const struct table_disk_file *f);
};

extern const struct table_disk_kind cdb_kind, lmdb_kind;

/* For the kind's open(); ask, each and close are its methods. */
int table_disk_open(const struct table_disk_kind *kind, struct bytes spec, void **ret_state, struct buf *err) __attribute__((warn_unused_result));
TASK_FN int table_disk_ask(void *state, struct bytes key, struct buf *ret, struct buf *err);
int table_disk_each(void *state, table_entry_fn *fn, void *arg, struct buf *err);
void table_disk_close(void *state);

/* For find() and check(): N bytes of the file.  -EIO: they are not there. */
int table_disk_read(const struct table_disk_file *f, uint64_t offset, void *to, size_t n) __attribute__((warn_unused_result));

#endif
