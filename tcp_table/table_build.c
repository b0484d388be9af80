/*
 * table_build.c: entries, their duplicates, and the file that takes the place of the old one.
 *
 * Locks, so that no two write at a time: "file.db.tmp" is locked while it is written, as postmap does it with cdb; and when the old entries are kept, the
 * old file is locked against postmap, which changes it in place, but not against those who read (file_lock.h).
 */
#include "tcp_table/table_build.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"
#include "tcp_table/file_lock.h"
#include "tcp_table/table_fold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct table_build {
	const struct table_builder *builder;
	struct table_build_options options;
	char *path, *temp;              /* "file.db", "file.db.tmp" */
	int fd, old_fd;                 /* of TEMP; of PATH, when it is locked */
	struct strmap entries;          /* key, with its NUL, to struct bytes in the arena */
	struct arena arena;
};

/* ---- entries ---- */

static bool table_build_nul(const struct table_build *b, enum table_nul nul)
{
	return nul == TABLE_NUL_DEFAULT ? b->builder->nul : nul == TABLE_NUL_ONE;
}

static void table_build_set(struct table_build *b, struct bytes key, struct bytes value)
{
	struct bytes *kept = ARENA_NEW(&b->arena, struct bytes);
	*kept = arena_bytes(&b->arena, value);
	strmap_set(&b->entries, key, kept);
}

static void table_build_form(struct bytes text, bool nul, struct buf *to)
{
	buf_clear(to);
	buf_add(to, text);
	if (nul)
		buf_add_char(to, '\0');
}

static void table_build_key(const struct table_build *b, struct bytes key, bool nul, struct buf *to)
{
	struct buf folded = { 0 };
	if (!b->options.keep_case) {
		table_fold(key, &folded);
		key = buf_bytes(&folded);
	}
	table_build_form(key, nul, to);
	buf_fini(&folded);
}

static int table_build_put(struct table_build *b, struct bytes key, struct bytes value, bool replace)
{
	if (b->builder->key_max && key.n > b->builder->key_max)
		return -E2BIG;
	bool there = strmap_get(&b->entries, key) != NULL;
	if (!there || replace)
		table_build_set(b, key, value);
	return there;
}

int table_build_add(struct table_build *b, struct bytes key, struct bytes value)
{
	bool nul = table_build_nul(b, b->options.nul);
	struct buf k = { 0 }, v = { 0 };
	table_build_key(b, key, nul, &k);
	table_build_form(value, nul, &v);
	int r = table_build_put(b, buf_bytes(&k), buf_bytes(&v), b->options.replace);
	buf_fini(&k);
	buf_fini(&v);
	return r;
}

int table_build_sign(struct table_build *b, struct bytes key, struct bytes value, enum table_nul nul)
{
	bool with = table_build_nul(b, nul == TABLE_NUL_DEFAULT ? b->options.nul : nul);
	struct buf k = { 0 }, v = { 0 };
	table_build_form(key, with, &k);
	table_build_form(value, with, &v);
	int r = table_build_put(b, buf_bytes(&k), buf_bytes(&v), true);
	buf_fini(&k);
	buf_fini(&v);
	return r;
}

bool table_build_remove(struct table_build *b, struct bytes key)
{
	bool there = false;
	struct buf k = { 0 };
	/* As a lookup would find it: the form with NUL comes first. */
	for (int nul = 1; nul >= 0 && !there; nul--) {
		if (b->options.nul != TABLE_NUL_DEFAULT && nul != (b->options.nul == TABLE_NUL_ONE))
			continue;
		table_build_key(b, key, nul, &k);
		there = strmap_remove(&b->entries, buf_bytes(&k)) != NULL;
	}
	buf_fini(&k);
	return there;
}

/* ---- files and locks ---- */

/* Is FD still what PATH names? */
static bool table_build_named(int fd, const char *path)
{
	struct stat open, named;
	return fstat(fd, &open) == 0 && stat(path, &named) == 0 && open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

/* Opens PATH and locks it, alone if it is to be written to: the file that has the name when the lock is ours. */
static int table_build_open_locked(const char *path, int flags, int *ret)
{
	for (;;) {
		int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		int r = file_lock(fd, flags != O_RDONLY);
		if (r == 0 && table_build_named(fd, path)) {
			*ret = fd;
			return 0;
		}
		close(fd);
		if (r < 0)
			return r;
	}
}

static int table_build_keep(void *arg, struct bytes key, struct bytes value)
{
	table_build_set(arg, key, value);
	return 0;
}

static int table_build_read_old(struct table_build *b, const struct table_ops *const *kinds, struct bytes map, struct buf *err)
{
	struct table *old;
	int r = table_build_open_locked(b->path, O_RDONLY, &b->old_fd);
	if (r == -ENOENT && !b->options.must_exist)
		return 0;
	if (r < 0) {
		buf_printf(err, "cannot open %s: %s", b->path, strerror(-r));
		return r;
	}
	r = table_open(kinds, map, NULL, "old", &old, err);
	if (r < 0)
		return r;
	r = table_each(old, table_build_keep, b, err);
	table_close(&old);
	return r;
}

static const struct table_builder *table_build_find(const struct table_ops *const *kinds, struct bytes type, struct buf *err)
{
	for (const struct table_ops *const *k = kinds; *k; k++)
		if (bytes_eq(bytes_of((*k)->type), type) && (*k)->builder)
			return (*k)->builder;
	buf_printf(err, "a table of type %.*s cannot be built; these can be:", BYTES_ARG(type));
	for (; *kinds; kinds++)
		if ((*kinds)->builder)
			buf_printf(err, " %s", (*kinds)->type);
	return NULL;
}

/* FILE.SUFFIX, where that really is: a symbolic link is not replaced, but what it leads to. */
static char *table_build_path(struct bytes file, const char *suffix)
{
	char *named = mem_printf("%.*s%s", BYTES_ARG(file), suffix), *real = realpath(named, NULL);
	if (!real)
		return named;
	mem_free(named);
	named = mem_strdup(real);
	free(real);
	return named;
}

int table_build_new(const struct table_ops *const *kinds, struct bytes map, const struct table_build_options *o, struct table_build **ret, struct buf *err)
{
	struct bytes file = map, type = bytes_cut(&file, ':');
	const struct table_builder *builder = table_build_find(kinds, type, err);
	if (!builder)
		return -EOPNOTSUPP;
	struct table_build *b = NEW(struct table_build);
	*b = (struct table_build){ .builder = builder, .options = *o, .fd = -1, .old_fd = -1 };
	b->path = table_build_path(file, builder->suffix);
	b->temp = mem_printf("%s.tmp", b->path);
	int r = table_build_open_locked(b->temp, O_RDWR | O_CREAT, &b->fd);
	if (r < 0)
		buf_printf(err, "cannot make %s: %s", b->temp, strerror(-r));
	if (r == 0 && o->keep)
		r = table_build_read_old(b, kinds, map, err);
	if (r < 0)
		table_build_free(&b);
	else
		*ret = b;
	return r;
}

void table_build_free(struct table_build **bp)
{
	struct table_build *b = *bp;
	*bp = NULL;
	if (!b)
		return;
	/* What became the table has this name no more. */
	if (b->fd >= 0 && table_build_named(b->fd, b->temp))
		unlink(b->temp);
	if (b->fd >= 0)
		close(b->fd);
	if (b->old_fd >= 0)
		close(b->old_fd);
	strmap_fini(&b->entries);
	arena_fini(&b->arena);
	mem_free(b->path);
	mem_free(b->temp);
	mem_free(b);
}

/* ---- writing ---- */

int table_build_put_out(int fd, struct bytes content)
{
	while (content.n) {
		ssize_t n = write(fd, content.p, content.n);
		if (n < 0 && errno != EINTR)
			return -errno;
		content = bytes_skip(content, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

static int table_build_order(const void *a, const void *b)
{
	return bytes_cmp(((const struct table_entry *)a)->key, ((const struct table_entry *)b)->key);
}

static struct table_entry *table_build_sorted(const struct table_build *b)
{
	struct table_entry *sorted = mem_array(NULL, b->entries.n + 1, sizeof *sorted);
	const struct strmap_entry *e;
	size_t i = 0, n = 0;
	while ((e = strmap_next(&b->entries, &i)))
		sorted[n++] = (struct table_entry){ bytes_make(e->key, e->key_len), *(const struct bytes *)e->value };
	qsort(sorted, n, sizeof *sorted, table_build_order);
	return sorted;
}

/* A file that is there keeps its mode, and its group if we may give it, as if it were written over. */
static int table_build_mode(const struct table_build *b)
{
	struct stat old;
	mode_t mode = b->options.mode;
	if (stat(b->path, &old) == 0) {
		mode = old.st_mode & 0777;
		if (fchown(b->fd, (uid_t)-1, old.st_gid) < 0 && errno != EPERM)
			return -errno;
	}
	return fchmod(b->fd, mode) < 0 ? -errno : 0;
}

int table_build_write(struct table_build *b, struct buf *err)
{
	/* Somebody may have been interrupted at it. */
	int r = ftruncate(b->fd, 0) < 0 ? -errno : 0;
	if (r == 0) {
		struct table_entry *sorted = table_build_sorted(b);
		r = b->builder->write(b->fd, b->temp, sorted, b->entries.n, err);
		mem_free(sorted);
	}
	if (r == 0)
		r = table_build_mode(b);
	if (r == 0 && fsync(b->fd) < 0)
		r = -errno;
	if (r == 0 && rename(b->temp, b->path) < 0)
		r = -errno;
	if (r < 0 && err->n == 0)
		buf_printf(err, "cannot write %s: %s", b->path, strerror(-r));
	return r;
}
