/*
 * script_state.c: what a script remembers from stage to stage.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"

#include <stdio.h>

/* The values of one transaction end with it. */
static void turn_over(struct script_state *st, const struct gate_txn *txn)
{
	if (!txn || strncmp(st->txn_id, txn->id, sizeof st->txn_id - 1) == 0)
		return;
	snprintf(st->txn_id, sizeof st->txn_id, "%s", txn->id);
	st->accepted_message = false;
	for (unsigned i = 0; i < st->mail_slots; i++)
		buf_clear(&st->slots[st->session_slots + i]);
}

struct script_state *script_state_get(const struct script_run *s)
{
	struct script_state *st = *s->io->session_state;
	if (st)
		turn_over(st, s->io->txn);
	return st;
}

struct script_state *script_state_make(const struct script_run *s)
{
	struct script_state *st = *s->io->session_state;
	if (!st) {
		st = NEW(struct script_state);
		st->session_slots = s->script->session_slots;
		st->mail_slots = s->script->mail_slots;
		st->slots = mem_zalloc((st->session_slots + st->mail_slots + 1) * sizeof *st->slots);
		*s->io->session_state = st;
	}
	turn_over(st, s->io->txn);
	return st;
}

struct script_state *script_state_copy(const struct script_state *st)
{
	if (!st)
		return NULL;
	struct script_state *copy = NEW(struct script_state);
	unsigned n = st->session_slots + st->mail_slots;
	*copy = *st;
	copy->slots = mem_zalloc((n + 1) * sizeof *copy->slots);
	for (unsigned i = 0; i < n; i++)
		buf_add(&copy->slots[i], buf_bytes(&st->slots[i]));
	return copy;
}

void script_state_free(struct script_state *st)
{
	if (!st)
		return;
	for (unsigned i = 0; i < st->session_slots + st->mail_slots; i++)
		buf_fini(&st->slots[i]);
	mem_free(st->slots);
	mem_free(st);
}

bool script_waived(const struct script_run *s)
{
	const struct gate_rcpt *rcpt = s->io->rcpt;
	if (rcpt && rcpt->added)
		return true;
	const struct script_state *st = script_state_get(s);
	/* What was accepted is a message: EHLO in its midst is about those to come. */
	return st && (st->accepted_session || (s->io->txn && s->io->stage >= GATE_MAIL && st->accepted_message));
}
