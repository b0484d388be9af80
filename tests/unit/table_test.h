/* table_test.h: a folder with a table file in it, the log, and questions asked in a task. */
#ifndef GATEPOST_TESTS_UNIT_TABLE_TEST_H
#define GATEPOST_TESTS_UNIT_TABLE_TEST_H

#include "tests/unit/in_task.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tcp_table/table_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct table_ops *const kinds[] = {
	&table_inline, &table_static, &table_texthash, &table_cidr, &table_pcre, &table_regexp, &table_hash, &table_btree,
	&table_cdb, &table_lmdb, &table_unix, &table_environ, &table_fail, &table_randmap, &table_unionmap, &table_pipemap, &table_debug, NULL
};

/* ---- a folder, and a file in it that was written long ago ---- */

static char folder[64];
static struct buf logged;

static inline void on_log(void *arg, enum log_level level, struct bytes line)
{
	(void)arg;
	(void)level;
	buf_add(&logged, line);
}

static inline int setup(void **state)
{
	strcpy(folder, "/tmp/gatepost-tables-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	log_capture(on_log, NULL);
	return loop_setup(state);
}

static inline int teardown(void **state)
{
	char command[128];
	log_capture(NULL, NULL);
	buf_fini(&logged);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command) != 0 || loop_teardown(state);
}

static const char *file_path(void)
{
	static char path[80];
	snprintf(path, sizeof path, "%s/table", folder);
	return path;
}

static inline void file_age(const char *path, int seconds_ago)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - seconds_ago } };
	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static inline void file_write(const char *path, const char *text, int seconds_ago)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	file_age(path, seconds_ago);
}

static inline struct table *open_map(const char *map)
{
	struct table *t = NULL;
	struct buf err = { 0 };
	int r = table_open(kinds, bytes_of(map), NULL, "test", &t, &err);
	if (r < 0)
		print_message("%s: %s\n", map, buf_str(&err));
	assert_int_equal(r, 0);
	buf_fini(&err);
	return t;
}

static inline struct table *open_file(const char *type)
{
	char map[128];
	snprintf(map, sizeof map, "%s:%s", type, file_path());
	return open_map(map);
}

/* ---- one question, in a task ---- */

struct question {
	struct table *t;
	const char *key;
	int r;
	struct buf value, err;
};

TASK_FN static void ask_main(void *arg)
{
	struct question *q = arg;
	q->r = table_get(q->t, bytes_of(q->key), &q->value, &q->err);
}

/* WANT: the value; NULL: not found. */
static inline void expect(struct table *t, const char *key, const char *want)
{
	struct question q = { .t = t, .key = key };
	in_task(ask_main, &q);
	print_message("[ case     ] %s -> %d %s\n", key, q.r, buf_str(&q.value));
	assert_int_equal(q.r, want != NULL);
	assert_string_equal(buf_str(&q.value), want ? want : "");
	buf_fini(&q.value);
	buf_fini(&q.err);
}

struct pair {
	const char *key, *value;
};

/* Asks until the file of T no longer counts as just written, and then so often that it is mapped into memory. */
TASK_FN static void warm_main(void *arg)
{
	struct question *q = arg;
	struct timespec begun, now;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		for (int i = 0; i < 200 && q->r >= 0; i++) {
			buf_clear(&q->value);
			q->r = table_get(q->t, bytes_of(q->key), &q->value, &q->err);
			task_yield();
		}
	} while (q->r >= 0 && now.tv_sec * 1000 + now.tv_nsec / 1000000 < begun.tv_sec * 1000 + begun.tv_nsec / 1000000 + 50);
}

static inline void warm(struct table *t, const char *key)
{
	struct question q = { .t = t, .key = key };
	in_task(warm_main, &q);
	assert_true(q.r >= 0);
	buf_fini(&q.value);
	buf_fini(&q.err);
}

static inline void expect_all(struct table *t, const struct pair *pairs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		expect(t, pairs[i].key, pairs[i].value);
	table_close(&t);
}

static inline void expect_refused(const char *map, const char *why)
{
	struct table *t = NULL;
	struct buf err = { 0 };
	assert_int_equal(table_open(kinds, bytes_of(map), NULL, "test", &t, &err), -EINVAL);
	print_message("[ case     ] %s: %s\n", map, buf_str(&err));
	assert_non_null(strstr(buf_str(&err), why));
	buf_fini(&err);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
