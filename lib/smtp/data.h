/*
 * data.h: the content of DATA, both ways (RFC 5321 section 4.5.2).
 */
#ifndef GATEPOST_SMTP_DATA_H
#define GATEPOST_SMTP_DATA_H

#include "lib/base/buf.h"

/* Only <CR><LF>.<CR><LF> ends the data.  A bare CR or a bare LF is noted and kept; what is done about it is the listener's choice. */
enum smtp_bare { SMTP_BARE_REJECT, SMTP_BARE_NORMALIZE };
struct smtp_data_decoder {
	enum smtp_bare mode;    /* NORMALIZE: a bare LF becomes CR LF (never an end of data), a bare CR a space */
	unsigned char state;    /* private */
	bool bare_lf, bare_cr, nul;     /* seen */
	bool done;
};
void smtp_data_decoder_init(struct smtp_data_decoder *d, enum smtp_bare mode);
/* Eats from *IN, up to and with the end of data; decoded bytes are appended to OUT.  Never appends more than 2 * in.n + 2 bytes
 * (in.n + 2 under REJECT).  Leaves in *IN what follows the end. */
void smtp_data_decode(struct smtp_data_decoder *d, struct bytes *in, struct buf *out);

/* Dot-stuffs a message that arrives in pieces.  Only CR LF ends a line, as it does for the decoder. */
struct smtp_data_encoder {
	unsigned char state;    /* private */
};
void smtp_data_encoder_init(struct smtp_data_encoder *e);
void smtp_data_encode(struct smtp_data_encoder *e, struct bytes in, struct buf *out);
/* The end: CR LF if the last line lacks it, then "." CR LF. */
void smtp_data_encode_end(struct smtp_data_encoder *e, struct buf *out);

#endif
