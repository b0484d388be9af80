/*
 * smtpd_vrfy.c: "VRFY" SP String CRLF (RFC 5321 section 4.1.1.6).
 *
 * Who has a mailbox here is told to nobody who cannot also send to it: RFC 5321 section 7.3 allows 252 to any question.
 */
#include "smtpd/smtpd_session.h"

int smtpd_vrfy(struct smtpd_session *s, struct bytes arg)
{
	struct smtpd_question q = { .stage = GATE_VRFY, .line = arg };
	struct gate_verdict v;
	struct smtp_reply refusal;
	if (!arg.n) {
		smtpd_say(s, 501, "5.5.4", "Syntax: VRFY address");
		return 0;
	}
	int r = smtpd_stage_gates(s, &q, &v);
	if (r < 0)
		return r;
	if (smtpd_stage_refuses(&v, &refusal))
		smtpd_reply(s, &refusal);
	else
		smtpd_sayf(s, 252, "2.0.0", "%.*s", BYTES_ARG(bytes_first(arg, 400)));
	return 0;
}
