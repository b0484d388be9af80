/*
 * smtpd_mail.c
 *
 *	"MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF	(RFC 5321 section 4.1.1.2)
 */
#include "smtpd/smtpd_session.h"

/* What this server does not offer at this point, or not for this message.  True: the client was told. */
static bool mail_unacceptable(struct smtpd_session *s, const struct smtp_path *p)
{
	const struct smtpd_config *config = s->config;
	if (config->size_max && p->size > config->size_max)
		/* RFC 1870 section 6.1: "552 message size exceeds fixed maximum message size" */
		smtpd_say(s, 552, "5.3.4", "Message size exceeds fixed limit");
	else if (p->auth.p && !s->view.auth_mechanism && !config->lmtp)
		/* RFC 4954 section 5: AUTH= belongs to an extension that was not offered. */
		smtpd_say(s, 555, "5.5.4", "Unsupported option: AUTH");
	else if (p->address.utf8 && !p->smtputf8)
		/* RFC 6531 section 3.5 */
		smtpd_say(s, 553, "5.6.7", "Must declare SMTPUTF8 to send a UTF-8 address");
	else
		return false;
	return true;
}

int smtpd_mail(struct smtpd_session *s, struct bytes arg)
{
	struct smtpd_question q = { .stage = GATE_MAIL };
	struct smtp_reply reply;
	struct gate_verdict v;
	if (s->txn) {
		smtpd_say(s, 503, "5.5.1", "Error: nested MAIL command");
		return 0;
	}
	smtpd_txn_begin(s);
	struct smtp_path *sender = &s->txn->view.sender;
	if (smtp_path_parse(SMTP_MAIL, arg, false, &s->txn->arena, sender, &reply) < 0) {
		smtpd_reply(s, &reply);
		goto forget;
	}
	if (mail_unacceptable(s, sender))
		goto forget;

	int r = smtpd_stage_ask(s, &q, &v);
	if (r < 0)
		return r;
	if (smtpd_stage_refuses(&v, &reply)) {
		smtpd_stage_log(s, &q, &v, &reply);
		smtpd_reply(s, &reply);
		smtpd_txn_end(s, false);
		return 0;
	}
	s->txn->view.sender_accepted = true;
	smtpd_say(s, 250, "2.1.0", "Ok");
	return 0;

forget: /* nobody has heard of it */
	smtpd_txn_free(&s->txn);
	return 0;
}
