/* fuzz_memcache_reply.c: the first line of a reply, and behind a newline the key that was asked for. */
#include "lib/base/assert.h"
#include "tcp_table/memcache_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes key = bytes_make(data, size), line = bytes_cut(&key, '\n');
	const char *why = NULL;
	size_t n = 0;

	if (!memcache_codec_sane(key))
		return 0;
	int r = memcache_codec_reply(line, key, 1000, &n, &why);
	ASSERT(r == 0 || r == 1 || why);
	ASSERT(n <= 1000);
	return 0;
}
