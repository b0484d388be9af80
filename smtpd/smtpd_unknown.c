/* smtpd_unknown.c: what is no command. */
#include "smtpd/smtpd_session.h"

int smtpd_unknown(struct smtpd_session *s, struct bytes line)
{
	struct smtpd_question q = { .stage = GATE_UNKNOWN, .line = line };
	struct gate_verdict v;
	struct smtp_reply refusal;
	int r = s->denied.code ? 0 : smtpd_stage_gates(s, &q, &v);
	if (r < 0)
		return r;
	if (!s->denied.code && smtpd_stage_refuses(&v, &refusal))
		smtpd_reply(s, &refusal);
	else
		smtpd_say(s, 500, "5.5.2", "Error: command not recognized");
	return 0;
}
