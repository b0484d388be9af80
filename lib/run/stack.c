/*
 * stack.c: the pool of task stacks.
 *
 * A stack is RUN_STACK_SIZE bytes above a guard page.  They are mapped a few at a time and kept; the one used last is
 * used next, while its pages are hot.  When a peak is over, a timer hands the pages of stacks that nobody needed for a
 * while back to the kernel.
 */
#include "lib/base/assert.h"
#include "lib/run/loop.h"

#include <string.h>
#include <sys/mman.h>

#if RUN_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

#define GUARD_SIZE ((size_t)4096)
#define STRIDE (GUARD_SIZE + RUN_STACK_SIZE)
enum { SLAB_STACKS = 16, GUARDED = 24000 };
#define SLAB_SIZE (SLAB_STACKS * STRIDE)
#define TRIM_EVERY SECONDS(2)

struct slab {
	struct slab *next;
	char *map;
	unsigned valgrind[SLAB_STACKS];
};

static char *stack_in(const struct slab *s, int i)
{
	return s->map + (size_t)i * STRIDE + GUARD_SIZE;
}

static struct {
	struct slab *slabs;
	char **warm, **cold;            /* unused ones: used before; with no page of their own */
	unsigned n_warm, n_cold, total;
	unsigned least_warm;            /* since the last trim: so many were not needed */
	struct timer trim;
} pool;

/* vm.max_map_count is 65530, and malloc and threads need mappings too: stacks beyond GUARDED have no guard page, and
 * a mapping for sixteen. */
static void slab_open(struct slab *s)
{
	int r = 0;

	if (pool.total >= GUARDED)
		r = mprotect(s->map, SLAB_SIZE, PROT_READ | PROT_WRITE);
	else
		for (int i = 0; i < SLAB_STACKS && !r; i++)
			r = mprotect(stack_in(s, i), RUN_STACK_SIZE, PROT_READ | PROT_WRITE);
	ASSERT(!r);
}

static void slab_add(void)
{
	struct slab *s = NEW(struct slab);

	s->map = mmap(NULL, SLAB_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT(s->map != MAP_FAILED);
	s->next = pool.slabs;
	pool.slabs = s;
	slab_open(s);
	pool.total += SLAB_STACKS;
	pool.warm = mem_array(pool.warm, pool.total, sizeof *pool.warm);
	pool.cold = mem_array(pool.cold, pool.total, sizeof *pool.cold);
	for (int i = SLAB_STACKS - 1; i >= 0; i--) {
		char *stack = stack_in(s, i);

		s->valgrind[i] = VALGRIND_STACK_REGISTER(stack, stack + RUN_STACK_SIZE);
		pool.cold[pool.n_cold++] = stack;
	}
#if RUN_ASAN
	for (int i = 0; i < SLAB_STACKS; i++)
		__lsan_register_root_region(stack_in(s, i), RUN_STACK_SIZE);
#endif
	loop.stats.stacks = pool.total;
}

/* Half of what nobody needed since the last time, those unused for the longest first. */
static void pool_trim(void *arg)
{
	unsigned n = (pool.least_warm + 1) / 2;

	(void)arg;
	for (unsigned i = 0; i < n; i++) {
		madvise(pool.warm[i], RUN_STACK_SIZE, MADV_DONTNEED);
		pool.cold[pool.n_cold++] = pool.warm[i];
	}
	pool.n_warm -= n;
	memmove(pool.warm, pool.warm + n, pool.n_warm * sizeof *pool.warm);
	pool.least_warm = pool.n_warm;
	if (pool.n_warm)
		timer_start(&pool.trim, TRIM_EVERY, pool_trim, NULL);
}

char *stack_take(void)
{
	if (pool.n_warm) {
		char *stack = pool.warm[--pool.n_warm];

		if (pool.n_warm < pool.least_warm)
			pool.least_warm = pool.n_warm;
		return stack;
	}
	if (!pool.n_cold)
		slab_add();
	return pool.cold[--pool.n_cold];
}

#if RUN_ASAN || defined(GATEPOST_DEBUG)
/* Stacks are zero until they are written to. */
__attribute__((no_sanitize("address"))) static void note_high_water(const char *stack)
{
	const uint64_t *p = (const uint64_t *)stack, *top = (const uint64_t *)(stack + RUN_STACK_SIZE);
	unsigned used;

	if (RUNNING_ON_VALGRIND)        /* to which all of it is beyond the stack's end */
		return;
	while (p < top && !*p)
		p++;
	used = (unsigned)((const char *)top - (const char *)p);
	if (used > loop.stats.stack_high_water)
		loop.stats.stack_high_water = used;
}
#endif

void stack_give(char *stack)
{
#if RUN_ASAN
	__asan_unpoison_memory_region(stack, RUN_STACK_SIZE);
#endif
#if RUN_ASAN || defined(GATEPOST_DEBUG)
	note_high_water(stack);
#endif
	pool.warm[pool.n_warm++] = stack;
	if (!pool.trim.slot) {
		pool.least_warm = 0;
		timer_start(&pool.trim, TRIM_EVERY, pool_trim, NULL);
	}
}

void stack_fini(void)
{
	for (struct slab *s; (s = pool.slabs);) {
		pool.slabs = s->next;
		for (int i = 0; i < SLAB_STACKS; i++) {
#if RUN_ASAN
			char *stack = stack_in(s, i);

			__asan_unpoison_memory_region(stack, RUN_STACK_SIZE);
			__lsan_unregister_root_region(stack, RUN_STACK_SIZE);
#endif
			VALGRIND_STACK_DEREGISTER(s->valgrind[i]);
		}
		munmap(s->map, SLAB_SIZE);
		mem_free(s);
	}
	mem_free(pool.warm);
	mem_free(pool.cold);
	memset(&pool, 0, sizeof pool);
}
