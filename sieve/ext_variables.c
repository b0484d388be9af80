/*
 * ext_variables.c: set and string (RFC 5229).  References within strings are sieve_string.c's.
 */
#include "sieve/sieve_extensions.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- modifiers (section 4.1) ---- */

static char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; }
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static struct bytes map(struct arena *a, struct bytes in, size_t most, char (*fn)(char))
{
	if (!in.n)
		return in;
	char *to = arena_str(a, in);
	for (size_t i = 0; i < in.n && i < most; i++)
		to[i] = fn(to[i]);
	return bytes_make(to, in.n);
}

static struct bytes do_lower(struct arena *a, struct bytes in) { return map(a, in, SIZE_MAX, lower); }
static struct bytes do_upper(struct arena *a, struct bytes in) { return map(a, in, SIZE_MAX, upper); }
static struct bytes do_lowerfirst(struct arena *a, struct bytes in) { return map(a, in, 1, lower); }
static struct bytes do_upperfirst(struct arena *a, struct bytes in) { return map(a, in, 1, upper); }

static struct bytes do_quotewildcard(struct arena *a, struct bytes in)
{
	char *to = arena_alloc(a, 2 * in.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '*' || in.p[i] == '?' || in.p[i] == '\\')
			to[n++] = '\\';
		to[n++] = in.p[i];
	}
	return bytes_make(to, n);
}

/* Section 4.1.5: characters, not octets. */
static struct bytes do_length(struct arena *a, struct bytes in)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++)
		n += ((unsigned char)in.p[i] & 0xc0) != 0x80;
	return bytes_of(arena_printf(a, "%zu", n));
}

/* In the order in which they are applied: the highest precedence first.  Two of one group cannot stand together. */
static const struct sieve_tag modifiers[] = {
	{ .name = ":lower", .group = "case" }, { .name = ":upper", .group = "case" },
	{ .name = ":lowerfirst", .group = "first" }, { .name = ":upperfirst", .group = "first" },
	{ .name = ":quotewildcard" }, { .name = ":length" }, { 0 },
};
static struct bytes (*const modify[])(struct arena *, struct bytes) = {
	do_lower, do_upper, do_lowerfirst, do_upperfirst, do_quotewildcard, do_length,
};
_Static_assert(COUNT_OF(modifiers) == COUNT_OF(modify) + 1, "a function for each modifier");

/* ---- set ---- */

static int check_set(struct sieve_compiler *c, struct sieve_node *n)
{
	struct sieve_variable *v = ARENA_NEW(sieve_compiler_arena(c), struct sieve_variable);
	n->data = v;
	return sieve_compiler_variable(c, n->args[0].strings, v);
}

TASK_FN static int run_set(struct sieve_run *r, const struct sieve_node *n)
{
	struct bytes value;
	int result = sieve_string_get(r, n, n->args[1].strings, &value);
	if (result)
		return result;
	for (unsigned i = 0; n->tag_count && i < COUNT_OF(modify); i++)
		if (sieve_tag_find(n, &modifiers[i]))
			value = modify[i](sieve_scratch(r), value);
	result = sieve_step(r, n, value.n >> 8);
	return result ? result : sieve_variable_set(r, n, n->data, value);
}

/* ---- string (section 5) ---- */

TASK_FN static int test_string(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	struct sieve_matching m;
	int found = sieve_matching_begin(&m, r, n, &n->args[1]);
	for (unsigned i = 0; i < n->args[0].count && !found; i++) {
		struct bytes value;
		found = sieve_string_get(r, n, &n->args[0].strings[i], &value);
		/* "The :count match type ... counts the number of non-empty strings in the source list." */
		if (!found && (value.n || !n->match->counts))
			found = sieve_matching_value(&m, value);
	}
	found = sieve_matching_end(&m, found);
	*ret = found > 0;
	return found < 0 ? found : 0;
}

const struct sieve_extension ext_variables = {
	.name = "variables",
	.commands = (const struct sieve_command[]){
	    { .name = "set", .tags = modifiers, .check = check_set, .run = run_set,
		.params = (const struct sieve_param[]){ { "name", SIEVE_STRING, SIEVE_PARAM_CONSTANT }, { "value", SIEVE_STRING, 0 }, { 0 } } },
	    { 0 } },
	.tests = (const struct sieve_command[]){
	    { .name = "string", .takes = SIEVE_TAKES_MATCH, .test = test_string,
		.params = (const struct sieve_param[]){ { "values", SIEVE_STRINGS, 0 }, { "keys", SIEVE_STRINGS, SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};
