/*
 * table_source.c: postmap(1), "TABLE FORMAT"; aliases(5).
 *
 *	key white-space value
 *	name: value, value...
 *
 * A key ends at white space that stands neither between double quotes nor behind a backslash; quotes and backslashes stay part of it.
 */
#include "tcp_table/table_source.h"

#include "tcp_table/alias_line.h"

/* Length of the key that LINE begins with; -1: its quotes do not end. */
static ptrdiff_t table_source_key(struct bytes line)
{
	bool quoted = false;
	size_t n;
	for (n = 0; n < line.n; n++) {
		if (line.p[n] == '\\') {
			if (++n == line.n)
				break;
		} else if (table_space(line.p[n])) {
			if (!quoted)
				break;
		} else if (line.p[n] == '"') {
			quoted = !quoted;
		}
	}
	return quoted ? -1 : (ptrdiff_t)n;
}

static bool table_source_entry(struct table_source *s, struct bytes line, struct bytes *ret_key, struct bytes *ret_value)
{
	ptrdiff_t n = table_source_key(line);
	if (n < 0) {
		table_note(s->notes, s->lines.line, "a '\"' too many or too few: the line is ignored");
		return false;
	}
	struct bytes key = bytes_first(line, (size_t)n), value = table_trim(bytes_skip(line, (size_t)n));
	if (value.n == 0) {
		table_note(s->notes, s->lines.line, "a key without a value is ignored: \"%.*s\"", BYTES_ARG(key));
		return false;
	}
	if (bytes_ends(key, BYTES(":")))
		table_note(s->notes, s->lines.line, "\"%.*s\" looks like the \"key: value\" of an alias file", BYTES_ARG(key));
	*ret_key = key;
	*ret_value = value;
	return true;
}

static bool table_source_alias(struct table_source *s, struct bytes line, struct bytes *ret_key, struct bytes *ret_value)
{
	const char *wrong = alias_line_parse(line, &s->key, &s->value);
	if (wrong && *wrong)
		table_note(s->notes, s->lines.line, "%s: the line is ignored", wrong);
	*ret_key = buf_bytes(&s->key);
	*ret_value = buf_bytes(&s->value);
	return !wrong;
}

void table_source_init(struct table_source *s, struct bytes text, bool aliases, struct table_notes *notes)
{
	*s = (struct table_source){ .notes = notes, .aliases = aliases };
	if (bytes_starts(text, BYTES("\xef\xbb\xbf")))
		table_note(notes, 1, "the file begins with a byte order mark (U+FEFF), which becomes part of the first key");
	table_lines_init(&s->lines, text);
}

bool table_source_next(struct table_source *s, struct bytes *ret_key, struct bytes *ret_value)
{
	struct bytes line;
	while (table_lines_next(&s->lines, &line)) {
		if (s->lines.orphan)
			table_note(s->notes, s->lines.line, "a line that begins with white space continues nothing and is ignored");
		else if (bytes_find(line, '\0') >= 0)
			table_note(s->notes, s->lines.line, "a line that holds NUL is ignored");
		else if (!bytes_utf8(line))
			table_note(s->notes, s->lines.line, "a line that is not UTF-8 is ignored");
		else if (s->aliases ? table_source_alias(s, line, ret_key, ret_value) : table_source_entry(s, line, ret_key, ret_value))
			return true;
	}
	return false;
}

void table_source_fini(struct table_source *s)
{
	table_lines_fini(&s->lines);
	buf_fini(&s->key);
	buf_fini(&s->value);
}
