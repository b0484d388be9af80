/*
 * table_build_db.c: hash: and btree: files (Berkeley DB 5.3).
 */
#include "tcp_table/table_build.h"

#include "lib/base/log.h"

#include <db.h>
#include <errno.h>

/* Postfix's berkeley_db_create_buffer_size, and what it expects a hash: file to hold at least. */
enum { BUILD_DB_CACHE = 16 << 20, BUILD_DB_ENTRIES = 4096 };

static void build_db_no_message(const DB_ENV *env, const char *prefix, const char *msg)
{
	(void)env;
	(void)prefix;
	log_debug("table", "%s", msg);
}

static int build_db_put_all(DB *db, const struct table_entry *entries, size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		DBT key = { .data = (void *)entries[i].key.p, .size = (u_int32_t)entries[i].key.n };
		DBT value = { .data = (void *)entries[i].value.p, .size = (u_int32_t)entries[i].value.n };
		r = db->put(db, NULL, &key, &value, 0);
	}
	return r;
}

static int build_db_open(DB *db, const char *path, DBTYPE type, size_t n)
{
	db->set_errcall(db, build_db_no_message);
	int r = db->set_cachesize(db, 0, BUILD_DB_CACHE, 1);
	if (r == 0 && type == DB_HASH)
		r = db->set_h_nelem(db, n > BUILD_DB_ENTRIES ? (u_int32_t)n : BUILD_DB_ENTRIES);
	if (r == 0)
		r = db->open(db, NULL, path, NULL, type, DB_CREATE | DB_TRUNCATE, 0600);
	return r;
}

static int build_db(const char *path, DBTYPE type, const struct table_entry *entries, size_t n, struct buf *err)
{
	DB *db;
	int r = db_create(&db, NULL, 0);
	if (r == 0) {
		r = build_db_open(db, path, type, n);
		if (r == 0)
			r = build_db_put_all(db, entries, n);
		int closed = db->close(db, 0);
		r = r ? r : closed;
	}
	if (r == 0)
		return 0;
	buf_printf(err, "cannot write %s: %s", path, db_strerror(r));
	return r > 0 ? -r : -EIO;
}

static int build_db_hash(int fd, const char *path, const struct table_entry *entries, size_t n, struct buf *err)
{
	(void)fd;
	return build_db(path, DB_HASH, entries, n, err);
}

static int build_db_btree(int fd, const char *path, const struct table_entry *entries, size_t n, struct buf *err)
{
	(void)fd;
	return build_db(path, DB_BTREE, entries, n, err);
}

const struct table_builder hash_builder = { .suffix = ".db", .nul = true, .write = build_db_hash };
const struct table_builder btree_builder = { .suffix = ".db", .nul = true, .write = build_db_btree };
