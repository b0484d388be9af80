/* smtpd_rset.c: "RSET" CRLF (RFC 5321 section 4.1.1.5). */
#include "smtpd/smtpd_session.h"

int smtpd_rset(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	if (s->txn)
		smtpd_txn_end(s, false);
	smtpd_say(s, 250, "2.0.0", "Ok");
	return 0;
}
