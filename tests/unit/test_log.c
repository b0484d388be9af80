/* test_log.c: no value can forge a line, break a pair or overrun the buffer. */
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char line[8192];
static unsigned lines;

static void capture(void *arg, enum log_level level, struct bytes text)
{
	(void)arg;
	(void)level;
	assert_true(text.n < sizeof line);
	memcpy(line, text.p, text.n);
	line[text.n] = '\0';
	lines++;
}

static int setup(void **state)
{
	(void)state;
	lines = 0;
	log_set_session(NULL);
	log_capture(capture, NULL);
	return log_open("stderr", LOG_LEVEL_INFO);
}

static int teardown(void **state)
{
	(void)state;
	log_capture(NULL, NULL);
	return 0;
}

static void test_pairs(void **state)
{
	struct log_line l;

	(void)state;
	log_set_session("4f2a.3");
	log_begin(&l, LOG_LEVEL_INFO, "deliver");
	log_str(&l, "hop", "dovecot");
	log_str(&l, "left-out", NULL);
	log_int(&l, "ms", -12);
	log_printf(&l, "reply", "%d %s", 250, "2.0.0 Saved");
	log_bytes(&l, "empty", BYTES(""));
	log_end(&l);
	assert_string_equal(line, "level=info event=deliver session=4f2a.3 hop=dovecot ms=-12 reply=\"250 2.0.0 Saved\" empty=\"\"");
	assert_string_equal(log_session(), "4f2a.3");
}

static void test_escapes(void **state)
{
	struct log_line l;

	(void)state;
	log_begin(&l, LOG_LEVEL_ERROR, "x");
	log_bytes(&l, "v", BYTES("a\"b\\c\r\n\t\0\x7f\xc3\xa4"));
	log_str(&l, "eq", "a=b");
	log_end(&l);
	assert_string_equal(line, "level=error event=x v=\"a\\\"b\\\\c\\r\\n\\t\\x00\\x7f\\xc3\\xa4\" eq=\"a=b\"");
}

static void test_levels(void **state)
{
	enum log_level level;

	(void)state;
	log_debug("quiet", "%d", 1);
	assert_int_equal(lines, 0);
	assert_int_equal(log_open("stderr", LOG_LEVEL_DEBUG), 0);
	log_debug("loud", "%d", 1);
	assert_string_equal(line, "level=debug event=loud msg=1");
	assert_int_equal(log_open("stderr", LOG_LEVEL_ERROR), 0);
	log_warning("quiet", "%d", 1);
	assert_int_equal(lines, 1);
	assert_int_equal(log_level_parse(BYTES("notice"), &level), 0);
	assert_int_equal(level, LOG_LEVEL_NOTICE);
	assert_int_equal(log_level_parse(BYTES("Notice"), &level), -EINVAL);
}

static void test_targets(void **state)
{
	(void)state;
	assert_int_equal(log_open("syslog:mail", LOG_LEVEL_INFO), 0);
	assert_int_equal(log_open("syslog:nonsense", LOG_LEVEL_INFO), -EINVAL);
	assert_int_equal(log_open("syslog", LOG_LEVEL_INFO), -EINVAL);
	assert_int_equal(log_open("syslog:", LOG_LEVEL_INFO), -EINVAL);
	assert_int_equal(log_open("/var/log/x", LOG_LEVEL_INFO), -EINVAL);
	assert_int_equal(log_open("stderr", LOG_LEVEL_INFO), 0);
}

/* Values of every length around the limit, plain, quoted and escaped: the line stays within 4 KiB, its quotes are
 * closed and a cut shows. */
static void test_cut(void **state)
{
	static const char fill[] = { 'a', ' ', '\n', '\xff' };
	static char value[5000];

	(void)state;
	for (size_t f = 0; f < COUNT_OF(fill); f++) {
		memset(value, fill[f], sizeof value);
		for (size_t n = 900; n < 4300; n += n > 4000 || (n > 980 && n < 1050) ? 1 : 97) {
			struct log_line l;
			log_begin(&l, LOG_LEVEL_INFO, "long");
			log_bytes(&l, "v", bytes_make(value, n));
			log_str(&l, "tail", "t t");
			log_end(&l);
			size_t len = strlen(line);
			assert_in_range(len, 20, 4095);
			bool whole = bytes_ends(bytes_of(line), BYTES(" tail=\"t t\""));
			if (!whole)
				assert_true(bytes_ends(bytes_of(line), BYTES("...")) || bytes_ends(bytes_of(line), BYTES("...\"")));
			unsigned quotes = 0;
			for (size_t i = 0; i < len; i++)
				quotes += line[i] == '"';
			assert_int_equal(quotes % 2, 0);
		}
	}
}

/* To a real descriptor: the time stands in front, one line in one write, and errno is left alone. */
static void test_stderr(void **state)
{
	char got[512];
	int ends[2], kept = dup(STDERR_FILENO);

	(void)state;
	log_capture(NULL, NULL);
	assert_int_equal(pipe2(ends, O_DIRECT), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	errno = ENOENT;
	log_info("hello", "%s", "there you are");
	int after = errno;
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	/* A packet pipe gives one read for each write. */
	ssize_t n = read(ends[0], got, sizeof got - 1);
	close(ends[0]);
	close(ends[1]);
	close(kept);
	assert_int_equal(after, ENOENT);
	assert_true(n > 0);
	got[n] = '\0';
	int y, mo, d, h, mi, s, ms, end = 0;
	assert_int_equal(sscanf(got, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &y, &mo, &d, &h, &mi, &s, &ms, &end), 7);
	assert_true(y >= 2024);
	assert_string_equal(got + end, "level=info event=hello msg=\"there you are\"\n");
}

static void test_assert(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		log_capture(NULL, NULL);
		ASSERT(lines == 77);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_assert, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
