/*
 * fuzz_milter_session.c: whole SMTP sessions before a milter that says what the fuzzer wants.
 *
 * The session has three transactions with a second EHLO, a refused recipient and a message that is fed as it arrives; a short one follows, which
 * may get its kept connection.  The chain is one milter or two, the second of which may be a shadow.  The input begins with six bytes: how the gates are configured, what the milter negotiates
 * (actions, three bytes of protocol), and how what it writes is cut.  The rest are orders, taken one after another as events come that want
 * an answer.  An order is a byte, two bits and a number N of six:
 *
 *	0  the next N bytes, as they are; they are the answer
 *	1  the next N bytes as a frame; if it is an edit or progress more follows
 *	2  this event and the next N are answered with continue
 *	3  N = 0 hang up, 1 say nothing for ever, 2 say nothing, 3 answer the next negotiation with orders, else continue
 *
 * Without orders everything is answered with continue.  Whatever it says: the chain answers, in the end; its verdicts can be told to a client;
 * nothing changes that was not negotiated; and the message stays whole.
 */
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/gate/chain.h"
#include "lib/run/stream.h"
#include "milter/milter.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FRAME_MOST = 1 << 17, CONNECTIONS_MOST = 40 };

struct fuzz {
	struct bytes orders;
	unsigned char gates, cut;
	unsigned version;               /* the host's */
	uint32_t actions, protocol;
	unsigned pending;               /* events that are answered with continue before the next order */
	bool raw_negotiation;           /* the next one is answered by orders */
	bool anything;                  /* an answer to a negotiation was not ours: what was agreed is not known */
	unsigned connections;
	struct task_group milters;

	struct arena session_arena, txn_arena;
	struct gate_session session;
	struct gate_txn txn;
	struct chain chain;
	struct gate gate[2];
	bool over;
};

struct connection {
	struct fuzz *f;
	struct stream *s;
};

/* ---- the milter ---- */

static unsigned char take_byte(struct fuzz *f)
{
	if (!f->orders.n)
		return 0;
	unsigned char c = f->orders.p[0];
	f->orders = bytes_skip(f->orders, 1);
	return c;
}

static struct bytes take_bytes(struct fuzz *f, size_t n)
{
	struct bytes b = bytes_first(f->orders, n);
	f->orders = bytes_skip(f->orders, b.n);
	return b;
}

/* In pieces, so that frames come torn. */
TASK_FN static int milter_write(struct connection *c, struct bytes b)
{
	size_t step = c->f->cut % 16 ? c->f->cut % 16 : SIZE_MAX;
	int r = 0;
	while (b.n > 0 && r == 0) {
		stream_put(c->s, bytes_first(b, step));
		b = bytes_skip(b, step < b.n ? step : b.n);
		r = stream_flush(c->s);
		if (step != SIZE_MAX)
			task_yield();
	}
	return r;
}

TASK_FN static int milter_frame(struct connection *c, struct bytes b)
{
	struct buf out = { 0 };
	buf_add_u32be(&out, (uint32_t)b.n);
	buf_add(&out, b);
	int r = milter_write(c, buf_bytes(&out));
	buf_fini(&out);
	return r;
}

static const char go_on[] = { SMFIR_CONTINUE };

/* Does what the orders say to one event.  -errno: the connection is over. */
TASK_FN static int milter_obey(struct connection *c)
{
	struct fuzz *f = c->f;
	if (f->pending > 0 || !f->orders.n) {
		f->pending -= f->pending > 0;
		return milter_frame(c, bytes_make(go_on, 1));
	}
	for (;;) {
		unsigned char order = take_byte(f), n = order & 63;
		struct bytes b = order < 128 ? take_bytes(f, n) : BYTES("");
		switch (order >> 6) {
		case 0:
			return milter_write(c, b);
		case 1: {
			int r = milter_frame(c, b);
			if (r < 0 || !b.n || !memchr("himb+-2eqp", b.p[0], 10))
				return r;
			break;
		}
		case 2:
			f->pending = n;
			return milter_frame(c, bytes_make(go_on, 1));
		default:
			if (n == 0)
				return -EPIPE;
			if (n == 1)
				return task_sleep(SECONDS(1000000));
			f->raw_negotiation |= n == 3;
			return n == 2 ? 0 : milter_frame(c, bytes_make(go_on, 1));
		}
	}
}

TASK_FN static int milter_negotiate(struct connection *c, struct bytes offer)
{
	struct fuzz *f = c->f;
	struct buf answer = { 0 };
	if (f->raw_negotiation) {
		f->raw_negotiation = false;
		f->anything = true;
		return milter_obey(c);
	}
	ASSERT(offer.n == 13);
	buf_add_char(&answer, SMFIC_OPTNEG);
	buf_add(&answer, bytes_make(offer.p + 1, 4));
	f->version = (unsigned char)offer.p[4];
	buf_add_u32be(&answer, f->version < 6 ? f->actions & 0x3f : f->actions);
	for (unsigned i = 0; i < 4; i++)
		buf_add_char(&answer, (char)(f->protocol >> 8 * (3 - i) & (unsigned char)offer.p[9 + i]));
	int r = milter_frame(c, buf_bytes(&answer));
	buf_fini(&answer);
	return r;
}

/* Version 2 to 5 are not offered all of what was agreed on here; the host waits for more answers then, and we give them. */
static bool milter_is_asked(const struct fuzz *f, char command)
{
	static const uint32_t unanswered[128] = {
		['C'] = SMFIP_NR_CONN, ['H'] = SMFIP_NR_HELO, ['M'] = SMFIP_NR_MAIL, ['R'] = SMFIP_NR_RCPT, ['T'] = SMFIP_NR_DATA,
		['U'] = SMFIP_NR_UNKN, ['L'] = SMFIP_NR_HDR,  ['N'] = SMFIP_NR_EOH,  ['B'] = SMFIP_NR_BODY,
	};
	ASSERT(strchr("ODCHMRTULNBEAQK", command));
	if (strchr("DAQK", command))
		return false;
	return f->anything || f->version < 6 || !(f->protocol & unanswered[(unsigned char)command]);
}

/* What the host writes is a sequence of frames, whatever it was told. */
TASK_ENTRY static void milter_serve(struct connection *c)
{
	char *data = mem_alloc(FRAME_MOST);
	unsigned char head[4];
	int r = 0;
	while (r == 0 && stream_read(c->s, head, 4) == 0) {
		uint32_t n = (uint32_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
		ASSERT(n > 0 && n <= FRAME_MOST);
		if (stream_read(c->s, data, n) < 0)
			break;
		if (data[0] == SMFIC_OPTNEG)
			r = milter_negotiate(c, bytes_make(data, n));
		else if (data[0] == SMFIC_QUIT)
			r = -EPIPE;
		else if (milter_is_asked(c->f, data[0]))
			r = milter_obey(c);
	}
	mem_free(data);
	stream_close(&c->s);
	mem_free(c);
}

static void milter_accept(void *arg, int fd, const struct net_addr *peer)
{
	struct fuzz *f = arg;
	struct connection *c = NEW(struct connection);
	(void)peer;
	*c = (struct connection){ .f = f, .s = stream_new(fd) };
	f->connections++;
	task_spawn(&f->milters, "milter", milter_serve, c);
}

/* ---- the session ---- */

static void check_reply(const struct smtp_reply *r)
{
	struct buf wire = { 0 };
	ASSERT(r->code >= 400 && r->code < 600 && r->text);
	ASSERT(!r->enhanced[0] || r->enhanced[0] == (char)('0' + r->code / 100));
	smtp_reply_put(r, &wire);
	for (struct bytes rest = buf_bytes(&wire); rest.n;) {
		struct bytes line = bytes_cut(&rest, '\n');
		ASSERT(rest.p && line.n >= 5 && line.n <= 511 && line.p[line.n - 1] == '\r');
		for (size_t i = 0; i + 1 < line.n; i++)
			ASSERT((unsigned char)line.p[i] >= 32 || line.p[i] == '\t');
	}
	buf_fini(&wire);
}

TASK_FN static enum gate_action ask(struct fuzz *f, enum gate_stage stage, struct chain_args args)
{
	struct gate_verdict v = { 0 };
	ASSERT(chain_event(&f->chain, stage, &args, &v) == 0);
	ASSERT(v.action != GATE_ACCEPT);
	if (v.action == GATE_REJECT || v.action == GATE_TEMPFAIL || v.action == GATE_DISCONNECT)
		check_reply(&v.reply);
	if (v.action == GATE_DISCARD)
		ASSERT(args.txn && args.txn->discarded);
	return v.action;
}

static void parse_path(struct fuzz *f, enum smtp_verb verb, const char *text, struct smtp_path *ret)
{
	struct smtp_reply error;
	ASSERT(smtp_path_parse(verb, bytes_of(text), false, &f->txn_arena, ret, &error) == 0);
}

TASK_FN static bool mail_from(struct fuzz *f, const char *from)
{
	f->txn = (struct gate_txn){ .id = "1.1.1", .instance = "1.2.3", .arena = &f->txn_arena };
	list_init(&f->txn.rcpts);
	list_init(&f->txn.early_edits);
	parse_path(f, SMTP_MAIL, from, &f->txn.sender);
	return ask(f, GATE_MAIL, (struct chain_args){ .txn = &f->txn }) <= GATE_ACCEPT;
}

TASK_FN static void rcpt_to(struct fuzz *f, const char *to, bool refused)
{
	struct gate_rcpt *rcpt = ARENA_NEW(&f->txn_arena, struct gate_rcpt);
	parse_path(f, SMTP_RCPT, to, &rcpt->path);
	if (refused)
		rcpt->refused = SMTP_REPLY(550, "5.1.1", "no such user");
	enum gate_action a = ask(f, GATE_RCPT, (struct chain_args){ .txn = &f->txn, .rcpt = rcpt });
	f->txn.rcpt_seen++;
	if (refused) {
		ASSERT(a == GATE_CONTINUE);
	} else if (a == GATE_CONTINUE) {
		list_append(&f->txn.rcpts, &rcpt->link);
		f->txn.rcpt_count++;
	}
}

static const char header[] = "Received: by mx\r\nSubject: one\r\nX-Fold: a\r\n\t b\r\nsubject: two\r\n";

/* Both kinds of line end as they should, and the size is what is read. */
static void check_message(struct fuzz *f, struct bytes body)
{
	struct mail *m = f->txn.mail;
	const struct mail_header *h;
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 }, all = { 0 };
	struct bytes piece;
	LIST_EACH(h, &m->headers, struct mail_header, link)
		ASSERT(h->raw.n > 2 && bytes_ends(h->raw, BYTES("\r\n")) && h->name.n > 0);
	do {
		ASSERT(mail_read(m, &at, 1000, &scratch, &piece) == 0);
		buf_add(&all, piece);
	} while (piece.n);
	ASSERT(all.n == mail_size(m));
	uint32_t may = f->anything ? UINT32_MAX : f->actions;
	if (!(may & (SMFIF_ADDHDRS | SMFIF_CHGHDRS)))
		ASSERT(bytes_starts(buf_bytes(&all), bytes_of(header)));
	if (!(may & SMFIF_CHGBODY))
		ASSERT(bytes_ends(buf_bytes(&all), body));
	ASSERT(mail_body_size(m) == 0 || bytes_ends(buf_bytes(&all), BYTES("\r\n")));
	buf_fini(&scratch);
	buf_fini(&all);
}

static void check_envelope(struct fuzz *f, unsigned rcpts)
{
	const struct gate_rcpt *rcpt;
	unsigned n = 0;
	uint32_t may = f->anything ? UINT32_MAX : f->actions;
	LIST_EACH(rcpt, &f->txn.rcpts, struct gate_rcpt, link) {
		ASSERT(rcpt->path.address.address.n > 0);
		n++;
	}
	ASSERT(n == f->txn.rcpt_count);
	if (!(may & (SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR)))
		ASSERT(n <= rcpts);
	if (!(may & SMFIF_DELRCPT))
		ASSERT(n >= rcpts);
	if (!(may & SMFIF_CHGFROM))
		ASSERT(!f->txn.sender.address.address.n || bytes_eq(f->txn.sender.address.address, BYTES("s@example.org")));
	bool hold_on_failure = f->gate[0].on_failure[0][1] == GATE_ON_FAILURE_HOLD;
	if (!(may & SMFIF_QUARANTINE) && !hold_on_failure)
		ASSERT(!f->txn.held);
	ASSERT(!f->txn.held || f->txn.hold_reason);
}

/* A message whose body comes in two pieces.  0 < BODY. */
TASK_FN static bool content(struct fuzz *f, struct bytes body)
{
	struct mail_limits limits = { .header_max = 1 << 16, .size_max = 1 << 20, .memory_max = 1 << 20 };
	unsigned rcpts = f->txn.rcpt_count;
	if (ask(f, GATE_DATA, (struct chain_args){ .txn = &f->txn }) != GATE_CONTINUE)
		return false;
	struct mail *m = f->txn.mail = mail_new(&limits);
	ASSERT(mail_append(m, bytes_of(header)) == 0 && mail_append(m, BYTES("\r\n")) == 0);
	mail_trace_prepend(m, BYTES("Received: here\r\n"));
	ASSERT(mail_append(m, bytes_first(body, body.n / 2)) == 0);
	if (chain_eats(&f->chain))
		ASSERT(chain_feed(&f->chain, &f->txn) == 0);
	ASSERT(mail_append(m, bytes_skip(body, body.n / 2)) == 0 && mail_end(m) == 0);
	enum gate_action a = ask(f, GATE_MESSAGE, (struct chain_args){ .txn = &f->txn });
	/* Our trace field is on top unless an edit says otherwise; edits are looked at without it. */
	struct mail_header *trace = LIST_FIRST(&m->headers, struct mail_header, link);
	if (trace && trace->hidden)
		mail_header_remove(m, trace);
	check_message(f, body);
	check_envelope(f, rcpts);
	return a == GATE_CONTINUE;
}

TASK_FN static void end_txn(struct fuzz *f, bool committed)
{
	chain_abort(&f->chain, &f->txn, committed);
	mail_unref(&f->txn.mail);
	arena_fini(&f->txn_arena);
	f->txn = (struct gate_txn){ 0 };
}

TASK_FN static void transaction(struct fuzz *f, const char *from, struct bytes body)
{
	bool taken = false;
	if (mail_from(f, from)) {
		rcpt_to(f, "TO:<a@example.org> NOTIFY=NEVER", false);
		rcpt_to(f, "TO:<nobody@example.org>", true);
		rcpt_to(f, "TO:<b@example.net>", false);
		taken = f->txn.rcpt_count > 0 && content(f, body);
	}
	end_txn(f, taken);
}

TASK_FN static void play(struct fuzz *f)
{
	if (ask(f, GATE_CONNECT, (struct chain_args){ 0 }) == GATE_DISCONNECT)
		return;
	f->session.helo = "client.test";
	if (ask(f, GATE_EHLO, (struct chain_args){ 0 }) == GATE_DISCONNECT)
		return;
	transaction(f, "FROM:<s@example.org> SIZE=30", BYTES("body\r\n..\r\nmore\r\n"));
	ask(f, GATE_UNKNOWN, (struct chain_args){ .line = BYTES("FOO bar") });
	ask(f, GATE_EHLO, (struct chain_args){ 0 });
	/* RSET in mid-transaction */
	if (mail_from(f, "FROM:<>"))
		rcpt_to(f, "TO:<a@example.org>", false);
	end_txn(f, false);
	if (f->gates & 128)
		chain_restart(&f->chain);
	transaction(f, "FROM:<>", BYTES("x\r\n"));
}

static void init_session(struct fuzz *f)
{
	f->session = (struct gate_session){
		.id = "1.1", .hostname = "mx.test", .listener = "mx", .server_ip = "192.0.2.25", .client_ip = "192.0.2.1", .client_port = 40000,
		.client_name = "client.test", .client_ptr = "client.test", .protocol = GATE_ESMTP, .arena = &f->session_arena,
	};
	ASSERT(net_addr_parse(BYTES("192.0.2.25"), 25, &f->session.server) == 0);
	ASSERT(net_addr_parse(BYTES("192.0.2.1"), 40000, &f->session.client) == 0);
	chain_init(&f->chain, &f->session);
	for (unsigned i = 0; i < COUNT_OF(f->gate); i++)
		if (f->gate[i].config)
			chain_attach(&f->chain, &f->gate[i]);
}

/* No EHLO: the gates hear of what they missed. */
TASK_FN static void play_again(struct fuzz *f)
{
	ask(f, GATE_CONNECT, (struct chain_args){ 0 });
	transaction(f, "FROM:<s@example.org>", BYTES("y\r\n"));
}

TASK_ENTRY static void fuzz_task(struct fuzz *f)
{
	init_session(f);
	play(f);
	chain_close(&f->chain, !(f->gates & 64));
	arena_fini(&f->session_arena);
	init_session(f);
	play_again(f);
	chain_close(&f->chain, true);
	f->over = true;
}

/* Time passes only while nothing else happens. */
TASK_ENTRY static void clock_task(struct fuzz *f)
{
	while (!f->over) {
		run_clock_advance(SECONDS(10));
		(void)!task_sleep(SECONDS(10));
	}
	task_group_cancel(&f->milters);
}

/* ---- the beginning ---- */

static char folder[] = "/tmp/fuzz-milter-XXXXXX", socket_name[64];
static int listen_fd = -1;

static void forget_socket(void)
{
	unlink(socket_name + 5);
	rmdir(folder);
}

static void make_socket(void)
{
	struct net_addr a = { .len = sizeof(a.un) };
	if (listen_fd >= 0)
		return;
	ASSERT(mkdtemp(folder));
	snprintf(socket_name, sizeof(socket_name), "unix:%s/s", folder);
	a.un.sun_family = AF_UNIX;
	strcpy(a.un.sun_path, socket_name + 5);
	listen_fd = net_listen(&a, false);
	ASSERT(listen_fd >= 0);
	atexit(forget_socket);
	(void)!log_open("stderr", LOG_LEVEL_ERROR);
}

static void make_gates(struct fuzz *f)
{
	static const enum gate_on_failure actions[] = {
		GATE_ON_FAILURE_TEMPFAIL, GATE_ON_FAILURE_CONTINUE, GATE_ON_FAILURE_HOLD, GATE_ON_FAILURE_REJECT,
	};
	static const enum milter_compat compats[] = { MILTER_COMPAT_FULL, MILTER_COMPAT_POSTFIX, MILTER_COMPAT_SENDMAIL, MILTER_COMPAT_FULL };
	const char *socket = socket_name;
	const struct milter_params p = {
		.name = "fuzz", .sockets = &socket, .socket_count = 1, .compat = compats[f->gates & 3],
		.protocol = f->cut >> 4 >= 2 && f->cut >> 4 <= 6 ? f->cut >> 4 : 0,
	};
	unsigned count = f->gates & 16 ? 2 : 1;
	for (unsigned i = 0; i < count; i++) {
		struct buf err = { 0 };
		ASSERT(milter_configure(&p, &f->gate[i], &err) == 0);
		for (unsigned stage = 0; stage < GATE_STAGES; stage++)
			for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
				f->gate[i].on_failure[stage][fault] = actions[f->gates >> 2 & 3];
		f->gate[i].shadow = i == 1 && f->gates & 32;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz f = { 0 };
	struct task_group g;
	if (n < 6)
		return 0;
	make_socket();
	f.gates = data[0];
	f.actions = data[1] | SMFIF_SETSYMLIST;
	f.protocol = (uint32_t)data[2] << 16 | data[3] << 8 | data[4];
	f.cut = data[5];
	f.orders = bytes_make(data + 6, n - 6);
	ASSERT(run_init() == 0);
	run_clock_test(1763834400);
	struct listener *listener = listener_new(listen_fd, milter_accept, &f);
	task_group_init(&f.milters);
	task_group_init(&g);
	make_gates(&f);
	task_spawn(&g, "fuzz", fuzz_task, &f);
	task_spawn(&g, "clock", clock_task, &f);
	run_stop();
	run_loop();
	for (unsigned i = 0; i < COUNT_OF(f.gate); i++)
		if (f.gate[i].config)
			milter_unconfigure(&f.gate[i]);
	listener_close(&listener);
	ASSERT(f.connections <= CONNECTIONS_MOST);
	arena_fini(&f.session_arena);
	run_fini();
	return 0;
}
