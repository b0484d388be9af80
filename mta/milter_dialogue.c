/* milter_dialogue.c: from a file, or from the parts of a message, to what the client sends. */
#include "mta/milter_dialogue.h"

#include "lib/base/mem.h"
#include "lib/smtp/data.h"

#include <errno.h>

enum { REPEAT_MOST = 1000000, PIECES_MOST = 4 * 1000 * 1000 };

void milter_dialogue_init(struct milter_dialogue *d, struct arena *arena)
{
	*d = (struct milter_dialogue){ .arena = arena };
}

void milter_dialogue_fini(struct milter_dialogue *d)
{
	mem_free(d->pieces);
	*d = (struct milter_dialogue){ 0 };
}

static void dialogue_add(struct milter_dialogue *d, struct bytes piece)
{
	if (d->count == d->capacity) {
		d->capacity = d->capacity ? 2 * d->capacity : 16;
		d->pieces = mem_array(d->pieces, d->capacity, sizeof(*d->pieces));
	}
	d->pieces[d->count++] = piece;
}

/* ---- a file ---- */

/* LINE as it is. */
static void dialogue_line(struct milter_dialogue *d, struct bytes line)
{
	struct buf b = { 0 };
	buf_add(&b, line);
	buf_add_str(&b, "\r\n");
	dialogue_add(d, arena_bytes(d->arena, buf_bytes(&b)));
	buf_fini(&b);
}

static bool dialogue_is_line_of_client(struct bytes line)
{
	return line.n >= 2 && line.p[0] == 'C' && strchr(":|*", line.p[1]) != NULL;
}

static const char *dialogue_unescape_one(struct bytes *text, struct buf *out)
{
	static const char letters[] = "rnt0\\", values[] = "\r\n\t\0\\";
	const char *at = text->n > 1 ? memchr(letters, text->p[1], sizeof(letters) - 1) : NULL;
	uint64_t value;
	if (at) {
		buf_add_char(out, values[at - letters]);
		*text = bytes_skip(*text, 2);
		return NULL;
	}
	if (text->n < 4 || text->p[1] != 'x' || bytes_hex_to_u64(bytes_make(text->p + 2, 2), 255, &value) < 0)
		return "only \\r \\n \\t \\0 \\\\ and \\xNN stand behind a backslash";
	buf_add_char(out, (char)value);
	*text = bytes_skip(*text, 4);
	return NULL;
}

/* TEXT with its escapes resolved, and END, as a piece. */
static const char *dialogue_unescape(struct milter_dialogue *d, struct bytes text, const char *end, struct bytes *ret)
{
	struct buf out = { 0 };
	const char *why = NULL;
	while (!why && text.n > 0) {
		if (text.p[0] == '\\') {
			why = dialogue_unescape_one(&text, &out);
		} else {
			buf_add_char(&out, text.p[0]);
			text = bytes_skip(text, 1);
		}
	}
	buf_add_str(&out, end);
	*ret = arena_bytes(d->arena, buf_bytes(&out));
	buf_fini(&out);
	return why;
}

/* "C: text", "C| raw", "C* 10 text" */
static const char *dialogue_line_of_client(struct milter_dialogue *d, struct bytes line)
{
	char form = line.p[1];
	uint64_t times = 1;
	struct bytes piece, text = bytes_skip(line, 2);
	if (text.n > 0 && text.p[0] == ' ')
		text = bytes_skip(text, 1);
	if (form == '*' && (bytes_to_u64(bytes_word(&text), REPEAT_MOST, &times) < 0))
		return "how many times?";
	if (form == '*' && text.n > 0)
		text = bytes_skip(text, 1);
	const char *why = dialogue_unescape(d, text, form == '|' ? "" : "\r\n", &piece);
	for (; !why && times > 0; times--) {
		if (d->count == PIECES_MOST)
			return "these are too many lines";
		dialogue_add(d, piece);
	}
	return why;
}

static bool dialogue_is_test(struct bytes text)
{
	while (text.n > 0) {
		struct bytes line = bytes_trim(bytes_cut(&text, '\n'));
		if (bytes_eq(line, BYTES("[dialogue]")) || bytes_starts(line, BYTES("C:")))
			return true;
	}
	return false;
}

static bool dialogue_has_section(struct bytes text)
{
	return bytes_starts(text, BYTES("[dialogue]")) || bytes_search(text, BYTES("\n[dialogue]")) >= 0;
}

int milter_dialogue_parse(struct milter_dialogue *d, struct bytes text, struct buf *err)
{
	bool test = dialogue_is_test(text), within = !test || !dialogue_has_section(text);
	for (unsigned number = 1; text.n > 0; number++) {
		struct bytes line = bytes_cut(&text, '\n');
		const char *why = NULL;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (!test)
			dialogue_line(d, line);
		else if (within && dialogue_is_line_of_client(line))
			why = dialogue_line_of_client(d, line);
		else if (within && bytes_starts(line, BYTES("C=")))
			why = "this cannot be done here";
		within |= bytes_eq(bytes_trim(line), BYTES("[dialogue]"));
		if (why) {
			buf_printf(err, "%u: %s", number, why);
			return -EINVAL;
		}
	}
	return 0;
}

/* ---- a message ---- */

static void dialogue_path(struct milter_dialogue *d, const char *verb, const char *path)
{
	struct bytes params = bytes_of(path), address = bytes_cut(&params, ' ');
	bool bare = address.n == 0 || address.p[0] != '<';
	dialogue_add(d, bytes_of(arena_printf(d->arena, "%s:%s%.*s%s%s%.*s\r\n", verb, bare ? "<" : "", BYTES_ARG(address), bare ? ">" : "",
				     params.n ? " " : "", BYTES_ARG(params))));
}

/* Lines ended by CR LF, whatever they were ended by before. */
static void dialogue_normalize(struct bytes message, struct buf *out)
{
	if (bytes_starts(message, BYTES("From ")))
		bytes_cut(&message, '\n');
	while (message.n > 0) {
		struct bytes line = bytes_cut(&message, '\n');
		bool ended = line.n > 0 && line.p[line.n - 1] == '\r';
		buf_add(out, line);
		/* The last line may lack its end. */
		buf_add_str(out, ended && message.p ? "\n" : "\r\n");
	}
}

void milter_dialogue_compose(struct milter_dialogue *d, const struct milter_dialogue_params *p)
{
	struct buf lines = { 0 }, content = { 0 };
	struct smtp_data_encoder e;
	dialogue_add(d, bytes_of(arena_printf(d->arena, "EHLO %s\r\n", p->helo)));
	dialogue_path(d, "MAIL FROM", p->from);
	for (const char *const *to = p->to; *to; to++)
		dialogue_path(d, "RCPT TO", *to);
	dialogue_add(d, BYTES("DATA\r\n"));
	dialogue_normalize(p->message, &lines);
	smtp_data_encoder_init(&e);
	smtp_data_encode(&e, buf_bytes(&lines), &content);
	dialogue_add(d, arena_bytes(d->arena, buf_bytes(&content)));
	dialogue_add(d, BYTES(".\r\n"));
	dialogue_add(d, BYTES("QUIT\r\n"));
	buf_fini(&lines);
	buf_fini(&content);
}
