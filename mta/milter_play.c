/* milter_play.c: client, script and next hop of a session with one gate. */
#include "mta/milter_play.h"

#include "delivery/delivery.h"
#include "lib/run/stream.h"
#include "mta/milter_edits.h"
#include "smtpd/smtpd.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

enum { CONTENT_KEPT = 16 << 20, REPLY_LINE_MOST = 1024 };

/* What the client is at. */
enum play_mode {
	PLAY_COMMANDS,
	PLAY_DATA,                      /* content up to the dot */
	PLAY_BDAT,                      /* a chunk */
	PLAY_SKIP,                      /* content of a DATA that was refused: not sent */
};
struct play {
	const struct milter_play_params *params;
	struct smtpd_config smtpd;
	struct net_cidr anybody[2];     /* a dialogue may use XCLIENT */
	struct task_group tasks;
	struct smtpd *server;
	bool interrupted;
	bool introduced;                /* the session has been told who its client is */

	struct stream *stream;          /* the client's */
	enum play_mode mode;
	struct smtp_data_decoder decoder;
	uint64_t chunk_left;
	size_t content_sent;            /* bytes since the last command */
	struct buf content;             /* of the message, as the client means it; at most its first CONTENT_KEPT bytes */
	struct buf envelope;            /* before the milter changes it */
};

/* ---- the next hop: takes everything ---- */

static void hop_answer(struct delivery_group *g, bool delivered)
{
	for (struct delivery_target *t = g->targets; t; t = t->group_next) {
		t->reply = SMTP_REPLY(250, "2.0.0", "Ok: taken by milter-test");
		t->delivered = delivered;
	}
}

TASK_FN static int hop_commit(struct delivery_group *g)
{
	hop_answer(g, true);
	return 0;
}

TASK_FN static int hop_prepare(struct delivery_group *g)
{
	hop_answer(g, false);
	g->state = g;
	g->committed = g->at_once;
	return g->at_once ? hop_commit(g) : 0;
}

TASK_FN static void hop_rollback(struct delivery_group *g)
{
	g->state = NULL;
}

static const struct next_hop_ops hop_ops = {
	.kind = "milter-test", .prepare = hop_prepare, .commit = hop_commit, .rollback = hop_rollback,
};

/* ---- the script: attaches the milter, and looks at what it did ---- */

struct play_script {
	struct play *play;
	struct next_hop hop;
	const struct next_hop *hops[1];
};

/* Only once: what a later XCLIENT says holds. */
static void play_introduce(struct play *p, struct gate_session *s)
{
	if (p->introduced)
		return;
	p->introduced = true;
	s->client_name = s->client_ptr = p->params->client_name;
	s->client_resolve = strcmp(s->client_name, "unknown") == 0 ? GATE_RESOLVE_FAIL : GATE_RESOLVE_OK;
	s->server_ip = s->client.sa.sa_family == AF_INET6 ? "::1" : "127.0.0.1";
	if (net_addr_parse(bytes_of(s->server_ip), 25, &s->server) < 0)
		s->server_ip = "unknown";
	s->auth_user = p->params->auth_user;
	s->auth_mechanism = s->auth_user ? "PLAIN" : NULL;
}

static void play_deliver(const struct play_script *script, struct smtpd_stage *io)
{
	struct delivery_target *t = ARENA_NEW(io->txn->arena, struct delivery_target);
	*t = (struct delivery_target){ .address = io->rcpt->path.address, .hops = script->hops, .hop_count = 1, .rcpt = io->rcpt };
	io->rcpt->targets = t;
}

/* The message as it will leave us. */
static int play_copy(struct mail *mail, struct buf *to)
{
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	int r;
	buf_clear(to);
	while ((r = mail_read(mail, &at, 65536, &scratch, &piece)) == 0 && piece.n > 0)
		buf_add(to, piece);
	buf_fini(&scratch);
	return r;
}

struct play_message {
	struct play *play;
	const struct gate_txn *txn;
};

static void play_message(void *arg)
{
	const struct play_message *m = arg;
	const struct milter_play_params *params = m->play->params;
	struct buf text = { 0 };
	int r = milter_edits_print(buf_bytes(&m->play->envelope), buf_bytes(&m->play->content), m->txn, &text);
	fwrite(text.p, 1, text.n, params->transcript->to);
	if (r == 0 && params->message)
		r = play_copy(m->txn->mail, params->message);
	if (r < 0)
		milter_transcript_note(params->transcript, "the message cannot be read: %s", strerrordesc_np(-r));
	buf_fini(&text);
}

TASK_FN static int play_stage(const void *arg, struct smtpd_stage *io)
{
	const struct play_script *script = arg;
	struct play *p = script->play;
	switch (io->stage) {
	case GATE_CONNECT:
		play_introduce(p, io->session);
		chain_attach(io->chain, p->params->gate);
		break;
	case GATE_EHLO:
		io->session->tls = p->params->tls;
		break;
	case GATE_RCPT:
		play_deliver(script, io);
		break;
	case GATE_DATA:
		buf_clear(&p->envelope);
		milter_edits_envelope(io->txn, &p->envelope);
		break;
	case GATE_MESSAGE:
		task_deep(play_message, &(struct play_message){ p, io->txn });
		break;
	case GATE_RESULT:
		if (io->txn->discarded)
			milter_transcript_note(p->params->transcript, "discarded: the client is told 250, and nobody gets the message");
		break;
	default:
		break;
	}
	return 0;
}

static const struct smtpd_script_ops script_ops = { .stage = play_stage };

/* ---- the client ---- */

/* -ENODATA when this was its last one: 421 and 521 (RFC 7504) close. */
TASK_FN static int play_reply(struct play *p, unsigned *ret_code)
{
	struct buf reply = { 0 };
	struct bytes line = { 0 };
	uint64_t code = 0;
	int r;
	do {
		r = stream_line(p->stream, REPLY_LINE_MOST, &line, NULL);
		if (r < 0)
			break;
		buf_add_str(&reply, reply.n ? "\n" : "");
		buf_add(&reply, line);
	} while (line.n > 3 && line.p[3] == '-');
	if (r == 0 && bytes_to_u64(bytes_first(line, 3), 999, &code) < 0)
		r = -EPROTO;
	*ret_code = (unsigned)code;
	if (reply.n > 0)
		milter_transcript_add(p->params->transcript, MILTER_RECORD_SERVER, buf_bytes(&reply));
	buf_fini(&reply);
	return r == 0 && (code == 421 || code == 521) ? -ENODATA : r;
}

static void play_keep(struct play *p, struct bytes content)
{
	size_t room = CONTENT_KEPT - (p->content.n < CONTENT_KEPT ? p->content.n : CONTENT_KEPT);
	buf_add(&p->content, bytes_first(content, room));
}

static void play_say_content(struct play *p)
{
	struct buf text = { 0 };
	buf_printf(&text, "(%zu bytes of content)", p->content_sent);
	milter_transcript_add(p->params->transcript, MILTER_RECORD_CLIENT, buf_bytes(&text));
	p->content_sent = 0;
	buf_fini(&text);
}

/* A piece of content.  *RET_ENDED: it was the last one, and an answer follows. */
static void play_content(struct play *p, struct bytes piece, bool *ret_ended)
{
	struct buf plain = { 0 };
	struct bytes in = piece;
	p->content_sent += piece.n;
	if (p->mode == PLAY_BDAT) {
		p->chunk_left -= piece.n < p->chunk_left ? piece.n : p->chunk_left;
		play_keep(p, piece);
		*ret_ended = p->chunk_left == 0;
		return;
	}
	smtp_data_decode(&p->decoder, &in, &plain);
	play_keep(p, buf_bytes(&plain));
	buf_fini(&plain);
	*ret_ended = p->decoder.done;
}

/* A command has been put: what follows it?  *RET_ENDED: its answer. */
static void play_command(struct play *p, struct bytes line, bool *ret_ended)
{
	struct bytes verb, argument;
	smtp_command_split(bytes_trim(line), &verb, &argument);
	milter_transcript_add(p->params->transcript, MILTER_RECORD_CLIENT, bytes_trim(line));
	*ret_ended = true;
	if (bytes_case_eq(verb, BYTES("MAIL")))
		buf_clear(&p->content);
	if (!bytes_case_eq(verb, BYTES("BDAT")))
		return;
	if (bytes_to_u64(bytes_word(&argument), UINT64_MAX, &p->chunk_left) == 0 && p->chunk_left > 0) {
		p->mode = PLAY_BDAT;
		*ret_ended = false;
	}
}

/* 354 to DATA opens the way for content; what would have followed another answer is not sent. */
static void play_after_data(struct play *p, unsigned code)
{
	p->mode = code == 354 ? PLAY_DATA : PLAY_SKIP;
	smtp_data_decoder_init(&p->decoder, SMTP_BARE_REJECT);
	buf_clear(&p->content);
}

TASK_FN static int play_piece(struct play *p, struct bytes piece)
{
	bool ended = false, content = p->mode != PLAY_COMMANDS;
	bool data = !content && bytes_case_eq(bytes_trim(piece), BYTES("DATA"));
	unsigned code;
	if (p->mode == PLAY_SKIP) {
		play_content(p, piece, &ended);
		p->content_sent = 0;
		p->mode = ended ? PLAY_COMMANDS : PLAY_SKIP;
		return 0;
	}
	if (content)
		play_content(p, piece, &ended);
	else
		play_command(p, piece, &ended);
	struct iovec all = { (void *)piece.p, piece.n };
	int r = stream_writev(p->stream, &all, 1);
	if (r < 0 || !ended)
		return r;
	if (content) {
		play_say_content(p);
		p->mode = PLAY_COMMANDS;
	}
	r = play_reply(p, &code);
	if (r == 0 && data)
		play_after_data(p, code);
	return r;
}

TASK_ENTRY static void play_client(struct play *p)
{
	const struct milter_dialogue *d = p->params->dialogue;
	unsigned code;
	int r = play_reply(p, &code);
	for (unsigned i = 0; r == 0 && i < d->count; i++)
		r = play_piece(p, d->pieces[i]);
	/* It has said why in its last reply, or nobody listens. */
	if (p->interrupted)
		milter_transcript_note(p->params->transcript, "interrupted");
	else if (r < 0 && r != -ENODATA)
		milter_transcript_note(p->params->transcript, "the session ended: %s", strerrordesc_np(-r));
	else if (r < 0)
		milter_transcript_note(p->params->transcript, "the server has closed the session");
	stream_close(&p->stream);
}

/* ---- both together ---- */

static bool play_uses_xclient(const struct milter_dialogue *d)
{
	for (unsigned i = 0; i < d->count; i++) {
		if (bytes_case_starts(d->pieces[i], BYTES("XCLIENT ")))
			return true;
	}
	return false;
}

static void play_config(struct play *p, const struct play_script *script)
{
	struct smtpd_config *c = &p->smtpd;
	smtpd_config_defaults(c);
	c->name = "milter-test";
	c->hostname = p->params->hostname;
	c->client_names = false;
	c->script = (struct smtpd_script){ .ops = &script_ops, .script = script };
	/* What it puts up with from clients is not what is tried here. */
	c->size_max = c->header_max = c->hops_max = 0;
	c->error_delay = 0;
	c->hard_errors = c->soft_errors = c->junk_max = UINT32_MAX;
	p->anybody[0].family = AF_INET;
	p->anybody[1].family = AF_INET6;
	c->xclient = p->anybody;
	c->xclient_count = play_uses_xclient(p->params->dialogue) ? COUNT_OF(p->anybody) : 0;
}

/* ^C: what was said so far is worth keeping, most of all when the milter hangs. */
static void play_interrupt(void *arg)
{
	struct play *p = arg;
	p->interrupted = true;
	task_group_cancel(&p->tasks);
	smtpd_cancel(p->server);
}

static void play_over(void *arg)
{
	(void)arg;
	run_stop();
}

int milter_play(const struct milter_play_params *params)
{
	struct play p = { .params = params };
	struct play_script script = {
		.play = &p,
		.hop = {
		    .ops = &hop_ops, .name = "milter-test", .connect_timeout = FOREVER, .command_timeout = FOREVER, .data_timeout = FOREVER,
		},
		.hops = { &script.hop },
	};
	int fds[2], r = run_on_signal(SIGINT, play_interrupt, &p);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	p.server = smtpd_new(&(struct smtpd_params){ 0 });
	play_config(&p, &script);
	p.stream = stream_new(fds[1]);
	task_group_init(&p.tasks);
	smtpd_accept(p.server, &p.smtpd, fds[0], &params->client);
	smtpd_retire(p.server, play_over, NULL);
	task_spawn(&p.tasks, "client", play_client, &p);
	run_loop();
	smtpd_free(&p.server);
	buf_fini(&p.content);
	buf_fini(&p.envelope);
	return p.interrupted ? -EINTR : 0;
}
