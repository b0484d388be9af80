/* milter_edits.c: envelope, header and body, before and after. */
#include "mta/milter_edits.h"

#include "lib/base/diff.h"
#include "milter/milter_print.h"

enum { CONTENT_MOST = 16 << 20, LINE_MOST = 200, LINES_MOST = 200 };

static void edits_line(struct buf *out, struct bytes line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	milter_print_text(out, line, LINE_MOST);
}

void milter_edits_envelope(const struct gate_txn *txn, struct buf *out)
{
	const struct gate_rcpt *rcpt;
	buf_printf(out, "MAIL FROM:<%.*s>\n", BYTES_ARG(txn->sender.address.address));
	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link)
		buf_printf(out, "RCPT TO:<%.*s>\n", BYTES_ARG(rcpt->path.address.address));
}

/* The message without our trace fields: what the client would have sent, had it sent this. */
static int edits_content(struct mail *mail, struct buf *out)
{
	struct mail_header *h;
	struct buf scratch = { 0 };
	struct bytes piece = { 0 };
	uint64_t offset = 0;
	int r;
	LIST_EACH(h, &mail->headers, struct mail_header, link)
		if (!h->hidden)
			buf_add(out, h->raw);
	if (mail_has_separator(mail))
		buf_add_str(out, "\r\n");
	do {
		r = mail_body_read(mail, offset, 65536, &scratch, &piece);
		offset += piece.n;
		if (r == 0)
			buf_add(out, piece);
	} while (r == 0 && piece.n > 0 && out->n < CONTENT_MOST);
	buf_fini(&scratch);
	return r;
}

static bool edits_diff(const char *what, struct bytes before, struct bytes after, struct buf *out)
{
	struct buf text = { 0 };
	const struct diff_params p = { .before = before, .after = after, .context = 2, .most = LINES_MOST, .line = edits_line };
	bool any = diff_lines(&p, &text);
	if (any)
		buf_printf(out, "--- %s, from the client\n+++ %s, behind the milter\n%.*s", what, what, BYTES_ARG(buf_bytes(&text)));
	buf_fini(&text);
	return any;
}

int milter_edits_print(struct bytes envelope, struct bytes content, const struct gate_txn *txn, struct buf *out)
{
	struct buf envelope_now = { 0 }, content_now = { 0 };
	milter_edits_envelope(txn, &envelope_now);
	int r = edits_content(txn->mail, &content_now);
	bool any = edits_diff("envelope", envelope, buf_bytes(&envelope_now), out);
	if (r == 0)
		any |= edits_diff("message", bytes_first(content, CONTENT_MOST), bytes_first(buf_bytes(&content_now), CONTENT_MOST), out);
	if (!any)
		buf_add_str(out, "envelope and message are unchanged\n");
	if (txn->held) {
		buf_add_str(out, "to be held: ");
		milter_print_text(out, bytes_of(txn->hold_reason), LINE_MOST);
		buf_add_char(out, '\n');
	}
	buf_fini(&envelope_now);
	buf_fini(&content_now);
	return r;
}
