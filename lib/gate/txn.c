/* txn.c: names of stages, completing a message, and the time spent in gates. */
#include "lib/gate/txn.h"

#include "lib/base/assert.h"
#include "lib/run/task.h"

static const char *const stage_names[GATE_STAGES] = {
	[GATE_CONNECT] = "connect",
	[GATE_EHLO] = "ehlo",
	[GATE_AUTH] = "auth",
	[GATE_MAIL] = "mail",
	[GATE_RCPT] = "rcpt",
	[GATE_DATA] = "data",
	[GATE_MESSAGE] = "message",
	[GATE_RESULT] = "result",
	[GATE_UNKNOWN] = "unknown",
	[GATE_VRFY] = "vrfy",
};

const char *gate_stage_name(enum gate_stage stage)
{
	ASSERT(stage < GATE_STAGES);
	return stage_names[stage];
}

int gate_txn_complete(struct gate_txn *txn, const struct gate_session *s)
{
	const struct mail_completion c = { s->hostname, txn->id, txn->sender.address.address, run_wall() };
	return mail_complete(txn->mail, &c);
}

struct gate_span *gate_span_get(struct gate_txn *txn, const char *name)
{
	struct gate_span **at = &txn->spans;
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	if (!*at) {
		*at = ARENA_NEW(txn->arena, struct gate_span);
		(*at)->name = name;
	}
	return *at;
}

void gate_span_add(struct gate_txn *txn, const char *name, int64_t ns)
{
	if (!txn)
		return;
	struct gate_span *span = gate_span_get(txn, name);
	span->calls++;
	span->ns += ns;
}

static void gate_txn_add_rcpt(struct gate_txn *txn, const struct smtp_path *path)
{
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link)
		if (smtp_address_eq(&rcpt->path.address, &path->address))
			return;
	rcpt = ARENA_NEW(txn->arena, struct gate_rcpt);
	rcpt->path = *path;
	rcpt->added = true;
	list_append(&txn->rcpts, &rcpt->link);
	txn->rcpt_count++;
}

void gate_txn_reroute(struct gate_txn *txn)
{
	/* As in Postfix, whose queue manager redirects: those that were added go, too. */
	if (!txn->redirect) {
		for (const struct gate_path *bcc = txn->bcc; bcc; bcc = bcc->next)
			gate_txn_add_rcpt(txn, &bcc->path);
		return;
	}
	list_init(&txn->rcpts);
	txn->rcpt_count = 0;
	gate_txn_add_rcpt(txn, txn->redirect);
}
