/*
 * milter_dialogue.h: what the SMTP client of milter-test says: a message with its envelope, or a dialogue from a file.
 */
#ifndef GATEPOST_MTA_MILTER_DIALOGUE_H
#define GATEPOST_MTA_MILTER_DIALOGUE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/* Pieces, in the order they are sent: a command line with its CR LF, or some content, dot-stuffed. */
struct milter_dialogue {
	struct bytes *pieces;
	unsigned count, capacity;
	struct arena *arena;            /* the pieces' bytes */
};
void milter_dialogue_init(struct milter_dialogue *d, struct arena *arena);
void milter_dialogue_fini(struct milter_dialogue *d);

/* A file is one of two things.  With a line "[dialogue]", or one that begins with "C:", it is a test's dialogue (tests/dialogue/README.md):
 * the client's lines ("C: text", "C| raw", "C* 10 text") are taken, all others left out.  Else its lines are what the client sends.
 * -EINVAL: "LINE: a sentence" in ERR. */
int milter_dialogue_parse(struct milter_dialogue *d, struct bytes text, struct buf *err) __attribute__((warn_unused_result));

struct milter_dialogue_params {
	const char *helo;
	const char *from;               /* "a@example.org", "<a@example.org> SIZE=3" */
	const char *const *to;          /* NULL at the end */
	struct bytes message;           /* lines ended by CR LF or LF; an mbox "From " line is left out */
};
/* EHLO to QUIT. */
void milter_dialogue_compose(struct milter_dialogue *d, const struct milter_dialogue_params *p);

#endif
