/* test_clock.c: a clock that tests move by command. */
#include "mta/test_clock.h"

#ifdef GATEPOST_TEST

#include "lib/base/log.h"
#include "lib/run/stream.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct task_group clock_tasks;
static struct listener *clock_listener;

TASK_FN static void test_clock_obey(struct stream *s)
{
	struct bytes line, word;
	uint64_t ms;

	while (stream_line(s, 64, &line, NULL) == 0) {
		word = bytes_word(&line);
		if (!bytes_eq(word, BYTES("advance")) || bytes_to_u64(bytes_trim(line), 1000000000, &ms) < 0)
			break;
		run_clock_advance(MS((int64_t)ms));
		/* The clock moves when I/O has settled, so only a timer of our own tells that it has arrived. */
		if (task_sleep(MS((int64_t)ms)) < 0)
			break;
		task_yield();           /* what the other timers woke runs before the answer */
		stream_put(s, BYTES("ok\n"));
		if (stream_flush(s) < 0)
			break;
	}
	stream_close(&s);
}

static void test_clock_accept(void *arg, int fd, const struct net_addr *peer)
{
	(void)arg, (void)peer;
	task_spawn(&clock_tasks, "test-clock", test_clock_obey, stream_new(fd));
}

void test_clock_start(void)
{
	const char *path = getenv("GATEPOST_TEST_CLOCK");
	struct net_addr at = { .len = sizeof(struct sockaddr_un), .un = { .sun_family = AF_UNIX } };
	int fd;

	if (!path || strlen(path) >= sizeof at.un.sun_path)
		return;
	memcpy(at.un.sun_path, path, strlen(path) + 1);
	fd = net_listen(&at, false);
	if (fd < 0) {
		log_error("test-clock", "cannot listen on %s", path);
		return;
	}
	task_group_init(&clock_tasks);
	run_clock_test(time(NULL));
	clock_listener = listener_new(fd, test_clock_accept, NULL);
}

void test_clock_stop(void)
{
	listener_close(&clock_listener);
}

#else

void test_clock_start(void)
{
}

void test_clock_stop(void)
{
}

#endif
