/* test_pool.c: kept connections and the endpoints they lead to: order, least busy, down, checked, up again; and answers awaited while parked. */
#include "lib/run/pool.h"
#include "lib/base/buf.h"
#include "tests/unit/in_task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SERVERS = 3 };

/* A server that takes connections and says nothing of itself. */
struct server {
	char path[64];
	int fd;
	struct listener *listener;
	struct stream *last;            /* the connection that came last */
	unsigned connections;
};

static struct {
	char folder[32];
	struct server server[SERVERS];
	struct endpoint endpoints[SERVERS];
	struct pool *pool;
	struct buf changes;             /* "-1 +1" */
	unsigned readied, released, closed;
	int ready;                      /* what ready() returns */
	int answer;                     /* what answered() returns when something came */
} t;

static void accepted(void *arg, int fd, const struct net_addr *peer)
{
	struct server *s = arg;
	(void)peer;
	stream_close(&s->last);
	s->last = stream_new(fd);
	s->connections++;
}

static void server_start(unsigned i)
{
	struct server *s = &t.server[i];
	struct net_addr a = { .len = sizeof a.un };
	a.un.sun_family = AF_UNIX;
	strcpy(a.un.sun_path, s->path);
	s->fd = net_listen(&a, false);
	assert_true(s->fd >= 0);
	s->listener = listener_new(s->fd, accepted, s);
}

static void server_stop(unsigned i)
{
	struct server *s = &t.server[i];
	if (!s->listener)
		return;
	listener_close(&s->listener);
	close(s->fd);
	stream_close(&s->last);
	unlink(s->path);
}

static void note_change(void *arg, const struct endpoint *e, const struct peer_failure *failure)
{
	assert_ptr_equal(arg, &t);
	buf_printf(&t.changes, "%s%c%d", t.changes.n ? " " : "", failure ? '-' : '+', (int)(e - t.endpoints));
}

TASK_FN static int make_ready(struct pool_conn *conn, void *taker, struct peer_failure *ret)
{
	(void)conn;
	(void)taker;
	t.readied++;
	if (t.ready < 0)
		strcpy(ret->why, "not today");
	return t.ready;
}

static int take_answer(struct pool_conn *conn, int why)
{
	if (why)
		return why;
	stream_consume(conn->stream, stream_input(conn->stream).n);
	return t.answer;
}

static void note_closing(struct pool_conn *conn)
{
	(void)conn;
	t.closed++;
}

static void note_released(void *arg)
{
	assert_ptr_equal(arg, &t);
	t.released++;
}

static void begin(struct pool_params params)
{
	memset(&t, 0, sizeof t);
	strcpy(t.folder, "/tmp/pool-XXXXXX");
	assert_non_null(mkdtemp(t.folder));
	for (unsigned i = 0; i < SERVERS; i++) {
		struct buf err = { 0 };
		char text[80];
		snprintf(t.server[i].path, sizeof t.server[i].path, "%s/%u", t.folder, i);
		snprintf(text, sizeof text, "unix:%s", t.server[i].path);
		assert_int_equal(endpoint_parse(bytes_of(text), 0, &t.endpoints[i], &err), 0);
		server_start(i);
	}
	params.endpoints = t.endpoints;
	params.connect_timeout = SECONDS(30);
	params.idle = params.idle ? params.idle : FOREVER;
	params.max_ttl = FOREVER;
	params.changed = note_change;
	params.released = note_released;
	params.closing = note_closing;
	params.arg = &t;
	t.pool = pool_new(&params);
}

static void end(void)
{
	if (t.pool) {
		pool_free(&t.pool);
		assert_int_equal(t.released, 1);
	}
	for (unsigned i = 0; i < SERVERS; i++) {
		server_stop(i);
		endpoint_fini(&t.endpoints[i]);
	}
	rmdir(t.folder);
	buf_fini(&t.changes);
}

/* Lets the loop do what there is to do, and the clock pass. */
TASK_FN static void pass(int64_t ns)
{
	run_clock_advance(ns);
	assert_int_equal(task_sleep(ns), 0);
}

TASK_FN static struct pool_conn *take(void)
{
	struct pool_conn *c = NULL;
	assert_int_equal(pool_take(t.pool, false, &c), 0);
	return c;
}

static unsigned place(const struct pool_conn *c)
{
	return (unsigned)(c->endpoint - t.endpoints);
}

/* ---- order ---- */

TASK_FN static void in_order(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 3 });
	struct pool_conn *a = take(), *b = take();
	assert_int_equal(place(a), 0);
	assert_int_equal(place(b), 0);
	pool_give(&b);
	pool_give(&a);
	a = take();
	assert_true(a->kept);
	assert_int_equal(pool_idle(t.pool), 1);
	pool_give(&a);
	end();
}

/* shows: B8 */
TASK_FN static void least_busy(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 3, .spread = true });
	struct pool_conn *a = take(), *b = take(), *c = take(), *d = take();
	assert_int_equal(place(a), 0);
	assert_int_equal(place(b), 1);
	assert_int_equal(place(c), 2);
	assert_int_equal(place(d), 0);
	pool_give(&b);
	b = take();
	assert_int_equal(place(b), 1);
	assert_true(b->kept);
	pool_give(&a);
	pool_give(&d);
	assert_int_equal(peers_busy(pool_peers(t.pool), 0), 0);
	assert_int_equal(peers_busy(pool_peers(t.pool), 1), 1);
	pool_give(&b);
	pool_give(&c);
	end();
}

TASK_FN static void enough_kept(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 1, .max_idle = 1 });
	struct pool_conn *a = take(), *b = take();
	assert_true(pool_wants(a));
	pool_give(&a);
	assert_false(pool_wants(b));
	pool_give(&b);
	assert_int_equal(pool_idle(t.pool), 1);
	assert_int_equal(t.closed, 1);
	end();
}

/* ---- failures ---- */

/* Without checks: who failed is passed over for ten seconds. */
TASK_FN static void passed_over(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 2 });
	server_stop(0);
	struct pool_conn *a = take();
	assert_int_equal(place(a), 1);
	pool_drop(&a, false);
	server_start(0);
	a = take();
	assert_int_equal(place(a), 1);
	pool_drop(&a, false);
	pass(SECONDS(11));
	a = take();
	assert_int_equal(place(a), 0);
	pool_drop(&a, false);
	assert_string_equal(buf_str(&t.changes), "-0 +0");
	end();
}

/* With checks: only a check that succeeds brings it back; they come at 1, 2, 4... seconds. */
TASK_FN static void checked(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 2, .check = true, .ready = make_ready });
	server_stop(0);
	struct pool_conn *a = take();
	assert_int_equal(place(a), 1);
	assert_true(peers_down(pool_peers(t.pool), 0));
	pass(MS(1500));
	pass(MS(1000));
	server_start(0);
	struct pool_conn *b = take();
	assert_int_equal(place(b), 1);
	t.ready = -EPROTO;      /* it accepts again, but does not say what it should */
	pass(MS(1000));
	assert_int_equal(t.server[0].connections, 1);
	assert_string_equal(buf_str(&t.changes), "-0");
	t.ready = 0;
	pass(MS(3500));
	assert_int_equal(t.server[0].connections, 1);
	pass(MS(1000));
	assert_int_equal(t.server[0].connections, 2);
	assert_string_equal(buf_str(&t.changes), "-0 +0");
	pool_drop(&a, false);
	pool_drop(&b, false);
	a = take();
	assert_int_equal(place(a), 0);
	pool_drop(&a, false);
	end();
}

/* When all are down they are tried all the same. */
TASK_FN static void all_down(void *arg)
{
	(void)arg;
	struct pool_conn *a;
	begin((struct pool_params){ .endpoint_count = 2, .check = true });
	server_stop(0);
	server_stop(1);
	assert_int_equal(pool_take(t.pool, false, &a), -ENOENT);
	assert_string_equal(peers_last_failure(pool_peers(t.pool))->why, "No such file or directory");
	assert_int_equal(pool_take(t.pool, false, &a), -ENOENT);
	server_start(1);
	a = take();
	assert_int_equal(place(a), 1);
	pool_drop(&a, false);
	assert_string_equal(buf_str(&t.changes), "-0 -1 +1");
	end();
}

TASK_FN static void not_ready(void *arg)
{
	(void)arg;
	struct pool_conn *a;
	begin((struct pool_params){ .endpoint_count = 1, .ready = make_ready });
	t.ready = -EPROTO;
	assert_int_equal(pool_take(t.pool, false, &a), -EPROTO);
	assert_string_equal(peers_last_failure(pool_peers(t.pool))->why, "not today");
	assert_string_equal(buf_str(&t.changes), "-0");
	assert_int_equal(peers_busy(pool_peers(t.pool), 0), 0);
	end();
}

/* The pool goes while a check is under way: what the check needs stays until it has ended. */
TASK_FN static int hang(struct pool_conn *conn, void *taker, struct peer_failure *ret)
{
	(void)conn;
	(void)taker;
	(void)ret;
	return task_sleep(SECONDS(5));
}

TASK_FN static void freed_in_check(void *arg)
{
	(void)arg;
	struct pool_conn *a;
	begin((struct pool_params){ .endpoint_count = 1, .check = true, .ready = hang });
	server_stop(0);
	assert_int_equal(pool_take(t.pool, false, &a), -ENOENT);
	server_start(0);
	pass(SECONDS(2));
	assert_int_equal(run_background()->count, 1);
	pool_free(&t.pool);
	assert_int_equal(t.released, 0);
	pass(SECONDS(6));
	assert_int_equal(t.released, 1);
	end();
}

/* A loop that ends does not wait for a check, but for it to notice. */
TASK_FN static void abandoned(void *arg)
{
	(void)arg;
	struct pool_conn *a;
	begin((struct pool_params){ .endpoint_count = 1, .check = true, .ready = hang });
	server_stop(0);
	assert_int_equal(pool_take(t.pool, false, &a), -ENOENT);
	server_start(0);
	pass(SECONDS(2));
	assert_int_equal(run_background()->count, 1);
}

/* ---- answers while parked ---- */

TASK_FN static void asked(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 1, .answered = take_answer });
	struct pool_conn *a = take();
	pass(MS(1));
	pool_give_asked(&a, SECONDS(5));
	struct stream *server = t.server[0].last;
	t.server[0].last = NULL;
	a = take(); /* the one that owes an answer is not taken */
	assert_false(a->kept);
	pool_drop(&a, false);
	t.answer = -EAGAIN;
	stream_put(server, BYTES("O"));
	assert_int_equal(stream_flush(server), 0);
	pass(SECONDS(1));
	t.answer = 0;
	stream_put(server, BYTES("K"));
	assert_int_equal(stream_flush(server), 0);
	pass(SECONDS(60));
	a = take();
	assert_true(a->kept);
	pool_drop(&a, false);
	stream_close(&server);
	end();
}

/* Refused, silent, closed. */
TASK_FN static void asked_in_vain(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 1, .answered = take_answer });
	for (unsigned i = 0; i < 3; i++) {
		struct pool_conn *a = take();
		pass(MS(1));
		t.answer = -EPROTO;
		pool_give_asked(&a, SECONDS(5));
		if (i == 0) {
			stream_put(t.server[0].last, BYTES("no"));
			assert_int_equal(stream_flush(t.server[0].last), 0);
		} else if (i == 1) {
			stream_close(&t.server[0].last);
		}
		assert_int_equal(pool_idle(t.pool), 1);
		pass(i == 2 ? SECONDS(6) : MS(10));
		assert_int_equal(pool_idle(t.pool), 0);
		assert_int_equal(t.closed, i + 1);
	}
	end();
}

TASK_FN static void distrusted(void *arg)
{
	(void)arg;
	begin((struct pool_params){ .endpoint_count = 2, .spread = true });
	struct pool_conn *a = take(), *b = take(), *c = take();
	assert_int_equal(place(c), 0);
	pool_give(&b);
	pool_give(&c);
	pool_distrust(a);
	assert_int_equal(pool_idle(t.pool), 1);
	pool_drop(&a, false);
	end();
}

#define SCENARIO(name)                                                                                                 \
	static void test_##name(void **state)                                                                           \
	{                                                                                                               \
		(void)state;                                                                                            \
		in_task(name, NULL);                                                                                    \
	}
SCENARIO(in_order)
SCENARIO(least_busy)
SCENARIO(enough_kept)
SCENARIO(passed_over)
SCENARIO(checked)
SCENARIO(all_down)
SCENARIO(not_ready)
SCENARIO(freed_in_check)
SCENARIO(asked)
SCENARIO(asked_in_vain)
SCENARIO(distrusted)

static void test_abandoned(void **state)
{
	(void)state;
	in_task(abandoned, NULL);
	assert_int_equal(run_background()->count, 0);
	end();
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(test_##name, loop_setup, loop_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(in_order),
		POOL_TEST(least_busy),
		POOL_TEST(enough_kept),
		POOL_TEST(passed_over),
		POOL_TEST(checked),
		POOL_TEST(all_down),
		POOL_TEST(not_ready),
		POOL_TEST(freed_in_check),
		POOL_TEST(abandoned),
		POOL_TEST(asked),
		POOL_TEST(asked_in_vain),
		POOL_TEST(distrusted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
