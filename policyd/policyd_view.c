/*
 * policyd_view.c: the attributes at each stage, as Postfix's smtpd fills them in.
 *
 * What is known when, seen on Postfix 3.7:
 *	instance	from the moment MAIL was accepted, so not at MAIL itself; at VRFY only within a transaction
 *	queue_id	once a recipient was accepted, so not for the first one
 *	recipient	at RCPT and VRFY; at DATA and END-OF-MESSAGE when there is exactly one; at an EHLO in the midst of a transaction the last one
 *	recipient_count	0 before DATA
 *	size		as declared, at END-OF-MESSAGE as received
 *	helo_name	in full at HELO and EHLO; later with '?' for what has a meaning in addresses; at CONNECT when XCLIENT told it
 */
#include "policyd/policyd_view.h"

#include "lib/base/assert.h"

#include <errno.h>

static const char *policyd_view_state(const struct gate_call *call)
{
	switch (call->stage) {
	case GATE_CONNECT:
		return "CONNECT";
	case GATE_EHLO:
		return call->session->protocol == GATE_SMTP ? "HELO" : call->session->protocol == GATE_LMTP ? "LHLO" : "EHLO";
	case GATE_AUTH:
		return "AUTH";
	case GATE_MAIL:
		return "MAIL";
	case GATE_RCPT:
		return "RCPT";
	case GATE_DATA:
		return "DATA";
	case GATE_MESSAGE:
		return "END-OF-MESSAGE";
	case GATE_VRFY:
		return "VRFY";
	default:
		return NULL;
	}
}

static void policyd_view_session(struct policyd_request *r, const struct gate_session *s)
{
	/* Postfix changes the protocol only after it has accepted EHLO: the first EHLO is still asked about as SMTP. */
	r->protocol_name = s->protocol == GATE_LMTP ? "LMTP" : s->esmtp ? "ESMTP" : "SMTP";
	r->helo_name = s->helo;
	r->client_address = s->client_ip;
	r->client_name = s->client_name;
	r->client_port = s->client_port;
	r->reverse_client_name = s->client_ptr;
	r->server_address = s->server_ip;
	r->server_port = net_addr_port(&s->server);
	r->sasl_method = s->auth_mechanism;
	/* Both of Postfix's SASL libraries give the identity that was asked for as the user name. */
	r->sasl_username = s->auth_author ? s->auth_author : s->auth_user;
}

static void policyd_view_tls(struct policyd_request *r, const struct tls_info *t)
{
	if (!t)
		return;
	r->encryption_protocol = t->protocol;
	r->encryption_cipher = t->cipher;
	r->encryption_keysize = (unsigned)t->cipher_bits;
	r->tls_sni = t->server_name;
	/* The names in a certificate are only worth telling when somebody trusted vouches for them; its fingerprint speaks for itself. */
	r->ccert_subject = t->peer_verified ? t->peer_subject : NULL;
	r->ccert_issuer = t->peer_verified ? t->peer_issuer : NULL;
	r->ccert_fingerprint = t->peer_fingerprint;
	r->ccert_pubkey_fingerprint = t->peer_key_fingerprint;
}

/* AUTH=<> says that the sender is not known, which is what an empty value says too. */
static struct bytes policyd_view_sasl_sender(const struct smtp_path *sender)
{
	return bytes_eq(sender->auth, BYTES("<>")) ? (struct bytes){ NULL, 0 } : sender->auth;
}

static const struct smtp_address *policyd_view_last_rcpt(const struct gate_txn *t)
{
	return list_empty(&t->rcpts) ? NULL : &LIST_ITEM(t->rcpts.prev, struct gate_rcpt, link)->path.address;
}

static void policyd_view_txn(struct policyd_request *r, const struct gate_call *call)
{
	const struct gate_txn *t = call->txn;
	bool content = call->stage == GATE_DATA || call->stage == GATE_MESSAGE;

	r->sender = &t->sender.address;
	r->sasl_sender = policyd_view_sasl_sender(&t->sender);
	r->instance = t->sender_accepted ? t->instance : NULL;
	r->queue_id = t->rcpt_count ? t->id : NULL;
	r->size = call->stage == GATE_MESSAGE ? mail_received_size(t->mail) : t->sender.size;
	r->recipient_count = content ? t->rcpt_count : 0;
	if (!content || t->rcpt_count == 1)
		r->recipient = policyd_view_last_rcpt(t);
}

int policyd_view_render(struct policyd_view *v, const struct gate_call *call)
{
	struct policyd_request *r = &v->request;

	r->protocol_state = policyd_view_state(call);
	if (!r->protocol_state)
		return -EINVAL;
	policyd_view_session(r, call->session);
	policyd_view_tls(r, call->session->tls);
	if (call->txn)
		policyd_view_txn(r, call);
	if (call->rcpt)
		r->recipient = &call->rcpt->path.address;
	return 0;
}

/* ---- what Postfix does not tell ---- */

struct policyd_extras {
	struct arena *arena;
	const struct policyd_extra **end;
};

static void policyd_view_extra(struct policyd_extras *x, const char *name, struct bytes value)
{
	struct policyd_extra *e = ARENA_NEW(x->arena, struct policyd_extra);
	*e = (struct policyd_extra){ .name = name, .value = value };
	*x->end = e;
	x->end = &e->next;
}

/* Each has a name of its own: many servers keep one value of each name. */
static void policyd_view_extra_rcpts(struct policyd_extras *x, const struct gate_txn *t)
{
	const struct gate_rcpt *rcpt;
	unsigned n = 0;
	LIST_EACH(rcpt, &t->rcpts, const struct gate_rcpt, link)
		policyd_view_extra(x, arena_printf(x->arena, "gatepost_recipient_%u", ++n), rcpt->path.address.address);
}

/* What has been said of the message so far, by gates that have been asked. */
static void policyd_view_extra_gates(struct policyd_extras *x, const struct gate_txn *t)
{
	for (const struct gate_span *span = t->spans; span; span = span->next) {
		if (!span->kind)
			continue;
		const char *said = span->fault ? arena_printf(x->arena, "fault %s", span->fault) : span->verdict ? span->verdict : "continue";
		policyd_view_extra(x, arena_printf(x->arena, "gatepost_gate_%s", span->name), bytes_of(said));
	}
}

void policyd_view_extras(struct policyd_view *v, const struct gate_call *call)
{
	const struct gate_txn *t = call->txn;
	struct policyd_extras x = { &v->arena, &v->request.extras };
	if (!t)
		return;
	policyd_view_extra(&x, "gatepost_instance", bytes_of(t->instance));
	policyd_view_extra(&x, "gatepost_queue_id", bytes_of(t->id));
	if (call->stage == GATE_MESSAGE) {
		const struct mail_header *id = mail_header_find(t->mail, BYTES("Message-ID"), 1);
		policyd_view_extra(&x, "gatepost_message_id", id ? bytes_trim(mail_header_value(id)) : bytes_of(""));
	}
	if (call->stage == GATE_DATA || call->stage == GATE_MESSAGE)
		policyd_view_extra_rcpts(&x, t);
	policyd_view_extra_gates(&x, t);
}

void policyd_view_fini(struct policyd_view *v)
{
	arena_fini(&v->arena);
	*v = (struct policyd_view){ 0 };
}
