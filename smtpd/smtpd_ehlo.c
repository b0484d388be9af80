/*
 * smtpd_ehlo.c: EHLO, HELO, and LHLO on an LMTP listener.
 *
 *	"EHLO" SP ( Domain / address-literal ) CRLF	(RFC 5321 section 4.1.1.1)
 *
 * The name is the client's claim; it is kept for the script, the gates and the trace field, and nothing is
 * believed of it.
 */
#include "smtpd/smtpd_session.h"

#include <inttypes.h>

enum { NAME_MAX_LENGTH = 255 };

void smtpd_ehlo_neuter(char *name)
{
	for (char *p = name; p && *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 127 || strchr("<>()\\\";@", *p))
			*p = '?';
}

/* False: refused by syntax, and the client was told. */
static bool ehlo_take_name(struct smtpd_session *s, struct bytes arg, const char *verb)
{
	if (!arg.n || arg.n > NAME_MAX_LENGTH) {
		smtpd_sayf(s, 501, "", "Syntax: %s hostname", verb);
		return false;
	}
	mem_free(s->helo);
	s->view.helo = s->helo = bytes_dup(arg);
	return true;
}

/* Asks the script and the gates. Their refusal does not answer EHLO, which tells what we can do, but what comes after
 * it (M34). */
TASK_FN static int ehlo_decide(struct smtpd_session *s)
{
	struct smtpd_question q = { .stage = GATE_EHLO };
	struct gate_verdict v;
	struct smtp_reply refusal;
	if (s->denied.code)
		return 0;
	int r = smtpd_stage_ask(s, &q, &v);
	bool refused = r == 0 && smtpd_stage_refuses(&v, &refusal);
	/* Its text may be the transaction's. */
	if (refused)
		refusal = smtp_reply_copy(&refusal, &s->arena);
	/* RFC 5321 section 4.1.4: EHLO "MUST clear all buffers and reset the state exactly as if a RSET command had
	 * been issued". */
	if (r == 0 && s->txn)
		smtpd_txn_end(s, false);
	if (!refused)
		return r;
	smtpd_stage_log(s, &q, &v, &refusal);
	if (refusal.code == 421 || refusal.code == 521)
		smtpd_reply(s, &refusal);
	else
		s->denied = refusal;
	return 0;
}

/* As Postfix: who decides about the name sees it as it was typed; it is kept without what could be mistaken for something else in a header field. */
TASK_FN static int ehlo_ask(struct smtpd_session *s)
{
	int r = ehlo_decide(s);
	smtpd_ehlo_neuter(s->helo);
	return r;
}

int smtpd_helo(struct smtpd_session *s, struct bytes arg)
{
	if (!ehlo_take_name(s, arg, "HELO"))
		return 0;
	s->view.protocol = GATE_SMTP;
	int r = ehlo_ask(s);
	if (r == 0 && !s->closing)
		smtpd_say(s, 250, "", s->config->hostname);
	return r;
}

/* In the order of Postfix; what Postfix does not know comes last. */
static void ehlo_keywords(const struct smtpd_session *s, struct buf *to)
{
	const struct smtpd_config *config = s->config;
	buf_add_str(to, config->hostname);
	if (s->banner_denied) {
		buf_add_str(to, "\nENHANCEDSTATUSCODES");
		return;
	}
	buf_add_str(to, "\nPIPELINING\nSIZE");
	if (config->size_max)
		buf_printf(to, " %" PRIu64, config->size_max);
	if (config->vrfy != SMTPD_VRFY_REFUSE)
		buf_add_str(to, "\nVRFY");
	if (config->tls && config->tls_mode != SMTPD_TLS_NONE && !s->view.tls)
		buf_add_str(to, "\nSTARTTLS");
	if (s->xclient)
		buf_add_str(to, "\nXCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
	buf_add_str(to, "\nENHANCEDSTATUSCODES\n8BITMIME\nDSN\nSMTPUTF8\nCHUNKING\nBINARYMIME");
	buf_printf(to, "\nLIMITS RCPTMAX=%u", config->rcpt_max);
}

TASK_FN static int ehlo_extended(struct smtpd_session *s, struct bytes arg, enum gate_protocol protocol)
{
	if (!ehlo_take_name(s, arg, protocol == GATE_LMTP ? "LHLO" : "EHLO"))
		return 0;
	s->view.protocol = protocol;
	int r = ehlo_ask(s);
	if (r < 0 || s->closing)
		return r;
	s->view.esmtp = true;
	struct buf keywords = { 0 };
	ehlo_keywords(s, &keywords);
	smtpd_say(s, 250, "", buf_str(&keywords));
	buf_fini(&keywords);
	return 0;
}

int smtpd_ehlo(struct smtpd_session *s, struct bytes arg)
{
	return ehlo_extended(s, arg, GATE_ESMTP);
}

int smtpd_lhlo(struct smtpd_session *s, struct bytes arg)
{
	return ehlo_extended(s, arg, GATE_LMTP);
}
