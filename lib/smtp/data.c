/*
 * data.c: dot-stuffing, and the watch for whatever only looks like the end of the data.
 *
 * SMTP smuggling lives on servers that disagree about where DATA ends.  Here there is one answer: <CR><LF>.<CR><LF>, with the
 * <CR><LF> of the DATA command standing for the first one when the message is empty.  A line that a bare LF ends (NORMALIZE)
 * is a line as far as dot-stuffing goes, as in Postfix 3.9, but neither the end before nor the end after the dot may be one.
 */
#include "lib/smtp/data.h"

enum data_state {
	DATA_LINE,              /* behind a CR LF */
	DATA_SOFT_LINE,         /* behind a bare LF that was made a line end */
	DATA_TEXT,
	DATA_CR,                /* CR held back: line end or bare? */
	DATA_DOT,               /* CR LF "." held back: end, or a stuffed line? */
	DATA_DOT_CR,
};

void smtp_data_decoder_init(struct smtp_data_decoder *d, enum smtp_bare mode)
{
	*d = (struct smtp_data_decoder){ .mode = mode, .state = DATA_LINE };
}

static void data_bare_lf(struct smtp_data_decoder *d, struct buf *out)
{
	d->bare_lf = true;
	d->state = d->mode == SMTP_BARE_NORMALIZE ? DATA_SOFT_LINE : DATA_TEXT;
	buf_add(out, d->mode == SMTP_BARE_NORMALIZE ? BYTES("\r\n") : BYTES("\n"));
}

static void data_bare_cr(struct smtp_data_decoder *d, struct buf *out)
{
	d->bare_cr = true;
	d->state = DATA_TEXT;
	buf_add_char(out, d->mode == SMTP_BARE_NORMALIZE ? ' ' : '\r');
}

/* A byte within a line. */
static void data_text(struct smtp_data_decoder *d, char c, struct buf *out)
{
	d->state = DATA_TEXT;
	if (c == '\r') {
		d->state = DATA_CR;
	} else if (c == '\n') {
		data_bare_lf(d, out);
	} else {
		d->nul |= c == '\0';
		buf_add_char(out, c);
	}
}

/* Any byte in any state: what data_plain() leaves over. */
static void data_byte(struct smtp_data_decoder *d, char c, struct buf *out)
{
	switch (d->state) {
	case DATA_LINE:
		if (c != '.')
			return data_text(d, c, out);
		d->state = DATA_DOT;
		return;
	case DATA_SOFT_LINE:
		if (c != '.')
			return data_text(d, c, out);
		d->state = DATA_TEXT;
		return;
	case DATA_DOT:
		/* RFC 5321 4.5.2: if the first character is a period and there are other characters on the line, the first
		 * character is deleted. */
		if (c != '\r')
			return data_text(d, c, out);
		d->state = DATA_DOT_CR;
		return;
	case DATA_DOT_CR:
		d->done = c == '\n';
		if (d->done)
			return;
		break;
	case DATA_CR:
		if (c != '\n')
			break;
		d->state = DATA_LINE;
		return buf_add(out, BYTES("\r\n"));
	default:
		return data_text(d, c, out);
	}
	data_bare_cr(d, out);
	data_text(d, c, out);
}

/* How many bytes at the front of IN, met within or at the begin of a line, hold nothing special.  Stops before a dot at the
 * begin of a line, a bare LF, and any CR that is not followed by LF within IN. */
static size_t data_plain(struct bytes in)
{
	const char *at = in.p, *end = in.p + in.n;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t line = (size_t)((lf ? lf : end) - at);
		const char *cr = memchr(at, '\r', line);
		if (!lf || !cr || cr + 1 != lf)
			return (size_t)((cr ? cr : at + line) - in.p);
		at = lf + 1;
		if (at < end && *at == '.')
			break;
	}
	return (size_t)(at - in.p);
}

static bool data_in_text(const struct smtp_data_decoder *d, char next)
{
	return d->state == DATA_TEXT || ((d->state == DATA_LINE || d->state == DATA_SOFT_LINE) && next != '.');
}

void smtp_data_decode(struct smtp_data_decoder *d, struct bytes *in, struct buf *out)
{
	while (in->n && !d->done) {
		struct bytes plain = bytes_first(*in, data_in_text(d, *in->p) ? data_plain(*in) : 0);
		if (plain.n == 0) {
			data_byte(d, *in->p, out);
			*in = bytes_skip(*in, 1);
			continue;
		}
		d->nul = d->nul || bytes_find(plain, '\0') >= 0;
		d->state = plain.p[plain.n - 1] == '\n' ? DATA_LINE : DATA_TEXT;
		buf_add(out, plain);
		*in = bytes_skip(*in, plain.n);
	}
}

void smtp_data_encoder_init(struct smtp_data_encoder *e)
{
	e->state = DATA_LINE;
}

void smtp_data_encode(struct smtp_data_encoder *e, struct bytes in, struct buf *out)
{
	/* What the last piece ended with. */
	if (in.n && e->state == DATA_CR && *in.p == '\n') {
		buf_add_char(out, '\n');
		in = bytes_skip(in, 1);
		e->state = DATA_LINE;
	}
	if (in.n == 0)
		return;
	if (e->state == DATA_LINE && *in.p == '.')
		buf_add_char(out, '.');
	for (ptrdiff_t at; (at = bytes_search(in, BYTES("\r\n."))) >= 0; in = bytes_skip(in, (size_t)at + 2)) {
		buf_add(out, bytes_first(in, (size_t)at + 2));
		buf_add_char(out, '.');
	}
	buf_add(out, in);
	e->state = bytes_ends(in, BYTES("\r\n")) ? DATA_LINE : in.p[in.n - 1] == '\r' ? DATA_CR : DATA_TEXT;
}

void smtp_data_encode_end(struct smtp_data_encoder *e, struct buf *out)
{
	buf_add(out, e->state == DATA_LINE ? BYTES(".\r\n") : BYTES("\r\n.\r\n"));
	e->state = DATA_LINE;
}
