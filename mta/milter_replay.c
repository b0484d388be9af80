/*
 * milter_replay.c: the recording is taken apart into rounds: frames to the milter, then what it answered.  Each round is played, and the two
 * lists of answers are compared as text.
 */
#include "mta/milter_replay.h"

#include "lib/base/diff.h"
#include "lib/run/stream.h"

#include <errno.h>
#include <signal.h>

enum { REPLY_MOST = 64 << 20 };

/* Answers of one round. */
struct replay_answers {
	struct buf text;                /* a line each */
	struct buf verdicts;            /* their letters */
	unsigned count;
};

struct replay {
	const struct milter_replay_params *params;
	struct milter_replay_result result;
	struct task_group tasks;
	struct stream *stream;          /* NULL: not connected */
	struct milter_terms terms;      /* of the live milter */
	struct buf owed;                /* commands that it owes an answer to */
	struct replay_answers was, now;
	bool stopped;
};

static const struct milter_record_entry hung_up = { .kind = MILTER_RECORD_FAULT, .data = { "protocol: it hung up", 20 } };
static const struct milter_record_entry too_late = { .kind = MILTER_RECORD_FAULT, .data = { "timeout: it takes too long", 26 } };

/* ---- answers as text ---- */

/* The kind of reply that E is; NULL: it is none, or a malformed one. */
static const struct milter_reply_kind *replay_kind(const struct milter_record_entry *e)
{
	struct milter_reply reply;
	const char *why;
	return e->kind == MILTER_RECORD_RECEIVED && milter_codec_reply(e->data, &reply, &why) == 0 ? reply.kind : NULL;
}

static void replay_note_answer(struct replay_answers *a, const struct milter_record_entry *e)
{
	const struct milter_reply_kind *kind = replay_kind(e);
	if (kind && kind->class == MILTER_PROGRESS)
		return;
	/* One that skips the rest of a body goes on, too. */
	if (kind && kind->class == MILTER_VERDICT)
		buf_add_char(&a->verdicts, kind->code == 's' ? 'c' : kind->code);
	milter_print_frame(e, &a->text);
	a->count++;
}

/* What the recording says came back.  Faults that are not of the wire are our own opinion. */
static void replay_note_recorded(struct replay *r, const struct milter_record_entry *e)
{
	/* Which of the deadlines it was that passed makes no difference to the milter. */
	bool late = e->kind == MILTER_RECORD_FAULT && bytes_starts(e->data, BYTES("timeout: "));
	bool of_wire = e->kind != MILTER_RECORD_FAULT || bytes_eq(e->data, hung_up.data) || late;
	if (of_wire)
		replay_note_answer(&r->was, late ? &too_late : e);
}

static void replay_heard(struct replay *r, const struct milter_record_entry *e)
{
	milter_transcript_add(r->params->transcript, e->kind, e->data);
	replay_note_answer(&r->now, e);
}

/* ---- the wire ---- */

static void replay_close(struct replay *r)
{
	if (r->stream)
		milter_transcript_add(r->params->transcript, MILTER_RECORD_CLOSED, BYTES(""));
	stream_close(&r->stream);
	r->owed.n = 0;
}

TASK_FN static void replay_connect(struct replay *r)
{
	struct deadline d;
	replay_close(r);
	deadline_begin(&d, r->params->timeout);
	int error = stream_connect(r->params->endpoint, NULL, &r->stream);
	deadline_end(&d);
	r->result.connect_error = error == -ECANCELED ? 0 : error;
	r->stopped |= error < 0;
	if (error == 0)
		milter_transcript_add(r->params->transcript, MILTER_RECORD_OPENED, bytes_of(r->params->endpoint->text));
}

static void replay_put(struct replay *r, const struct milter_record_entry *e)
{
	struct buf length = { 0 };
	if (!r->stream)
		return;
	milter_transcript_add(r->params->transcript, MILTER_RECORD_SENT, e->data);
	buf_add_u32be(&length, (uint32_t)e->data.n);
	stream_put(r->stream, buf_bytes(&length));
	stream_put(r->stream, e->data);
	buf_fini(&length);
	if (e->data.p[0] == 'O' || milter_print_answered(&r->terms, e->data.p[0]))
		buf_add_char(&r->owed, e->data.p[0]);
}

/* The next frame of the milter; -errno when there is none, which has been noted. */
TASK_FN static int replay_frame(struct replay *r, struct bytes *ret)
{
	struct deadline d;
	const char *why;
	int error;
	deadline_begin(&d, r->params->timeout);
	while ((error = milter_codec_frame(stream_input(r->stream), REPLY_MOST, ret, &why)) == 0) {
		error = stream_fill(r->stream, REPLY_MOST + MILTER_LENGTH_BYTES);
		if (error < 0)
			break;
	}
	deadline_end(&d);
	struct bytes rest = error < 0 ? stream_input(r->stream) : BYTES("");
	if (rest.n > 0)
		replay_heard(r, &(struct milter_record_entry){ .kind = MILTER_RECORD_REST, .data = rest });
	if (error < 0 && error != -EPROTO && error != -ECANCELED)
		replay_heard(r, error == -ETIMEDOUT ? &too_late : &hung_up);
	return error < 0 ? error : 0;
}

static void replay_agree(struct replay *r, struct bytes frame)
{
	static const struct milter_terms anything = { UINT32_MAX, UINT32_MAX, UINT32_MAX };
	struct bytes symbols[MILTER_SYMBOL_STAGES];
	const char *why;
	if (milter_codec_agree(frame, &anything, &r->terms, symbols, &why) < 0)
		milter_transcript_note(r->params->transcript, "the milter's negotiation: %s", why);
}

/* Does the milter owe more when it has said this?  Not when we would have hung up on it, nor when it decides in the midst of what was sent
 * together: how many answers follow then is its own affair. */
static bool replay_goes_on(struct replay *r, const struct milter_reply_kind *kind)
{
	char first = r->owed.n > 0 ? r->owed.p[0] : '\0';
	if (!kind)
		return false;
	switch (kind->class) {
	case MILTER_PROGRESS:
		return true;
	case MILTER_EDIT:
		return first == 'E';
	case MILTER_TERMS:
	case MILTER_VERDICT:
		break;
	}
	if ((kind->class == MILTER_TERMS) != (first == 'O') || r->owed.n == 0)
		return false;
	buf_consume(&r->owed, 1);
	return r->owed.n > 0 && strchr("cs", kind->code);
}

/* One answer.  *RET_GO_ON: others are to be read. */
TASK_FN static int replay_answer(struct replay *r, bool *ret_go_on)
{
	struct bytes frame;
	*ret_go_on = false;
	int error = replay_frame(r, &frame);
	if (error < 0)
		return error;
	struct milter_record_entry e = { .kind = MILTER_RECORD_RECEIVED, .data = frame };
	const struct milter_reply_kind *kind = replay_kind(&e);
	replay_heard(r, &e);
	if (kind && kind->class == MILTER_TERMS)
		replay_agree(r, frame);
	*ret_go_on = replay_goes_on(r, kind);
	stream_consume(r->stream, MILTER_LENGTH_BYTES + frame.n);
	return 0;
}

/* ---- rounds ---- */

static void replay_compare(struct replay *r)
{
	struct buf text = { 0 };
	const struct diff_params p = { .before = buf_bytes(&r->was.text), .after = buf_bytes(&r->now.text), .context = 3 };
	bool same_verdicts = bytes_eq(buf_bytes(&r->was.verdicts), buf_bytes(&r->now.verdicts));
	r->result.answers += r->now.count;
	if (diff_lines(&p, &text)) {
		r->result.differs = true;
		milter_transcript_note(r->params->transcript, "--- as recorded\n+++ now\n%.*s", BYTES_ARG(bytes_trim(buf_bytes(&text))));
	}
	if (!same_verdicts) {
		milter_transcript_note(r->params->transcript, "it decided otherwise: the rest is not played");
		r->stopped = true;
	}
	buf_fini(&text);
}

/* What was put goes out, and is answered. */
TASK_FN static void replay_round(struct replay *r)
{
	struct deadline d;
	if (!r->stream || r->stopped)
		return;
	deadline_begin(&d, r->params->timeout);
	int error = stream_flush(r->stream);
	deadline_end(&d);
	/* It may have answered before it hung up: what can be read is read all the same. */
	bool go_on = r->owed.n > 0 || r->was.count > 0;
	while (go_on)
		error = replay_answer(r, &go_on);
	if (!r->result.interrupted)
		replay_compare(r);
	buf_clear(&r->was.text);
	buf_clear(&r->now.text);
	r->was.verdicts.n = r->now.verdicts.n = 0;
	r->was.count = r->now.count = 0;
	r->owed.n = 0;
	if (error < 0)
		replay_close(r);
}

/* Where a round ends: before anything else follows what has come. */
static bool replay_ends_round(const struct milter_record_entry *last, const struct milter_record_entry *e)
{
	switch (e->kind) {
	case MILTER_RECORD_OPENED:
	case MILTER_RECORD_CLOSED:
		return true;
	case MILTER_RECORD_SENT:
	case MILTER_RECORD_CLIENT:
	case MILTER_RECORD_SERVER:
		return last && last->kind != MILTER_RECORD_SENT;
	default:
		return false;
	}
}

TASK_FN static void replay_entry(struct replay *r, const struct milter_record_entry *e)
{
	switch (e->kind) {
	case MILTER_RECORD_OPENED:
		replay_connect(r);
		break;
	case MILTER_RECORD_CLOSED:
		replay_close(r);
		break;
	case MILTER_RECORD_SENT:
		replay_put(r, e);
		break;
	case MILTER_RECORD_RECEIVED:
	case MILTER_RECORD_REST:
	case MILTER_RECORD_FAULT:
		replay_note_recorded(r, e);
		break;
	case MILTER_RECORD_CLIENT:
	case MILTER_RECORD_SERVER:
		milter_transcript_add(r->params->transcript, e->kind, e->data);
		break;
	}
}

TASK_ENTRY static void replay_all(struct replay *r)
{
	const struct milter_record *record = r->params->record;
	const struct milter_record_entry *last = NULL;  /* of the milter's */
	for (unsigned i = 0; i < record->count && !r->stopped; i++) {
		const struct milter_record_entry *e = &record->entries[i];
		if (replay_ends_round(last, e))
			replay_round(r);
		if (!r->stopped)
			replay_entry(r, e);
		if (e->kind != MILTER_RECORD_CLIENT && e->kind != MILTER_RECORD_SERVER)
			last = e;
	}
	replay_round(r);
	replay_close(r);
	run_stop();
}

static void replay_interrupt(void *arg)
{
	struct replay *r = arg;
	r->stopped = r->result.interrupted = true;
	task_group_cancel(&r->tasks);
}

void milter_replay(const struct milter_replay_params *p, struct milter_replay_result *ret)
{
	struct replay r = { .params = p };
	task_group_init(&r.tasks);
	if (run_on_signal(SIGINT, replay_interrupt, &r) < 0)
		milter_transcript_note(p->transcript, "an interrupt will lose what was said so far");
	task_spawn(&r.tasks, "replay", replay_all, &r);
	run_loop();
	buf_fini(&r.owed);
	buf_fini(&r.was.text);
	buf_fini(&r.was.verdicts);
	buf_fini(&r.now.text);
	buf_fini(&r.now.verdicts);
	*ret = r.result;
}
