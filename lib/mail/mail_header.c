/*
 * mail_header.c: finding and editing header fields, as Postfix does for milters (M21, M24 to M27).
 */
#include "lib/mail/mail.h"

#include "lib/base/assert.h"
#include "lib/mail/mail_private.h"

#include <errno.h>

struct mail_header *mail_header_find(const struct mail *m, struct bytes name, int nth)
{
	unsigned left = nth > 0 ? (unsigned)nth : nth < 0 ? 0u - (unsigned)nth : 1;

	for (struct list *at = nth < 0 ? m->headers.prev : m->headers.next; at != &m->headers; at = nth < 0 ? at->prev : at->next) {
		struct mail_header *h = LIST_ITEM(at, struct mail_header, link);
		if (!h->hidden && bytes_case_eq(h->name, name) && --left == 0)
			return h;
	}
	return NULL;
}

struct bytes mail_header_value(const struct mail_header *h)
{
	struct bytes value = h->raw;

	bytes_cut(&value, ':');
	if (value.n && value.p[value.n - 1] == '\n') {
		value.n--;
		if (value.n && value.p[value.n - 1] == '\r')
			value.n--;
	}
	return value;
}

static bool header_name_ok(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 127 || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* One line of a value; neither NUL nor CR may pass. */
static void header_put_line(struct bytes line, bool continued, struct buf *to)
{
	size_t begin = to->n + 2;

	if (continued)
		buf_add(to, BYTES("\r\n\t"));
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\0' || line.p[i] == '\r')
			continue;
		/* The TAB stands in for white space that is missing. */
		if (continued && to->n == begin + 1 && (line.p[i] == ' ' || line.p[i] == '\t')) {
			to->n = begin;
			continued = false;
		}
		buf_add_char(to, line.p[i]);
	}
}

static void header_put_value(struct bytes value, struct buf *to)
{
	while (value.n && (value.p[value.n - 1] == '\n' || value.p[value.n - 1] == '\r'))
		value.n--;
	for (bool continued = false; value.p; continued = true)
		header_put_line(bytes_cut(&value, '\n'), continued, to);
}

static int header_make(struct mail *m, struct bytes name, struct bytes value, bool leading_space, struct mail_header **ret)
{
	struct buf raw = { 0 };

	if (!header_name_ok(name))
		return -EINVAL;
	buf_add(&raw, name);
	buf_add(&raw, leading_space ? BYTES(":") : BYTES(": "));
	header_put_value(value, &raw);
	buf_add(&raw, BYTES("\r\n"));

	struct mail_header *h = ARENA_NEW(&m->priv->arena, struct mail_header);
	h->raw = arena_bytes(&m->priv->arena, buf_bytes(&raw));
	h->name = bytes_first(h->raw, name.n);
	buf_fini(&raw);
	*ret = h;
	return 0;
}

void mail_close_header(struct mail *m)
{
	struct mail_private *p = m->priv;
	struct mail_header *last = p->field_count ? &p->fields[p->field_count - 1] : NULL;

	if (!last || last->raw.p[last->raw.n - 1] == '\n')
		return;
	struct buf raw = { 0 };
	buf_add(&raw, last->raw);
	buf_add(&raw, BYTES("\r\n"));
	last->raw = arena_bytes(&p->arena, buf_bytes(&raw));
	last->name = bytes_first(last->raw, last->name.n);
	buf_fini(&raw);
}

static int header_put_before(struct mail *m, struct list *at, struct bytes name, struct bytes value, bool leading_space)
{
	struct mail_header *h;
	int r = header_make(m, name, value, leading_space, &h);

	if (r < 0)
		return r;
	mail_close_header(m);
	list_insert_before(at, &h->link);
	return 0;
}

int mail_header_add(struct mail *m, struct bytes name, struct bytes value, bool leading_space)
{
	return header_put_before(m, &m->headers, name, value, leading_space);
}

static bool header_has_trace(const struct mail *m)
{
	struct mail_header *h;

	LIST_EACH(h, &m->headers, struct mail_header, link)
		if (h->hidden)
			return true;
	return false;
}

/* The place with INDEX fields above it.  Our trace fields count as one, also when they are not there yet. */
static struct list *header_place(struct mail *m, unsigned index)
{
	struct list *at = m->headers.next;
	bool trace = false;

	if (index && !header_has_trace(m))
		index--;
	for (; at != &m->headers; at = at->next) {
		const struct mail_header *h = LIST_ITEM(at, struct mail_header, link);
		if (h->hidden && trace)
			continue;
		if (index == 0)
			break;
		trace = trace || h->hidden;
		index--;
	}
	return at;
}

int mail_header_insert(struct mail *m, unsigned index, struct bytes name, struct bytes value, bool leading_space)
{
	return header_put_before(m, header_place(m, index), name, value, leading_space);
}

static struct mail_header *header_nth(const struct mail *m, struct bytes name, unsigned nth)
{
	return mail_header_find(m, name, nth < INT32_MAX ? (int)nth : INT32_MAX);
}

int mail_header_change(struct mail *m, struct bytes name, unsigned nth, struct bytes value, bool leading_space)
{
	struct mail_header *old = header_nth(m, name, nth);

	if (!header_name_ok(name))
		return -EINVAL;
	if (value.n == 0) {
		if (old)
			mail_header_remove(m, old);
		return 0;
	}
	int r = header_put_before(m, old ? &old->link : &m->headers, name, value, leading_space);
	if (r == 0 && old)
		mail_header_remove(m, old);
	return r;
}

bool mail_header_delete(struct mail *m, struct bytes name, unsigned nth)
{
	struct mail_header *h = header_nth(m, name, nth);

	if (h)
		mail_header_remove(m, h);
	return h != NULL;
}

void mail_header_remove(struct mail *m, struct mail_header *h)
{
	(void)m;
	list_remove(&h->link);
}

void mail_trace_prepend(struct mail *m, struct bytes raw)
{
	ptrdiff_t name = mail_field_name(raw);
	struct mail_header *h = ARENA_NEW(&m->priv->arena, struct mail_header);

	ASSERT(name > 0 && bytes_ends(raw, BYTES("\r\n")));
	h->raw = arena_bytes(&m->priv->arena, raw);
	h->name = bytes_first(h->raw, (size_t)name);
	h->hidden = true;
	list_prepend(&m->headers, &h->link);
}
