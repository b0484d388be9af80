/*
 * milter_replay.h: our side of a recorded conversation, once more, to a milter that may answer differently now.
 */
#ifndef GATEPOST_MTA_MILTER_REPLAY_H
#define GATEPOST_MTA_MILTER_REPLAY_H

#include "lib/run/net.h"
#include "mta/milter_transcript.h"

struct milter_replay_params {
	const struct milter_record *record;
	const struct endpoint *endpoint;
	int64_t timeout;                /* ns to connect, and for each answer */
	struct milter_transcript *transcript;
};
struct milter_replay_result {
	unsigned answers;               /* of the milter, compared */
	bool differs;
	int connect_error;              /* -errno; 0: it could be connected to */
	bool interrupted;               /* by SIGINT */
};
/* Frame by frame, as far as the answers allow: when the milter decides otherwise than it did, what follows makes no sense any more.  Progress
 * replies are not compared.  Differences go to the transcript as notes.  Within run_init() and run_fini(), not in a task. */
void milter_replay(const struct milter_replay_params *p, struct milter_replay_result *ret);

#endif
