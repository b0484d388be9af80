/*
 * arena.c: chunks from malloc, the youngest first.  Under ASAN what is not yet given out is poisoned.
 */
#include "lib/base/arena.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct arena_chunk {
	struct arena_chunk *older;
	size_t used, cap;
	alignas(max_align_t) char data[];
};

/* Whole chunks with their head and malloc's own 16 bytes.  Most arenas hold one command: they end with the first chunk.  A
 * transaction that waits for its filters needs some hundred bytes more (measured), and thousands may wait. */
enum { ARENA_FIRST = 512 - 16, ARENA_NEXT = 1024 - 16, ARENA_MOST = 65536 - 16 };

static struct arena_chunk *arena_chunk_new(size_t cap)
{
	struct arena_chunk *c = mem_alloc(sizeof *c + cap);
	*c = (struct arena_chunk){ .cap = cap };
	ASAN_POISON_MEMORY_REGION(c->data, cap);
	return c;
}

static size_t arena_next_cap(const struct arena_chunk *newest)
{
	if (!newest)
		return ARENA_FIRST - sizeof *newest;
	size_t whole = (newest->cap + sizeof *newest) * 2;
	whole = whole < ARENA_NEXT ? ARENA_NEXT : whole > ARENA_MOST ? ARENA_MOST : whole;
	return whole - sizeof *newest;
}

/* A chunk with N bytes free.  What would waste a fresh chunk gets one of its own, behind the newest, which stays in use. */
static struct arena_chunk *arena_chunk_for(struct arena *a, size_t n)
{
	struct arena_chunk *newest = a->chunk;
	if (newest && newest->cap - newest->used >= n)
		return newest;
	size_t cap = arena_next_cap(newest);
	if (newest && n > cap / 2) {
		struct arena_chunk *own = arena_chunk_new(n);
		own->older = newest->older;
		newest->older = own;
		return own;
	}
	struct arena_chunk *c = arena_chunk_new(n > cap ? n : cap);
	c->older = newest;
	a->chunk = c;
	return c;
}

static void *arena_take(struct arena *a, size_t n)
{
	ASSERT(n < SIZE_MAX / 2);
	size_t rounded = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct arena_chunk *c = arena_chunk_for(a, rounded);
	char *p = c->data + c->used;
	c->used += rounded;
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return memset(arena_take(a, n), 0, n);
}

struct bytes arena_bytes(struct arena *a, struct bytes b)
{
	char *p = arena_take(a, b.n + 1);
	if (b.n)
		memcpy(p, b.p, b.n);
	p[b.n] = '\0';
	return bytes_make(p, b.n);
}

char *arena_str(struct arena *a, struct bytes b)
{
	return (char *)arena_bytes(a, b).p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char small[256];
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	ASSERT(n >= 0);
	char *s = arena_take(a, (size_t)n + 1);
	if ((size_t)n < sizeof small)
		memcpy(s, small, (size_t)n + 1);
	else
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return s;
}

void arena_fini(struct arena *a)
{
	for (struct arena_chunk *c = a->chunk, *older; c; c = older) {
		older = c->older;
		ASAN_UNPOISON_MEMORY_REGION(c->data, c->cap);
		mem_free(c);
	}
	a->chunk = NULL;
}
