/*
 * milter_record_codec.c: a conversation with a milter as text that survives mail and editors.
 *
 *	gatepost-milter-record 1
 *	# a remark; empty lines count as remarks too
 *	0.000000 = unix:/run/filter.sock
 *	0.000041 > O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff
 *	0.000214 < O\0\0\0\x06\0\0\0\x11\0\0\0\0
 *	0.000300 > Lsubject\0a long one, that goes on in
 *	+ the next line\0
 *	end 4
 *
 * An entry is a time (seconds since the beginning, microseconds behind the dot), a letter, and bytes: a frame of the protocol of
 * milter_codec.c without its length.  Letters: see enum milter_record_kind.  Of the bytes, graphic ASCII and blanks stand for themselves;
 * \\ \n \r \t \0 and \xNN (two hexadecimal digits) for the others.  What is long goes on behind "+ ".  No line begins or
 * ends with a blank.  The last line says how many entries there are.
 */
#include "milter/milter_record_codec.h"

#include "lib/base/mem.h"

#include <errno.h>

enum { LINE_MAX_TEXT = 120 };
static const char kinds[] = "=><?!xCS";

/* ---- writing ---- */

void milter_record_put_begin(struct buf *out)
{
	buf_add_str(out, MILTER_RECORD_FIRST_LINE "\n");
}

static void milter_record_escape(struct buf *out, unsigned char c)
{
	static const char special[] = "\\\n\r\t\0", letters[] = "\\nrt0";
	const char *at = memchr(special, c, sizeof(special) - 1);
	if (at)
		buf_printf(out, "\\%c", letters[at - special]);
	else if (c < ' ' || c > '~')
		buf_printf(out, "\\x%02x", c);
	else
		buf_add_char(out, c);
}

void milter_record_put(struct buf *out, const struct milter_record_entry *e)
{
	buf_printf(out, "%lld.%06lld %c", (long long)(e->at / 1000000000), (long long)(e->at / 1000 % 1000000), e->kind);
	size_t line = out->n;
	for (size_t i = 0; i < e->data.n; i++) {
		if (out->n - line >= LINE_MAX_TEXT) {
			buf_add_str(out, "\n+");
			line = out->n;
		}
		if (out->n == line)
			buf_add_char(out, ' ');
		/* A blank at the end of a line does not survive an editor. */
		bool last = i + 1 == e->data.n || out->n + 1 - line >= LINE_MAX_TEXT;
		if (e->data.p[i] == ' ' && last)
			buf_add_str(out, "\\x20");
		else
			milter_record_escape(out, e->data.p[i]);
	}
	buf_add_char(out, '\n');
}

void milter_record_put_end(struct buf *out, unsigned count)
{
	buf_printf(out, "end %u\n", count);
}

/* ---- reading ---- */

struct record_reader {
	struct milter_record record;
	unsigned capacity;
	struct buf data;                /* of the last entry, which may go on */
	bool ended;
};

/* Two hexadecimal digits at the beginning of S. */
static int milter_record_hex(struct bytes s, char *ret)
{
	uint64_t value;
	if (s.n < 2 || bytes_hex_to_u64(bytes_first(s, 2), 255, &value) < 0)
		return -EINVAL;
	*ret = (char)value;
	return 0;
}

static int milter_record_unescape(struct bytes text, struct buf *out)
{
	static const char letters[] = "\\nrt0", values[] = "\\\n\r\t\0";
	while (text.n > 0) {
		char c = text.p[0];
		size_t n = 1;
		if (c < ' ' || c > '~')
			return -EINVAL;
		if (c == '\\') {
			const char *at = text.n > 1 ? memchr(letters, text.p[1], sizeof(letters) - 1) : NULL;
			if (at)
				c = values[at - letters];
			else if (text.n < 2 || text.p[1] != 'x' || milter_record_hex(bytes_skip(text, 2), &c) < 0)
				return -EINVAL;
			n = at ? 2 : 4;
		}
		buf_add_char(out, c);
		text = bytes_skip(text, n);
	}
	return 0;
}

static int milter_record_time(struct bytes word, int64_t *ret)
{
	uint64_t seconds, micros;
	struct bytes fraction = word, whole = bytes_cut(&fraction, '.');
	if (fraction.n != 6 || bytes_to_u64(whole, INT32_MAX, &seconds) < 0 || bytes_to_u64(fraction, 999999, &micros) < 0)
		return -EINVAL;
	*ret = (int64_t)seconds * 1000000000 + (int64_t)micros * 1000;
	return 0;
}

/* The last entry has all its data. */
static const char *milter_record_settle(struct record_reader *r)
{
	if (r->record.count == 0)
		return NULL;
	struct milter_record_entry *e = &r->record.entries[r->record.count - 1];
	if (r->data.n == 0 && (e->kind == MILTER_RECORD_SENT || e->kind == MILTER_RECORD_RECEIVED))
		return "the frame before this line is empty";
	e->data = arena_bytes(&r->record.arena, buf_bytes(&r->data));
	return NULL;
}

static const char *milter_record_entry(struct record_reader *r, struct bytes line)
{
	struct milter_record_entry e = { 0 };
	struct bytes time = bytes_cut(&line, ' ');
	const char *why = milter_record_settle(r);
	if (why)
		return why;
	if (milter_record_time(time, &e.at) < 0)
		return "it begins with no time";
	if (line.n == 0 || line.p[0] == '\0' || !strchr(kinds, line.p[0]) || (line.n > 1 && line.p[1] != ' '))
		return "there is no such kind of entry";
	e.kind = (enum milter_record_kind)line.p[0];
	if (r->record.count == r->capacity) {
		r->capacity = r->capacity ? 2 * r->capacity : 64;
		r->record.entries = mem_array(r->record.entries, r->capacity, sizeof(e));
	}
	r->record.entries[r->record.count++] = e;
	buf_clear(&r->data);
	return milter_record_unescape(bytes_skip(line, line.n > 1 ? 2 : 1), &r->data) < 0 ? "its bytes are malformed" : NULL;
}

static const char *milter_record_more(struct record_reader *r, struct bytes line)
{
	if (r->record.count == 0)
		return "there is nothing to go on with";
	return milter_record_unescape(bytes_skip(line, 2), &r->data) < 0 ? "its bytes are malformed" : NULL;
}

static const char *milter_record_last(struct record_reader *r, struct bytes line)
{
	uint64_t count;
	const char *why = milter_record_settle(r);
	if (why)
		return why;
	if (bytes_to_u64(bytes_skip(line, 4), UINT32_MAX, &count) < 0 || count != r->record.count)
		return "entries are missing, or there are more than there were";
	r->ended = true;
	return NULL;
}

/* What is wrong with LINE; NULL. */
static const char *milter_record_line(struct record_reader *r, struct bytes line, unsigned number)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (number == 1)
		return bytes_eq(line, BYTES(MILTER_RECORD_FIRST_LINE)) ? NULL : "this is no recording of milter-test, or one of another version";
	if (line.n == 0 || line.p[0] == '#')
		return NULL;
	if (r->ended)
		return "something follows the end";
	if (bytes_starts(line, BYTES("+ ")))
		return milter_record_more(r, line);
	if (bytes_starts(line, BYTES("end ")))
		return milter_record_last(r, line);
	return milter_record_entry(r, line);
}

int milter_record_parse(struct bytes text, struct milter_record *ret, struct buf *err)
{
	struct record_reader r = { 0 };
	const char *why = NULL;
	unsigned number = 0;
	do {
		why = milter_record_line(&r, bytes_cut(&text, '\n'), ++number);
	} while (!why && text.p);
	if (!why && !r.ended)
		why = "the end is missing";
	buf_fini(&r.data);
	if (!why) {
		*ret = r.record;
		return 0;
	}
	buf_printf(err, "%u: %s", number, why);
	milter_record_fini(&r.record);
	return -EINVAL;
}

void milter_record_fini(struct milter_record *r)
{
	mem_free(r->entries);
	arena_fini(&r->arena);
	*r = (struct milter_record){ 0 };
}
