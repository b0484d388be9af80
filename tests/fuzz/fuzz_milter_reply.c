/* fuzz_milter_reply.c: whatever a milter may send after the negotiation: a stream of frames, and the texts in them. */
#include "lib/base/assert.h"
#include "milter/milter_codec.h"

static void check_text(struct bytes text)
{
	struct arena arena = { 0 };
	struct smtp_reply reply;
	struct buf wire = { 0 };
	if (milter_codec_reply_text(text, &arena, &reply) == 0) {
		ASSERT(reply.code >= 400 && reply.code < 600 && reply.text);
		ASSERT(reply.enhanced[0] == '\0' || reply.enhanced[0] - '0' == (int)reply.code / 100);
		smtp_reply_put(&reply, &wire);
		ASSERT(bytes_ends(buf_bytes(&wire), BYTES("\r\n")));
	}
	buf_fini(&wire);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size), frame;
	const char *why = NULL;
	int r;
	while ((r = milter_codec_frame(in, 4096, &frame, &why)) == 1) {
		struct milter_reply reply;
		ASSERT(frame.n > 0 && frame.p >= in.p && frame.p + frame.n <= in.p + in.n);
		in = bytes_skip(in, MILTER_LENGTH_BYTES + frame.n);
		if (milter_codec_reply(frame, &reply, &why) < 0) {
			ASSERT(why);
			break;
		}
		for (unsigned i = 0; i < 2; i++)
			ASSERT(!reply.text[i].p || (reply.text[i].p >= frame.p && reply.text[i].p + reply.text[i].n <= frame.p + frame.n));
		if (reply.kind->code == 'y')
			check_text(reply.text[0]);
	}
	ASSERT(r >= 0 || why);
	return 0;
}
