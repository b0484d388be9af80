/* smtpd_noop.c: "NOOP" [ SP String ] CRLF (RFC 5321 section 4.1.1.9): "the parameter string [...] SHOULD be ignored". */
#include "smtpd/smtpd_session.h"

int smtpd_noop(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	smtpd_say(s, 250, "2.0.0", "Ok");
	return 0;
}
