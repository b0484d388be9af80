/* fuzz_policy_reply.c: what a policy server may say: the answer's lines, and the action in it. */
#include "lib/base/assert.h"
#include "lib/gate/access.h"
#include "policyd/policyd_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = bytes_make(data, size), name, value;
	struct policyd_reply reply = { 0 };
	struct access_action action;
	struct arena arena = { 0 };
	const char *why = NULL;
	int r = 0;

	while (rest.n && r == 0) {
		struct bytes line = bytes_cut(&rest, '\n');
		bool crlf = bytes_ends(line, BYTES("\r"));
		r = policyd_codec_reply_line(&reply, bytes_first(line, line.n - crlf), crlf, &why);
	}
	ASSERT(r >= 0 || why);
	if (r == 1) {
		access_parse(buf_bytes(&reply.action), &arena, &action);
		ASSERT(action.reply.code == 0 || (action.reply.code >= 400 && action.reply.code < 600 && action.reply.text));
		ASSERT(access_hint(action.word, &arena));
		if (action.kind == ACCESS_PREPEND && access_header(action.text, &name, &value) == 0)
			ASSERT(name.n > 0);
	}
	policyd_reply_fini(&reply);
	arena_fini(&arena);
	return 0;
}
