/*
 * reply.c: replies to the wire, to the log, and from configured text.
 */
#include "lib/smtp/reply.h"

/* RFC 5321 4.5.3.1.5: 512 octets with the CR LF. */
enum { REPLY_LINE_MAX = 510 };

/* textstring = 1*(%d09 / %d32-126), and UTF-8 for clients that asked for it (RFC 6531 section 3.7.4.1). */
static void reply_put_text(struct bytes text, struct buf *to)
{
	char *at = buf_room(to, text.n);

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		at[i] = (c < ' ' && c != '\t') || c == 127 ? '?' : (char)c;
	}
	buf_grown(to, text.n);
}

/* Not within a UTF-8 sequence. */
static struct bytes reply_cut(struct bytes text, size_t most)
{
	if (text.n <= most)
		return text;
	while (most && ((unsigned char)text.p[most] & 0xc0) == 0x80)
		most--;
	return bytes_first(text, most);
}

static void reply_put_line(const struct smtp_reply *r, struct bytes text, bool last, struct buf *to)
{
	size_t begin = to->n;

	buf_printf(to, "%u", r->code);
	if (!last)
		buf_add_char(to, '-');
	else if (r->enhanced[0] || text.n)
		buf_add_char(to, ' ');
	buf_add_str(to, r->enhanced);
	if (r->enhanced[0] && text.n)
		buf_add_char(to, ' ');
	reply_put_text(reply_cut(text, REPLY_LINE_MAX - (to->n - begin)), to);
	buf_add(to, BYTES("\r\n"));
}

static struct bytes reply_text(const struct smtp_reply *r)
{
	struct bytes text = bytes_of(r->text ? r->text : "");
	while (text.n && text.p[text.n - 1] == '\n')
		text.n--;
	return text;
}

void smtp_reply_put(const struct smtp_reply *r, struct buf *to)
{
	struct bytes rest = reply_text(r);

	do {
		struct bytes line = bytes_cut(&rest, '\n');
		reply_put_line(r, line, !rest.p, to);
	} while (rest.p);
}

void smtp_reply_line(const struct smtp_reply *r, struct buf *to)
{
	struct bytes text = reply_text(r);

	buf_printf(to, "%u", r->code);
	if (r->enhanced[0])
		buf_printf(to, " %s", r->enhanced);
	if (text.n)
		buf_add_char(to, ' ');
	for (size_t i = 0; i < text.n; i++)
		buf_add_char(to, text.p[i] == '\n' ? ' ' : text.p[i]);
}

static bool reply_number(struct bytes b)
{
	uint64_t v;
	return b.n <= 3 && bytes_to_u64(b, 999, &v) == 0;
}

bool smtp_enhanced_valid(struct bytes text)
{
	struct bytes class = bytes_cut(&text, '.');
	if (class.n != 1 || (*class.p != '2' && *class.p != '4' && *class.p != '5') || !text.p)
		return false;
	struct bytes subject = bytes_cut(&text, '.');
	return reply_number(subject) && text.p && reply_number(text);
}

/* A code that may be answered, as the first word of TEXT: takes it off. */
static bool reply_take_code(struct bytes *text, unsigned *code)
{
	struct bytes rest = *text, word = bytes_word(&rest);
	uint64_t v;

	if (word.n != 3 || bytes_to_u64(word, 599, &v) < 0 || v < 200)
		return false;
	*code = (unsigned)v;
	*text = rest;
	return true;
}

static bool reply_take_enhanced(struct bytes *text, struct bytes *enhanced)
{
	struct bytes rest = *text, word = bytes_word(&rest);

	if (!smtp_enhanced_valid(word))
		return false;
	*enhanced = word;
	*text = rest;
	return true;
}

void smtp_reply_parse_text(struct bytes text, unsigned code, const char *enhanced, struct arena *arena, struct smtp_reply *ret)
{
	struct bytes status = bytes_of(enhanced);
	struct smtp_reply r = { 0 };

	text = bytes_trim(text);
	reply_take_code(&text, &code);
	reply_take_enhanced(&text, &status);
	r.code = code;
	r.text = arena_str(arena, bytes_trim(text));
	if (smtp_enhanced_valid(status)) {
		memcpy(r.enhanced, status.p, status.n);
		/* Clients look at the code, people at the class: they must say the same.  There is no class 3. */
		if (code / 100 == 3)
			r.enhanced[0] = '\0';
		else
			r.enhanced[0] = (char)('0' + code / 100);
	}
	*ret = r;
}

struct smtp_reply smtp_reply_copy(const struct smtp_reply *r, struct arena *arena)
{
	struct smtp_reply copy = *r;
	copy.text = r->text ? arena_str(arena, bytes_of(r->text)) : NULL;
	return copy;
}
