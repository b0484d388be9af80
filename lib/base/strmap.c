/*
 * strmap.c: open addressing with linear probing; a removed entry is closed up by moving later ones back.
 * Keys may come from peers, so they are hashed with SipHash-1-3 under a key of the process.
 */
#include "lib/base/strmap.h"

#include "lib/base/mem.h"

#include <sys/random.h>

enum { STRMAP_FIRST = 8 };

static uint64_t strmap_secret[2];

static void __attribute__((constructor)) strmap_secret_init(void)
{
	/* Should the kernel have nothing yet this early at boot, zeroes only cost the protection, not correctness. */
	if (getrandom(strmap_secret, sizeof strmap_secret, GRND_NONBLOCK) < 0)
		strmap_secret[0] = strmap_secret[1] = 0;
}

static uint64_t strmap_rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static void strmap_sip_round(uint64_t v[4])
{
	v[0] += v[1], v[2] += v[3];
	v[1] = strmap_rotate(v[1], 13) ^ v[0], v[3] = strmap_rotate(v[3], 16) ^ v[2];
	v[0] = strmap_rotate(v[0], 32);
	v[2] += v[1], v[0] += v[3];
	v[1] = strmap_rotate(v[1], 17) ^ v[2], v[3] = strmap_rotate(v[3], 21) ^ v[0];
	v[2] = strmap_rotate(v[2], 32);
}

/* Up to eight bytes as a little-endian word, letters made small where the map asks for it. */
static uint64_t strmap_word(const char *p, size_t n, bool fold)
{
	uint64_t w = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		if (fold && c >= 'A' && c <= 'Z')
			c |= 0x20;
		w |= (uint64_t)c << (8 * i);
	}
	return w;
}

static uint64_t strmap_hash(const struct strmap *m, struct bytes key)
{
	uint64_t v[4] = { strmap_secret[0] ^ 0x736f6d6570736575, strmap_secret[1] ^ 0x646f72616e646f6d,
			  strmap_secret[0] ^ 0x6c7967656e657261, strmap_secret[1] ^ 0x7465646279746573 };
	for (size_t i = 0;; i += 8) {
		size_t n = key.n - i < 8 ? key.n - i : 8;
		uint64_t w = n ? strmap_word(key.p + i, n, m->fold_case) : 0;
		if (n < 8)
			w |= (uint64_t)key.n << 56;
		v[3] ^= w;
		strmap_sip_round(v);
		v[0] ^= w;
		if (n < 8)
			break;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		strmap_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The entry of KEY, or the free slot where it belongs.  The table is never full. */
static struct strmap_entry *strmap_slot(const struct strmap *m, struct bytes key, uint64_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct strmap_entry *e = &m->slots[i];
		struct bytes have = { e->key, e->key_len };
		if (!e->key || (e->hash == hash && (m->fold_case ? bytes_case_eq(have, key) : bytes_eq(have, key))))
			return e;
	}
}

static void strmap_grow(struct strmap *m)
{
	struct strmap old = *m;
	m->cap = old.cap ? old.cap * 2 : STRMAP_FIRST;
	m->slots = mem_zalloc(m->cap * sizeof *m->slots);
	for (size_t i = 0; i < old.cap; i++) {
		struct strmap_entry *e = &old.slots[i];
		if (e->key)
			*strmap_slot(m, bytes_make(e->key, e->key_len), e->hash) = *e;
	}
	mem_free(old.slots);
}

void *strmap_get(const struct strmap *m, struct bytes key)
{
	return m->n ? strmap_slot(m, key, strmap_hash(m, key))->value : NULL;
}

void strmap_set(struct strmap *m, struct bytes key, void *value)
{
	if ((m->n + 1) * 4 > m->cap * 3)
		strmap_grow(m);
	uint64_t hash = strmap_hash(m, key);
	struct strmap_entry *e = strmap_slot(m, key, hash);
	if (!e->key) {
		*e = (struct strmap_entry){ .key = bytes_dup(key), .key_len = key.n, .hash = hash };
		m->n++;
	}
	e->value = value;
}

/* Moves back each entry of the run behind the hole that a search could no longer reach. */
static void strmap_close_hole(struct strmap *m, size_t hole)
{
	size_t mask = m->cap - 1;
	for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct strmap_entry){ 0 };
}

void *strmap_remove(struct strmap *m, struct bytes key)
{
	if (m->n == 0)
		return NULL;
	struct strmap_entry *e = strmap_slot(m, key, strmap_hash(m, key));
	if (!e->key)
		return NULL;
	void *value = e->value;
	mem_free(e->key);
	m->n--;
	strmap_close_hole(m, (size_t)(e - m->slots));
	return value;
}

const struct strmap_entry *strmap_next(const struct strmap *m, size_t *i)
{
	while (*i < m->cap) {
		const struct strmap_entry *e = &m->slots[(*i)++];
		if (e->key)
			return e;
	}
	return NULL;
}

void strmap_fini(struct strmap *m)
{
	for (size_t i = 0; i < m->cap; i++)
		mem_free(m->slots[i].key);
	mem_free(m->slots);
	m->slots = NULL;
	m->n = m->cap = 0;
}
