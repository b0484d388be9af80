/*
 * smtpd_vrfy.c: "VRFY" SP String CRLF (RFC 5321 section 4.1.1.6).
 *
 * Who has a mailbox here is told to nobody unless the listener says so: RFC 5321 section 7.3 allows 252 to any question.  With vrfy = ask the answer
 * is the one that RCPT would get now, as Postfix has it: the script's block for recipients is run, and policy servers hear
 * protocol_state=VRFY.
 */
#include "smtpd/smtpd_session.h"

/* What is to be verified: "a@example.org", "<a@example.org>", "a"; and behind it the word SMTPUTF8 (RFC 6531 section 3.7.4.2). */
struct vrfy_argument {
	struct bytes address;
	bool utf8;
};

static struct vrfy_argument vrfy_split(struct bytes arg)
{
	const struct bytes word = BYTES(" SMTPUTF8");
	if (!bytes_case_ends(arg, word))
		return (struct vrfy_argument){ arg, false };
	return (struct vrfy_argument){ bytes_trim(bytes_first(arg, arg.n - word.n)), true };
}

/* An error becomes the refusal of RCPT. */
static void vrfy_parse(const struct vrfy_argument *arg, struct arena *arena, struct gate_rcpt *rcpt)
{
	struct smtp_reply error;
	const char *path = arena_printf(arena, "TO:%.*s", BYTES_ARG(arg->address));
	if (smtp_path_parse(SMTP_RCPT, bytes_of(path), false, arena, &rcpt->path, &error) < 0 || rcpt->path.param_count)
		rcpt->refused = SMTP_REPLY(501, "5.1.3", "Bad recipient address syntax");
	else if (rcpt->path.address.utf8 && !arg->utf8)
		rcpt->refused = SMTP_REPLY(553, "5.6.7", "Must declare SMTPUTF8 to verify a UTF-8 address");
}

/* A transaction to ask about: the client's own up to here, or one from nobody.  What is said of it goes with it.  Returns the client's. */
static struct smtpd_txn *vrfy_begin(struct smtpd_session *s)
{
	struct smtpd_txn *own = s->txn;
	smtpd_txn_begin(s);
	struct gate_txn *t = &s->txn->view;
	if (!own) {
		t->sender.raw = BYTES("<>");
		smtpd_stage_begin(s, GATE_MAIL);
		return NULL;
	}
	t->id = own->view.id;
	t->instance = own->view.instance;
	t->sender = own->view.sender;
	t->sender_accepted = own->view.sender_accepted;
	t->rcpt_count = own->view.rcpt_count;
	t->rcpt_seen = own->view.rcpt_seen;
	t->defer_if_permit = own->view.defer_if_permit;
	return own;
}

static void vrfy_end(struct smtpd_session *s, struct smtpd_txn *own)
{
	smtpd_txn_free(&s->txn);
	s->transactions--;
	s->txn = own;
}

static void vrfy_say(struct smtpd_session *s, struct bytes address)
{
	smtpd_sayf(s, 252, "2.0.0", "%.*s", BYTES_ARG(bytes_first(address, 400)));
}

/* Says what RCPT would be told. */
TASK_FN static int vrfy_ask(struct smtpd_session *s, const struct vrfy_argument *arg)
{
	struct gate_txn *t = &s->txn->view;
	struct gate_rcpt *rcpt = ARENA_NEW(t->arena, struct gate_rcpt);
	struct smtpd_question q = { .stage = GATE_VRFY, .rcpt = rcpt };
	struct gate_verdict v = { .action = GATE_CONTINUE };

	vrfy_parse(arg, t->arena, rcpt);
	smtpd_stage_begin(s, GATE_VRFY);
	int r = rcpt->refused.code ? 0 : smtpd_rcpt_script(s, &q, &v);
	if (r < 0)
		return r;
	if (!rcpt->refused.code) {
		vrfy_say(s, arg->address);
		return 0;
	}
	smtpd_stage_log(s, &q, &v, &rcpt->refused);
	smtpd_reply(s, &rcpt->refused);
	return 0;
}

int smtpd_vrfy(struct smtpd_session *s, struct bytes arg)
{
	const struct vrfy_argument a = vrfy_split(arg);
	int r = 0;
	if (s->config->vrfy == SMTPD_VRFY_REFUSE)
		smtpd_say(s, 502, "5.5.1", "VRFY command is disabled");
	else if (!a.address.n)
		smtpd_say(s, 501, "5.5.4", "Syntax: VRFY address [SMTPUTF8]");
	else if (s->config->vrfy == SMTPD_VRFY_ANY)
		vrfy_say(s, a.address);
	else {
		struct smtpd_txn *own = vrfy_begin(s);
		r = vrfy_ask(s, &a);
		vrfy_end(s, own);
	}
	return r;
}
