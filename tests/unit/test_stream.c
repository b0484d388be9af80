/* test_stream.c: lines, limits, slow peers, ends of file, parking, listening; over socket pairs and loopback. */
#include "lib/base/log.h"
#include "lib/run/stream_impl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

static unsigned warnings;

static void capture(void *arg, enum log_level level, struct bytes line)
{
	(void)arg, (void)line;
	warnings += level <= LOG_LEVEL_WARNING;
}

static int setup(void **state)
{
	(void)state;
	warnings = 0;
	log_capture(capture, NULL);
	if (run_init())
		return -1;
	run_clock_test(1000000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (loop.stats.tasks)
		return -1;      /* the test left by longjmp: cmocka says why */
	run_fini();
	iobuf_trim_pool();
	log_capture(NULL, NULL);
	return 0;
}

static void in_task(void (*fn)(void *), void *arg)
{
	struct task_group g;

	task_group_init(&g);
	task_spawn_fn(&g, "test", fn, arg);
	run_stop();
	run_loop();
	assert_int_equal(g.count, 0);
}

/* The other end: a plain blocking-free descriptor, so that the tests see what is on the wire. */
struct wire {
	struct stream *s;
	int fd;
};

static struct wire wire_new(void)
{
	struct wire w;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	w.s = stream_new(fd[0]);
	w.fd = fd[1];
	return w;
}

static void wire_say(const struct wire *w, const char *text)
{
	assert_int_equal(write(w->fd, text, strlen(text)), strlen(text));
}

static void wire_hear(const struct wire *w, const char *text)
{
	char got[512];
	ssize_t n = read(w->fd, got, sizeof got - 1);

	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, text);
}

static void wire_close(struct wire *w)
{
	stream_close(&w->s);
	close(w->fd);
}

/* ---- lines ---- */

struct line_case {
	const char *name, *sent;
	size_t most;
	bool close;
	struct {
		int r;
		const char *line;
		bool crlf;
	} want[4];
	const char *left;
};

TASK_FN static void line_case_main(struct line_case *t)
{
	struct wire w = wire_new();
	struct deadline d;

	wire_say(&w, t->sent);
	if (t->close)
		shutdown(w.fd, SHUT_WR);
	deadline_begin(&d, SECONDS(1));
	for (size_t i = 0; i < COUNT_OF(t->want) && (t->want[i].line || t->want[i].r); i++) {
		struct bytes line = BYTES("untouched");
		bool crlf = false;
		int r;

		if (t->want[i].r == -ETIMEDOUT)
			run_clock_advance(SECONDS(1));
		r = stream_line(w.s, t->most, &line, &crlf);
		assert_int_equal(r, t->want[i].r);
		if (r) {
			assert_true(bytes_eq(line, BYTES("untouched")));
			continue;
		}
		assert_true(bytes_eq(line, bytes_of(t->want[i].line)));
		assert_int_equal(crlf, t->want[i].crlf);
	}
	deadline_end(&d);
	assert_true(bytes_eq(stream_input(w.s), bytes_of(t->left)));
	wire_close(&w);
}

static void test_lines(void **state)
{
	struct line_case cases[] = {
		{ "two lines", "EHLO x\r\nQUIT\r\n", 100, false, { { 0, "EHLO x", true }, { 0, "QUIT", true }, { -ETIMEDOUT, NULL, 0 } }, "" },
		{ "bare LF", "a\nb\r\n\n", 100, false, { { 0, "a", false }, { 0, "b", true }, { 0, "", false } }, "" },
		{ "only one CR goes", "a\r\r\n", 100, false, { { 0, "a\r", true } }, "" },
		{ "exactly the limit", "abcd\r\n", 6, false, { { 0, "abcd", true } }, "" },
		{ "one more", "abcde\r\n", 6, false, { { -EMSGSIZE, NULL, 0 }, { -EMSGSIZE, NULL, 0 } }, "abcde\r" },
		{ "no LF at all", "abcdefgh", 6, false, { { -EMSGSIZE, NULL, 0 } }, "abcdef" },
		{ "the peer ends in mid-line", "abc\r\ndef", 100, true, { { 0, "abc", true }, { -ENODATA, NULL, 0 }, { -ENODATA, NULL, 0 } }, "def" },
		{ "the peer says nothing", "", 100, true, { { -ENODATA, NULL, 0 } }, "" },
		{ "half a line", "abc\r", 100, false, { { -ETIMEDOUT, NULL, 0 }, { -ETIMEDOUT, NULL, 0 } }, "abc\r" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		print_message("  %s\n", cases[i].name);
		in_task((void (*)(void *))line_case_main, &cases[i]);
	}
}

/* A line that comes byte by byte. */
TASK_FN static void drip(struct wire *w)
{
	static const char text[] = "DATA\r\n";

	for (const char *p = text; *p; p++) {
		assert_int_equal(write(w->fd, p, 1), 1);
		task_yield();
		task_yield();
	}
}

TASK_FN static void drip_main(void *arg)
{
	struct wire w = wire_new();
	struct task_group g;
	struct bytes line;

	(void)arg;
	task_group_init(&g);
	task_spawn(&g, "drip", drip, &w);
	assert_int_equal(stream_line(w.s, 100, &line, NULL), 0);
	assert_true(bytes_eq(line, BYTES("DATA")));
	task_group_wait(&g);
	wire_close(&w);
}

static void test_drip(void **state)
{
	(void)state;
	in_task(drip_main, NULL);
}

/* ---- fill and read ---- */

TASK_FN static void fill_main(void *arg)
{
	struct wire w = wire_new();
	char word[4];
	int r;

	(void)arg;
	wire_say(&w, "0123456789");
	assert_int_equal(stream_fill(w.s, 4), 0);
	assert_true(bytes_eq(stream_input(w.s), BYTES("0123")));
	assert_int_equal(stream_fill(w.s, 4), -EMSGSIZE);
	assert_int_equal(stream_fill(w.s, 6), 0);
	assert_true(bytes_eq(stream_input(w.s), BYTES("012345")));
	stream_consume(w.s, 2);
	assert_int_equal(stream_fill(w.s, 100), 0);
	assert_true(bytes_eq(stream_input(w.s), BYTES("23456789")));
	assert_int_equal(stream_read(w.s, word, 4), 0);
	assert_memory_equal(word, "2345", 4);

	/* Kept when the peer goes away; then the end is final. */
	close(w.fd);
	assert_int_equal(stream_read(w.s, word, 4), 0);
	assert_memory_equal(word, "6789", 4);
	r = stream_fill(w.s, 100);
	assert_true(r == -ENODATA || r == -ECONNRESET);
	assert_int_equal(stream_fill(w.s, 100), r);
	assert_int_equal(stream_poll(w.s), r);
	/* And what is written goes nowhere. */
	stream_put(w.s, BYTES("250 ok\r\n"));
	assert_int_equal(stream_flush(w.s), -EPIPE);
	assert_int_equal(stream_flush(w.s), -EPIPE);
	stream_put(w.s, BYTES("more"));
	assert_int_equal(stream_unsent(w.s), 0);
	stream_close(&w.s);
	assert_null(w.s);
	stream_close(&w.s);
}

static void test_fill(void **state)
{
	(void)state;
	in_task(fill_main, NULL);
}

TASK_FN static void poll_main(void *arg)
{
	struct wire w = wire_new();

	(void)arg;
	assert_int_equal(stream_poll(w.s), -EAGAIN);
	wire_say(&w, "x");
	assert_int_equal(stream_poll(w.s), 0);
	assert_int_equal(stream_poll(w.s), 0);
	stream_consume(w.s, 1);
	assert_int_equal(stream_poll(w.s), -EAGAIN);
	assert_null(w.s->in.p);
	/* A kept connection that the peer has closed, before the loop could notice. */
	close(w.fd);
	assert_int_equal(stream_poll(w.s), -ENODATA);
	stream_close(&w.s);
}

static void test_poll(void **state)
{
	(void)state;
	in_task(poll_main, NULL);
}

/* Data and reset come in one turn: the data, then the error, not silence until the deadline. */
TASK_FN static void reset_main(void *arg)
{
	struct net_addr a;
	struct linger hard = { .l_onoff = 1 };
	int listen_fd, client, r;
	struct stream *s;
	struct bytes line;

	(void)arg;
	assert_int_equal(net_addr_parse(BYTES("127.0.0.1"), 0, &a), 0);
	listen_fd = net_listen(&a, false);
	assert_true(listen_fd >= 0);
	assert_int_equal(getsockname(listen_fd, &a.sa, &a.len), 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, &a.sa, a.len), 0);
	s = stream_new(accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK));
	assert_int_equal(write(client, "NOOP\r\nQU", 8), 8);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(client);
	r = stream_line(s, 100, &line, NULL);
	if (!r) {
		assert_true(bytes_eq(line, BYTES("NOOP")));
		r = stream_line(s, 100, &line, NULL);
	}
	assert_int_equal(r, -ECONNRESET);
	stream_close(&s);
	close(listen_fd);
}

static void test_reset(void **state)
{
	(void)state;
	in_task(reset_main, NULL);
}

/* ---- writing ---- */

TASK_FN static void write_main(void *arg)
{
	struct wire w = wire_new();
	struct iovec iov[20];
	char ab[] = "ab";

	(void)arg;
	stream_put(w.s, BYTES("250-"));
	stream_putf(w.s, "%s %d", "SIZE", 1000);
	stream_put(w.s, BYTES("\r\n"));
	assert_int_equal(stream_unsent(w.s), 15);
	for (int i = 0; i < 20; i++)
		iov[i] = (struct iovec){ ab, i % 3 ? 2 : 0 };
	assert_int_equal(stream_writev(w.s, iov, 20), 0);
	assert_int_equal(stream_unsent(w.s), 0);
	assert_null(w.s->out.p);
	wire_hear(&w, "250-SIZE 1000\r\nababababababababababababab");
	assert_int_equal(stream_flush(w.s), 0);
	/* Longer than what was set aside. */
	stream_putf(w.s, "%0*d", 4000, 7);
	assert_int_equal(stream_unsent(w.s), 4000);
	wire_close(&w);
}

static void test_write(void **state)
{
	(void)state;
	in_task(write_main, NULL);
}

/* A pattern in which no two bytes 251 apart are at the same place of anything. */
static void pattern(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i % 251);
}

enum { LARGE = 3 * 1000 * 1000 };
struct slow {
	struct stream *from;
	size_t got;
	unsigned char next;
};

TASK_FN static void slow_reader(struct slow *r)
{
	while (r->got < LARGE) {
		struct bytes in;

		assert_int_equal(stream_fill(r->from, 1 + r->got % 60000), 0);
		in = stream_input(r->from);
		for (size_t i = 0; i < in.n; i++, r->next = (unsigned char)((r->next + 1) % 251))
			assert_true((unsigned char)in.p[i] == r->next);
		r->got += in.n;
		stream_consume(r->from, in.n);
		if (r->got % 7 == 0)
			task_yield();
	}
}

TASK_FN static void slow_main(void *arg)
{
	struct slow r = { 0 };
	struct stream *s;
	struct task_group g;
	char *data = mem_alloc(LARGE);
	struct iovec iov[2];

	(void)arg;
	pattern(data, LARGE);
	assert_int_equal(stream_pair(&s, &r.from), 0);
	task_group_init(&g);
	task_spawn(&g, "slow reader", slow_reader, &r);
	stream_put(s, bytes_make(data, 1000));
	iov[0] = (struct iovec){ data + 1000, LARGE / 2 - 1000 };
	iov[1] = (struct iovec){ data + LARGE / 2, LARGE - LARGE / 2 };
	assert_int_equal(stream_writev(s, iov, 2), 0);
	task_group_wait(&g);
	assert_int_equal(r.got, LARGE);
	stream_close(&s);
	stream_close(&r.from);
	mem_free(data);
}

static void test_slow_reader(void **state)
{
	(void)state;
	in_task(slow_main, NULL);
}

/* The peer does not read: a deadline cuts the write short.  The buffer may still go later; torn slices may not. */
TASK_FN static void stuck_main(void *arg)
{
	struct wire w = wire_new();
	struct deadline d;
	char *data = mem_zalloc(LARGE);
	struct iovec iov = { data, LARGE };

	(void)arg;
	run_clock_advance(SECONDS(3));
	stream_put(w.s, bytes_make(data, LARGE));
	deadline_begin(&d, SECONDS(1));
	assert_int_equal(stream_flush(w.s), -ETIMEDOUT);
	deadline_end(&d);
	assert_in_range(stream_unsent(w.s), 1, LARGE - 1);
	for (ssize_t n; (n = read(w.fd, data, LARGE)) > 0;)
		;
	while (stream_unsent(w.s)) {
		int r;

		deadline_begin(&d, MS(1));
		run_clock_advance(MS(1));
		r = stream_flush(w.s);
		deadline_end(&d);
		assert_true(!r || r == -ETIMEDOUT);
		while (read(w.fd, data, LARGE) > 0)
			;
	}
	deadline_begin(&d, SECONDS(1));
	run_clock_advance(SECONDS(1));
	assert_int_equal(stream_writev(w.s, &iov, 1), -ETIMEDOUT);
	deadline_end(&d);
	while (read(w.fd, data, LARGE) > 0)
		;
	assert_int_equal(stream_writev(w.s, &iov, 1), -EPIPE);
	wire_close(&w);
	mem_free(data);
}

static void test_stuck(void **state)
{
	(void)state;
	in_task(stuck_main, NULL);
}

/* ---- cancelled ---- */

struct canceled {
	struct wire w;
	int line, flush;
};

TASK_FN static void canceled_child(struct canceled *c)
{
	struct bytes line;

	c->line = stream_line(c->w.s, 100, &line, NULL);
	stream_put(c->w.s, BYTES("421 bye\r\n"));
	c->flush = stream_flush(c->w.s);
}

TASK_FN static void canceled_main(bool *data_too)
{
	struct canceled c = { wire_new(), 1, 1 };
	struct task_group g;

	task_group_init(&g);
	task_spawn(&g, "canceled", canceled_child, &c);
	task_yield();
	if (*data_too)
		wire_say(&c.w, "QUIT\r\n");
	task_group_cancel(&g);
	task_group_wait(&g);
	assert_int_equal(c.line, -ECANCELED);
	assert_int_equal(c.flush, -ECANCELED);
	wire_hear(&c.w, "421 bye\r\n");
	wire_close(&c.w);
}

static void test_canceled(void **state)
{
	bool no = false, yes = true;

	(void)state;
	in_task((void (*)(void *))canceled_main, &no);
	in_task((void (*)(void *))canceled_main, &yes);
}

/* ---- parking ---- */

struct parked {
	struct wire w;
	unsigned calls;
	int why;
	int64_t at;
};

static void on_unpark(void *arg, int why)
{
	struct parked *p = arg;

	assert_false(task_running());
	p->calls++;
	p->why = why;
	p->at = run_now();
}

TASK_FN static void turns(int n)
{
	while (n--)
		task_yield();
}

TASK_FN static void park_main(void *arg)
{
	struct parked p = { .w = wire_new() };
	int64_t began = run_now();

	(void)arg;
	/* Input wakes it, once. */
	stream_park(p.w.s, began + SECONDS(300), on_unpark, &p);
	assert_null(p.w.s->in.p);
	turns(3);
	assert_int_equal(p.calls, 0);
	wire_say(&p.w, "NOOP\r\n");
	turns(3);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.why, 0);
	wire_say(&p.w, "NOOP\r\n");
	turns(3);
	assert_int_equal(p.calls, 1);

	/* Input that is there already: at the next turn, not at once. */
	stream_park(p.w.s, began + SECONDS(300), on_unpark, &p);
	assert_int_equal(p.calls, 1);
	turns(3);
	assert_int_equal(p.calls, 2);
	assert_int_equal(p.why, 0);
	assert_int_equal(stream_poll(p.w.s), 0);
	stream_park(p.w.s, began + SECONDS(300), on_unpark, &p);
	turns(3);
	assert_int_equal(p.calls, 3);
	stream_consume(p.w.s, stream_input(p.w.s).n);

	/* Unparked: never. */
	stream_park(p.w.s, began + SECONDS(10), on_unpark, &p);
	stream_unpark(p.w.s);
	run_clock_advance(SECONDS(20));
	assert_int_equal(task_sleep(SECONDS(20)), 0);
	assert_int_equal(p.calls, 3);

	/* The time passes, also when an earlier parking had an earlier one. */
	began = run_now();
	stream_park(p.w.s, began + SECONDS(5), on_unpark, &p);
	stream_unpark(p.w.s);
	stream_park(p.w.s, began + SECONDS(8), on_unpark, &p);
	run_clock_advance(SECONDS(20));
	assert_int_equal(task_sleep(SECONDS(20)), 0);
	assert_int_equal(p.calls, 4);
	assert_int_equal(p.why, -ETIMEDOUT);
	assert_int_equal(p.at - began, SECONDS(8));

	/* The end of the file is input. */
	stream_park(p.w.s, FOREVER, on_unpark, &p);
	close(p.w.fd);
	turns(3);
	assert_int_equal(p.calls, 5);
	assert_int_equal(p.why, 0);
	assert_int_equal(stream_poll(p.w.s), -ENODATA);

	/* Closed while parked. */
	stream_park(p.w.s, run_now() + SECONDS(1), on_unpark, &p);
	stream_close(&p.w.s);
	run_clock_advance(SECONDS(2));
	assert_int_equal(task_sleep(SECONDS(2)), 0);
	assert_int_equal(p.calls, 5);
}

static void test_park(void **state)
{
	(void)state;
	in_task(park_main, NULL);
}

/* The usual dialogue: who parks, is called, closes its own stream in the call. */
struct session {
	struct stream *s;
	struct task_group *group;
};

TASK_FN static void session_main(struct session *n)
{
	struct bytes line;

	assert_int_equal(stream_line(n->s, 100, &line, NULL), 0);
	stream_put(n->s, BYTES("221 "));
	stream_put(n->s, line);
	assert_int_equal(stream_flush(n->s), 0);
	stream_close(&n->s);
}

static void session_input(void *arg, int why)
{
	struct session *n = arg;

	assert_int_equal(why, 0);
	task_start(n->group, "session", session_main, n);
}

TASK_FN static void session_test(void *arg)
{
	struct wire w = wire_new();
	struct task_group g;
	struct session n = { w.s, &g };

	(void)arg;
	task_group_init(&g);
	stream_park(w.s, FOREVER, session_input, &n);
	wire_say(&w, "QUIT\r\n");
	turns(2);
	task_group_wait(&g);
	assert_null(n.s);
	wire_hear(&w, "221 QUIT");
	close(w.fd);
}

static void test_session(void **state)
{
	(void)state;
	in_task(session_test, NULL);
}

/* ---- what a waiting stream holds ---- */

TASK_FN static void one_line(struct stream *s)
{
	struct bytes line;

	assert_int_equal(stream_line(s, 100, &line, NULL), -ENODATA);
}

TASK_FN static void idle_main(void *arg)
{
	struct wire w = wire_new();
	struct task_group g;

	(void)arg;
	task_group_init(&g);
	assert_in_range(sizeof *w.s, 1, 400);
	wire_say(&w, "x\r\n");
	assert_int_equal(stream_poll(w.s), 0);
	stream_consume(w.s, 3);
	task_spawn(&g, "waits", one_line, w.s);
	turns(2);
	assert_non_null(w.s->reader);
	assert_null(w.s->in.p);
	assert_null(w.s->out.p);
	shutdown(w.fd, SHUT_WR);
	task_group_wait(&g);
	wire_close(&w);
}

static void test_idle(void **state)
{
	(void)state;
	print_message("  struct stream: %zu bytes\n", sizeof(struct stream));
	in_task(idle_main, NULL);
}

/* ---- what a peak leaves behind ---- */

enum { PEAK = 400 };

static size_t resident_kib(void)
{
	unsigned long size, resident;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * 4;
}

TASK_FN static void peak_main(void *arg)
{
	static struct stream *s[PEAK];
	static char data[60000];
	size_t before = resident_kib(), peak;
	void *last;

	(void)arg;
	memset(data, 'x', sizeof data);
	for (int i = 0; i < PEAK; i += 2)
		assert_int_equal(stream_pair(&s[i], &s[i + 1]), 0);
	for (int i = 0; i < PEAK; i++)
		stream_put(s[i], bytes_make(data, sizeof data));
	last = mem_alloc(100);          /* the heap's end stays where it is */
	peak = resident_kib();
	for (int i = 0; i < PEAK; i++)
		stream_close(&s[i]);
	run_clock_advance(SECONDS(3));
	assert_int_equal(task_sleep(SECONDS(3)), 0);
	print_message("  %zu KiB, at the peak %zu, afterwards %zu\n", before, peak, resident_kib());
	assert_true(peak > before + 20000);
	assert_true(resident_kib() < before + 4000);
	mem_free(last);
}

static void test_peak(void **state)
{
	(void)state;
	if (RUN_ASAN || RUNNING_ON_VALGRIND)
		skip();         /* their allocators keep what is freed */
	in_task(peak_main, NULL);
}

/* ---- connecting and listening ---- */

struct server {
	struct listener *listener;
	struct stream *s[8];
	unsigned n, close_at;
};

static void on_connection(void *arg, int fd, const struct net_addr *peer)
{
	struct server *v = arg;

	assert_true(peer->sa.sa_family == AF_INET || peer->sa.sa_family == AF_UNIX);
	v->s[v->n++] = stream_new(fd);
	if (v->n == v->close_at)
		listener_close(&v->listener);
}

static void endpoint_of(const struct net_addr *a, struct endpoint *ret)
{
	struct buf err = { 0 };
	char text[200], ip[INET6_ADDRSTRLEN];

	net_addr_ip(a, ip);
	if (a->sa.sa_family == AF_UNIX)
		snprintf(text, sizeof text, "unix:%s", a->un.sun_path);
	else
		snprintf(text, sizeof text, "inet:%s:%u", ip, net_addr_port(a));
	assert_int_equal(endpoint_parse(bytes_of(text), 0, ret, &err), 0);
}

TASK_FN static void connect_once(struct server *v, const struct net_addr *to, const struct net_addr *source)
{
	struct endpoint e;
	struct stream *c;
	struct bytes line;
	struct net_addr seen;
	unsigned n = v->n;

	endpoint_of(to, &e);
	assert_int_equal(stream_connect(&e, source, &c), 0);
	while (v->n == n)
		task_yield();
	stream_quickack(c);
	stream_put(c, BYTES("hello\r\n"));
	assert_int_equal(stream_flush(c), 0);
	assert_int_equal(stream_line(v->s[n], 100, &line, NULL), 0);
	assert_true(bytes_eq(line, BYTES("hello")));
	assert_int_equal(stream_peer(v->s[n], &seen), 0);
	if (source && seen.sa.sa_family == AF_INET)
		assert_memory_equal(&seen.in.sin_addr, &source->in.sin_addr, 4);
	assert_int_equal(stream_local(v->s[n], &seen), 0);
	assert_int_equal(net_addr_port(&seen), net_addr_port(to));
	stream_close(&c);
	assert_int_equal(stream_fill(v->s[n], 100), -ENODATA);
	stream_close(&v->s[n]);
	endpoint_fini(&e);
}

TASK_FN static void connect_main(void *arg)
{
	struct server v = { .close_at = 3 };
	struct net_addr tcp, source, un = { .len = sizeof un.un, .un.sun_family = AF_UNIX };
	struct endpoint e;
	struct stream *c;
	int tcp_fd, un_fd, again;
	char dir[] = "/tmp/test_stream.XXXXXX";

	(void)arg;
	assert_int_equal(net_addr_parse(BYTES("127.0.0.1"), 0, &tcp), 0);
	assert_int_equal(net_addr_parse(BYTES("127.0.0.9"), 0, &source), 0);
	tcp_fd = net_listen(&tcp, true);
	assert_true(tcp_fd >= 0);
	assert_int_equal(getsockname(tcp_fd, &tcp.sa, &tcp.len), 0);
	v.listener = listener_new(tcp_fd, on_connection, &v);
	connect_once(&v, &tcp, NULL);
	connect_once(&v, &tcp, &source);
	connect_once(&v, &tcp, NULL);
	assert_null(v.listener);        /* closed from within */
	close(tcp_fd);
	endpoint_of(&tcp, &e);
	assert_int_equal(stream_connect(&e, NULL, &c), -ECONNREFUSED);
	endpoint_fini(&e);

	assert_non_null(mkdtemp(dir));
	snprintf(un.un.sun_path, sizeof un.un.sun_path, "%s/s", dir);
	endpoint_of(&un, &e);
	assert_int_equal(stream_connect(&e, NULL, &c), -ENOENT);
	un_fd = net_listen(&un, false);
	assert_true(un_fd >= 0);
	assert_int_equal(net_listen(&un, false), -EADDRINUSE);
	close(accept(un_fd, NULL, NULL));       /* it knocked to see whether somebody is there */
	v = (struct server){ .listener = listener_new(un_fd, on_connection, &v) };
	connect_once(&v, &un, &source);
	listener_close(&v.listener);
	listener_close(&v.listener);
	close(un_fd);
	/* Nobody accepts there any more: taken over. */
	assert_int_equal(stream_connect(&e, NULL, &c), -ECONNREFUSED);
	again = net_listen(&un, false);
	assert_true(again >= 0);
	close(again);
	endpoint_fini(&e);
	unlink(un.un.sun_path);
	rmdir(dir);
}

static void test_connect(void **state)
{
	(void)state;
	in_task(connect_main, NULL);
	assert_int_equal(warnings, 0);
}

/* A unix socket whose backlog is full: connect() says EAGAIN, and we try until there is room. */
struct patient {
	struct endpoint e;
	int r;
	bool done;
};

TASK_FN static void patient_main(struct patient *p)
{
	struct stream *c;

	p->r = stream_connect(&p->e, NULL, &c);
	p->done = true;
	if (!p->r)
		stream_close(&c);
}

TASK_FN static void backlog_main(void *arg)
{
	struct net_addr un = { .len = sizeof un.un, .un.sun_family = AF_UNIX };
	char dir[] = "/tmp/test_stream.XXXXXX";
	int listen_fd = socket(AF_UNIX, SOCK_STREAM, 0), fd[3];
	struct task_group g;
	struct patient p = { .r = 1 };

	(void)arg;
	assert_non_null(mkdtemp(dir));
	snprintf(un.un.sun_path, sizeof un.un.sun_path, "%s/s", dir);
	assert_int_equal(bind(listen_fd, &un.sa, un.len), 0);
	assert_int_equal(listen(listen_fd, 0), 0);
	for (int i = 0; i < 3; i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fd[i], &un.sa, un.len);
	}
	endpoint_of(&un, &p.e);
	task_group_init(&g);
	task_spawn(&g, "patient", patient_main, &p);
	turns(5);
	assert_false(p.done);
	close(accept(listen_fd, NULL, NULL));
	run_clock_advance(SECONDS(1));
	task_group_wait(&g);
	assert_int_equal(p.r, 0);
	endpoint_fini(&p.e);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(listen_fd);
	unlink(un.un.sun_path);
	rmdir(dir);
}

static void test_backlog(void **state)
{
	(void)state;
	in_task(backlog_main, NULL);
}

/* No descriptor is left: the listener pauses, says so once, and goes on when there is one again. */
TASK_FN static void emfile_main(void *arg)
{
	struct server v = { 0 };
	struct net_addr a;
	struct rlimit before, low;
	int listen_fd, client[2];

	(void)arg;
	assert_int_equal(net_addr_parse(BYTES("127.0.0.1"), 0, &a), 0);
	listen_fd = net_listen(&a, false);
	assert_int_equal(getsockname(listen_fd, &a.sa, &a.len), 0);
	v.listener = listener_new(listen_fd, on_connection, &v);
	for (int i = 0; i < 2; i++) {
		client[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_true(client[i] >= 0);
	}
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = (rlim_t)client[1] + 1;
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(connect(client[0], &a.sa, a.len), 0);
	assert_int_equal(connect(client[1], &a.sa, a.len), 0);
	turns(5);
	assert_int_equal(v.n, 0);
	assert_int_equal(warnings, 1);
	run_clock_advance(SECONDS(1) + MS(1));
	assert_int_equal(task_sleep(SECONDS(1) + MS(1)), 0);
	turns(5);
	assert_int_equal(warnings, 1);
	setrlimit(RLIMIT_NOFILE, &before);
	turns(5);
	assert_int_equal(v.n, 0);       /* it looks again when the second is over */
	run_clock_advance(SECONDS(1));
	assert_int_equal(task_sleep(SECONDS(1)), 0);
	while (v.n < 2)
		task_yield();
	assert_int_equal(warnings, 1);
	for (int i = 0; i < 2; i++) {
		stream_close(&v.s[i]);
		close(client[i]);
	}
	listener_close(&v.listener);
	close(listen_fd);
}

static void test_emfile(void **state)
{
	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip();         /* it has numbers of its own for descriptors */
	in_task(emfile_main, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poll, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canceled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_park, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peak, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emfile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
