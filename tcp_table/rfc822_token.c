/*
 * rfc822_token.c: words, quoted strings, domain literals, comments, special characters.
 */
#include "tcp_table/rfc822_token.h"

static bool token_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool token_special(char c)
{
	return c && strchr("|%!()<>@,;:\\\".[]", c);
}

/* What stands before the character END, which is skipped too. */
static void token_collect(struct bytes *rest, char end, struct buf *to)
{
	struct bytes b = *rest;
	for (; b.n && *b.p != end; b = bytes_skip(b, 1)) {
		if (*b.p == '\\') {
			b = bytes_skip(b, 1);
			if (b.n == 0)
				break;
		}
		buf_add_char(to, token_blank(*b.p) ? ' ' : *b.p);
	}
	*rest = bytes_skip(b, b.n > 0);
}

/* A backslash makes any character part of a word, which then needs quotes. */
static enum rfc822_type token_word(struct bytes *rest, struct buf *to)
{
	struct bytes b = *rest;
	bool quote = false;
	for (; b.n && (*b.p == '\\' || (!token_blank(*b.p) && !token_special(*b.p))); b = bytes_skip(b, 1)) {
		if (*b.p == '\\') {
			b = bytes_skip(b, 1);
			if (b.n == 0)
				break;
		}
		quote |= (unsigned char)*b.p <= ' ' || *b.p == 127 || token_special(*b.p);
		buf_add_char(to, token_blank(*b.p) ? ' ' : *b.p);
	}
	*rest = b;
	return quote ? RFC822_QUOTED : RFC822_ATOM;
}

/* Comments nest. */
static void token_comment(struct bytes *rest, struct buf *to)
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

bool rfc822_token_next(struct bytes *rest, struct rfc822_token *t)
{
	while (rest->n && token_blank(*rest->p))
		*rest = bytes_skip(*rest, 1);
	if (rest->n == 0)
		return false;
	char c = *rest->p;
	buf_clear(&t->text);
	if (c == '(') {
		t->type = RFC822_COMMENT;
		token_comment(rest, &t->text);
	} else if (c == '[' || c == '"') {
		t->type = c == '[' ? RFC822_LITERAL : RFC822_QUOTED;
		*rest = bytes_skip(*rest, 1);
		token_collect(rest, c == '[' ? ']' : '"', &t->text);
	} else if (c != '\\' && token_special(c)) {
		t->type = RFC822_SPECIAL;
		buf_add_char(&t->text, c);
		*rest = bytes_skip(*rest, 1);
	} else {
		t->type = token_word(rest, &t->text);
	}
	return true;
}

char rfc822_token_special(const struct rfc822_token *t)
{
	return t->type == RFC822_SPECIAL ? *t->text.p : '\0';
}

void rfc822_token_fini(struct rfc822_token *t)
{
	buf_fini(&t->text);
}
