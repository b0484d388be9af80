/*
 * table_lines.h: the logical lines of Postfix's table files; no I/O.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_LINES_H
#define GATEPOST_TCP_TABLE_TABLE_LINES_H

#include "lib/base/buf.h"

/* Empty lines and those that begin with '#' (blanks before it do not count) are skipped, also within a continued line.  A line that begins with
 * white space continues the one before; the line ends between them are dropped, the white space stays. */
struct table_lines {
	struct bytes rest;      /* of the file */
	unsigned next;          /* number of the line that REST begins with */
	unsigned line;          /* number of the first line of what was returned last */
	bool orphan;            /* what was returned last is white space's own: it continues nothing */
	struct buf joined;
};
void table_lines_init(struct table_lines *l, struct bytes text);
/* The next logical line, valid until the next call; false at the end. */
bool table_lines_next(struct table_lines *l, struct bytes *ret);
void table_lines_fini(struct table_lines *l);

/* White space as isspace() has it in the C locale. */
bool table_space(char c);
bool table_alnum(char c);       /* ASCII letters and digits */
/* Does LINE begin with the word "if" or "endif", in any case, and nothing that could belong to a word behind it?  *RET_REST is the rest, trimmed. */
bool table_keyword(struct bytes line, struct bytes word, struct bytes *ret_rest);
struct bytes table_trim(struct bytes b);
struct bytes table_trim_left(struct bytes b);
/* Cuts the first word off: *REST is what follows it, trimmed at both ends. */
struct bytes table_word(struct bytes *rest);

/* Lists within braces, {a, {b c}, type:{d, e}}: items are divided by commas and white space, of which those within braces do not count. */
bool table_braced(struct bytes b);      /* all of B stands between one pair of braces: "{a} {b}" does not */
struct bytes table_unbraced(struct bytes b);    /* what a braced B holds, trimmed */
/* Cuts the next item off *REST, which stood between one pair of braces; false: there is none. */
bool table_item(struct bytes *rest, struct bytes *ret);

/* What is wrong with single lines of a file: sentences, one a line, for the log.  The first few are kept. */
struct table_notes {
	const char *file;
	struct buf text;
	unsigned count;
};
void table_note(struct table_notes *n, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void table_notes_fini(struct table_notes *n);

#endif
