/*
 * delivery.c: prepare, then commit, then say what became of it.
 */
#include "delivery/delivery.h"

#include "delivery/delivery_leg.h"
#include "delivery/delivery_verdict.h"
#include "delivery/journal.h"
#include "delivery/smtp_hop.h"
#include "lib/base/log.h"

#include <errno.h>
#include <signal.h>

enum { DELIVERY_WINDOW = 24 * 60 * 60 };        /* seconds: a retry that comes later has waited through a day of others */
#define DELIVERY_DEADLINE SECONDS(240)          /* the client waits 600 s: RFC 5321 4.5.3.2.6 */

/* This process's part of the delivered journal; NULL: none. */
static struct journal *delivery_journal;

int delivery_init(const struct delivery_settings *settings, struct buf *err)
{
	int64_t window = settings->journal_window ? settings->journal_window / SECONDS(1) : DELIVERY_WINDOW;

	/* A limit on file sizes is an error for one message (452), not the end of the process. */
	signal(SIGXFSZ, SIG_IGN);
	return settings->journal_folder ? journal_open(settings->journal_folder, window, &delivery_journal, err) : 0;
}

void delivery_fini(void)
{
	smtp_hop_close_all();
	journal_close(&delivery_journal);
}

#define EACH_TARGET(rcpt, target) for (struct delivery_target *target = (rcpt)->targets; target; target = target->next)

/* ---- the journal ---- */

/* As the client names it, at each try and from MAIL on.  What scripts and gates make of it (SRS) may be another each day, and is not known at RCPT.
 * Without the route before it and blanks, which count for nothing, and could be longer than a line of the journal. */
static struct bytes delivery_sender(const struct gate_txn *txn)
{
	struct bytes raw = txn->sender.raw;

	if (raw.n < 2)
		return txn->sender.address.address;
	raw = bytes_trim(bytes_skip(bytes_first(raw, raw.n - 1), 1));
	if (bytes_starts(raw, BYTES("@")))
		bytes_cut(&raw, ':');
	return raw;
}

/* A target is known by the first of its next hops: which one of them takes it in the end may differ from try to try. */
static struct journal_key delivery_key(const struct gate_txn *txn, const struct delivery_target *t)
{
	return (struct journal_key){ bytes_of(t->hops[0]->name), delivery_sender(txn), t->address.address };
}

struct delivery_digest {
	const struct mail *mail;
	unsigned char sha[32];
};

static int delivery_digest_work(void *arg)
{
	struct delivery_digest *d = arg;

	return mail_digest(d->mail, d->sha);
}

/* A message may be large, so the loop does not wait for it. */
TASK_FN static int delivery_digest(const struct gate_txn *txn, struct delivery_digest *ret)
{
	ret->mail = txn->mail;
	return task_offload(delivery_digest_work, ret);
}

TASK_FN static void delivery_recall_target(const struct gate_txn *txn, struct delivery_target *t)
{
	struct delivery_digest digest;
	struct journal_key key = delivery_key(txn, t);

	/* A message that cannot be read cannot be delivered either: whoever tries will say so. */
	if (!journal_knows(delivery_journal, &key) || delivery_digest(txn, &digest) < 0)
		return;
	enum journal_state state = journal_find(delivery_journal, &key, digest.sha);
	t->delivered_before = state == JOURNAL_DELIVERED;
	t->refused_before = state == JOURNAL_REFUSED;
	if (state == JOURNAL_UNCERTAIN)
		log_notice("deliver-again", "%.*s may have this message from an earlier try", BYTES_ARG(t->address.address));
}

TASK_FN static void delivery_recall(const struct gate_txn *txn)
{
	struct gate_rcpt *rcpt;

	if (!delivery_journal || !journal_any(delivery_journal))
		return;
	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link)
		EACH_TARGET(rcpt, t)
			delivery_recall_target(txn, t);
}

/* Will the client try again, as far as we know? */
enum delivery_again {
	DELIVERY_ANSWERED,      /* for recipients that were answered 4xx */
	DELIVERY_UNANSWERED,    /* for all: it has no answer */
};

static enum journal_state delivery_note(const struct delivery_target *t, bool again, bool unanswered)
{
	if (!again)
		return t->delivered_before ? JOURNAL_SETTLED : JOURNAL_NONE;
	/* What the journal knew already it still knows, unless it was settled with an answer that got lost. */
	if (t->delivered || (t->delivered_before && unanswered))
		return JOURNAL_DELIVERED;
	if (t->uncertain)
		return JOURNAL_UNCERTAIN;
	return smtp_reply_permanent(&t->reply) ? JOURNAL_REFUSED : JOURNAL_NONE;
}

static unsigned delivery_collect_notes(const struct gate_txn *txn, enum delivery_again again, struct journal_note *notes)
{
	bool unanswered = again == DELIVERY_UNANSWERED;
	struct gate_rcpt *rcpt;
	unsigned n = 0;

	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link) {
		EACH_TARGET(rcpt, t) {
			enum journal_state state = delivery_note(t, unanswered || smtp_reply_temporary(&rcpt->result), unanswered);
			if (state != JOURNAL_NONE)
				notes[n++] = (struct journal_note){ .key = delivery_key(txn, t), .state = state };
		}
	}
	return n;
}

static unsigned delivery_count_targets(const struct gate_txn *txn)
{
	struct gate_rcpt *rcpt;
	unsigned n = 0;

	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link)
		EACH_TARGET(rcpt, t)
			n++;
	return n;
}

TASK_FN static void delivery_remember(const struct gate_txn *txn, enum delivery_again again)
{
	struct delivery_digest digest;
	int r;

	if (!delivery_journal)
		return;
	struct journal_note *notes = ARENA_ARRAY(txn->arena, struct journal_note, delivery_count_targets(txn));
	unsigned n = delivery_collect_notes(txn, again, notes);
	if (n == 0)
		return;
	r = delivery_digest(txn, &digest);
	if (r == 0)
		r = journal_add(delivery_journal, digest.sha, notes, n);
	if (r < 0)
		log_error("journal", "cannot note what was delivered, a retry may be delivered twice: %s", strerror(-r));
}

/* ---- the log ---- */

static const char *delivery_status(const struct delivery_target *t)
{
	if (t->delivered_before)
		return "delivered-before";
	if (t->delivered)
		return "delivered";
	if (t->uncertain)
		return "uncertain";
	if (smtp_reply_permanent(&t->reply))
		return "refused";
	return smtp_reply_ok(&t->reply) ? "rolled-back" : "deferred";
}

static void delivery_log_target(const struct delivery_target *t)
{
	struct buf reply = { 0 };
	struct log_line l;

	log_begin(&l, t->uncertain ? LOG_LEVEL_WARNING : t->delivered ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "deliver");
	if (l.wanted) {
		smtp_reply_line(&t->reply, &reply);
		log_bytes(&l, "to", t->address.address);
		log_str(&l, "hop", t->hops[0]->name);
		log_str(&l, "status", delivery_status(t));
		log_bytes(&l, "reply", buf_bytes(&reply));
	}
	log_end(&l);
	buf_fini(&reply);
}

/* ---- the outcome ---- */

/* A recipient's own result; where it is not its own fault that it did not get the message, the transaction's. */
static void delivery_set_result(struct gate_rcpt *rcpt, const struct smtp_reply *all, struct arena *arena)
{
	struct delivery_tally tally = { 0 };

	EACH_TARGET(rcpt, t)
		delivery_tally_add(&tally, t);
	rcpt->result = delivery_verdict(&tally, delivery_journal != NULL, arena);
	if (all && !smtp_reply_ok(all) && (tally.held || smtp_reply_ok(&rcpt->result) || smtp_reply_temporary(all)))
		rcpt->result = *all;
}

static void delivery_conclude(const struct delivery_params *p, struct delivery_outcome *ret)
{
	struct delivery_tally tally = { 0 };
	struct gate_rcpt *rcpt;

	LIST_EACH(rcpt, &p->txn->rcpts, struct gate_rcpt, link) {
		EACH_TARGET(rcpt, t) {
			delivery_tally_add(&tally, t);
			delivery_log_target(t);
		}
	}
	struct smtp_reply all = delivery_verdict(&tally, delivery_journal != NULL, p->txn->arena);
	LIST_EACH(rcpt, &p->txn->rcpts, struct gate_rcpt, link)
		delivery_set_result(rcpt, p->per_recipient ? NULL : &all, p->txn->arena);
	*ret = (struct delivery_outcome){
		.reply = all,
		.delivered = tally.delivered,
		.refused = tally.refused,
		.deferred = tally.deferred + tally.held,
		.uncertain = tally.delivered_now && !smtp_reply_ok(&all),
	};
}

/* Is it the best for everybody to go on to the final dots? */
static bool delivery_all_prepared(const struct delivery_legs *legs)
{
	for (const struct delivery_leg *leg = legs->first; leg; leg = leg->next)
		for (const struct delivery_target *t = leg->group.targets; t; t = t->group_next)
			if (!smtp_reply_ok(&t->reply))
				return false;
	return true;
}

TASK_FN static int delivery_attempt(const struct delivery_params *p, struct delivery_legs *legs)
{
	struct deadline d;
	int r;

	deadline_begin(&d, p->deadline ? p->deadline : DELIVERY_DEADLINE);
	r = delivery_legs_prepare(legs);
	if (r == 0 && !p->per_recipient && delivery_all_prepared(legs))
		r = delivery_legs_commit(legs);
	/* Our own time is over, not the session's: the targets have their replies. */
	if (r == -ETIMEDOUT && deadline_passed(&d))
		r = 0;
	deadline_end(&d);
	delivery_legs_rollback(legs);
	return r;
}

TASK_FN int delivery_run(const struct delivery_params *p, struct delivery_outcome *ret)
{
	struct delivery_legs legs;
	int r = 0;

	delivery_recall(p->txn);
	delivery_legs_collect(p, &legs);
	if (legs.count)
		r = delivery_attempt(p, &legs);
	delivery_legs_share(p);
	delivery_conclude(p, ret);
	delivery_remember(p->txn, r < 0 ? DELIVERY_UNANSWERED : DELIVERY_ANSWERED);
	return r;
}

TASK_FN bool delivery_taken_before(const struct delivery_params *p, struct delivery_outcome *ret)
{
	struct gate_rcpt *rcpt;

	delivery_recall(p->txn);
	LIST_EACH(rcpt, &p->txn->rcpts, struct gate_rcpt, link)
		EACH_TARGET(rcpt, t)
			if (!t->delivered_before)
				return false;
	delivery_conclude(p, ret);
	delivery_remember(p->txn, DELIVERY_ANSWERED);
	return true;
}

TASK_FN void delivery_unanswered(const struct delivery_params *p, const struct delivery_outcome *o)
{
	/* After 4xx the journal has it already; after 5xx there is nothing to be had. */
	if (o->delivered && smtp_reply_ok(&o->reply))
		delivery_remember(p->txn, DELIVERY_UNANSWERED);
}

/* ---- at RCPT ---- */

TASK_FN int delivery_verify(const struct delivery_target *t, const struct gate_txn *txn, const struct gate_session *session, struct smtp_reply *ret)
{
	*ret = SMTP_REPLY(250, "2.1.5", "Ok");
	for (unsigned i = 0; i < t->hop_count; i++) {
		const struct next_hop *hop = t->hops[i];
		if (!hop->ops->verify)
			return 0;
		int r = hop->ops->verify(hop, txn, session, &t->address, ret);
		if (r < 0 || !smtp_reply_temporary(ret))
			return r;
	}
	return 0;
}

bool delivery_doubtful(const struct delivery_target *t, const struct gate_txn *txn)
{
	if (!delivery_journal || !t->hop_count || !journal_any(delivery_journal))
		return false;
	struct journal_key key = delivery_key(txn, t);
	return journal_refused(delivery_journal, &key);
}
