/* test_table_servers.c: tcp:, socketmap: and memcache: against servers that behave and servers that do not.  The test clock says how long it took. */
#include "tests/unit/txn_fixture.h"

#include "tcp_table/socketmap_codec.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/tcp_codec.h"
#include "tests/unit/answerer.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"        /* the tables below leave out what is 0 */

static const struct table_ops *const kinds[] = { &table_tcp, &table_socketmap, &table_memcache, NULL };

static size_t tcp_question(struct bytes input)
{
	return (size_t)(bytes_find(input, '\n') + 1);
}

static size_t socketmap_question(struct bytes input)
{
	struct bytes payload;
	const char *why;
	return socketmap_codec_frame(input, 1 << 20, &payload, &why) == 1 ? input.n : 0;
}

/* "get KEY": nothing is ever stored here. */
static size_t memcache_question(struct bytes input)
{
	return (size_t)(bytes_find(input, '\n') + 1);
}

/* ---- one question after the other to one server ---- */

struct asked {
	const char *key;
	int r;                  /* 1, 0 or -errno */
	const char *value;      /* of what was found; what is wrong begins with it */
	int seconds;            /* it took, at most one more */
};

struct scene {
	bool socketmap, memcache;
	struct answerer server;
	const struct table_options *options;
	const struct asked *asked;
	unsigned asked_count;
	unsigned connections, idle;     /* there were, there are at the end */
	const char *questions;          /* the server has got; NULL: not looked at */
	bool deaf;                      /* nobody listens */
};

/* memcache_table(5): the file that says where. */
static void memcache_write(const struct scene *s, char *path)
{
	strcpy(path, "/tmp/gatepost-memcache-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "memcache = inet:%s\ntimeout = 7\nline_size_limit = 64\ndata_size_limit = 100\n", s->server.endpoint) > 0);
	assert_int_equal(close(fd), 0);
}

static struct table *scene_open(const struct scene *s)
{
	char map[128], path[64] = "";
	struct buf err = { 0 };
	struct table *t = NULL;
	if (s->memcache)
		memcache_write(s, path);
	snprintf(map, sizeof map, s->memcache ? "memcache:%s" : s->socketmap ? "socketmap:inet:%s:map" : "tcp:%s", s->memcache ? path : s->server.endpoint);
	assert_int_equal(table_open(kinds, bytes_of(map), s->options, "test", &t, &err), 0);
	if (s->memcache)
		assert_int_equal(unlink(path), 0);
	return t;
}

TASK_FN static void scene_ask(struct table *t, const struct asked *a)
{
	struct buf value = { 0 }, err = { 0 };
	int64_t start = run_now();
	int r = table_get(t, bytes_of(a->key), &value, &err);
	int seconds = (int)((run_now() - start) / SECONDS(1));

	print_message("[ case     ] %.20s -> %d %.60s %.90s (%d s)\n", a->key, r, buf_str(&value), buf_str(&err), seconds);
	assert_int_equal(r, a->r);
	if (a->value)
		assert_non_null(strstr(r == 1 ? buf_str(&value) : buf_str(&err), a->value));
	if (r == 1 && a->value)
		assert_int_equal(value.n, strlen(a->value));
	assert_true(r == 1 || value.n == 0);
	assert_true(r < 0 || err.n == 0);
	assert_in_range(seconds, a->seconds, a->seconds + 1);
	buf_fini(&value);
	buf_fini(&err);
}

TASK_FN static void scene_main(void *arg)
{
	struct scene *s = arg;
	s->server.question = s->memcache ? memcache_question : s->socketmap ? socketmap_question : tcp_question;
	answerer_start(&s->server);
	if (s->deaf)
		answerer_stop(&s->server);
	struct table *t = scene_open(s);
	for (unsigned i = 0; i < s->asked_count; i++)
		scene_ask(t, &s->asked[i]);
	assert_int_equal(task_sleep(SECONDS(1)), 0);    /* the server hears who has gone */
	if (s->connections)
		assert_int_equal(s->server.connections, s->connections);
	assert_int_equal(s->server.open, s->idle);
	if (s->questions)
		assert_string_equal(buf_str(&s->server.questions), s->questions);
	table_close(&t);
	answerer_stop(&s->server);
}

#define LIST(type, ...) (const type[]){ __VA_ARGS__ }
#define ANSWERS(...) .server.answers = LIST(struct answer, __VA_ARGS__), .server.answer_count = COUNT_OF(LIST(struct answer, __VA_ARGS__))
#define ASKED(...) .asked = LIST(struct asked, __VA_ARGS__), .asked_count = COUNT_OF(LIST(struct asked, __VA_ARGS__))
#define SCENE(...) with_clock(scene_main, &(struct scene){ __VA_ARGS__ })

static char large[200000];

/* ---- tcp_table ---- */

static void test_tcp_answers(void **state)
{
	(void)state;
	SCENE(ANSWERS({ "200 joe%40example.org\n" }, { "500 not here\n" }, { "400 try%20later\n" }, { "200 raw blanks %c3%A9\r\n" }, { "299 \n" },
		      { "200\tx\n" }),
	      ASKED({ "a b%c\xc3\xa9\x7f~!", 1, "joe@example.org", 0 }, { "k2", 0, NULL, 0 }, { "k3", -EAGAIN, "try later", 0 },
		    { "k4", 1, "raw blanks \xc3\xa9", 0 }, { "k5", 1, "", 0 }, { "k6", 1, "x", 0 }),
	      .connections = 1, .idle = 1, .questions = "get a%20b%25c%C3%A9%7F~!\nget k2\nget k3\nget k4\nget k5\nget k6\n");
}

/* Each costs a connection, and nothing else. */
static void test_tcp_malformed(void **state)
{
	(void)state;
	memset(large, 'x', sizeof large);
	memcpy(large, "200 ", 4);
	large[sizeof large - 1] = '\n';
	SCENE(ANSWERS({ "200\n" }, { "\n" }, { "20 x\n" }, { "300 x\n" }, { "abc x\n" }, { "200 %4\n" }, { "200 %zz\n" }, { "200 a%00b\n" },
		      { large, sizeof large }, { "200 fine\n" }),
	      ASKED({ "1", -EPROTO, "malformed reply: no status", 0 }, { "2", -EPROTO, "malformed", 0 }, { "3", -EPROTO, "malformed", 0 },
		    { "4", -EPROTO, "a status other than", 0 }, { "5", -EPROTO, "malformed", 0 }, { "6", -EPROTO, "a wrong %XX", 0 },
		    { "7", -EPROTO, "a wrong %XX", 0 }, { "8", -EPROTO, "a wrong %XX", 0 }, { "9", -EPROTO, "the line is too long", 0 },
		    { "10", 1, "fine", 0 }),
	      .connections = 10, .idle = 1);
}

/* What comes behind an answer is none to the next question. */
static void test_tcp_more(void **state)
{
	(void)state;
	SCENE(ANSWERS({ "200 a\n200 b\n" }, { "200 c\n500 d\n200" }, { "200 e\n" }),
	      ASKED({ "1", 1, "a", 0 }, { "2", 1, "c", 0 }, { "3", 1, "e", 0 }), .connections = 3, .idle = 1, .questions = "get 1\nget 2\nget 3\n");
}

/* 4096 bytes with the newline are a reply, one more is none. */
static void test_tcp_limit(void **state)
{
	(void)state;
	static char exact[TCP_REPLY_MAX], over[TCP_REPLY_MAX + 1];
	memset(exact, 'x', sizeof exact);
	memcpy(exact, "200 ", 4);
	exact[sizeof exact - 1] = '\n';
	memset(over, 'x', sizeof over);
	memcpy(over, "200 ", 4);
	over[sizeof over - 1] = '\n';
	SCENE(ANSWERS({ exact, sizeof exact }, { over, sizeof over }), ASKED({ "a", 1, NULL, 0 }, { "b", -EPROTO, "too long", 0 }), .connections = 1);
	static const struct table_options small = { .reply_max = 10 };
	SCENE(ANSWERS({ "200 12345\n" }, { "200 123456\n" }), ASKED({ "a", 1, "12345", 0 }, { "b", -EPROTO, "too long", 0 }), .options = &small,
	      .connections = 1);
}

/* Postfix sleeps ten times a second before it gives up. */
static void test_tcp_closes(void **state)
{
	(void)state;
	SCENE(ANSWERS({ "200 a\n", 0, AFTER_CLOSE }, { "200 b\n", 0, AFTER_CLOSE }, { "200 c", 0, AFTER_CLOSE }, { "", 0, AFTER_CLOSE }, { "200 e\n" }),
	      ASKED({ "a", 1, "a", 0 }, { "b", 1, "b", 0 }, { "c", -EAGAIN, "closed before the answer was complete", 0 },
		    { "d", -EAGAIN, "closed before", 0 }, { "e", 1, "e", 0 }),
	      .connections = 5, .idle = 1);
	SCENE(ANSWERS({ "200 a\n" }), ASKED({ "a", -EAGAIN, "closed before", 0 }, { "a", 1, "a", 0 }), .server.close_at_accept = 1, .connections = 2,
	      .idle = 1);
	SCENE(ANSWERS({ "" }), ASKED({ "a", -EAGAIN, "cannot connect: Connection refused", 0 }), .deaf = true);
}

static void test_tcp_hangs(void **state)
{
	(void)state;
	static const struct table_options quick = { .timeout = SECONDS(7) };
	SCENE(ANSWERS({ "", 0, AFTER_HANG }, { "2", 0, AFTER_DRIP }, { "200 fine\n" }),
	      ASKED({ "a", -EAGAIN, "no answer within 100 s", 100 }, { "b", -EAGAIN, "no answer within 100 s", 100 }, { "c", 1, "fine", 0 }),
	      .connections = 3, .idle = 1);
	SCENE(ANSWERS({ "200 begun", 0, AFTER_HANG }), ASKED({ "a", -EAGAIN, "no answer within 7 s", 7 }), .options = &quick, .connections = 1);
	SCENE(ANSWERS({ "200 x", 0, AFTER_FLOOD }, { "200 fine\n" }), ASKED({ "a", -EPROTO, "too long", 0 }, { "b", 1, "fine", 0 }), .connections = 2,
	      .idle = 1);
}

/* ---- socketmap ---- */

static void test_socketmap_answers(void **state)
{
	(void)state;
	SCENE(.socketmap = true,
	      ANSWERS({ "8:OK a b c," }, { "9:NOTFOUND ," }, { "8:NOTFOUND," }, { "2:OK," }, { "3:OK ," }, { "10:TEMP later," }, { "8:TIMEOUT ," },
		      { "8:PERM no!," }, { "5:MAYBE," }, { "0:," }, { "004:OK x," }),
	      ASKED({ "key \xc3\xa9%", 1, "a b c", 0 }, { "2", 0, NULL, 0 }, { "3", 0, NULL, 0 }, { "4", 0, NULL, 0 }, { "5", 1, "", 0 },
		    { "6", -EAGAIN, "later", 0 }, { "7", -EAGAIN, "", 0 }, { "8", -EINVAL, "no!", 0 }, { "9", -EAGAIN, "neither OK nor", 0 },
		    { "10", -EAGAIN, "neither OK nor", 0 }, { "11", 1, "x", 0 }),
	      .connections = 1, .idle = 1,
	      .questions = "11:map key \xc3\xa9%,5:map 2,5:map 3,5:map 4,5:map 5,5:map 6,5:map 7,5:map 8,5:map 9,6:map 10,6:map 11,");
}

static void test_socketmap_malformed(void **state)
{
	(void)state;
	static const struct table_options small = { .reply_max = 20 };
	SCENE(.socketmap = true,
	      ANSWERS({ "x" }, { ":OK," }, { "-1:OK," }, { "99999999999999999999" }, { "100001:OK " }, { "4:OK xx" }, { "4:OK x,y" }, { "HTTP/1.1 400 Bad\r\n" },
		      { "4:OK x," }),
	      ASKED({ "1", -EPROTO, "no netstring", 0 }, { "2", -EPROTO, "no netstring", 0 }, { "3", -EPROTO, "no netstring", 0 },
		    { "4", -EPROTO, "no netstring", 0 }, { "5", -EPROTO, "too long", 0 }, { "6", -EPROTO, "no ','", 0 },
		    { "7", -EPROTO, "something follows", 0 }, { "8", -EPROTO, "no netstring", 0 }, { "9", 1, "x", 0 }),
	      .connections = 9, .idle = 1);
	SCENE(.socketmap = true, ANSWERS({ "20:OK 12345678901234567," }, { "21:OK 123456789012345678," }),
	      ASKED({ "a", 1, "12345678901234567", 0 }, { "b", -EPROTO, "too long", 0 }), .options = &small, .connections = 1);
}

static void test_socketmap_large(void **state)
{
	(void)state;
	static char reply[SOCKETMAP_REPLY_MAX + 8];
	memset(reply, 'v', sizeof reply);
	memcpy(reply, "100000:OK ", 10);
	reply[sizeof reply - 1] = ',';
	static char key[SOCKETMAP_QUERY_MAX + 2];
	memset(key, 'k', sizeof key - 1);
	/* Too long a key is not even asked. */
	SCENE(.socketmap = true, ANSWERS({ reply, sizeof reply }), ASKED({ "a", 1, NULL, 0 }, { key, 0, NULL, 0 }), .connections = 1, .idle = 1,
	      .questions = "5:map a,");
}

static void test_socketmap_closes_and_hangs(void **state)
{
	(void)state;
	SCENE(.socketmap = true, ANSWERS({ "4:OK a,", 0, AFTER_CLOSE }, { "4:OK b," }, { "40:OK", 0, AFTER_CLOSE }, { "4:OK c," }),
	      ASKED({ "a", 1, "a", 0 }, { "b", 1, "b", 0 }, { "c", 1, "c", 0 }), .connections = 3, .idle = 1);
	SCENE(.socketmap = true, ANSWERS({ "400:OK", 0, AFTER_HANG }, { "9999:OK x", 0, AFTER_DRIP }, { "4:OK", 0, AFTER_FLOOD }),
	      ASKED({ "a", -EAGAIN, "no answer within 100 s", 100 }, { "b", -EAGAIN, "no answer within 100 s", 100 }, { "c", -EPROTO, NULL, 0 }),
	      .connections = 3);
}

/* ---- memcache ---- */

static void test_memcache_answers(void **state)
{
	(void)state;
	SCENE(.memcache = true,
	      ANSWERS({ "VALUE a 0 5\r\na b c\r\nEND\r\n" }, { "END\r\n" }, { "VALUE c 7 0\r\n\r\nEND\r\n" }, { "VALUE d 0 3 12\r\nx\r\n\r\nEND\r\n" },
		      { "VALUE e 0 3\r\nx\0y\r\nEND\r\n", 23 }),
	      ASKED({ "A", 1, "a b c", 0 }, { "b", 0, NULL, 0 }, { "c", 1, "", 0 }, { "d", 1, "x\r\n", 0 }, { "e", 1, "x", 0 }, { "white space", 0, NULL, 0 }),
	      .connections = 1, .idle = 1, .questions = "get a\r\nget b\r\nget c\r\nget d\r\nget e\r\n");
}

/* None is "not found", and none is left to be the answer to the next question. */
static void test_memcache_malformed(void **state)
{
	(void)state;
	memset(large, 'x', sizeof large);
	SCENE(.memcache = true,
	      ANSWERS({ "ERROR\r\n" }, { "SERVER_ERROR out of memory\r\n" }, { "VALUE other 0 1\r\nx\r\nEND\r\n" }, { "VALUE 4 0\r\n" }, { "VALUE 5 0 -1\r\n" },
		      { "VALUE 6 0 101\r\n" }, { "VALUE 7 0 1\r\nxy\r\nEND\r\n" }, { "VALUE 8 0 1\r\nx\r\nVALUE 9 0 1\r\ny\r\nEND\r\n" },
		      { large, sizeof large }, { "\r\n" }, { "END\r\nEND\r\n" }, { "VALUE 12 0 1\r\nx\r\nEND\r\n" }),
	      ASKED({ "1", -EPROTO, "unexpected reply", 0 }, { "2", -EPROTO, "unexpected reply", 0 }, { "3", -EPROTO, "unexpected reply", 0 },
		    { "4", -EPROTO, "unexpected reply", 0 }, { "5", -EPROTO, "unexpected reply", 0 }, { "6", -EPROTO, "too long (data_size_limit)", 0 },
		    { "7", -EPROTO, "another length", 0 }, { "8", -EPROTO, "another length", 0 }, { "9", -EPROTO, "too long (line_size_limit)", 0 },
		    { "10", -EPROTO, "unexpected reply", 0 }, { "11", 0, NULL, 0 }, { "12", 1, "x", 0 }),
	      .connections = 12, .idle = 1);
}

static void test_memcache_closes_and_hangs(void **state)
{
	(void)state;
	SCENE(.memcache = true, ANSWERS({ "END\r\n", 0, AFTER_CLOSE }, { "VALUE b 0 1\r\nx\r\nEND\r\n", 0, AFTER_CLOSE }, { "VALUE c 0 9\r\nxy", 0, AFTER_CLOSE },
				      { "EN", 0, AFTER_CLOSE }, { "END\r\n" }),
	      ASKED({ "a", 0, NULL, 0 }, { "b", 1, "x", 0 }, { "c", -EAGAIN, "closed before the answer", 0 }, { "d", -EAGAIN, "closed before", 0 }, { "e", 0, NULL, 0 }),
	      .connections = 5, .idle = 1);
	SCENE(.memcache = true, ANSWERS({ "", 0, AFTER_HANG }, { "VALUE b 0 9\r\nx", 0, AFTER_HANG }, { "V", 0, AFTER_DRIP }, { "VALUE", 0, AFTER_FLOOD }, { "END\r\n" }),
	      ASKED({ "a", -EAGAIN, "no answer within 7 s", 7 }, { "b", -EAGAIN, "no answer within 7 s", 7 }, { "c", -EAGAIN, "no answer within 7 s", 7 },
		    { "d", -EPROTO, "too long", 0 }, { "e", 0, NULL, 0 }),
	      .connections = 5, .idle = 1);
	SCENE(.memcache = true, ANSWERS({ "" }), ASKED({ "a", -EAGAIN, "cannot connect: Connection refused", 0 }), .deaf = true);
}

/* ---- the pool ---- */

struct crowd {
	struct table *t;
	unsigned found;
};

TASK_FN static void crowd_ask(struct crowd *c)
{
	struct buf value = { 0 }, err = { 0 };
	c->found += table_get(c->t, BYTES("k"), &value, &err) == 1;
	buf_fini(&value);
	buf_fini(&err);
}

static const struct answer v = { "200 v\n", 0, AFTER_GO_ON };

/* Fifty at once share as many connections as there may be. */
TASK_FN static void crowd_main(void *arg)
{
	(void)arg;
	static const struct table_options four = { .connections = 4 };
	struct scene s = { .server = { .question = tcp_question, .answers = &v, .answer_count = 1 }, .options = &four };
	struct crowd c = { 0 };
	struct task_group g;
	answerer_start(&s.server);
	c.t = scene_open(&s);
	task_group_init(&g);
	for (int i = 0; i < 50; i++)
		task_spawn(&g, "crowd", crowd_ask, &c);
	task_group_wait(&g);
	assert_int_equal(c.found, 50);
	assert_int_equal(s.server.asked, 50);
	assert_int_equal(s.server.connections, 4);
	table_close(&c.t);
	answerer_stop(&s.server);
}

static void test_crowd(void **state)
{
	(void)state;
	with_clock(crowd_main, NULL);
}

/* Socketmap: an idle connection is closed after 10 s, one in use after 100 s. */
TASK_FN static void idle_main(void *arg)
{
	(void)arg;
	static const struct answer answers[] = { { "4:OK v,", 0, AFTER_GO_ON } };
	static const struct asked ask = { "k", 1, "v", 0 };
	struct scene s = { .socketmap = true, .server = { .question = socketmap_question, .answers = answers, .answer_count = 1 } };
	answerer_start(&s.server);
	struct table *t = scene_open(&s);
	scene_ask(t, &ask);
	assert_int_equal(task_sleep(SECONDS(8)), 0);
	assert_int_equal(s.server.open, 1);
	assert_int_equal(task_sleep(SECONDS(4)), 0);
	assert_int_equal(s.server.open, 0);
	for (int i = 0; i < 25; i++) {
		scene_ask(t, &ask);
		assert_int_equal(task_sleep(SECONDS(5)), 0);
	}
	assert_int_equal(s.server.connections, 3);
	table_close(&t);
	answerer_stop(&s.server);
}

static void test_idle_and_ttl(void **state)
{
	(void)state;
	with_clock(idle_main, NULL);
}

/* The session's own deadline and end are its own affair. */
TASK_FN static void pass_main(void *arg)
{
	(void)arg;
	static const struct answer answers[] = { { "", 0, AFTER_HANG } };
	struct scene s = { .server = { .question = tcp_question, .answers = answers, .answer_count = 1 } };
	struct buf value = { 0 }, err = { 0 };
	struct deadline d;
	answerer_start(&s.server);
	struct table *t = scene_open(&s);
	deadline_begin(&d, SECONDS(3));
	assert_int_equal(table_get(t, BYTES("k"), &value, &err), -ETIMEDOUT);
	deadline_end(&d);
	assert_int_equal(err.n, 0);
	table_close(&t);
	answerer_stop(&s.server);
}

static void test_deadline_passes_through(void **state)
{
	(void)state;
	with_clock(pass_main, NULL);
}

/* ---- names ---- */

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *map, *why;
	} wrong[] = { { "socketmap:inet", "needs the form" }, { "socketmap:inet:127.0.0.1:1:", "needs the form" }, { "socketmap:inet:127.0.0.1:map", "" },
		      { "tcp:", "" }, { "tcp:127.0.0.1", "" } };
	for (unsigned i = 0; i < COUNT_OF(wrong); i++) {
		struct table *t = NULL;
		struct buf err = { 0 };
		assert_int_equal(table_open(kinds, bytes_of(wrong[i].map), NULL, "x", &t, &err), -EINVAL);
		print_message("[ case     ] %s: %s\n", wrong[i].map, buf_str(&err));
		assert_true(err.n > 0);
		assert_non_null(strstr(buf_str(&err), wrong[i].why));
		buf_fini(&err);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_loop_start, fixture_loop_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tcp_answers), TEST(test_tcp_malformed), TEST(test_tcp_more), TEST(test_tcp_limit), TEST(test_tcp_closes), TEST(test_tcp_hangs),
		TEST(test_socketmap_answers), TEST(test_socketmap_malformed), TEST(test_socketmap_large), TEST(test_socketmap_closes_and_hangs),
		TEST(test_memcache_answers), TEST(test_memcache_malformed), TEST(test_memcache_closes_and_hangs),
		TEST(test_crowd), TEST(test_idle_and_ttl), TEST(test_deadline_passes_through), TEST(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
