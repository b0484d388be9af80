/*
 * milter_pool.c: connections to milters that outlive a session.
 *
 * SMFIC_QUIT_NC ends a session and keeps the connection.  No host is known to send it, so how filters take it was found by trying and reading:
 *
 *	libmilter	takes QUIT_NC, calls the filter's close, and waits for the next CONNECT on the terms agreed before; a new negotiation it
 *			ignores.  But it takes QUIT_NC only in two states: right after an end of message that was answered with "continue", and
 *			right after an unknown command.  Elsewhere it ignores QUIT_NC and the CONNECT behind it: whoever waits for the answer
 *			waits for ever.  A filter that has no use for unknown commands (SMFIP_NOUNKNOWN) does not hear of one: libmilter
 *			itself answers.  So there one can be put in front of QUIT_NC.
 *	OpenDKIM	remembers in what xxfi_close frees that it negotiated SMFIP_HDR_LEADSPC, and after QUIT_NC writes its fields without the blank
 *			and takes ours for one too many.  So a filter on libmilter that negotiated anything but events to be left out, which is what
 *			libmilter does for a filter without a say in it, is told QUIT.
 *	others		that are written by hand may not know QUIT_NC and yet answer each CONNECT: what they remember of the last client (who is
 *			authenticated!) would be held against the next one.  Or they answer whatever they do not know with "continue", and
 *			each answer behind it would be taken for the next one.  libmilter, which knows it, ignores a second CONNECT.
 *	rspamd		takes QUIT_NC anywhere.  It answers nothing before the end of a message, so only a new negotiation, which it does
 *			answer, shows that it is there.
 *
 * So each socket is tried once, by a session that has ended, while nobody waits: a filter that answers CONNECT is told twice of a client that
 * does not exist, localhost, as a filter for mail from elsewhere than SMTP is in Postfix (M44).  One answer, and silence behind it, proves that
 * it stands QUIT_NC in the states above.  A filter that does not answer is offered a new negotiation, each time: its connection is kept when it
 * has agreed again.  Who hangs up, is silent, says too much or talks nonsense gets QUIT again for some minutes, and each time that this happens for
 * twice as long: also if it was down meanwhile, since the question itself may be what it cannot bear.
 */
#include "milter/milter_pool.h"

#include "lib/base/log.h"

#include <errno.h>
#include <libmilter/mfdef.h>
#include <stdio.h>

#define REUSE_PATIENCE SECONDS(5)               /* for an answer that nobody waits for */
#define REUSE_SILENCE SECONDS(1)                /* in which one answer too many must have come */
#define REUSE_REST SECONDS(300)                 /* before a filter that does not stand it is tried again; doubled each time */
enum { REUSE_ANSWER_MAX = 64 * 1024, REUSE_DOUBLED_MAX = 8 };

static struct milter_socket *milter_pool_socket(const struct pool_conn *conn)
{
	const struct milter_config *c = conn->owner;
	return &c->sockets[conn->endpoint - c->endpoints];
}

/* ---- ready ---- */

static int milter_pool_check_peer(const struct milter_config *c, struct stream *s, struct peer_failure *ret)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (c->peer_uid_count == 0)
		return 0;
	if (getsockopt(stream_fd(s), SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		snprintf(ret->why, sizeof(ret->why), "it does not say who its peer is: %s", strerrordesc_np(errno));
		return -EACCES;
	}
	for (unsigned i = 0; i < c->peer_uid_count; i++) {
		if (c->peer_uids[i] == peer.uid)
			return 0;
	}
	snprintf(ret->why, sizeof(ret->why), "its peer runs as user %u", (unsigned)peer.uid);
	return -EACCES;
}

TASK_FN static int milter_pool_tls(const struct milter_config *c, struct pool_conn *conn, struct peer_failure *ret)
{
	struct tls_connect_params p = {
		.server_name = c->tls_name ? c->tls_name : conn->endpoint->host,
		.verify = c->tls_verify,
	};
	struct buf err = { 0 };
	struct deadline d;
	if (!c->tls)
		return 0;
	deadline_begin(&d, c->connect_timeout);
	int r = stream_tls_connect(conn->stream, c->tls, &p, &err);
	if (r == -ETIMEDOUT && deadline_passed(&d))
		buf_add_str(&err, "it takes too long");
	deadline_end(&d);
	if (r < 0 && (err.n > 0 || (r != -ECANCELED && r != -ETIMEDOUT)))
		snprintf(ret->why, sizeof(ret->why), "TLS: %s", err.n ? buf_str(&err) : strerrordesc_np(-r));
	buf_fini(&err);
	return r;
}

TASK_FN static int milter_pool_negotiate(struct milter_client *c, struct pool_conn *conn, struct peer_failure *ret)
{
	struct milter_bond *bond = NEW(struct milter_bond);
	conn->user = bond;
	c->conn = conn;
	c->stream = conn->stream;
	c->inet = conn->endpoint->kind == ENDPOINT_INET;
	c->fault = GATE_FAULT_NONE;
	int r = milter_client_negotiate(c, bond);
	if (r < 0 && c->fault) {
		ret->kind = c->fault;
		snprintf(ret->why, sizeof(ret->why), "%s", c->why);
	}
	bond->quit_due = r == 0;
	return r;
}

TASK_FN static int milter_pool_ready(struct pool_conn *conn, void *taker, struct peer_failure *ret)
{
	const struct milter_config *config = conn->owner;
	struct milter_client check = { .config = config }, *c = taker ? taker : &check;
	milter_tap_tell(config->tap, MILTER_TAP_OPENED, bytes_of(conn->endpoint->text));
	int r = milter_pool_check_peer(config, conn->stream, ret);
	if (r == 0)
		r = milter_pool_tls(config, conn, ret);
	if (r == 0)
		r = milter_pool_negotiate(c, conn, ret);
	/* The pool's again: the taker gets it when all is well. */
	c->conn = NULL;
	c->stream = NULL;
	c->eaten = 0;
	buf_fini(&c->out);
	if (r < 0)
		milter_tap_tell(config->tap, MILTER_TAP_CLOSED, BYTES(""));
	return r;
}

/* From anywhere, so what a socket in clear takes at once is all that is said. */
static void milter_pool_closing(struct pool_conn *conn)
{
	struct milter_bond *bond = conn->user;
	if (!bond)
		return;
	if (bond->quit_due && !stream_tls(conn->stream))
		(void)!send(stream_fd(conn->stream), "\0\0\0\1Q", 5, MSG_DONTWAIT | MSG_NOSIGNAL);
	mem_free(bond->symbols);
	buf_fini(&bond->answer);
	mem_free(bond);
}

/* ---- taking ---- */

int milter_pool_take(struct milter_client *c)
{
	const struct milter_config *config = c->config;
	int r = pool_take_for(config->pool, &(struct pool_want){ .taker = c }, &c->conn);
	if (r == -ECANCELED || (r == -ETIMEDOUT && deadline_left() <= 0))
		return r;
	if (r < 0) {
		const struct peer_failure *failure = peers_last_failure(pool_peers(config->pool));
		c->fault = failure->kind ? (enum gate_fault)failure->kind : GATE_FAULT_CONNECT;
		c->why = failure->why;
		return r;
	}
	struct milter_bond *bond = c->conn->user;
	bond->quit_due = false;
	c->stream = c->conn->stream;
	c->inet = c->conn->endpoint->kind == ENDPOINT_INET;
	c->terms = bond->terms;
	c->symbols = bond->symbols;
	c->answered = c->told = false;
	return 0;
}

/* Those that were kept at the same time may all fail: that counts once. */
static void milter_pool_note_state(struct milter_socket *s, bool works)
{
	if (works) {
		s->reuse = MILTER_REUSE_WORKS;
		s->failures = 0;
	} else if (s->reuse != MILTER_REUSE_FAILS) {
		s->reuse = MILTER_REUSE_FAILS;
		s->again_at = run_now() + (REUSE_REST << s->failures);
		s->failures += s->failures < REUSE_DOUBLED_MAX;
	}
}

static void milter_pool_note_reuse(const struct pool_conn *conn, bool works)
{
	const struct milter_config *c = conn->owner;
	struct log_line l;
	milter_pool_note_state(milter_pool_socket(conn), works);
	if (!log_wanted(LOG_LEVEL_DEBUG))
		return;
	log_begin(&l, LOG_LEVEL_DEBUG, "milter-reuse");
	log_str(&l, "milter", c->name);
	log_str(&l, "socket", conn->endpoint->text);
	log_str(&l, "works", works ? "yes" : "no");
	log_end(&l);
}

bool milter_pool_was_dead(struct milter_client *c, int r)
{
	if (!c->conn || !c->conn->kept)
		return false;
	/* It may have been silent, or said what it should not, for another reason.  But if it was for this one, the next session shall not suffer as well. */
	if (r == -EPROTO || (r == -ETIMEDOUT && !c->answered))
		milter_pool_note_reuse(c->conn, false);
	if (c->answered || (r != -ENODATA && r != -EPIPE && r != -ECONNRESET && r != -ETIMEDOUT))
		return false;
	pool_distrust(c->conn);
	return r != -ETIMEDOUT;
}

/* ---- giving back ---- */

/* What a filter with these terms can be asked to show that it stands QUIT_NC.  (For one that has no use for CONNECT libmilter answers.) */
static char milter_pool_question(const struct milter_terms *t)
{
	return t->protocol & SMFIP_NR_CONN ? SMFIC_OPTNEG : SMFIC_CONNECT;
}

static void milter_pool_put_question(struct milter_client *c, char question)
{
	const struct milter_peer nobody = { .name = BYTES("localhost"), .family = SMFIA_INET, .address = BYTES("127.0.0.1") };
	if (question == SMFIC_OPTNEG)
		milter_codec_negotiate(&c->out, &c->config->offer);
	for (unsigned n = 0; question == SMFIC_CONNECT && n < 2; n++)
		milter_codec_put_connect(&c->out, &nobody);
}

/* Has the filter nothing to remember of the negotiation? */
static bool milter_pool_plain(const struct milter_client *c)
{
	const uint32_t left_out = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NOBODY | SMFIP_NOHDRS | SMFIP_NOEOH |
				  SMFIP_NOUNKNOWN | SMFIP_NODATA;
	return !(c->terms.protocol & ~left_out) && !c->symbols;
}

/* Can an unknown command, which the filter does not hear of, be put in front? */
static bool milter_pool_unheard(const struct milter_terms *t)
{
	return t->version >= 3 && t->protocol & SMFIP_NOUNKNOWN;
}

/* Is now the time, and C's filter in a state, for QUIT_NC? */
static bool milter_pool_may_keep(const struct milter_client *c, char question, bool after_end)
{
	struct milter_socket *s = milter_pool_socket(c->conn);
	if (c->config->compat != MILTER_COMPAT_FULL || c->config->keep == 0 || c->config->tap || !pool_wants(c->conn))
		return false;
	if (s->reuse != MILTER_REUSE_WORKS && run_now() >= s->again_at)
		s->reuse = MILTER_REUSE_UNTRIED;
	if (s->reuse == MILTER_REUSE_FAILS || s->reuse == MILTER_REUSE_ASKED)
		return false;
	return question == SMFIC_OPTNEG || (milter_pool_plain(c) && (after_end || milter_pool_unheard(&c->terms)));
}

/* The parting words, and the question behind them; BOND says what is then awaited. */
TASK_FN static bool milter_pool_say(struct milter_client *c, char question, bool unheard, struct milter_bond *bond)
{
	/* What waited for company has not been said, and need not be. */
	buf_fini(&c->out);
	if (unheard)
		milter_codec_put_text(&c->out, SMFIC_UNKNOWN, BYTES("QUIT"));
	milter_codec_put_bare(&c->out, SMFIC_QUIT_NC);
	if (question)
		milter_pool_put_question(c, question);
	bond->question = question ? question : SMFIC_UNKNOWN;
	bond->owed = unheard + (question != 0);
	return milter_client_send(c, c->out.n, BYTES(""), SECONDS(1)) == 0;
}

static void milter_pool_note_asked(struct milter_socket *s)
{
	s->reuse = MILTER_REUSE_ASKED;
	s->again_at = run_now() + 2 * REUSE_PATIENCE;
}

bool milter_pool_give(struct milter_client *c, bool after_end)
{
	char question = milter_pool_question(&c->terms);
	if (!milter_pool_may_keep(c, question, after_end))
		return false;
	struct milter_socket *s = milter_pool_socket(c->conn);
	struct milter_bond *bond = c->conn->user;
	bool unheard = question != SMFIC_OPTNEG && !after_end;
	if (question != SMFIC_OPTNEG && s->reuse == MILTER_REUSE_WORKS)
		question = 0;
	bond->owed = 0;
	/* A session in which nothing was said was not noticed. */
	if (c->told && !milter_pool_say(c, question, unheard, bond))
		return false;
	buf_fini(&c->out);
	bond->quit_due = true;
	if (bond->owed && question && question != SMFIC_OPTNEG)
		milter_pool_note_asked(s);
	if (bond->owed)
		pool_give_asked(&c->conn, REUSE_PATIENCE);
	else
		pool_give(&c->conn);
	c->stream = NULL;
	c->symbols = NULL;
	return true;
}

/* ---- its answer ---- */

/* 0: all is answered, keep it; -EAGAIN: more is to come; else it does not work. */
static int milter_pool_judge(struct milter_bond *bond, const struct milter_config *c, struct bytes frame)
{
	const char *why;
	if (bond->owed == 0) /* an answer to the second CONNECT, or to QUIT_NC */
		return -EPROTO;
	if (bond->question == SMFIC_OPTNEG)
		return milter_client_agree(c, frame, bond, &why);
	struct milter_reply reply;
	int r = milter_codec_reply(frame, &reply, &why);
	if (r < 0)
		return r;
	if (reply.kind->class == MILTER_PROGRESS)
		return -EAGAIN;
	if (reply.kind->class != MILTER_VERDICT)
		return -EPROTO;
	return --bond->owed > 0 || bond->question == SMFIC_CONNECT ? -EAGAIN : 0;
}

static int milter_pool_hear(struct pool_conn *conn)
{
	struct milter_bond *bond = conn->user;
	struct bytes input = stream_input(conn->stream), frame = { 0 };
	const char *why;
	buf_add(&bond->answer, input);
	stream_consume(conn->stream, input.n);
	for (;;) {
		int r = milter_codec_frame(buf_bytes(&bond->answer), REUSE_ANSWER_MAX, &frame, &why);
		if (r <= 0)
			return r == 0 ? -EAGAIN : r;
		size_t all = MILTER_LENGTH_BYTES + frame.n;
		r = milter_pool_judge(bond, conn->owner, frame);
		/* So many answers, and nothing behind them. */
		if (r != -EAGAIN)
			return r >= 0 && bond->answer.n > all ? -EPROTO : r;
		buf_consume(&bond->answer, all);
		if (bond->owed == 0)
			conn->answer_at = run_now() + REUSE_SILENCE;
	}
}

/* Its CONNECTs having been answered once it has kept silent: it stands QUIT_NC.  (This connection has served its turn.) */
static bool milter_pool_kept_silent(const struct milter_bond *bond, int why)
{
	return why == -ETIMEDOUT && bond->question == SMFIC_CONNECT && bond->owed == 0 && bond->answer.n == 0;
}

static int milter_pool_answered(struct pool_conn *conn, int why)
{
	struct milter_bond *bond = conn->user;
	int r = why ? why : milter_pool_hear(conn);
	if (r == -EAGAIN)
		return r;
	milter_pool_note_reuse(conn, r == 0 || milter_pool_kept_silent(bond, why));
	buf_fini(&bond->answer);
	return r;
}

/* ---- the pool ---- */

static void milter_pool_changed(void *arg, const struct endpoint *e, const struct peer_failure *failure)
{
	const struct milter_config *c = arg;
	struct log_line l;
	struct milter_socket *s = &c->sockets[e - c->endpoints];
	/* What comes back may be another program. */
	if (s->reuse == MILTER_REUSE_WORKS)
		s->reuse = MILTER_REUSE_UNTRIED;
	if (c->endpoint_count == 1)
		return;
	log_begin(&l, failure ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, failure ? "milter-down" : "milter-up");
	log_str(&l, "milter", c->name);
	log_str(&l, "socket", e->text);
	log_str(&l, "why", failure ? failure->why : NULL);
	log_end(&l);
}

static void milter_pool_released(void *arg)
{
	struct milter_config *c = arg;
	c->free(c);
}

struct pool *milter_pool_new(struct milter_config *c, void (*free)(struct milter_config *c))
{
	c->free = free;
	return pool_new(&(struct pool_params){
	    .endpoints = c->endpoints,
	    .endpoint_count = c->endpoint_count,
	    .connect_timeout = c->connect_timeout,
	    .idle = c->idle,
	    .max_ttl = FOREVER,
	    .max_idle = c->keep,
	    .spread = true,
	    .check = c->endpoint_count > 1,
	    .ready = milter_pool_ready,
	    .answered = milter_pool_answered,
	    .changed = milter_pool_changed,
	    .closing = milter_pool_closing,
	    .released = milter_pool_released,
	    .arg = c,
	});
}
