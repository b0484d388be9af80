/*
 * fuzz_table_map.c: keys for an address, and a value as addresses: USE, then the key up to a line feed, then the value.
 */
#include "lib/base/assert.h"
#include "tcp_table/address_list.h"
#include "tcp_table/table_map.h"

static unsigned count_addresses(struct bytes value)
{
	struct address_list list;
	struct address_item item;
	unsigned n = 0;

	address_list_init(&list, value, false);
	while (address_list_next(&list, &item))
		n++;
	address_list_fini(&list);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes value = bytes_make(data, size), key, next;
	struct table_keys keys;
	if (!size)
		return 0;
	enum table_use use = data[0] % (TABLE_ACCESS_HOST + 1);
	value = bytes_skip(value, 1);
	key = bytes_cut(&value, '\n');
	table_keys_init(&keys, use, key, "+-", data[0] & 64);
	while (table_keys_next(&keys, &next)) {
		struct buf list = { 0 };
		struct bytes extension = table_keys_extension(&keys);
		ASSERT(extension.n <= key.n);
		table_map_complete(&keys, value, &list);
		/* A value without addresses becomes none, and one with some becomes some. */
		ASSERT(count_addresses(value) == 0 || list.n > 0);
		ASSERT(count_addresses(value) > 0 || list.n == 0);
		buf_fini(&list);
	}
	table_keys_fini(&keys);
	return 0;
}
