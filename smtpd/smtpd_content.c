/* smtpd_content.c: what DATA and BDAT have in common: the stage `data`, and where content goes. */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"

#include <errno.h>

int smtpd_content_begin(struct smtpd_session *s, struct smtp_reply *ret_refusal)
{
	struct smtpd_question q = { .stage = GATE_DATA };
	struct gate_verdict v;
	struct smtpd_txn *t = s->txn;
	ret_refusal->code = 0;
	/* Told 250, but the script dropped every one of them. */
	if (list_empty(&t->view.rcpts))
		t->view.discarded = true;
	int r = smtpd_stage_ask(s, &q, &v);
	if (r < 0)
		return r;
	if (smtpd_stage_refuses(&v, ret_refusal)) {
		smtpd_stage_log(s, &q, &v, ret_refusal);
		return 0;
	}
	struct mail_limits limits = {
		.header_max = s->config->header_max,
		.size_max = s->config->size_max ? s->config->size_max : UINT64_MAX,
		.memory_max = s->config->memory_max,
		.spool = s->config->spool,
	};
	t->view.mail = mail_new(&limits);
	t->feed_at = GATE_FEED_BYTES;
	return 0;
}

void smtpd_content_fail(struct smtpd_txn *t, unsigned code, const char *enhanced, const char *text)
{
	if (t->failed.code)
		return;
	t->failed = (struct smtp_reply){ .code = code, .text = text };
	strncpy(t->failed.enhanced, enhanced, sizeof t->failed.enhanced - 1);
}

/* The reply for a message that could not be taken; never a part of it. */
static void content_failed(struct smtpd_session *s, int r)
{
	struct smtpd_txn *t = s->txn;
	switch (r) {
	case -EMSGSIZE:
		smtpd_content_fail(t, 552, "5.3.4", "Error: message header too big");
		return;
	case -EFBIG:
		smtpd_content_fail(t, 552, "5.3.4", "Error: message file too big");
		return;
	case -ENOSPC: case -EDQUOT:
		log_error("spool", "%s: %s", s->config->spool, strerror(-r));
		smtpd_content_fail(t, 452, "4.3.1", "Insufficient system storage");
		return;
	default:
		log_error("spool", "%s: %s", s->config->spool, strerror(-r));
		smtpd_content_fail(t, 451, "4.3.0", "Error: queue file write error");
	}
}

void smtpd_content_add(struct smtpd_session *s, struct bytes piece)
{
	if (s->txn->failed.code || !piece.n)
		return;
	int r = mail_append(s->txn->view.mail, piece);
	if (r < 0)
		content_failed(s, r);
}

int smtpd_content_feed(struct smtpd_session *s)
{
	struct smtpd_txn *t = s->txn;
	if (t->failed.code || mail_body_size(t->view.mail) < t->feed_at)
		return 0;
	t->feed_at = UINT64_MAX;
	if (smtpd_stage_gates_waived(s, GATE_MESSAGE) || !chain_eats(&s->chain))
		return 0;
	smtpd_message_head(s);
	if (t->failed.code)
		return 0;
	int r = smtpd_session_flush(s);
	if (r == 0)
		r = chain_feed(&s->chain, &t->view);
	t->feed_at = mail_body_size(t->view.mail) + GATE_FEED_BYTES;
	return r;
}

void smtpd_content_end(struct smtpd_session *s)
{
	int r = s->txn->failed.code ? 0 : mail_end(s->txn->view.mail);
	if (r < 0)
		content_failed(s, r);
}
