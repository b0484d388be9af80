/*
 * milter_codec.h: the milter protocol: bytes to structs and back.  The protocol itself is told at the top of milter_codec.c.
 */
#ifndef GATEPOST_MILTER_CODEC_H
#define GATEPOST_MILTER_CODEC_H

#include "lib/smtp/reply.h"

enum {
	MILTER_LENGTH_BYTES = 4,        /* in front of every frame */
	MILTER_CHUNK_MAX = 65535,       /* body bytes in one frame */
	MILTER_DATA_MAX = 65535,        /* what libmilter takes in one frame, command byte not counted */
	MILTER_SYMBOL_STAGES = 7,       /* of SMFIR_SETSYMLIST */
};

/* ---- what is agreed on ---- */

struct milter_terms {
	uint32_t version;
	uint32_t actions;               /* SMFIF_*: edits the filter may make */
	uint32_t protocol;              /* SMFIP_*: events it does not want, replies it does not give */
};
/* All that a host of VERSION (2 to 6) can offer. */
struct milter_terms milter_codec_offer(unsigned version);
void milter_codec_negotiate(struct buf *out, const struct milter_terms *offer);

/* The filter's answer to OFFER.  SYMBOLS are its macro lists by stage, as it wrote them (p == NULL: not given), slices of FRAME.
 * -EPROTO: no agreement is possible, *RET_WHY says why. */
int milter_codec_agree(struct bytes frame, const struct milter_terms *offer, struct milter_terms *ret,
		       struct bytes symbols[static MILTER_SYMBOL_STAGES], const char **ret_why) __attribute__((warn_unused_result));

/* ---- events, from us to the filter ---- */

struct milter_event {
	char command;                   /* SMFIC_* */
	const char *name;
	unsigned since;                 /* first version that knows it */
	uint32_t unwanted;              /* SMFIP_NO*: the filter does not want it */
	uint32_t unanswered;            /* SMFIP_NR_*: it is sent, and gets no reply */
};
/* COMMAND is one of the table's. */
const struct milter_event *milter_codec_event(char command);

/* A frame is begun, filled and ended; what is put between is its data. */
size_t milter_codec_begin(struct buf *out, char command);       /* where it began */
void milter_codec_end(struct buf *out, size_t begun);
void milter_codec_put_string(struct buf *out, struct bytes s);  /* with its NUL; one within S is left out */

void milter_codec_put_bare(struct buf *out, char command);      /* DATA, EOH, BODYEOB, ABORT, QUIT */
struct milter_peer {
	struct bytes name;
	char family;                    /* SMFIA_* */
	uint16_t port;
	struct bytes address;
};
void milter_codec_put_connect(struct buf *out, const struct milter_peer *peer);
void milter_codec_put_text(struct buf *out, char command, struct bytes text);   /* HELO, UNKNOWN */
struct milter_header {
	struct bytes name, raw_value;   /* the value is what stands behind the colon, folds and all */
	bool keep_blank;                /* its first blank too (SMFIP_HDR_LEADSPC) */
	size_t most;                    /* bytes of data that the filter takes, at least 16 */
};
/* False: it was too long for the filter, which is shown the beginning. */
bool milter_codec_put_header(struct buf *out, const struct milter_header *h);
/* The frame of a body chunk without the chunk: N bytes of it must follow. */
void milter_codec_put_chunk_head(struct buf *out, size_t n);

/* ---- replies, from the filter to us ---- */

enum milter_reply_class {
	MILTER_VERDICT,                 /* ends the wait */
	MILTER_EDIT,                    /* at end of message only; more follows */
	MILTER_PROGRESS,                /* it still works */
	MILTER_TERMS,                   /* the answer to the negotiation */
};
struct milter_reply_kind {
	char code;                      /* SMFIR_* */
	const char *name;
	const char *layout;
	enum milter_reply_class class;
	uint32_t action;                /* SMFIF_* it needs */
};
struct milter_reply {
	const struct milter_reply_kind *kind;
	uint32_t index;                 /* of a header */
	struct bytes text[2];           /* name and value; address and parameters; the reason, the reply, the piece of body.  p == NULL: left out */
};
/* The first frame of IN: 1 and *RET is its command byte and data (its length field is in front of it); 0: more must come; -EPROTO: empty, or over MOST. */
int milter_codec_frame(struct bytes in, size_t most, struct bytes *ret, const char **ret_why) __attribute__((warn_unused_result));
int milter_codec_reply(struct bytes frame, struct milter_reply *ret, const char **ret_why) __attribute__((warn_unused_result));

/* The text of SMFIR_REPLYCODE as a reply, in ARENA.  -EPROTO unless it is a 4xx or 5xx reply as a filter may give it. */
int milter_codec_reply_text(struct bytes text, struct arena *arena, struct smtp_reply *ret) __attribute__((warn_unused_result));

#endif
