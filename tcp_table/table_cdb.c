/*
 * table_cdb.c: cdb:/file: /file.cdb, a constant database as postmap, tinycdb and cdbmake make it.
 *
 * All numbers are 32 bits, little-endian.  The file begins with 256 pairs: where the hash table of the keys with this last byte of the hash begins,
 * and how many slots it has.  Then come the records, each the length of its key, the length of its value, key, value; then the hash tables.  A slot is
 * the hash of a key and where its record begins; 0: the slot is empty.  A key is looked for from slot (hash / 256) mod slots on, and is not there when an
 * empty slot is met.  The hash begins with 5381; each byte of the key is xored to 33 times the hash.
 *
 * The file never changes once it is made: a new one is moved into its place.  Should somebody write to it nevertheless, that is noticed after each lookup
 * (table_disk.h), so a lookup believes what check() has seen.
 */
#include "tcp_table/table_build.h"
#include "tcp_table/table_disk.h"
#include "tcp_table/table_kinds.h"

#include <errno.h>
#include <sys/stat.h>

enum { CDB_HEADER = 2048, CDB_PAIR = 8, CDB_TABLES = 256 };

/* What is known of the file after a look at its header. */
struct cdb_shape {
	struct stat st;
	uint64_t records_end;           /* where the hash tables begin */
};

static uint32_t cdb_number(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint32_t cdb_hash(struct bytes key)
{
	uint32_t h = 5381;
	for (size_t i = 0; i < key.n; i++)
		h = (h * 33) ^ (unsigned char)key.p[i];
	return h;
}

/* Every table is within the file: so a file that was cut is found out whatever is asked. */
static int cdb_header(const char *header, struct cdb_shape *ret)
{
	uint64_t size = (uint64_t)ret->st.st_size;

	ret->records_end = size;
	for (unsigned i = 0; i < CDB_TABLES; i++) {
		uint32_t at = cdb_number(header + i * CDB_PAIR), slots = cdb_number(header + i * CDB_PAIR + 4);
		if (slots && (at < CDB_HEADER || at + (uint64_t)slots * CDB_PAIR > size))
			return -EIO;
		if (slots && at < ret->records_end)
			ret->records_end = at;
	}
	/* Without tables there are no records. */
	return ret->records_end == size && size != CDB_HEADER ? -EIO : 0;
}

static int cdb_shape(const struct table_disk_file *f, struct cdb_shape *ret)
{
	struct buf header = { 0 };
	if (fstat(f->fd, &ret->st) < 0)
		return -errno;
	int r = table_disk_read(f, 0, buf_room(&header, CDB_HEADER), CDB_HEADER);
	if (r == 0)
		r = cdb_header(header.p, ret);
	buf_fini(&header);
	return r;
}

/* Appends what stands at AT of the records. */
static int cdb_append(const struct table_disk_file *f, uint64_t at, uint64_t n, struct buf *ret)
{
	int r = table_disk_read(f, at, buf_room(ret, n), n);
	if (r == 0)
		buf_grown(ret, n);
	return r;
}

/* 1: the record at AT is KEY's, its value appended to RET. */
static int cdb_record(const struct table_disk_file *f, uint32_t at, struct bytes key, struct buf *ret)
{
	char lengths[CDB_PAIR];
	size_t before = ret->n;

	if (at < CDB_HEADER || at + (uint64_t)CDB_PAIR > f->size)
		return -EIO;
	int r = table_disk_read(f, at, lengths, sizeof lengths);
	if (r < 0)
		return r;
	uint32_t key_n = cdb_number(lengths), value_n = cdb_number(lengths + 4);
	uint64_t both = (uint64_t)key_n + value_n, begin = at + (uint64_t)CDB_PAIR;
	if (begin + both > f->size)
		return -EIO;
	if (key_n != key.n)
		return 0;
	r = cdb_append(f, begin, both, ret);
	bool same = r == 0 && memcmp(ret->p + before, key.p, key.n) == 0;
	if (same)
		memmove(ret->p + before, ret->p + before + key.n, value_n);
	ret->n = same ? before + value_n : before;
	return r < 0 ? r : same;
}

/* Where the hash table of HASH is. */
static int cdb_table(const struct table_disk_file *f, uint32_t hash, uint32_t *ret, uint32_t *ret_slots)
{
	char pair[CDB_PAIR];
	int r = table_disk_read(f, hash % CDB_TABLES * CDB_PAIR, pair, sizeof pair);
	if (r < 0)
		return r;
	*ret = cdb_number(pair);
	*ret_slots = cdb_number(pair + 4);
	return 0;
}

static int cdb_find(const struct table_disk_file *f, struct bytes key, struct buf *ret)
{
	uint32_t hash = cdb_hash(key), table, slots = 0;

	int r = cdb_table(f, hash, &table, &slots);
	for (uint32_t i = 0; r == 0 && i < slots; i++) {
		char slot[CDB_PAIR];
		uint32_t n = (uint32_t)(((uint64_t)(hash / CDB_TABLES) + i) % slots);
		r = table_disk_read(f, table + (uint64_t)n * CDB_PAIR, slot, sizeof slot);
		if (r < 0)
			break;
		uint32_t at = cdb_number(slot + 4);
		if (at == 0)
			return 0;
		if (cdb_number(slot) == hash)
			r = cdb_record(f, at, key, ret);
	}
	return r;
}

/* Nobody should write to it; but if somebody copies another file over it, what was read is a mixture of both. */
static bool cdb_untouched(const struct table_disk_file *f, const struct cdb_shape *s)
{
	struct stat st;
	return fstat(f->fd, &st) == 0 && st.st_size == s->st.st_size && st.st_mtim.tv_sec == s->st.st_mtim.tv_sec &&
	       st.st_mtim.tv_nsec == s->st.st_mtim.tv_nsec;
}

static int cdb_check(const struct table_disk_file *f)
{
	struct cdb_shape s;
	return cdb_shape(f, &s);
}

/* The record at *AT; *AT is then behind it. */
static int cdb_next(const struct table_disk_file *f, const struct cdb_shape *s, uint64_t *at, struct buf *key, struct buf *value)
{
	char lengths[CDB_PAIR];
	if (*at + CDB_PAIR > s->records_end)
		return -EIO;
	int r = table_disk_read(f, *at, lengths, sizeof lengths);
	if (r < 0)
		return r;
	uint32_t key_n = cdb_number(lengths), value_n = cdb_number(lengths + 4);
	uint64_t begin = *at + CDB_PAIR;
	if (begin + key_n + value_n > s->records_end)
		return -EIO;
	buf_clear(key);
	buf_clear(value);
	r = cdb_append(f, begin, key_n, key);
	if (r == 0)
		r = cdb_append(f, begin + key_n, value_n, value);
	*at = begin + key_n + value_n;
	return r;
}

static int cdb_each(const struct table_disk_file *f, table_entry_fn *fn, void *arg)
{
	struct buf key = { 0 }, value = { 0 };
	struct cdb_shape s;
	uint64_t at = CDB_HEADER;

	int r = cdb_shape(f, &s);
	while (r == 0 && at < s.records_end) {
		r = cdb_next(f, &s, &at, &key, &value);
		if (r == 0)
			r = fn(arg, buf_bytes(&key), buf_bytes(&value));
	}
	buf_fini(&key);
	buf_fini(&value);
	return r < 0 || cdb_untouched(f, &s) ? r : -EBUSY;
}

const struct table_disk_kind cdb_kind = { .suffix = ".cdb", .find = cdb_find, .each = cdb_each, .check = cdb_check };

static int cdb_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_disk_open(&cdb_kind, spec, ret_state, err);
}

const struct table_ops table_cdb = {
	.type = "cdb", .names_file = true, .fold_key = true, .open = cdb_open, .close = table_disk_close, .ask = table_disk_ask,
	.each = table_disk_each, .builder = &cdb_builder
};
