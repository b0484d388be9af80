/*
 * policyd.h: Postfix policy servers (the policy delegation protocol) as gates.
 */
#ifndef GATEPOST_POLICYD_POLICYD_H
#define GATEPOST_POLICYD_POLICYD_H

#include "lib/gate/gate.h"

/* Times in ns; 0 or NULL: the default, which is Postfix's. */
struct policyd_params {
	const char *const *endpoints;           /* "inet:127.0.0.1:10023", "unix:/run/policy.sock": the least busy one, of equals the first */
	unsigned endpoint_count;
	const unsigned *commands;               /* of each "exec:" one among them: its number for the spawner (lib/run/process.h); NULL: there are none */
	unsigned max_connections;               /* in use at once by one worker: who wants one more waits; 0: no limit */
	int64_t connect_timeout;                /* for each connection that is made: 30 s */
	int64_t timeout;                        /* for one request with its answer: POLICYD_TIMEOUT */
	int64_t retry_delay;                    /* before a server that is not there is asked once more: POLICYD_RETRY_DELAY; < 0: it is not */
	int64_t idle;                           /* a connection that is not used is kept so long: 300 s */
	int64_t max_ttl;                        /* no connection is used longer than this: 1000 s */
	unsigned request_limit;                 /* requests over one connection; 0: no limit */
	bool postfix;                           /* refusals say what Postfix's would: "<object>: Recipient address rejected: text" */
	bool extras;                            /* attributes of our own behind Postfix's (policyd_view.h) */
	int64_t cache;                          /* an answer that goes on or refuses for good is good for so long; 0: not kept */
	const char *policy_context;             /* ""; these three are sent as they are */
	const char *compatibility_level;        /* "3.12" */
	const char *mail_version;               /* "3.12.0": the Postfix release whose attributes are sent */
};

#define POLICYD_TIMEOUT SECONDS(100)
#define POLICYD_RETRY_DELAY SECONDS(1)

extern const struct gate_ops policyd_ops;

/* Makes RET a gate of this kind: sets ops, config, no limit in total_timeout, and policyd_ops.default_on_failure for every failure;
 * name, shadow and what the administrator says of failures are the caller's to set.  Everything is copied.  -EINVAL with a sentence in ERR. */
int policyd_configure(const struct policyd_params *params, struct gate *ret, struct buf *err) __attribute__((warn_unused_result));
/* Closes the kept connections; no session uses the gate any more. */
void policyd_unconfigure(struct gate *g);

#endif
