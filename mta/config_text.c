/* config_text.c: comments blanked, line for line; see config_text.h. */
#include "mta/config_text.h"

#include "lib/base/mem.h"

#include <errno.h>

/* Deeper sections than any configuration has; those within keep the line of their closing brace. */
#define DEPTH_MAX 8

struct scan {
	struct bytes rest;
	int line;
	struct buf *out, *err;
	struct config_text *text;
	int open_lines[DEPTH_MAX];
	unsigned depth;
};

static bool ends_word(char c)
{
	return strchr(" \t\r\n={}(),\"'#+", c) != NULL;
}

static void keep(struct scan *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s->line += s->rest.p[i] == '\n';
	buf_add(s->out, bytes_first(s->rest, n));
	s->rest = bytes_skip(s->rest, n);
}

static void blank(struct scan *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool newline = s->rest.p[i] == '\n';
		s->line += newline;
		buf_add_char(s->out, newline ? '\n' : ' ');
	}
	s->rest = bytes_skip(s->rest, n);
}

static void blank_to_line_end(struct scan *s)
{
	ptrdiff_t n = bytes_find(s->rest, '\n');
	blank(s, n < 0 ? s->rest.n : (size_t)n);
}

static int blank_c_comment(struct scan *s)
{
	ptrdiff_t n = bytes_search(bytes_skip(s->rest, 2), BYTES("*/"));
	if (n < 0) {
		buf_printf(s->err, "%d: this comment has no end: \"*/\" is missing", s->line);
		return -EINVAL;
	}
	blank(s, (size_t)n + 4);
	return 0;
}

static int keep_string(struct scan *s)
{
	char quote = s->rest.p[0];
	for (size_t i = 1; i < s->rest.n; i++) {
		if (s->rest.p[i] == '\\')
			i++;
		else if (s->rest.p[i] == quote) {
			keep(s, i + 1);
			return 0;
		}
	}
	buf_printf(s->err, "%d: this string has no end: %c is missing", s->line, quote);
	return -EINVAL;
}

/* An unquoted word.  One that opens a section although it can also be a value gets its second name. */
static int keep_word(struct scan *s)
{
	size_t n = 0;
	while (n < s->rest.n && !ends_word(s->rest.p[n])) {
		if (s->rest.p[n] == '*') {
			buf_printf(s->err, "%d: a value with * in it has to be quoted", s->line);
			return -EINVAL;
		}
		n++;
	}
	struct bytes word = bytes_first(s->rest, n);
	keep(s, n);
	if (bytes_eq(word, BYTES("on_failure")) && bytes_starts(bytes_trim(s->rest), BYTES("{")))
		buf_add_str(s->out, CONFIG_TEXT_SECTION_SUFFIX);
	return 0;
}

static void note_brace(struct scan *s)
{
	if (s->rest.p[0] == '{') {
		if (s->depth < DEPTH_MAX)
			s->open_lines[s->depth] = s->line;
		s->depth++;
	} else if (s->rest.p[0] == '}' && s->depth) {
		s->depth--;
		if (s->depth < DEPTH_MAX)
			s->text->opened[s->line] = s->open_lines[s->depth];
	}
}

static int step(struct scan *s)
{
	char c = s->rest.p[0];
	if (c == '#' || bytes_starts(s->rest, BYTES("//"))) {
		blank_to_line_end(s);
		return 0;
	}
	if (bytes_starts(s->rest, BYTES("/*")))
		return blank_c_comment(s);
	if (c == '"' || c == '\'')
		return keep_string(s);
	if (c == '+' && !bytes_starts(s->rest, BYTES("+="))) {
		buf_printf(s->err, "%d: a value with + in it has to be quoted", s->line);
		return -EINVAL;
	}
	if (!ends_word(c))
		return keep_word(s);
	note_brace(s);
	keep(s, c == '+' ? 2 : 1);
	return 0;
}

static int count_lines(struct bytes b)
{
	int n = 1;
	for (size_t i = 0; i < b.n; i++)
		n += b.p[i] == '\n';
	return n;
}

int config_text_init(struct bytes text, struct config_text *ret, struct buf *err)
{
	ptrdiff_t nul = bytes_find(text, 0);
	*ret = (struct config_text){ .lines = count_lines(text) };
	if (nul >= 0) {
		buf_printf(err, "%d: there is a NUL byte in this line", count_lines(bytes_first(text, (size_t)nul)));
		return -EINVAL;
	}
	ret->opened = mem_zalloc(sizeof *ret->opened * ((size_t)ret->lines + 1));
	struct scan s = { .rest = text, .line = 1, .out = &ret->plain, .err = err, .text = ret };
	while (s.rest.n) {
		int r = step(&s);
		if (r)
			return r;
	}
	/* libconfuse takes the end of the file for the end of a section. */
	if (s.depth) {
		buf_printf(err, "%d: the brace opened here is never closed", s.open_lines[s.depth <= DEPTH_MAX ? s.depth - 1 : DEPTH_MAX - 1]);
		return -EINVAL;
	}
	return 0;
}

void config_text_fini(struct config_text *t)
{
	buf_fini(&t->plain);
	mem_free(t->opened);
	t->opened = NULL;
}

int config_text_opened(const struct config_text *t, int closed)
{
	return closed > 0 && closed <= t->lines && t->opened[closed] ? t->opened[closed] : closed;
}
