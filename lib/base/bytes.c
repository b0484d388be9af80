/*
 * bytes.c: comparing, searching and cutting slices.
 */
#include "lib/base/bytes.h"

#include "lib/base/mem.h"

#include <errno.h>

static unsigned char bytes_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : (unsigned char)c;
}

/* memcmp() and memmem() must not be given NULL, which an empty slice may hold. */
bool bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool bytes_case_eq(struct bytes a, struct bytes b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (bytes_lower(a.p[i]) != bytes_lower(b.p[i]))
			return false;
	return true;
}

int bytes_cmp(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static struct bytes bytes_last(struct bytes b, size_t n)
{
	return bytes_skip(b, b.n - n);
}

bool bytes_starts(struct bytes b, struct bytes prefix)
{
	return b.n >= prefix.n && bytes_eq(bytes_first(b, prefix.n), prefix);
}

bool bytes_case_starts(struct bytes b, struct bytes prefix)
{
	return b.n >= prefix.n && bytes_case_eq(bytes_first(b, prefix.n), prefix);
}

bool bytes_ends(struct bytes b, struct bytes suffix)
{
	return b.n >= suffix.n && bytes_eq(bytes_last(b, suffix.n), suffix);
}

bool bytes_case_ends(struct bytes b, struct bytes suffix)
{
	return b.n >= suffix.n && bytes_case_eq(bytes_last(b, suffix.n), suffix);
}

static bool bytes_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool bytes_space(char c)
{
	return bytes_blank(c) || c == '\r' || c == '\n';
}

struct bytes bytes_trim(struct bytes b)
{
	while (b.n && bytes_space(b.p[b.n - 1]))
		b.n--;
	while (b.n && bytes_space(*b.p))
		b = bytes_skip(b, 1);
	return b;
}

/* Length of the UTF-8 sequence at the front of B; 0 if there is none.  The second byte's range keeps out overlong forms,
 * surrogates and what lies beyond U+10FFFF (RFC 3629 section 4). */
static size_t bytes_utf8_length(struct bytes b)
{
	unsigned char c = (unsigned char)b.p[0], low = 0x80, high = 0xbf;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n > b.n)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf)
		if ((unsigned char)b.p[i] < low || (unsigned char)b.p[i] > high)
			return 0;
	return n;
}

bool bytes_utf8(struct bytes b)
{
	while (b.n) {
		size_t n = bytes_utf8_length(b);
		if (n == 0)
			return false;
		b = bytes_skip(b, n);
	}
	return true;
}

ptrdiff_t bytes_find(struct bytes b, char c)
{
	const char *at = b.n ? memchr(b.p, c, b.n) : NULL;
	return at ? at - b.p : -1;
}

ptrdiff_t bytes_rfind(struct bytes b, char c)
{
	const char *at = b.n ? memrchr(b.p, c, b.n) : NULL;
	return at ? at - b.p : -1;
}

ptrdiff_t bytes_search(struct bytes haystack, struct bytes needle)
{
	if (needle.n == 0)
		return 0;
	const char *at = haystack.n ? memmem(haystack.p, haystack.n, needle.p, needle.n) : NULL;
	return at ? at - haystack.p : -1;
}

struct bytes bytes_cut(struct bytes *rest, char sep)
{
	struct bytes head = *rest;
	ptrdiff_t at = bytes_find(head, sep);

	if (at < 0) {
		*rest = (struct bytes){ NULL, 0 };
		return head;
	}
	*rest = bytes_skip(head, (size_t)at + 1);
	return bytes_first(head, (size_t)at);
}

struct bytes bytes_word(struct bytes *rest)
{
	struct bytes b = *rest;
	size_t n = 0;

	while (b.n && bytes_blank(*b.p))
		b = bytes_skip(b, 1);
	while (n < b.n && !bytes_blank(b.p[n]))
		n++;
	*rest = bytes_skip(b, n);
	return bytes_first(b, n);
}

static int bytes_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	unsigned char lower = bytes_lower(c);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* A wrong digit behind a number that is too large is still a wrong digit: so the scan goes on to the end. */
static int bytes_to_number(struct bytes b, unsigned base, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	bool large = false;

	if (b.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < b.n; i++) {
		unsigned digit = (unsigned)bytes_digit(b.p[i]);
		if (digit >= base)
			return -EINVAL;
		large |= __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v);
	}
	if (large || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int bytes_to_u64(struct bytes b, uint64_t max, uint64_t *ret)
{
	return bytes_to_number(b, 10, max, ret);
}

int bytes_hex_to_u64(struct bytes b, uint64_t max, uint64_t *ret)
{
	return bytes_to_number(b, 16, max, ret);
}

char *bytes_dup(struct bytes b)
{
	char *s = mem_alloc(b.n + 1);
	if (b.n)
		memcpy(s, b.p, b.n);
	s[b.n] = '\0';
	return s;
}
