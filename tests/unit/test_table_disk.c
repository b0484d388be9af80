/* test_table_disk.c: cdb: and lmdb: files as their libraries make them, and what may happen to them while they are in use. */
#include "tests/unit/table_test.h"

#include <cdb.h>
#include <lmdb.h>

static const char *const types[] = { "cdb", "lmdb" };
enum { CDB, LMDB };

static const char *disk_path(int type)
{
	static char paths[2][96];
	snprintf(paths[type], sizeof paths[type], "%s.%s", file_path(), types[type]);
	return paths[type];
}

/* ---- making files ---- */

static void cdb_write(const char *path, bool nul, const struct pair *pairs, unsigned n)
{
	struct cdb_make m;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(cdb_make_start(&m, fd), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(cdb_make_add(&m, pairs[i].key, (unsigned)strlen(pairs[i].key) + nul, pairs[i].value,
					      (unsigned)strlen(pairs[i].value) + nul), 0);
	assert_int_equal(cdb_make_finish(&m), 0);
	close(fd);
}

struct lmdb_writer {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
};

static void lmdb_begin(struct lmdb_writer *w, const char *path, size_t map_size)
{
	assert_int_equal(mdb_env_create(&w->env), 0);
	assert_int_equal(mdb_env_set_mapsize(w->env, map_size), 0);
	assert_int_equal(mdb_env_open(w->env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
	assert_int_equal(mdb_txn_begin(w->env, NULL, 0, &w->txn), 0);
	assert_int_equal(mdb_dbi_open(w->txn, NULL, 0, &w->dbi), 0);
}

static void lmdb_put(struct lmdb_writer *w, bool nul, const struct pair *p)
{
	MDB_val key = { strlen(p->key) + nul, (void *)p->key }, value = { strlen(p->value) + nul, (void *)p->value };
	assert_int_equal(mdb_put(w->txn, w->dbi, &key, &value, 0), 0);
}

static void lmdb_end(struct lmdb_writer *w)
{
	assert_int_equal(mdb_txn_commit(w->txn), 0);
	mdb_env_close(w->env);
}

static void lmdb_write(const char *path, bool nul, const struct pair *pairs, unsigned n)
{
	struct lmdb_writer w;
	lmdb_begin(&w, path, 64 << 20);
	assert_int_equal(mdb_drop(w.txn, w.dbi, 0), 0);
	for (unsigned i = 0; i < n; i++)
		lmdb_put(&w, nul, &pairs[i]);
	lmdb_end(&w);
}

static void disk_write(int type, const char *path, bool nul, const struct pair *pairs, unsigned n)
{
	(type == CDB ? cdb_write : lmdb_write)(path, nul, pairs, n);
}

static void disk_make(int type, bool nul, const struct pair *pairs, unsigned n)
{
	unlink(disk_path(type));
	disk_write(type, disk_path(type), nul, pairs, n);
}

/* Moves a new file into the place of the one in use. */
static void disk_replace(int type, bool nul, const struct pair *pairs, unsigned n)
{
	char new[112];
	snprintf(new, sizeof new, "%s.new", disk_path(type));
	disk_write(type, new, nul, pairs, n);
	assert_int_equal(rename(new, disk_path(type)), 0);
}

/* So many keys that the trees and hash tables are more than a page. */
enum { MANY = 20000 };
static struct pair many[MANY];

static void many_init(void)
{
	static char text[MANY][16];
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof text[i], "user%u", i);
		many[i] = (struct pair){ text[i], text[i] };
	}
}

static const struct pair entries[] = {
	{ "joe@example.org", "joe" }, { "jos\xc3\xa9", "jos\xc3\xa9" }, { "spaces", "  a b  " }, { "@example.net", "x" }, { "empty", "" }
};
static const struct pair asked[] = {
	{ "joe@example.org", "joe" }, { "Joe@Example.ORG", "joe" }, { "jos\xc3\xa9", "jos\xc3\xa9" }, { "spaces", "  a b  " }, { "empty", "" },
	{ "joe", NULL }, { "joe@example.or", NULL }, { "joe@example.orgg", NULL }, { "zzz", NULL }, { "!", NULL }, { "", NULL },
};
static const struct pair other[] = { { "jane", "jane" } };

/* ---- answers ---- */

static void test_answers(void **state)
{
	(void)state;
	for (int type = 0; type < 2; type++)
		for (int nul = 0; nul < 2; nul++) {
			disk_make(type, nul, entries, COUNT_OF(entries));
			expect_all(open_file(types[type]), asked, COUNT_OF(asked));
		}
}

static void test_empty(void **state)
{
	(void)state;
	for (int type = 0; type < 2; type++) {
		disk_make(type, true, NULL, 0);
		expect_all(open_file(types[type]), &(struct pair){ "joe", NULL }, 1);
	}
}

/* WANT: the only value there may be; an unknown may be said only when MAYBE. */
static unsigned expect_true_or_unknown(struct table *t, const char *key, const char *want)
{
	struct question q = { .t = t, .key = key };
	in_task(ask_main, &q);
	assert_int_equal(q.r > 0, q.r != 0 && q.err.n == 0);
	assert_true(q.r == 1 || q.r < 0);
	if (q.r == 1)
		assert_string_equal(buf_str(&q.value), want);
	buf_fini(&q.value);
	buf_fini(&q.err);
	return q.r < 0;
}

static void test_many(void **state)
{
	(void)state;
	many_init();
	for (int type = 0; type < 2; type++) {
		disk_make(type, true, many, MANY);
		struct table *t = open_file(types[type]);
		for (unsigned i = 0; i < MANY; i++)
			assert_int_equal(expect_true_or_unknown(t, many[i].key, many[i].value), 0);
		expect(t, "user", NULL);
		expect(t, "user20000", NULL);
		expect(t, "zuser1", NULL);
		table_close(&t);
	}
}

static void test_long_values(void **state)
{
	(void)state;
	static char value[3][100001];
	struct pair p[4] = { { "short", "s" } };
	for (int i = 0; i < 3; i++) {
		memset(value[i], 'a' + i, (size_t[]){ 2000, 4081, 100000 }[i]);
		p[i + 1] = (struct pair){ (const char *[]){ "a", "b", "c" }[i], value[i] };
	}
	for (int type = 0; type < 2; type++) {
		disk_make(type, true, p, 4);
		expect_all(open_file(types[type]), p, 4);
	}
}

/* ---- files that are none ---- */

static void expect_open(int type, int r, const char *why)
{
	struct table *t = NULL;
	struct buf err = { 0 };
	char map[128];
	snprintf(map, sizeof map, "%s:%s", types[type], file_path());
	assert_int_equal(table_open(kinds, bytes_of(map), NULL, "test", &t, &err), r);
	print_message("[ case     ] %s\n", buf_str(&err));
	assert_non_null(strstr(buf_str(&err), why));
	buf_fini(&err);
}

static void test_cannot_open(void **state)
{
	(void)state;
	static char zeros[20000];
	for (int type = 0; type < 2; type++) {
		expect_open(type, -ENOENT, type == CDB ? "table.cdb: No such file" : "table.lmdb: No such file");
		file_write(disk_path(type), "", 60);
		expect_open(type, -EIO, "the file is damaged");
		file_write(disk_path(type), "this is no database, only some text\n", 60);
		expect_open(type, -EIO, "the file is damaged");
		FILE *f = fopen(disk_path(type), "w");
		assert_int_equal(fwrite(zeros, 1, sizeof zeros, f), sizeof zeros);
		assert_int_equal(fclose(f), 0);
		expect_open(type, -EIO, "the file is damaged");
		unlink(disk_path(type));
		assert_int_equal(mkdir(disk_path(type), 0700), 0);
		expect_open(type, -EINVAL, "Invalid argument");
	}
}

/* A tree that Postfix could not make: its keys would be looked for in the wrong order. */
static void test_peculiar_lmdb(void **state)
{
	(void)state;
	struct lmdb_writer w;
	MDB_dbi dbi;
	lmdb_begin(&w, disk_path(LMDB), 1 << 20);
	assert_int_equal(mdb_dbi_open(w.txn, NULL, MDB_DUPSORT | MDB_REVERSEKEY, &dbi), 0);
	lmdb_put(&w, true, &entries[0]);
	lmdb_end(&w);
	expect_open(LMDB, -EIO, "the file is damaged");
}

static void test_older_than_source(void **state)
{
	(void)state;
	for (int type = 0; type < 2; type++) {
		disk_make(type, true, entries, COUNT_OF(entries));
		file_age(disk_path(type), 100);
		file_write(file_path(), "joe@example.org jane\n", 50);
		buf_clear(&logged);
		struct table *t = open_file(types[type]);
		assert_non_null(strstr(buf_str(&logged), "is older than its source"));
		table_close(&t);
	}
}

/* ---- changes ---- */

static void test_replaced(void **state)
{
	(void)state;
	for (int type = 0; type < 2; type++) {
		disk_make(type, true, entries, COUNT_OF(entries));
		struct table *t = open_file(types[type]);
		expect(t, "joe@example.org", "joe");
		/* By a tool that leaves the NUL out. */
		disk_replace(type, false, other, 1);
		expect(t, "joe@example.org", NULL);
		expect(t, "jane", "jane");
		disk_replace(type, true, entries, COUNT_OF(entries));
		expect(t, "joe@example.org", "joe");
		table_close(&t);
		assert_int_equal(logged.n, 0);
	}
}

static void test_removed_or_replaced_by_rubbish(void **state)
{
	(void)state;
	char new[112];
	for (int type = 0; type < 2; type++) {
		snprintf(new, sizeof new, "%s.new", disk_path(type));
		disk_make(type, true, entries, COUNT_OF(entries));
		struct table *t = open_file(types[type]);
		assert_int_equal(unlink(disk_path(type)), 0);
		expect(t, "joe@example.org", "joe");
		expect(t, "jane", NULL);
		assert_non_null(strstr(buf_str(&logged), "No such file or directory: the old entries are kept"));
		file_write(new, "rubbish\n", 60);
		assert_int_equal(rename(new, disk_path(type)), 0);
		expect(t, "joe@example.org", "joe");
		assert_non_null(strstr(buf_str(&logged), "the file is damaged: the old entries are kept"));
		buf_clear(&logged);
		expect(t, "joe@example.org", "joe");
		assert_int_equal(logged.n, 0);  /* said once */
		disk_replace(type, true, other, 1);
		expect(t, "jane", "jane");
		table_close(&t);
	}
}

/* Cut anywhere, a file never says that a key it held does not exist. */
static void test_truncated(void **state)
{
	(void)state;
	struct stat st;
	many_init();
	for (int type = 0; type < 2; type++)
		for (unsigned part = 0; part < 8; part++) {
			disk_make(type, true, many, MANY);
			struct table *t = open_file(types[type]);
			if (part & 2)
				warm(t, "user7");
			assert_int_equal(stat(disk_path(type), &st), 0);
			assert_int_equal(truncate(disk_path(type), st.st_size * part / 8 + (part & 1) * 100), 0);
			unsigned unknown = 0, all = 0;
			for (unsigned i = 0; i < MANY; i += 37, all++)
				unknown += expect_true_or_unknown(t, many[i].key, many[i].value);
			print_message("[ case     ] %s, %u/8: %u of %u cannot be told\n", types[type], part, unknown, all);
			assert_true(unknown > 0);
			/* And it is well again when the file is. */
			disk_replace(type, true, other, 1);
			expect(t, "jane", "jane");
			table_close(&t);
		}
}

struct cut {
	struct table *t;
	const char *path, *key, *want;
	off_t size;
	int r;
};

/* Within one turn of the loop, for which one look at the file is enough, it is cut between two questions. */
TASK_FN static void cut_main(void *arg)
{
	struct cut *cut = arg;
	struct buf value = { 0 }, err = { 0 };
	assert_int_equal(table_get(cut->t, bytes_of(cut->key), &value, &err), 1);
	assert_int_equal(truncate(cut->path, cut->size), 0);
	buf_clear(&value);
	cut->r = table_get(cut->t, bytes_of(cut->key), &value, &err);
	assert_true(cut->r == 1 ? strcmp(buf_str(&value), cut->want) == 0 : cut->r < 0);
	buf_fini(&value);
	buf_fini(&err);
}

static void test_cut_in_turn(void **state)
{
	(void)state;
	struct stat st;
	unsigned unknown = 0, all = 0;
	for (int type = 0; type < 2; type++)
		for (int part = 0; part < 12; part++, all++) {
			disk_make(type, true, entries, COUNT_OF(entries));
			struct cut cut = { .t = open_file(types[type]), .path = disk_path(type), .key = "joe@example.org", .want = "joe" };
			warm(cut.t, cut.key);
			assert_int_equal(stat(cut.path, &st), 0);
			/* All that is cut off was on the last page. */
			off_t page = (st.st_size - 1) / 4096 * 4096;
			cut.size = page + (st.st_size - page) * part / 12 + 1;
			in_task(cut_main, &cut);
			print_message("[ case     ] %s cut at %d of %d: %d\n", types[type], (int)cut.size, (int)st.st_size, cut.r);
			unknown += cut.r < 0;
			table_close(&cut.t);
		}
	assert_true(unknown > all / 2);
}

/* Nobody should write over a cdb file; who does is noticed, with a map and without. */
static void test_overwritten_cdb(void **state)
{
	(void)state;
	for (int mapped = 0; mapped < 2; mapped++) {
		disk_make(CDB, true, (struct pair[]){ { "jane", "one" }, { "joe", "one" } }, 2);
		struct table *t = open_file("cdb");
		warm(t, mapped ? "jane" : "nobody");
		cdb_write(disk_path(CDB), true, (struct pair[]){ { "jane", "two" }, { "jim", "two" } }, 2);
		expect(t, "jane", "two");
		expect(t, "joe", NULL);
		expect(t, "jim", "two");
		table_close(&t);
	}
}

/* ---- LMDB's writers ---- */

static void test_lmdb_writer(void **state)
{
	(void)state;
	struct lmdb_writer w;
	many_init();
	disk_make(LMDB, true, entries, COUNT_OF(entries));
	struct table *t = open_file("lmdb");
	/* What is not committed is not seen; then it is, though the file has become larger than it was when it was opened. */
	lmdb_begin(&w, disk_path(LMDB), 64 << 20);
	for (unsigned i = 0; i < MANY; i++)
		lmdb_put(&w, true, &many[i]);
	expect(t, "joe@example.org", "joe");
	expect(t, "user5", NULL);
	lmdb_end(&w);
	expect(t, "user5", "user5");
	expect(t, "joe@example.org", "joe");
	/* postmap empties the file and fills it again, in one transaction. */
	disk_write(LMDB, disk_path(LMDB), true, other, 1);
	expect(t, "user5", NULL);
	expect(t, "jane", "jane");
	table_close(&t);
}

struct race {
	struct table *t;
	bool end;
	unsigned rounds, answers;
};

static int race_write(void *arg)
{
	const struct race *race = arg;
	const struct pair p[] = { { "jane", race->rounds & 1 ? "odd" : "even" } };
	struct lmdb_writer w;
	lmdb_begin(&w, disk_path(LMDB), 64 << 20);
	lmdb_put(&w, true, &p[0]);
	for (unsigned i = race->rounds % 7; i < 200; i++)
		lmdb_put(&w, true, &many[i]);
	lmdb_end(&w);
	return 0;
}

TASK_FN static void race_writer(struct race *race)
{
	for (race->rounds = 0; race->rounds < 100; race->rounds++)
		assert_int_equal(task_offload(race_write, race), 0);
	race->end = true;
}

/* Asks while another thread writes: what is in every state of the file is always found. */
TASK_FN static void race_main(void *arg)
{
	struct race *race = arg;
	struct task_group g;
	task_group_init(&g);
	task_spawn(&g, "writer", race_writer, race);
	while (!race->end) {
		struct buf value = { 0 }, err = { 0 };
		int r = table_get(race->t, BYTES("jane"), &value, &err);
		assert_true(r == 1 || (r == -EBUSY && value.n == 0));
		assert_true(r < 0 || strcmp(buf_str(&value), "odd") == 0 || strcmp(buf_str(&value), "even") == 0 || strcmp(buf_str(&value), "jane") == 0);
		race->answers += r == 1;
		buf_fini(&value);
		buf_fini(&err);
		task_yield();
	}
	task_group_wait(&g);
}

static void test_lmdb_race(void **state)
{
	(void)state;
	many_init();
	disk_make(LMDB, true, other, 1);
	struct race race = { .t = open_file("lmdb") };
	in_task(race_main, &race);
	print_message("[ case     ] %u answers during %u transactions\n", race.answers, race.rounds);
	assert_true(race.answers > 0);
	table_close(&race.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers), TEST(test_empty), TEST(test_many), TEST(test_long_values),
		TEST(test_cannot_open), TEST(test_peculiar_lmdb), TEST(test_older_than_source),
		TEST(test_replaced), TEST(test_removed_or_replaced_by_rubbish), TEST(test_truncated), TEST(test_cut_in_turn), TEST(test_overwritten_cdb),
		TEST(test_lmdb_writer), TEST(test_lmdb_race),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
