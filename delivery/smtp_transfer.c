/*
 * smtp_transfer.c: MAIL, RCPT, DATA or BDAT, the content and its end.
 *
 * A target is pending while it has no reply, accepted while its reply is the 2xx to RCPT, delivered when the end was answered with 2xx for it.
 * Steps return 0 to go on, 1 when no target is left to go on for, or -errno.
 */
#include "delivery/smtp_transfer.h"

#include "delivery/smtp_content.h"
#include "delivery/smtp_envelope.h"

#include <errno.h>

enum { TRANSFER_ONE_WRITE = 64 * 1024 };        /* what is sent whole before the recipients are known to be good */
#define TRANSFER_RSET_TIME SECONDS(5)

#define TRANSFER_EACH(target, t) for (struct delivery_target *target = (t)->group->targets; target; target = target->group_next)

static bool transfer_pending(const struct delivery_target *target)
{
	return target->reply.code == 0;
}

static bool transfer_accepted(const struct delivery_target *target)
{
	return smtp_reply_ok(&target->reply) && !target->delivered;
}

static bool transfer_any_pending(const struct smtp_transfer *t)
{
	TRANSFER_EACH(target, t)
		if (transfer_pending(target))
			return true;
	return false;
}

/* One answer for all that are not settled yet. */
static void transfer_settle(struct smtp_transfer *t, struct smtp_reply reply, bool uncertain)
{
	smtp_client_soften(&reply);
	TRANSFER_EACH(target, t) {
		if (!transfer_pending(target) && !transfer_accepted(target))
			continue;
		target->reply = reply;
		target->uncertain = uncertain;
	}
	t->accepted = 0;
}

/* The connection is no good any more.  Nothing is lost when a kept one turns out to be dead before it took anything: another is tried. */
static int transfer_fail(struct smtp_transfer *t, int error)
{
	t->client->broken = true;
	if (t->kept && !t->answered && !t->sent_all && smtp_client_lost(error)) {
		t->stale = true;
		return 0;
	}
	transfer_settle(t, smtp_client_fault(t->client->config->hop, error, t->step, t->group->txn->arena), t->sent_all);
	return error == -ECANCELED || error == -ETIMEDOUT ? error : 0;
}

/* ---- replies ---- */

TASK_FN static int transfer_answer(struct smtp_transfer *t, const char *step, int64_t timeout, struct smtp_reply *ret)
{
	int r;

	t->step = step;
	r = smtp_client_reply(t->client, timeout, t->group->txn->arena, ret);
	if (r < 0)
		return r;
	if (ret->code == 421) {
		/* RFC 5321 3.8: it goes away, and has not taken the message, not even after its end. */
		if (t->kept && !t->answered)
			t->stale = true;
		else
			transfer_settle(t, *ret, false);
		return 1;
	}
	t->answered = true;
	return 0;
}

static bool transfer_intermediate(const struct smtp_reply *reply)
{
	return reply->code >= 300 && reply->code < 400;
}

TASK_FN static int transfer_read_mail(struct smtp_transfer *t)
{
	struct smtp_reply reply;
	int r = transfer_answer(t, "MAIL", t->group->hop->command_timeout, &reply);

	if (r)
		return r;
	if (transfer_intermediate(&reply))
		return -EPROTO;
	if (!smtp_reply_ok(&reply))
		transfer_settle(t, reply, false);
	return 0;
}

TASK_FN static int transfer_read_rcpt(struct smtp_transfer *t, struct delivery_target *target)
{
	struct smtp_reply reply;
	int r = transfer_answer(t, "RCPT", t->group->hop->command_timeout, &reply);

	if (r)
		return r;
	if (transfer_intermediate(&reply))
		return -EPROTO;
	target->reply = reply;
	t->accepted += smtp_reply_ok(&reply);
	return 0;
}

/* SENT: how many RCPT are to be answered. */
TASK_FN static int transfer_read_envelope(struct smtp_transfer *t, unsigned sent)
{
	struct smtp_reply ignored;
	int r = transfer_read_mail(t);

	/* After a refused MAIL every RCPT is refused too, but answered. */
	if (r == 0 && !transfer_any_pending(t)) {
		while (r == 0 && sent--)
			r = transfer_answer(t, "RCPT", t->group->hop->command_timeout, &ignored);
		return r;
	}
	TRANSFER_EACH(target, t)
		if (r == 0 && transfer_pending(target))
			r = transfer_read_rcpt(t, target);
	return r;
}

TASK_FN static int transfer_read_data(struct smtp_transfer *t)
{
	struct smtp_reply reply;
	int r = transfer_answer(t, "DATA", t->group->hop->command_timeout, &reply);

	if (r)
		return r;
	if (smtp_reply_ok(&reply))
		return -EPROTO;
	if (transfer_intermediate(&reply)) {
		t->in_data = true;
		return t->accepted == 0;
	}
	/* RFC 2033 4.2, RFC 2920 3.1: no recipient, no DATA; each has its own reply already. */
	if (t->accepted)
		transfer_settle(t, reply, false);
	return 1;
}

/* The reply to a BDAT that is not the last. */
TASK_FN static int transfer_read_chunk(struct smtp_transfer *t)
{
	struct smtp_reply reply;
	int r = transfer_answer(t, "BDAT", FOREVER, &reply);

	if (r)
		return r;
	if (transfer_intermediate(&reply))
		return -EPROTO;
	if (smtp_reply_ok(&reply))
		return 0;
	transfer_settle(t, reply, false);
	return 1;
}

/* One answer to the end of the content, for TARGET (LMTP), or for all. */
static int transfer_take_end(struct smtp_transfer *t, struct delivery_target *target, const struct smtp_reply *reply)
{
	bool ok = smtp_reply_ok(reply);

	/* Nobody can have taken what was not sent to its end. */
	if (transfer_intermediate(reply) || (ok && !t->sent_all))
		return -EPROTO;
	TRANSFER_EACH(each, t) {
		if (target ? each != target : !transfer_accepted(each))
			continue;
		each->reply = *reply;
		each->delivered = ok;
		t->accepted--;
	}
	/* RFC 3030 section 2: after a BDAT that failed the state is not known, and RSET is due. */
	if (ok || !t->chunking)
		t->dirty = false;
	return 0;
}

/* RFC 2033 4.2: LMTP answers the end once for each recipient that was accepted, in the order of RCPT. */
TASK_FN static int transfer_read_end(struct smtp_transfer *t)
{
	bool lmtp = t->client->config->lmtp;
	struct smtp_reply reply;
	int r = 0;

	if (t->accepted == 0)
		return transfer_answer(t, "BDAT", FOREVER, &reply);
	TRANSFER_EACH(target, t) {
		if (r || !transfer_accepted(target))
			continue;
		r = transfer_answer(t, "end of content", FOREVER, &reply);
		if (r == 0)
			r = transfer_take_end(t, lmtp ? target : NULL, &reply);
	}
	t->in_data = false;
	return r;
}

/* ---- what is sent ---- */

static unsigned transfer_put_envelope(struct smtp_transfer *t, bool with_rcpts)
{
	bool utf8 = false;
	unsigned sent = 0;

	TRANSFER_EACH(target, t)
		utf8 = utf8 || (transfer_pending(target) && target->address.utf8);
	smtp_envelope_mail(t->group->txn, &t->client->caps, utf8, &t->commands);
	t->dirty = true;
	if (!with_rcpts)
		return 0;
	TRANSFER_EACH(target, t) {
		if (!transfer_pending(target))
			continue;
		smtp_envelope_rcpt(&target->address, &target->rcpt->path, &t->client->caps, &t->commands);
		sent++;
	}
	return sent;
}

static void transfer_put_commands(struct smtp_transfer *t)
{
	stream_put(t->client->stream, buf_bytes(&t->commands));
	buf_clear(&t->commands);
}

static void transfer_put_bdat(struct smtp_transfer *t, uint64_t size, bool last)
{
	stream_putf(t->client->stream, "BDAT %llu%s\r\n", (unsigned long long)size, last ? " LAST" : "");
}

TASK_FN static int transfer_envelope_pipelined(struct smtp_transfer *t)
{
	unsigned sent = transfer_put_envelope(t, true);
	int r;

	transfer_put_commands(t);
	if (!t->chunking && !t->probe)
		stream_put(t->client->stream, BYTES("DATA\r\n"));
	r = transfer_read_envelope(t, sent);
	if (r || t->probe || t->chunking)
		return r ? r : t->probe || t->accepted == 0;
	return transfer_read_data(t);
}

TASK_FN static int transfer_envelope_stepwise(struct smtp_transfer *t)
{
	int r;

	transfer_put_envelope(t, false);
	transfer_put_commands(t);
	r = transfer_read_mail(t);
	TRANSFER_EACH(target, t) {
		if (r || !transfer_pending(target))
			continue;
		smtp_envelope_rcpt(&target->address, &target->rcpt->path, &t->client->caps, &t->commands);
		transfer_put_commands(t);
		r = transfer_read_rcpt(t, target);
	}
	if (r)
		return r;
	if (t->accepted == 0 || t->chunking || t->probe)
		return t->accepted == 0 || t->probe;
	stream_put(t->client->stream, BYTES("DATA\r\n"));
	return transfer_read_data(t);
}

/* May the end be sent, which nothing takes back? */
static int transfer_check(void)
{
	return task_canceled() ? -ECANCELED : deadline_left() <= 0 ? -ETIMEDOUT : 0;
}

/* What was written when R came back?  Streams write what they can without waiting even when the task's time is over. */
static void transfer_note_sent(struct smtp_transfer *t, int r)
{
	t->sent_all = r == 0 || r == -ECANCELED || r == -ETIMEDOUT;
}

/* Writes the content.  A server that closes meanwhile has perhaps said why: its reply is read next. */
TASK_FN static int transfer_write(struct smtp_transfer *t, bool last)
{
	enum smtp_content_form form = t->chunking ? SMTP_CONTENT_PLAIN : last ? SMTP_CONTENT_WHOLE : SMTP_CONTENT_STUFFED;
	int r;

	t->step = "content";
	r = transfer_check();
	if (r < 0)
		return r;
	r = smtp_content_write(t->client->stream, t->group->txn->mail, form);
	if (last)
		transfer_note_sent(t, r);
	return smtp_client_lost(r) ? 0 : r;
}

/* The single round trip. */
TASK_FN static int transfer_one_write(struct smtp_transfer *t)
{
	unsigned sent = transfer_put_envelope(t, true);
	int r;

	transfer_put_commands(t);
	transfer_put_bdat(t, mail_size(t->group->txn->mail), true);
	r = transfer_write(t, true);
	if (r == 0)
		r = transfer_read_envelope(t, sent);
	return r ? r : transfer_read_end(t);
}

/* The content with its end, and the answers to it. */
TASK_FN static int transfer_whole(struct smtp_transfer *t)
{
	int r;

	if (t->chunking)
		transfer_put_bdat(t, mail_size(t->group->txn->mail), true);
	r = transfer_write(t, true);
	return r ? r : transfer_read_end(t);
}

/* The content without its end: other groups are not ready yet. */
TASK_FN static int transfer_held(struct smtp_transfer *t)
{
	int r;

	if (t->chunking)
		transfer_put_bdat(t, mail_size(t->group->txn->mail), false);
	r = transfer_write(t, false);
	return r || !t->chunking ? r : transfer_read_chunk(t);
}

TASK_FN static int transfer_release(struct smtp_transfer *t)
{
	int r = transfer_check();

	if (r < 0)
		return r;
	if (t->chunking)
		transfer_put_bdat(t, 0, true);
	else
		stream_put(t->client->stream, BYTES(".\r\n"));
	r = stream_flush(t->client->stream);
	transfer_note_sent(t, r);
	return r && !smtp_client_lost(r) ? r : transfer_read_end(t);
}

/* ---- the whole ---- */

/* May the message be trusted to this connection whole?  A kept one may have been closed by the server a moment ago: what it did with a
 * message it got at once could not be told, so it first has to answer something. */
static bool transfer_one_write_fits(const struct smtp_transfer *t)
{
	return t->group->at_once && t->fresh && t->chunking && (t->client->caps.flags & SMTP_CAP_PIPELINING) &&
	    mail_size(t->group->txn->mail) <= TRANSFER_ONE_WRITE;
}

TASK_FN static int transfer_content(struct smtp_transfer *t, int (*send)(struct smtp_transfer *))
{
	struct deadline d;

	deadline_begin(&d, t->group->hop->data_timeout);
	return smtp_client_time(&d, send(t));
}

TASK_FN static int transfer_prepare(struct smtp_transfer *t)
{
	bool pipelining = t->client->caps.flags & SMTP_CAP_PIPELINING;
	int r;

	t->chunking = t->client->caps.flags & SMTP_CAP_CHUNKING;
	if (transfer_one_write_fits(t))
		return transfer_content(t, transfer_one_write);
	r = pipelining ? transfer_envelope_pipelined(t) : transfer_envelope_stepwise(t);
	if (r)
		return r;
	if (t->group->at_once)
		return transfer_content(t, transfer_whole);
	return t->group->alone ? 0 : transfer_content(t, transfer_held);
}

TASK_FN int smtp_transfer_prepare(struct smtp_transfer *t)
{
	int r;

	smtp_envelope_check(t->group, &t->client->caps);
	if (!transfer_any_pending(t))
		return 0;
	r = transfer_prepare(t);
	buf_fini(&t->commands);
	t->group->committed = t->group->at_once;
	return r < 0 ? transfer_fail(t, r) : 0;
}

TASK_FN int smtp_transfer_commit(struct smtp_transfer *t)
{
	int r = transfer_content(t, t->group->alone ? transfer_whole : transfer_release);

	t->group->committed = true;
	return r < 0 ? transfer_fail(t, r) : 0;
}

TASK_FN bool smtp_transfer_end(struct smtp_transfer *t)
{
	struct arena arena = { 0 };
	struct smtp_reply reply;

	/* Only the end of the connection says to a server in DATA that this was not the message. */
	if (t->in_data)
		t->client->broken = true;
	if (t->dirty && !t->client->broken) {
		stream_put(t->client->stream, BYTES("RSET\r\n"));
		if (smtp_client_reply(t->client, TRANSFER_RSET_TIME, &arena, &reply) < 0 || !smtp_reply_ok(&reply))
			t->client->broken = true;
		arena_fini(&arena);
	}
	/* More than was asked for: out of step. */
	if (stream_input(t->client->stream).n)
		t->client->broken = true;
	return !t->client->broken;
}
