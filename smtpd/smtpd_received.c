/*
 * smtpd_received.c: our trace field.
 *
 *	Received: from HELO (NAME [IP])
 *		(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))
 *		by HOSTNAME (gatepost) with ESMTPS id ID
 *		for <RCPT>; Sun, 22 Nov 2026 18:00:00 +0000 (UTC)
 *
 * The form is Postfix's, which log analysers and filters know.
 */
#include "smtpd/smtpd_session.h"


/* RFC 3848, and RFC 6531 section 4.3 for UTF8. */
static const char *received_protocol(const struct gate_session *s, const struct gate_txn *t, char ret[static 16])
{
	char *p = ret;
	if (t->sender.smtputf8 && s->protocol != GATE_SMTP)
		p = stpcpy(p, s->protocol == GATE_LMTP ? "UTF8LMTP" : "UTF8SMTP");
	else
		p = stpcpy(p, s->protocol == GATE_LMTP ? "LMTP" : s->protocol == GATE_ESMTP ? "ESMTP" : "SMTP");
	/* "defined for ESMTP only": a HELO session has neither TLS nor AUTH by its own account. */
	if (s->protocol != GATE_SMTP && s->tls)
		*p++ = 'S';
	if (s->protocol != GATE_SMTP && s->auth_user)
		*p++ = 'A';
	*p = 0;
	return ret;
}

/* Text of somebody else's making within a comment (RFC 5322 section 3.2.2). */
static void received_comment(struct buf *to, const char *text)
{
	for (; *text; text++)
		buf_add_char(to, strchr("()\\\"", *text) || (unsigned char)*text < 32 || *text == 127 ? '?' : *text);
}

static void received_tls(struct buf *to, const struct tls_info *tls)
{
	buf_printf(to, "\r\n\t(using %s with cipher %s (%d/%d bits))", tls->protocol, tls->cipher, tls->cipher_bits, tls->cipher_bits);
	if (!tls->peer_subject)
		return;
	buf_add_str(to, "\r\n\t(Client CN \"");
	received_comment(to, tls->peer_subject);
	buf_add_str(to, "\", Issuer \"");
	received_comment(to, tls->peer_issuer ? tls->peer_issuer : "");
	buf_printf(to, "\" (%s))", tls->peer_verified ? "verified OK" : "not verified");
}

void smtpd_received(const struct gate_session *s, const struct gate_txn *t, int64_t now, struct buf *to)
{
	char protocol[16];
	bool v6 = s->client.sa.sa_family == AF_INET6;
	buf_printf(to, "Received: from %s (%s [%s%s])", s->helo ? s->helo : "unknown", s->client_name, v6 ? "IPv6:" : "", s->client_ip);
	if (s->tls)
		received_tls(to, s->tls);
	if (s->auth_user) {
		buf_add_str(to, "\r\n\t(Authenticated sender: ");
		received_comment(to, s->auth_user);
		buf_add_char(to, ')');
	}
	buf_printf(to, "\r\n\tby %s (gatepost) with %s id %s", s->hostname, received_protocol(s, t, protocol), t->id);
	/* "MUST NOT disclose" one recipient to another: RFC 5321 section 7.2. */
	const struct gate_rcpt *only = LIST_FIRST(&t->rcpts, struct gate_rcpt, link);
	if (only && t->rcpt_count == 1 && only->path.address.address.n)
		buf_printf(to, "\r\n\tfor <%.*s>; ", BYTES_ARG(only->path.address.address));
	else
		buf_add_str(to, ";\r\n\t");
	mail_date(now, to);
	buf_add_str(to, "\r\n");
}
