/*
 * mem.c: malloc and its kin, ending the process where they fail.
 */
#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void __attribute__((noreturn, cold)) mem_exhausted(void)
{
	static const char text[] = "level=error event=out-of-memory\n";
	/* Nothing that allocates may be called any more; whether this is read changes nothing. */
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
		abort();
	abort();
}

void *mem_alloc(size_t n)
{
	void *p = malloc(n ? n : 1);
	if (!p)
		mem_exhausted();
	return p;
}

void *mem_zalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	if (!p)
		mem_exhausted();
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	if (!p)
		mem_exhausted();
	return p;
}

void *mem_array(void *p, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n))
		mem_exhausted();
	return mem_realloc(p, n);
}

char *mem_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(mem_alloc(n), s, n);
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		mem_exhausted();
	return s;
}

void mem_free(void *p)
{
	free(p);
}
