/* smtpd_stage.c: asking what is to be done at a stage: the script first, then the gates it attached. */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"

#include <errno.h>

static const struct gate_verdict go_on = { .action = GATE_CONTINUE };

/* `accept` ends the checks of a message or a session. Where mail goes is not a check: RCPT is asked all the same (VRFY, too), and
 * so is RESULT, which decides nothing. */
static bool stage_waived(const struct smtpd_session *s, enum gate_stage stage)
{
	return stage != GATE_RCPT && stage != GATE_VRFY && stage != GATE_RESULT && smtpd_stage_gates_waived(s, stage);
}

bool smtpd_stage_gates_waived(const struct smtpd_session *s, enum gate_stage stage)
{
	/* EHLO may come amid a transaction, and is about all that come after it. */
	const struct smtpd_txn *t = stage < GATE_MAIL ? NULL : s->txn;
	return s->accepted || (t && (t->accepted || t->view.discarded));
}

void smtpd_stage_begin(struct smtpd_session *s, enum gate_stage stage)
{
	chain_begin(&s->chain, stage, s->txn ? &s->txn->view : NULL);
	if (!s->txn)
		return;
	/* P14: DEFER_IF_PERMIT of earlier stages is still good at RCPT, and forgotten at DATA. P15: DEFER_IF_REJECT
	 * is never inherited. */
	if (stage == GATE_DATA || stage == GATE_MESSAGE)
		s->txn->view.defer_if_permit.code = 0;
	s->txn->view.defer_if_reject.code = 0;
}

int smtpd_stage_script(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *ret)
{
	const struct smtpd_script *script = &s->config->script;
	*ret = go_on;
	if (stage_waived(s, q->stage))
		return 0;
	struct smtpd_stage io = {
		.stage = q->stage,
		.session = &s->view,
		.chain = &s->chain,
		.txn = s->txn ? &s->txn->view : NULL,
		.rcpt = q->rcpt,
		.result = q->result,
		.session_state = &s->script_state,
		.verdict = go_on,
	};
	int r = script->ops->stage(script->script, &io);
	if (r == -ECANCELED || r == -ETIMEDOUT)
		return r;
	if (r < 0) {
		io.verdict.action = GATE_TEMPFAIL;
		io.verdict.reply = SMTP_REPLY(451, "4.3.5", "Server configuration problem");
	}
	s->accepted |= io.accept_session && q->stage != GATE_VRFY;
	if (s->txn)
		s->txn->accepted |= io.accept_message;
	*ret = io.verdict;
	return 0;
}

int smtpd_stage_gates(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *ret)
{
	struct chain_args args = { .txn = s->txn ? &s->txn->view : NULL, .rcpt = q->rcpt, .line = q->line };
	if (!smtpd_stage_gates_waived(s, q->stage))
		return chain_event(&s->chain, q->stage, &args, ret);
	*ret = go_on;
	if (q->stage != GATE_MESSAGE)
		return 0;
	/* Nobody is asked, but what was edited before there was a header takes effect now. */
	struct chain nobody;
	chain_init(&nobody, &s->view);
	int r = chain_event(&nobody, q->stage, &args, ret);
	chain_close(&nobody, false);
	return r;
}

void smtpd_stage_soften(struct smtpd_session *s, struct gate_verdict *v)
{
	struct smtp_reply refusal;
	if (!s->txn || !s->txn->view.defer_if_reject.code || !smtpd_stage_refuses(v, &refusal) || !smtp_reply_permanent(&refusal))
		return;
	v->action = GATE_TEMPFAIL;
	v->reply = s->txn->view.defer_if_reject;
}

/* The message, whoever says so. */
static void stage_discard(struct smtpd_session *s, const struct gate_verdict *v)
{
	if (s->txn && v->action == GATE_DISCARD)
		s->txn->view.discarded = true;
}

void smtpd_stage_settle(struct smtpd_session *s, enum gate_stage stage, struct gate_verdict *v)
{
	if (!s->txn)
		return;
	struct gate_txn *t = &s->txn->view;
	stage_discard(s, v);
	smtpd_stage_soften(s, v);
	bool settles = stage == GATE_RCPT || stage == GATE_VRFY || stage == GATE_DATA || stage == GATE_MESSAGE;
	if (settles && v->action <= GATE_ACCEPT && t->defer_if_permit.code && !t->discarded) {
		v->action = GATE_TEMPFAIL;
		v->reply = t->defer_if_permit;
	}
	/* The next recipient, after DATA was refused, has nothing to do with it. */
	if (stage == GATE_DATA || stage == GATE_MESSAGE)
		t->defer_if_permit.code = 0;
}

int smtpd_stage_ask(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *ret)
{
	smtpd_stage_begin(s, q->stage);
	int r = smtpd_stage_script(s, q, ret);
	if (r < 0)
		return r;
	smtpd_stage_settle(s, q->stage, ret);
	if (ret->action > GATE_ACCEPT)
		return 0;
	r = smtpd_stage_gates(s, q, ret);
	if (r == 0)
		stage_discard(s, ret);
	return r;
}

bool smtpd_stage_refuses(const struct gate_verdict *v, struct smtp_reply *ret)
{
	switch (v->action) {
	case GATE_REJECT:
		*ret = v->reply.code ? v->reply : SMTP_REPLY(550, "5.7.1", "Command rejected");
		return true;
	case GATE_TEMPFAIL:
		*ret = v->reply.code ? v->reply : SMTP_REPLY(451, "4.7.1", "Service unavailable - try again later");
		return true;
	case GATE_DISCONNECT:
		*ret = v->reply.code ? v->reply : SMTP_REPLY(421, "4.7.0", "Server closing connection");
		return true;
	case GATE_CONTINUE: case GATE_ACCEPT: case GATE_DISCARD:
		return false;
	}
	return false;
}

void smtpd_stage_log(const struct smtpd_session *s, const struct smtpd_question *q, const struct gate_verdict *v, const struct smtp_reply *r)
{
	struct log_line l;
	struct buf text = { 0 };
	log_begin(&l, LOG_LEVEL_INFO, "refuse");
	log_str(&l, "stage", gate_stage_name(q->stage));
	log_str(&l, "gate", v->gate);
	log_str(&l, "client", s->view.client_ip);
	log_str(&l, "helo", s->view.helo);
	if (s->txn)
		log_bytes(&l, "from", s->txn->view.sender.address.address);
	if (q->rcpt)
		log_bytes(&l, "to", q->rcpt->path.address.address);
	smtp_reply_line(r, &text);
	log_bytes(&l, "reply", buf_bytes(&text));
	log_end(&l);
	buf_fini(&text);
}
