/* txn_fixture.h: a session and a transaction for tests of gates, and a task to run them in. */
#ifndef GATEPOST_TESTS_TXN_FIXTURE_H
#define GATEPOST_TESTS_TXN_FIXTURE_H

#include "lib/gate/chain.h"
#include "lib/run/task.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct arena session_arena, txn_arena;
	struct gate_session session;
	struct gate_txn txn;
	struct chain chain;
};

static inline void fixture_path(struct arena *arena, enum smtp_verb verb, const char *argument, struct smtp_path *ret)
{
	struct smtp_reply error;
	assert_int_equal(smtp_path_parse(verb, bytes_of(argument), false, arena, ret, &error), 0);
}

/* An EHLO from 192.0.2.1; MAIL is not yet given. */
static inline void fixture_init(struct fixture *f)
{
	*f = (struct fixture){ 0 };
	f->session = (struct gate_session){
		.id = "4f2a91.3c",
		.hostname = "mx.example.org",
		.listener = "mx",
		.server_ip = "192.0.2.25",
		.client_ip = "192.0.2.1",
		.client_port = 40000,
		.client_name = "client.test",
		.client_ptr = "client.test",
		.protocol = GATE_ESMTP,
		.helo = "client.test",
		.arena = &f->session_arena,
	};
	assert_int_equal(net_addr_parse(BYTES("192.0.2.25"), 25, &f->session.server), 0);
	assert_int_equal(net_addr_parse(BYTES("192.0.2.1"), 40000, &f->session.client), 0);
	chain_init(&f->chain, &f->session);
}

static inline void fixture_mail(struct fixture *f, const char *from)
{
	f->txn = (struct gate_txn){ .id = "4f2a91.3c.1", .instance = "1.2.3.4", .arena = &f->txn_arena };
	list_init(&f->txn.rcpts);
	list_init(&f->txn.early_edits);
	fixture_path(&f->txn_arena, SMTP_MAIL, from, &f->txn.sender);
}

static inline struct gate_rcpt *fixture_rcpt_new(struct fixture *f, const char *to)
{
	struct gate_rcpt *rcpt = ARENA_NEW(&f->txn_arena, struct gate_rcpt);
	fixture_path(&f->txn_arena, SMTP_RCPT, to, &rcpt->path);
	return rcpt;
}

static inline struct gate_rcpt *fixture_rcpt(struct fixture *f, const char *to)
{
	struct gate_rcpt *rcpt = fixture_rcpt_new(f, to);
	list_append(&f->txn.rcpts, &rcpt->link);
	f->txn.rcpt_count++;
	return rcpt;
}

static inline void fixture_content(struct fixture *f, struct bytes content)
{
	struct mail_limits limits = { .header_max = 1 << 20, .size_max = 1 << 28, .memory_max = 128 << 10, .spool = "/tmp" };
	f->txn.mail = mail_new(&limits);
	assert_int_equal(mail_append(f->txn.mail, content), 0);
	assert_int_equal(mail_end(f->txn.mail), 0);
}

/* The message as it would be sent now. */
static inline void fixture_message(struct fixture *f, struct buf *ret)
{
	struct mail_cursor cursor = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	buf_clear(ret);
	do {
		assert_int_equal(mail_read(f->txn.mail, &cursor, 65536, &scratch, &piece), 0);
		buf_add(ret, piece);
	} while (piece.n > 0);
	buf_fini(&scratch);
}

static inline void fixture_txn_fini(struct fixture *f)
{
	mail_unref(&f->txn.mail);
	arena_fini(&f->txn_arena);
	f->txn = (struct gate_txn){ 0 };
}

static inline void fixture_fini(struct fixture *f)
{
	fixture_txn_fini(f);
	arena_fini(&f->session_arena);
}

/* The clock goes as long as GROUP works; I/O that can happen happens before each second passes. */
TASK_FN static inline void fixture_clock(void *arg)
{
	struct task_group *group = arg;
	while (group->count > 0) {
		run_clock_advance(SECONDS(1));
		(void)!task_sleep(SECONDS(1));
	}
}

/* Runs FN in a task beside a clock that goes, until every task has ended. */
static inline void with_clock(void (*fn)(void *), void *arg)
{
	struct task_group g, clock;
	task_group_init(&g);
	task_group_init(&clock);
	task_spawn_fn(&g, "test", fn, arg);
	task_spawn_fn(&clock, "clock", fixture_clock, &g);
	run_stop();
	run_loop();
	assert_int_equal(g.count, 0);
}

static inline int fixture_loop_start(void **state)
{
	(void)state;
	if (run_init() < 0)
		return -1;
	run_clock_test(1700000000);
	return 0;
}

static inline int fixture_loop_stop(void **state)
{
	(void)state;
	run_fini();
	return 0;
}

#endif
