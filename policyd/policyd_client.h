/*
 * policyd_client.h: asking a policy server over kept connections.
 */
#ifndef GATEPOST_POLICYD_POLICYD_CLIENT_H
#define GATEPOST_POLICYD_POLICYD_CLIENT_H

#include "policyd/policyd.h"
#include "policyd/policyd_codec.h"

struct policyd_client;

/* Copies what it needs of PARAMS.  -EINVAL with a sentence in ERR. */
int policyd_client_new(const struct policyd_params *params, struct policyd_client **ret, struct buf *err) __attribute__((warn_unused_result));
void policyd_client_free(struct policyd_client **c);

struct policyd_failure {
	enum gate_fault fault;
	const char *why;        /* valid until the next question */
};
/* Sends REQUEST and reads the answer into REPLY (all-zero before).  A kept connection that turns out to be dead costs a reconnect, nothing more; a
 * server that is not there at all, and was a moment ago, a second.
 * 0; -ECANCELED; -errno with *RET_FAILURE. */
TASK_FN int policyd_client_ask(struct policyd_client *c, struct bytes request, struct policyd_reply *reply, struct policyd_failure *ret_failure)
    __attribute__((warn_unused_result));

#endif
