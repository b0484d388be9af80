/*
 * milter_tap.h: somebody who watches the connections to a milter: `gatepost milter-test`.  The server has none.
 */
#ifndef GATEPOST_MILTER_TAP_H
#define GATEPOST_MILTER_TAP_H

#include "lib/base/bytes.h"
#include "lib/gate/gate.h"

enum milter_tap_what {
	MILTER_TAP_OPENED,              /* data: the endpoint's text */
	MILTER_TAP_SENT,                /* data: a frame without its length; told before it is written */
	MILTER_TAP_RECEIVED,            /* data: a frame without its length */
	MILTER_TAP_REST,                /* data: bytes from the filter that make no whole frame, or an impossible one */
	MILTER_TAP_FAULT,               /* data: what was wrong, in a few words */
	MILTER_TAP_CLOSED,              /* by us */
};
struct milter_tap_event {
	enum milter_tap_what what;
	struct bytes data;              /* valid during the call */
	enum gate_fault fault;          /* FAULT: of this kind */
};
struct milter_tap {
	void (*fn)(void *arg, const struct milter_tap_event *event);
	void *arg;
};

/* From now on TAP, which outlives the gate, is told of all connections of G.  NULL ends it. */
void milter_tap_gate(struct gate *g, const struct milter_tap *tap);

/* For milter/ only.  TAP may be NULL: nothing is told. */
static inline void milter_tap_tell(const struct milter_tap *tap, enum milter_tap_what what, struct bytes data)
{
	if (tap)
		tap->fn(tap->arg, &(struct milter_tap_event){ .what = what, .data = data });
}
/* Each frame of OUT, with BODY in it at AT. */
void milter_tap_frames(const struct milter_tap *tap, struct bytes out, size_t at, struct bytes body);

#endif
