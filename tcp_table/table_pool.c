/*
 * table_pool.c: open addressing with linear probing over eight-byte slots.  The hash in the slot spares a look at the text, which is seldom in the
 * processor's cache.  Who asks cannot choose what is in the table, so the hash needs no secret.
 */
#include "tcp_table/table_pool.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

enum { TABLE_POOL_FIRST = 64 };

/* FNV-1a, its bits mixed once more: the lowest choose the slot. */
static uint32_t table_pool_hash(struct bytes s)
{
	uint64_t h = 0xcbf29ce484222325;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15;
	return (uint32_t)(h >> 32);
}

static bool table_pool_is(const struct table_pool *p, uint32_t at, struct bytes s)
{
	size_t left = p->text.n - at;
	return s.n < left && memcmp(p->text.p + at, s.p, s.n) == 0 && p->text.p[at + s.n] == '\0';
}

uint32_t table_pool_find(const struct table_pool *p, struct bytes s)
{
	if (p->cap == 0)
		return 0;
	uint32_t hash = table_pool_hash(s);
	for (uint32_t i = hash & (p->cap - 1); p->slots[i].at; i = (i + 1) & (p->cap - 1))
		if (p->slots[i].hash == hash && table_pool_is(p, p->slots[i].at, s))
			return p->slots[i].at;
	return 0;
}

static void table_pool_put(struct table_pool *p, struct table_pool_slot slot)
{
	uint32_t i = slot.hash & (p->cap - 1);
	while (p->slots[i].at)
		i = (i + 1) & (p->cap - 1);
	p->slots[i] = slot;
}

static void table_pool_grow(struct table_pool *p)
{
	struct table_pool_slot *old = p->slots;
	uint32_t cap = p->cap;

	p->cap = cap ? cap * 2 : TABLE_POOL_FIRST;
	p->slots = mem_zalloc(p->cap * sizeof *p->slots);
	for (uint32_t i = 0; i < cap; i++)
		if (old[i].at)
			table_pool_put(p, old[i]);
	mem_free(old);
}

void table_pool_append(struct table_pool *p, struct bytes s)
{
	buf_add(&p->text, s);
	buf_add_char(&p->text, '\0');
	ASSERT(p->text.n <= UINT32_MAX);
}

uint32_t table_pool_add(struct table_pool *p, struct bytes s)
{
	if ((p->count + 1) * UINT64_C(4) > p->cap * UINT64_C(3))
		table_pool_grow(p);
	if (p->text.n == 0)
		buf_add_char(&p->text, '\0');
	uint32_t at = (uint32_t)p->text.n;
	table_pool_append(p, s);
	table_pool_put(p, (struct table_pool_slot){ table_pool_hash(s), at });
	p->count++;
	return at;
}

void table_pool_trim(struct table_pool *p)
{
	buf_trim(&p->text);
}

void table_pool_forget(struct table_pool *p)
{
	mem_free(p->slots);
	p->slots = NULL;
	p->count = p->cap = 0;
	buf_trim(&p->text);
}

void table_pool_fini(struct table_pool *p)
{
	table_pool_forget(p);
	buf_fini(&p->text);
}
