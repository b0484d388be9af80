/* fuzz_smtp_transfer.c: an SMTP or LMTP server that says anything at all while a message is delivered to it. */
#include "delivery/smtp_transfer.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses how it is spoken to; the rest is what it says, a byte 255 where it waits a little. */
enum { FUZZ_LMTP = 1, FUZZ_AT_ONCE = 2, FUZZ_ALONE = 4, FUZZ_MANY = 8, FUZZ_KEPT = 16 };

struct fuzz {
	struct bytes input;
	unsigned choice;
	struct stream *server;
	struct pool_conn conn;
	struct smtp_client_config config;
	struct next_hop hop;
	struct gate_txn txn;
	struct gate_rcpt rcpt;
	struct delivery_target targets[3];
	struct delivery_group group;
	struct arena arena;
};

TASK_ENTRY static void server_write(struct fuzz *f)
{
	for (struct bytes rest = f->input; rest.p;) {
		stream_put(f->server, bytes_cut(&rest, (char)0xff));
		if (stream_flush(f->server) < 0)
			break;
		for (unsigned i = 0; i < 3; i++)
			task_yield();
	}
	shutdown(stream_fd(f->server), SHUT_WR);
}

/* All lines we say end in CR LF, whatever we are told. */
TASK_ENTRY static void server_read(struct fuzz *f)
{
	struct bytes line;
	bool crlf;

	while (stream_line(f->server, 4096, &line, &crlf) == 0)
		ASSERT(crlf);
}

static void check_replies(const struct fuzz *f, bool final)
{
	for (const struct delivery_target *t = f->group.targets; t; t = t->group_next) {
		ASSERT(t->reply.code >= 200 && t->reply.code < 600 && t->reply.code / 100 != 3 && t->reply.code != 421);
		ASSERT(!t->delivered || (final && smtp_reply_ok(&t->reply)));
		ASSERT(!t->uncertain || smtp_reply_temporary(&t->reply));
		/* Accepted at RCPT is not delivered: only an open transaction leaves it at that. */
		ASSERT(!final || t->delivered == smtp_reply_ok(&t->reply));
	}
}

TASK_ENTRY static void deliver(struct fuzz *f, struct smtp_client *client)
{
	struct smtp_transfer t = { .client = client, .group = &f->group, .kept = f->choice & FUZZ_KEPT, .fresh = true };
	bool prepared = false;

	ASSERT(smtp_transfer_prepare(&t) == 0);
	if (!t.stale) {
		check_replies(f, f->group.committed);
		for (struct delivery_target *target = f->group.targets; target; target = target->group_next)
			prepared = prepared || smtp_reply_ok(&target->reply);
		if (prepared && !f->group.committed) {
			ASSERT(smtp_transfer_commit(&t) == 0);
			check_replies(f, true);
		}
	}
	(void)smtp_transfer_end(&t);
}

TASK_ENTRY static void fuzz_task(struct fuzz *f)
{
	const struct smtp_client_hello hello = { .helo = "mx.test", .arena = &f->arena };
	struct task_group server;
	struct smtp_reply why = { 0 };

	task_group_init(&server);
	task_spawn(&server, "write", server_write, f);
	task_spawn(&server, "read", server_read, f);
	if (smtp_client_open(&f->config, &f->conn, &hello, &why) == 0)
		deliver(f, f->conn.user);
	else
		ASSERT(smtp_reply_temporary(&why));
	smtp_client_closing(&f->conn);
	stream_close(&f->conn.stream);
	task_group_wait(&server);
	stream_close(&f->server);
	run_stop();
}

static void make_transaction(struct fuzz *f)
{
	static const struct mail_limits limits = { .header_max = 4096, .size_max = 1 << 20, .memory_max = 4096, .spool = "/tmp" };
	unsigned n = f->choice & FUZZ_MANY ? 3 : 1;

	f->txn = (struct gate_txn){ .id = "fuzz", .arena = &f->arena, .mail = mail_new(&limits) };
	ASSERT(mail_append(f->txn.mail, BYTES("Subject: x\r\n\r\n.dot\r\nlast")) == 0 && mail_end(f->txn.mail) == 0);
	ASSERT(smtp_address_parse(BYTES("a@example.net"), &f->arena, &f->txn.sender.address) == 0);
	for (unsigned i = 0; i < n; i++) {
		ASSERT(smtp_address_parse(BYTES("b@example.org"), &f->arena, &f->targets[i].address) == 0);
		f->targets[i].rcpt = &f->rcpt;
		f->targets[i].group_next = i + 1 < n ? &f->targets[i + 1] : NULL;
	}
	f->group = (struct delivery_group){
		.hop = &f->hop, .txn = &f->txn, .targets = f->targets, .target_count = n,
		.alone = f->choice & FUZZ_ALONE, .at_once = f->choice & FUZZ_AT_ONCE,
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { 0 };
	struct endpoint endpoint = { .kind = ENDPOINT_UNIX };
	struct task_group g;

	if (!size)
		return 0;
	(void)!log_open("stderr", LOG_LEVEL_ERROR);
	ASSERT(run_init() == 0);
	run_clock_test(1763834400);
	f.choice = data[0];
	f.input = bytes_make(data + 1, size - 1);
	f.config = (struct smtp_client_config){ .hop = "next", .lmtp = f.choice & FUZZ_LMTP, .greeting_timeout = SECONDS(30) };
	f.hop = (struct next_hop){ .name = "next", .command_timeout = SECONDS(300), .data_timeout = SECONDS(600) };
	f.conn.endpoint = &endpoint;
	ASSERT(stream_pair(&f.conn.stream, &f.server) == 0);
	make_transaction(&f);
	task_group_init(&g);
	task_spawn(&g, "fuzz", fuzz_task, &f);
	run_loop();
	mail_unref(&f.txn.mail);
	arena_fini(&f.arena);
	run_fini();
	return 0;
}
