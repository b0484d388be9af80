/* test_file_watch.c: all that may happen to a file that is open, and what is noticed of it. */
#include "tcp_table/file_watch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[96], other[96];
static struct file_watch watch;
static struct stat named;

static void make(const char *name, const char *text)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(futimens(fd, long_ago), 0);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	struct stat st;
	strcpy(folder, "/tmp/gatepost-watch-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/file", folder);
	snprintf(other, sizeof other, "%s/other", folder);
	make(path, "text");
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	file_watch_init(&watch, path, fd, &st);
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	close(watch.fd);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static void expect_news(enum file_news news)
{
	assert_false(file_watch_quiet(&watch));
	assert_int_equal(file_watch_look(&watch, &named), news);
}

static void accept_now(void)
{
	struct stat st;
	assert_int_equal(fstat(watch.fd, &st), 0);
	file_watch_accept(&watch, &st);
}

static void test_nothing(void **state)
{
	(void)state;
	assert_true(file_watch_same(&watch) && file_watch_named(&watch) && file_watch_quiet(&watch));
	assert_int_equal(file_watch_look(&watch, &named), FILE_NO_NEWS);
	make(other, "text");
	assert_true(file_watch_quiet(&watch));
}

static void test_written(void **state)
{
	(void)state;
	/* It has its old size, and even its old time. */
	make(path, "else");
	expect_news(FILE_TOUCHED);
	assert_int_equal(truncate(path, 2), 0);
	expect_news(FILE_TOUCHED);
	assert_false(file_watch_untouched(&watch));
	assert_false(file_watch_quiet(&watch));
	accept_now();
	assert_true(file_watch_quiet(&watch));
	assert_int_equal(watch.st.st_size, 2);
}

static void test_renamed(void **state)
{
	(void)state;
	make(other, "else");
	assert_int_equal(rename(other, path), 0);
	expect_news(FILE_OTHER);
	assert_int_equal(named.st_size, 4);
	/* What we have open is whole, but has its name no more, however often that is asked. */
	assert_true(file_watch_untouched(&watch));
	assert_true(file_watch_same(&watch));
	assert_false(file_watch_quiet(&watch));
	assert_false(file_watch_trusted(&watch, 1));
}

static void test_lost(void **state)
{
	(void)state;
	assert_int_equal(rename(path, other), 0);
	expect_news(FILE_LOST);
	assert_true(file_watch_untouched(&watch));
	assert_int_equal(rename(other, path), 0);
	expect_news(FILE_TOUCHED);
	assert_true(file_watch_untouched(&watch));
	assert_true(file_watch_quiet(&watch));
	assert_int_equal(unlink(path), 0);
	expect_news(FILE_LOST);
}

/* The file itself is as it was; only its name leads elsewhere, which is looked up now and then. */
static void test_folder_exchanged(void **state)
{
	(void)state;
	char moved[96];
	struct timespec begun, now;
	snprintf(moved, sizeof moved, "%s.moved", folder);
	assert_int_equal(rename(folder, moved), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	make(path, "else");
	assert_true(file_watch_same(&watch));
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (file_watch_quiet(&watch) && now.tv_sec - begun.tv_sec < 10);
	assert_true(now.tv_sec - begun.tv_sec < 10);
	expect_news(FILE_OTHER);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(rename(moved, folder), 0);
}

/* Within one turn a look is believed, for a moment. */
static void test_trusted(void **state)
{
	(void)state;
	struct timespec begun, now;
	assert_true(file_watch_trusted(&watch, 1));
	clock_gettime(CLOCK_MONOTONIC, &begun);
	make(path, "else");
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (file_watch_trusted(&watch, 1) && now.tv_sec - begun.tv_sec < 10);
	assert_true(now.tv_sec - begun.tv_sec < 10);
	accept_now();
	assert_true(file_watch_trusted(&watch, 1));
	make(path, "other");
	assert_false(file_watch_trusted(&watch, 2));
}

static void test_settled(void **state)
{
	(void)state;
	struct stat st = { 0 };
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	st.st_ctim = now;
	assert_false(file_settled(&st));
	st.st_ctim.tv_sec--;
	assert_true(file_settled(&st));
	/* Somebody has turned the clock back: nothing is to be learnt from it. */
	st.st_ctim.tv_sec += 10;
	assert_true(file_settled(&st));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing), TEST(test_written), TEST(test_renamed), TEST(test_lost), TEST(test_folder_exchanged), TEST(test_trusted), TEST(test_settled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
