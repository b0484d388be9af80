/*
 * table_build_lmdb.c: lmdb: files, as LMDB 0.9 with MDB_NOSUBDIR would make them, written from the leaves up.
 *
 * lmdb_file.h says how they lie on the disk.  The file is as after its first transaction.  A leaf is filled before the next is begun.  The first key of
 * a branch page is left out, as LMDB does.  A branch page must have two children: the last of a row gets one from the page before if it would be alone.
 */
#include "tcp_table/lmdb_file.h"
#include "tcp_table/table_build.h"

#include "lib/base/mem.h"

#include <errno.h>

enum {
	PAGE = 4096,
	PAGE_HEAD = sizeof(struct lmdb_page),
	NODE_HEAD = sizeof(struct lmdb_node),
	NODE_MAX = (((PAGE - PAGE_HEAD) / 2) & -2) - 2,         /* mdb.c: me_nodemax: two nodes fit on a page */
	KEY_MAX = 511,
	META_PAGES = 2,
};
#define LMDB_MAP_MIN ((size_t)16 << 20)         /* Postfix's lmdb_map_size */

/* A page of the row that is made at the moment, for the row above it. */
struct child {
	struct bytes key;               /* the lowest below it */
	size_t page;
};
struct lmdb_build {
	struct buf file;
	struct lmdb_tree tree;
	struct child *row;
	size_t row_n, row_cap;
	size_t open;                    /* where the page begins that nodes are added to; 0: none */
};

/* ---- pages ---- */

static size_t build_lmdb_pages(const struct lmdb_build *b)
{
	return b->file.n / PAGE;
}

static struct lmdb_page *build_lmdb_head(struct lmdb_build *b)
{
	return (struct lmdb_page *)(void *)(b->file.p + b->open);
}

/* COUNT empty pages: where they begin. */
static size_t build_lmdb_grow(struct lmdb_build *b, size_t count)
{
	size_t at = b->file.n;
	memset(buf_room(&b->file, count * PAGE), 0, count * PAGE);
	buf_grown(&b->file, count * PAGE);
	return at;
}

static void build_lmdb_begin(struct lmdb_build *b, uint16_t flags, struct bytes key)
{
	b->open = build_lmdb_grow(b, 1);
	*build_lmdb_head(b) = (struct lmdb_page){ .number = b->open / PAGE, .flags = flags, .lower = PAGE_HEAD, .upper = PAGE };
	if (b->row_n == b->row_cap) {
		b->row_cap = b->row_cap ? b->row_cap * 2 : 64;
		b->row = mem_array(b->row, b->row_cap, sizeof *b->row);
	}
	b->row[b->row_n++] = (struct child){ key, b->open / PAGE };
	*(flags == LMDB_LEAF ? &b->tree.leaves : &b->tree.branches) += 1;
}

/* Nodes begin at even places. */
static size_t build_lmdb_node_size(size_t key_n, size_t value_n)
{
	return (NODE_HEAD + key_n + value_n + 1) & ~(size_t)1;
}

static bool build_lmdb_fits(struct lmdb_build *b, size_t size)
{
	const struct lmdb_page *h = build_lmdb_head(b);
	return b->open && (size_t)(h->upper - h->lower) >= size + sizeof(uint16_t);
}

static void build_lmdb_node(struct lmdb_build *b, const struct lmdb_node *node, struct bytes key, struct bytes value)
{
	struct lmdb_page *h = build_lmdb_head(b);
	h->upper = (uint16_t)(h->upper - build_lmdb_node_size(key.n, value.n));
	char *page = b->file.p + b->open, *at = page + h->upper;
	memcpy(page + h->lower, &h->upper, sizeof h->upper);
	h->lower = (uint16_t)(h->lower + sizeof h->upper);
	memcpy(at, node, NODE_HEAD);
	if (key.n)
		memcpy(at + NODE_HEAD, key.p, key.n);
	if (value.n)
		memcpy(at + NODE_HEAD + key.n, value.p, value.n);
}

/* ---- leaves ---- */

/* Writes VALUE to pages of its own: the number of the first. */
static size_t build_lmdb_overflow(struct lmdb_build *b, struct bytes value)
{
	size_t count = (PAGE_HEAD + value.n + PAGE - 1) / PAGE, at = build_lmdb_grow(b, count);
	struct lmdb_page head = { .number = at / PAGE, .flags = LMDB_OVERFLOW };
	uint32_t pages = (uint32_t)count;
	memcpy(b->file.p + at, &head, sizeof head);
	memcpy(b->file.p + at + offsetof(struct lmdb_page, lower), &pages, sizeof pages);
	memcpy(b->file.p + at + PAGE_HEAD, value.p, value.n);
	b->tree.overflows += count;
	return at / PAGE;
}

static void build_lmdb_entry(struct lmdb_build *b, const struct table_entry *e)
{
	struct lmdb_node node = {
		.low = (uint16_t)(e->value.n & 0xffff), .high = (uint16_t)(e->value.n >> 16), .key_n = (uint16_t)e->key.n
	};
	struct bytes value = e->value;
	size_t page;

	if (NODE_HEAD + e->key.n + e->value.n > NODE_MAX) {
		page = build_lmdb_overflow(b, e->value);
		node.flags = LMDB_BIG;
		value = bytes_make(&page, sizeof page);
	}
	if (!build_lmdb_fits(b, build_lmdb_node_size(e->key.n, value.n)))
		build_lmdb_begin(b, LMDB_LEAF, e->key);
	build_lmdb_node(b, &node, e->key, value);
	b->tree.entries++;
}

/* ---- branches ---- */

static size_t build_lmdb_branch_size(const struct child *c, bool first)
{
	return build_lmdb_node_size(first ? 0 : c->key.n, 0) + sizeof(uint16_t);
}

/* How many of the N children go on one page, so that not one alone is left. */
static size_t build_lmdb_share(const struct child *children, size_t n)
{
	size_t used = PAGE_HEAD, taken = 0;
	while (taken < n) {
		used += build_lmdb_branch_size(&children[taken], taken == 0);
		if (used > PAGE)
			break;
		taken++;
	}
	return n - taken == 1 ? taken - 1 : taken;
}

static void build_lmdb_branch(struct lmdb_build *b, const struct child *children, size_t n)
{
	build_lmdb_begin(b, LMDB_BRANCH, children[0].key);
	for (size_t i = 0; i < n; i++) {
		struct bytes key = i ? children[i].key : BYTES("");
		uint64_t page = children[i].page;
		const struct lmdb_node node = {
			.low = (uint16_t)(page & 0xffff), .high = (uint16_t)(page >> 16 & 0xffff), .flags = (uint16_t)(page >> 32),
			.key_n = (uint16_t)key.n
		};
		build_lmdb_node(b, &node, key, BYTES(""));
	}
}

/* The row of branch pages above the row that is there. */
static void build_lmdb_row(struct lmdb_build *b)
{
	struct child *below = b->row;
	size_t n = b->row_n;
	b->row = NULL;
	b->row_n = b->row_cap = 0;
	for (size_t i = 0; i < n;) {
		size_t share = build_lmdb_share(below + i, n - i);
		build_lmdb_branch(b, below + i, share);
		i += share;
	}
	mem_free(below);
}

/* ---- the file ---- */

static void build_lmdb_tree(struct lmdb_build *b, const struct table_entry *entries, size_t n)
{
	b->tree.root = LMDB_NO_PAGE;
	for (size_t i = 0; i < n; i++)
		build_lmdb_entry(b, &entries[i]);
	if (!n)
		return;
	for (b->tree.depth = 1; b->row_n > 1; b->tree.depth++)
		build_lmdb_row(b);
	b->tree.root = b->row[0].page;
}

static void build_lmdb_meta(struct lmdb_build *b, unsigned number, const struct lmdb_tree *tree, size_t last_page)
{
	size_t size = b->file.n * 2;
	struct lmdb_meta m = {
		.page = { .number = number, .flags = LMDB_META },
		.magic = LMDB_MAGIC,
		.version = 1,
		.map_size = size > LMDB_MAP_MIN ? size : LMDB_MAP_MIN,
		.free = { .page_size = PAGE, .flags = LMDB_NOSUBDIR | LMDB_INTEGER_KEYS, .root = LMDB_NO_PAGE },
		.main = *tree,
		.last_page = last_page,
		.transaction = number,
	};
	memcpy(b->file.p + (size_t)number * PAGE, &m, sizeof m);
}

static int build_lmdb(int fd, const char *path, const struct table_entry *entries, size_t n, struct buf *err)
{
	static const struct lmdb_tree empty = { .root = LMDB_NO_PAGE };
	struct lmdb_build b = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (entries[i].value.n > UINT32_MAX / 2) {
			buf_printf(err, "%s: a value of more than 2 GB", path);
			return -EFBIG;
		}
	}
	build_lmdb_grow(&b, META_PAGES);
	build_lmdb_tree(&b, entries, n);
	build_lmdb_meta(&b, 0, &empty, META_PAGES - 1);
	build_lmdb_meta(&b, 1, &b.tree, build_lmdb_pages(&b) - 1);
	int r = table_build_put_out(fd, buf_bytes(&b.file));
	mem_free(b.row);
	buf_fini(&b.file);
	return r;
}

const struct table_builder lmdb_builder = { .suffix = ".lmdb", .nul = true, .key_max = KEY_MAX, .write = build_lmdb };
