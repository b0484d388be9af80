/*
 * smtpd_hold.c: a message that a gate or the script wants held: taken, with 250, and put into the hold area (queue/hold.h) with all that its
 * release needs: the session as gates see it, and where the script had decided it goes.
 */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"
#include "queue/hold.h"

#include <errno.h>

static void hold_targets(const struct gate_rcpt *from, struct arena *arena, struct held_rcpt *to)
{
	struct held_target **end = &to->targets;
	for (const struct delivery_target *t = from->targets; t; t = t->next) {
		struct held_target *kept = ARENA_NEW(arena, struct held_target);
		*kept = (struct held_target){ .address = t->address, .hop_count = t->hop_count, .queue = t->queue, .delivered = t->delivered_before };
		kept->hops = ARENA_ARRAY(arena, const char *, t->hop_count);
		for (unsigned i = 0; i < t->hop_count; i++)
			kept->hops[i] = t->hops[i]->name;
		*end = kept;
		end = &kept->next;
	}
}

static void hold_rcpts(const struct gate_txn *t, struct held *h)
{
	const struct gate_rcpt *rcpt;
	list_init(&h->rcpts);
	LIST_EACH(rcpt, &t->rcpts, struct gate_rcpt, link) {
		struct held_rcpt *kept = ARENA_NEW(t->arena, struct held_rcpt);
		kept->view = (struct gate_rcpt){ .path = rcpt->path, .class = rcpt->class, .added = rcpt->added };
		hold_targets(rcpt, t->arena, kept);
		list_append(&h->rcpts, &kept->link);
	}
}

static void hold_gates(const struct chain *c, struct arena *arena, struct held *h)
{
	const struct gate *g;
	for (unsigned i = 0; chain_gate(c, i); i++)
		h->gate_count++;
	h->gates = ARENA_ARRAY(arena, const char *, h->gate_count + 1);
	for (unsigned i = 0; (g = chain_gate(c, i)); i++)
		h->gates[i] = g->name;
}

/* Like a delivery: who never reads our 250 and sends it again finds it in the delivered journal. */
static void hold_taken(struct smtpd_txn *t, const struct smtp_reply *reply)
{
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &t->view.rcpts, struct gate_rcpt, link) {
		rcpt->result = *reply;
		for (struct delivery_target *to = rcpt->targets; to; to = to->next) {
			to->delivered = true;
			t->outcome.delivered++;
		}
	}
	t->outcome.reply = *reply;
	t->held = true;
}

static void hold_log(const struct smtpd_session *s, const struct held *h)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "held");
	log_str(&l, "id", h->id);
	log_str(&l, "reason", h->reason);
	log_str(&l, "gate", h->gate);
	log_str(&l, "client", s->view.client_ip);
	log_printf(&l, "from", "<%.*s>", BYTES_ARG(h->sender.address.address));
	log_int(&l, "size", (int64_t)h->size);
	log_end(&l);
}

/* Nothing of it is kept: the client keeps it. */
static struct smtp_reply hold_failed(const struct smtpd_session *s, const struct held *h, int r)
{
	log_error("hold", "id=%s: cannot be held in %s/hold: %s", h->id, s->config->spool, strerror(-r));
	return r == -ENOSPC || r == -EDQUOT ? SMTP_REPLY(452, "4.3.1", "Insufficient system storage") :
					      SMTP_REPLY(451, "4.3.0", "Error: queue file write error");
}

TASK_FN int smtpd_hold(struct smtpd_session *s, struct smtp_reply *ret)
{
	struct smtpd_txn *t = s->txn;
	struct delivery_params p = smtpd_txn_delivery(s, t);
	if (delivery_taken_before(&p, &t->outcome)) {
		*ret = t->outcome.reply;
		return 0;
	}
	struct held *h = ARENA_NEW(&t->arena, struct held);
	*h = (struct held){
		.id = t->view.id,
		.time = run_wall(),
		.reason = t->view.hold_reason,
		.gate = t->view.hold_gate,
		.session = s->view,
		.instance = t->view.instance,
		.chunking = t->view.chunking,
		.sender = t->view.sender,
	};
	h->session.arena = &t->arena;
	hold_rcpts(&t->view, h);
	hold_gates(&s->chain, &t->arena, h);
	int r = s->config->spool ? hold_put(s->config->spool, h, t->view.mail) : 0;
	if (r < 0) {
		*ret = hold_failed(s, h, r);
		return 0;
	}
	/* As Postfix: who sent it need not know that it waits for somebody to look at it. */
	*ret = SMTP_REPLY(250, "2.0.0", arena_printf(&t->arena, "Ok: queued as %s", h->id));
	hold_taken(t, ret);
	hold_log(s, h);
	return 0;
}
