/* smtpd_command.c: the table of all commands, and the rules that hold before any of them is served. */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"

enum {
	LAST = 1,               /* nothing may be pipelined behind it (RFC 2920 section 3.1, RFC 3207 section 4) */
	BEFORE_TLS = 2,         /* allowed in clear on a listener that requires TLS (RFC 3207 section 4) */
	BEFORE_HELLO = 4,
	WHEN_DENIED = 8,        /* served to clients that are refused at connect or EHLO */
	NO_ARGUMENT = 16,
	JUNK = 32,              /* does not bring a message nearer: counted */
	ONLY_SMTP = 64,
	ONLY_LMTP = 128,
	FORBIDDEN = 256,        /* not SMTP at all */
	CONTENT = 512,          /* brings octets that must be read even if it is refused */
};

struct smtpd_verb {
	const char *name;
	int (*run)(struct smtpd_session *s, struct bytes arg) TASK_PTR;
	unsigned flags;
};

static const struct smtpd_verb verbs[] = {
	{ "MAIL", smtpd_mail, 0 },
	/* In a session that was denied these two come too early, as after any refused MAIL. */
	{ "RCPT", smtpd_rcpt, WHEN_DENIED },
	{ "DATA", smtpd_data, LAST | NO_ARGUMENT | WHEN_DENIED },
	{ "BDAT", smtpd_bdat, CONTENT },
	{ "EHLO", smtpd_ehlo, LAST | BEFORE_TLS | BEFORE_HELLO | WHEN_DENIED | JUNK | ONLY_SMTP },
	{ "HELO", smtpd_helo, LAST | BEFORE_TLS | BEFORE_HELLO | WHEN_DENIED | JUNK | ONLY_SMTP },
	{ "LHLO", smtpd_lhlo, LAST | BEFORE_TLS | BEFORE_HELLO | WHEN_DENIED | JUNK | ONLY_LMTP },
	{ "QUIT", smtpd_quit, BEFORE_TLS | BEFORE_HELLO | WHEN_DENIED },
	{ "RSET", smtpd_rset, BEFORE_HELLO | WHEN_DENIED | NO_ARGUMENT | JUNK },
	{ "NOOP", smtpd_noop, LAST | BEFORE_TLS | BEFORE_HELLO | WHEN_DENIED | JUNK },
	{ "STARTTLS", smtpd_starttls, LAST | BEFORE_TLS | BEFORE_HELLO | NO_ARGUMENT },
	{ "VRFY", smtpd_vrfy, LAST | BEFORE_HELLO | JUNK },
	{ "HELP", smtpd_help, BEFORE_HELLO | WHEN_DENIED | JUNK },
	{ "XCLIENT", smtpd_xclient, BEFORE_TLS | BEFORE_HELLO | WHEN_DENIED },
	/* Postfix's smtpd_forbidden_commands: a browser that was talked into speaking to us. */
	{ "CONNECT", NULL, FORBIDDEN },
	{ "GET", NULL, FORBIDDEN },
	{ "POST", NULL, FORBIDDEN },
};

static const struct smtpd_verb *command_find(const struct smtpd_config *config, struct bytes name)
{
	unsigned others = config->lmtp ? ONLY_SMTP : ONLY_LMTP;
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (!(verbs[i].flags & others) && bytes_case_eq(bytes_of(verbs[i].name), name))
			return &verbs[i];
	return NULL;
}

/* RFC 5321 section 2.3.7: a line ends in CR LF, and CR and LF appear nowhere else.  True: the client was told. */
static bool command_malformed(struct smtpd_session *s, struct bytes line)
{
	bool strict = s->config->bare_newline == SMTP_BARE_REJECT;
	if (s->lost_line_end && strict)
		smtpd_sayf(s, 550, "5.5.2", "%s Error: bare <LF> received", s->config->hostname);
	else if (bytes_find(line, '\r') >= 0)
		smtpd_sayf(s, strict ? 550 : 500, "5.5.2", "%s Error: bare <CR> received", s->config->hostname);
	else if (!line.n || bytes_find(line, '\0') >= 0)
		smtpd_say(s, 500, "5.5.2", "Error: bad syntax");
	else
		return false;
	return true;
}

/* Not a mail client: a browser, a TLS hello on a port that speaks in clear (Postfix: smtpd_forbidden_commands). */
static void command_goodbye(struct smtpd_session *s, struct bytes line)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_NOTICE, "not_smtp");
	log_str(&l, "client", s->view.client_ip);
	log_bytes(&l, "line", bytes_first(line, 100));
	log_end(&l);
	smtpd_say(s, 221, "2.7.0", "Error: I can break rules, too. Goodbye.");
	s->closing = true;
}

/* Input stands behind a command that must come last in its group, or that was sent by a client that may not pipeline
 * at all: a smuggled or injected command, or a client that does not listen (Postfix 3.9:
 * smtpd_forbid_unauth_pipelining). After STARTTLS it is CVE-2011-0411. */
static bool command_out_of_step(struct smtpd_session *s, const struct smtpd_verb *v)
{
	struct bytes rest = stream_input(s->stream);
	bool may_pipeline = s->view.helo && s->view.protocol != GATE_SMTP;
	if (!rest.n || (may_pipeline && !(v && v->flags & LAST)))
		return false;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_NOTICE, "pipelining");
	log_str(&l, "client", s->view.client_ip);
	log_str(&l, "after", v ? v->name : "unknown command");
	log_bytes(&l, "input", bytes_first(rest, 100));
	log_end(&l);
	smtpd_say(s, 554, "5.5.0", "Error: SMTP protocol synchronization");
	s->closing = true;
	return true;
}

/* May the command be served at this point of the session?  If not the client was told. */
static bool command_allowed(struct smtpd_session *s, const struct smtpd_verb *v, struct bytes arg)
{
	const struct smtpd_config *config = s->config;
	if (config->tls_mode == SMTPD_TLS_REQUIRE && !s->view.tls && !(v->flags & BEFORE_TLS))
		smtpd_say(s, 530, "5.7.0", "Must issue a STARTTLS command first");
	else if (s->denied.code && !(v->flags & WHEN_DENIED))
		smtpd_reply(s, &s->denied);
	else if (!s->view.helo && !(v->flags & BEFORE_HELLO))
		smtpd_sayf(s, 503, "5.5.1", "Error: send %s first", config->lmtp ? "LHLO" : "HELO/EHLO");
	else if (arg.n && v->flags & NO_ARGUMENT)
		smtpd_sayf(s, 501, "5.5.4", "Syntax: %s", v->name);
	else
		return true;
	return false;
}

int smtpd_command(struct smtpd_session *s, struct bytes line)
{
	struct bytes name, arg;
	smtp_command_split(line, &name, &arg);
	const struct smtpd_verb *v = command_find(s->config, name);
	if (v ? v->flags & FORBIDDEN : line.n && (unsigned char)((line.p[0] | 32) - 'a') > 25) {
		command_goodbye(s, line);
		return 0;
	}
	bool malformed = command_malformed(s, line);
	if (v && v->flags & CONTENT) {
		/* What follows is its content, and no command: neither served as one, nor a matter of pipelining. */
		return !malformed && command_allowed(s, v, arg) ? v->run(s, arg) : smtpd_bdat_drop(s, arg);
	}
	if (malformed || command_out_of_step(s, v))
		return 0;
	if (!v)
		return smtpd_unknown(s, line);
	if (v->flags & JUNK && s->junk++ >= s->config->junk_max)
		s->errors++;
	return command_allowed(s, v, arg) ? v->run(s, arg) : 0;
}
