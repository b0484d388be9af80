/* smtpd_quit.c: "QUIT" CRLF (RFC 5321 section 4.1.1.10). */
#include "smtpd/smtpd_session.h"

int smtpd_quit(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	smtpd_say(s, 221, "2.0.0", "Bye");
	s->quit = s->closing = true;
	return 0;
}
