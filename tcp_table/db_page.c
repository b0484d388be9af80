/*
 * db_page.c: pages of Berkeley DB 5.3, as its db_page.h has them.  Numbers are in the byte order of the machine that made the file.
 *
 *	0	log position (8)
 *	8	number of this page (4), of the one before (4), of the next (4)
 *	20	entries (2)
 *	22	where the first of their items begins (2); of a long value's page: bytes in it
 *	24	level in the tree (1)
 *	25	type (1)
 *	26	where each item is (2 each); the items fill the page from its end
 *
 * The first page of a file has the type at the same place, and other things: a magic number at 12, the size of all pages at 20.
 */
#include "tcp_table/db_page.h"

enum { PAGE_HEAD = 26, PAGE_MIN = 512, PAGE_MAX = 65536, PAGE_OFFPAGE = 12, PAGE_OFFDUP = 8 };
enum { HASH_MAGIC = 0x061561, BTREE_MAGIC = 0x053162 };

enum page_type {
	PAGE_INVALID = 0,
	PAGE_HASH_UNSORTED = 2,
	PAGE_BTREE_INTERNAL = 3,
	PAGE_BTREE_LEAF = 5,
	PAGE_OVERFLOW = 7,
	PAGE_HASH_META = 8,
	PAGE_BTREE_META = 9,
	PAGE_DUPLICATES = 12,
	PAGE_HASH = 13
};
/* Of an item in a hash page: its first byte. */
enum { HASH_DATA = 1, HASH_DUPLICATE = 2, HASH_OFFPAGE = 3, HASH_OFFDUP = 4 };
/* Of an item in a tree: its third. */
enum { TREE_DATA = 1, TREE_OFFDUP = 2, TREE_OFFPAGE = 3, TREE_DELETED = 0x80 };

struct db_page {
	const unsigned char *p;
	size_t n;
	bool swapped;
	size_t entries, first;
};

static uint32_t page_u32(const struct db_page *g, size_t at)
{
	uint32_t v;
	memcpy(&v, g->p + at, sizeof v);
	return g->swapped ? __builtin_bswap32(v) : v;
}

static uint16_t page_u16(const struct db_page *g, size_t at)
{
	uint16_t v;
	memcpy(&v, g->p + at, sizeof v);
	return g->swapped ? __builtin_bswap16(v) : v;
}

static size_t page_item(const struct db_page *g, size_t i)
{
	return page_u16(g, PAGE_HEAD + 2 * i);
}

/* The list of items ends before they begin, and no item begins there. */
static bool page_items_apart(const struct db_page *g)
{
	if (g->first > g->n || PAGE_HEAD + 2 * g->entries > g->first)
		return false;
	for (size_t i = 0; i < g->entries; i++)
		if (page_item(g, i) < g->first || page_item(g, i) >= g->n)
			return false;
	return true;
}

/* ---- hash ---- */

/* Each value stands between its length and its length. */
static bool hash_duplicates(const struct db_page *g, size_t at, size_t end)
{
	while (at < end) {
		size_t len = at + 2 <= end ? page_u16(g, at) : g->n;
		if (at + 4 + len > end || page_u16(g, at + 2 + len) != len)
			return false;
		at += 4 + len;
	}
	return true;
}

static bool hash_item(const struct db_page *g, size_t at, size_t end)
{
	switch (g->p[at]) {
	case HASH_DATA:
		return true;
	case HASH_DUPLICATE:
		return hash_duplicates(g, at + 1, end);
	case HASH_OFFPAGE:
		return end - at == PAGE_OFFPAGE;
	case HASH_OFFDUP:
		return end - at == PAGE_OFFDUP;
	default:
		return false;
	}
}

/* An item ends where the one before it begins; keys and values take turns. */
static bool hash_page(const struct db_page *g)
{
	size_t end = g->n;

	if (g->entries % 2 || !page_items_apart(g))
		return false;
	for (size_t i = 0; i < g->entries; i++) {
		size_t at = page_item(g, i);
		if (at >= end || !hash_item(g, at, end) || (i % 2 == 0 && g->p[at] != HASH_DATA && g->p[at] != HASH_OFFPAGE))
			return false;
		end = at;
	}
	return true;
}

/* ---- btree ---- */

/* Behind the length and type of an internal item stand a page and a count. */
static bool tree_item(const struct db_page *g, size_t at, size_t head)
{
	if (at + head > g->n)
		return false;
	switch (g->p[at + 2] & ~TREE_DELETED) {
	case TREE_DATA:
		return at + head + page_u16(g, at) <= g->n;
	case TREE_OFFDUP:
	case TREE_OFFPAGE:
		return at + (head == 3 ? 0 : head) + PAGE_OFFPAGE <= g->n;
	default:
		return false;
	}
}

static bool tree_page(const struct db_page *g, size_t head, bool pairs)
{
	if ((pairs && g->entries % 2) || !page_items_apart(g))
		return false;
	for (size_t i = 0; i < g->entries; i++)
		if (!tree_item(g, page_item(g, i), head))
			return false;
	return true;
}

/* ---- the first page ---- */

static bool page_size_ok(uint32_t size)
{
	return size >= PAGE_MIN && size <= PAGE_MAX && (size & (size - 1)) == 0;
}

/* Of 2^n buckets those up to the last are there; the rest are still in the lower half. */
static bool hash_masks(const struct db_page *g)
{
	uint32_t last = page_u32(g, 72), high = page_u32(g, 76), low = page_u32(g, 80);
	return (high & (high + 1)) == 0 && low == high >> 1 && last <= high && high < UINT32_MAX;
}

/* So many keys must fit in a page: it divides by this. */
static bool tree_minimum(const struct db_page *g)
{
	uint32_t keys = page_u32(g, 76);
	return keys >= 2 && keys <= page_u32(g, 20) / 16;
}

static bool meta_page(struct db_page *g)
{
	bool hash = g->p[25] == PAGE_HASH_META;
	uint32_t magic = hash ? HASH_MAGIC : BTREE_MAGIC;

	g->swapped = page_u32(g, 12) == __builtin_bswap32(magic);
	return page_u32(g, 12) == magic && page_u32(g, 8) == 0 && page_size_ok(page_u32(g, 20)) && (hash ? hash_masks(g) : tree_minimum(g));
}

/* ---- any page ---- */

/* What no bucket has used yet. */
static bool page_unused(const struct db_page *g)
{
	return g->p[0] == 0 && memcmp(g->p, g->p + 1, g->n - 1) == 0;
}

static bool page_sound(const struct db_page *g)
{
	switch (g->p[25]) {
	case PAGE_HASH:
	case PAGE_HASH_UNSORTED:
		return hash_page(g);
	case PAGE_BTREE_LEAF:
		return tree_page(g, 3, true);
	case PAGE_DUPLICATES:
		return tree_page(g, 3, false);
	case PAGE_BTREE_INTERNAL:
		return tree_page(g, 12, false);
	case PAGE_OVERFLOW:
		return g->first <= g->n - PAGE_HEAD;
	default:
		return g->p[25] == PAGE_INVALID && g->entries == 0;
	}
}

bool db_page_sound(struct bytes page, uint64_t offset)
{
	struct db_page g = { .p = (const unsigned char *)page.p, .n = page.n };

	if (!page_size_ok((uint32_t)page.n) || offset % page.n)
		return false;
	if (offset == 0)
		return (g.p[25] == PAGE_HASH_META || g.p[25] == PAGE_BTREE_META) && meta_page(&g);
	if (page_unused(&g))
		return true;
	uint32_t number = (uint32_t)(offset / page.n);
	g.swapped = page_u32(&g, 8) == __builtin_bswap32(number);
	if (page_u32(&g, 8) != number)
		return false;
	g.entries = page_u16(&g, 20);
	g.first = page_u16(&g, 22);
	/* A page of 64 KiB is full when nothing is free behind its last byte. */
	if (g.first == 0 && g.n == PAGE_MAX)
		g.first = PAGE_MAX;
	return page_sound(&g);
}
