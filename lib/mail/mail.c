/*
 * mail.c: receives a message.
 *
 * The header is gathered in one buffer until it ends; then all fields become slices of it, in one array.  So a message of a few
 * kilobytes costs four allocations: the mail, its header, its fields and its body.
 */
#include "lib/mail/mail.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "lib/mail/mail_private.h"

#include <errno.h>

enum {
	MAIL_NAME_MAX = 998,            /* RFC 5322 2.1.1: no line is longer, so no name is */
	MAIL_HEADER_PIECE = 4096,       /* what is looked at at once while the end of the header is not yet found */
};

struct mail_whole {
	struct mail mail;
	struct mail_private priv;
};

struct mail *mail_new(const struct mail_limits *limits)
{
	struct mail_whole *w = NEW(struct mail_whole);

	w->mail = (struct mail){ .limits = *limits, .priv = &w->priv, .refs = 1 };
	w->priv.original = w->priv.edited = w->priv.pending = MAIL_STORE_EMPTY;
	list_init(&w->mail.headers);
	return &w->mail;
}

struct mail *mail_ref(struct mail *m)
{
	m->refs++;
	return m;
}

void mail_unref(struct mail **mp)
{
	struct mail *m = *mp;

	*mp = NULL;
	if (!m || --m->refs)
		return;
	struct mail_private *p = m->priv;
	mail_store_fini(&p->original);
	mail_store_fini(&p->edited);
	mail_store_fini(&p->pending);
	arena_fini(&p->arena);
	mem_free(p->fields);
	buf_fini(&p->head);
	mem_free(CONTAINER_OF(m, struct mail_whole, mail));
}

bool mail_any_8bit(struct bytes b)
{
	uint64_t seen = 0, word;

	for (; b.n >= sizeof word; b = bytes_skip(b, sizeof word)) {
		memcpy(&word, b.p, sizeof word);
		seen |= word;
	}
	for (size_t i = 0; i < b.n; i++)
		seen |= (unsigned char)b.p[i];
	return seen & 0x8080808080808080;
}

static bool mail_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* field-name = 1*(%d33-57 / %d59-126), and RFC 5322 4.5: obsolete fields may have blanks before the colon. */
ptrdiff_t mail_field_name(struct bytes line)
{
	size_t n = 0, i;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	for (i = n; i < line.n && mail_blank(line.p[i]); i++)
		;
	if (i > MAIL_NAME_MAX)
		return 0;
	if (i == line.n)
		return n || i == 0 ? -1 : 0;
	return line.p[i] == ':' ? (ptrdiff_t)n : 0;
}

enum mail_line { MAIL_LINE_FIELD, MAIL_LINE_FOLDED, MAIL_LINE_EMPTY, MAIL_LINE_BODY, MAIL_LINE_UNKNOWN };

/* LINE may lack its end: then it may be too short to tell. */
static enum mail_line mail_line_kind(const struct mail_private *p, struct bytes line)
{
	if (bytes_eq(line, BYTES("\r\n")) || bytes_eq(line, BYTES("\n")))
		return MAIL_LINE_EMPTY;
	if (bytes_eq(line, BYTES("\r")))
		return MAIL_LINE_UNKNOWN;
	if (p->field_count && line.n && mail_blank(*line.p))
		return MAIL_LINE_FOLDED;
	ptrdiff_t name = mail_field_name(line);
	return name > 0 ? MAIL_LINE_FIELD : name == 0 ? MAIL_LINE_BODY : MAIL_LINE_UNKNOWN;
}

static void mail_split_header(struct mail *m)
{
	struct mail_private *p = m->priv;
	struct bytes rest = { p->head.p, p->line - p->separator };
	struct mail_header *h = NULL;

	if (p->field_count)
		p->fields = mem_zalloc(p->field_count * sizeof *p->fields);
	for (unsigned count = 0; rest.n;) {
		ptrdiff_t lf = bytes_find(rest, '\n');
		struct bytes line = bytes_first(rest, lf < 0 ? rest.n : (size_t)lf + 1);
		if (h && mail_blank(*line.p)) {
			h->raw.n += line.n;
		} else {
			ASSERT(count < p->field_count);
			h = &p->fields[count++];
			h->raw = line;
			h->name = bytes_first(line, (size_t)mail_field_name(line));
			list_append(&m->headers, &h->link);
		}
		rest = bytes_skip(rest, line.n);
	}
}

static bool mail_header_too_large(const struct mail *m, size_t n)
{
	return m->limits.header_max && n > m->limits.header_max;
}

/* The header ends at P->line; what the buffer holds behind it is body. */
static int mail_end_header(struct mail *m)
{
	struct mail_private *p = m->priv;
	struct bytes body = bytes_skip(buf_bytes(&p->head), p->line);

	if (mail_header_too_large(m, p->line - p->separator))
		return -EMSGSIZE;
	p->state = MAIL_BODY;
	p->original_blank = body.n && mail_blank(*body.p);
	int r = mail_store_append(&p->original, &m->limits, body);
	p->head.n = p->line;
	buf_trim(&p->head);
	mail_split_header(m);
	return r;
}

/* The line from P->line up to END, as far as it has come.  True: the header goes on. */
static bool mail_take_line(struct mail_private *p, size_t end)
{
	struct bytes line = { p->head.p + p->line, end - p->line };
	enum mail_line kind = mail_line_kind(p, line);

	if (kind == MAIL_LINE_BODY || kind == MAIL_LINE_UNKNOWN)
		return false;
	if (kind == MAIL_LINE_FIELD)
		p->field_count++;
	if (kind == MAIL_LINE_EMPTY)
		p->separator = line.n;
	p->line = end;
	return kind != MAIL_LINE_EMPTY;
}

/* An unfinished line over the limit is too much header, unless it is plain already that it is none. */
static int mail_check_unfinished(struct mail *m)
{
	struct mail_private *p = m->priv;
	struct bytes line = bytes_skip(buf_bytes(&p->head), p->line);

	if (!mail_header_too_large(m, p->head.n))
		return 0;
	if (mail_header_too_large(m, p->line))
		return -EMSGSIZE;
	switch (mail_line_kind(p, line)) {
	case MAIL_LINE_BODY:
		return mail_end_header(m);
	case MAIL_LINE_UNKNOWN:
		return 0;       /* a name is no longer than MAIL_NAME_MAX, so that will not last */
	default:
		return -EMSGSIZE;
	}
}

static int mail_append_header(struct mail *m, struct bytes piece)
{
	struct mail_private *p = m->priv;
	size_t from = p->head.n;

	buf_add(&p->head, piece);
	for (ptrdiff_t lf; (lf = bytes_find(bytes_skip(buf_bytes(&p->head), from), '\n')) >= 0;) {
		from += (size_t)lf + 1;
		if (!mail_take_line(p, from))
			return mail_end_header(m);
	}
	return mail_check_unfinished(m);
}

int mail_append(struct mail *m, struct bytes raw)
{
	struct mail_private *p = m->priv;

	ASSERT(p->state != MAIL_ENDED);
	if (m->limits.size_max && raw.n > m->limits.size_max - p->received)
		return -EFBIG;
	p->received += raw.n;
	while (p->state == MAIL_HEADER && raw.n) {
		struct bytes piece = bytes_first(raw, MAIL_HEADER_PIECE);
		int r = mail_append_header(m, piece);
		if (r < 0)
			return r;
		raw = bytes_skip(raw, piece.n);
	}
	return raw.n ? mail_store_append(&p->original, &m->limits, raw) : 0;
}

int mail_end(struct mail *m)
{
	struct mail_private *p = m->priv;

	ASSERT(p->state != MAIL_ENDED);
	if (p->state == MAIL_HEADER) {
		if (p->head.n > p->line)
			mail_take_line(p, p->head.n);
		int r = mail_end_header(m);
		if (r < 0)
			return r;
	}
	p->state = MAIL_ENDED;
	return mail_store_end(&p->original);
}
