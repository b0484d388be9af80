/*
 * milter_edit.c: what a milter wants changed at the end of the message.
 */
#include "milter/milter_gate.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

/* The pieces of a new body must follow each other (M28): Postfix says so, and no filter does otherwise. */
static int milter_edit_body(struct milter *m, struct gate_call *call, const struct milter_reply *reply)
{
	if (m->body_ended)
		return -EINVAL;
	return gate_edit_body(call, reply->text[0]);
}

/* Sendmail and Postfix take index 0 of a change for 1, and know no negative index. */
static int milter_edit_change(const struct milter *m, struct gate_call *call, const struct milter_reply *reply, bool leading_space)
{
	struct bytes name = reply->text[0];
	if (reply->index > INT32_MAX)
		return -EINVAL;
	unsigned nth = reply->index ? reply->index : 1;
	/* Postfix takes the filter's spelling of the name (M26), Sendmail leaves it as it is. */
	if (m->client.config->compat == MILTER_COMPAT_SENDMAIL) {
		const struct mail_header *h = mail_header_find(call->txn->mail, name, nth);
		name = h ? h->name : name;
	}
	return gate_edit_header_change(call, nth, name, reply->text[1], leading_space);
}

/* Postfix takes an empty recipient for nobody, and delivers to the others. */
static int milter_edit_rcpt_add(struct gate_call *call, struct bytes address, struct bytes params)
{
	struct bytes inner = bytes_trim(address);
	if (inner.n && !bytes_eq(inner, BYTES("<>")))
		return gate_edit_rcpt_add(call, address, params);
	log_notice("milter-edit", "milter %s: addrcpt names nobody", call->gate->name);
	return 0;
}

static int milter_edit_note(struct milter *m, struct gate_call *call, const struct milter_reply *reply)
{
	bool leading_space = m->client.terms.protocol & SMFIP_HDR_LEADSPC;
	struct bytes first = reply->text[0], second = reply->text[1];
	switch (reply->kind->code) {
	case SMFIR_ADDHEADER:
		return gate_edit_header_add(call, first, second, leading_space);
	case SMFIR_INSHEADER:
		if (reply->index > INT32_MAX)
			return -EINVAL;
		return gate_edit_header_insert(call, reply->index, first, second, leading_space);
	case SMFIR_CHGHEADER:
		return milter_edit_change(m, call, reply, leading_space);
	case SMFIR_REPLBODY:
		return milter_edit_body(m, call, reply);
	case SMFIR_ADDRCPT:
	case SMFIR_ADDRCPT_PAR:
		return milter_edit_rcpt_add(call, first, second);
	case SMFIR_DELRCPT:
		return gate_edit_rcpt_delete(call, first);
	case SMFIR_CHGFROM:
		return gate_edit_sender(call, first, second);
	case SMFIR_QUARANTINE:
		return gate_edit_hold(call, first);
	}
	ASSERT(!"an edit of the table");
	return 0;
}

static const char *milter_edit_why(int error, const struct milter_reply *reply, struct arena *arena)
{
	switch (error) {
	case -EPERM:
		return "was not negotiated";
	case -EINVAL:
		return arena_printf(arena, "makes no sense: \"%.*s\"", BYTES_ARG(bytes_first(reply->text[0], 100)));
	case -EMSGSIZE:
		return "is too much";
	default:
		return strerrordesc_np(-error); /* of the spool */
	}
}

int milter_edit(struct milter *m, struct gate_call *call, const struct milter_reply *reply)
{
	int r = -EPERM;
	if (reply->kind->code != SMFIR_REPLBODY)
		m->body_ended = call->body_replaced;
	if (m->client.terms.actions & reply->kind->action)
		r = milter_edit_note(m, call, reply);
	if (r >= 0)
		return 0;
	m->client.fault = GATE_FAULT_EDIT;
	m->client.why = arena_printf(call->txn->arena, "%s %s", reply->kind->name, milter_edit_why(r, reply, call->txn->arena));
	return r;
}
