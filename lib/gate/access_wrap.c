/*
 * access_wrap.c: replies in Postfix's own words: "<object>: class rejected: text".
 */
#include "lib/gate/access.h"

#include <stdio.h>

static enum access_class access_class_of(const struct gate_call *call, enum access_class class)
{
	if (class != ACCESS_BY_STAGE)
		return class;
	switch (call->stage) {
	case GATE_CONNECT:
	case GATE_AUTH:
		return ACCESS_CLIENT;
	case GATE_EHLO:
		return ACCESS_HELO;
	case GATE_MAIL:
		return ACCESS_SENDER;
	case GATE_RCPT:
	case GATE_VRFY:
		return ACCESS_RECIPIENT;
	default:
		return ACCESS_BY_STAGE;
	}
}

/* Without quotes and source route, as Postfix holds it. */
static void access_put_address(struct buf *to, const struct smtp_address *a)
{
	if (!a)
		return;
	buf_add(to, a->local);
	if (a->domain.n)
		buf_printf(to, "@%.*s", BYTES_ARG(a->domain));
}

static void access_put_object(struct buf *to, const struct gate_call *call, enum access_class class)
{
	const struct gate_session *s = call->session;
	switch (class) {
	case ACCESS_CLIENT:
		buf_printf(to, "%s[%s]", s->client_name, s->client_ip);
		return;
	case ACCESS_HELO:
		buf_add_str(to, s->helo ? s->helo : "");
		return;
	case ACCESS_SENDER:
		access_put_address(to, call->txn ? &call->txn->sender.address : NULL);
		return;
	case ACCESS_RECIPIENT:
		if (call->rcpt)
			access_put_address(to, &call->rcpt->path.address);
		else
			buf_add(to, call->line);
		return;
	case ACCESS_BY_STAGE:
		buf_add_str(to, call->stage == GATE_MESSAGE ? "END-OF-MESSAGE" : "DATA");
		return;
	}
}

static const char *access_class_name(const struct gate_call *call, enum access_class class)
{
	static const char *const names[] = {
		[ACCESS_CLIENT] = "Client host", [ACCESS_HELO] = "Helo command", [ACCESS_SENDER] = "Sender address", [ACCESS_RECIPIENT] = "Recipient address",
	};
	if (class != ACCESS_BY_STAGE)
		return names[class];
	return call->stage == GATE_MESSAGE ? "End-of-data" : "Data command";
}

/* A status about an address (RFC 3463 section 3.2) is made one about this kind of address; about what is none it becomes X.0.0. */
static void access_fix_status(struct smtp_reply *r, enum access_class class)
{
	static const struct {
		const char *status, *of_sender, *of_rcpt;
	} fixes[] = {
		{ "1.0", "1.0", "1.0" }, { "1.1", "1.7", "1.1" }, { "1.2", "1.8", "1.2" }, { "1.3", "1.7", "1.3" }, { "1.4", "1.7", "1.4" },
		{ "1.5", "1.0", "1.5" }, { "1.6", "1.7", "1.6" }, { "1.7", "1.7", "1.3" }, { "1.8", "1.8", "1.2" },
	};
	const char *to = class == ACCESS_SENDER || class == ACCESS_RECIPIENT ? "1.0" : "0.0";
	if (strncmp(r->enhanced + 1, ".1.", 3) != 0)
		return;
	for (unsigned i = 0; i < COUNT_OF(fixes); i++) {
		if (strcmp(fixes[i].status, r->enhanced + 2) == 0 && class == ACCESS_SENDER)
			to = fixes[i].of_sender;
		if (strcmp(fixes[i].status, r->enhanced + 2) == 0 && class == ACCESS_RECIPIENT)
			to = fixes[i].of_rcpt;
	}
	snprintf(r->enhanced + 2, sizeof r->enhanced - 2, "%s", to);
}

void access_wrap(struct access_action *a, const struct gate_call *call, enum access_class class, struct arena *arena)
{
	struct buf object = { 0 };
	/* A mistake of ours is not said to be anybody's. */
	if (!a->reply.code || a->kind == ACCESS_UNKNOWN)
		return;
	class = access_class_of(call, class);
	access_fix_status(&a->reply, class);
	access_put_object(&object, call, class);
	a->reply.text = arena_printf(arena, "<%.*s>: %s rejected: %s", BYTES_ARG(buf_bytes(&object)), access_class_name(call, class), a->reply.text);
	access_cut(&a->reply, arena);
	buf_fini(&object);
}
