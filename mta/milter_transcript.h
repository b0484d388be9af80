/*
 * milter_transcript.h: what happens between milter-test and a milter, as it happens: printed, and kept for --record.
 */
#ifndef GATEPOST_MTA_MILTER_TRANSCRIPT_H
#define GATEPOST_MTA_MILTER_TRANSCRIPT_H

#include "milter/milter_print.h"
#include "milter/milter_tap.h"

#include <stdio.h>

struct milter_transcript {
	FILE *to;
	int64_t began;                  /* CLOCK_MONOTONIC */
	struct milter_print print;
	struct buf record;              /* with its first line */
	unsigned count;                 /* entries in it */
	enum gate_fault fault;          /* the first one */
	struct buf fault_text;
	struct milter_tap tap;          /* for milter_tap_gate() */
};
/* WHOLE: nothing that is printed is cut. */
void milter_transcript_init(struct milter_transcript *t, FILE *to, bool whole);
void milter_transcript_fini(struct milter_transcript *t);

/* Something happens now. */
void milter_transcript_add(struct milter_transcript *t, enum milter_record_kind kind, struct bytes data);
/* A line between them, for the reader alone. */
void milter_transcript_note(struct milter_transcript *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes the recording.  -errno. */
int milter_transcript_save(struct milter_transcript *t, const char *file) __attribute__((warn_unused_result));

#endif
