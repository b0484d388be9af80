/*
 * mail_body.c: reading the body, and a filter's new one (M28).
 *
 * The body as received is kept through a replacement: the digest needs it.
 */
#include "lib/mail/mail.h"

#include "lib/base/assert.h"
#include "lib/mail/mail_private.h"

uint64_t mail_body_size(const struct mail *m)
{
	return mail_store_size(mail_body(m));
}

int mail_body_read(struct mail *m, uint64_t offset, size_t most, struct buf *scratch, struct bytes *ret)
{
	ASSERT(most > 0);
	return mail_store_read(mail_body(m), offset, most, scratch, ret);
}

static int body_put(struct mail *m, struct bytes b)
{
	struct mail_private *p = m->priv;

	if (b.n == 0)
		return 0;
	p->pending_cr = b.p[b.n - 1] == '\r';
	p->pending_lf = b.p[b.n - 1] == '\n';
	return mail_store_append(&p->pending, &m->limits, b);
}

int mail_body_replace(struct mail *m, struct bytes piece)
{
	struct mail_private *p = m->priv;
	size_t from = 0;
	int r = 0;

	/* Runs of lines that end as they should go in as one; a bare LF ends a run. */
	for (size_t i = 0; r == 0; i++) {
		ptrdiff_t lf = bytes_find(bytes_skip(piece, i), '\n');
		if (lf < 0)
			break;
		i += (size_t)lf;
		if (i > 0 ? piece.p[i - 1] == '\r' : p->pending_cr)
			continue;
		r = body_put(m, bytes_make(piece.p + from, i - from));
		if (r == 0)
			r = body_put(m, BYTES("\r"));
		from = i;
	}
	return r < 0 ? r : body_put(m, bytes_skip(piece, from));
}

int mail_body_replace_end(struct mail *m)
{
	struct mail_private *p = m->priv;
	int r = 0;

	if (mail_store_size(&p->pending) && !p->pending_lf)
		r = body_put(m, BYTES("\r\n"));
	if (r == 0)
		r = mail_store_end(&p->pending);
	if (r < 0)
		return r;
	mail_store_fini(&p->edited);
	p->edited = p->pending;
	p->replaced = true;
	p->pending = MAIL_STORE_EMPTY;
	p->pending_cr = p->pending_lf = false;
	if (mail_store_size(&p->edited))
		mail_close_header(m);
	return 0;
}

void mail_body_replace_abort(struct mail *m)
{
	struct mail_private *p = m->priv;

	mail_store_fini(&p->pending);
	p->pending_cr = p->pending_lf = false;
}
