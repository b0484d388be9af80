/*
 * table_build_cdb.c: cdb: files, D. J. Bernstein's constant database.
 *
 *	head    256 times { position:32 slots:32 }, one for each hash table
 *	entry   key_length:32 value_length:32 key value
 *	table   slots times { hash:32 position:32 }, where position 0 is an empty slot
 *
 * Little endian.  A key's hash h says where it is looked for: in table h mod 256, from slot (h / 256) mod slots on.  A table has twice as many slots as
 * it has entries.
 */
#include "tcp_table/table_build.h"

#include "lib/base/mem.h"

#include <errno.h>

enum { CDB_TABLES = 256, CDB_HEAD = CDB_TABLES * 8 };

struct cdb_place {
	uint32_t hash, position;
};

static uint32_t build_cdb_hash(struct bytes key)
{
	uint32_t h = 5381;
	for (size_t i = 0; i < key.n; i++)
		h = ((h << 5) + h) ^ (unsigned char)key.p[i];
	return h;
}

static void build_cdb_number(char *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++, v >>= 8)
		to[i] = (char)(v & 0xff);
}

static void build_cdb_pair(char *to, uint32_t a, uint32_t b)
{
	build_cdb_number(to, a);
	build_cdb_number(to + 4, b);
}

static void build_cdb_entries(struct buf *file, const struct table_entry *entries, size_t n, struct cdb_place *places)
{
	for (size_t i = 0; i < n; i++) {
		const struct table_entry *e = &entries[i];
		places[i] = (struct cdb_place){ build_cdb_hash(e->key), (uint32_t)file->n };
		build_cdb_pair(buf_room(file, 8), (uint32_t)e->key.n, (uint32_t)e->value.n);
		buf_grown(file, 8);
		buf_add(file, e->key);
		buf_add(file, e->value);
	}
}

/* The place goes to the first empty slot from its own on. */
static void build_cdb_slot(char *table, uint32_t slots, const struct cdb_place *p)
{
	uint32_t i = (p->hash >> 8) % slots;
	while (memcmp(table + (size_t)i * 8 + 4, "\0\0\0\0", 4) != 0)
		i = (i + 1) % slots;
	build_cdb_pair(table + (size_t)i * 8, p->hash, p->position);
}

static void build_cdb_tables(struct buf *file, const struct cdb_place *places, size_t n)
{
	struct cdb_table {
		uint32_t entries;
		size_t start;
	} *tables = mem_zalloc(CDB_TABLES * sizeof *tables);

	for (size_t i = 0; i < n; i++)
		tables[places[i].hash % CDB_TABLES].entries++;
	for (unsigned i = 0; i < CDB_TABLES; i++) {
		size_t size = (size_t)tables[i].entries * 2 * 8;
		tables[i].start = file->n;
		build_cdb_pair(file->p + (size_t)i * 8, (uint32_t)file->n, tables[i].entries * 2);
		memset(buf_room(file, size + 1), 0, size);
		buf_grown(file, size);
	}
	for (size_t i = 0; i < n; i++) {
		const struct cdb_table *t = &tables[places[i].hash % CDB_TABLES];
		build_cdb_slot(file->p + t->start, t->entries * 2, &places[i]);
	}
	mem_free(tables);
}

/* Positions have 32 bits. */
static bool build_cdb_fits(const struct table_entry *entries, size_t n)
{
	uint64_t size = CDB_HEAD;
	for (size_t i = 0; i < n; i++)
		size += 8 + entries[i].key.n + entries[i].value.n + 16;
	return size <= UINT32_MAX;
}

static int build_cdb(int fd, const char *path, const struct table_entry *entries, size_t n, struct buf *err)
{
	struct buf file = { 0 };

	if (!build_cdb_fits(entries, n)) {
		buf_printf(err, "%s would have more than 4 GB, which a cdb file cannot have", path);
		return -EFBIG;
	}
	struct cdb_place *places = mem_array(NULL, n + 1, sizeof *places);
	memset(buf_room(&file, CDB_HEAD), 0, CDB_HEAD);
	buf_grown(&file, CDB_HEAD);
	build_cdb_entries(&file, entries, n, places);
	build_cdb_tables(&file, places, n);
	int r = table_build_put_out(fd, buf_bytes(&file));
	mem_free(places);
	buf_fini(&file);
	return r;
}

const struct table_builder cdb_builder = { .suffix = ".cdb", .write = build_cdb };
