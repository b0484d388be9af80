/* smtpd_reply.c: what the client is told. */
#include "smtpd/smtpd_session.h"

void smtpd_reply(struct smtpd_session *s, const struct smtp_reply *r)
{
	struct buf wire = { 0 };
	smtp_reply_put(r, &wire);
	stream_put(s->stream, buf_bytes(&wire));
	buf_fini(&wire);
	if (r->code >= 400)
		s->errors++;
	/* RFC 5321 section 3.8: 421 says that the channel closes; RFC 7504: so does 521. */
	if (r->code == 421 || r->code == 521)
		s->closing = true;
}

void smtpd_say(struct smtpd_session *s, unsigned code, const char *enhanced, const char *text)
{
	struct smtp_reply r = { .code = code, .text = text };
	strncpy(r.enhanced, enhanced, sizeof r.enhanced - 1);
	smtpd_reply(s, &r);
}

void smtpd_sayf(struct smtpd_session *s, unsigned code, const char *enhanced, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	smtpd_say(s, code, enhanced, buf_str(&text));
	buf_fini(&text);
}
