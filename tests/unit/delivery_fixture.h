/*
 * delivery_fixture.h: transactions to deliver, and servers that follow a script, for the tests of delivery/.
 *
 * A test's body runs in a task; each connection to a server is another.  A server has one script for each connection it is to get, a line an action:
 *
 *	S text          sends the line                  C text          expects the line; a final * stands for any rest
 *	P text          sends it without CR LF          D               takes content up to the final dot
 *	B               takes a BDAT and its bytes      held            takes content without a final dot, and the end of the connection
 *	eof             expects the connection to end   close           closes
 *	advance N       lets N seconds pass             sleep N         and goes on when they have
 *	endless         sends reply lines until the client has enough
 *	tls             a handshake                     mark text       notes text in the trace
 *
 * What a server gets wrong is in fx->trouble, the messages it took in server->got, each behind a line "== ".
 */
#ifndef GATEPOST_TESTS_DELIVERY_FIXTURE_H
#define GATEPOST_TESTS_DELIVERY_FIXTURE_H

#include "delivery/delivery.h"
#include "delivery/smtp_hop.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/run/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define FX_EHLO "S 220 hop ready\nC EHLO mx.example.org\n"
#define FX_LHLO "S 220 hop ready\nC LHLO mx.example.org\n"

struct fx {
	struct task_group servers;
	struct buf trouble, trace;
	char folder[64];                /* of this test's own */
	struct arena arena;
	struct gate_session session;
	struct gate_txn txn;
	struct delivery_params params;
	struct delivery_outcome outcome;
	int result;
	struct fx_server *all;
};

struct fx_server {
	struct fx *fx;
	const char *const *scripts;     /* NULL at the end */
	unsigned connections;
	int fd;
	struct listener *listener;
	char host[32];
	struct buf got;
	struct tls_context *tls;
	struct fx_server *next;
};

/* ---- servers ---- */

struct fx_connection {
	struct fx_server *server;
	struct stream *stream;
	const char *script;
};

__attribute__((unused)) static struct bytes fx_script_line(const char **script)
{
	struct bytes line = bytes_of(*script);
	ptrdiff_t end = bytes_find(line, '\n');

	*script += end < 0 ? line.n : (size_t)end + 1;
	return bytes_first(line, end < 0 ? line.n : (size_t)end);
}

__attribute__((format(printf, 2, 3))) static int fx_trouble(struct fx_connection *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&c->server->fx->trouble, fmt, ap);
	va_end(ap);
	buf_add_char(&c->server->fx->trouble, '\n');
	return -EPROTO;
}

TASK_FN static int fx_expect(struct fx_connection *c, struct bytes want)
{
	struct bytes line;
	bool crlf;
	int r = stream_line(c->stream, 65536, &line, &crlf);

	if (r < 0)
		return fx_trouble(c, "expected '%.*s', got %s", BYTES_ARG(want), strerror(-r));
	bool open = bytes_ends(want, BYTES("*"));
	if (!crlf || !(open ? bytes_starts(line, bytes_first(want, want.n - 1)) : bytes_eq(line, want)))
		return fx_trouble(c, "expected '%.*s', got '%.*s'", BYTES_ARG(want), BYTES_ARG(line));
	return 0;
}

/* Content as it came, dots and all.  HELD: it must not end. */
TASK_FN static int fx_take_content(struct fx_connection *c, bool held)
{
	struct bytes line;

	buf_add_str(&c->server->got, "== ");
	for (;;) {
		int r = stream_line(c->stream, 65536, &line, NULL);
		if (r < 0)
			return held && (r == -ENODATA || r == -ECONNRESET) ? 0 : fx_trouble(c, "content: %s", strerror(-r));
		if (bytes_eq(line, BYTES(".")))
			return held ? fx_trouble(c, "the final dot came") : 0;
		buf_add(&c->server->got, line);
		buf_add(&c->server->got, BYTES("\r\n"));
	}
}

TASK_FN static int fx_take_chunk(struct fx_connection *c)
{
	struct bytes line;
	uint64_t n;
	int r = stream_line(c->stream, 4096, &line, NULL);

	if (r < 0 || !bytes_starts(line, BYTES("BDAT ")))
		return fx_trouble(c, "expected BDAT, got '%.*s'", r < 0 ? 0 : (int)line.n, r < 0 ? "" : line.p);
	bytes_cut(&line, ' ');
	if (bytes_to_u64(bytes_cut(&line, ' '), 1 << 24, &n) < 0)
		return fx_trouble(c, "BDAT without a size");
	buf_add_str(&c->server->got, line.p ? "==LAST " : "== ");
	r = stream_read(c->stream, buf_room(&c->server->got, n), n);
	buf_grown(&c->server->got, n);
	return r < 0 ? fx_trouble(c, "BDAT: %s", strerror(-r)) : 0;
}

TASK_FN static int fx_expect_end(struct fx_connection *c)
{
	int r = stream_fill(c->stream, 65536);

	if (r == -ENODATA || r == -ECONNRESET || r == -EPIPE)
		return 0;
	/* QUIT is good manners and ends it too. */
	if (r == 0 && bytes_eq(stream_input(c->stream), BYTES("QUIT\r\n")))
		return 0;
	return fx_trouble(c, "expected the end, got '%.*s'", BYTES_ARG(stream_input(c->stream)));
}

TASK_FN static int fx_endless(struct fx_connection *c)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < 100000; i++) {
		stream_put(c->stream, BYTES("250-and more\r\n"));
		r = stream_flush(c->stream);
		if (i % 64 == 0)
			task_yield();
	}
	return r == -EPIPE || r == -ECONNRESET ? 0 : fx_trouble(c, "the client swallowed all");
}

TASK_FN static int fx_handshake(struct fx_connection *c)
{
	struct buf err = { 0 };
	int r = stream_tls_accept(c->stream, c->server->tls, &err);

	buf_fini(&err);
	return r < 0 ? r : 0;
}

TASK_FN static int fx_send(struct fx_connection *c, struct bytes text, bool line)
{
	stream_put(c->stream, text);
	if (line)
		stream_put(c->stream, BYTES("\r\n"));
	/* Replies that follow each other go out together. */
	if (bytes_starts(bytes_of(c->script), BYTES("S ")))
		return 0;
	int r = stream_flush(c->stream);
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

TASK_FN static int fx_act(struct fx_connection *c, struct bytes word, struct bytes rest)
{
	uint64_t n;

	if (bytes_eq(word, BYTES("S")) || bytes_eq(word, BYTES("P")))
		return fx_send(c, rest, word.p[0] == 'S');
	if (bytes_eq(word, BYTES("C")))
		return fx_expect(c, rest);
	if (bytes_eq(word, BYTES("D")) || bytes_eq(word, BYTES("held")))
		return fx_take_content(c, word.p[0] == 'h');
	if (bytes_eq(word, BYTES("B")))
		return fx_take_chunk(c);
	if (bytes_eq(word, BYTES("eof")))
		return fx_expect_end(c);
	if (bytes_eq(word, BYTES("endless")))
		return fx_endless(c);
	if (bytes_eq(word, BYTES("tls")))
		return fx_handshake(c);
	if (bytes_eq(word, BYTES("mark"))) {
		buf_printf(&c->server->fx->trace, "%.*s ", BYTES_ARG(rest));
		return 0;
	}
	if ((bytes_eq(word, BYTES("advance")) || bytes_eq(word, BYTES("sleep"))) && bytes_to_u64(rest, 100000, &n) == 0) {
		run_clock_advance(SECONDS((int64_t)n));
		return word.p[0] == 's' ? task_sleep(SECONDS((int64_t)n)) : 0;
	}
	return bytes_eq(word, BYTES("close")) ? -ENODATA : fx_trouble(c, "script: '%.*s'?", BYTES_ARG(word));
}

TASK_FN static void fx_serve(struct fx_connection *c)
{
	int r = 0;

	while (r == 0 && *c->script) {
		struct bytes rest = fx_script_line(&c->script), word = bytes_cut(&rest, ' ');
		r = fx_act(c, word, rest);
	}
	stream_close(&c->stream);
	mem_free(c);
}

static void fx_accept(void *arg, int fd, const struct net_addr *peer)
{
	struct fx_server *server = arg;
	struct fx_connection *c = NEW(struct fx_connection);
	unsigned n = 0;

	(void)peer;
	*c = (struct fx_connection){ .server = server, .stream = stream_new(fd) };
	while (n < server->connections && server->scripts[n])
		n++;
	server->connections++;
	if (!server->scripts[n]) {
		fx_trouble(c, "more connections than scripts");
		stream_close(&c->stream);
		mem_free(c);
		return;
	}
	c->script = server->scripts[n];
	task_spawn(&server->fx->servers, "server", fx_serve, c);
}

__attribute__((unused)) static void fx_server_start(struct fx *fx, struct fx_server *server, const char *const *scripts)
{
	struct net_addr any, at;

	*server = (struct fx_server){ .fx = fx, .scripts = scripts, .next = fx->all };
	assert_int_equal(net_addr_parse(BYTES("127.0.0.1"), 0, &any), 0);
	server->fd = net_listen(&any, false);
	assert_true(server->fd >= 0);
	at.len = sizeof at.in;
	assert_int_equal(getsockname(server->fd, &at.sa, &at.len), 0);
	snprintf(server->host, sizeof server->host, "127.0.0.1:%u", net_addr_port(&at));
	server->listener = listener_new(server->fd, fx_accept, server);
	fx->all = server;
}

/* A next hop with the defaults, to these hosts. */
__attribute__((unused)) static struct next_hop fx_hop_to(const char *name, bool lmtp, const char *const *hosts)
{
	const struct smtp_hop_params params = { .name = name, .lmtp = lmtp, .hosts = hosts };
	struct next_hop hop;
	struct buf err = { 0 };

	assert_int_equal(smtp_hop_configure(&params, &hop, &err), 0);
	buf_fini(&err);
	return hop;
}

__attribute__((unused)) static struct next_hop fx_hop(const char *name, bool lmtp, const struct fx_server *server)
{
	return fx_hop_to(name, lmtp, (const char *const[]){ server->host, NULL });
}

/* ---- transactions ---- */

__attribute__((unused)) static struct smtp_address fx_address(struct fx *fx, const char *text)
{
	struct smtp_address address = { 0 };

	if (*text)
		assert_int_equal(smtp_address_parse(bytes_of(text), &fx->arena, &address), 0);
	return address;
}

/* Ends the last transaction and begins one from SENDER. */
__attribute__((unused)) static void fx_mail_from(struct fx *fx, const char *sender)
{
	mail_unref(&fx->txn.mail);
	arena_fini(&fx->arena);
	fx->session = (struct gate_session){ .id = "test", .hostname = "mx.example.org", .helo = "client.example.net", .arena = &fx->arena };
	fx->txn = (struct gate_txn){ .id = "test.1", .arena = &fx->arena };
	fx->txn.sender.address = fx_address(fx, sender);
	list_init(&fx->txn.rcpts);
	fx->params = (struct delivery_params){ .txn = &fx->txn, .session = &fx->session };
}

/* One more target for RCPT (NULL: for a new recipient of the same address). */
__attribute__((unused)) static struct delivery_target *fx_target(struct fx *fx, struct gate_rcpt *rcpt, const char *address,
								  const struct next_hop *const *hops, unsigned hop_count)
{
	struct delivery_target *t = ARENA_NEW(&fx->arena, struct delivery_target), **at;

	if (!rcpt) {
		rcpt = ARENA_NEW(&fx->arena, struct gate_rcpt);
		rcpt->path.address = fx_address(fx, address);
		list_append(&fx->txn.rcpts, &rcpt->link);
	}
	for (at = &rcpt->targets; *at; at = &(*at)->next)
		;
	*at = t;
	t->rcpt = rcpt;
	t->address = fx_address(fx, address);
	const struct next_hop **copy = ARENA_ARRAY(&fx->arena, const struct next_hop *, hop_count);
	memcpy(copy, hops, hop_count * sizeof *hops);
	t->hops = copy;
	t->hop_count = hop_count;
	return t;
}

__attribute__((unused)) static struct delivery_target *fx_rcpt(struct fx *fx, const char *address, const struct next_hop *hop)
{
	return fx_target(fx, NULL, address, &hop, 1);
}

__attribute__((unused)) static void fx_content(struct fx *fx, struct bytes text)
{
	const struct mail_limits limits = { .header_max = 1 << 20, .size_max = 1 << 24, .memory_max = 128 * 1024, .spool = "/tmp" };

	mail_unref(&fx->txn.mail);
	fx->txn.mail = mail_new(&limits);
	assert_int_equal(mail_append(fx->txn.mail, text), 0);
	assert_int_equal(mail_end(fx->txn.mail), 0);
}

#define FX_MESSAGE "Subject: test\r\n\r\nHello\r\n"

/* One message from a@example.net to ADDRESS, by one next hop. */
__attribute__((unused)) static struct delivery_target *fx_simple(struct fx *fx, const char *address, const struct next_hop *hop)
{
	fx_mail_from(fx, "a@example.net");
	fx_content(fx, BYTES(FX_MESSAGE));
	return fx_rcpt(fx, address, hop);
}

TASK_FN __attribute__((unused)) static void fx_deliver(struct fx *fx)
{
	fx->result = delivery_run(&fx->params, &fx->outcome);
}

__attribute__((unused)) static void fx_check_reply(const struct smtp_reply *reply, const char *want)
{
	struct buf line = { 0 };

	smtp_reply_line(reply, &line);
	assert_string_equal(buf_str(&line), want);
	buf_fini(&line);
}

__attribute__((unused)) static void fx_check(struct fx *fx, const char *want)
{
	assert_string_equal(buf_str(&fx->trouble), "");
	assert_int_equal(fx->result, 0);
	fx_check_reply(&fx->outcome.reply, want);
}

/* ---- running a test ---- */

/* What every body ends with: connections closed, servers (which lie on its stack) at the end of their scripts, and all as they were told. */
TASK_FN __attribute__((unused)) static void fx_finish(struct fx *fx)
{
	delivery_fini();
	task_group_wait(&fx->servers);
	for (struct fx_server *s = fx->all; s; s = s->next) {
		listener_close(&s->listener);
		close(s->fd);
		buf_fini(&s->got);
		tls_unref(&s->tls);
	}
	fx->all = NULL;
	assert_string_equal(buf_str(&fx->trouble), "");
}

__attribute__((unused)) static void fx_begin(struct fx *fx)
{
	memset(fx, 0, sizeof *fx);
	strcpy(fx->folder, "/tmp/test_delivery.XXXXXX");
	assert_non_null(mkdtemp(fx->folder));
	assert_int_equal(run_init(), 0);
	run_clock_test(1000000);
	task_group_init(&fx->servers);
	fx_mail_from(fx, "a@example.net");
	alarm(60);
}

__attribute__((unused)) static void fx_end(struct fx *fx)
{
	char command[96];

	mail_unref(&fx->txn.mail);
	arena_fini(&fx->arena);
	buf_fini(&fx->trouble);
	buf_fini(&fx->trace);
	run_fini();
	snprintf(command, sizeof command, "rm -rf %s", fx->folder);
	assert_int_equal(system(command), 0);
	alarm(0);
}

/* With a journal in the test's folder. */
__attribute__((unused)) static void fx_use_journal(struct fx *fx)
{
	const struct delivery_settings settings = { .journal_folder = fx->folder };
	struct buf err = { 0 };

	assert_int_equal(delivery_init(&settings, &err), 0);
	buf_fini(&err);
}

__attribute__((unused)) static void fx_run(void (*body)(struct fx *fx))
{
	static struct fx fx;
	struct task_group main_group;

	fx_begin(&fx);
	task_group_init(&main_group);
	task_spawn(&main_group, "test", body, &fx);
	run_stop();
	run_loop();
	fx_end(&fx);
}

#define FX_TEST(name)                                                                                            \
	TASK_FN static void name##_body(struct fx *fx);                                                          \
	static void name(void **state)                                                                           \
	{                                                                                                        \
		(void)state;                                                                                     \
		fx_run(name##_body);                                                                             \
	}                                                                                                        \
	TASK_FN static void name##_body(struct fx *fx)

#endif
