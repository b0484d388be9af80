/*
 * access.c: what access(5) says an action is.
 *
 *	WORD [text]
 *
 * The text of a word that refuses becomes the reply: it may begin with an enhanced status code (RFC 3463), which is else 4.7.1 or
 * 5.7.1, and whose first digit is made that of the reply code.
 *
 * Postfix takes any other word as the name of a restriction and runs it.  There are none here: what a script decides is
 * written in the script, and access_hint() says what.
 */
#include "lib/gate/access.h"

#include "lib/base/mem.h"

#include <errno.h>

static bool access_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool access_all_digits(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!access_digit(b.p[i]))
			return false;
	return b.n > 0;
}

/* What a word means when it stands alone or before a text. */
static const struct access_word {
	struct bytes word;
	enum access_kind kind;
	unsigned code;                  /* of the reply, and what it says when no text is given; 0: no reply */
	const char *text;
} access_words[] = {
	{ BYTES("OK"), ACCESS_OK, 0, NULL },
	{ BYTES("permit"), ACCESS_OK, 0, NULL },     /* the one restriction that says no more than an action */
	{ BYTES("RELAY"), ACCESS_OK, 0, NULL },
	{ BYTES("DUNNO"), ACCESS_DUNNO, 0, NULL },
	{ BYTES("REJECT"), ACCESS_REPLY, 554, "Access denied" },
	{ BYTES("DEFER"), ACCESS_REPLY, 450, "Access denied" },
	{ BYTES("DEFER_IF_PERMIT"), ACCESS_DEFER_IF_PERMIT, 450, "Service unavailable" },
	{ BYTES("DEFER_IF_REJECT"), ACCESS_DEFER_IF_REJECT, 450, "Service unavailable" },
	{ BYTES("PREPEND"), ACCESS_PREPEND, 0, NULL },
	{ BYTES("HOLD"), ACCESS_HOLD, 0, NULL },
	{ BYTES("DISCARD"), ACCESS_DISCARD, 0, NULL },
	{ BYTES("WARN"), ACCESS_WARN, 0, NULL },
	{ BYTES("INFO"), ACCESS_INFO, 0, NULL },
	{ BYTES("FILTER"), ACCESS_FILTER, 0, NULL },
	{ BYTES("REDIRECT"), ACCESS_REDIRECT, 0, NULL },
	{ BYTES("BCC"), ACCESS_BCC, 0, NULL },
	/* Not documented, and in Postfix without a reply: RFC 5321 section 3.8 wants one. */
	{ BYTES("HANGUP"), ACCESS_DISCONNECT, 421, "Closing the connection" },
};

static const struct access_word *access_word_find(struct bytes word)
{
	for (unsigned i = 0; i < COUNT_OF(access_words); i++)
		if (bytes_case_eq(access_words[i].word, word))
			return &access_words[i];
	return NULL;
}

/* RFC 5321 section 4.5.3.1.5: a reply line is 512 octets with CR LF.  As Postfix, but not within a character. */
void access_cut(struct smtp_reply *r, struct arena *arena)
{
	size_t most = 510 - strlen("554  ") - strlen(r->enhanced);
	if (strlen(r->text) <= most)
		return;
	while (most && ((unsigned char)r->text[most] & 0xc0) == 0x80)
		most--;
	r->text = arena_str(arena, bytes_make(r->text, most));
}

/* As Postfix: a reply line holds no control characters. */
static const char *access_printable(struct bytes text, struct arena *arena)
{
	char *to = arena_str(arena, text);
	for (char *p = to; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return to;
}

/* TEXT as the reply CODE.  "4.2.0 Greylisted" for a 554 gives 554 5.2.0: a status of another class would contradict the code
 * (RFC 2034 section 4), so Postfix corrects it too. */
static void access_reply_make(unsigned code, struct bytes text, const char *otherwise, struct arena *arena, struct smtp_reply *ret)
{
	struct bytes rest = text, status = bytes_word(&rest);
	struct smtp_reply r = { .code = code, .enhanced = "5.7.1" };

	if (smtp_enhanced_valid(status) && status.n < sizeof r.enhanced) {
		memcpy(r.enhanced, status.p, status.n);
		r.enhanced[status.n] = '\0';
		text = bytes_trim(rest);
	}
	r.enhanced[0] = code >= 500 ? '5' : '4';
	r.text = text.n ? access_printable(text, arena) : otherwise;
	access_cut(&r, arena);
	*ret = r;
}

/* "550 5.7.1 text": three digits, and a text, else it is a number like any other. */
static bool access_is_code(const struct access_action *a)
{
	return a->word.n == 3 && a->text.n && access_all_digits(a->word) && (a->word.p[0] == '4' || a->word.p[0] == '5');
}

static void access_parse_code(struct access_action *a, struct arena *arena)
{
	unsigned code = (unsigned)((a->word.p[0] - '0') * 100 + (a->word.p[1] - '0') * 10 + (a->word.p[2] - '0'));
	a->kind = code == 421 || code == 521 ? ACCESS_DISCONNECT : ACCESS_REPLY;
	access_reply_make(code, a->text, "Access denied", arena, &a->reply);
}

static void access_parse_word(struct access_action *a, struct arena *arena)
{
	const struct access_word *w = access_word_find(a->word);

	if (!w) {
		a->kind = ACCESS_UNKNOWN;
		a->reply = SMTP_REPLY(451, "4.3.5", "Server configuration error");
		return;
	}
	a->kind = w->kind;
	if (w->code)
		access_reply_make(w->code, a->text, w->text, arena, &a->reply);
}

void access_parse(struct bytes action, struct arena *arena, struct access_action *ret)
{
	struct bytes rest = action;
	struct access_action a = { .kind = ACCESS_DUNNO, .word = bytes_word(&rest) };

	a.text = bytes_trim(rest);
	if (a.word.n == 0)
		a.kind = ACCESS_DUNNO;
	else if (access_is_code(&a))
		access_parse_code(&a, arena);
	else if (a.text.n == 0 && access_all_digits(a.word))
		/* access(5): all-numerical results come from "pop before smtp" databases, whose values are times. */
		a.kind = ACCESS_OK;
	else
		access_parse_word(&a, arena);
	*ret = a;
}

/* RFC 5322 section 2.2: printable ASCII but for the colon. */
static bool access_field_name(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return false;
	return name.n > 0;
}

int access_header(struct bytes text, struct bytes *ret_name, struct bytes *ret_value)
{
	struct bytes value = text, name = bytes_cut(&value, ':');

	/* RFC 5322 section 4.5 has blanks before the colon in old messages, so Postfix takes them; they are not written. */
	name = bytes_trim(name);
	if (!value.p || !access_field_name(name))
		return -EINVAL;
	*ret_name = name;
	*ret_value = value;
	return 0;
}

bool access_once(const struct access_action *a)
{
	switch (a->kind) {
	case ACCESS_PREPEND:
	case ACCESS_HOLD:
	case ACCESS_WARN:
	case ACCESS_INFO:
	case ACCESS_FILTER:
	case ACCESS_REDIRECT:
	case ACCESS_BCC:
		return true;
	default:
		return false;
	}
}

/* ---- restrictions ---- */

/* By how their names begin; the more special first. */
static const struct access_restriction {
	struct bytes begins;
	const char *instead;
} access_restrictions[] = {
	{ BYTES("permit_mynetworks"), "`if client [\"192.0.2.0/24\"] { ... }`" },
	{ BYTES("permit_sasl_authenticated"), "`if authenticated { ... }`" },
	{ BYTES("permit_tls_"), "`if tls ... { ... }`" },
	{ BYTES("permit_auth_destination"), "`deliver` for the recipients that are ours" },
	{ BYTES("permit_"), "a test, and what follows it in a block" },
	{ BYTES("permit"), "OK" },
	{ BYTES("check_policy_service"), "`policy \"name\";`" },
	{ BYTES("check_"), "`access \"table\" keys;`" },
	{ BYTES("reject_unauth_destination"), "no `deliver` for the recipients that are not ours" },
	{ BYTES("reject_plaintext_session"), "`if not tls { ereject ...; }`" },
	{ BYTES("reject_unverified_recipient"), "`deliver :verify`" },
	{ BYTES("reject_unlisted_recipient"), "`lookup`, and no `deliver` for those that are not found" },
	{ BYTES("reject_authenticated_sender_login_mismatch"), "`lookup` with ${auth.user}" },
	{ BYTES("reject_sender_login_mismatch"), "`lookup` with ${auth.user}" },
	{ BYTES("reject_"), "a test and `ereject`" },
	{ BYTES("defer_"), "a test and `defer`" },
	{ BYTES("warn_if_reject"), "`log`" },
	{ BYTES("sleep"), "nothing: a script does not sleep" },
};

const char *access_hint(struct bytes word, struct arena *arena)
{
	if (bytes_ends(word, BYTES(",")))
		word = bytes_first(word, word.n - 1);
	for (unsigned i = 0; i < COUNT_OF(access_restrictions); i++)
		if (bytes_case_starts(word, access_restrictions[i].begins))
			return arena_printf(arena, "%.*s is a restriction of Postfix, which no action can name here: say %s in the script",
			    BYTES_ARG(bytes_first(word, 80)), access_restrictions[i].instead);
	return arena_printf(arena, "%.*s is no action: if it is one of Postfix's smtpd_restriction_classes, say what it does in the script",
	    BYTES_ARG(bytes_first(word, 80)));
}
