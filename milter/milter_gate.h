/*
 * milter_gate.h: a milter as a gate.  For milter/ only.
 */
#ifndef GATEPOST_MILTER_GATE_H
#define GATEPOST_MILTER_GATE_H

#include "milter/milter_pool.h"

enum { MILTER_OWED_MAX = 56 };

/* What a session keeps of one milter. */
struct milter {
	struct milter_client client;
	char owed[MILTER_OWED_MAX];     /* commands that were put and whose answers will be awaited together, in this order */
	uint8_t owed_count;
	char skip;                      /* events of this command are not wanted, until another kind comes */
	uint8_t aborts_due;             /* ABORTs that may wait for the next write */
	uint64_t body_sent;             /* bytes of the body it has been sent */
	bool opened;                    /* there was a connection: when it is gone, what it was told is lost */
	bool helo;                      /* it has heard a HELO... */
	bool helo_over_tls;             /* ... in a session that was encrypted then */
	bool in_message;                /* it has heard something of a message */
	bool heard_data;                /* ... its DATA among it */
	bool in_content;                /* it has been sent the header */
	bool owed_sent;                 /* the commands of OWED have been sent */
	bool after_end;                 /* the last it was told is an end of message that it let go on */
	bool amid;                      /* it is being told something, or that failed */
	bool body_ended;                /* a new body was sent, and something else after it */
	bool message_done;              /* it wants no more of this message... */
	bool session_done;              /* ... of this session */
};

/* Begins an event: macros are put.  False: the filter is not told of it.  The caller then puts the command, and ends with
 * milter_gate_finish(). */
bool milter_gate_begin(struct milter *m, const struct gate_call *call, const struct milter_event *event);
/* Sends it and awaits the verdict, if there will be one; else, and where answers may be awaited together, it may wait for the
 * next write. */
TASK_FN int milter_gate_finish(struct milter *m, struct gate_call *call, const struct milter_event *event) __attribute__((warn_unused_result));
/* Notes that COMMAND's answer will be awaited later. False: it must be awaited at once. */
bool milter_gate_owe(struct milter *m, char command);
/* Awaits what is owed.  AHEAD: more than that has been sent. */
TASK_FN int milter_gate_collect(struct milter *m, struct gate_call *call, bool ahead) __attribute__((warn_unused_result));
TASK_FN int milter_gate_answer(struct milter *m, struct gate_call *call, const struct milter_event *event) __attribute__((warn_unused_result));
void milter_gate_put_macros(struct milter *m, const struct gate_call *call, char command);
/* Does it have nothing more to say of this message? */
bool milter_gate_decided(const struct milter *m, const struct gate_call *call);
/* Returns -EPROTO and says why. */
int milter_gate_protocol_error(struct milter *m, const char *why);

/* milter_message.c: the content, from the first header to the verdict. */
TASK_FN int milter_message(struct milter *m, struct gate_call *call) __attribute__((warn_unused_result));
/* What has arrived of it so far, in whole chunks; milter_message() goes on from there. */
TASK_FN int milter_message_feed(struct milter *m, struct gate_call *call) __attribute__((warn_unused_result));
/* gate_edit_kind bits of what it negotiated. */
unsigned milter_message_edits(const struct milter *m);
/* milter_edit.c: one edit at the end of the message, noted in the call. */
int milter_edit(struct milter *m, struct gate_call *call, const struct milter_reply *reply) __attribute__((warn_unused_result));

#endif
