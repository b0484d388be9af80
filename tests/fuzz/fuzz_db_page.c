/* fuzz_db_page.c: a page of a Berkeley DB file: its number, then the page. */
#include "tcp_table/db_page.h"

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	/* In a place of its own: what is read behind it is found. */
	struct bytes page = bytes_make(data + 1, size - 1);
	char *copy = mem_alloc(page.n ? page.n : 1);
	memcpy(copy, page.p, page.n);
	(void)db_page_sound(bytes_make(copy, page.n), (uint64_t)data[0] * page.n);
	mem_free(copy);
	return 0;
}
