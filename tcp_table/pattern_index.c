/*
 * pattern_index.c: open addressing over the hashes of heads and tails; the rules of one hash are a list.  Two with the same hash by chance are in one list,
 * which costs a try and no more.
 */
#include "tcp_table/pattern_index.h"

#include "lib/base/mem.h"

/* A hash of bytes that come one by one: FNV-1a, of heads forwards, of tails backwards. */
#define PATTERN_HEAD_SEED UINT64_C(0xcbf29ce484222325)
#define PATTERN_TAIL_SEED UINT64_C(0x84222325cbf29ce4)

static uint64_t pattern_hash_add(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * UINT64_C(0x100000001b3);
}

/* Its lowest bits choose the slot; never 0. */
static uint32_t pattern_hash_end(uint64_t h)
{
	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t hash = (uint32_t)(h >> 32);
	return hash ? hash : 1;
}

/* ---- making it ---- */

static uint32_t pattern_head_hash(const char *head, unsigned n)
{
	uint64_t h = PATTERN_HEAD_SEED;
	for (unsigned i = 0; i < n; i++)
		h = pattern_hash_add(h, head[i]);
	return pattern_hash_end(h);
}

static uint32_t pattern_tail_hash(const char *end, unsigned n)
{
	uint64_t h = PATTERN_TAIL_SEED;
	for (unsigned i = 0; i < n; i++)
		h = pattern_hash_add(h, *--end);
	return pattern_hash_end(h);
}

static unsigned char pattern_index_length(unsigned n)
{
	return (unsigned char)(n < PATTERN_INDEX_MAX ? n : PATTERN_INDEX_MAX);
}

void pattern_index_add(struct pattern_index *x, const struct pattern_shape *shape)
{
	struct pattern_index_rule r = { 0 };

	if (shape) {
		r.head_n = pattern_index_length(shape->head_n);
		r.tail_n = pattern_index_length(shape->tail_n);
	}
	if (r.head_n)
		r.head = pattern_head_hash(shape->head, r.head_n);
	if (r.tail_n)
		r.tail = pattern_tail_hash(shape->tail + shape->tail_n, r.tail_n);
	if (x->count == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 16;
		x->rules = mem_array(x->rules, x->cap, sizeof *x->rules);
	}
	x->rules[x->count++] = r;
}

/* How many rules have a head or tail, roughly: some have a counter in common. */
struct pattern_counters {
	uint32_t *counts, mask;
};
enum { PATTERN_COUNTERS_MAX = 1 << 18 };

static struct pattern_counters pattern_index_count(const struct pattern_index *x)
{
	uint32_t n = 16;
	while (n < x->count && n < PATTERN_COUNTERS_MAX)
		n *= 2;
	struct pattern_counters c = { mem_zalloc(n * sizeof *c.counts), n - 1 };
	for (uint32_t i = 0; i < x->count; i++) {
		c.counts[x->rules[i].head & c.mask]++;
		c.counts[x->rules[i].tail & c.mask]++;
	}
	return c;
}

/* Each rule is known by its head or by its tail, whichever it has in common with fewer: the other is forgotten. */
static void pattern_index_choose(struct pattern_index *x)
{
	struct pattern_counters c = pattern_index_count(x);
	for (uint32_t i = 0; i < x->count; i++) {
		struct pattern_index_rule *r = &x->rules[i];
		if (r->head && r->tail && c.counts[r->head & c.mask] > c.counts[r->tail & c.mask])
			r->head = 0;
		else if (r->head)
			r->tail = 0;
		if (r->head)
			x->heads |= UINT64_C(1) << r->head_n;
		if (r->tail)
			x->tails |= UINT64_C(1) << r->tail_n;
		x->always_count += !r->head && !r->tail;
	}
	mem_free(c.counts);
}

static struct pattern_index_slot *pattern_index_slot(const struct pattern_index *x, uint32_t hash)
{
	uint32_t i = hash & (x->slot_cap - 1);
	while (x->slots[i].hash && x->slots[i].hash != hash)
		i = (i + 1) & (x->slot_cap - 1);
	return &x->slots[i];
}

/* From the last rule to the first: each comes before those that are in its list. */
static void pattern_index_fill(struct pattern_index *x)
{
	uint32_t always = x->always_count;
	for (uint32_t i = x->count; i-- > 0;) {
		const struct pattern_index_rule *r = &x->rules[i];
		uint32_t hash = r->head ? r->head : r->tail;
		if (!hash) {
			x->always[--always] = i;
			continue;
		}
		struct pattern_index_slot *slot = pattern_index_slot(x, hash);
		slot->hash = hash;
		x->next[i] = slot->first;
		slot->first = i + 1;
	}
}

void pattern_index_seal(struct pattern_index *x)
{
	pattern_index_choose(x);
	for (x->slot_cap = 4; x->slot_cap / 4 * 3 < x->count - x->always_count; x->slot_cap *= 2)
		;
	x->slots = mem_zalloc(x->slot_cap * sizeof *x->slots);
	x->always = mem_array(NULL, x->always_count, sizeof *x->always);
	x->next = mem_array(NULL, x->count, sizeof *x->next);
	pattern_index_fill(x);
	mem_free(x->rules);
	x->rules = NULL;
}

void pattern_index_fini(struct pattern_index *x)
{
	mem_free(x->rules);
	mem_free(x->slots);
	mem_free(x->next);
	mem_free(x->always);
}

/* ---- asking it ---- */

static void pattern_candidates_find(struct pattern_candidates *c, uint64_t h)
{
	uint32_t first = pattern_index_slot(c->index, pattern_hash_end(h))->first;
	if (first)
		c->lists[c->list_count++] = first;
}

static void pattern_candidates_heads(struct pattern_candidates *c, struct bytes text)
{
	uint64_t h = PATTERN_HEAD_SEED;
	for (unsigned n = 1; n <= PATTERN_INDEX_MAX && n <= text.n; n++) {
		h = pattern_hash_add(h, text.p[n - 1]);
		if (c->index->heads >> n & 1)
			pattern_candidates_find(c, h);
	}
}

static void pattern_candidates_tails(struct pattern_candidates *c, struct bytes text)
{
	uint64_t h = PATTERN_TAIL_SEED;
	for (unsigned n = 1; n <= PATTERN_INDEX_MAX && n <= text.n; n++) {
		h = pattern_hash_add(h, text.p[text.n - n]);
		if (c->index->tails >> n & 1)
			pattern_candidates_find(c, h);
	}
}

void pattern_candidates_init(struct pattern_candidates *c, const struct pattern_index *x, struct bytes text)
{
	c->index = x;
	c->list_count = c->always = 0;
	if (x->heads)
		pattern_candidates_heads(c, text);
	if (!x->tails)
		return;
	pattern_candidates_tails(c, text);
	if (text.n && text.p[text.n - 1] == '\n')
		pattern_candidates_tails(c, bytes_first(text, text.n - 1));
}

/* The first place from AT on in the list ALWAYS whose rule is not below FROM.  That is mostly near: so it is looked for in steps that double. */
static uint32_t pattern_always_from(const struct pattern_index *x, uint32_t at, uint32_t from)
{
	uint32_t step = 1, end = x->always_count;
	while (step < end - at && x->always[at + step] < from) {
		at += step;
		step *= 2;
	}
	/* What is at AT and before is below, unless it is where we began. */
	uint32_t low = at, high = step < end - at ? at + step : end;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (x->always[middle] < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t pattern_candidates_next(struct pattern_candidates *c, uint32_t from)
{
	const struct pattern_index *x = c->index;
	uint32_t next = PATTERN_NO_RULE;

	for (uint32_t i = 0; i < c->list_count; i++) {
		uint32_t at = c->lists[i];
		while (at && at - 1 < from)
			at = x->next[at - 1];
		c->lists[i] = at;
		if (at && at - 1 < next)
			next = at - 1;
	}
	if (c->always < x->always_count && x->always[c->always] < from)
		c->always = pattern_always_from(x, c->always, from);
	if (c->always < x->always_count && x->always[c->always] < next)
		next = x->always[c->always];
	return next;
}
