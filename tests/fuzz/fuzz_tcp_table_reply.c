/* fuzz_tcp_table_reply.c: what a tcp_table server may say; and every key can be asked so that it is one line of plain ASCII. */
#include "lib/base/assert.h"
#include "tcp_table/tcp_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = bytes_make(data, size);
	struct tcp_reply reply = { 0 };
	struct buf request = { 0 };
	const char *why = NULL;

	int r = tcp_codec_reply(input, &reply, &why);
	ASSERT(r == 0 || why);
	ASSERT(r < 0 || (reply.text.n <= size && bytes_find(buf_bytes(&reply.text), '\0') < 0));
	tcp_codec_request(input, &request);
	ASSERT(bytes_find(buf_bytes(&request), '\n') == (ptrdiff_t)request.n - 1);
	for (size_t i = 4; i + 1 < request.n; i++)
		ASSERT(request.p[i] > ' ' && request.p[i] < 0x7f);
	buf_fini(&request);
	buf_fini(&reply.text);
	return 0;
}
