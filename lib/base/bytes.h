/*
 * bytes.h: a slice of somebody else's bytes.
 *
 * A slice owns nothing, is not NUL terminated and may hold any byte.  All letters are compared as ASCII;
 * the locale has no say in what a protocol means.
 */
#ifndef GATEPOST_BASE_BYTES_H
#define GATEPOST_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const char *p;
	size_t n;
};

/* A slice of a string literal, and one of a C string (NULL gives the empty slice). */
#define BYTES(literal) ((struct bytes){ "" literal, sizeof(literal) - 1 })
static inline struct bytes bytes_of(const char *s) { return (struct bytes){ s, s ? strlen(s) : 0 }; }
static inline struct bytes bytes_make(const void *p, size_t n) { return (struct bytes){ p, n }; }

/* printf("%.*s", BYTES_ARG(b)) */
#define BYTES_ARG(b) (int)(b).n, (b).p

/* NULL + 0 is not defined in C, and the empty slice may hold NULL. */
static inline struct bytes bytes_skip(struct bytes b, size_t n) { return (struct bytes){ n ? b.p + n : b.p, b.n - n }; }
static inline struct bytes bytes_first(struct bytes b, size_t n) { return (struct bytes){ b.p, n < b.n ? n : b.n }; }

bool bytes_eq(struct bytes a, struct bytes b);
bool bytes_case_eq(struct bytes a, struct bytes b);
int bytes_cmp(struct bytes a, struct bytes b);          /* as memcmp; the shorter one first */
bool bytes_starts(struct bytes b, struct bytes prefix);
bool bytes_case_starts(struct bytes b, struct bytes prefix);
bool bytes_ends(struct bytes b, struct bytes suffix);
bool bytes_case_ends(struct bytes b, struct bytes suffix);
struct bytes bytes_trim(struct bytes b);                /* space, TAB, CR, LF at both ends */

bool bytes_utf8(struct bytes b);                        /* well-formed UTF-8 (RFC 3629); so is plain ASCII */

/* Index of the first (last) byte C, or of the first needle; -1 if there is none. */
ptrdiff_t bytes_find(struct bytes b, char c);
ptrdiff_t bytes_rfind(struct bytes b, char c);
ptrdiff_t bytes_search(struct bytes haystack, struct bytes needle);

/* Cuts *REST at the first SEP: returns what stands before it, *REST is what follows (empty, p == NULL when
 * there was no SEP: so a loop ends with `while (rest.p)`). */
struct bytes bytes_cut(struct bytes *rest, char sep);

/* Next word of *REST between blanks (space, TAB); empty when there is none. */
struct bytes bytes_word(struct bytes *rest);

/* All of B is decimal digits (hexadecimal digits) and at most MAX: 0, else -EINVAL, or -ERANGE when too large. */
int bytes_to_u64(struct bytes b, uint64_t max, uint64_t *ret) __attribute__((warn_unused_result));
int bytes_hex_to_u64(struct bytes b, uint64_t max, uint64_t *ret) __attribute__((warn_unused_result));

/* A new C string, to be freed; a NUL within B ends it early for C, so ask bytes_find(b, 0) where that matters. */
char *bytes_dup(struct bytes b);

#endif
