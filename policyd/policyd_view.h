/*
 * policyd_view.h: the view of a session and its transaction as policy attributes.
 */
#ifndef GATEPOST_POLICYD_POLICYD_VIEW_H
#define GATEPOST_POLICYD_POLICYD_VIEW_H

#include "lib/gate/gate.h"
#include "policyd/policyd_codec.h"

/* What must live as long as the request does. */
struct policyd_view {
	struct policyd_request request;
	struct arena arena;
};
/* Fills VIEW (all-zero before) for one call.  -EINVAL: there is no such question at this stage. */
int policyd_view_render(struct policyd_view *view, const struct gate_call *call) __attribute__((warn_unused_result));
/* Adds what only we tell (extras = true): gatepost_instance, gatepost_queue_id, gatepost_message_id, gatepost_recipient_N, gatepost_gate_NAME. */
void policyd_view_extras(struct policyd_view *view, const struct gate_call *call);
void policyd_view_fini(struct policyd_view *view);

#endif
