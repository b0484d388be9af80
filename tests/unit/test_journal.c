/* test_journal.c: the delivered journal: what it remembers, for how long, among several workers, and after a crash at any byte. */
#include "delivery/journal.h"
#include "delivery/journal_line.h"

#include "lib/base/mem.h"
#include "lib/run/task.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { WINDOW = 1000, START = 1000000 };

static char folder[64], file[96];
static const unsigned char digest_a[32] = "one message, thirty-two bytes..", digest_b[32] = "another message, as many bytes.";

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_journal.XXXXXX");
	if (!mkdtemp(folder) || run_init())
		return -1;
	snprintf(file, sizeof file, "%s/delivered", folder);
	run_clock_test(START);
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	run_fini();
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static struct journal *opened(void)
{
	struct journal *j;
	struct buf err = { 0 };

	assert_int_equal(journal_open(folder, WINDOW, &j, &err), 0);
	buf_fini(&err);
	return j;
}

static struct journal_key key_of(const char *hop, const char *sender, const char *rcpt)
{
	return (struct journal_key){ bytes_of(hop), bytes_of(sender), bytes_of(rcpt) };
}

/* ---- adding, from a task ---- */

struct adding {
	struct journal *j;
	const unsigned char *digest;
	struct journal_note note;
	int result;
};

TASK_FN static void adding_run(struct adding *a)
{
	a->result = journal_add(a->j, a->digest, &a->note, 1);
}

static int add(struct journal *j, const unsigned char *digest, struct journal_key key, enum journal_state state)
{
	struct adding a = { .j = j, .digest = digest, .note = { key, state }, .result = 1 };
	struct task_group g;

	task_group_init(&g);
	task_spawn(&g, "add", adding_run, &a);
	run_stop();
	run_loop();
	return a.result;
}

TASK_FN static void sleeping_run(int64_t *ns)
{
	assert_int_equal(task_sleep(*ns), 0);
}

static void pass(int64_t ns)
{
	struct task_group g;

	task_group_init(&g);
	task_spawn(&g, "sleep", sleeping_run, &ns);
	run_clock_advance(ns);
	run_stop();
	run_loop();
}

static off_t file_size(void)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_size;
}

/* ---- lines ---- */

static void test_line_round_trip(void **state)
{
	static const struct journal_key keys[] = {
		{ BYTES("dovecot"), BYTES("a@example.org"), BYTES("b@example.net") },
		{ BYTES("dovecot"), BYTES(""), BYTES("b@example.net") },
		{ BYTES("a hop"), BYTES("\"a b\"@example.org"), BYTES("x+y=z@example.net") },
		{ BYTES("h"), BYTES("j\xc3\xb6rg@example.org"), BYTES("+") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		struct journal_line l = { .state = JOURNAL_REFUSED, .expires = 1735689600, .key = keys[i] }, got;
		struct buf text = { 0 }, names = { 0 };
		memcpy(l.digest, digest_a, 32);
		journal_line_put(&l, &text);
		assert_int_equal(text.p[text.n - 1], '\n');
		assert_int_equal(bytes_find(buf_bytes(&text), '\n'), (int)text.n - 1);
		assert_int_equal(journal_line_parse(bytes_first(buf_bytes(&text), text.n - 1), &names, &got), 0);
		assert_int_equal(got.state, JOURNAL_REFUSED);
		assert_int_equal(got.expires, 1735689600);
		assert_memory_equal(got.digest, digest_a, 32);
		assert_true(bytes_eq(got.key.hop, keys[i].hop));
		assert_true(bytes_eq(got.key.sender, keys[i].sender));
		assert_true(bytes_eq(got.key.rcpt, keys[i].rcpt));
		buf_fini(&text);
		buf_fini(&names);
	}
}

static void test_line_any_flipped_bit_is_noticed(void **state)
{
	struct journal_line l = { .state = JOURNAL_DELIVERED, .expires = 17, .key = key_of("h", "a@b", "c@d") }, got;
	struct buf text = { 0 }, names = { 0 };

	(void)state;
	journal_line_put(&l, &text);
	for (size_t bit = 0; bit < (text.n - 1) * 8; bit++) {
		/* The case of a checksum's digits does not matter. */
		if (bit / 8 >= text.n - 9 && bit % 8 == 5)
			continue;
		text.p[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(journal_line_parse(bytes_first(buf_bytes(&text), text.n - 1), &names, &got), -EINVAL);
		text.p[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_fini(&text);
	buf_fini(&names);
}

/* ---- what is remembered ---- */

static void test_remembers_this_message_only(void **state)
{
	struct journal *j = opened();
	struct journal_key key = key_of("dovecot", "a@example.org", "b@example.net");
	struct journal_key other = key_of("dovecot", "a@example.org", "c@example.net");

	(void)state;
	assert_false(journal_any(j));
	assert_int_equal(add(j, digest_a, key, JOURNAL_DELIVERED), 0);
	assert_true(journal_any(j));
	assert_true(journal_knows(j, &key));
	assert_false(journal_knows(j, &other));
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_DELIVERED);
	assert_int_equal(journal_find(j, &key, digest_b), JOURNAL_NONE);
	assert_int_equal(journal_find(j, &other, digest_a), JOURNAL_NONE);
	assert_false(journal_refused(j, &key));
	journal_close(&j);
}

static void test_delivered_outlives_other_words(void **state)
{
	struct journal *j = opened();
	struct journal_key key = key_of("h", "a@b", "c@d");

	(void)state;
	assert_int_equal(add(j, digest_a, key, JOURNAL_UNCERTAIN), 0);
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_UNCERTAIN);
	assert_int_equal(add(j, digest_a, key, JOURNAL_REFUSED), 0);
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_REFUSED);
	assert_true(journal_refused(j, &key));
	assert_int_equal(add(j, digest_a, key, JOURNAL_DELIVERED), 0);
	assert_int_equal(add(j, digest_a, key, JOURNAL_REFUSED), 0);
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_DELIVERED);
	/* But not the client's answer; and of other messages that says nothing. */
	assert_int_equal(add(j, digest_b, key, JOURNAL_DELIVERED), 0);
	assert_int_equal(add(j, digest_a, key, JOURNAL_SETTLED), 0);
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_NONE);
	assert_int_equal(journal_find(j, &key, digest_b), JOURNAL_DELIVERED);
	assert_int_equal(add(j, digest_a, key, JOURNAL_DELIVERED), 0);
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_DELIVERED);
	journal_close(&j);
}

static void test_entries_expire(void **state)
{
	struct journal *j = opened();
	struct journal_key key = key_of("h", "a@b", "c@d");

	(void)state;
	assert_int_equal(add(j, digest_a, key, JOURNAL_REFUSED), 0);
	pass(SECONDS(WINDOW - 1));
	assert_true(journal_any(j) && journal_knows(j, &key) && journal_refused(j, &key));
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_REFUSED);
	pass(SECONDS(1));
	assert_false(journal_any(j) || journal_knows(j, &key) || journal_refused(j, &key));
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_NONE);
	journal_close(&j);
}

static void test_workers_see_each_other_and_restarts(void **state)
{
	struct journal *a = opened(), *b = opened();
	struct journal_key key = key_of("h", "", "c@d");

	(void)state;
	assert_int_equal(add(a, digest_a, key, JOURNAL_DELIVERED), 0);
	assert_true(journal_any(b));
	assert_int_equal(journal_find(b, &key, digest_a), JOURNAL_DELIVERED);
	assert_int_equal(add(b, digest_b, key, JOURNAL_DELIVERED), 0);
	journal_close(&b);
	assert_true(journal_any(a));
	assert_int_equal(journal_find(a, &key, digest_b), JOURNAL_DELIVERED);
	journal_close(&a);
	a = opened();
	assert_true(journal_any(a));
	assert_int_equal(journal_find(a, &key, digest_a), JOURNAL_DELIVERED);
	assert_int_equal(journal_find(a, &key, digest_b), JOURNAL_DELIVERED);
	journal_close(&a);
}

/* A file of expired lines gives way to a small one, and a worker that has read the old one follows. */
static void test_expired_lines_go(void **state)
{
	struct journal *a = opened(), *b = opened();
	struct journal_key key = key_of("h", "somebody.with.a.long.name@sender.example.org", "somebody.else@rcpt.example.net");
	off_t before;

	(void)state;
	while (file_size() < 80 * 1024)
		assert_int_equal(add(a, digest_a, key, JOURNAL_DELIVERED), 0);
	assert_true(journal_any(b));
	pass(SECONDS(WINDOW));
	before = file_size();
	assert_int_equal(add(a, digest_b, key, JOURNAL_DELIVERED), 0);
	assert_true(file_size() < before / 100);
	assert_int_equal(journal_find(a, &key, digest_b), JOURNAL_DELIVERED);
	assert_int_equal(journal_find(b, &key, digest_b), JOURNAL_NONE);
	assert_true(journal_any(b));
	assert_int_equal(journal_find(b, &key, digest_b), JOURNAL_DELIVERED);
	journal_close(&a);
	journal_close(&b);
}

/* ---- crashes ---- */

/* A crash leaves any prefix of what was written: whole lines count, the rest does no harm, nor to what is added later. */
static void test_cut_at_every_byte(void **state)
{
	struct journal *j = opened();
	struct journal_key first = key_of("h", "a@b", "first@d"), second = key_of("h", "a@b", "second@d"), third = key_of("h", "a@b", "third@d");
	off_t line, both;

	(void)state;
	assert_int_equal(add(j, digest_a, first, JOURNAL_DELIVERED), 0);
	line = file_size();
	assert_int_equal(add(j, digest_a, second, JOURNAL_DELIVERED), 0);
	both = file_size();
	journal_close(&j);
	struct buf whole = { 0 };
	int fd = open(file, O_RDWR);
	assert_int_equal(read(fd, buf_room(&whole, (size_t)both), (size_t)both), both);

	for (off_t cut = 0; cut <= both; cut++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, whole.p, (size_t)cut, 0), cut);
		j = opened();
		assert_int_equal(add(j, digest_a, third, JOURNAL_DELIVERED), 0);
		assert_int_equal(journal_find(j, &first, digest_a), cut >= line - 1 ? JOURNAL_DELIVERED : JOURNAL_NONE);
		assert_int_equal(journal_find(j, &second, digest_a), cut >= both - 1 ? JOURNAL_DELIVERED : JOURNAL_NONE);
		assert_int_equal(journal_find(j, &third, digest_a), JOURNAL_DELIVERED);
		journal_close(&j);
	}
	close(fd);
	buf_fini(&whole);
}

/* Writers that are killed while they write leave no lock behind and spoil no line of others. */
static void test_killed_writers(void **state)
{
	struct journal_key key = key_of("h", "a@b", "killed@d"), mine = key_of("h", "a@b", "mine@d");

	(void)state;
	run_fini();
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (run_init())
				_exit(1);
			run_clock_test(START);
			for (struct journal *j = opened();;)
				if (add(j, digest_a, key, JOURNAL_DELIVERED))
					_exit(1);
		}
		usleep(20000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	assert_int_equal(run_init(), 0);
	run_clock_test(START);
	struct journal *j = opened();
	assert_int_equal(add(j, digest_b, mine, JOURNAL_DELIVERED), 0);
	assert_int_equal(journal_find(j, &mine, digest_b), JOURNAL_DELIVERED);
	assert_int_equal(journal_find(j, &key, digest_a), JOURNAL_DELIVERED);
	journal_close(&j);
}

static void test_failures_are_told(void **state)
{
	struct journal *j = opened();
	struct journal_key key = key_of("h", "a@b", "c@d");
	struct buf err = { 0 };
	struct journal *none;

	(void)state;
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(add(j, digest_a, key, JOURNAL_DELIVERED), -ENOENT);
	assert_false(journal_any(j));
	journal_close(&j);
	assert_int_equal(journal_open(folder, WINDOW, &none, &err), -ENOENT);
	assert_non_null(strstr(buf_str(&err), folder));
	buf_fini(&err);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_round_trip),
		cmocka_unit_test(test_line_any_flipped_bit_is_noticed),
		cmocka_unit_test_setup_teardown(test_remembers_this_message_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delivered_outlives_other_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_workers_see_each_other_and_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expired_lines_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_at_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_writers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures_are_told, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
