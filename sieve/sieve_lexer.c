/*
 * sieve_lexer.c: the words of a script (RFC 5228 section 8.1).
 *
 *	identifier   = (ALPHA / "_") *(ALPHA / DIGIT / "_")
 *	tag          = ":" identifier
 *	number       = 1*DIGIT [ QUANTIFIER ]                   ; K M G: 2^10 2^20 2^30
 *	quoted       = DQUOTE *( safe / "\" any ) DQUOTE
 *	multi-line   = "text:" *(SP / HTAB) (hash-comment / CRLF) *(literal / dotstart) "." CRLF
 *	comment      = "/" "*" ... "*" "/"  /  "#" ... CRLF
 *
 * Scripts with bare LF are as good as those with CR LF.
 */
#include "sieve/sieve_lexer.h"

void sieve_lexer_init(struct sieve_lexer *l, struct bytes source, struct arena *arena)
{
	*l = (struct sieve_lexer){ .rest = source, .pos = { 1, 1 }, .arena = arena };
	if (bytes_starts(source, BYTES("\xef\xbb\xbf")))
		l->rest = bytes_skip(source, 3);
}

static void advance(struct sieve_lexer *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		l->pos.column++;
		if (l->rest.p[i] == '\n')
			l->pos = (struct sieve_pos){ l->pos.line + 1, 1 };
	}
	l->rest = bytes_skip(l->rest, n);
}

static int peek(const struct sieve_lexer *l, size_t at)
{
	return at < l->rest.n ? (unsigned char)l->rest.p[at] : -1;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_letter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static size_t line_length(struct bytes b)
{
	ptrdiff_t lf = bytes_find(b, '\n');
	return lf < 0 ? b.n : (size_t)lf + 1;
}

static void fail(struct sieve_lexer *l, struct sieve_token *t, size_t n, const char *why)
{
	t->kind = SIEVE_TOKEN_ERROR;
	t->text = bytes_first(l->rest, n);
	t->error = why;
}

/* False: a bracket comment that never ends, told in *T. */
static bool skip_blanks(struct sieve_lexer *l, struct sieve_token *t)
{
	for (;;) {
		int c = peek(l, 0);
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			advance(l, 1);
		} else if (c == '#') {
			advance(l, line_length(l->rest));
		} else if (c == '/' && peek(l, 1) == '*') {
			ptrdiff_t end = bytes_search(bytes_skip(l->rest, 2), BYTES("*/"));
			if (end < 0) {
				t->pos = l->pos;
				fail(l, t, 2, "begins a comment that never ends");
				return false;
			}
			advance(l, (size_t)end + 4);
		} else {
			return true;
		}
	}
}

static void take(struct sieve_lexer *l, struct sieve_token *t, enum sieve_token_kind kind, size_t n)
{
	t->kind = kind;
	t->text = bytes_first(l->rest, n);
	advance(l, n);
}

static size_t word_length(const struct sieve_lexer *l, size_t at)
{
	size_t n = at;
	while (is_letter(peek(l, n)) || is_digit(peek(l, n)))
		n++;
	return n;
}

static void lex_number(struct sieve_lexer *l, struct sieve_token *t)
{
	size_t digits = 0, n = word_length(l, 0);
	while (is_digit(peek(l, digits)))
		digits++;
	unsigned shift = 0;
	if (n == digits + 1) {
		static const char units[] = "kmg";
		const char *unit = strchr(units, l->rest.p[digits] | 0x20);
		shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	}
	if (n != digits && !shift)
		fail(l, t, n, "is no number: digits, and K, M or G behind them, make one");
	else if (bytes_to_u64(bytes_first(l->rest, digits), UINT64_MAX >> 1 >> shift, &t->number) < 0)
		fail(l, t, n, "is too large a number");
	else {
		t->number <<= shift;
		take(l, t, SIEVE_TOKEN_NUMBER, n);
	}
}

/* RFC 5228 section 2.4.2: "\" before any other character than DQUOTE and "\" is ignored. */
static struct bytes unescape(struct sieve_lexer *l, struct bytes in)
{
	if (bytes_find(in, '\\') < 0)
		return in;
	char *to = arena_alloc(l->arena, in.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\\')
			i++;
		to[n++] = in.p[i];
	}
	return bytes_make(to, n);
}

static void lex_quoted(struct sieve_lexer *l, struct sieve_token *t)
{
	size_t n = 1;
	while (peek(l, n) != '"') {
		if (peek(l, n) < 0) {
			fail(l, t, bytes_trim(bytes_first(l->rest, line_length(l->rest))).n, "begins a string that never ends");
			return;
		}
		if (peek(l, n) == 0) {
			fail(l, t, n, "is a string with a NUL in it");
			return;
		}
		n += peek(l, n) == '\\' && peek(l, n + 1) >= 0 ? 2 : 1;
	}
	struct bytes inner = bytes_make(l->rest.p + 1, n - 1);
	take(l, t, SIEVE_TOKEN_STRING, n + 1);
	t->string = unescape(l, inner);
}

/* A multi-line string as written, without its first and last line. */
struct lexer_text {
	struct bytes raw;
	size_t lines;
};

/* How long "text:" is with what may follow it on its line; 0 if this is no multi-line string. */
static size_t multiline_head(const struct sieve_lexer *l)
{
	if (!bytes_case_starts(l->rest, BYTES("text:")))
		return 0;
	size_t n = 5;
	while (peek(l, n) == ' ' || peek(l, n) == '\t')
		n++;
	if (peek(l, n) == '#')
		return n + line_length(bytes_skip(l->rest, n));
	if (peek(l, n) == '\r')
		n++;
	return peek(l, n) == '\n' ? n + 1 : 0;
}

/* The line without its end; *REST is what follows. */
static struct bytes next_line(struct bytes *rest)
{
	size_t whole = line_length(*rest);
	struct bytes line = bytes_first(*rest, whole);
	*rest = bytes_skip(*rest, whole);
	if (bytes_ends(line, BYTES("\n")))
		line.n--;
	if (bytes_ends(line, BYTES("\r")))
		line.n--;
	return line;
}

/* Section 8.1: dot-stuffed, each line ended by CR LF. */
static struct bytes unstuff(struct lexer_text *text, struct arena *arena)
{
	char *to = arena_alloc(arena, text->raw.n + text->lines + 1);
	size_t n = 0;
	while (text->raw.n) {
		struct bytes line = next_line(&text->raw);
		if (bytes_starts(line, BYTES(".")))
			line = bytes_skip(line, 1);
		memcpy(to + n, line.p, line.n);
		memcpy(to + n + line.n, "\r\n", 2);
		n += line.n + 2;
	}
	return bytes_make(to, n);
}

static void lex_multiline(struct sieve_lexer *l, struct sieve_token *t, size_t head)
{
	struct bytes rest = bytes_skip(l->rest, head);
	struct lexer_text text = { .raw = { rest.p, 0 } };
	while (rest.n) {
		bool last = bytes_eq(next_line(&rest), BYTES("."));
		if (last) {
			take(l, t, SIEVE_TOKEN_STRING, (size_t)(rest.p - l->rest.p));
			t->string = unstuff(&text, l->arena);
			return;
		}
		text.raw.n = (size_t)(rest.p - text.raw.p);
		text.lines++;
	}
	fail(l, t, 5, "begins a text that never ends: it needs a line with a single dot");
}

void sieve_lexer_next(struct sieve_lexer *l, struct sieve_token *ret)
{
	*ret = (struct sieve_token){ .kind = SIEVE_TOKEN_END };
	if (!skip_blanks(l, ret))
		return;
	ret->pos = l->pos;
	int c = peek(l, 0);
	size_t head;
	if (c < 0)
		return;
	if (is_digit(c))
		lex_number(l, ret);
	else if (c == '"')
		lex_quoted(l, ret);
	else if ((head = multiline_head(l)))
		lex_multiline(l, ret, head);
	else if (is_letter(c))
		take(l, ret, SIEVE_TOKEN_IDENTIFIER, word_length(l, 0));
	else if (c == ':' && is_letter(peek(l, 1)))
		take(l, ret, SIEVE_TOKEN_TAG, word_length(l, 1));
	else if (c && strchr("{}[]();,", c))
		take(l, ret, SIEVE_TOKEN_MARK, 1);
	else
		fail(l, ret, 1, "does not belong in a script");
}
