/*
 * arena.h: allocations that all end together.
 *
 * An all-zero struct arena is empty and holds no memory, so an idle session pays nothing for it.  Chunks
 * start small and grow.  Pointers stay valid until arena_fini(), which leaves the arena empty and ready for use.
 */
#ifndef GATEPOST_BASE_ARENA_H
#define GATEPOST_BASE_ARENA_H

#include "lib/base/bytes.h"

struct arena_chunk;
struct arena {
	struct arena_chunk *chunk;
};

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull, malloc, alloc_size(2)));
char *arena_str(struct arena *a, struct bytes b) __attribute__((returns_nonnull));      /* NUL terminated copy */
struct bytes arena_bytes(struct arena *a, struct bytes b);                              /* copy, NUL behind it */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((returns_nonnull, format(printf, 2, 3)));
void arena_fini(struct arena *a);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (count)))

#endif
