/* fuzz_address_list.c: values of virtual(5) and aliases(5): an address that comes out is one, and is the only one in a list of its own. */
#include "lib/base/assert.h"
#include "lib/smtp/address.h"
#include "tcp_table/address_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_alone(struct bytes address)
{
	struct address_list list;
	struct address_item item;
	struct buf tidy = { 0 };

	smtp_address_tidy(address, &tidy);
	ASSERT(bytes_eq(buf_bytes(&tidy), address));
	address_list_init(&list, address, false);
	ASSERT(address_list_next(&list, &item));
	ASSERT(bytes_eq(item.address, address));
	ASSERT(!address_list_next(&list, &item));
	address_list_fini(&list);
	buf_fini(&tidy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address_list list;
	struct address_item item;
	struct arena arena = { 0 };
	size_t count = 0;

	address_list_init(&list, bytes_make(data, size), size % 2);
	while (address_list_next(&list, &item)) {
		struct smtp_address a;
		ASSERT(++count <= size);
		if (smtp_address_parse(item.address, &arena, &a) == 0)
			check_alone(a.address);
	}
	address_list_fini(&list);
	arena_fini(&arena);
	return 0;
}
