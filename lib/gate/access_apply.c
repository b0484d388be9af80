/*
 * access_apply.c: what an action of access(5) does, and how far it reaches, as in Postfix:
 *
 *	OK, DUNNO		go on; which is which the script may tell by the answer
 *	REJECT, 4NN, 5NN...	the verdict of this stage
 *	DEFER_IF_PERMIT		kept by the chain until the transaction's outcome is known
 *	DEFER_IF_REJECT		kept for the stage
 *	PREPEND			a field of the message's header; several stay in the order they were given, above our own Received
 *	HOLD, FILTER, REDIRECT	act on the message, whichever recipient they were said of; of several the last holds
 *	BCC			the same, but adds up
 *	DISCARD			ends everything, the relay rule included
 */
#include "lib/gate/access.h"

#include <errno.h>

static void access_verdict(struct gate_call *call, enum gate_action action, const struct smtp_reply *reply)
{
	call->verdict.action = action;
	if (reply)
		call->verdict.reply = *reply;
}

static void access_refuse(struct gate_call *call, const struct access_action *a)
{
	access_verdict(call, smtp_reply_permanent(&a->reply) ? GATE_REJECT : GATE_TEMPFAIL, &a->reply);
}

static int access_warn(struct access_note *note, const char *text)
{
	*note = (struct access_note){ true, LOG_LEVEL_WARNING, text };
	return 0;
}

static int access_prepend(struct gate_call *call, const struct access_action *a, struct access_note *note)
{
	struct bytes name, value;
	/* What has been decided upon is not changed any more. */
	if (call->stage == GATE_MESSAGE)
		return access_warn(note, "ignored: the message is complete: say it at data or earlier");
	if (access_header(a->text, &name, &value) < 0)
		return access_warn(note, "ignored: the text is no header field");
	call->negotiated = GATE_EDIT_HEADER_ADD | GATE_EDIT_HEADER_INSERT;
	return gate_edit_header_insert(call, 0, name, value, true);
}

static int access_route(struct gate_call *call, enum gate_edit_kind kind, struct bytes text, struct access_note *note)
{
	call->negotiated = kind;
	int r = gate_edit_route(call, kind, text);
	if (r == -EINVAL)
		return access_warn(note, kind == GATE_EDIT_FILTER ? "ignored: the text names no next hop" : "ignored: the text is no address");
	return r;
}

/* These act on a message, so there must be a transaction. */
static int access_edit(struct gate_call *call, const struct access_action *a, struct access_note *note)
{
	if (!call->txn)
		return access_warn(note, "ignored: there is no message before MAIL");
	switch (a->kind) {
	case ACCESS_PREPEND:
		return access_prepend(call, a, note);
	case ACCESS_FILTER:
		return access_route(call, GATE_EDIT_FILTER, a->text, note);
	case ACCESS_REDIRECT:
		return access_route(call, GATE_EDIT_REDIRECT, a->text, note);
	case ACCESS_BCC:
		return access_route(call, GATE_EDIT_BCC, a->text, note);
	default:
		call->negotiated = GATE_EDIT_HOLD;
		return gate_edit_hold(call, a->text.n ? a->text : bytes_of(call->gate->name));
	}
}

int access_apply(struct gate_call *call, const struct access_action *a, struct access_note *note)
{
	*note = (struct access_note){ .told = false };
	switch (a->kind) {
	case ACCESS_DUNNO:
	case ACCESS_OK:
		return 0;
	case ACCESS_REPLY:
		access_refuse(call, a);
		return 0;
	case ACCESS_DISCONNECT:
		access_verdict(call, GATE_DISCONNECT, &a->reply);
		return 0;
	case ACCESS_DEFER_IF_PERMIT:
		call->defer_if_permit = a->reply;
		return 0;
	case ACCESS_DEFER_IF_REJECT:
		call->defer_if_reject = a->reply;
		return 0;
	case ACCESS_PREPEND:
	case ACCESS_HOLD:
	case ACCESS_FILTER:
	case ACCESS_REDIRECT:
	case ACCESS_BCC:
		return access_edit(call, a, note);
	case ACCESS_DISCARD:
		access_verdict(call, GATE_DISCARD, NULL);
		return call->txn ? 0 : access_warn(note, "ignored: there is no message before MAIL");
	case ACCESS_WARN:
	case ACCESS_INFO:
		*note = (struct access_note){ true, a->kind == ACCESS_WARN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, NULL };
		return 0;
	case ACCESS_UNKNOWN:
		access_refuse(call, a);
		return access_warn(note, access_hint(a->word, gate_call_arena(call)));
	}
	return -EPROTO;
}

void access_note_put(struct log_line *l, const struct gate_call *call, const struct access_action *a, const struct access_note *note)
{
	log_str(l, "stage", gate_stage_name(call->stage));
	log_bytes(l, "action", a->word);
	if (a->text.n)
		log_bytes(l, "text", a->text);
	log_str(l, "msg", note->text);
}
