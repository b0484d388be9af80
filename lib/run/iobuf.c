/*
 * iobuf.c: pooled buffers.
 */
#include "lib/run/iobuf.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

struct free_chunk {
	struct free_chunk *next;
};
struct chunk_pool {
	const uint32_t size;
	const unsigned most;
	struct free_chunk *first;
	unsigned n;
};
static struct chunk_pool pools[] = { { .size = IOBUF_SMALL, .most = 64 }, { .size = IOBUF_LARGE, .most = 16 } };

static void *chunk_take(struct chunk_pool *pool)
{
	struct free_chunk *c = pool->first;

	if (!c)
		return mem_alloc(pool->size);
	pool->first = c->next;
	pool->n--;
	return c;
}

static void chunk_give(void *p, uint32_t size)
{
	struct free_chunk *c = p;

	for (size_t i = 0; i < COUNT_OF(pools); i++) {
		struct chunk_pool *pool = &pools[i];

		if (pool->size != size || pool->n == pool->most)
			continue;
		c->next = pool->first;
		pool->first = c;
		pool->n++;
		return;
	}
	mem_free(p);
}

static void iobuf_grow(struct iobuf *b, size_t want)
{
	struct iobuf bigger = { .to = b->to - b->from };
	uint64_t cap = (uint64_t)IOBUF_LARGE * 2;

	ASSERT(want <= UINT32_MAX / 2);
	while (cap < want)
		cap *= 2;
	if (want <= IOBUF_SMALL)
		bigger.p = chunk_take(&pools[0]), bigger.cap = IOBUF_SMALL;
	else if (want <= IOBUF_LARGE)
		bigger.p = chunk_take(&pools[1]), bigger.cap = IOBUF_LARGE;
	else
		bigger.p = mem_alloc(cap), bigger.cap = (uint32_t)cap;
	if (bigger.to)
		memcpy(bigger.p, b->p + b->from, bigger.to);
	iobuf_fini(b);
	*b = bigger;
}

void iobuf_reserve(struct iobuf *b, size_t n)
{
	size_t used = iobuf_used(b);

	if (iobuf_space(b) >= n)
		return;
	/* Moving costs what is in use, so only where that is the smaller part. */
	if (b->cap >= used + n && b->from >= used) {
		memmove(b->p, b->p + b->from, used);
		b->from = 0;
		b->to = (uint32_t)used;
		return;
	}
	iobuf_grow(b, used + n);
}

void iobuf_append(struct iobuf *b, const void *p, size_t n)
{
	if (!n)
		return;
	iobuf_reserve(b, n);
	memcpy(b->p + b->to, p, n);
	b->to += (uint32_t)n;
}

void iobuf_consume(struct iobuf *b, size_t n)
{
	ASSERT(n <= iobuf_used(b));
	b->from += (uint32_t)n;
}

void iobuf_release(struct iobuf *b)
{
	if (b->from == b->to)
		iobuf_fini(b);
}

void iobuf_fini(struct iobuf *b)
{
	if (b->p)
		chunk_give(b->p, b->cap);
	*b = (struct iobuf){ 0 };
}

void iobuf_trim_pool(void)
{
	for (size_t i = 0; i < COUNT_OF(pools); i++)
		for (struct free_chunk *c; (c = pools[i].first);) {
			pools[i].first = c->next;
			pools[i].n--;
			mem_free(c);
		}
}
