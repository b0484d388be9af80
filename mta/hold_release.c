/*
 * hold_release.c: from the envelope of a held message to its next hops.
 *
 * Recipients that go to the same next hops are delivered to together, one such group after the other: when a group has it, that is noted before the next one is tried.  Each recipient
 * has a verdict of its own: nobody waits for an answer that is good for all.
 */
#include "mta/hold_release.h"

#include "delivery/delivery.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/filter_hop.h"
#include "mta/script.h"

#include <errno.h>
#include <sysexits.h>

enum { MEMORY_MAX = 128 * 1024 };

/* One destination that has not got it. */
struct release_target {
	struct gate_rcpt *rcpt;         /* in txn.rcpts */
	struct delivery_target *target;
	struct held_target *held;
	bool tried;
	struct release_target *next;
};
struct release {
	const struct config *config;
	struct hold_entry *entry;
	struct gate_txn txn;
	struct release_target *targets, **targets_end;
	unsigned delivered;
	int code;
	struct buf *out, *err;
};

static void release_fail(struct release *r, int code)
{
	if (r->code == EX_OK)
		r->code = code;
}

#define release_say(r, ...) (buf_printf((r)->err, "%s: ", (r)->entry->id), buf_printf((r)->err, __VA_ARGS__), buf_add_char((r)->err, '\n'))

/* ---- what the envelope names ---- */

static void release_add(struct release *r, struct gate_rcpt *rcpt, struct delivery_target *t, struct held_target *held)
{
	struct release_target *to = ARENA_NEW(&r->entry->arena, struct release_target);
	*to = (struct release_target){ .rcpt = rcpt, .target = t, .held = held };
	*r->targets_end = to;
	r->targets_end = &to->next;
}

static struct delivery_target *release_resolve(struct release *r, const struct held_target *held, struct gate_rcpt *rcpt)
{
	struct arena *arena = &r->entry->arena;
	const struct next_hop **hops = ARENA_ARRAY(arena, const struct next_hop *, held->hop_count);
	for (unsigned i = 0; i < held->hop_count; i++) {
		struct buf why = { 0 };
		hops[i] = filter_hop_find(r->config, bytes_of(held->hops[i]), &why);
		buf_fini(&why);
		if (hops[i])
			continue;
		release_say(r, "<%.*s> goes to next hop %s, which %s does not define", BYTES_ARG(held->address.address), held->hops[i], r->config->file);
		release_fail(r, EX_CONFIG);
		return NULL;
	}
	struct delivery_target *t = ARENA_NEW(arena, struct delivery_target);
	*t = (struct delivery_target){ .address = held->address, .hops = hops, .hop_count = held->hop_count, .queue = held->queue, .rcpt = rcpt };
	return t;
}

static int release_rcpt(struct release *r, struct held_rcpt *from)
{
	struct gate_rcpt *rcpt = &from->view;
	struct delivery_target **end = &rcpt->targets;
	if (held_rcpt_done(from))
		return 0;
	for (struct held_target *held = from->targets; held; held = held->next) {
		if (held->delivered)
			continue;
		struct delivery_target *t = release_resolve(r, held, rcpt);
		if (!t)
			return -ENOENT;
		*end = t;
		end = &t->next;
		release_add(r, rcpt, t, held);
	}
	list_append(&r->txn.rcpts, &rcpt->link);
	r->txn.rcpt_count++;
	r->txn.rcpt_seen++;
	return 0;
}

/* The transaction as it was. */
static int release_begin(struct release *r)
{
	struct held *h = &r->entry->held;
	struct held_rcpt *rcpt;
	const struct mail_limits limits = { .memory_max = MEMORY_MAX, .spool = r->config->spool };
	r->txn = (struct gate_txn){
		.id = h->id, .instance = h->instance, .sender = h->sender, .sender_accepted = true, .chunking = h->chunking, .arena = &r->entry->arena,
	};
	r->targets_end = &r->targets;
	list_init(&r->txn.rcpts);
	list_init(&r->txn.early_edits);
	LIST_EACH(rcpt, &h->rcpts, struct held_rcpt, link)
		if (release_rcpt(r, rcpt) < 0)
			return -ENOENT;
	int status = hold_mail(r->entry, &limits, &r->txn.mail);
	if (status < 0) {
		release_say(r, "cannot be read: %s", strerror(-status));
		release_fail(r, EX_IOERR);
	}
	return status;
}

/* ---- the gates once more ---- */

static int release_attach(struct release *r, struct chain *chain)
{
	const struct held *h = &r->entry->held;
	for (unsigned i = 0; i < h->gate_count; i++) {
		const struct gate *g = config_gate(r->config, bytes_of(h->gates[i]));
		if (!g) {
			release_say(r, "its gate %s is not defined in %s", h->gates[i], r->config->file);
			release_fail(r, EX_CONFIG);
			return -ENOENT;
		}
		chain_attach(chain, g);
	}
	return 0;
}

static void release_refused(struct release *r, const struct gate_verdict *v)
{
	struct buf reply = { 0 };
	smtp_reply_line(&v->reply, &reply);
	release_say(r, "stays held: gate %s answers %.*s", v->gate, BYTES_ARG(buf_bytes(&reply)));
	release_fail(r, v->action == GATE_REJECT ? EX_UNAVAILABLE : EX_TEMPFAIL);
	buf_fini(&reply);
}

/* May it go, by what they say?  Who releases a message does not mean to lose it, so that a gate would discard it is only told. */
static bool release_allowed(struct release *r, const struct gate_verdict *v)
{
	if (v->action == GATE_REJECT || v->action == GATE_TEMPFAIL || v->action == GATE_DISCONNECT) {
		release_refused(r, v);
		return false;
	}
	if (!r->txn.held && v->action != GATE_DISCARD && !r->txn.discarded && !list_empty(&r->txn.rcpts))
		return true;
	if (r->txn.held)
		release_say(r, "stays held: gate %s wants it held again: %s", r->txn.hold_gate ? r->txn.hold_gate : "",
		    r->txn.hold_reason ? r->txn.hold_reason : "no reason told");
	else
		release_say(r, "stays held: gate %s would discard it", v->gate ? v->gate : "");
	release_fail(r, EX_UNAVAILABLE);
	return false;
}

static const struct config_listener *release_listener(const struct release *r)
{
	const char *name = r->entry->held.session.listener;
	for (unsigned i = 0; i < r->config->listener_count; i++)
		if (strcmp(r->config->listeners[i].name, name) == 0)
			return &r->config->listeners[i];
	return NULL;
}

/* Was this sent to it already, when the message was released for some? */
static const struct held_target *release_find_done(const struct release *r, const struct delivery_target *t)
{
	const struct held_rcpt *rcpt;
	LIST_EACH(rcpt, &r->entry->held.rcpts, struct held_rcpt, link)
		for (const struct held_target *held = rcpt->targets; held; held = held->next)
			if (held->delivered && smtp_address_eq(&held->address, &t->address) && strcmp(held->hops[0], t->hops[0]->name) == 0)
				return held;
	return NULL;
}

/* A recipient that a gate has added goes into the envelope as well: what is delivered to it is not delivered again. */
static void release_keep_added(struct release *r, struct gate_rcpt *rcpt)
{
	struct arena *arena = &r->entry->arena;
	struct held_rcpt *kept = ARENA_NEW(arena, struct held_rcpt);
	struct held_target **end = &kept->targets;
	kept->view = (struct gate_rcpt){ .path = rcpt->path, .class = rcpt->class, .added = true };
	for (struct delivery_target *t = rcpt->targets; t; t = t->next) {
		if (release_find_done(r, t))
			continue;
		struct held_target *held = ARENA_NEW(arena, struct held_target);
		*held = (struct held_target){ .address = t->address, .hop_count = t->hop_count, .queue = t->queue };
		held->hops = ARENA_ARRAY(arena, const char *, t->hop_count);
		for (unsigned i = 0; i < t->hop_count; i++)
			held->hops[i] = t->hops[i]->name;
		*end = held;
		end = &held->next;
		release_add(r, rcpt, t, held);
	}
	if (kept->targets)
		list_append(&r->entry->held.rcpts, &kept->link);
}

TASK_FN static int release_route(struct release *r, struct chain *chain, struct gate_rcpt *rcpt)
{
	const struct config_listener *l = release_listener(r);
	void *state = NULL;
	struct smtpd_stage io = {
		.stage = GATE_RCPT, .session = &r->entry->held.session, .chain = chain, .txn = &r->txn, .rcpt = rcpt, .session_state = &state,
	};
	int status = l ? script_ops.stage(l->script, &io) : -ENOENT;
	if (state)
		script_ops.session_end(l->script, state);
	if (status == 0 && rcpt->targets && io.verdict.action <= GATE_ACCEPT) {
		release_keep_added(r, rcpt);
		return 0;
	}
	release_say(r, "stays held: a gate adds <%.*s>, and the script of listener %s delivers it nowhere", BYTES_ARG(rcpt->path.address.address),
	    r->entry->held.session.listener);
	release_fail(r, EX_CONFIG);
	return status < 0 ? status : -EACCES;
}

/* Who was added is routed; who was taken away is out of the envelope for good. */
TASK_FN static int release_settle_rcpts(struct release *r, struct chain *chain)
{
	struct held_rcpt *held;
	struct gate_rcpt *rcpt;
	LIST_EACH(held, &r->entry->held.rcpts, struct held_rcpt, link)
		if (!held_rcpt_done(held) && !list_linked(&held->view.link))
			list_remove(&held->link);
	for (struct release_target *t = r->targets; t; t = t->next)
		t->tried |= !list_linked(&t->rcpt->link);
	LIST_EACH(rcpt, &r->txn.rcpts, struct gate_rcpt, link)
		if (!rcpt->targets && release_route(r, chain, rcpt) < 0)
			return -EACCES;
	return 0;
}

TASK_FN static int release_ask(struct release *r, struct chain *chain)
{
	struct chain_args args = { .txn = &r->txn };
	struct gate_verdict v;
	int status = chain_event(chain, GATE_MESSAGE, &args, &v);
	if (status < 0) {
		release_say(r, "stays held: the gates could not be asked: %s", strerror(-status));
		release_fail(r, EX_TEMPFAIL);
		return status;
	}
	return release_allowed(r, &v) ? release_settle_rcpts(r, chain) : -EACCES;
}

/* ---- delivery ---- */

static bool release_same_hops(const struct delivery_target *a, const struct delivery_target *b)
{
	return a->hop_count == b->hop_count && memcmp(a->hops, b->hops, a->hop_count * sizeof *a->hops) == 0;
}

/* A transaction of those that go where FIRST goes. */
static void release_group(struct release *r, const struct release_target *first, struct gate_txn *ret)
{
	struct gate_rcpt *last = NULL, *of = NULL;
	struct delivery_target **end = NULL;
	*ret = r->txn;
	list_init(&ret->rcpts);
	ret->rcpt_count = 0;
	for (struct release_target *t = r->targets; t; t = t->next) {
		if (t->tried || !release_same_hops(t->target, first->target))
			continue;
		if (t->rcpt != of) {
			of = t->rcpt;
			last = ARENA_NEW(r->txn.arena, struct gate_rcpt);
			*last = (struct gate_rcpt){ .path = of->path, .added = of->added, .class = of->class };
			list_append(&ret->rcpts, &last->link);
			ret->rcpt_count++;
			end = &last->targets;
		}
		t->target->next = NULL;
		t->target->rcpt = last;
		*end = t->target;
		end = &t->target->next;
	}
}

static void release_report(struct release *r, struct release_target *t)
{
	const struct delivery_target *to = t->target;
	struct buf reply = { 0 };
	struct log_line l;
	smtp_reply_line(&to->reply, &reply);
	t->held->delivered = to->delivered || to->delivered_before;
	buf_printf(r->out, "%s: <%.*s> %s %s: %.*s\n", r->entry->id, BYTES_ARG(to->address.address),
	    t->held->delivered ? "delivered to" : to->uncertain ? "stays held, and may have been taken by" : "stays held:", to->hops[0]->name,
	    BYTES_ARG(to->delivered_before ? BYTES("has it already") : buf_bytes(&reply)));
	if (t->held->delivered)
		r->delivered++;
	else
		release_fail(r, smtp_reply_permanent(&to->reply) ? EX_UNAVAILABLE : EX_TEMPFAIL);
	log_begin(&l, LOG_LEVEL_INFO, t->held->delivered ? "released" : "release-failed");
	log_str(&l, "id", r->entry->id);
	log_bytes(&l, "to", to->address.address);
	log_str(&l, "hop", to->hops[0]->name);
	log_bytes(&l, "reply", buf_bytes(&reply));
	log_end(&l);
	buf_fini(&reply);
}

static bool release_done(const struct release *r)
{
	const struct held_rcpt *rcpt;
	LIST_EACH(rcpt, &r->entry->held.rcpts, struct held_rcpt, link)
		if (!held_rcpt_done(rcpt))
			return false;
	return true;
}

/* On the disk before anybody else is tried. */
static int release_note(struct release *r)
{
	int status = release_done(r) ? hold_remove(r->entry) : hold_save(r->entry);
	if (status < 0) {
		release_say(r, "what was delivered cannot be noted, so another release would deliver it again: %s", strerror(-status));
		release_fail(r, EX_IOERR);
	}
	return status;
}

TASK_FN static int release_deliver(struct release *r, const struct release_target *first)
{
	struct gate_txn group;
	struct delivery_outcome outcome;
	struct delivery_params p = { .txn = &group, .session = &r->entry->held.session, .per_recipient = true };
	unsigned before = r->delivered;
	release_group(r, first, &group);
	int status = delivery_run(&p, &outcome);
	for (struct release_target *t = r->targets; t; t = t->next) {
		if (t->tried || !release_same_hops(t->target, first->target))
			continue;
		t->tried = true;
		release_report(r, t);
	}
	if (r->delivered > before && release_note(r) < 0)
		return -EIO;
	return status;
}

/* What cannot be noted is not begun: on a full disk each attempt would deliver to the same recipients again. */
static int release_check_note(struct release *r)
{
	int status = hold_can_save(r->entry);
	if (status < 0) {
		release_say(r, "stays held: what is delivered could not be noted: %s", strerror(-status));
		release_fail(r, EX_IOERR);
	}
	return status;
}

TASK_FN static int release_deliver_all(struct release *r)
{
	/* The last one need not be noted: its message is gone then, which takes no room. */
	int status = r->targets && r->targets->next ? release_check_note(r) : 0;
	for (struct release_target *t = r->targets; t && status == 0; t = t->next)
		if (!t->tried)
			status = release_deliver(r, t);
	/* The gates may have taken the last ones away. */
	return status == 0 && !r->delivered && release_done(r) ? release_note(r) : status;
}

TASK_FN static int release_run(struct release *r, bool gates)
{
	struct chain chain;
	int status = 0;
	chain_init(&chain, &r->entry->held.session);
	if (gates)
		status = release_attach(r, &chain);
	if (gates && status == 0)
		status = release_ask(r, &chain);
	if (status == 0)
		status = release_deliver_all(r);
	chain_abort(&chain, &r->txn, r->delivered > 0);
	chain_close(&chain, true);
	return status;
}

int hold_release(const struct config *c, struct hold_entry *e, bool gates, struct buf *out, struct buf *err)
{
	struct release r = { .config = c, .entry = e, .out = out, .err = err };
	int status = release_begin(&r);
	if (status == 0)
		status = release_run(&r, gates);
	if (status < 0)
		release_fail(&r, EX_TEMPFAIL);
	mail_unref(&r.txn.mail);
	return r.code;
}
