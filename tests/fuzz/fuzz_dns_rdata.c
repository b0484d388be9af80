/* fuzz_dns_rdata.c: names in record data, one behind the other. */
#include "lib/base/assert.h"
#include "lib/dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes rdata = bytes_make(data, n);
	struct arena arena = { 0 };
	size_t offset = 0, before = 0;
	const char *name;

	while (!dns_rdata_name(rdata, &offset, &arena, &name)) {
		ASSERT(offset > before && offset <= n && offset - before <= 255 && strlen(name) <= 4 * 255);
		before = offset;
	}
	ASSERT(offset == before);
	arena_fini(&arena);
	return 0;
}
