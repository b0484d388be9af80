/*
 * milter_message.c: a message, told to a milter: headers, their end, the body, the end, and the edits before the verdict.
 *
 * What needs no answer, or whose answer can be awaited later (milter_gate_owe), is put together with what follows, so a small
 * message goes out in one write.  The body is not copied.
 *
 * A long message is begun while it arrives (milter_message_feed): the filter gets the same frames, only earlier.
 */
#include "milter/milter_gate.h"

#include "lib/base/log.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

/* libmilter hangs up on a frame over 64 KiB.  The message keeps the whole field. */
static void milter_message_put_header(struct milter *m, const struct gate_call *call, const struct mail_header *h)
{
	struct milter_header header = {
		.name = h->name,
		.raw_value = mail_header_value(h),
		.keep_blank = m->client.terms.protocol & SMFIP_HDR_LEADSPC,
		.most = m->client.config->data_max,
	};
	if (!milter_codec_put_header(&m->client.out, &header))
		log_notice("milter", "milter %s is shown only the first %zu bytes of the header field %.*s", call->gate->name, header.most,
		    (int)bytes_first(h->name, 100).n, h->name.p);
}

TASK_FN static int milter_message_headers(struct milter *m, struct gate_call *call)
{
	const struct milter_event *event = milter_codec_event(SMFIC_HEADER);
	struct mail_header *h;
	LIST_EACH(h, &call->txn->mail->headers, struct mail_header, link) {
		if (h->hidden || !milter_gate_begin(m, call, event))
			continue;
		milter_message_put_header(m, call, h);
		int r = milter_gate_finish(m, call, event);
		if (r < 0 || milter_gate_decided(m, call))
			return r;
	}
	return 0;
}

TASK_FN static int milter_message_bare(struct milter *m, struct gate_call *call, char command)
{
	const struct milter_event *event = milter_codec_event(command);
	if (!milter_gate_begin(m, call, event))
		return 0;
	milter_codec_put_bare(&m->client.out, command);
	return milter_gate_finish(m, call, event);
}

static void milter_message_put_end(struct milter *m, struct gate_call *call)
{
	milter_gate_begin(m, call, milter_codec_event(SMFIC_BODYEOB));
	milter_codec_put_bare(&m->client.out, SMFIC_BODYEOB);
}

/* How a chunk of the body goes out. */
enum milter_piece {
	PIECE_EARLY,                    /* more content is to arrive: its answer is awaited before the next one */
	PIECE_MIDDLE,
	PIECE_LAST,
};

/* The chunk, and behind the last one the end of the message unless the chunk is answered first.  *RET_ENDED: the end has been sent. */
TASK_FN static int milter_message_chunk(struct milter *m, struct gate_call *call, struct bytes piece, enum milter_piece which, bool *ret_ended)
{
	const struct milter_event *event = milter_codec_event(SMFIC_BODY);
	struct milter_client *c = &m->client;
	bool answered = !(c->terms.protocol & event->unanswered);
	bool later = !answered || milter_gate_owe(m, event->command);
	milter_codec_put_chunk_head(&c->out, piece.n);
	size_t at = c->out.n;
	*ret_ended = which == PIECE_LAST && later;
	if (*ret_ended)
		milter_message_put_end(m, call);
	int r = milter_client_send(c, at, piece, c->config->content_timeout);
	m->owed_sent = r == 0 && which == PIECE_EARLY && later;
	if (m->owed_sent)
		return 0;
	if (r == 0)
		r = milter_gate_collect(m, call, !later || *ret_ended);
	return r == 0 && !later && !milter_gate_decided(m, call) ? milter_gate_answer(m, call, event) : r;
}

/* Answers to what went out while content arrived. */
TASK_FN static int milter_message_early_answers(struct milter *m, struct gate_call *call)
{
	bool sent = m->owed_sent;
	m->owed_sent = false;
	return sent ? milter_gate_collect(m, call, false) : 0;
}

/* What the next chunk is; false: there is none.  While content arrives the last of it is kept back: it may be the last of all. */
static bool milter_message_next(const struct milter *m, struct mail *mail, bool arriving, enum milter_piece *ret)
{
	uint64_t left = mail_body_size(mail) - m->body_sent;
	*ret = arriving ? PIECE_EARLY : left > MILTER_CHUNK_MAX ? PIECE_MIDDLE : PIECE_LAST;
	return left > (arriving ? MILTER_CHUNK_MAX : 0);
}

TASK_FN static int milter_message_piece(struct milter *m, struct gate_call *call, enum milter_piece which, struct buf *scratch, bool *ret_ended)
{
	struct bytes piece;
	int r = mail_body_read(call->txn->mail, m->body_sent, MILTER_CHUNK_MAX, scratch, &piece);
	if (r < 0)
		return r;
	m->body_sent += piece.n;
	return milter_message_chunk(m, call, piece, which, ret_ended);
}

TASK_FN static int milter_message_body(struct milter *m, struct gate_call *call, bool arriving, bool *ret_ended)
{
	const struct milter_event *event = milter_codec_event(SMFIC_BODY);
	struct buf scratch = { 0 };
	enum milter_piece which;
	int r = 0;
	while (r == 0 && milter_message_next(m, call->txn->mail, arriving, &which)) {
		r = milter_message_early_answers(m, call);
		if (r < 0 || milter_gate_decided(m, call) || !milter_gate_begin(m, call, event))
			break;
		r = milter_message_piece(m, call, which, &scratch, ret_ended);
		if (milter_gate_decided(m, call))
			break;
	}
	buf_fini(&scratch);
	return r;
}

/* gate_edit_kind has the values of SMFIF_* where both know an edit. */
unsigned milter_message_edits(const struct milter *m)
{
	uint32_t actions = m->client.terms.actions;
	unsigned edits = actions & GATE_EDIT_ALL;
	if (edits & GATE_EDIT_HEADER_ADD)
		edits |= GATE_EDIT_HEADER_INSERT;
	if (actions & SMFIF_ADDRCPT_PAR)
		edits |= GATE_EDIT_RCPT_ADD;
	return edits;
}

/* Everything before the body, once. */
TASK_FN static int milter_message_begin(struct milter *m, struct gate_call *call)
{
	if (m->in_content)
		return 0;
	m->in_content = true;
	m->body_sent = 0;
	m->body_ended = false;
	if (m->client.config->compat == MILTER_COMPAT_FULL)
		milter_gate_put_macros(m, call, SMFIC_EOH);
	int r = milter_message_headers(m, call);
	return r < 0 || milter_gate_decided(m, call) ? r : milter_message_bare(m, call, SMFIC_EOH);
}

int milter_message_feed(struct milter *m, struct gate_call *call)
{
	bool ended;
	int r = milter_message_begin(m, call);
	return r < 0 || milter_gate_decided(m, call) ? r : milter_message_body(m, call, true, &ended);
}

int milter_message(struct milter *m, struct gate_call *call)
{
	bool ended = false;
	call->negotiated = milter_message_edits(m);
	call->rcpt_twice = m->client.config->compat == MILTER_COMPAT_POSTFIX;
	int r = milter_message_begin(m, call);
	if (r == 0 && !milter_gate_decided(m, call))
		r = milter_message_early_answers(m, call);
	if (r == 0 && !milter_gate_decided(m, call))
		r = milter_message_body(m, call, false, &ended);
	if (r < 0 || milter_gate_decided(m, call))
		return r;
	if (ended)
		return milter_gate_answer(m, call, milter_codec_event(SMFIC_BODYEOB));
	milter_message_put_end(m, call);
	return milter_gate_finish(m, call, milter_codec_event(SMFIC_BODYEOB));
}
