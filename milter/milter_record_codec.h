/*
 * milter_record_codec.h: a conversation with a milter as text: what `gatepost milter-test --record` writes.  The form is told at the top of
 * milter_record_codec.c.
 */
#ifndef GATEPOST_MILTER_RECORD_CODEC_H
#define GATEPOST_MILTER_RECORD_CODEC_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

#define MILTER_RECORD_FIRST_LINE "gatepost-milter-record 1"

/* What an entry tells, as its letter in the text. */
enum milter_record_kind {
	MILTER_RECORD_OPENED = '=',     /* connected; data: to what */
	MILTER_RECORD_SENT = '>',       /* a frame to the filter, without its length */
	MILTER_RECORD_RECEIVED = '<',   /* a frame from the filter, without its length */
	MILTER_RECORD_REST = '?',       /* bytes from the filter that make no frame */
	MILTER_RECORD_FAULT = '!',      /* data: "KIND: words" */
	MILTER_RECORD_CLOSED = 'x',     /* we hung up */
	MILTER_RECORD_CLIENT = 'C',     /* what the SMTP client said, for the reader alone */
	MILTER_RECORD_SERVER = 'S',     /* ... and was told */
};
struct milter_record_entry {
	int64_t at;                     /* ns since the beginning, not negative */
	enum milter_record_kind kind;
	struct bytes data;              /* frames: at least one byte */
};

/* The first line, an entry, and the last line, which says how many entries there were. */
void milter_record_put_begin(struct buf *out);
void milter_record_put(struct buf *out, const struct milter_record_entry *e);
void milter_record_put_end(struct buf *out, unsigned count);

struct milter_record {
	struct milter_record_entry *entries;
	unsigned count;
	struct arena arena;             /* their data */
};
/* -EINVAL: it is no recording, or not a whole one; a sentence with the line's number is appended to ERR. */
int milter_record_parse(struct bytes text, struct milter_record *ret, struct buf *err) __attribute__((warn_unused_result));
void milter_record_fini(struct milter_record *r);

#endif
