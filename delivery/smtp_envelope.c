/*
 * smtp_envelope.c: MAIL and RCPT with the parameters of RFC 1870, 3461, 6152, 3030 and 6531.
 */
#include "delivery/smtp_envelope.h"

/* ---- what it cannot take ---- */

static bool envelope_offers(const struct smtp_caps *caps, unsigned flags)
{
	return (caps->flags & flags) == flags;
}

/* At RCPT there is no message yet, but perhaps the client's word for its size. */
static uint64_t envelope_size(const struct gate_txn *txn)
{
	return txn->mail ? mail_size(txn->mail) : txn->sender.size;
}

/* RFC 6531: the header is in UTF-8 and the client said so. */
static bool envelope_utf8_header(const struct gate_txn *txn)
{
	return txn->sender.smtputf8 && txn->mail && mail_has_8bit_header(txn->mail);
}

static struct smtp_reply envelope_utf8_address(void)
{
	return SMTP_REPLY(550, "5.6.7", "The next hop takes no internationalized addresses");
}

/* Why it can take the message for nobody; code 0 if it can. */
static struct smtp_reply envelope_obstacle(const struct gate_txn *txn, const struct smtp_caps *caps)
{
	/* RFC 1870 6.1: a client that knows the limit does not try. */
	if (envelope_offers(caps, SMTP_CAP_SIZE) && caps->size && envelope_size(txn) > caps->size)
		return SMTP_REPLY(552, "5.3.4", "Message too large for the next hop");
	if (txn->sender.body == SMTP_BODY_BINARYMIME && !envelope_offers(caps, SMTP_CAP_BINARYMIME | SMTP_CAP_CHUNKING))
		return SMTP_REPLY(554, "5.6.3", "The next hop takes no binary content");
	if (envelope_offers(caps, SMTP_CAP_SMTPUTF8))
		return (struct smtp_reply){ 0 };
	if (txn->sender.address.utf8)
		return envelope_utf8_address();
	if (envelope_utf8_header(txn))
		return SMTP_REPLY(554, "5.6.9", "The next hop takes no internationalized header");
	return (struct smtp_reply){ 0 };
}

void smtp_envelope_check(struct delivery_group *g, const struct smtp_caps *caps)
{
	struct smtp_reply obstacle = envelope_obstacle(g->txn, caps);

	for (struct delivery_target *t = g->targets; t; t = t->group_next) {
		if (t->reply.code)
			continue;
		if (obstacle.code)
			t->reply = obstacle;
		else if (t->address.utf8 && !envelope_offers(caps, SMTP_CAP_SMTPUTF8))
			t->reply = envelope_utf8_address();
	}
}

/* ---- the commands ---- */

static void envelope_body(const struct gate_txn *txn, const struct smtp_caps *caps, struct buf *to)
{
	if (txn->sender.body == SMTP_BODY_BINARYMIME) {
		if (envelope_offers(caps, SMTP_CAP_BINARYMIME))
			buf_add(to, BYTES(" BODY=BINARYMIME"));
	} else if (envelope_offers(caps, SMTP_CAP_8BITMIME) && (txn->sender.body == SMTP_BODY_8BITMIME || (txn->mail && mail_has_8bit(txn->mail)))) {
		buf_add(to, BYTES(" BODY=8BITMIME"));
	}
}

void smtp_envelope_mail(const struct gate_txn *txn, const struct smtp_caps *caps, bool utf8_rcpt, struct buf *to)
{
	const struct smtp_path *sender = &txn->sender;

	buf_add(to, BYTES("MAIL FROM:<"));
	buf_add(to, sender->address.address);
	buf_add_char(to, '>');
	if (envelope_offers(caps, SMTP_CAP_SIZE) && envelope_size(txn))
		buf_printf(to, " SIZE=%llu", (unsigned long long)envelope_size(txn));
	envelope_body(txn, caps, to);
	if (envelope_offers(caps, SMTP_CAP_SMTPUTF8) && (utf8_rcpt || sender->address.utf8 || sender->smtputf8))
		buf_add(to, BYTES(" SMTPUTF8"));
	if (envelope_offers(caps, SMTP_CAP_DSN)) {
		if (sender->ret_full || sender->ret_headers)
			buf_add_str(to, sender->ret_full ? " RET=FULL" : " RET=HDRS");
		if (sender->envid.n) {
			buf_add(to, BYTES(" ENVID="));
			buf_add(to, sender->envid);
		}
	}
	buf_add(to, BYTES("\r\n"));
}

static void envelope_notify(unsigned notify, struct buf *to)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
		{ SMTP_NOTIFY_NEVER, "NEVER" },
		{ SMTP_NOTIFY_SUCCESS, "SUCCESS" },
		{ SMTP_NOTIFY_FAILURE, "FAILURE" },
		{ SMTP_NOTIFY_DELAY, "DELAY" },
	};
	const char *lead = " NOTIFY=";

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_printf(to, "%s%s", lead, words[i].word);
		lead = ",";
	}
}

/* The client's own ORCPT; where we changed the address, RFC 3461 5.2.1 lets us say which one it was. */
static void envelope_orcpt(const struct smtp_address *address, const struct smtp_path *given, struct buf *to)
{
	if (given->orcpt.n) {
		buf_add(to, BYTES(" ORCPT="));
		buf_add(to, given->orcpt);
	} else if (given->address.address.n && !given->address.utf8 && !smtp_address_eq(address, &given->address)) {
		buf_add(to, BYTES(" ORCPT=rfc822;"));
		smtp_xtext_encode(given->address.address, to);
	}
}

void smtp_envelope_rcpt(const struct smtp_address *address, const struct smtp_path *given, const struct smtp_caps *caps, struct buf *to)
{
	buf_add(to, BYTES("RCPT TO:<"));
	buf_add(to, address->address);
	buf_add_char(to, '>');
	if (envelope_offers(caps, SMTP_CAP_DSN)) {
		envelope_notify(given->notify, to);
		envelope_orcpt(address, given, to);
	}
	buf_add(to, BYTES("\r\n"));
}
