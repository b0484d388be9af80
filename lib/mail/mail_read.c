/*
 * mail_read.c: the message as it would be sent now, and what can be told of it.
 */
#include "lib/mail/mail.h"

#include "lib/base/assert.h"
#include "lib/mail/mail_private.h"

#include <openssl/evp.h>

enum { MAIL_PART_HEADER, MAIL_PART_SEPARATOR, MAIL_PART_BODY };

/* The empty line between header and body.  One that did not come is only made up when without it body would be taken for
 * header: a body that begins with a blank would continue our trace field, a filter's body could begin with anything. */
static struct bytes mail_separator(const struct mail *m)
{
	const struct mail_private *p = m->priv;

	if (p->separator)
		return bytes_skip(buf_bytes(&p->head), p->head.n - p->separator);
	if (mail_store_size(mail_body(m)) && (p->replaced || (p->original_blank && !list_empty(&m->headers))))
		return BYTES("\r\n");
	return (struct bytes){ NULL, 0 };
}

uint64_t mail_received_size(const struct mail *m)
{
	return m->priv->received;
}

uint64_t mail_size(const struct mail *m)
{
	uint64_t n = mail_separator(m).n + mail_body_size(m);
	struct mail_header *h;

	LIST_EACH(h, &m->headers, struct mail_header, link)
		n += h->raw.n;
	return n;
}

bool mail_has_8bit_header(const struct mail *m)
{
	struct mail_header *h;

	LIST_EACH(h, &m->headers, struct mail_header, link)
		if (mail_any_8bit(h->raw))
			return true;
	return false;
}

bool mail_has_8bit(const struct mail *m)
{
	return mail_body(m)->eight_bit || mail_has_8bit_header(m);
}

bool mail_has_separator(const struct mail *m)
{
	return m->priv->separator > 0;
}

/* What is left of the field, or of the separator, at the cursor. */
static struct bytes mail_cursor_slice(const struct mail *m, const struct mail_cursor *c)
{
	if (c->part == MAIL_PART_SEPARATOR)
		return bytes_skip(mail_separator(m), (size_t)c->offset);
	if (!c->header || c->header == &m->headers)
		return (struct bytes){ NULL, 0 };
	return bytes_skip(LIST_ITEM(c->header, struct mail_header, link)->raw, (size_t)c->offset);
}

static void mail_cursor_advance(const struct mail *m, struct mail_cursor *c)
{
	c->offset = 0;
	if (c->part == MAIL_PART_HEADER)
		c->header = c->header ? c->header->next : m->headers.next;
	if (c->part == MAIL_PART_SEPARATOR || c->header == &m->headers)
		c->part++;
}

/* Fields that lie behind each other in memory, as they do when nobody edited them, go out as one piece. */
static struct bytes mail_read_header(const struct mail *m, struct mail_cursor *c, size_t most)
{
	struct bytes all = { NULL, 0 };

	while (c->part != MAIL_PART_BODY && all.n < most) {
		struct bytes slice = bytes_first(mail_cursor_slice(m, c), most - all.n);
		if (slice.n == 0) {
			mail_cursor_advance(m, c);
			continue;
		}
		if (all.n && all.p + all.n != slice.p)
			break;
		all = bytes_make(all.n ? all.p : slice.p, all.n + slice.n);
		c->offset += slice.n;
	}
	return all;
}

int mail_read(struct mail *m, struct mail_cursor *c, size_t most, struct buf *scratch, struct bytes *ret)
{
	ASSERT(most > 0);
	struct bytes piece = mail_read_header(m, c, most);
	if (piece.n == 0) {
		int r = mail_body_read(m, c->offset, most, scratch, &piece);
		if (r < 0)
			return r;
		c->offset += piece.n;
	}
	*ret = piece;
	return 0;
}

static int mail_digest_body(EVP_MD_CTX *sha, const struct mail_store *body)
{
	struct buf scratch = { 0 };
	struct bytes piece;
	uint64_t offset = 0;
	int r;

	while ((r = mail_store_read(body, offset, 65536, &scratch, &piece)) == 0 && piece.n) {
		EVP_DigestUpdate(sha, piece.p, piece.n);
		offset += piece.n;
	}
	buf_fini(&scratch);
	return r;
}

int mail_digest(const struct mail *m, unsigned char ret[static 32])
{
	const struct mail_private *p = m->priv;
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	ASSERT(sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1);
	/* While the header has not ended, all that came is in HEAD. */
	EVP_DigestUpdate(sha, p->head.p, p->head.n);
	int r = mail_digest_body(sha, &p->original);
	if (r == 0)
		EVP_DigestFinal_ex(sha, ret, NULL);
	EVP_MD_CTX_free(sha);
	return r;
}
