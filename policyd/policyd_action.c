/*
 * policyd_action.c: what access(5) says an action is.
 *
 *	WORD [text]
 *
 * The text of a word that refuses becomes the reply: it may begin with an enhanced status code (RFC 3463), which is else 4.7.1 or
 * 5.7.1, and whose first digit is made that of the reply code.  Unlike Postfix nothing is put before the text
 * ("<object>: Recipient address rejected: ").
 *
 * Postfix takes any other word as the name of a restriction and runs it.  There are none here: what a script decides is
 * written in the script.  FILTER, REDIRECT and BCC change where mail goes, which only a script may do.
 */
#include "policyd/policyd_action.h"

#include "lib/base/mem.h"

#include <errno.h>

static bool policyd_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool policyd_all_digits(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!policyd_digit(b.p[i]))
			return false;
	return b.n > 0;
}

/* What a word means when it stands alone or before a text. */
static const struct policyd_word {
	struct bytes word;
	enum policyd_action_kind kind;
	unsigned code;                  /* of the reply, and what it says when no text is given; 0: no reply */
	const char *text;
} policyd_words[] = {
	{ BYTES("OK"), POLICYD_OK, 0, NULL },
	{ BYTES("RELAY"), POLICYD_OK, 0, NULL },
	{ BYTES("DUNNO"), POLICYD_DUNNO, 0, NULL },
	{ BYTES("REJECT"), POLICYD_REPLY, 554, "Access denied" },
	{ BYTES("DEFER"), POLICYD_REPLY, 450, "Access denied" },
	{ BYTES("DEFER_IF_PERMIT"), POLICYD_DEFER_IF_PERMIT, 450, "Service unavailable" },
	{ BYTES("DEFER_IF_REJECT"), POLICYD_DEFER_IF_REJECT, 450, "Service unavailable" },
	{ BYTES("PREPEND"), POLICYD_PREPEND, 0, NULL },
	{ BYTES("HOLD"), POLICYD_HOLD, 0, NULL },
	{ BYTES("DISCARD"), POLICYD_DISCARD, 0, NULL },
	{ BYTES("WARN"), POLICYD_WARN, 0, NULL },
	{ BYTES("INFO"), POLICYD_INFO, 0, NULL },
};

static const struct policyd_word *policyd_word_find(struct bytes word)
{
	for (unsigned i = 0; i < COUNT_OF(policyd_words); i++)
		if (bytes_case_eq(policyd_words[i].word, word))
			return &policyd_words[i];
	return NULL;
}

/* TEXT as the reply CODE.  "4.2.0 Greylisted" for a 554 gives 554 5.2.0: a status of another class would contradict the code
 * (RFC 2034 section 4), so Postfix corrects it too. */
static void policyd_reply_make(unsigned code, struct bytes text, const char *otherwise, struct arena *arena, struct smtp_reply *ret)
{
	struct bytes rest = text, status = bytes_word(&rest);
	struct smtp_reply r = { .code = code, .enhanced = "5.7.1" };

	if (smtp_enhanced_valid(status) && status.n < sizeof r.enhanced) {
		memcpy(r.enhanced, status.p, status.n);
		r.enhanced[status.n] = '\0';
		text = bytes_trim(rest);
	}
	r.enhanced[0] = code >= 500 ? '5' : '4';
	r.text = text.n ? arena_str(arena, text) : otherwise;
	*ret = r;
}

/* "550 5.7.1 text": three digits, and a text, else it is a number like any other. */
static bool policyd_is_code(const struct policyd_action *a)
{
	return a->word.n == 3 && a->text.n && policyd_all_digits(a->word) && (a->word.p[0] == '4' || a->word.p[0] == '5');
}

static void policyd_parse_code(struct policyd_action *a, struct arena *arena)
{
	unsigned code = (unsigned)((a->word.p[0] - '0') * 100 + (a->word.p[1] - '0') * 10 + (a->word.p[2] - '0'));
	a->kind = code == 421 || code == 521 ? POLICYD_DISCONNECT : POLICYD_REPLY;
	policyd_reply_make(code, a->text, "Access denied", arena, &a->reply);
}

static void policyd_parse_word(struct policyd_action *a, struct arena *arena)
{
	const struct policyd_word *w = policyd_word_find(a->word);

	if (!w) {
		a->kind = POLICYD_UNSUPPORTED;
		a->reply = SMTP_REPLY(451, "4.3.5", "Server configuration error");
		return;
	}
	a->kind = w->kind;
	if (w->code)
		policyd_reply_make(w->code, a->text, w->text, arena, &a->reply);
}

void policyd_action_parse(struct bytes action, struct arena *arena, struct policyd_action *ret)
{
	struct bytes rest = action;
	struct policyd_action a = { .kind = POLICYD_DUNNO, .word = bytes_word(&rest) };

	a.text = bytes_trim(rest);
	if (a.word.n == 0)
		a.kind = POLICYD_DUNNO;
	else if (policyd_is_code(&a))
		policyd_parse_code(&a, arena);
	else if (a.text.n == 0 && policyd_all_digits(a.word))
		/* access(5): all-numerical results come from "pop before smtp" databases, whose values are times. */
		a.kind = POLICYD_OK;
	else
		policyd_parse_word(&a, arena);
	*ret = a;
}

/* RFC 5322 section 2.2: printable ASCII but for the colon. */
static bool policyd_field_name(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return false;
	return name.n > 0;
}

int policyd_action_header(struct bytes text, struct bytes *ret_name, struct bytes *ret_value)
{
	struct bytes value = text, name = bytes_cut(&value, ':');

	if (!value.p || !policyd_field_name(name))
		return -EINVAL;
	*ret_name = name;
	*ret_value = bytes_trim(value);
	return 0;
}
