/*
 * buf.c: a growing buffer.
 */
#include "lib/base/buf.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <stdio.h>

enum { BUF_FIRST = 64 };

void buf_fini(struct buf *b)
{
	mem_free(b->p);
	*b = (struct buf){ 0 };
}

char *buf_room(struct buf *b, size_t n)
{
	if (b->cap - b->n < n || !b->p) {
		ASSERT(n < SIZE_MAX / 4 && b->cap < SIZE_MAX / 4);
		/* Doubling keeps the copying linear in what is added. */
		size_t cap = b->cap ? b->cap * 2 : BUF_FIRST;
		b->cap = cap > b->n + n ? cap : b->n + n;
		b->p = mem_realloc(b->p, b->cap);
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, struct bytes s)
{
	if (s.n == 0)
		return;
	memcpy(buf_room(b, s.n), s.p, s.n);
	b->n += s.n;
}

void buf_add_char(struct buf *b, char c)
{
	*buf_room(b, 1) = c;
	b->n++;
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, bytes_of(s));
}

void buf_add_u32be(struct buf *b, uint32_t v)
{
	char wire[4] = { (char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v };
	buf_add(b, bytes_make(wire, sizeof wire));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	char *at = buf_room(b, 1);
	int n = vsnprintf(at, b->cap - b->n, fmt, ap);
	ASSERT(n >= 0);
	if ((size_t)n >= b->cap - b->n) {
		at = buf_room(b, (size_t)n + 1);
		vsnprintf(at, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	b->n += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->n);
	b->n -= n;
	if (n && b->n)
		memmove(b->p, b->p + n, b->n);
}

void buf_trim(struct buf *b)
{
	if (b->n == 0) {
		buf_fini(b);
	} else if (b->n < b->cap) {
		b->p = mem_realloc(b->p, b->n);
		b->cap = b->n;
	}
}

const char *buf_str(struct buf *b)
{
	*buf_room(b, 1) = '\0';
	return b->p;
}

char *buf_take_str(struct buf *b)
{
	buf_str(b);
	char *s = b->p;
	*b = (struct buf){ 0 };
	return s;
}
