/*
 * milter_play.h: a whole SMTP session, in this process, whose only gate is the milter to be tried.
 *
 * Client and server are both ours, and the server is the very one that `gatepost serve` runs: so what is shown is what would happen.
 */
#ifndef GATEPOST_MTA_MILTER_PLAY_H
#define GATEPOST_MTA_MILTER_PLAY_H

#include "lib/run/net.h"
#include "lib/run/tls.h"
#include "mta/milter_dialogue.h"
#include "mta/milter_transcript.h"

struct milter_play_params {
	const struct gate *gate;
	struct milter_transcript *transcript;
	const struct milter_dialogue *dialogue;
	const char *hostname;
	struct net_addr client;
	const char *client_name;        /* "unknown": it has none */
	const char *auth_user;          /* NULL: not authenticated */
	const struct tls_info *tls;     /* what the session pretends to be encrypted with from EHLO on; NULL */
	struct buf *message;            /* the last one that the milter let pass, as it would be delivered; NULL: nobody wants it */
};
/* Within run_init() and run_fini(), not in a task.  -EINTR: it was interrupted (SIGINT); another -errno: it could not be had at all. */
int milter_play(const struct milter_play_params *p) __attribute__((warn_unused_result));

#endif
