/*
 * cidr_map.c: a sweep over the addresses, from the lowest to the highest, which knows for each rule how many of its guards do not hold at the moment.
 *
 * Those counts are the leaves of a binary tree in an array: node n has the children 2n and 2n+1.  A rule's count is the sum of the nodes from its
 * leaf to the root, and of two siblings one is always 0, the other not negative.  So the root is the lowest count of all, and the first
 * rule without a guard against it is found by going down where a 0 is, left first.  Adding to a range of rules touches the two
 * paths at its ends (the "zkw" segment tree, with differences).  So the whole takes O(n log n), for every file.
 */
#include "tcp_table/cidr_map.h"

#include "lib/base/mem.h"

#include <stdlib.h>

/* More guards than a file can have: for leaves that are no rules. */
enum { NO_RULE = INT32_MAX / 2 };

struct cidr_sweep {
	bool v6;
	unsigned width;                 /* bytes of an address */
	int32_t *tree;
	uint32_t leaves;                /* a power of two; rule i is leaf i + 1: there are leaves that are none at both ends */
	const uint32_t *values;
	const struct cidr_guard **open; /* networks that hold the present place, the widest first */
	uint32_t open_count;
	unsigned char at[16];           /* the present place */
	struct cidr_ranges *ranges;
};

bool cidr_guard_covers(const struct cidr_guard *g, const unsigned char *address)
{
	unsigned whole = g->bits / 8, rest = g->bits % 8;
	if (memcmp(g->net, address, whole) != 0)
		return false;
	return rest == 0 || ((g->net[whole] ^ address[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

/* ---- the tree ---- */

/* What both siblings have goes up to their parent. */
static void cidr_tree_lift(int32_t *tree, uint32_t node)
{
	int32_t least = tree[node] < tree[node ^ 1] ? tree[node] : tree[node ^ 1];
	tree[node] -= least;
	tree[node ^ 1] -= least;
	tree[node >> 1] += least;
}

static void cidr_tree_add(const struct cidr_sweep *s, const struct cidr_guard *g, int32_t by)
{
	if (g->from == g->to)
		return;
	/* The leaves before the first and behind the last. */
	uint32_t left = s->leaves + g->from, right = s->leaves + g->to + 1;
	for (; (left ^ right) != 1; left >>= 1, right >>= 1) {
		if (!(left & 1))
			s->tree[left ^ 1] += by;
		if (right & 1)
			s->tree[right ^ 1] += by;
		cidr_tree_lift(s->tree, left);
		cidr_tree_lift(s->tree, right);
	}
	for (; left > 1; left >>= 1)
		cidr_tree_lift(s->tree, left);
}

/* The value of the first rule that nothing stands against, 0: there is none. */
static uint32_t cidr_tree_first(const struct cidr_sweep *s)
{
	uint32_t node = 1;
	if (s->tree[1] > 0)
		return 0;
	while (node < s->leaves)
		node = node * 2 + (s->tree[node * 2] != 0);
	return s->values[node - s->leaves - 1];
}

/* Outside of all networks: a guard does not hold if it is not negated, nor if it is of the other family. */
static void cidr_tree_init(struct cidr_sweep *s, const struct cidr_guard *guards, uint32_t guard_count, uint32_t rule_count)
{
	for (s->leaves = 2; s->leaves < rule_count + 2; s->leaves *= 2)
		;
	s->tree = mem_zalloc(sizeof *s->tree * s->leaves * 2);
	int32_t *rules = s->tree + s->leaves + 1, against = 0;
	for (uint32_t i = 0; i < guard_count; i++)
		if (guards[i].v6 != s->v6 || !guards[i].negated) {
			rules[guards[i].from]++;
			rules[guards[i].to]--;
		}
	for (uint32_t i = 0; i < rule_count; i++)
		rules[i] = against += rules[i];
	for (int32_t *leaf = rules + rule_count; leaf < s->tree + s->leaves * 2; leaf++)
		*leaf = NO_RULE;
	rules[-1] = NO_RULE;
	for (uint32_t node = s->leaves * 2 - 1; node > 1; node -= 2)
		cidr_tree_lift(s->tree, node);
}

/* ---- the sweep ---- */

static void cidr_ranges_push(struct cidr_ranges *r, const unsigned char *start, unsigned width, uint32_t value)
{
	if (r->count == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 4;
		r->starts = mem_array(r->starts, r->cap, width);
		r->values = mem_array(r->values, r->cap, sizeof *r->values);
	}
	memcpy(r->starts + (size_t)r->count * width, start, width);
	r->values[r->count++] = value;
}

/* All that begins or ends at the present place has been counted. */
static void cidr_sweep_settle(struct cidr_sweep *s)
{
	uint32_t value = cidr_tree_first(s);
	if (s->ranges->count == 0 || s->ranges->values[s->ranges->count - 1] != value)
		cidr_ranges_push(s->ranges, s->at, s->width, value);
}

static void cidr_sweep_go(struct cidr_sweep *s, const unsigned char *to)
{
	if (memcmp(s->at, to, s->width) == 0)
		return;
	cidr_sweep_settle(s);
	memcpy(s->at, to, s->width);
}

/* The first address behind a network; false: there is none. */
static bool cidr_behind(const struct cidr_guard *g, unsigned char *ret)
{
	memcpy(ret, g->net, sizeof g->net);
	if (g->bits == 0)
		return false;
	unsigned byte = (g->bits - 1U) / 8;
	unsigned sum = ret[byte] + (0x80U >> (g->bits - 1) % 8);
	for (;;) {
		ret[byte] = (unsigned char)sum;
		if (sum < 256)
			return true;
		if (byte == 0)
			return false;
		sum = ret[--byte] + 1U;
	}
}

/* Ends the networks that do not hold NEXT; NULL: all of them.  The narrowest ends first. */
static void cidr_sweep_leave(struct cidr_sweep *s, const unsigned char *next)
{
	unsigned char behind[16];
	while (s->open_count && !(next && cidr_guard_covers(s->open[s->open_count - 1], next))) {
		const struct cidr_guard *g = s->open[--s->open_count];
		/* Nothing ends behind the last address. */
		if (!cidr_behind(g, behind))
			continue;
		cidr_sweep_go(s, behind);
		cidr_tree_add(s, g, g->negated ? -1 : 1);
	}
}

static void cidr_sweep_enter(struct cidr_sweep *s, const struct cidr_guard *g)
{
	cidr_sweep_leave(s, g->net);
	cidr_sweep_go(s, g->net);
	cidr_tree_add(s, g, g->negated ? 1 : -1);
	s->open[s->open_count++] = g;
}

/* By address, IPv4 first; of those with one address the widest first. */
static int cidr_guard_order(const void *a, const void *b)
{
	const struct cidr_guard *one = a, *two = b;
	if (one->v6 != two->v6)
		return one->v6 ? 1 : -1;
	int order = memcmp(one->net, two->net, sizeof one->net);
	return order ? order : one->bits - two->bits;
}

static void cidr_ranges_init(struct cidr_sweep *s, const struct cidr_guard *guards, uint32_t guard_count, uint32_t rule_count)
{
	cidr_tree_init(s, guards, guard_count, rule_count);
	s->open = mem_array(NULL, guard_count, sizeof(*s->open));
	bool any = false;
	for (uint32_t i = 0; i < guard_count; i++)
		if (guards[i].v6 == s->v6) {
			cidr_sweep_enter(s, &guards[i]);
			any = true;
		}
	cidr_sweep_leave(s, NULL);
	if (any)
		cidr_sweep_settle(s);
	mem_free(s->open);
	mem_free(s->tree);
	if (s->ranges->count) {
		s->ranges->starts = mem_array(s->ranges->starts, s->ranges->count, s->width);
		s->ranges->values = mem_array(s->ranges->values, s->ranges->count, sizeof *s->ranges->values);
		s->ranges->cap = s->ranges->count;
	}
}

void cidr_map_init(struct cidr_map *m, struct cidr_guard *guards, uint32_t guard_count, const uint32_t *values, uint32_t rule_count)
{
	struct cidr_sweep v4 = { .width = 4, .values = values, .ranges = &m->v4 };
	struct cidr_sweep v6 = { .v6 = true, .width = 16, .values = values, .ranges = &m->v6 };

	*m = (struct cidr_map){ 0 };
	if (guard_count == 0)
		return;
	qsort(guards, guard_count, sizeof *guards, cidr_guard_order);
	cidr_ranges_init(&v4, guards, guard_count, rule_count);
	cidr_ranges_init(&v6, guards, guard_count, rule_count);
}

void cidr_map_fini(struct cidr_map *m)
{
	mem_free(m->v4.starts);
	mem_free(m->v4.values);
	mem_free(m->v6.starts);
	mem_free(m->v6.values);
}

/* ---- asking ---- */

uint32_t cidr_map_get(const struct cidr_map *m, const struct cidr_address *a)
{
	const struct cidr_ranges *r = a->v6 ? &m->v6 : &m->v4;
	size_t width = a->v6 ? 16 : 4;
	uint32_t first = 0, end = r->count;

	if (end == 0)
		return 0;
	/* The first range begins with the lowest address: FIRST never begins behind A, END always does. */
	while (end - first > 1) {
		uint32_t middle = first + (end - first) / 2;
		if (memcmp(r->starts + middle * width, a->bytes, width) <= 0)
			first = middle;
		else
			end = middle;
	}
	return r->values[first];
}
