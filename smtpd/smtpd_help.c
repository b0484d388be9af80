/* smtpd_help.c: "HELP" [ SP String ] CRLF (RFC 5321 section 4.1.1.8). */
#include "smtpd/smtpd_session.h"

int smtpd_help(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	smtpd_say(s, 214, "2.0.0",
	    s->config->lmtp ? "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS HELP QUIT"
			    : "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS HELP QUIT");
	return 0;
}
