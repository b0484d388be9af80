/*
 * smtp_content.c: a message onto a stream.
 *
 * Pieces of the message are not copied but for small ones: those are put into the stream's buffer, so that a header of forty fields does not
 * become forty slices.  A slice must be written before the piece it points into goes away.
 */
#include "delivery/smtp_content.h"

#include <errno.h>

enum {
	CONTENT_SLICES = 32,
	CONTENT_SMALL = 2048,           /* copied up to here */
	CONTENT_BUFFERED = 16384,       /* at most so much in the stream's buffer */
	CONTENT_PIECE = 8192,           /* from the spool: what a session holds that waits here */
	CONTENT_TURN = 256 * 1024,      /* then others have theirs, however fast the peer is */
};

struct content {
	struct stream *stream;
	enum smtp_content_form form;
	struct iovec slices[CONTENT_SLICES];
	unsigned count;
	unsigned tail;                  /* how many bytes of CR LF the text so far ends with: 0, 1 (CR), 2 */
};

TASK_FN static int content_write(struct content *c)
{
	unsigned n = c->count;

	c->count = 0;
	return n || stream_unsent(c->stream) ? stream_writev(c->stream, c->slices, n) : 0;
}

TASK_FN static int content_add(struct content *c, struct bytes b)
{
	if (b.n == 0)
		return 0;
	if (c->count == 0 && b.n <= CONTENT_SMALL && stream_unsent(c->stream) + b.n <= CONTENT_BUFFERED) {
		stream_put(c->stream, b);
		return 0;
	}
	/* A body in memory comes in pieces that follow each other. */
	struct iovec *last = c->count ? &c->slices[c->count - 1] : NULL;
	if (last && (char *)last->iov_base + last->iov_len == b.p) {
		last->iov_len += b.n;
		return 0;
	}
	if (c->count == CONTENT_SLICES) {
		int r = content_write(c);
		if (r < 0)
			return r;
	}
	c->slices[c->count++] = (struct iovec){ .iov_base = (char *)b.p, .iov_len = b.n };
	return 0;
}

/* Is the next byte the first of a line? */
static bool content_at_line(const struct content *c)
{
	return c->tail == 2;
}

static void content_note_tail(struct content *c, struct bytes b)
{
	if (b.n == 0)
		return;
	if (b.p[b.n - 1] == '\r')
		c->tail = 1;
	else if (b.p[b.n - 1] == '\n' && (b.n > 1 ? b.p[b.n - 2] == '\r' : c->tail == 1))
		c->tail = 2;
	else
		c->tail = 0;
}

/* Up to and with the first CR LF that a dot follows; all of it when there is none.  CR LF and dot may lie in different pieces. */
static struct bytes content_until_dot(const struct content *c, struct bytes b)
{
	if (c->tail == 1 && b.n > 1 && b.p[0] == '\n' && b.p[1] == '.')
		return bytes_first(b, 1);
	ptrdiff_t at = bytes_search(b, BYTES("\r\n."));
	return at < 0 ? b : bytes_first(b, (size_t)at + 2);
}

TASK_FN static int content_stuff(struct content *c, struct bytes b)
{
	int r = 0;

	while (b.n && r == 0) {
		if (content_at_line(c) && b.p[0] == '.')
			r = content_add(c, BYTES("."));
		if (r < 0)
			break;
		/* The dot itself never begins a CR LF: what follows it is looked at from the next byte on, but sent with it. */
		struct bytes part = content_until_dot(c, b);
		content_note_tail(c, part);
		r = content_add(c, part);
		b = bytes_skip(b, part.n);
	}
	return r;
}

TASK_FN static int content_end(struct content *c)
{
	static const char end[] = "\r\n.\r\n";
	bool open = !content_at_line(c);
	size_t from = open ? 0 : 2, to = c->form == SMTP_CONTENT_WHOLE ? 5 : 2;

	return from < to ? content_add(c, bytes_make(end + from, to - from)) : 0;
}

TASK_FN static int content_pieces(struct content *c, struct mail *m, struct buf *scratch)
{
	struct mail_cursor cursor = { 0 };
	struct bytes piece;
	size_t turn = 0;
	int r;

	for (;;) {
		r = mail_read(m, &cursor, CONTENT_PIECE, scratch, &piece);
		if (r < 0 || piece.n == 0)
			return r;
		turn += piece.n;
		if (turn >= CONTENT_TURN) {
			turn = 0;
			task_yield();
		}
		r = c->form == SMTP_CONTENT_PLAIN ? content_add(c, piece) : content_stuff(c, piece);
		/* The scratch buffer is about to be filled again. */
		if (r == 0 && c->count && piece.p == scratch->p)
			r = content_write(c);
		if (r < 0)
			return r;
	}
}

TASK_FN int smtp_content_write(struct stream *s, struct mail *m, enum smtp_content_form form)
{
	struct content c = { .stream = s, .form = form, .tail = 2 };
	struct buf scratch = { 0 };
	int r = content_pieces(&c, m, &scratch);

	if (r == 0 && form != SMTP_CONTENT_PLAIN)
		r = content_end(&c);
	if (r == 0)
		r = content_write(&c);
	buf_fini(&scratch);
	return r;
}
