/* test_base.c: buffers, arenas, lists and hash tables. */
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_buf_grows(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		buf_printf(&b, "%04u", i);
	assert_int_equal(b.n, 40000);
	assert_memory_equal(b.p, "000000010002", 12);
	assert_memory_equal(b.p + b.n - 8, "99989999", 8);
	buf_consume(&b, 39996);
	assert_string_equal(buf_str(&b), "9999");
	assert_int_equal(b.n, 4);
	buf_fini(&b);
	assert_null(b.p);
	assert_int_equal(b.cap, 0);
}

static void test_buf_adds(void **state)
{
	static const char want[] = "ab\0c\x01\x02\x03\xff";
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, (struct bytes){ NULL, 0 });
	buf_add_str(&b, "a");
	buf_add_char(&b, 'b');
	buf_add(&b, BYTES("\0c"));
	buf_add_u32be(&b, 0x010203ff);
	assert_int_equal(b.n, sizeof want - 1);
	assert_memory_equal(b.p, want, b.n);
	buf_clear(&b);
	assert_string_equal(buf_str(&b), "");
	buf_add_str(&b, "taken");
	char *s = buf_take_str(&b);
	assert_string_equal(s, "taken");
	assert_int_equal(b.n, 0);
	mem_free(s);
	buf_fini(&b);
}

static void test_buf_trim(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_trim(&b);
	buf_add_str(&b, "abc");
	buf_trim(&b);
	assert_int_equal(b.cap, 3);
	buf_add_str(&b, "def");
	assert_string_equal(buf_str(&b), "abcdef");
	buf_clear(&b);
	buf_trim(&b);
	assert_null(b.p);
}

static void test_buf_long_printf(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add_str(&b, "x");
	buf_printf(&b, "%1000d", 7);
	assert_int_equal(b.n, 1001);
	assert_int_equal(b.p[1000], '7');
	buf_fini(&b);
}

static void test_arena(void **state)
{
	struct arena a = { 0 };
	static unsigned char *blocks[400];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(blocks); i++) {
		blocks[i] = arena_alloc(&a, i * 7);
		assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < i * 7; j++)
			assert_int_equal(blocks[i][j], 0);
		memset(blocks[i], (int)i, i * 7);
	}
	char *big = arena_alloc(&a, 1000000);
	memset(big, 1, 1000000);
	char *text = arena_printf(&a, "%s-%d", "x", 5);
	char *large = arena_printf(&a, "%300d", 5);
	struct bytes copy = arena_bytes(&a, BYTES("a\0b"));
	assert_string_equal(text, "x-5");
	assert_int_equal(strlen(large), 300);
	assert_memory_equal(copy.p, "a\0b", 4);
	assert_string_equal(arena_str(&a, (struct bytes){ NULL, 0 }), "");
	for (size_t i = 0; i < COUNT_OF(blocks); i++)
		for (size_t j = 0; j < i * 7; j++)
			assert_int_equal(blocks[i][j], (unsigned char)i);
	arena_fini(&a);
	assert_null(a.chunk);
	arena_fini(&a);
}

struct item {
	int number;
	struct list link;
};

static int list_sum(struct list *head)
{
	struct item *i;
	int digits = 0;
	LIST_EACH(i, head, struct item, link)
		digits = digits * 10 + i->number;
	return digits;
}

static void test_list(void **state)
{
	struct item items[4] = { { 1, { 0 } }, { 2, { 0 } }, { 3, { 0 } }, { 4, { 0 } } }, *i;
	struct list head = { 0 };

	(void)state;
	assert_true(list_empty(&head));
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(LIST_FIRST(&head, struct item, link));
	list_append(&head, &items[1].link);
	list_append(&head, &items[2].link);
	list_prepend(&head, &items[0].link);
	list_insert_before(&items[2].link, &items[3].link);
	assert_int_equal(list_sum(&head), 1243);
	assert_ptr_equal(LIST_FIRST(&head, struct item, link), &items[0]);
	LIST_EACH(i, &head, struct item, link)
		if (i->number % 2 == 0)
			list_remove(&i->link);
	assert_int_equal(list_sum(&head), 13);
	assert_false(list_linked(&items[1].link));
	assert_true(list_linked(&items[0].link));
	list_remove(&items[1].link);
	assert_int_equal(list_sum(&head), 13);
}

/* Against a plain array as the model: many sets and removes with colliding keys. */
static void test_strmap_model(void **state)
{
	enum { KEYS = 300 };
	struct strmap m = { 0 };
	static int values[KEYS];
	static bool there[KEYS];
	size_t count = 0;

	(void)state;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		int k = rand() % KEYS;
		char key[16];
		snprintf(key, sizeof key, "key%d", k);
		if (rand() % 3) {
			count += !there[k];
			there[k] = true;
			strmap_set(&m, bytes_of(key), &values[k]);
		} else {
			assert_ptr_equal(strmap_remove(&m, bytes_of(key)), there[k] ? &values[k] : NULL);
			count -= there[k];
			there[k] = false;
		}
		int probe = rand() % KEYS;
		snprintf(key, sizeof key, "key%d", probe);
		assert_ptr_equal(strmap_get(&m, bytes_of(key)), there[probe] ? &values[probe] : NULL);
		assert_int_equal(m.n, count);
	}
	size_t seen = 0, i = 0;
	for (const struct strmap_entry *e; (e = strmap_next(&m, &i)); seen++)
		assert_true(there[atoi(e->key + 3)] && e->value == &values[atoi(e->key + 3)]);
	assert_int_equal(seen, count);
	strmap_fini(&m);
	assert_null(strmap_get(&m, BYTES("key1")));
}

static void test_strmap_case(void **state)
{
	struct strmap m = { .fold_case = true }, exact = { 0 };
	int a, b;

	(void)state;
	strmap_set(&m, BYTES("Content-Transfer-Encoding"), &a);
	assert_ptr_equal(strmap_get(&m, BYTES("CONTENT-transfer-encoding")), &a);
	strmap_set(&m, BYTES("content-TRANSFER-encoding"), &b);
	assert_int_equal(m.n, 1);
	assert_ptr_equal(strmap_remove(&m, BYTES("content-transfer-encoding")), &b);
	strmap_set(&exact, BYTES("A\0x"), &a);
	assert_null(strmap_get(&exact, BYTES("a\0x")));
	assert_null(strmap_get(&exact, BYTES("A")));
	assert_null(strmap_get(&exact, BYTES("A\0y")));
	assert_ptr_equal(strmap_get(&exact, BYTES("A\0x")), &a);
	strmap_set(&exact, (struct bytes){ NULL, 0 }, &b);
	assert_ptr_equal(strmap_get(&exact, BYTES("")), &b);
	strmap_fini(&m);
	strmap_fini(&exact);
}

static void test_mem(void **state)
{
	(void)state;
	char *s = mem_printf("%d-%s", 1, "a");
	assert_string_equal(s, "1-a");
	mem_free(s);
	int *numbers = mem_array(NULL, 10, sizeof *numbers);
	numbers[9] = 5;
	numbers = mem_array(numbers, 20, sizeof *numbers);
	assert_int_equal(numbers[9], 5);
	mem_free(numbers);
	unsigned char *zero = mem_zalloc(64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(zero[i], 0);
	mem_free(zero);
	mem_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_grows),    cmocka_unit_test(test_buf_adds),    cmocka_unit_test(test_buf_long_printf),
		cmocka_unit_test(test_arena),        cmocka_unit_test(test_list),        cmocka_unit_test(test_strmap_model),
		cmocka_unit_test(test_strmap_case),  cmocka_unit_test(test_buf_trim),  cmocka_unit_test(test_mem),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
