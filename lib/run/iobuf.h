/*
 * iobuf.h: the buffers of streams.
 *
 * An all-zero struct iobuf holds no memory.  It starts with a small chunk (a command, a reply), goes on to a large one
 * (a piece of a message) and only then to memory of its own.  Chunks come from free lists of the process.
 */
#ifndef GATEPOST_RUN_IOBUF_H
#define GATEPOST_RUN_IOBUF_H

#include "lib/base/bytes.h"

enum { IOBUF_SMALL = 2048, IOBUF_LARGE = 16384 };

struct iobuf {
	char *p;
	uint32_t from, to, cap;         /* p[from..to) is in use */
};

static inline size_t iobuf_used(const struct iobuf *b) { return b->to - b->from; }
static inline size_t iobuf_space(const struct iobuf *b) { return b->cap - b->to; }
static inline struct bytes iobuf_bytes(const struct iobuf *b) { return bytes_make(b->p + b->from, b->to - b->from); }

void iobuf_reserve(struct iobuf *b, size_t n);          /* iobuf_space() is at least N */
void iobuf_append(struct iobuf *b, const void *p, size_t n);
void iobuf_consume(struct iobuf *b, size_t n);          /* memory stays until iobuf_release() */
void iobuf_release(struct iobuf *b);                    /* gives the memory back if nothing is in use */
void iobuf_fini(struct iobuf *b);
void iobuf_trim_pool(void);                             /* frees the free lists */

#endif
