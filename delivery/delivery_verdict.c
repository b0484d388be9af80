/*
 * delivery_verdict.c: what the client is told.
 *
 * One 250 must not hide that a recipient was refused while there is nobody to write a delivery status notification, and one 550 must not say of the
 * others what is not so.  When some are refused for good and others are not, and nobody has the message yet, all is rolled back and the client is asked to
 * come again: the journal makes the next RCPT of the refused ones a question to the next hop (delivery_doubtful), so that they are refused alone there, and the
 * message goes to the others.  Should that not be enough (a refusal that shows only after the content), the second time is the last: the refusal
 * is given for all.  Without a journal it is given at once.  Nothing is lost either way: the sender's server reports what was refused.
 */
#include "delivery/delivery_verdict.h"

void delivery_tally_add(struct delivery_tally *tally, const struct delivery_target *t)
{
	tally->targets++;
	if (t->delivered || t->delivered_before) {
		tally->delivered++;
		tally->delivered_now += t->delivered;
		if (!tally->first_delivered)
			tally->first_delivered = t;
		tally->several_words |= t->reply.text != tally->first_delivered->reply.text || !smtp_address_eq(&t->address, &t->rcpt->path.address);
	} else if (smtp_reply_permanent(&t->reply)) {
		tally->refused++;
		tally->refused_before |= t->refused_before;
		if (!tally->first_refused)
			tally->first_refused = t;
	} else if (smtp_reply_ok(&t->reply)) {
		tally->held++;
	} else {
		tally->deferred++;
		if (!tally->first_deferred)
			tally->first_deferred = t;
	}
}

/* The next hop's own words where it spoke once, as of all recipients of an SMTP transaction ("queued as 4F2A").  Not where an alias was followed: other
 * people's servers need not know where it leads. */
static struct smtp_reply verdict_delivered(const struct delivery_tally *tally)
{
	if (tally->delivered_now == tally->targets && !tally->several_words) {
		struct smtp_reply reply = tally->first_delivered->reply;
		reply.code = 250;
		return reply;
	}
	return SMTP_REPLY(250, "2.0.0", tally->delivered_now ? "Delivered" : "Delivered before");
}

/* The refusal of one recipient, given for all: it has to name whom it is about, if it does not already. */
static struct smtp_reply verdict_for_all(const struct delivery_target *refused, struct arena *arena)
{
	struct bytes address = refused->rcpt->path.address.address;
	struct smtp_reply reply = refused->reply;

	if (bytes_search(bytes_of(reply.text), address) < 0)
		reply.text = arena_printf(arena, "<%.*s>: %s", BYTES_ARG(address), reply.text);
	return reply;
}

static struct smtp_reply verdict_come_again(const struct delivery_target *refused, struct arena *arena)
{
	struct smtp_reply reply = verdict_for_all(refused, arena);

	reply.code = 451;
	if (reply.enhanced[0])
		reply.enhanced[0] = '4';
	return reply;
}

struct smtp_reply delivery_verdict(const struct delivery_tally *tally, bool remembers, struct arena *arena)
{
	if (tally->targets == 0)
		return SMTP_REPLY(250, "2.0.0", "Ok");
	if (tally->deferred) {
		const struct smtp_reply *reply = &tally->first_deferred->reply;
		return reply->code ? *reply : SMTP_REPLY(451, "4.4.7", "Not delivered in time");
	}
	if (tally->refused == 0)
		return tally->held ? SMTP_REPLY(451, "4.3.0", "Not delivered") : verdict_delivered(tally);
	/* Nobody else is concerned, or only those who have the message from before. */
	if (tally->held == 0 && tally->delivered_now == 0)
		return tally->first_refused->reply;
	if (remembers && !tally->refused_before)
		return verdict_come_again(tally->first_refused, arena);
	return verdict_for_all(tally->first_refused, arena);
}
