/* test_process.c: the spawner and who asks it: processes that do not want to end, that cannot begin, that fail; requests that are none. */
#include "lib/run/process.h"
#include "tests/unit/in_task.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define S(text) ((char[]){ text })
static char *const no_env[] = { NULL };
static char *const stubborn[] = { S("/bin/sh"), S("-c"), S("trap '' TERM; echo ready; while :; do /bin/sleep 0.01; done"), NULL };
static char *const missing[] = { S("/nowhere/command"), NULL };
static char *const failing[] = { S("/bin/sh"), S("-c"), S("echo first >&2; echo last words >&2; exit 3"), NULL };
static char *const echoing[] = { S("/bin/cat"), NULL };
enum { STUBBORN, MISSING, FAILING, ECHOING, COMMANDS };
static const struct process_command commands[COMMANDS] = {
	{ .name = "stubborn", .argv = stubborn, .env = no_env, .time_limit = FOREVER },
	{ .name = "missing", .argv = missing, .env = no_env, .time_limit = FOREVER },
	{ .name = "failing", .argv = failing, .env = no_env, .time_limit = FOREVER },
	{ .name = "echoing", .argv = echoing, .env = no_env, .time_limit = FOREVER, .max = 1 },
};

struct spawner {
	pid_t pid;
	int channel;
};

static int spawner_setup(void **state)
{
	static struct spawner s;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	s.pid = fork();
	if (s.pid == 0) {
		close(pair[1]);
		_exit(-process_spawner_run(&(struct process_spawner_params){
		    .commands = commands, .count = COMMANDS, .channel = pair[0], .grace = MS(50) }));
	}
	close(pair[0]);
	s.channel = pair[1];
	*state = &s;
	if (run_init())
		return -1;
	process_use_spawner(s.channel);
	return 0;
}

/* Everything that it started ends before it does, however little it wants to. */
static int spawner_teardown(void **state)
{
	struct spawner *s = *state;
	int status;

	run_fini();
	close(s->channel);
	return waitpid(s->pid, &status, 0) == s->pid && status == 0 ? 0 : -1;
}

TASK_FN static int connect_to(unsigned command, struct stream **ret)
{
	return process_connect(&(struct endpoint){ .kind = ENDPOINT_EXEC, .command = command }, ret);
}

TASK_FN static void stubborn_main(void *arg)
{
	struct stream *s;
	struct bytes line;

	(void)arg;
	assert_int_equal(connect_to(STUBBORN, &s), 0);
	assert_int_equal(stream_line(s, 100, &line, NULL), 0);          /* now it ignores SIGTERM */
	assert_true(bytes_eq(line, BYTES("ready")));
	stream_close(&s);
}

TASK_FN static void faults_main(void *arg)
{
	struct stream *s;
	struct process_end end;
	struct bytes line;
	char text[100];

	(void)arg;
	assert_int_equal(connect_to(MISSING, &s), -ENOENT);
	assert_int_equal(connect_to(FAILING, &s), 0);
	assert_int_equal(stream_line(s, 100, &line, NULL), -ENODATA);
	assert_int_equal(process_ended(s, SECONDS(20), &end), 0);
	process_end_text(&end, text, sizeof text);
	assert_string_equal(text, "exit status 3: last words");
	stream_close(&s);
	/* The second failure in a row makes the third wait. */
	assert_int_equal(connect_to(FAILING, &s), 0);
	assert_int_equal(process_ended(s, SECONDS(20), &end), 0);
	stream_close(&s);
	assert_int_equal(connect_to(FAILING, &s), -EAGAIN);
}

TASK_FN static void limit_main(void *arg)
{
	struct stream *s, *another;
	struct process_end end;
	struct bytes line;

	(void)arg;
	assert_int_equal(connect_to(ECHOING, &s), 0);
	assert_int_equal(connect_to(ECHOING, &another), -EAGAIN);
	stream_put(s, BYTES("said\n"));
	assert_int_equal(stream_flush(s), 0);
	assert_int_equal(stream_line(s, 100, &line, NULL), 0);
	assert_true(bytes_eq(line, BYTES("said")));
	assert_int_equal(process_ended(s, MS(1), &end), -ENOENT);       /* it goes on */
	stream_close(&s);
}

/* Somebody who has taken a worker over can say nothing that the spawner minds. */
TASK_FN static void nonsense_main(void *arg)
{
	struct spawner *spawner = arg;
	struct stream *s;
	char many[1000] = { 0 };

	for (int i = 0; i < 100; i++) {
		assert_true(send(spawner->channel, many, 0, 0) == 0);
		assert_true(send(spawner->channel, many, 4, 0) == 4);
		assert_true(send(spawner->channel, many, sizeof many, 0) == (ssize_t)sizeof many);
	}
	assert_int_equal(connect_to(COMMANDS, &s), -ECONNRESET);
	assert_int_equal(connect_to(ECHOING, &s), 0);
	stream_close(&s);
}

static void test_stubborn(void **state)
{
	(void)state;
	in_task(stubborn_main, NULL);
}

static void test_faults(void **state)
{
	(void)state;
	in_task(faults_main, NULL);
}

static void test_limit(void **state)
{
	(void)state;
	in_task(limit_main, NULL);
}

static void test_nonsense(void **state)
{
	in_task(nonsense_main, *state);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stubborn, spawner_setup, spawner_teardown),
		cmocka_unit_test_setup_teardown(test_faults, spawner_setup, spawner_teardown),
		cmocka_unit_test_setup_teardown(test_limit, spawner_setup, spawner_teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, spawner_setup, spawner_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
