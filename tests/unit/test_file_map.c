/* test_file_map.c: reading a mapped file that is cut, and what else SIGBUS may mean. */
#include "tcp_table/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { SIZE = 3 * 4096 + 100 };

static int file_of(char fill)
{
	static char content[SIZE];
	int fd = memfd_create("map", MFD_CLOEXEC);
	memset(content, fill, sizeof content);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, sizeof content), SIZE);
	return fd;
}

static void test_read(void **state)
{
	(void)state;
	int fd = file_of('x');
	struct file_map m = { 0 };
	char got[2 * 4096];
	assert_false(file_map_has(&m, 0, 1));
	assert_int_equal(file_map_init(&m, fd, SIZE), 0);
	assert_true(file_map_has(&m, 0, SIZE) && file_map_has(&m, SIZE, 0) && file_map_has(&m, SIZE - 1, 1));
	assert_false(file_map_has(&m, 0, SIZE + 1) || file_map_has(&m, 1, SIZE) || file_map_has(&m, UINT64_MAX, 1) || file_map_has(&m, 1, SIZE_MAX));
	assert_int_equal(file_map_read(&m, 4000, got, sizeof got), 0);
	for (size_t i = 0; i < sizeof got; i++)
		assert_int_equal(got[i], 'x');
	file_map_fini(&m);
	assert_false(file_map_has(&m, 0, 1));
	close(fd);
}

/* Whatever is cut off but NULs is noticed. */
static void test_whole(void **state)
{
	(void)state;
	static const char nuls[100];
	struct file_map m = { 0 };
	int fd = file_of('x');
	assert_false(file_map_whole(&m));
	assert_int_equal(pwrite(fd, nuls, sizeof nuls, SIZE), sizeof nuls);
	assert_int_equal(file_map_init(&m, fd, SIZE + sizeof nuls), 0);
	assert_true(file_map_whole(&m));
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_true(file_map_whole(&m));
	assert_int_equal(ftruncate(fd, SIZE - 1), 0);
	assert_false(file_map_whole(&m));
	assert_int_equal(ftruncate(fd, 5000), 0);
	assert_false(file_map_whole(&m));
	file_map_fini(&m);
	/* It is not looked for everywhere. */
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(file_map_init(&m, fd, 1 << 20), 0);
	assert_false(file_map_whole(&m));
	file_map_fini(&m);
	close(fd);
}

/* As often as somebody reads: the signal is not blocked after the first. */
static void test_cut(void **state)
{
	(void)state;
	int fd = file_of('x');
	struct file_map m;
	char got[100];
	assert_int_equal(file_map_init(&m, fd, SIZE), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(file_map_read(&m, 8192, got, sizeof got), -EIO);
		assert_int_equal(file_map_read(&m, 4090, got, sizeof got), -EIO);
		assert_int_equal(file_map_read(&m, 3990, got, sizeof got), 0);
	}
	file_map_fini(&m);
	close(fd);
}

static void test_refused(void **state)
{
	(void)state;
	int fd = file_of('x');
	struct file_map m;
	assert_int_equal(file_map_init(&m, fd, 0), -EFBIG);
	assert_int_equal(file_map_init(&m, fd, (off_t)1 << 40), -EFBIG);
	/* It has been cut before it is mapped. */
	assert_true(file_map_init(&m, fd, SIZE + 4096) < 0);
	close(fd);
}

/* Whoever else meets SIGBUS dies of it. */
static void test_not_ours(void **state)
{
	(void)state;
	struct file_map m;
	int fd = file_of('x'), status;
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGBUS, SIG_DFL);
		if (file_map_init(&m, fd, SIZE) < 0 || ftruncate(fd, 0) < 0)
			_exit(1);
		_exit(*(volatile const char *)(m.p + 5000) ? 2 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* Under ASAN, of its report. */
	assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) || (WIFEXITED(status) && WEXITSTATUS(status) > 3));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, where nobody has minded the signal yet. */
		cmocka_unit_test(test_not_ours), cmocka_unit_test(test_read), cmocka_unit_test(test_cut), cmocka_unit_test(test_whole), cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
