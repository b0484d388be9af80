/* smtpd_help.c: "HELP" [ SP String ] CRLF (RFC 5321 section 4.1.1.8). */
#include "smtpd/smtpd_session.h"

int smtpd_help(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	smtpd_sayf(s, 214, "2.0.0", "%s MAIL RCPT DATA BDAT RSET NOOP%s STARTTLS HELP QUIT", s->config->lmtp ? "LHLO" : "EHLO HELO",
	    s->config->vrfy == SMTPD_VRFY_REFUSE ? "" : " VRFY");
	return 0;
}
