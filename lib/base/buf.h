/*
 * buf.h: bytes that grow.  An all-zero struct buf is an empty buffer; buf_fini() makes it one again.
 */
#ifndef GATEPOST_BASE_BUF_H
#define GATEPOST_BASE_BUF_H

#include "lib/base/bytes.h"

#include <stdarg.h>

struct buf {
	char *p;
	size_t n, cap;
};

void buf_fini(struct buf *b);
static inline void buf_clear(struct buf *b) { b->n = 0; }
static inline struct bytes buf_bytes(const struct buf *b) { return (struct bytes){ b->p, b->n }; }

/* Room for N more bytes at the end: a pointer to them.  buf_grown() says how many were used. */
char *buf_room(struct buf *b, size_t n);
static inline void buf_grown(struct buf *b, size_t n) { b->n += n; }

void buf_add(struct buf *b, struct bytes s);
void buf_add_char(struct buf *b, char c);
void buf_add_str(struct buf *b, const char *s);
void buf_add_u32be(struct buf *b, uint32_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Takes the first N bytes away. */
void buf_consume(struct buf *b, size_t n);

/* Gives back the memory that is not in use. */
void buf_trim(struct buf *b);

/* The contents with a NUL behind them (not counted in n); valid until the buffer changes. */
const char *buf_str(struct buf *b);

/* The contents as a C string to be freed with mem_free(); the buffer is empty afterwards. */
char *buf_take_str(struct buf *b);

#endif
