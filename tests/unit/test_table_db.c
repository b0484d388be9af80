/* test_table_db.c: hash: and btree: files as postmap and makemap make them, and what may happen to them while they are in use. */
#include "tests/unit/table_test.h"

#include "lib/run/task.h"

#include <db.h>
#include <sys/file.h>
#include <sys/stat.h>

/* What postmap does: opens, locks, empties, fills. */
static void db_make(const char *path, DBTYPE type, bool nul, const struct pair *pairs, unsigned n)
{
	DB *db;
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, path, NULL, type, DB_CREATE | DB_TRUNCATE, 0600), 0);
	for (unsigned i = 0; i < n; i++) {
		DBT key = { .data = (char *)pairs[i].key, .size = (u_int32_t)strlen(pairs[i].key) + nul };
		DBT value = { .data = (char *)pairs[i].value, .size = (u_int32_t)strlen(pairs[i].value) + nul };
		assert_int_equal(db->put(db, NULL, &key, &value, 0), 0);
	}
	assert_int_equal(db->close(db, 0), 0);
}

static const char *db_path(void)
{
	static char path[96];
	snprintf(path, sizeof path, "%s.db", file_path());
	return path;
}

static const struct pair entries[] = { { "joe@example.org", "joe" }, { "jos\xc3\xa9", "jos\xc3\xa9" }, { "spaces", "  a b  " }, { "@example.net", "x" } };
static const struct pair asked[] = {
	{ "joe@example.org", "joe" }, { "Joe@Example.ORG", "joe" }, { "jos\xc3\xa9", "jos\xc3\xa9" }, { "spaces", "  a b  " },
	{ "joe", NULL }, { "joe@example.or", NULL }, { "joe@example.orgg", NULL }, { "", NULL },
};

static void test_kinds(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bool hash = i & 1, nul = i & 2;
		db_make(db_path(), hash ? DB_HASH : DB_BTREE, nul, entries, COUNT_OF(entries));
		expect_all(open_file(hash ? "hash" : "btree"), asked, COUNT_OF(asked));
	}
}

static void expect_open(const char *map, int r, const char *why)
{
	struct table *t = NULL;
	struct buf err = { 0 };
	assert_int_equal(table_open(kinds, bytes_of(map), NULL, "test", &t, &err), r);
	assert_non_null(strstr(buf_str(&err), why));
	buf_fini(&err);
}

static void test_cannot_open(void **state)
{
	(void)state;
	char map[128];
	expect_open("hash:/nowhere/aliases", -ENOENT, "cannot open /nowhere/aliases.db: No such file");
	snprintf(map, sizeof map, "hash:%s", file_path());
	file_write(db_path(), "this is no database, only some text\n", 60);
	expect_open(map, -EINVAL, ".db: it is no hash file of Berkeley DB");
	file_write(db_path(), "", 60);
	expect_open(map, -EINVAL, ".db: it is no hash file");
	db_make(db_path(), DB_BTREE, true, entries, COUNT_OF(entries));
	expect_open(map, -EINVAL, ".db: it is no hash file");
	assert_int_equal(truncate(db_path(), 300), 0);
	expect_open(map, -EIO, ".db: the file is damaged");
}

static void test_older_than_source(void **state)
{
	(void)state;
	db_make(db_path(), DB_HASH, true, entries, COUNT_OF(entries));
	file_age(db_path(), 100);
	file_write(file_path(), "joe@example.org jane\n", 50);
	struct table *t = open_file("hash");
	assert_non_null(strstr(buf_str(&logged), "table.db is older than its source"));
	table_close(&t);
}

/* ---- changes ---- */

static const struct pair other[] = { { "jane", "jane" } };

static void test_replaced(void **state)
{
	(void)state;
	char new[112];
	snprintf(new, sizeof new, "%s.new", db_path());
	db_make(db_path(), DB_HASH, true, entries, COUNT_OF(entries));
	struct table *t = open_file("hash");
	expect(t, "joe@example.org", "joe");
	/* In place, as postmap does; the second time by a tool that leaves the NUL out. */
	db_make(db_path(), DB_HASH, true, other, 1);
	expect(t, "joe@example.org", NULL);
	expect(t, "jane", "jane");
	db_make(db_path(), DB_HASH, false, entries, COUNT_OF(entries));
	expect(t, "joe@example.org", "joe");
	expect(t, "jane", NULL);
	/* By another file. */
	db_make(new, DB_HASH, true, other, 1);
	assert_int_equal(rename(new, db_path()), 0);
	expect(t, "jane", "jane");
	expect(t, "joe@example.org", NULL);
	table_close(&t);
}

static void test_removed_or_replaced_by_rubbish(void **state)
{
	(void)state;
	char new[112];
	snprintf(new, sizeof new, "%s.new", db_path());
	db_make(db_path(), DB_HASH, true, entries, COUNT_OF(entries));
	struct table *t = open_file("hash");
	assert_int_equal(unlink(db_path()), 0);
	expect(t, "joe@example.org", "joe");
	expect(t, "jane", NULL);
	file_write(new, "rubbish\n", 60);
	assert_int_equal(rename(new, db_path()), 0);
	expect(t, "joe@example.org", "joe");
	db_make(new, DB_HASH, true, other, 1);
	assert_int_equal(rename(new, db_path()), 0);
	expect(t, "jane", "jane");
	table_close(&t);
}

/* Cut anywhere, a file never says that a key it held does not exist. */
static void test_truncated(void **state)
{
	(void)state;
	static char keys[2000][16];
	static struct pair many[2000];
	struct stat st;
	for (unsigned i = 0; i < COUNT_OF(many); i++) {
		snprintf(keys[i], sizeof keys[i], "user%u", i);
		many[i] = (struct pair){ keys[i], keys[i] };
	}
	for (int hash = 0; hash < 2; hash++)
		for (unsigned part = 0; part < 8; part++) {
			db_make(db_path(), hash ? DB_HASH : DB_BTREE, true, many, COUNT_OF(many));
			struct table *t = open_file(hash ? "hash" : "btree");
			expect(t, "user7", "user7");
			if (part & 2)
				warm(t, "user7");
			assert_int_equal(stat(db_path(), &st), 0);
			assert_int_equal(truncate(db_path(), st.st_size * part / 8 + (part & 1) * 100), 0);
			unsigned unknown = 0;
			for (unsigned i = 0; i < COUNT_OF(many); i += 37) {
				struct question q = { .t = t, .key = keys[i] };
				in_task(ask_main, &q);
				assert_true(q.r == 1 || q.r < 0);
				assert_true(q.r < 0 || strcmp(buf_str(&q.value), keys[i]) == 0);
				unknown += q.r < 0;
				buf_fini(&q.value);
				buf_fini(&q.err);
			}
			print_message("[ case     ] %s, %u/8: %u of %zu cannot be told\n", hash ? "hash" : "btree", part, unknown, (COUNT_OF(many) + 36) / 37);
			assert_true(unknown > 0);
			/* And it is well again when the file is. */
			db_make(db_path(), hash ? DB_HASH : DB_BTREE, true, other, 1);
			expect(t, "jane", "jane");
			table_close(&t);
		}
}

/* ---- damage ---- */

static uint16_t u16_at(const unsigned char *page, size_t at)
{
	uint16_t v;
	memcpy(&v, page + at, sizeof v);
	return v;
}

static void put_u16(unsigned char *page, size_t at, unsigned v)
{
	const uint16_t n = (uint16_t)v;
	memcpy(page + at, &n, sizeof n);
}

/* What Berkeley DB would follow to anywhere: KIND says what is wrong with the page. */
static void page_damage(unsigned char *page, unsigned kind)
{
	unsigned middle = u16_at(page, 20) / 2;
	bool tree = page[25] == 3 || page[25] == 5;

	if (kind == 0)
		put_u16(page, 26 + 2 * middle, 0xfff0);
	else if (kind == 1)
		put_u16(page, 20, 0x7ffe);
	else if (kind == 2)
		page[25] = 99;
	else if (kind == 3)
		page[8] ^= 1;
	else if (tree)
		put_u16(page, u16_at(page, 26 + 2 * middle), 0xffff);
	else
		page[u16_at(page, 26 + 2 * middle)] = 77;
}

static void file_damage(const char *path, unsigned kind)
{
	unsigned char page[4096];
	int fd = open(path, O_RDWR);
	off_t at = sizeof page;

	assert_true(fd >= 0);
	for (; pread(fd, page, sizeof page, at) == (ssize_t)sizeof page; at += (off_t)sizeof page) {
		if (u16_at(page, 20) == 0)
			continue;
		page_damage(page, kind);
		assert_int_equal(pwrite(fd, page, sizeof page, at), sizeof page);
	}
	close(fd);
	file_age(path, 60);
}

/* No page is what it should be: nothing can be told, and nothing happens. */
static void test_damaged(void **state)
{
	(void)state;
	static char keys[2000][16];
	static struct pair many[2000];
	for (unsigned i = 0; i < COUNT_OF(many); i++) {
		snprintf(keys[i], sizeof keys[i], "user%u", i);
		many[i] = (struct pair){ keys[i], keys[i] };
	}
	for (unsigned i = 0; i < 10; i++) {
		db_make(db_path(), i % 2 ? DB_HASH : DB_BTREE, true, many, COUNT_OF(many));
		file_damage(db_path(), i / 2);
		struct table *t = open_file(i % 2 ? "hash" : "btree");
		for (unsigned k = 0; k < COUNT_OF(many); k += 199) {
			struct question q = { .t = t, .key = keys[k] };
			in_task(ask_main, &q);
			print_message("[ case     ] %u, %s -> %d %s\n", i, keys[k], q.r, buf_str(&q.err));
			assert_int_equal(q.r, -EIO);
			assert_non_null(strstr(buf_str(&q.err), "the file is damaged"));
			buf_fini(&q.value);
			buf_fini(&q.err);
		}
		/* Nobody has to wait for what is well again. */
		db_make(db_path(), i % 2 ? DB_HASH : DB_BTREE, true, many, COUNT_OF(many));
		expect(t, "user7", "user7");
		table_close(&t);
	}
}

/* ---- postmap's lock ---- */

/* Postfix on Linux has flock(2), makemap fcntl(2). */
static void lock_for_writing(int fd, bool flocks)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	assert_int_equal(flocks ? flock(fd, LOCK_EX) : fcntl(fd, F_OFD_SETLK, &l), 0);
}

struct writer {
	int fd;
};

/* Holds the lock until somebody waits for it (or would have been answered by now), then finishes what postmap does. */
TASK_FN static void writer_main(struct writer *w)
{
	(void)w;
	task_yield();
	task_yield();
	db_make(db_path(), DB_HASH, true, other, 1);
	close(w->fd);
}

struct both {
	struct question q;
	bool flocks;
};

TASK_FN static void both_main(void *arg)
{
	struct both *both = arg;
	struct question *q = &both->q;
	struct writer w = { .fd = open(db_path(), O_RDWR) };
	struct task_group g;
	lock_for_writing(w.fd, both->flocks);
	assert_int_equal(ftruncate(w.fd, 0), 0);
	task_group_init(&g);
	task_spawn(&g, "writer", writer_main, &w);
	q->r = table_get(q->t, bytes_of(q->key), &q->value, &q->err);
	task_group_wait(&g);
}

static void test_locked_while_written(void **state)
{
	(void)state;
	for (int flocks = 0; flocks < 2; flocks++) {
		db_make(db_path(), DB_HASH, true, entries, COUNT_OF(entries));
		struct table *t = open_file("hash");
		struct both both = { { .t = t, .key = "jane" }, flocks };
		in_task(both_main, &both);
		assert_int_equal(both.q.r, 1);
		assert_string_equal(buf_str(&both.q.value), "jane");
		buf_fini(&both.q.value);
		buf_fini(&both.q.err);
		table_close(&t);
	}
}

/* Another thread does what postmap does, again and again, while this one asks. */
struct race {
	struct table *t;
	DBTYPE type;
	struct pair *pairs;
	bool end;
	unsigned rounds, answers;
};

static int race_write(void *arg)
{
	struct race *race = arg;
	int fd = open(db_path(), O_RDWR);
	assert_true(fd >= 0);
	lock_for_writing(fd, true);
	race->pairs[0].value = race->rounds & 1 ? "odd" : "even";
	/* Another size each time: what was on a page is elsewhere. */
	db_make(db_path(), race->type, true, race->pairs, 1000 + race->rounds % 7 * 100);
	close(fd);
	return 0;
}

TASK_FN static void race_writer(struct race *race)
{
	for (race->rounds = 0; race->rounds < 30; race->rounds++) {
		assert_int_equal(task_offload(race_write, race), 0);
		for (int i = 0; i < 100; i++)
			task_yield();
	}
	race->end = true;
}

TASK_FN static void race_main(void *arg)
{
	struct race *race = arg;
	struct task_group g;
	task_group_init(&g);
	task_spawn(&g, "writer", race_writer, race);
	for (unsigned i = 0; !race->end; i++) {
		const struct pair *p = &race->pairs[i % 1000];
		struct buf value = { 0 }, err = { 0 };
		int r = table_get(race->t, bytes_of(p->key), &value, &err);
		/* Never "not found". */
		assert_true(r == 1 || (r < 0 && value.n == 0 && err.n));
		if (r == 1 && i % 1000)
			assert_string_equal(buf_str(&value), p->value);
		else if (r == 1)
			assert_true(strcmp(buf_str(&value), "odd") == 0 || strcmp(buf_str(&value), "even") == 0);
		race->answers += r == 1;
		buf_fini(&value);
		buf_fini(&err);
		task_yield();
	}
	task_group_wait(&g);
}

static void test_race(void **state)
{
	(void)state;
	static char keys[2000][16];
	static struct pair many[2000];
	for (unsigned i = 0; i < COUNT_OF(many); i++) {
		snprintf(keys[i], sizeof keys[i], "user%u", i);
		many[i] = (struct pair){ keys[i], keys[i] };
	}
	many[0].value = "odd";
	for (int hash = 0; hash < 2; hash++) {
		struct race race = { .type = hash ? DB_HASH : DB_BTREE, .pairs = many };
		db_make(db_path(), race.type, true, many, COUNT_OF(many));
		race.t = open_file(hash ? "hash" : "btree");
		in_task(race_main, &race);
		print_message("[ case     ] %s: %u answers while it was written %u times\n", hash ? "hash" : "btree", race.answers, race.rounds);
		assert_true(race.answers > 0);
		table_close(&race.t);
	}
}

/* A lookup that finds its pages gone from memory waits for them in the thread pool, and says the same. */
static void test_not_in_memory(void **state)
{
	(void)state;
	static char keys[3000][16];
	static struct pair many[3000];
	for (unsigned i = 0; i < COUNT_OF(many); i++) {
		snprintf(keys[i], sizeof keys[i], "user%u", i);
		many[i] = (struct pair){ keys[i], keys[i] };
	}
	for (int hash = 0; hash < 2; hash++) {
		db_make(db_path(), hash ? DB_HASH : DB_BTREE, true, many, COUNT_OF(many));
		struct table *t = open_file(hash ? "hash" : "btree");
		int fd = open(db_path(), O_RDONLY);
		assert_true(fd >= 0);
		for (unsigned i = 0; i < COUNT_OF(many); i += 97) {
			assert_int_equal(fdatasync(fd), 0);
			assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
			expect(t, keys[i], keys[i]);
			expect(t, "nobody", NULL);
		}
		close(fd);
		table_close(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kinds), TEST(test_cannot_open), TEST(test_older_than_source), TEST(test_replaced),
		TEST(test_removed_or_replaced_by_rubbish), TEST(test_truncated), TEST(test_damaged), TEST(test_locked_while_written),
		TEST(test_not_in_memory), TEST(test_race),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
