/* fuzz_socketmap_reply.c: what a socketmap server may say, as it arrives byte by byte. */
#include "lib/base/assert.h"
#include "tcp_table/socketmap_codec.h"

enum { MAX = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes payload, text;
	const char *why = NULL;
	int r = 0;

	for (size_t n = 0; n <= size && r == 0; n++) {
		r = socketmap_codec_frame(bytes_make(data, n), MAX, &payload, &why);
		/* Nobody is made to wait for more than the largest reply. */
		ASSERT(r != 0 || n < MAX + SOCKETMAP_FRAME);
	}
	ASSERT(r >= 0 || why);
	if (r == 1) {
		ASSERT(payload.n <= MAX && payload.p >= (const char *)data && payload.p + payload.n <= (const char *)data + size);
		socketmap_codec_reply(payload, &text);
		ASSERT(text.p);
	}
	return 0;
}
