/*
 * table_lmdb.c: lmdb:/file: /file.lmdb, as postmap makes it.  lmdb_file.h says how it lies on the disk.
 *
 * Writers never write to a page that the last two transactions know.  So what was read between two looks at the meta pages is of one transaction when both
 * looks are alike, and no lock and no place in LMDB's table of readers is needed; nor does it matter when a writer makes the file larger.
 */
#include "tcp_table/lmdb_file.h"
#include "tcp_table/table_build.h"
#include "tcp_table/table_disk.h"
#include "tcp_table/table_kinds.h"

#include <errno.h>
#include <sys/stat.h>

enum {
	LMDB_PAGE_MIN = 256,
	LMDB_PAGE_MAX = 32768,
	LMDB_DEPTH_MAX = 32,            /* mdb.c: CURSOR_STACK */
};

/* One lookup. */
struct lmdb_look {
	const struct table_disk_file *file;
	struct lmdb_meta metas[2];
	const struct lmdb_meta *meta;
	struct buf page;                /* the one that is looked at */
	struct lmdb_page head;          /* its beginning */
};

/* ---- meta pages ---- */

static int lmdb_read_metas(const struct table_disk_file *f, struct lmdb_meta *ret)
{
	int r = table_disk_read(f, 0, &ret[0], sizeof ret[0]);
	if (r < 0)
		return r;
	uint32_t size = ret[0].free.page_size;
	if (size < LMDB_PAGE_MIN || size > LMDB_PAGE_MAX || (size & (size - 1)))
		return -EIO;
	return table_disk_read(f, size, &ret[1], sizeof ret[1]);
}

static bool lmdb_meta_sound(const struct lmdb_meta *m, uint32_t page_size)
{
	return (m->page.flags & LMDB_SORTS) == LMDB_META && m->magic == LMDB_MAGIC && m->version == LMDB_VERSION &&
	       m->free.page_size == page_size && !(m->main.flags & LMDB_PECULIAR) && m->main.depth <= LMDB_DEPTH_MAX;
}

static int lmdb_begin(const struct table_disk_file *f, struct lmdb_look *l)
{
	l->file = f;
	int r = lmdb_read_metas(f, l->metas);
	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++)
		if (!lmdb_meta_sound(&l->metas[i], l->metas[0].free.page_size))
			return -EIO;
	l->meta = &l->metas[l->metas[0].transaction < l->metas[1].transaction];
	return 0;
}

/* Has there been no writer since lmdb_begin()? */
static int lmdb_still(const struct lmdb_look *l)
{
	struct lmdb_meta now[2];
	int r = lmdb_read_metas(l->file, now);
	if (r < 0)
		return r;
	return memcmp(now, l->metas, sizeof now) == 0 ? 0 : -EBUSY;
}

/* ---- pages ---- */

static int lmdb_read_page(struct lmdb_look *l, size_t number)
{
	size_t size = l->meta->free.page_size;
	if (number < 2 || number > l->meta->last_page)
		return -EIO;
	buf_clear(&l->page);
	int r = table_disk_read(l->file, (uint64_t)number * size, buf_room(&l->page, size), size);
	if (r < 0)
		return r;
	buf_grown(&l->page, size);
	memcpy(&l->head, l->page.p, sizeof l->head);
	return l->head.number == number ? 0 : -EIO;
}

static unsigned lmdb_count(const struct lmdb_look *l)
{
	return (l->head.lower - (unsigned)sizeof l->head) / 2;
}

/* The offsets are within the page, and there is at least one. */
static bool lmdb_page_sound(const struct lmdb_look *l, unsigned sort)
{
	return (l->head.flags & LMDB_SORTS) == sort && l->head.lower >= sizeof l->head + 2 && l->head.lower <= l->head.upper &&
	       l->head.upper <= l->page.n;
}

/* The Ith node: its head, its key, and what is behind that on the page. */
static int lmdb_node(const struct lmdb_look *l, unsigned i, struct lmdb_node *ret, struct bytes *ret_key, struct bytes *ret_rest)
{
	uint16_t at;
	memcpy(&at, l->page.p + sizeof l->head + (size_t)i * 2, sizeof at);
	if (at < l->head.upper || at + sizeof *ret > l->page.n)
		return -EIO;
	struct bytes rest = bytes_skip(buf_bytes(&l->page), at);
	memcpy(ret, rest.p, sizeof *ret);
	rest = bytes_skip(rest, sizeof *ret);
	if (ret->key_n > rest.n)
		return -EIO;
	*ret_key = bytes_first(rest, ret->key_n);
	*ret_rest = bytes_skip(rest, ret->key_n);
	return 0;
}

/* ---- search ---- */

/* Among the nodes from FIRST on: the first whose key is not below KEY (the number of nodes when there is none), and whether it is KEY's. */
static int lmdb_search(const struct lmdb_look *l, unsigned first, struct bytes key, unsigned *ret, bool *ret_same)
{
	unsigned low = first, count = lmdb_count(l), high = count;
	struct lmdb_node node;
	struct bytes at = { NULL, 0 }, rest;
	int r = 0;

	while (r == 0 && low < high) {
		unsigned middle = (low + high) / 2;
		r = lmdb_node(l, middle, &node, &at, &rest);
		if (bytes_cmp(at, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (r == 0 && low < count)
		r = lmdb_node(l, low, &node, &at, &rest);
	if (r < 0)
		return r;
	*ret = low;
	*ret_same = low < count && bytes_eq(at, key);
	return 0;
}

static size_t lmdb_child_page(const struct lmdb_node *node)
{
	return (size_t)(node->low | (uint64_t)node->high << 16 | (uint64_t)node->flags << 32);
}

/* The page below a branch page where KEY would be.  The first node stands for all below the second's key; its own is not looked at. */
static int lmdb_child(const struct lmdb_look *l, struct bytes key, size_t *ret)
{
	struct lmdb_node node;
	struct bytes at, rest;
	unsigned i;
	bool same;

	int r = lmdb_search(l, 1, key, &i, &same);
	if (r == 0)
		r = lmdb_node(l, same ? i : i - 1, &node, &at, &rest);
	if (r < 0)
		return r;
	*ret = lmdb_child_page(&node);
	return 0;
}

/* A value on pages of its own: REST begins with the first one's number. */
static int lmdb_big_value(struct lmdb_look *l, struct bytes rest, size_t n, struct buf *ret)
{
	struct lmdb_page head;
	struct stat st;
	size_t first, size = l->meta->free.page_size;

	if (rest.n < sizeof first)
		return -EIO;
	memcpy(&first, rest.p, sizeof first);
	if (fstat(l->file->fd, &st) < 0)
		return -errno;
	/* Memory is only taken for what the file has. */
	uint64_t pages = (uint64_t)st.st_size / size;
	if (first < 2 || first > l->meta->last_page || first >= pages || n > (pages - first) * size - sizeof head)
		return -EIO;
	int r = table_disk_read(l->file, (uint64_t)first * size, &head, sizeof head);
	if (r < 0)
		return r;
	if (head.number != first || (head.flags & LMDB_SORTS) != LMDB_OVERFLOW)
		return -EIO;
	r = table_disk_read(l->file, (uint64_t)first * size + sizeof head, buf_room(ret, n), n);
	if (r == 0)
		buf_grown(ret, n);
	return r;
}

/* The value of a node of a leaf; REST is what follows its key. */
static int lmdb_value(struct lmdb_look *l, const struct lmdb_node *node, struct bytes rest, struct buf *ret)
{
	size_t n = node->low | (size_t)node->high << 16;
	if (node->flags == LMDB_BIG)
		return lmdb_big_value(l, rest, n, ret);
	if (node->flags != LMDB_PLAIN || n > rest.n)
		return -EIO;    /* a tree below a tree, or what is not LMDB's */
	buf_add(ret, bytes_first(rest, n));
	return 0;
}

static int lmdb_leaf(struct lmdb_look *l, struct bytes key, struct buf *ret)
{
	struct lmdb_node node;
	struct bytes at, rest;
	unsigned i;
	bool same;

	int r = lmdb_search(l, 0, key, &i, &same);
	if (r < 0 || !same)
		return r;
	r = lmdb_node(l, i, &node, &at, &rest);
	if (r == 0)
		r = lmdb_value(l, &node, rest, ret);
	return r < 0 ? r : 1;
}

static int lmdb_descend(struct lmdb_look *l, struct bytes key, struct buf *ret)
{
	size_t page = l->meta->main.root;

	if (page == LMDB_NO_PAGE)
		return l->meta->main.depth == 0 ? 0 : -EIO;
	for (unsigned depth = 1;; depth++) {
		bool leaf = depth == l->meta->main.depth;
		int r = depth > l->meta->main.depth ? -EIO : lmdb_read_page(l, page);
		if (r == 0 && !lmdb_page_sound(l, leaf ? LMDB_LEAF : LMDB_BRANCH))
			r = -EIO;
		if (r < 0)
			return r;
		if (leaf)
			return lmdb_leaf(l, key, ret);
		r = lmdb_child(l, key, &page);
		if (r < 0)
			return r;
	}
}

static int lmdb_find(const struct table_disk_file *f, struct bytes key, struct buf *ret)
{
	struct lmdb_look l = { .file = f };

	int r = lmdb_begin(f, &l);
	if (r == 0)
		r = lmdb_descend(&l, key, ret);
	/* What looks damaged may be a page of a later transaction. */
	int still = l.meta && r != -EAGAIN ? lmdb_still(&l) : 0;
	buf_fini(&l.page);
	return still < 0 ? still : r;
}

static int lmdb_check(const struct table_disk_file *f)
{
	struct buf none = { 0 };
	int r = lmdb_find(f, BYTES(""), &none);
	buf_fini(&none);
	return r < 0 ? r : 0;
}

/* ---- all of it ---- */

struct lmdb_walk {
	struct lmdb_look look;
	table_entry_fn *fn;
	void *arg;
	uint64_t pages;                 /* that may still be seen: a damaged file may lead around in circles */
};

static int lmdb_walk_leaf(struct lmdb_walk *w)
{
	struct buf value = { 0 };
	int r = 0;
	for (unsigned i = 0; r == 0 && i < lmdb_count(&w->look); i++) {
		struct lmdb_node node;
		struct bytes key, rest;
		buf_clear(&value);
		r = lmdb_node(&w->look, i, &node, &key, &rest);
		if (r == 0)
			r = lmdb_value(&w->look, &node, rest, &value);
		if (r == 0)
			r = w->fn(w->arg, key, buf_bytes(&value));
	}
	buf_fini(&value);
	return r;
}

static int lmdb_walk_page(struct lmdb_walk *w, size_t page, unsigned depth)
{
	bool leaf = depth == w->look.meta->main.depth;
	int r = depth > w->look.meta->main.depth || w->pages-- == 0 ? -EIO : lmdb_read_page(&w->look, page);
	if (r == 0 && !lmdb_page_sound(&w->look, leaf ? LMDB_LEAF : LMDB_BRANCH))
		r = -EIO;
	if (r < 0)
		return r;
	if (leaf)
		return lmdb_walk_leaf(w);
	unsigned count = lmdb_count(&w->look);
	for (unsigned i = 0; r == 0 && i < count; i++) {
		struct lmdb_node node;
		struct bytes key, rest;
		/* Below it other pages were looked at. */
		if (i)
			r = lmdb_read_page(&w->look, page);
		if (r == 0 && i >= lmdb_count(&w->look))
			r = -EBUSY;
		if (r == 0)
			r = lmdb_node(&w->look, i, &node, &key, &rest);
		if (r == 0)
			r = lmdb_walk_page(w, lmdb_child_page(&node), depth + 1);
	}
	return r;
}

static int lmdb_each(const struct table_disk_file *f, table_entry_fn *fn, void *arg)
{
	struct lmdb_walk w = { .fn = fn, .arg = arg };
	struct stat st;
	int r = fstat(f->fd, &st) < 0 ? -errno : lmdb_begin(f, &w.look);
	if (r == 0)
		w.pages = (uint64_t)st.st_size / w.look.meta->free.page_size;
	if (r == 0 && w.look.meta->main.root != LMDB_NO_PAGE)
		r = lmdb_walk_page(&w, w.look.meta->main.root, 1);
	int still = w.look.meta ? lmdb_still(&w.look) : 0;
	buf_fini(&w.look.page);
	return still < 0 ? still : r;
}

const struct table_disk_kind lmdb_kind = { .suffix = ".lmdb", .shared = true, .find = lmdb_find, .each = lmdb_each, .check = lmdb_check };

static int lmdb_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_disk_open(&lmdb_kind, spec, ret_state, err);
}

const struct table_ops table_lmdb = {
	.type = "lmdb", .names_file = true, .fold_key = true, .open = lmdb_open, .close = table_disk_close, .ask = table_disk_ask,
	.each = table_disk_each, .builder = &lmdb_builder
};
