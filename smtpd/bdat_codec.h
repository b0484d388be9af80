/*
 * bdat_codec.h: the BDAT command and its content (RFC 3030).
 *
 *	bdat-cmd   = "BDAT" SP chunk-size [ SP end-marker ] CR LF
 *	chunk-size = 1*DIGIT
 *	end-marker = "LAST"
 *
 * A chunk is as many octets as it says, and knows no end of data.  So text may come with lines that end in a
 * bare LF; it is given CR LF here, for filters and next hops that are sent it by DATA: what they saw would else
 * depend on how they take a bare LF.
 */
#ifndef GATEPOST_SMTPD_BDAT_CODEC_H
#define GATEPOST_SMTPD_BDAT_CODEC_H

#include "lib/base/buf.h"

struct bdat_chunk {
	uint64_t size;
	bool last;
};
/* The argument of BDAT.  -EINVAL: nothing can be said about what follows it. */
int bdat_parse(struct bytes arg, struct bdat_chunk *ret) __attribute__((warn_unused_result));

/* Lines of text, across chunks.  All-zero is ready. */
struct bdat_text {
	bool cr;                /* the last octet was a CR, not yet written */
	bool bare_cr;           /* one was seen, and became a blank */
};
/* Appends at most 2 * in.n + 1 bytes to OUT. */
void bdat_text_add(struct bdat_text *t, struct bytes in, struct buf *out);
void bdat_text_end(struct bdat_text *t, struct buf *out);

#endif
