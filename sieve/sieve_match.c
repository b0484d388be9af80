/*
 * sieve_match.c: compares values with keys (RFC 5228 section 2.7, RFC 4790 for comparators).
 */
#include "sieve/sieve_private.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- comparators ---- */

static unsigned char fold(char c) { return (unsigned char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c); }

/* RFC 4790 section 9.2.1: lower-case letters are taken as upper-case ones, then as i;octet. */
static int compare_folded(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	for (size_t i = 0; i < n; i++)
		if (fold(a.p[i]) != fold(b.p[i]))
			return fold(a.p[i]) < fold(b.p[i]) ? -1 : 1;
	return a.n < b.n ? -1 : a.n > b.n;
}

const struct sieve_comparator sieve_comparators[] = {
	{ .name = "i;ascii-casemap", .can = SIEVE_CAN_EQUAL | SIEVE_CAN_ORDER | SIEVE_CAN_SUBSTRING, .fold_case = true, .compare = compare_folded },
	{ .name = "i;octet", .can = SIEVE_CAN_EQUAL | SIEVE_CAN_ORDER | SIEVE_CAN_SUBSTRING, .compare = bytes_cmp },
	{ 0 },
};

/* ---- :is :contains :matches ---- */

TASK_FN static int match_is(struct sieve_matching *m, struct bytes value, struct bytes key)
{
	return m->node->comparator->compare(value, key) == 0;
}

static bool starts_folded(struct bytes value, struct bytes key, size_t *work)
{
	size_t i = 0;
	while (i < key.n && fold(value.p[i]) == fold(key.p[i]))
		i++;
	*work += i + 1;
	return i == key.n;
}

enum { WORK_PER_STEP = 256 };

/* Counts work as steps once there is a step's worth of it. */
static int charge(struct sieve_matching *m, size_t *work)
{
	if (*work < WORK_PER_STEP)
		return 0;
	size_t steps = *work / WORK_PER_STEP;
	*work %= WORK_PER_STEP;
	return sieve_step(m->run, m->node, steps);
}

TASK_FN static int match_contains(struct sieve_matching *m, struct bytes value, struct bytes key)
{
	size_t work = 0;
	if (!m->node->comparator->fold_case)
		return bytes_search(value, key) >= 0;
	for (; value.n >= key.n; value = bytes_skip(value, 1)) {
		if (starts_folded(value, key, &work))
			return 1;
		int r = charge(m, &work);
		if (r)
			return r;
		if (!value.n)
			break;
	}
	return 0;
}

/* A pattern and a value being matched.  Each wildcard takes as little as it can (RFC 5229 section 3.2); only the last "*" met ever
 * has to take more, for a shorter choice before it has been found to fit all up to it. */
struct glob {
	struct bytes value, pattern;
	bool fold_case;
	size_t v, p;
	unsigned wildcards;
	bool star;                      /* there was a "*": where, and what it has taken */
	size_t star_v, star_p;
	unsigned star_wildcard;
	struct bytes captures[SIEVE_CAPTURES];  /* ${1} is the first */
};

static void note(struct glob *g, size_t n)
{
	if (g->wildcards < SIEVE_CAPTURES - 1)
		g->captures[g->wildcards + 1] = bytes_make(g->value.p + g->v, n);
	g->wildcards++;
}

/* Back to the last "*", which takes one byte more. */
static bool glob_retry(struct glob *g)
{
	if (!g->star || g->star_v >= g->value.n)
		return false;
	g->v = ++g->star_v;
	g->p = g->star_p;
	g->wildcards = g->star_wildcard;
	if (g->wildcards < SIEVE_CAPTURES)
		g->captures[g->wildcards].n++;
	return true;
}

static void glob_star(struct glob *g)
{
	note(g, 0);
	g->star = true;
	g->star_v = g->v;
	g->star_p = ++g->p;
	g->star_wildcard = g->wildcards;
	if (g->p == g->pattern.n) {     /* the last one takes all there is */
		if (g->wildcards < SIEVE_CAPTURES)
			g->captures[g->wildcards].n = g->value.n - g->v;
		g->v = g->value.n;
	}
}

/* One step forward; false if value and pattern differ here. */
static bool glob_step(struct glob *g)
{
	if (g->p == g->pattern.n)
		return false;
	char c = g->pattern.p[g->p];
	if (c == '*') {
		glob_star(g);
		return true;
	}
	if (g->v == g->value.n)
		return false;
	if (c == '?') {
		note(g, 1);
	} else {
		size_t at = g->p + (c == '\\' && g->p + 1 < g->pattern.n);
		char want = g->pattern.p[at], have = g->value.p[g->v];
		if (want != have && !(g->fold_case && fold(want) == fold(have)))
			return false;
		g->p = at;
	}
	g->p++;
	g->v++;
	return true;
}

/* ${0}, ${1}... from now on.  All lie within CAPTURES[0]. */
static void captures_set(struct sieve_run *r, const struct bytes *captures, unsigned count)
{
	if (!r->params->script->variables)
		return;
	if (!r->captures)
		r->captures = ARENA_ARRAY(&r->scratch, struct bytes, SIEVE_CAPTURES);
	/* Header fields may be gone before the captures are used: keep a copy of the whole value they lie in. */
	struct bytes whole = arena_bytes(&r->scratch, captures[0]);
	for (unsigned i = 0; i < count; i++)
		r->captures[i] = captures[i].n ? bytes_make(whole.p + (captures[i].p - captures[0].p), captures[i].n) : bytes_of("");
	r->capture_count = count;
}

TASK_FN static int match_glob(struct sieve_matching *m, struct bytes value, struct bytes key)
{
	struct glob g = { .value = value, .pattern = key, .fold_case = m->node->comparator->fold_case };
	for (size_t work = 0; g.v < value.n || g.p < key.n;) {
		if (!glob_step(&g) && !glob_retry(&g))
			return 0;
		work++;
		int r = charge(m, &work);
		if (r)
			return r;
	}
	g.captures[0] = value;
	unsigned count = g.wildcards + 1 < SIEVE_CAPTURES ? g.wildcards + 1 : SIEVE_CAPTURES;
	captures_set(m->run, g.captures, count);
	return 1;
}

const struct sieve_match_type sieve_matches[] = {
	{ .tag = ":is", .needs = SIEVE_CAN_EQUAL, .match = match_is },
	{ .tag = ":contains", .needs = SIEVE_CAN_SUBSTRING, .match = match_contains },
	{ .tag = ":matches", .needs = SIEVE_CAN_SUBSTRING, .match = match_glob },
	{ 0 },
};

/* ---- matching ---- */

int sieve_matching_begin(struct sieve_matching *m, struct sieve_run *r, const struct sieve_node *n, const struct sieve_value *keys)
{
	bool constant = true;
	*m = (struct sieve_matching){ .run = r, .node = n, .keys = keys };
	for (unsigned i = 0; i < keys->count; i++)
		constant = constant && sieve_string_constant(&keys->strings[i]);
	if (constant)
		return 0;
	m->key_values = ARENA_ARRAY(&r->scratch, struct bytes, keys->count);
	for (unsigned i = 0; i < keys->count; i++) {
		int result = sieve_string_get(r, n, &keys->strings[i], &m->key_values[i]);
		if (result)
			return result;
	}
	return 0;
}

TASK_FN static int match_keys(struct sieve_matching *m, struct bytes value)
{
	for (m->key = 0; m->key < m->keys->count; m->key++) {
		int r = sieve_step(m->run, m->node, 1 + value.n / WORK_PER_STEP);
		if (!r)
			r = m->node->match->match(m, value, m->key_values ? m->key_values[m->key] : m->keys->strings[m->key].text);
		if (r)
			return r;
	}
	return 0;
}

TASK_FN int sieve_matching_value(struct sieve_matching *m, struct bytes value)
{
	m->values++;
	return m->node->match->counts ? 0 : match_keys(m, value);
}

TASK_FN int sieve_matching_end(struct sieve_matching *m, int found)
{
	if (found || !m->node->match->counts)
		return found;
	char *count = arena_printf(&m->run->scratch, "%u", m->values);
	return match_keys(m, bytes_of(count));
}
