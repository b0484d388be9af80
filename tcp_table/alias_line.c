/*
 * alias_line.c: "name: value, value...".
 *
 * The line is read as a list of RFC 822 tokens: words, quoted strings, domain literals, comments, and special characters, to which '|', '%' and '!' belong.
 * The first ':' ends the name.  Both sides are put together again from their tokens, with a blank only where two words meet, behind a comma, and before
 * '<'.  The name loses its quotes, as addresses have when they are looked up; the value keeps them, since it will be taken apart again.
 */
#include "tcp_table/alias_line.h"

#include "tcp_table/rfc822_token.h"

/* One side of the line, put together. */
struct alias_side {
	struct buf *to;
	bool external;          /* with quotes */
	bool any;
	enum rfc822_type last_type;
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

static bool alias_needs_blank(const struct alias_side *s, const struct rfc822_token *t)
{
	/* A comma has its blank already, also the last one. */
	if (!s->any || (s->last_type == RFC822_SPECIAL && s->last == ','))
		return false;
	if (t->type == RFC822_SPECIAL && *t->text.p == '<')
		return true;
	return s->last_type != RFC822_SPECIAL && t->type != RFC822_SPECIAL;
}

static void alias_add(struct alias_side *s, const struct rfc822_token *t)
{
	struct bytes text = buf_bytes(&t->text);
	if (alias_needs_blank(s, t))
		buf_add_char(s->to, ' ');
	if (t->type == RFC822_QUOTED && s->external) {
		buf_add_char(s->to, '"');
		alias_add_quoted(s->to, text, "\"\\");
		buf_add_char(s->to, '"');
	} else if (t->type == RFC822_LITERAL) {
		buf_add_char(s->to, '[');
		alias_add_quoted(s->to, text, s->external ? "\\" : "");
		buf_add_char(s->to, ']');
	} else {
		buf_add(s->to, text);
		buf_add_str(s->to, t->type == RFC822_SPECIAL && *text.p == ',' ? " " : "");
	}
	s->any = true;
	s->last_type = t->type;
	s->last = t->type == RFC822_SPECIAL ? *t->text.p : '\0';
}

const char *alias_line_parse(struct bytes line, struct buf *key, struct buf *value)
{
	struct alias_side name = { .to = key }, what = { .to = value, .external = true };
	struct rfc822_token t = { 0 };
	bool split = false, several = false, remote = false;

	buf_clear(key);
	buf_clear(value);
	while (rfc822_token_next(&line, &t)) {
		char special = rfc822_token_special(&t);
		if (!split && special == ':') {
			split = true;
			continue;
		}
		several |= !split && special == ',';
		remote |= !split && (special == '@' || special == '%');
		alias_add(split ? &what : &name, &t);
	}
	rfc822_token_fini(&t);
	if (!split && !name.any)
		return "";
	if (!name.any || !what.any || several)
		return "it has not the form name: value";
	return remote ? "the name is not local: it has a '@' or '%'" : NULL;
}
