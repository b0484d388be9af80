/*
 * smtpd_data.c
 *
 *	"DATA" CRLF		(RFC 5321 section 4.1.1.4; the content: section 4.5.2)
 */
#include "smtpd/smtpd_session.h"

enum { PIECE = 65536 };

static bool data_in_sequence(struct smtpd_session *s)
{
	struct smtpd_txn *t = s->txn;
	if (t && t->view.chunking)
		/* RFC 3030 section 2: "BDAT and DATA commands cannot be used in the same transaction" */
		smtpd_say(s, 503, "5.5.1", "Error: DATA after BDAT");
	else if (!t)
		smtpd_say(s, 503, "5.5.1", "Error: need RCPT command");
	else if (!t->answers)
		smtpd_say(s, 554, "5.5.1", "Error: no valid recipients");
	else if (t->view.sender.body == SMTP_BODY_BINARYMIME)
		/* RFC 3030 section 3: "the DATA command is ... not used with BINARYMIME: 503" */
		smtpd_say(s, 503, "5.5.1", "Error: BODY=BINARYMIME needs BDAT");
	else
		return true;
	return false;
}

/* SMTP smuggling: two servers that see different lines see different messages.  Only CR LF ends a line; the end of
 * data was found by that alone, so the session is still in step and can go on. */
static void data_check_lines(struct smtpd_session *s, const struct smtp_data_decoder *d)
{
	if (s->config->bare_newline != SMTP_BARE_REJECT || (!d->bare_lf && !d->bare_cr))
		return;
	smtpd_content_fail(s->txn, 550, "5.5.2",
	    arena_printf(&s->txn->arena, "%s Error: bare <%s> received", s->config->hostname, d->bare_lf ? "LF" : "CR"));
}

TASK_FN static int data_receive(struct smtpd_session *s)
{
	struct smtp_data_decoder d;
	struct buf piece = { 0 };
	int64_t budget = s->config->data_timeout;
	int r = 0;
	smtp_data_decoder_init(&d, s->config->bare_newline);
	while (!d.done && (r = smtpd_session_fill(s, PIECE, &budget)) == 0) {
		struct bytes in = stream_input(s->stream), rest = in;
		smtp_data_decode(&d, &rest, &piece);
		data_check_lines(s, &d);
		smtpd_content_add(s, buf_bytes(&piece));
		buf_clear(&piece);
		stream_consume(s->stream, in.n - rest.n);
		if (!d.done && (r = smtpd_content_feed(s)) < 0)
			break;
	}
	buf_fini(&piece);
	return r;
}

int smtpd_data(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	struct smtp_reply refusal;
	if (!data_in_sequence(s))
		return 0;
	int r = smtpd_content_begin(s, &refusal);
	if (r < 0)
		return r;
	if (refusal.code) {
		smtpd_reply(s, &refusal);
		return 0;
	}
	smtpd_say(s, 354, "", "End data with <CR><LF>.<CR><LF>");
	if ((r = smtpd_session_flush(s)) < 0 || (r = data_receive(s)) < 0)
		return r;
	return smtpd_message(s);
}
