/*
 * pattern_shape.c: reads an expression once, from left to right, in pieces: a character that stands for itself, something else that matches something, a
 * quantifier, a bracket.  Only what stands outside of all groups counts; what is behind a quantifier's back does not, as it may be there or not.  One '|' outside of
 * groups, and nothing is known: each side has its own beginning and end.
 */
#include "tcp_table/pattern_shape.h"

enum shape_piece {
	SHAPE_END,
	SHAPE_CHAR,             /* stands for itself */
	SHAPE_ATOM,             /* matches this or that, or a place */
	SHAPE_BEGIN,            /* ^ */
	SHAPE_FINISH,           /* $ */
	SHAPE_QUANTIFIER,
	SHAPE_OPEN,
	SHAPE_CLOSE,
	SHAPE_BAR,
	SHAPE_STRANGE,          /* who knows */
};

struct shape_reader {
	enum pattern_syntax syntax;
	const char *p;          /* what comes next */
	char c;                 /* of SHAPE_CHAR, folded */
};

static bool shape_in(char c, const char *set)
{
	return c && strchr(set, c);
}

static bool shape_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool shape_alnum(char c)
{
	return shape_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static enum shape_piece shape_char(struct shape_reader *s, char c)
{
	if ((unsigned char)c >= 128)
		return SHAPE_ATOM;
	s->c = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	return SHAPE_CHAR;
}

/* Behind a backslash.  Letters and digits have meanings, of which only those of one character are understood; glibc gives some others one, too. */
static enum shape_piece shape_escape(struct shape_reader *s)
{
	char c = *s->p;

	if (!c || (unsigned char)c >= 128)
		return SHAPE_STRANGE;
	s->p++;
	if (shape_alnum(c))
		return s->syntax == PATTERN_PERL && shape_in(c, "dDwWsShHbB") ? SHAPE_ATOM : SHAPE_STRANGE;
	return s->syntax == PATTERN_POSIX && shape_in(c, "<>`'") ? SHAPE_STRANGE : shape_char(s, c);
}

/* Behind "[:", "[." and "[=" up to ":]" and so on, of a name of letters. */
static bool shape_class_name(struct shape_reader *s)
{
	char mark = *s->p++;
	while (shape_alnum(*s->p) || *s->p == '^')
		s->p++;
	if (s->p[0] != mark || s->p[1] != ']')
		return false;
	s->p += 2;
	return true;
}

/* Behind '['.  A ']' that comes first stands for itself. */
static enum shape_piece shape_class(struct shape_reader *s)
{
	s->p += *s->p == '^';
	for (bool first = true; first || *s->p != ']'; first = false) {
		char c = *s->p;
		if (!c)
			return SHAPE_STRANGE;
		s->p++;
		if (c == '[' && shape_in(*s->p, ":.=") && !shape_class_name(s))
			return SHAPE_STRANGE;
		if (c == '\\' && s->syntax == PATTERN_PERL) {
			if (!*s->p || shape_in(*s->p, "QEcNpPxog"))
				return SHAPE_STRANGE;
			s->p++;
		}
	}
	s->p++;
	return SHAPE_ATOM;
}

/* Behind '{': "3}", "3,}", "3,5}". */
static enum shape_piece shape_count(struct shape_reader *s)
{
	const char *p = s->p;
	if (!shape_digit(*p))
		return SHAPE_STRANGE;
	while (shape_digit(*p))
		p++;
	p += *p == ',';
	while (shape_digit(*p))
		p++;
	if (*p != '}')
		return SHAPE_STRANGE;
	s->p = p + 1;
	return SHAPE_QUANTIFIER;
}

/* Behind '('.  Of all that Perl has there only "(?:" is understood: others may change what follows, or have matching end before it. */
static enum shape_piece shape_open(struct shape_reader *s)
{
	if (*s->p == '*' || *s->p == '?') {
		if (s->syntax != PATTERN_PERL || s->p[0] != '?' || s->p[1] != ':')
			return SHAPE_STRANGE;
		s->p += 2;
	}
	return SHAPE_OPEN;
}

static enum shape_piece shape_next(struct shape_reader *s)
{
	char c = *s->p;
	s->p += c != '\0';
	switch (c) {
	case '\0':
		return SHAPE_END;
	case '\\':
		return shape_escape(s);
	case '[':
		return shape_class(s);
	case '(':
		return shape_open(s);
	case ')':
		return SHAPE_CLOSE;
	case '|':
		return SHAPE_BAR;
	case '^':
		return SHAPE_BEGIN;
	case '$':
		return SHAPE_FINISH;
	case '.':
		return SHAPE_ATOM;
	case '{':
		return shape_count(s);
	case '*':
	case '+':
	case '?':
		return SHAPE_QUANTIFIER;
	default:
		return shape_char(s, c);
	}
}

/* What has been read so far. */
struct shape_state {
	struct pattern_shape *shape;
	unsigned depth;                 /* of groups */
	bool in_head;                   /* nothing but characters since the beginning */
	bool only_chars;                /* ... but for '^' and '$' at their places */
	bool ended;                     /* '$' was the last */
	enum shape_piece before;
};

static void shape_add(struct shape_state *t, char c)
{
	struct pattern_shape *s = t->shape;

	if (t->in_head && s->head_n < sizeof s->head)
		s->head[s->head_n++] = c;
	else
		t->in_head = t->only_chars = false;
	if (s->tail_n == sizeof s->tail)
		memmove(s->tail, s->tail + 1, --s->tail_n);
	s->tail[s->tail_n++] = c;
}

/* What stands before it may be there or not; so it is neither of the head nor of the tail. */
static bool shape_quantify(struct shape_state *t)
{
	if (t->before != SHAPE_CHAR && t->before != SHAPE_ATOM && t->before != SHAPE_CLOSE && t->before != SHAPE_QUANTIFIER)
		return false;
	if (t->in_head && t->before == SHAPE_CHAR && t->depth == 0)
		t->shape->head_n--;
	return true;
}

static void shape_break(struct shape_state *t)
{
	t->in_head = t->only_chars = false;
	t->shape->tail_n = 0;
}

/* False: nothing is known. */
static bool shape_take(struct shape_state *t, enum shape_piece piece, char c)
{
	if (t->ended || piece == SHAPE_STRANGE || (piece == SHAPE_BAR && t->depth == 0))
		return false;
	if (piece == SHAPE_QUANTIFIER && !shape_quantify(t))
		return false;
	if (piece == SHAPE_CLOSE && t->depth-- == 0)
		return false;
	if (piece == SHAPE_FINISH && t->depth == 0)
		t->ended = true;
	else if (piece == SHAPE_CHAR && t->depth == 0)
		shape_add(t, c);
	else
		shape_break(t);
	if (piece == SHAPE_OPEN)
		t->depth++;
	t->before = piece;
	return true;
}

static bool shape_read(struct shape_reader *s, struct shape_state *t)
{
	enum shape_piece piece;
	while ((piece = shape_next(s)) != SHAPE_END)
		if (!shape_take(t, piece, s->c))
			return false;
	return t->depth == 0;
}

void pattern_shape(enum pattern_syntax syntax, bool anchored, const char *regex, struct pattern_shape *ret)
{
	bool begins = *regex == '^';
	struct shape_reader s = { .syntax = syntax, .p = regex + begins };
	struct shape_state t = { .shape = ret, .in_head = true, .only_chars = true, .before = SHAPE_BEGIN };

	ret->head_n = ret->tail_n = 0;
	ret->whole = false;
	bool known = shape_read(&s, &t);
	if (!known || !(begins || anchored))
		ret->head_n = 0;
	if (!known || !t.ended)
		ret->tail_n = 0;
	ret->whole = known && (begins || anchored) && t.ended && t.only_chars;
}
