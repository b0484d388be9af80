/*
 * lmdb_file.h: an lmdb file as it lies on the disk: a single file of LMDB 0.9 (MDB_NOSUBDIR).  For who reads it and who writes it.
 *
 * The file is pages of one size.  Pages 0 and 1 are meta pages; the one with the higher transaction number counts.  It names the root page of a B+tree: leaf
 * pages hold keys and values, in the order of memcmp(), branch pages hold keys and the pages of what is not below them.  A value that is too long for a
 * leaf stands on overflow pages.  Numbers are the machine's own: a file from another kind of machine has another magic number, or none that is right.
 *
 *	page    number:word unused:16 flags:16 lower:16 upper:16 offset_of_node:16...   (lower: the end of the offsets; upper: where nodes begin)
 *	        a value's own pages: number:word unused:16 flags:16 pages:32 value
 *	node    low:16 high:16 flags:16 key_length:16 key value                         (leaf: length of the value; branch: page, FLAGS its highest bits)
 *	meta    page, then magic:32 version:32 address:word map_size:word free_tree main_tree last_page:word transaction:word
 *	tree    page_size:32 flags:16 depth:16 branches:word leaves:word overflows:word entries:word root:word
 *
 * The page size stands in the free tree; the main tree has 0 there.  The first key of a branch page counts for nothing.
 */
#ifndef GATEPOST_TCP_TABLE_LMDB_FILE_H
#define GATEPOST_TCP_TABLE_LMDB_FILE_H

#include <stddef.h>
#include <stdint.h>

#define LMDB_MAGIC 0xBEEFC0DEu
#define LMDB_NO_PAGE SIZE_MAX           /* the root of an empty tree */

enum {
	LMDB_VERSION = 1,
	/* flags of pages */
	LMDB_BRANCH = 1,
	LMDB_LEAF = 2,
	LMDB_OVERFLOW = 4,
	LMDB_META = 8,
	LMDB_SORTS = 0x6f,              /* all that say what a page is for */
	/* flags of nodes of a leaf */
	LMDB_PLAIN = 0,
	LMDB_BIG = 1,                   /* the value stands on pages of its own: the number of the first is in its place */
	/* flags of trees */
	LMDB_PECULIAR = 0x02 | 0x04 | 0x08,     /* keys are compared in another way, or there are several values for one */
	LMDB_INTEGER_KEYS = 0x08,       /* the free tree has them */
	LMDB_NOSUBDIR = 0x4000,         /* of the environment: stands with the free tree's */
};

struct lmdb_page {
	size_t number;
	uint16_t unused, flags, lower, upper;
};
struct lmdb_node {
	uint16_t low, high, flags, key_n;
};
struct lmdb_tree {
	uint32_t page_size;
	uint16_t flags, depth;
	size_t branches, leaves, overflows, entries, root;
};
struct lmdb_meta {
	struct lmdb_page page;
	uint32_t magic, version;
	size_t address, map_size;
	struct lmdb_tree free, main;
	size_t last_page, transaction;
};
_Static_assert(sizeof(struct lmdb_page) == 8 + sizeof(size_t) && sizeof(struct lmdb_node) == 8, "as they lie in the file");
_Static_assert(sizeof(struct lmdb_meta) == sizeof(struct lmdb_page) + 24 + 14 * sizeof(size_t), "as they lie in the file");

#endif
