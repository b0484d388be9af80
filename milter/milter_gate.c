/*
 * milter_gate.c: a milter as a gate: stages become events, replies become verdicts.
 */
#include "milter/milter_gate.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <errno.h>
#include <libmilter/mfdef.h>

#define LATE_ANSWERS SECONDS(1)
enum { PENDING_MAX = 64 * 1024 };       /* frames that need no answer may wait up to this for the next one that does */

int milter_gate_protocol_error(struct milter *m, const char *why)
{
	m->client.fault = GATE_FAULT_PROTOCOL;
	m->client.why = why;
	return -EPROTO;
}

bool milter_gate_decided(const struct milter *m, const struct gate_call *call)
{
	return m->message_done || m->session_done || call->verdict.action != GATE_CONTINUE;
}

/* ---- events ---- */

/* Postfix ends every transaction with an ABORT, delivered or not, and says one more before QUIT (M14); Sendmail only one that is broken off. */
static void milter_gate_owe_abort(struct milter *m)
{
	m->aborts_due += m->client.config->compat != MILTER_COMPAT_SENDMAIL;
}

static void milter_gate_put_aborts(struct milter *m)
{
	for (; m->aborts_due > 0; m->aborts_due--)
		milter_codec_put_bare(&m->client.out, SMFIC_ABORT);
}

struct macros_call {
	struct buf *out;
	const struct milter_macro_list *list;
	struct milter_macro_view view;
};

static void macros_deep(void *arg)
{
	struct macros_call *c = arg;
	milter_macros_put(c->out, c->list, &c->view);
}

/* What printf() touches would be a second page of the stack for each session that waits for this filter. */
void milter_gate_put_macros(struct milter *m, const struct gate_call *call, char command)
{
	const struct milter_macro_list *list = milter_client_macros(&m->client, command);
	enum milter_compat compat = m->client.config->compat;
	if (list->count == 0 && compat != MILTER_COMPAT_POSTFIX)
		return;
	milter_gate_put_aborts(m);
	struct macros_call c = {
		.out = &m->client.out,
		.list = list,
		.view = {
		    .compat = compat,
		    .command = command,
		    .session = call->session,
		    .txn = call->txn,
		    .rcpt = call->rcpt,
		},
	};
	task_deep(macros_deep, &c);
}

/* Postfix sends macros before every header and chunk, Sendmail only before EOH and EOM (M6).  FULL's go before the first header. */
static bool milter_gate_macros_due(const struct milter *m, char command)
{
	enum milter_compat compat = m->client.config->compat;
	if (compat == MILTER_COMPAT_POSTFIX)
		return true;
	return command != SMFIC_HEADER && command != SMFIC_BODY && (command != SMFIC_EOH || compat == MILTER_COMPAT_SENDMAIL);
}

/* Postfix and Sendmail send the macros of an event that they then withhold (M6). */
static bool milter_gate_macros_of_withheld(const struct milter *m, char command)
{
	static const char *const commands[] = {
		[MILTER_COMPAT_FULL] = "",
		[MILTER_COMPAT_POSTFIX] = "CHMRTU",
		[MILTER_COMPAT_SENDMAIL] = "CHMR",
	};
	return strchr(commands[m->client.config->compat], command) != NULL;
}

bool milter_gate_begin(struct milter *m, const struct gate_call *call, const struct milter_event *event)
{
	const struct milter_terms *terms = &m->client.terms;
	if (terms->version < event->since || m->skip == event->command)
		return false;
	m->skip = 0;
	bool wanted = !(terms->protocol & event->unwanted);
	bool macros_only = milter_gate_macros_of_withheld(m, event->command);
	if (!wanted && !macros_only)
		return false;
	m->after_end = false;
	milter_gate_put_aborts(m);
	if (milter_gate_macros_due(m, event->command))
		milter_gate_put_macros(m, call, event->command);
	m->in_message |= !strchr("CHU", event->command);
	return wanted;
}

static int64_t milter_gate_timeout(const struct milter *m, const struct gate_call *call)
{
	return call->stage == GATE_MESSAGE ? m->client.config->content_timeout : m->client.config->command_timeout;
}

/*
 * A libmilter filter answers each header field, the end of the headers and each chunk of the body: a round trip each.  Under
 * compat = full these are sent together, and the answers read afterwards; a filter reads frame by frame and does not notice.  Only
 * one that decides in the midst of it hears frames that Postfix would not have sent.  How many of those it answers is its
 * own affair, so that connection ends, and the next transaction has a new one with CONNECT and HELO replayed.
 */
bool milter_gate_owe(struct milter *m, char command)
{
	if (m->client.config->compat != MILTER_COMPAT_FULL || !strchr("LNB", command) || m->owed_count == MILTER_OWED_MAX)
		return false;
	m->owed[m->owed_count++] = command;
	return true;
}

TASK_FN static void milter_gate_part(struct milter *m)
{
	if (!m->client.stream) /* it wanted the session shut down */
		return;
	milter_client_forget(&m->client);
	/* Answers that nobody waits for any more. */
	stream_consume(m->client.stream, stream_input(m->client.stream).n);
	milter_codec_put_bare(&m->client.out, SMFIC_QUIT);
	int r = milter_client_send(&m->client, m->client.out.n, BYTES(""), SECONDS(1));
	if (r < 0)
		log_debug("milter", "no parting word: %s", strerrordesc_np(-r));
	milter_client_close(&m->client);
}

int milter_gate_collect(struct milter *m, struct gate_call *call, bool ahead)
{
	unsigned n = m->owed_count, i = 0;
	int r = 0;
	m->owed_count = 0;
	while (r == 0 && i < n && !milter_gate_decided(m, call))
		r = milter_gate_answer(m, call, milter_codec_event(m->owed[i++]));
	/* (Its last word, shutdown, has closed the connection already.) */
	if (r == 0 && m->client.stream && milter_gate_decided(m, call) && (i < n || ahead))
		milter_gate_part(m);
	return r;
}

int milter_gate_finish(struct milter *m, struct gate_call *call, const struct milter_event *event)
{
	struct milter_client *c = &m->client;
	bool answered = !(c->terms.protocol & event->unanswered);
	bool later = !answered || milter_gate_owe(m, event->command);
	if (later && c->out.n < PENDING_MAX)
		return 0;
	int r = milter_client_send(c, c->out.n, BYTES(""), milter_gate_timeout(m, call));
	if (r == 0)
		r = milter_gate_collect(m, call, !later);
	if (r < 0 || later || milter_gate_decided(m, call))
		return r;
	return milter_gate_answer(m, call, event);
}

/* ---- verdicts ---- */

/* A refusal at CONNECT or HELO is for the session: the runner keeps it, the filter hears no more (M32, M33). */
static void milter_gate_end_session(struct milter *m)
{
	m->session_done = true;
	milter_client_close(&m->client);
}

static int milter_gate_reply_code(struct milter *m, struct gate_call *call, const struct milter_reply *reply)
{
	struct gate_verdict *v = &call->verdict;
	if (milter_codec_reply_text(reply->text[0], gate_call_arena(call), &v->reply) < 0) {
		call->misconfigured = true;
		return milter_gate_protocol_error(m, "its reply text is no 4xx or 5xx reply");
	}
	/* Postfix closes the session after these two (M36). */
	if (v->reply.code == 421 || v->reply.code == 521)
		v->action = GATE_DISCONNECT;
	else
		v->action = v->reply.code < 500 ? GATE_TEMPFAIL : GATE_REJECT;
	return 0;
}

static void milter_gate_accept(struct milter *m, char command)
{
	if (command == SMFIC_CONNECT || command == SMFIC_HELO)
		milter_gate_end_session(m);
	else if (command != SMFIC_UNKNOWN)
		m->message_done = true;
}

static void milter_gate_discard(struct gate_call *call, char command)
{
	if (strchr("CHU", command))
		log_warning("milter", "milter %s: discard at %s makes no sense, ignored", call->gate->name,
		    milter_codec_event(command)->name);
	else
		call->verdict.action = GATE_DISCARD;
}

/* The words of a bare refusal are the server's, unless they are to be Sendmail's. */
static void milter_gate_bare_refusal(const struct milter *m, struct gate_call *call, char command, enum gate_action action)
{
	call->verdict.action = action;
	if (m->client.config->compat != MILTER_COMPAT_SENDMAIL)
		return;
	if (action == GATE_TEMPFAIL)
		call->verdict.reply = SMTP_REPLY(451, "4.3.2", "Please try again later");
	else if (strchr("LNBE", command))
		call->verdict.reply = SMTP_REPLY(554, "5.7.1", "Command rejected");
}

static int milter_gate_verdict(struct milter *m, struct gate_call *call, char command, const struct milter_reply *reply)
{
	int r = 0;
	switch (reply->kind->code) {
	case SMFIR_CONTINUE:
		m->after_end = command == SMFIC_BODYEOB;
		return 0;
	case SMFIR_ACCEPT:
		milter_gate_accept(m, command);
		return 0;
	case SMFIR_SKIP:
		m->skip = command;
		return 0;
	case SMFIR_DISCARD:
		milter_gate_discard(call, command);
		return 0;
	case SMFIR_REJECT:
		milter_gate_bare_refusal(m, call, command, GATE_REJECT);
		break;
	case SMFIR_TEMPFAIL:
		milter_gate_bare_refusal(m, call, command, GATE_TEMPFAIL);
		break;
	case SMFIR_SHUTDOWN: /* it is told no more, not even QUIT */
		call->verdict.action = GATE_DISCONNECT;
		milter_gate_end_session(m);
		return 0;
	case SMFIR_REPLYCODE:
		r = milter_gate_reply_code(m, call, reply);
		break;
	default: /* SMFIR_CONN_FAIL */
		return milter_gate_protocol_error(m, "it wants the connection to fail");
	}
	if (r == 0 && (command == SMFIC_CONNECT || command == SMFIC_HELO))
		milter_gate_end_session(m);
	return r;
}

int milter_gate_answer(struct milter *m, struct gate_call *call, const struct milter_event *event)
{
	for (;;) {
		struct milter_reply reply;
		int r = milter_client_reply(&m->client, milter_gate_timeout(m, call), &reply);
		if (r < 0)
			return r;
		switch (reply.kind->class) {
		case MILTER_PROGRESS:
			break; /* another wait as long; the runner's total deadline ends it */
		case MILTER_VERDICT:
			return milter_gate_verdict(m, call, event->command, &reply);
		case MILTER_EDIT:
			if (event->command != SMFIC_BODYEOB)
				return milter_gate_protocol_error(m, "an edit before the end of the message");
			r = milter_edit(m, call, &reply);
			if (r < 0)
				return r;
			break;
		case MILTER_TERMS:
			return milter_gate_protocol_error(m, "a negotiation in mid-session");
		}
	}
}

/* ---- stages ---- */

static void milter_gate_put_connect(struct milter *m, const struct gate_call *call)
{
	const struct gate_session *s = call->session;
	struct buf bracketed = { 0 };
	struct milter_peer peer = { .name = bytes_of(s->client_name), .family = SMFIA_UNKNOWN, .port = s->client_port };
	peer.address = bytes_of(s->client_ip);
	if (strcmp(s->client_name, "unknown") == 0) { /* M12 */
		buf_printf(&bracketed, "[%s]", s->client_ip);
		peer.name = buf_bytes(&bracketed);
	}
	switch (s->client.sa.sa_family) {
	case AF_INET:
		peer.family = SMFIA_INET;
		break;
	case AF_INET6:
		peer.family = SMFIA_INET6;
		break;
	case AF_UNIX:
		peer.family = SMFIA_UNIX;
		peer.port = 0;
		break;
	}
	milter_codec_put_connect(&m->client.out, &peer);
	buf_fini(&bracketed);
}

/* MAIL and RCPT: the path as typed, and each parameter (M13). */
static void milter_gate_put_path(struct milter *m, char command, const struct smtp_path *path)
{
	struct buf *out = &m->client.out;
	size_t begun = milter_codec_begin(out, command);
	milter_codec_put_string(out, path->bare ? bytes_make(path->raw.p + 1, path->raw.n - 2) : path->raw);
	for (unsigned i = 0; i < path->param_count; i++)
		milter_codec_put_string(out, path->params[i].text);
	milter_codec_end(out, begun);
}

static void milter_gate_put(struct milter *m, const struct gate_call *call, char command)
{
	struct buf *out = &m->client.out;
	switch (command) {
	case SMFIC_CONNECT:
		milter_gate_put_connect(m, call);
		break;
	case SMFIC_HELO:
		milter_codec_put_text(out, command, bytes_of(call->session->helo));
		break;
	case SMFIC_MAIL:
		milter_gate_put_path(m, command, &call->txn->sender);
		break;
	case SMFIC_RCPT:
		milter_gate_put_path(m, command, &call->rcpt->path);
		break;
	case SMFIC_UNKNOWN:
		milter_codec_put_text(out, command, call->line);
		break;
	default:
		milter_codec_put_bare(out, command);
	}
}

static const char stage_commands[GATE_STAGES] = {
	[GATE_CONNECT] = SMFIC_CONNECT,
	[GATE_EHLO] = SMFIC_HELO,
	[GATE_MAIL] = SMFIC_MAIL,
	[GATE_RCPT] = SMFIC_RCPT,
	[GATE_DATA] = SMFIC_DATA,
	[GATE_UNKNOWN] = SMFIC_UNKNOWN,
};

/* To Postfix only what its own restrictions refuse is worth telling (M15). */
static bool milter_gate_hears_refusal(const struct milter *m, const struct gate_rcpt *rcpt)
{
	return m->client.terms.protocol & SMFIP_RCPT_REJ &&
	       (m->client.config->compat != MILTER_COMPAT_POSTFIX || rcpt->refused_by == GATE_REFUSED_BY_SCRIPT);
}

TASK_FN static int milter_gate_stage(struct milter *m, struct gate_call *call)
{
	char command = stage_commands[call->stage];
	const struct milter_event *event = milter_codec_event(command);
	int r = 0;
	if (command == SMFIC_RCPT && !call->accepted_before && !milter_gate_hears_refusal(m, call->rcpt))
		return 0;
	/* STARTTLS has made the session forget its HELO before the next one is said. */
	if (command == SMFIC_HELO && m->helo && call->session->tls && !m->helo_over_tls) {
		milter_gate_owe_abort(m);
		m->helo = false;
	}
	if (milter_gate_begin(m, call, event)) {
		m->heard_data |= command == SMFIC_DATA;
		milter_gate_put(m, call, command);
		r = milter_gate_finish(m, call, event);
	}
	/* A second HELO forgets what was before it, and the filter hears of it in this order (M14). */
	if (command == SMFIC_HELO) {
		if (m->helo)
			milter_gate_owe_abort(m);
		m->helo = true;
		m->helo_over_tls = call->session->tls != NULL;
	}
	return r;
}

/* When DATA was refused the client may go on with RCPT, or try again.  libmilter knows no way back from DATA: it reads such a command and never
 * answers (with Postfix, the client waits for the time-out). */
static bool milter_gate_is_past(const struct milter *m, const struct gate_call *call)
{
	return m->heard_data && (call->stage == GATE_RCPT || call->stage == GATE_DATA) &&
	       m->client.config->compat == MILTER_COMPAT_FULL;
}

/* 0: the filter can be asked; 1: it does not want to be. */
TASK_FN static int milter_gate_ready(struct milter *m, const struct gate_call *call)
{
	if (m->session_done || (m->message_done && call->stage == GATE_MESSAGE))
		return 1;
	if ((m->opened && !m->client.stream) || milter_gate_is_past(m, call))
		return -ESTALE;
	if (!m->opened) {
		int r = milter_pool_take(&m->client);
		if (r < 0)
			return r;
		m->opened = true;
	} else if (call->stage == GATE_MAIL && milter_client_stale(&m->client)) {
		return -ESTALE;
	}
	/* A second HELO ends the message, and is about those after it. */
	if (call->stage == GATE_EHLO)
		m->message_done = false;
	return m->message_done;
}

/* Once, here: the runner's floor does not log. */
static void milter_gate_log_fault(const struct gate_call *call)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_WARNING, "milter-fault");
	log_str(&l, "milter", call->gate->name);
	log_str(&l, "stage", gate_stage_name(call->stage));
	log_str(&l, "fault", gate_fault_name(call->fault ? call->fault : GATE_FAULT_TIMEOUT));
	log_str(&l, "why", call->fault_text);
	log_end(&l);
}

static void milter_gate_tap_fault(const struct milter *m, const struct gate_call *call)
{
	const struct milter_tap *tap = m->client.config->tap;
	const struct milter_tap_event event = {
		.what = MILTER_TAP_FAULT,
		.data = bytes_of(call->fault_text),
		.fault = call->fault ? call->fault : GATE_FAULT_TIMEOUT,
	};
	if (tap)
		tap->fn(tap->arg, &event);
}

TASK_FN static int milter_gate_show(struct milter *m, struct gate_call *call, bool arriving)
{
	if (call->stage != GATE_MESSAGE)
		return milter_gate_stage(m, call);
	return arriving ? milter_message_feed(m, call) : milter_message(m, call);
}

TASK_FN static int milter_gate_run(struct gate_call *call, bool arriving)
{
	struct milter *m = call->context;
	m->client.fault = GATE_FAULT_NONE;
	m->client.why = "its time is up";
	int r = milter_gate_ready(m, call);
	if (r == 1)
		return 0;
	m->amid = true;
	if (r == 0)
		r = milter_gate_show(m, call, arriving);
	milter_client_forget(&m->client);
	m->amid = r != 0;
	if (r == 0 || r == -ECANCELED || r == -ESTALE)
		return r;
	if (milter_pool_was_dead(&m->client, r))
		return -ESTALE;
	call->fault = m->client.fault;
	call->fault_text = arena_str(gate_call_arena(call), bytes_of(m->client.why));
	milter_gate_log_fault(call);
	milter_gate_tap_fault(m, call);
	milter_client_close(&m->client);
	return r;
}

TASK_FN static int milter_gate_event(struct gate_call *call)
{
	return milter_gate_run(call, false);
}

TASK_FN static int milter_gate_feed(struct gate_call *call)
{
	return milter_gate_run(call, true);
}

/* ---- the life of a context ---- */

TASK_FN static int milter_gate_open(const struct gate *g, const struct gate_session *s, void **ret_context)
{
	(void)s;
	struct milter *m = NEW(struct milter);
	m->client.config = g->config;
	*ret_context = m;
	return 0;
}

/* Those to content that was cut off must not be taken for answers to the next message.  A filter that is not soon done is met anew. */
TASK_FN static int milter_gate_late_answers(struct milter *m, struct gate_call *call)
{
	struct deadline d;
	deadline_begin(&d, LATE_ANSWERS);
	int r = milter_gate_collect(m, call, false);
	deadline_end(&d);
	milter_client_forget(&m->client);
	m->message_done = false;
	return r;
}

/* After a message that came to its end nothing is left for the filter to free: its ABORT can go with the next event. */
TASK_FN static void milter_gate_abort(struct gate_call *call, bool committed)
{
	struct milter *m = call->context;
	bool at_once = m->in_message && !committed;
	m->in_message = m->message_done = m->in_content = m->heard_data = m->owed_sent = false;
	if (!m->client.stream)
		return;
	if (!at_once) {
		milter_gate_owe_abort(m);
		return;
	}
	m->aborts_due++;
	m->after_end = false;
	milter_gate_put_aborts(m);
	int r = milter_client_send(&m->client, m->client.out.n, BYTES(""), m->client.config->command_timeout);
	if (r == 0)
		r = milter_gate_late_answers(m, call);
	if (r < 0)
		milter_client_close(&m->client);
}

TASK_FN static void milter_gate_close(void *context, bool quit)
{
	struct milter *m = context;
	bool well = quit && m->client.stream && !m->amid && !m->in_message && m->owed_count == 0;
	bool kept = well && milter_pool_give(&m->client, m->after_end);
	if (quit && !kept && m->client.stream) {
		if (m->helo)
			milter_gate_owe_abort(m); /* M14: one more before QUIT */
		milter_gate_put_aborts(m);
		milter_gate_part(m);
	}
	milter_client_close(&m->client);
	mem_free(m);
}

static unsigned milter_gate_edits(void *context)
{
	const struct milter *m = context;
	if (m->session_done || m->message_done)
		return 0;
	return m->opened ? milter_message_edits(m) : GATE_EDIT_EVERY;
}

#define STAGE(s) (1u << GATE_##s)
const struct gate_ops milter_ops = {
	.kind = "milter",
	.open = milter_gate_open,
	.event = milter_gate_event,
	.feed = milter_gate_feed,
	.edits = milter_gate_edits,
	.abort = milter_gate_abort,
	.close = milter_gate_close,
	.stages = STAGE(CONNECT) | STAGE(EHLO) | STAGE(MAIL) | STAGE(RCPT) | STAGE(DATA) | STAGE(MESSAGE) | STAGE(UNKNOWN),
	.history = STAGE(CONNECT) | STAGE(EHLO) | STAGE(MAIL) | STAGE(RCPT) | STAGE(DATA),
	.refused_rcpts = true,
	.default_on_failure = GATE_ON_FAILURE_TEMPFAIL,
};
