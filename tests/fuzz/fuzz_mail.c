/*
 * fuzz_mail.c: a message comes out as it went in; after any edits it is still the message that its fields and body say it is:
 * read again, it has the same fields and the same body, so nothing was injected.
 *
 * Input: a byte that seeds the cuts, a byte with the length of the edit script, the script, the message.
 */
#include "lib/mail/mail.h"

#include "lib/base/assert.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mail *receive(struct bytes in, const struct mail_limits *limits, unsigned seed)
{
	struct mail *m = mail_new(limits);

	while (in.n) {
		seed = seed * 1103515245 + 12345;
		struct bytes piece = bytes_first(in, seed & 1 ? 1 + (seed >> 16) % 9 : in.n);
		ASSERT(mail_append(m, piece) == 0);
		in = bytes_skip(in, piece.n);
	}
	ASSERT(mail_end(m) == 0);
	return m;
}

static void read_all(struct mail *m, size_t most, struct buf *out)
{
	struct mail_cursor c = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;

	do {
		ASSERT(mail_read(m, &c, most, &scratch, &piece) == 0 && piece.n <= most);
		buf_add(out, piece);
	} while (piece.n);
	ASSERT(mail_size(m) == out->n);
	buf_fini(&scratch);
}

static void read_body(struct mail *m, struct buf *out)
{
	struct buf scratch = { 0 };
	struct bytes piece = { 0 };

	do {
		ASSERT(mail_body_read(m, out->n, 11, &scratch, &piece) == 0);
		buf_add(out, piece);
	} while (piece.n);
	buf_fini(&scratch);
}

static struct bytes take(struct bytes *script, size_t n)
{
	struct bytes b = bytes_first(*script, n);
	*script = bytes_skip(*script, b.n);
	return b;
}

static unsigned take_number(struct bytes *script)
{
	struct bytes b = take(script, 1);
	return b.n ? (unsigned char)*b.p : 0;
}

/* Names from the script may be no names; -EINVAL is a good answer to that. */
static int edit(struct mail *m, struct bytes *script)
{
	unsigned op = take_number(script), index = op >> 4;
	struct bytes name = take(script, take_number(script) % 4), value = take(script, take_number(script) % 16);

	switch (op & 7) {
	case 0:
		return mail_header_add(m, name, value, op & 8);
	case 1:
		return mail_header_insert(m, index, name, value, op & 8);
	case 2:
		return mail_header_change(m, name, index, value, op & 8);
	case 3:
		return mail_header_delete(m, name, index);
	case 4:
		mail_trace_prepend(m, BYTES("Received: by us;\r\n\tnow\r\n"));
		return 0;
	case 5:
		return mail_body_replace(m, value);
	case 6:
		return mail_body_replace_end(m);
	default:
		mail_body_replace_abort(m);
		return 0;
	}
}

static void check_same(struct mail *a, struct mail *b)
{
	struct list *x = a->headers.next, *y = b->headers.next;
	struct buf body = { 0 }, again = { 0 };

	for (; x != &a->headers && y != &b->headers; x = x->next, y = y->next)
		ASSERT(bytes_eq(LIST_ITEM(x, struct mail_header, link)->raw, LIST_ITEM(y, struct mail_header, link)->raw));
	ASSERT(x == &a->headers && y == &b->headers);
	read_body(a, &body);
	read_body(b, &again);
	ASSERT(bytes_eq(buf_bytes(&body), buf_bytes(&again)));
	buf_fini(&body);
	buf_fini(&again);
}

static void check_finds(struct mail *m)
{
	struct mail_header *h;

	LIST_EACH(h, &m->headers, struct mail_header, link) {
		bool found = false;
		for (int nth = 1; !h->hidden && !found; nth++) {
			struct mail_header *at = mail_header_find(m, h->name, nth);
			ASSERT(at);
			found = at == h;
		}
		struct bytes value = mail_header_value(h);
		ASSERT(value.p >= h->raw.p && value.p + value.n <= h->raw.p + h->raw.n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct bytes in = { (const char *)data + 2, size - 2 }, script = take(&in, data[1] % 64);
	struct mail_limits limits = { .memory_max = data[0], .spool = data[0] % 8 ? NULL : "/tmp" };
	struct buf out = { 0 };
	unsigned char digest[32], after[32];

	struct mail *m = receive(in, &limits, data[0]);
	read_all(m, 1 + data[0], &out);
	ASSERT(bytes_eq(in, buf_bytes(&out)) && mail_digest(m, digest) == 0);
	while (script.n) {
		int r = edit(m, &script);
		ASSERT(r >= 0 || r == -EINVAL);
	}
	check_finds(m);
	buf_clear(&out);
	read_all(m, 1 + data[0], &out);
	struct mail *again = receive(buf_bytes(&out), &limits, data[0] + 1u);
	check_same(m, again);
	ASSERT(mail_digest(m, after) == 0 && memcmp(digest, after, sizeof digest) == 0);
	mail_unref(&m);
	mail_unref(&again);
	buf_fini(&out);
	return 0;
}
