/*
 * smtpd_session.c: the life of a session.
 *
 *	accept -> greet -> [ commands until the input is used up -> flush -> park ] ... -> end
 *
 * Between commands a session is a struct in the loop.  Only while it does something, or waits for somebody
 * other than its client, it has a task.
 */
#include "smtpd/smtpd_session.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/dns/dns.h"

#include <errno.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

enum { CONTENT_UNREAD_MAX = 65536, OUTPUT_UNSENT_MAX = 4096 };
/* So much of one client's input, then others have their turn. */
enum { TURN_BYTES = 256 * 1024, TURN_COMMANDS = 32 };
/* 2024-01-01: seconds since then keep the session ids short. */
#define ID_EPOCH 1704067200

struct smtpd {
	struct list sessions;
	struct task_group tasks;
	unsigned live, sessions_max;
	struct smtpd_counters *counters, own_counters;
	bool retired;                   /* no new sessions; EMPTY is waited for */
	bool draining;                  /* none between transactions either */
	void (*empty)(void *arg);
	void *empty_arg;
	unsigned id_count, sequence;
	unsigned pid;
	char id_prefix[24];
};

static TASK_ENTRY void session_task(struct smtpd_session *s);

/* ---- the server ---- */

void smtpd_config_defaults(struct smtpd_config *c)
{
	c->client_names = true;
	c->bare_newline = SMTP_BARE_REJECT;
	c->size_max = 50 << 20;
	c->header_max = 1 << 20;
	c->memory_max = 128 << 10;
	c->line_max = 2048;
	c->rcpt_max = 1000;
	c->hops_max = 50;
	c->soft_errors = 10;
	c->hard_errors = 20;
	c->junk_max = 100;
	c->error_delay = SECONDS(1);
	c->command_timeout = SECONDS(300);
	c->data_timeout = SECONDS(180);
	c->data_rate_min = 500;
	c->delivery_deadline = SECONDS(240);
}

struct smtpd *smtpd_new(const struct smtpd_params *p)
{
	struct smtpd *srv = NEW(struct smtpd);
	list_init(&srv->sessions);
	task_group_init(&srv->tasks);
	srv->sessions_max = p->sessions_max;
	srv->counters = p->counters ? p->counters : &srv->own_counters;
	srv->pid = (unsigned)getpid();
	snprintf(srv->id_prefix, sizeof srv->id_prefix, "%llx%x", (long long)(run_wall() - ID_EPOCH) & 0xffffffffff, srv->pid);
	return srv;
}

void smtpd_free(struct smtpd **srv)
{
	if (!*srv)
		return;
	ASSERT(!(*srv)->live);
	mem_free(*srv);
	*srv = NULL;
}

unsigned smtpd_live(const struct smtpd *srv)
{
	return srv->live;
}

const struct smtpd_counters *smtpd_counters(const struct smtpd *srv)
{
	return srv->counters;
}

struct smtpd_counters *smtpd_session_counters(struct smtpd_session *s)
{
	return s->srv->counters;
}

const char *smtpd_session_instance(struct smtpd_session *s, struct arena *arena)
{
	struct timeval now;
	gettimeofday(&now, NULL);
	return arena_printf(arena, "%x.%llx.%x.%x", s->srv->pid, (long long)run_wall(), (unsigned)now.tv_usec, ++s->srv->sequence);
}

static void smtpd_empty(struct smtpd *srv)
{
	void (*fn)(void *arg) = srv->empty;
	srv->empty = NULL;
	if (fn)
		fn(srv->empty_arg);
}

/* ---- beginning ---- */

bool smtpd_session_may_xclient(const struct smtpd_session *s)
{
	const struct smtpd_config *config = s->config;
	for (unsigned i = 0; i < config->xclient_count; i++)
		if (net_cidr_match(&config->xclient[i], &s->view.client))
			return true;
	return false;
}

static void session_view_init(struct smtpd_session *s, const struct net_addr *peer)
{
	struct gate_session *v = &s->view;
	char ip[INET6_ADDRSTRLEN];
	v->id = s->id;
	v->hostname = s->config->hostname;
	v->listener = s->config->name;
	v->arena = &s->arena;
	v->protocol = s->config->lmtp ? GATE_LMTP : GATE_SMTP;
	if (stream_local(s->stream, &v->server) < 0)
		v->server = *peer;
	net_addr_unmap(&v->server);
	net_addr_ip(&v->server, ip);
	v->server_ip = arena_str(&s->arena, bytes_of(ip));
	v->client = *peer;
	net_addr_unmap(&v->client);
	net_addr_ip(&v->client, ip);
	v->client_ip = arena_str(&s->arena, bytes_of(ip));
	v->client_port = net_addr_port(&v->client);
	v->client_name = v->client_ptr = "unknown";
	v->client_resolve = GATE_RESOLVE_FAIL;
}

void smtpd_accept(struct smtpd *srv, const struct smtpd_config *config, int fd, const struct net_addr *peer)
{
	if (srv->retired || (srv->sessions_max && srv->live >= srv->sessions_max)) {
		char text[300];
		int n = snprintf(text, sizeof text, "421 4.7.0 %.200s Error: too many connections\r\n", config->hostname);
		(void)!send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		srv->counters->sessions_refused++;
		return;
	}
	struct smtpd_session *s = NEW(struct smtpd_session);
	s->srv = srv;
	s->config = config;
	s->stream = stream_new(fd);
	snprintf(s->id, sizeof s->id, "%s.%x", srv->id_prefix, ++srv->id_count);
	session_view_init(s, peer);
	s->xclient = smtpd_session_may_xclient(s);
	chain_init(&s->chain, &s->view);
	list_append(&srv->sessions, &s->link);
	srv->live++;
	srv->counters->sessions++;
	srv->counters->live++;
	task_start(&srv->tasks, "smtpd", session_task, s);
}

/* Names are a convenience: a name service that does not answer costs half a minute at most, and no session. */
TASK_FN static int session_client_name(struct smtpd_session *s)
{
	struct dns_client who;
	struct deadline d;
	deadline_begin(&d, SECONDS(30));
	int r = dns_client(&s->view.client, &s->arena, &who);
	bool late = r == -ETIMEDOUT && deadline_passed(&d);
	deadline_end(&d);
	if (late)
		s->view.client_resolve = GATE_RESOLVE_TEMP;
	if (r < 0)
		return late ? 0 : r;
	static const enum gate_resolve status[] = {
		[DNS_CLIENT_OK] = GATE_RESOLVE_OK, [DNS_CLIENT_FAIL] = GATE_RESOLVE_FAIL,
		[DNS_CLIENT_TEMP] = GATE_RESOLVE_TEMP, [DNS_CLIENT_FORGED] = GATE_RESOLVE_FORGED,
	};
	s->view.client_name = who.name;
	s->view.client_ptr = who.ptr;
	s->view.client_resolve = status[who.status];
	return 0;
}

/* RFC 5321 section 4.3.1: the client waits for the greeting.  -EAGAIN: so it does. */
static int session_spoke_first(struct smtpd_session *s)
{
	int r = stream_poll(s->stream);
	if (r < 0)
		return r;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_NOTICE, "pipelining");
	log_str(&l, "client", s->view.client_ip);
	log_str(&l, "after", "connect");
	log_bytes(&l, "input", bytes_first(stream_input(s->stream), 100));
	log_end(&l);
	smtpd_say(s, 554, "5.5.0", "Error: SMTP protocol synchronization");
	s->closing = true;
	return 0;
}

static void session_banner(struct smtpd_session *s)
{
	const struct smtpd_config *config = s->config;
	/* RFC 5321 section 3.1: a 554 greeting, then a client that can only QUIT.  A 4xx is said to each command instead. */
	s->banner_denied = smtp_reply_permanent(&s->denied);
	if (s->denied.code == 421 || s->denied.code == 521)
		smtpd_reply(s, &s->denied);
	else if (s->banner_denied)
		smtpd_sayf(s, 554, "", "%s %s not accepting connections", config->hostname, config->lmtp ? "LMTP" : "ESMTP");
	else
		smtpd_sayf(s, 220, "", "%s %s", config->hostname,
		    config->banner ? config->banner : config->lmtp ? "LMTP gatepost" : "ESMTP gatepost");
}

int smtpd_session_greet(struct smtpd_session *s)
{
	struct smtpd_question q = { .stage = GATE_CONNECT };
	struct gate_verdict v;
	struct smtp_reply refusal;
	int r = smtpd_stage_ask(s, &q, &v);
	if (r == 0 && !s->greeted)
		r = session_spoke_first(s);
	if (r < 0 && r != -EAGAIN)
		return r;
	s->greeted = true;
	if (smtpd_stage_refuses(&v, &refusal)) {
		smtpd_stage_log(s, &q, &v, &refusal);
		s->denied = smtp_reply_copy(&refusal, &s->arena);
	}
	if (!s->closing)
		session_banner(s);
	return 0;
}

TASK_FN static int session_open(struct smtpd_session *s)
{
	int r = s->config->client_names && s->view.client_port ? session_client_name(s) : 0;
	return r < 0 ? r : smtpd_session_greet(s);
}

/* ---- commands ---- */

int smtpd_session_flush(struct smtpd_session *s)
{
	if (!stream_unsent(s->stream))
		return 0;
	struct deadline d;
	deadline_begin(&d, s->config->command_timeout);
	int r = stream_flush(s->stream);
	deadline_end(&d);
	return r;
}

int smtpd_session_fill(struct smtpd_session *s, size_t most, int64_t *budget)
{
	int64_t began = run_now();
	size_t before = stream_input(s->stream).n;
	struct deadline d;
	deadline_begin(&d, *budget);
	int r = stream_fill(s->stream, most);
	deadline_end(&d);
	if (r < 0)
		return r;
	size_t got = stream_input(s->stream).n - before;
	*budget -= run_now() - began;
	if (s->config->data_rate_min)
		*budget += SECONDS(got) / s->config->data_rate_min;
	if (*budget > s->config->data_timeout || !s->config->data_rate_min)
		*budget = s->config->data_timeout;
	s->turn += (unsigned)got;
	if (s->turn >= TURN_BYTES) {
		s->turn = 0;
		task_yield();
	}
	return 0;
}

/* The input up to the end of a line that is too long. */
TASK_FN static int session_skip_line(struct smtpd_session *s)
{
	for (;;) {
		struct bytes in = stream_input(s->stream);
		ptrdiff_t lf = bytes_find(in, '\n');
		stream_consume(s->stream, lf < 0 ? in.n : (size_t)lf + 1);
		if (lf >= 0)
			return 0;
		int r = stream_fill(s->stream, s->config->line_max);
		if (r < 0)
			return r;
	}
}

/* One line, and its command. */
TASK_FN static int session_command(struct smtpd_session *s)
{
	struct bytes line;
	bool crlf = true;
	struct deadline d;
	deadline_begin(&d, s->config->command_timeout);
	int r = stream_line(s->stream, s->config->line_max, &line, &crlf);
	bool long_line = r == -EMSGSIZE;
	if (long_line)
		r = session_skip_line(s);
	deadline_end(&d);
	if (r < 0)
		return r;
	smtpd_txn_free(&s->unread);     /* it goes on: so it has read our answer */
	s->lost_line_end = !crlf;
	if (s->errors >= s->config->soft_errors && (r = task_sleep(s->config->error_delay)) < 0)
		return r;
	if (long_line)
		smtpd_say(s, 500, "5.5.2", "Error: command line too long");
	else if ((r = smtpd_command(s, line)) < 0)
		return r;
	if (!s->closing && s->errors >= s->config->hard_errors)
		smtpd_sayf(s, 421, "4.7.0", "%s Error: too many errors", s->config->hostname);
	return 0;
}

/* 0 when the input is used up, all is said, and the session can be parked or closed. */
TASK_FN static int session_commands(struct smtpd_session *s)
{
	int r = 0;
	for (unsigned served = 1; r == 0 && !s->closing; served++) {
		r = session_command(s);
		if (served % TURN_COMMANDS == 0)
			task_yield();
		if (r == 0 && (!stream_input(s->stream).n || stream_unsent(s->stream) > OUTPUT_UNSENT_MAX || s->closing)) {
			r = smtpd_session_flush(s);
			if (r == 0 && !stream_input(s->stream).n)
				break;
		}
	}
	return r;
}

/* ---- ending ---- */

/* What is said to a client that cannot go on, if anything. */
static void session_last_word(struct smtpd_session *s, int why)
{
	const char *host = s->config->hostname;
	if (s->closing || s->quit)
		return;
	if (why == -ETIMEDOUT)
		smtpd_sayf(s, 421, "4.4.2", "%s Error: timeout exceeded", host);
	else if (why == -ECANCELED || why == 0)
		smtpd_sayf(s, 421, "4.3.2", "%s Service shutting down, try again later", host);
}

static void session_log_end(const struct smtpd_session *s, int why)
{
	struct log_line l;
	log_begin(&l, s->quit ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "disconnect");
	log_str(&l, "client", s->view.client_ip);
	log_str(&l, "why", why == -ETIMEDOUT ? "timeout" : why == -ECANCELED ? "shutdown" : why < 0 ? "lost" : s->quit ? "quit" : "closed");
	log_str(&l, "helo", s->view.helo);
	if (s->txn)
		log_str(&l, "in", s->txn->view.mail ? "content" : "transaction");
	log_int(&l, "errors", s->errors);
	log_int(&l, "transactions", s->transactions);
	log_end(&l);
}

/* Closing with unread input makes the kernel send a reset, which may overtake our last reply. */
static void session_drop_input(struct smtpd_session *s)
{
	size_t dropped = 0;
	while (dropped < CONTENT_UNREAD_MAX && stream_poll(s->stream) == 0 && stream_input(s->stream).n) {
		size_t n = stream_input(s->stream).n;
		stream_consume(s->stream, n);
		dropped += n;
	}
}

TASK_FN static void session_end(struct smtpd_session *s, int why)
{
	struct smtpd *srv = s->srv;
	bool unread = s->unread && smtpd_unread(s, why);         /* before any other word, which it need not read */
	session_last_word(s, why);
	if (smtpd_session_flush(s) == 0 && !s->quit)
		session_drop_input(s);
	if (unread) {
		struct delivery_params p = smtpd_txn_delivery(s, s->unread);
		delivery_unanswered(&p, &s->unread->outcome);
	}
	smtpd_txn_free(&s->unread);
	session_log_end(s, why);
	if (s->txn)
		smtpd_txn_end(s, false);
	/* Some had it when the delivery was cut short: the journal knows that already. */
	smtpd_txn_free(&s->unread);
	chain_close(&s->chain, why != -ECANCELED);
	if (s->script_state)
		s->config->script.ops->session_end(s->config->script.script, s->script_state);
	stream_close(&s->stream);
	arena_fini(&s->arena);
	mem_free(s->helo);
	list_remove(&s->link);
	mem_free(s);
	srv->counters->live--;
	if (--srv->live == 0 && srv->retired)
		smtpd_empty(srv);
}

/* ---- tasks and parking ---- */

static void session_unparked(void *arg, int why)
{
	struct smtpd_session *s = arg;
	s->parked = false;
	s->timed_out = why == -ETIMEDOUT;
	task_start(&s->srv->tasks, "smtpd", session_task, s);
}

static void session_park(struct smtpd_session *s)
{
	s->parked = true;
	stream_park(s->stream, run_now() + s->config->command_timeout, session_unparked, s);
}

static bool session_drained(const struct smtpd_session *s)
{
	return s->srv->draining && !s->txn;
}

static void session_task(struct smtpd_session *s)
{
	log_set_session(s->id);
	int r = 0;
	if (s->timed_out)
		r = -ETIMEDOUT;
	else if (!s->greeted)
		r = session_open(s);
	else if (!session_drained(s))
		r = session_commands(s);
	if (r == 0 && !s->closing && !session_drained(s) && (r = smtpd_session_flush(s)) == 0)
		session_park(s);
	else
		session_end(s, r);
	log_set_session(NULL);
}

/* At the loop's next turn: the list of sessions must not change under whoever goes through it. */
static void session_wake(struct smtpd_session *s)
{
	stream_unpark(s->stream);
	s->parked = false;
	task_spawn(&s->srv->tasks, "smtpd", session_task, s);
}

void smtpd_retire(struct smtpd *srv, void (*empty)(void *arg), void *arg)
{
	srv->retired = true;
	srv->empty = empty;
	srv->empty_arg = arg;
	if (!srv->live)
		smtpd_empty(srv);
}

void smtpd_drain(struct smtpd *srv, void (*empty)(void *arg), void *arg)
{
	struct smtpd_session *s;
	srv->draining = true;
	LIST_EACH(s, &srv->sessions, struct smtpd_session, link)
		if (s->parked && !s->txn)
			session_wake(s);
	smtpd_retire(srv, empty, arg);
}

void smtpd_cancel(struct smtpd *srv)
{
	struct smtpd_session *s;
	task_group_cancel(&srv->tasks);
	LIST_EACH(s, &srv->sessions, struct smtpd_session, link)
		if (s->parked)
			session_wake(s);
}
