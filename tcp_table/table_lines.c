/*
 * table_lines.c: postmap(1), "TABLE FORMAT".
 */
#include "tcp_table/table_lines.h"

enum { TABLE_NOTES_MAX = 20 };

bool table_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool table_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool table_keyword(struct bytes line, struct bytes word, struct bytes *ret_rest)
{
	if (!bytes_case_starts(line, word))
		return false;
	struct bytes rest = bytes_skip(line, word.n);
	if (rest.n && table_alnum(*rest.p))
		return false;
	*ret_rest = table_trim(rest);
	return true;
}

struct bytes table_trim_left(struct bytes b)
{
	while (b.n && table_space(*b.p))
		b = bytes_skip(b, 1);
	return b;
}

struct bytes table_trim(struct bytes b)
{
	while (b.n && table_space(b.p[b.n - 1]))
		b.n--;
	return table_trim_left(b);
}

struct bytes table_word(struct bytes *rest)
{
	struct bytes b = *rest;
	size_t n = 0;
	while (n < b.n && !table_space(b.p[n]))
		n++;
	*rest = table_trim(bytes_skip(b, n));
	return bytes_first(b, n);
}

void table_lines_init(struct table_lines *l, struct bytes text)
{
	*l = (struct table_lines){ .rest = text, .next = 1 };
}

/* The next physical line that says something; NULL at the end. */
static struct bytes table_lines_physical(struct table_lines *l, unsigned *ret_line)
{
	while (l->rest.p && l->rest.n) {
		struct bytes line = bytes_cut(&l->rest, '\n'), text = table_trim_left(line);
		*ret_line = l->next++;
		if (text.n && *text.p != '#')
			return line;
	}
	return (struct bytes){ NULL, 0 };
}

/* Skips comments and empty lines; does a line that continues come next? */
static bool table_lines_continued(struct table_lines *l)
{
	while (l->rest.p && l->rest.n) {
		struct bytes rest = l->rest, line = bytes_cut(&rest, '\n'), text = table_trim_left(line);
		if (text.n && *text.p != '#')
			return table_space(*line.p);
		l->rest = rest;
		l->next++;
	}
	return false;
}

bool table_lines_next(struct table_lines *l, struct bytes *ret)
{
	unsigned ignored;
	struct bytes line = table_lines_physical(l, &l->line);

	if (!line.p)
		return false;
	l->orphan = table_space(*line.p);
	if (table_lines_continued(l)) {
		buf_clear(&l->joined);
		buf_add(&l->joined, line);
		do
			buf_add(&l->joined, table_lines_physical(l, &ignored));
		while (table_lines_continued(l));
		line = buf_bytes(&l->joined);
	}
	*ret = line;
	return true;
}

void table_lines_fini(struct table_lines *l)
{
	buf_fini(&l->joined);
}

/* ---- lists within braces ---- */

/* Length of TEXT's first token, up to one of the characters in END that is not within braces; or to where the braces go wrong: -1. */
static ptrdiff_t table_token(struct bytes text, const char *end)
{
	unsigned depth = 0;
	size_t n;
	for (n = 0; n < text.n; n++) {
		char c = text.p[n];
		if (depth == 0 && strchr(end, c))
			break;
		depth += c == '{';
		if (c == '}' && depth-- == 0)
			return -1;
	}
	return depth ? -1 : (ptrdiff_t)n;
}

bool table_braced(struct bytes b)
{
	return b.n >= 2 && b.p[0] == '{' && b.p[b.n - 1] == '}' && table_token(bytes_skip(bytes_first(b, b.n - 1), 1), "") >= 0;
}

struct bytes table_unbraced(struct bytes b)
{
	return table_trim(bytes_skip(bytes_first(b, b.n - 1), 1));
}

bool table_item(struct bytes *rest, struct bytes *ret)
{
	static const char separators[] = ", \t\r\n";
	while (rest->n && strchr(separators, *rest->p))
		*rest = bytes_skip(*rest, 1);
	ptrdiff_t n = table_token(*rest, separators);
	if (n <= 0)
		return false;
	*ret = bytes_first(*rest, (size_t)n);
	*rest = bytes_skip(*rest, (size_t)n);
	return true;
}

/* ---- notes ---- */

void table_note(struct table_notes *n, unsigned line, const char *fmt, ...)
{
	if (n->count++ >= TABLE_NOTES_MAX)
		return;
	va_list ap;
	va_start(ap, fmt);
	buf_printf(&n->text, "%s, line %u: ", n->file, line);
	buf_vprintf(&n->text, fmt, ap);
	buf_add_char(&n->text, '\n');
	va_end(ap);
}

void table_notes_fini(struct table_notes *n)
{
	buf_fini(&n->text);
}
