/*
 * smtpd_rcpt.c
 *
 *	"RCPT TO:" Forward-path [SP Rcpt-parameters] CRLF	(RFC 5321 section 4.1.1.3)
 */
#include "smtpd/smtpd_session.h"

enum { OVERSHOOT_MAX = 1000 };  /* recipients beyond the last one that are told so without being counted as errors */

/* Can the command be served at all?  False: the client was told. */
static bool rcpt_in_sequence(struct smtpd_session *s)
{
	if (!s->txn)
		smtpd_say(s, 503, "5.5.1", "Error: need MAIL command");
	else if (s->txn->view.chunking)
		/* RFC 3030 section 2: nothing but BDAT (and RSET) until LAST. */
		smtpd_say(s, 503, "5.5.1", "Error: RCPT after BDAT");
	else
		return true;
	return false;
}

static void rcpt_refuse(struct gate_rcpt *rcpt, unsigned code, const char *enhanced, const char *text)
{
	rcpt->refused = (struct smtp_reply){ .code = code, .text = text };
	strncpy(rcpt->refused.enhanced, enhanced, sizeof rcpt->refused.enhanced - 1);
}

/* What the protocol says of this recipient, before anybody is asked. */
static void rcpt_check(struct smtpd_session *s, struct bytes arg, struct gate_rcpt *rcpt)
{
	struct smtpd_txn *t = s->txn;
	struct smtp_path *p = &rcpt->path;
	if (smtp_path_parse(SMTP_RCPT, arg, false, &t->arena, p, &rcpt->refused) < 0) {
		/* Filters that hear of refusals see what was typed. */
		p->raw = arena_bytes(&t->arena, bytes_trim(bytes_skip(arg, (size_t)(bytes_find(arg, ':') + 1))));
		return;
	}
	/* RFC 5321 section 4.5.3.1.10: "452 too many recipients", the client sends the rest in another transaction. */
	if (t->answer_count >= s->config->rcpt_max)
		rcpt_refuse(rcpt, 452, "4.5.3", "Error: too many recipients");
	else if (p->address.utf8 && !t->view.sender.smtputf8)
		rcpt_refuse(rcpt, 553, "5.6.7", "Must declare SMTPUTF8 to send to a UTF-8 address");
}

/* Recipients of different classes may get different answers to one message, so each class has a transaction of its
 * own. */
static bool rcpt_class_differs(const struct smtpd_txn *t, const struct gate_rcpt *rcpt)
{
	const struct gate_rcpt *first = LIST_FIRST(&t->view.rcpts, struct gate_rcpt, link);
	return first && strcmp(first->class ? first->class : "", rcpt->class ? rcpt->class : "") != 0;
}

/* Next hops that are to be asked about a recipient now: because the script says so, or because they refused it lately
 * when it was too late to tell this client. */
TASK_FN static int rcpt_verify(struct smtpd_session *s, struct gate_rcpt *rcpt)
{
	struct gate_txn *t = &s->txn->view;
	for (struct delivery_target *d = rcpt->targets; d && !rcpt->refused.code; d = d->next) {
		struct smtp_reply reply = { 0 };
		if (!d->verify && !delivery_doubtful(d, t))
			continue;
		int r = delivery_verify(d, t, &s->view, &reply);
		if (r < 0)
			return r;
		if (reply.code >= 400)
			rcpt->refused = reply;
	}
	/* P15, as with reject_unverified_recipient. */
	if (smtp_reply_permanent(&rcpt->refused) && t->defer_if_reject.code)
		rcpt->refused = t->defer_if_reject;
	return 0;
}

/* The script says where mail for this recipient goes, or refuses it; a recipient without a destination is relayed for
 * nobody. */
TASK_FN static int rcpt_route(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *v)
{
	struct gate_rcpt *rcpt = q->rcpt;
	struct gate_txn *t = &s->txn->view;
	int r = smtpd_stage_script(s, q, v);
	if (r < 0)
		return r;
	smtpd_stage_soften(s, v);
	if (smtpd_stage_refuses(v, &rcpt->refused) || t->discarded)
		return 0;
	if (v->action == GATE_DISCARD) {
		/* This recipient is dropped, not the message: the others get theirs. */
		rcpt->targets = NULL;
		rcpt->result = SMTP_REPLY(250, "2.1.5", "Ok");
	} else if (!rcpt->targets) {
		rcpt_refuse(rcpt, 554, "5.7.1", arena_printf(t->arena, "%.*s: Relay access denied", BYTES_ARG(rcpt->path.raw)));
	} else if (rcpt_class_differs(s->txn, rcpt)) {
		rcpt->refused_by = GATE_REFUSED_BY_PROTOCOL;
		rcpt_refuse(rcpt, 452, "4.5.3", "Error: this recipient needs a transaction of its own");
	} else {
		return rcpt_verify(s, rcpt);
	}
	return 0;
}

TASK_FN int smtpd_rcpt_script(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *v)
{
	struct gate_rcpt *rcpt = q->rcpt;
	int r = rcpt_route(s, q, v);
	if (r < 0 || rcpt->refused.code || rcpt->result.code)
		return r;
	smtpd_stage_settle(s, q->stage, v);
	smtpd_stage_refuses(v, &rcpt->refused);
	return 0;
}

/* Everything that decides about one recipient; its refusal ends up in rcpt->refused. */
TASK_FN static int rcpt_decide(struct smtpd_session *s, const struct smtpd_question *q, struct gate_verdict *v)
{
	struct gate_rcpt *rcpt = q->rcpt;
	struct gate_txn *t = &s->txn->view;
	struct gate_verdict gates;
	int r = 0;
	smtpd_stage_begin(s, GATE_RCPT);
	rcpt->refused_by = rcpt->refused.code ? GATE_REFUSED_BY_PROTOCOL : GATE_REFUSED_BY_SCRIPT;
	if (!rcpt->refused.code && !t->discarded)
		r = smtpd_rcpt_script(s, q, v);
	if (r < 0 || t->discarded || rcpt->result.code)
		return r;
	/* Also of a refused recipient: filters may want to know. */
	if ((r = smtpd_stage_gates(s, q, &gates)) < 0 || rcpt->refused.code)
		return r;
	*v = gates;
	smtpd_stage_refuses(v, &rcpt->refused);
	return 0;
}

/* "Send the rest in another transaction" is no error of the client's: its pipelined list may go on for a while.  As Postfix
 * (smtpd_recipient_overshoot_limit), it is forgiven up to a limit. */
static void rcpt_forgive(struct smtpd_session *s, const struct gate_rcpt *rcpt)
{
	if (rcpt->refused.code == 452 && strcmp(rcpt->refused.enhanced, "4.5.3") == 0 && s->txn->overshoot++ < OVERSHOOT_MAX)
		s->errors--;
}

int smtpd_rcpt(struct smtpd_session *s, struct bytes arg)
{
	if (!rcpt_in_sequence(s))
		return 0;
	struct smtpd_txn *t = s->txn;
	struct gate_rcpt *rcpt = ARENA_NEW(&t->arena, struct gate_rcpt);
	struct smtpd_question q = { .stage = GATE_RCPT, .rcpt = rcpt };
	struct gate_verdict v = { .action = GATE_CONTINUE };
	struct smtp_reply inherited = t->view.defer_if_permit;
	struct smtp_address sender = t->view.sender.address;

	rcpt_check(s, arg, rcpt);
	t->view.rcpt_seen++;
	int r = rcpt_decide(s, &q, &v);
	t->view.defer_if_permit = inherited;
	if (r < 0)
		return r;
	if (rcpt->refused.code) {
		/* What the script made of the sender was for the sake of this recipient. */
		t->view.sender.address = sender;
		smtpd_stage_log(s, &q, &v, &rcpt->refused);
		smtpd_reply(s, &rcpt->refused);
		rcpt_forgive(s, rcpt);
		return 0;
	}
	smtpd_txn_accept_rcpt(t, rcpt);
	smtpd_say(s, 250, "2.1.5", "Ok");
	return 0;
}
