/* fuzz_milter_negotiation.c: a whole negotiation: the filter's answer to what a version offers, its macro lists, and the macros we
 * then send it.  The first byte chooses the version. */
#include "lib/base/assert.h"
#include "milter/milter_macros.h"
#include "milter/milter_codec.h"

static void check_macros(struct bytes names)
{
	static const struct gate_session session = {
		.id = "1", .hostname = "mx.test", .server_ip = "192.0.2.1", .client_ip = "192.0.2.2", .client_name = "c.test", .client_ptr = "c.test",
	};
	struct milter_macro_list list;
	struct bytes unknown = { 0 };
	struct buf out = { 0 };
	unsigned n = milter_macros_parse(names, &list, &unknown);
	ASSERT(n == 0 || (unknown.n > 0 && unknown.p >= names.p));
	milter_macros_put(&out, &list, &(struct milter_macro_view){ .command = 'C', .session = &session });
	struct bytes frame;
	const char *why;
	ASSERT(milter_codec_frame(buf_bytes(&out), 65536, &frame, &why) == 1 && frame.n + MILTER_LENGTH_BYTES == out.n);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_make(data, size), frame, symbols[MILTER_SYMBOL_STAGES];
	struct milter_terms offer, terms;
	const char *why = NULL;
	if (size == 0)
		return 0;
	offer = milter_codec_offer(2 + data[0] % 5);
	if (milter_codec_frame(bytes_skip(in, 1), 65536, &frame, &why) != 1)
		return 0;
	if (milter_codec_agree(frame, &offer, &terms, symbols, &why) < 0) {
		ASSERT(why);
		return 0;
	}
	ASSERT(terms.version >= 2 && terms.version <= offer.version);
	ASSERT(!(terms.actions & ~offer.actions) && !(terms.protocol & ~offer.protocol));
	for (unsigned i = 0; i < MILTER_SYMBOL_STAGES; i++) {
		if (symbols[i].p)
			check_macros(symbols[i]);
	}
	return 0;
}
