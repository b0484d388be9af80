/* smtpd_txn.c: a transaction's beginning and end. */
#include "smtpd/smtpd_session.h"

void smtpd_txn_begin(struct smtpd_session *s)
{
	struct smtpd_txn *t = NEW(struct smtpd_txn);
	t->started = run_now();
	t->answers_end = &t->answers;
	t->view.arena = &t->arena;
	t->view.id = arena_printf(&t->arena, "%s.%x", s->id, ++s->transactions);
	t->view.instance = smtpd_session_instance(s, &t->arena);
	list_init(&t->view.rcpts);
	list_init(&t->view.early_edits);
	s->txn = t;
}

void smtpd_txn_accept_rcpt(struct smtpd_txn *t, struct gate_rcpt *rcpt)
{
	struct smtpd_answer *a = ARENA_NEW(&t->arena, struct smtpd_answer);
	a->rcpt = rcpt;
	*t->answers_end = a;
	t->answers_end = &a->next;
	t->answer_count++;
	if (rcpt->result.code)
		return;         /* the script dropped it: answered, and delivered nowhere */
	list_append(&t->view.rcpts, &rcpt->link);
	t->view.rcpt_count++;
}

struct delivery_params smtpd_txn_delivery(const struct smtpd_session *s, struct smtpd_txn *t)
{
	return (struct delivery_params){
		.txn = &t->view,
		.session = &s->view,
		.per_recipient = s->config->lmtp,
		.deadline = s->config->delivery_deadline,
	};
}

void smtpd_txn_free(struct smtpd_txn **t)
{
	if (!*t)
		return;
	mail_unref(&(*t)->view.mail);
	arena_fini(&(*t)->arena);
	mem_free(*t);
	*t = NULL;
}

void smtpd_txn_end(struct smtpd_session *s, bool committed)
{
	struct smtpd_txn *t = s->txn;
	chain_abort(&s->chain, &t->view, committed);
	s->txn = NULL;
	if (t->outcome.delivered)
		s->unread = t;
	else
		smtpd_txn_free(&t);
}
