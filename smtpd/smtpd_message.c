/*
 * smtpd_message.c: from the last octet of the content to the answer.
 *
 *	checks -> trace field -> gates -> script -> recipients that gates added or replaced -> delivery (or hold area) -> answer -> `result` -> one line in the log
 */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"

#include <errno.h>
#include <stdio.h>

static const struct smtp_reply taken = { .code = 250, .enhanced = "2.0.0", .text = "Ok" };

/* A message that has been through too many servers goes round in circles (RFC 5321 section 6.3). */
static void message_check_hops(struct smtpd_session *s)
{
	unsigned max = s->config->hops_max;
	if (!max || s->txn->failed.code || !mail_header_find(s->txn->view.mail, BYTES("Received"), (int)max + 1))
		return;
	smtpd_content_fail(s->txn, 554, "5.4.0", "Error: too many hops");
}

static void message_trace(struct smtpd_session *s)
{
	struct buf field = { 0 };
	smtpd_received(&s->view, &s->txn->view, run_wall(), &field);
	mail_trace_prepend(s->txn->view.mail, buf_bytes(&field));
	buf_fini(&field);
}

void smtpd_message_head(struct smtpd_session *s)
{
	struct smtpd_txn *t = s->txn;
	if (t->headed || t->failed.code)
		return;
	t->headed = true;
	message_check_hops(s);
	if (t->failed.code)
		return;
	message_trace(s);
	if (t->view.complete && gate_txn_complete(&t->view, &s->view) < 0)
		smtpd_content_fail(t, 451, "4.3.0", "Error: queue file write error");
}

/* The gates see each other's edits; the script decides with all of them before it. */
TASK_FN static int message_filter(struct smtpd_session *s, struct smtp_reply *ret)
{
	struct smtpd_question q = { .stage = GATE_MESSAGE };
	struct gate_verdict v;
	smtpd_stage_begin(s, GATE_MESSAGE);
	int r = smtpd_stage_gates(s, &q, &v);
	if (r == 0 && (v.action == GATE_CONTINUE || v.action == GATE_ACCEPT))
		r = smtpd_stage_script(s, &q, &v);
	if (r < 0)
		return r;
	smtpd_stage_settle(s, GATE_MESSAGE, &v);
	if (smtpd_stage_refuses(&v, ret))
		smtpd_stage_log(s, &q, &v, ret);
	return 0;
}

/* A gate may add recipients; where their mail goes is the script's to say, as for any other. One that has no
 * destination is a mistake of the configuration, and no message is lost to it. */
TASK_FN static int message_route_added(struct smtpd_session *s, struct smtp_reply *ret)
{
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &s->txn->view.rcpts, struct gate_rcpt, link) {
		struct smtpd_question q = { .stage = GATE_RCPT, .rcpt = rcpt };
		struct gate_verdict v;
		if (!rcpt->added || rcpt->targets)
			continue;
		int r = smtpd_stage_script(s, &q, &v);
		if (r < 0)
			return r;
		if (v.action == GATE_DISCARD) {
			list_remove(&rcpt->link);
			continue;
		}
		if (!rcpt->targets || smtpd_stage_refuses(&v, ret)) {
			log_error("added_recipient", "to=<%.*s>: added by a gate, and the script of listener %s delivers it nowhere",
			    BYTES_ARG(rcpt->path.address.address), s->config->name);
			*ret = SMTP_REPLY(451, "4.3.5", "Server configuration problem");
			return 0;
		}
	}
	return 0;
}

/* access(5)'s FILTER: to that next hop, whatever the script chose, which has only said who the recipients are. */
static void message_filter_targets(struct gate_txn *t)
{
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &t->rcpts, struct gate_rcpt, link) {
		for (struct delivery_target *to = rcpt->targets; to; to = to->next) {
			to->hops = &t->filter_hop;
			to->hop_count = 1;
		}
	}
}

/* Where it goes in the end. */
TASK_FN static int message_route(struct smtpd_session *s, struct smtp_reply *ret)
{
	struct gate_txn *t = &s->txn->view;
	gate_txn_reroute(t);
	int r = message_route_added(s, ret);
	if (r < 0 || ret->code || !t->filter)
		return r;
	if (t->filter_hop)
		message_filter_targets(t);
	else
		*ret = SMTP_REPLY(451, "4.3.5", "Server configuration error");
	return 0;
}

/* A client that is known to be gone will try again: nothing that waits for us is worth a duplicate. */
static int message_client_gone(struct smtpd_session *s)
{
	int r = stream_poll(s->stream);
	/* The end of its input alone says little: it may have shut down its sending side after the last command. */
	return r == 0 || r == -EAGAIN || r == -ENODATA ? 0 : r;
}

TASK_FN static int message_deliver(struct smtpd_session *s, struct smtp_reply *ret)
{
	struct smtpd_txn *t = s->txn;
	int r = message_client_gone(s);
	if (r < 0)
		return r;
	if (t->view.held)
		return smtpd_hold(s, ret);
	struct delivery_params p = smtpd_txn_delivery(s, t);
	if ((r = delivery_run(&p, &t->outcome)) == 0)
		*ret = t->outcome.reply;
	return r;
}

/* Everything up to the answer, in *RET, which is empty so far. */
TASK_FN static int message_process(struct smtpd_session *s, struct smtp_reply *ret)
{
	struct smtpd_txn *t = s->txn;
	smtpd_content_end(s);
	smtpd_message_head(s);
	if (t->failed.code) {
		*ret = t->failed;
		return 0;
	}
	int r = message_filter(s, ret);
	if (r == 0 && !ret->code && !t->view.discarded)
		r = message_route(s, ret);
	if (r < 0 || ret->code)
		return r;
	/* A gate that takes away every recipient discards the message. */
	if (t->view.discarded || list_empty(&t->view.rcpts)) {
		t->view.discarded = true;
		*ret = taken;
		return 0;
	}
	return message_deliver(s, ret);
}

/* One reply, or in LMTP one for each recipient that was told 250, in that order (RFC 2033 section 4.2). */
static void message_answer(struct smtpd_session *s, const struct smtp_reply *reply)
{
	const struct smtpd_txn *t = s->txn;
	if (!s->config->lmtp) {
		smtpd_reply(s, reply);
		return;
	}
	bool delivered = t->outcome.delivered || t->outcome.refused || t->outcome.deferred;
	for (const struct smtpd_answer *a = t->answers; a; a = a->next) {
		const struct smtp_reply *own = &a->rcpt->result;
		/* A recipient that a gate took away has no result: it is discarded, and that is 250. */
		smtpd_reply(s, !delivered ? reply : own->code ? own : &taken);
	}
}

static void message_count(struct smtpd_session *s, const struct smtp_reply *reply)
{
	struct smtpd_counters *c = smtpd_session_counters(s);
	c->bytes += mail_received_size(s->txn->view.mail);
	if (!smtp_reply_ok(reply)) {
		++*(smtp_reply_temporary(reply) ? &c->deferred : &c->refused);
		return;
	}
	++*(s->txn->view.discarded ? &c->discarded : s->txn->held ? &c->held : &c->accepted);
	/* As Postfix: a good message forgives. */
	s->errors = s->junk = 0;
}

/* The one line that says what became of a message, and who took how long over it. */
static void message_log(const struct smtpd_session *s, const struct smtp_reply *reply)
{
	const struct smtpd_txn *t = s->txn;
	struct log_line l;
	struct buf text = { 0 };
	log_begin(&l, LOG_LEVEL_INFO, "transaction");
	log_str(&l, "id", t->view.id);
	log_str(&l, "client", s->view.client_ip);
	log_str(&l, "name", s->view.client_name);
	log_str(&l, "helo", s->view.helo);
	log_str(&l, "user", s->view.auth_user);
	log_printf(&l, "from", "<%.*s>", BYTES_ARG(t->view.sender.address.address));
	const struct gate_rcpt *first = LIST_FIRST(&t->view.rcpts, struct gate_rcpt, link);
	if (first)
		log_printf(&l, "to", "<%.*s>", BYTES_ARG(first->path.address.address));
	log_int(&l, "nrcpt", t->view.rcpt_count);
	log_int(&l, "size", (int64_t)mail_received_size(t->view.mail));
	if (t->view.discarded)
		log_int(&l, "discarded", 1);
	if (t->held)
		log_int(&l, "held", 1);
	smtp_reply_line(reply, &text);
	log_bytes(&l, "reply", buf_bytes(&text));
	for (const struct gate_span *span = t->view.spans; span; span = span->next) {
		char key[64];
		snprintf(key, sizeof key, "ms.%s", span->name);
		log_printf(&l, key, "%.1f", (double)span->ns / 1e6);
	}
	log_printf(&l, "ms", "%.1f", (double)(run_now() - t->started) / 1e6);
	log_end(&l);
	buf_fini(&text);
}

/* One line for each gate that had to do with the message: what it said of it, how long it took, what it changed. */
static void message_log_gates(const struct smtpd_session *s)
{
	const struct gate_txn *t = &s->txn->view;
	if (!log_wanted(LOG_LEVEL_INFO))
		return;
	for (const struct gate_span *span = t->spans; span; span = span->next) {
		struct log_line l;
		struct buf edits = { 0 };
		if (!span->kind)
			continue;
		log_begin(&l, LOG_LEVEL_INFO, "gate");
		log_str(&l, "id", t->id);
		log_str(&l, "gate", span->name);
		log_str(&l, "kind", span->kind);
		log_str(&l, "verdict", span->fault ? NULL : span->verdict ? span->verdict : "continue");
		log_str(&l, "fault", span->fault);
		log_int(&l, "us", span->ns / 1000);
		log_int(&l, "edits", span->edits);
		if (span->edits) {
			gate_edit_names(span->edit_kinds, &edits);
			log_bytes(&l, "edited", buf_bytes(&edits));
			buf_fini(&edits);
		}
		log_str(&l, "shadow", span->shadow ? "yes" : NULL);
		log_end(&l);
	}
}

int smtpd_message(struct smtpd_session *s)
{
	struct smtp_reply reply = { 0 };
	/* This may take a while: earlier answers do not wait for it, and nobody holds what he does not need. */
	int r = smtpd_session_flush(s);
	stream_relax(s->stream);
	if (r == 0)
		r = message_process(s, &reply);
	if (r < 0)
		return r;
	message_answer(s, &reply);
	message_count(s, &reply);
	r = smtpd_session_flush(s);
	if (r == 0) {
		struct smtpd_question q = { .stage = GATE_RESULT, .result = &reply };
		struct gate_verdict ignored;
		r = smtpd_stage_script(s, &q, &ignored);
	}
	message_log(s, &reply);
	message_log_gates(s);
	/* LMTP: one recipient's mailbox may have it while another's is full. */
	smtpd_txn_end(s, smtp_reply_ok(&reply) || s->txn->outcome.delivered);
	return r;
}
