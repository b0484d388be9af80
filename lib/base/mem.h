/*
 * mem.h: allocation that cannot fail.  Running out of memory ends the process (abort): a worker that dies
 * loses no message, while a half-handled failure might.  Lengths that come from a peer are checked against a
 * limit before they get here.
 */
#ifndef GATEPOST_BASE_MEM_H
#define GATEPOST_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n) __attribute__((returns_nonnull, malloc, alloc_size(1)));
void *mem_zalloc(size_t n) __attribute__((returns_nonnull, malloc, alloc_size(1)));
void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull, alloc_size(2)));
void *mem_array(void *p, size_t count, size_t size) __attribute__((returns_nonnull)); /* realloc, overflow checked */
char *mem_strdup(const char *s) __attribute__((returns_nonnull, malloc));
char *mem_printf(const char *fmt, ...) __attribute__((returns_nonnull, format(printf, 1, 2)));
void mem_free(void *p);

#define NEW(type) ((type *)mem_zalloc(sizeof(type)))
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif
