/*
 * smtpd_starttls.c
 *
 *	"STARTTLS" CRLF		(RFC 3207)
 *
 * Input that was pipelined behind it is refused before we get here (CVE-2011-0411: it would be taken for
 * commands that came under TLS).
 */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"

#include <errno.h>

/* RFC 3207 section 4.2: "the SMTP protocol is reset to the initial state [...] The server MUST discard any knowledge
 * obtained from the client" */
static void starttls_forget(struct smtpd_session *s)
{
	mem_free(s->helo);
	s->view.helo = s->helo = NULL;
	s->view.protocol = s->config->lmtp ? GATE_LMTP : GATE_SMTP;
}

int smtpd_starttls(struct smtpd_session *s, struct bytes arg)
{
	(void)arg;
	if (s->view.tls) {
		smtpd_say(s, 554, "5.5.1", "Error: TLS already active");
		return 0;
	}
	if (!s->config->tls || s->config->tls_mode == SMTPD_TLS_NONE) {
		smtpd_say(s, 502, "5.5.1", "Error: command not implemented");
		return 0;
	}
	if (s->txn)
		smtpd_txn_end(s, false);
	smtpd_say(s, 220, "2.0.0", "Ready to start TLS");

	struct buf err = { 0 };
	struct deadline d;
	deadline_begin(&d, s->config->command_timeout);
	int r = stream_tls_accept(s->stream, s->config->tls, &err);
	deadline_end(&d);
	if (r == -EPROTO) {
		/* RFC 3207 section 4.1: nobody knows now what the other side has understood. */
		log_info("tls", "client=%s: handshake failed: %s", s->view.client_ip, buf_str(&err));
		s->closing = true;
		r = 0;
	} else if (r == 0) {
		s->view.tls = stream_tls(s->stream);
		starttls_forget(s);
	}
	buf_fini(&err);
	return r;
}
