/*
 * fuzz_smtpd_session.c: whole sessions from bytes.
 *
 * The first byte chooses the listener, the rest is what the client sends: a 0xff ends a packet and lets the server answer it first.
 * Every reply must be a reply, every 250 to a message must have reached the next hop, and the session must end when the client does.
 */
#include "smtpd/smtpd.h"

#include "delivery/delivery.h"
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/run/stream.h"

#include <ctype.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct fuzz {
	struct smtpd *srv;
	struct stream *client;
	struct bytes input;
	unsigned committed;
};

/* ---- next hop and script ---- */

static struct fuzz *fuzz_now;

static void hop_answer(struct delivery_group *g, bool delivered)
{
	for (struct delivery_target *t = g->targets; t; t = t->group_next) {
		t->reply = SMTP_REPLY(250, "2.0.0", "stored");
		t->delivered = delivered;
	}
}

static int hop_commit(struct delivery_group *g)
{
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece = { 0 };
	do {
		ASSERT(mail_read(g->txn->mail, &at, 1000, &scratch, &piece) == 0);
	} while (piece.n);
	buf_fini(&scratch);
	fuzz_now->committed++;
	hop_answer(g, true);
	return 0;
}

static int hop_prepare(struct delivery_group *g)
{
	hop_answer(g, false);
	g->state = g;
	g->committed = g->at_once;
	return g->at_once ? hop_commit(g) : 0;
}

static void hop_rollback(struct delivery_group *g)
{
	g->state = NULL;
}

static const struct next_hop_ops hop_ops = {
	.kind = "fuzz", .prepare = hop_prepare, .commit = hop_commit, .rollback = hop_rollback,
};
static const struct next_hop hop = {
	.ops = &hop_ops, .name = "hop", .connect_timeout = FOREVER, .command_timeout = FOREVER, .data_timeout = FOREVER,
};
static const struct next_hop *const hop_list[] = { &hop };

static int script_stage(const void *script, struct smtpd_stage *io)
{
	(void)script;
	bool routes = io->stage == GATE_RCPT || io->stage == GATE_VRFY;
	if (!routes || bytes_find(io->rcpt->path.address.address, 'x') >= 0)
		return 0;
	struct delivery_target *t = ARENA_NEW(io->txn->arena, struct delivery_target);
	*t = (struct delivery_target){ .address = io->rcpt->path.address, .hops = hop_list, .hop_count = 1, .rcpt = io->rcpt };
	io->rcpt->targets = t;
	return 0;
}

static const struct smtpd_script_ops script_ops = { .stage = script_stage };

/* ---- the client ---- */

TASK_ENTRY static void client_write(struct fuzz *f)
{
	for (struct bytes rest = f->input; rest.p;) {
		stream_put(f->client, bytes_cut(&rest, (char)0xff));
		if (stream_flush(f->client) < 0)
			break;
		for (unsigned i = 0; i < 5; i++)
			task_yield();
	}
	shutdown(stream_fd(f->client), SHUT_WR);
}

TASK_ENTRY static void client_read(struct fuzz *f)
{
	struct bytes line;
	bool crlf;
	while (stream_line(f->client, 1024, &line, &crlf) == 0) {
		ASSERT(crlf && line.n >= 4 && line.n <= 510);
		ASSERT(line.p[0] >= '2' && line.p[0] <= '5' && isdigit((unsigned char)line.p[1]) && isdigit((unsigned char)line.p[2]));
		ASSERT(line.p[3] == ' ' || line.p[3] == '-');
	}
}

TASK_ENTRY static void fuzz_task(struct fuzz *f)
{
	struct task_group both;
	struct bytes greeting;
	task_group_init(&both);
	if (stream_line(f->client, 1024, &greeting, NULL) == 0) {
		task_spawn(&both, "write", client_write, f);
		task_spawn(&both, "read", client_read, f);
		task_group_wait(&both);
	}
	while (smtpd_live(f->srv))
		task_yield();
	run_stop();
}

static void config_init(struct smtpd_config *c, unsigned char choice)
{
	smtpd_config_defaults(c);
	c->name = "fuzz";
	c->hostname = "mx.test";
	c->spool = "/tmp";
	c->client_names = false;
	c->script = (struct smtpd_script){ .ops = &script_ops };
	c->lmtp = choice & 1;
	c->bare_newline = choice & 2 ? SMTP_BARE_NORMALIZE : SMTP_BARE_REJECT;
	c->size_max = choice & 4 ? 200 : 100000;
	c->header_max = choice & 8 ? 100 : 10000;
	c->memory_max = choice & 16 ? 50 : 100000;
	c->rcpt_max = choice & 32 ? 2 : 100;
	c->vrfy = choice & 128 ? SMTPD_VRFY_ASK : SMTPD_VRFY_ANY;
	c->error_delay = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct net_cidr trusted = { .family = AF_INET, .net = { 192, 0, 2, 7 }, .bits = 32 };
	struct smtpd_params params = { 0 };
	struct smtpd_config config = { 0 };
	struct net_addr peer;
	struct fuzz f = { 0 };
	struct task_group g;
	int fds[2];
	if (!n)
		return 0;
	(void)!log_open("stderr", LOG_LEVEL_ERROR);
	config_init(&config, data[0]);
	if (data[0] & 64) {
		config.xclient = &trusted;
		config.xclient_count = 1;
	}
	ASSERT(run_init() == 0);
	run_clock_test(1763834400);
	ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	ASSERT(net_addr_parse(BYTES("192.0.2.7"), 4711, &peer) == 0);
	fuzz_now = &f;
	f.input = bytes_make(data + 1, n - 1);
	f.srv = smtpd_new(&params);
	f.client = stream_new(fds[1]);
	task_group_init(&g);
	smtpd_accept(f.srv, &config, fds[0], &peer);
	task_spawn(&g, "fuzz", fuzz_task, &f);
	run_loop();
	ASSERT(smtpd_counters(f.srv)->accepted <= f.committed || config.lmtp);
	stream_close(&f.client);
	smtpd_free(&f.srv);
	run_fini();
	return 0;
}
