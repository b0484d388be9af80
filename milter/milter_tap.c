/*
 * milter_tap.c: what is written to a milter, frame by frame for who watches.
 */
#include "milter/milter_tap.h"

#include "milter/milter_client.h"

#include "lib/base/assert.h"

void milter_tap_gate(struct gate *g, const struct milter_tap *tap)
{
	struct milter_config *c = g->config;
	ASSERT(g->ops == &milter_ops);
	c->tap = tap;
}

void milter_tap_frames(const struct milter_tap *tap, struct bytes out, size_t at, struct bytes body)
{
	struct buf all = { 0 };
	const char *why;
	struct bytes frame;
	buf_add(&all, bytes_first(out, at));
	buf_add(&all, body);
	buf_add(&all, bytes_skip(out, at));
	struct bytes rest = buf_bytes(&all);
	while (milter_codec_frame(rest, UINT32_MAX, &frame, &why) > 0) {
		milter_tap_tell(tap, MILTER_TAP_SENT, frame);
		rest = bytes_skip(rest, MILTER_LENGTH_BYTES + frame.n);
	}
	ASSERT(rest.n == 0);
	buf_fini(&all);
}
