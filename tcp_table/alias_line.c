/*
 * alias_line.c: "name: value, value...".
 *
 * The line is read as a list of RFC 822 tokens: words, quoted strings, domain literals, comments, and special characters, to which '|', '%' and '!' belong.
 * The first ':' ends the name.  Both sides are put together again from their tokens, with a blank only where two words meet, behind a comma, and before
 * '<'.  The name loses its quotes, as addresses have when they are looked up; the value keeps them, since it will be taken apart again.
 */
#include "tcp_table/alias_line.h"

#include <stdbool.h>

enum alias_token_type { ALIAS_SPECIAL, ALIAS_ATOM, ALIAS_QUOTED, ALIAS_LITERAL, ALIAS_COMMENT };

struct alias_token {
	enum alias_token_type type;
	struct buf text;        /* without quotes, brackets and backslashes; a comment has them all */
};

static bool alias_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool alias_special(char c)
{
	return c && strchr("|%!()<>@,;:\\\".[]", c);
}

/* ---- from text to tokens ---- */

/* What stands before the character END, which is skipped too. */
static void alias_collect(struct bytes *rest, char end, struct buf *to)
{
	struct bytes b = *rest;
	for (; b.n && *b.p != end; b = bytes_skip(b, 1)) {
		if (*b.p == '\\') {
			b = bytes_skip(b, 1);
			if (b.n == 0)
				break;
		}
		buf_add_char(to, alias_blank(*b.p) ? ' ' : *b.p);
	}
	*rest = bytes_skip(b, b.n > 0);
}

/* A backslash makes any character part of a word, which then needs quotes. */
static enum alias_token_type alias_word(struct bytes *rest, struct buf *to)
{
	struct bytes b = *rest;
	bool quote = false;
	for (; b.n && (*b.p == '\\' || (!alias_blank(*b.p) && !alias_special(*b.p))); b = bytes_skip(b, 1)) {
		if (*b.p == '\\') {
			b = bytes_skip(b, 1);
			if (b.n == 0)
				break;
		}
		quote |= (unsigned char)*b.p <= ' ' || *b.p == 127 || alias_special(*b.p);
		buf_add_char(to, alias_blank(*b.p) ? ' ' : *b.p);
	}
	*rest = b;
	return quote ? ALIAS_QUOTED : ALIAS_ATOM;
}

/* Comments nest. */
static void alias_comment(struct bytes *rest, struct buf *to)
{
	struct bytes b = *rest;
	unsigned depth = 0;
	while (b.n) {
		bool hidden = *b.p == '\\' && b.n > 1;
		depth += *b.p == '(';
		depth -= *b.p == ')';
		buf_add(to, bytes_first(b, hidden ? 2 : 1));
		b = bytes_skip(b, hidden ? 2 : 1);
		if (depth == 0)
			break;
	}
	*rest = b;
}

/* False: there are no more. */
static bool alias_next(struct bytes *rest, struct alias_token *t)
{
	while (rest->n && alias_blank(*rest->p))
		*rest = bytes_skip(*rest, 1);
	if (rest->n == 0)
		return false;
	char c = *rest->p;
	buf_clear(&t->text);
	if (c == '(') {
		t->type = ALIAS_COMMENT;
		alias_comment(rest, &t->text);
	} else if (c == '[' || c == '"') {
		t->type = c == '[' ? ALIAS_LITERAL : ALIAS_QUOTED;
		*rest = bytes_skip(*rest, 1);
		alias_collect(rest, c == '[' ? ']' : '"', &t->text);
	} else if (c != '\\' && alias_special(c)) {
		t->type = ALIAS_SPECIAL;
		buf_add_char(&t->text, c);
		*rest = bytes_skip(*rest, 1);
	} else {
		t->type = alias_word(rest, &t->text);
	}
	return true;
}

/* ---- and back ---- */

/* One side of the line, put together. */
struct alias_side {
	struct buf *to;
	bool external;          /* with quotes */
	bool any;
	enum alias_token_type last_type;
	char last;              /* if it is a special character */
};

static void alias_add_quoted(struct buf *to, struct bytes text, const char *hide)
{
	for (; text.n; text = bytes_skip(text, 1)) {
		if (*text.p && strchr(hide, *text.p))
			buf_add_char(to, '\\');
		buf_add_char(to, *text.p);
	}
}

static bool alias_needs_blank(const struct alias_side *s, const struct alias_token *t)
{
	/* A comma has its blank already, also the last one. */
	if (!s->any || (s->last_type == ALIAS_SPECIAL && s->last == ','))
		return false;
	if (t->type == ALIAS_SPECIAL && *t->text.p == '<')
		return true;
	return s->last_type != ALIAS_SPECIAL && t->type != ALIAS_SPECIAL;
}

static void alias_add(struct alias_side *s, const struct alias_token *t)
{
	struct bytes text = buf_bytes(&t->text);
	if (alias_needs_blank(s, t))
		buf_add_char(s->to, ' ');
	if (t->type == ALIAS_QUOTED && s->external) {
		buf_add_char(s->to, '"');
		alias_add_quoted(s->to, text, "\"\\");
		buf_add_char(s->to, '"');
	} else if (t->type == ALIAS_LITERAL) {
		buf_add_char(s->to, '[');
		alias_add_quoted(s->to, text, s->external ? "\\" : "");
		buf_add_char(s->to, ']');
	} else {
		buf_add(s->to, text);
		buf_add_str(s->to, t->type == ALIAS_SPECIAL && *text.p == ',' ? " " : "");
	}
	s->any = true;
	s->last_type = t->type;
	s->last = t->type == ALIAS_SPECIAL ? *t->text.p : '\0';
}

const char *alias_line_parse(struct bytes line, struct buf *key, struct buf *value)
{
	struct alias_side name = { .to = key }, what = { .to = value, .external = true };
	struct alias_token t = { 0 };
	bool split = false, several = false, remote = false;

	buf_clear(key);
	buf_clear(value);
	while (alias_next(&line, &t)) {
		char special = t.type == ALIAS_SPECIAL ? *t.text.p : '\0';
		if (!split && special == ':') {
			split = true;
			continue;
		}
		several |= !split && special == ',';
		remote |= !split && (special == '@' || special == '%');
		alias_add(split ? &what : &name, &t);
	}
	buf_fini(&t.text);
	if (!split && !name.any)
		return "";
	if (!name.any || !what.any || several)
		return "it has not the form name: value";
	return remote ? "the name is not local: it has a '@' or '%'" : NULL;
}
