/* mail_private.h: what the files of lib/mail share. */
#ifndef GATEPOST_MAIL_PRIVATE_H
#define GATEPOST_MAIL_PRIVATE_H

#include "lib/base/arena.h"
#include "lib/mail/mail.h"

/* Bytes that are appended and read again: in memory, and from some size on in an unlinked file, but for a last part that is
 * not yet written. */
struct mail_store {
	struct buf mem;
	uint64_t written;       /* bytes in the file; those in MEM follow */
	int fd;                 /* -1: all in MEM */
	bool eight_bit;
};
#define MAIL_STORE_EMPTY ((struct mail_store){ .fd = -1 })

static inline uint64_t mail_store_size(const struct mail_store *s) { return s->written + s->mem.n; }
int mail_store_append(struct mail_store *s, const struct mail_limits *limits, struct bytes b) __attribute__((warn_unused_result));
/* Nothing more comes: gives memory back. */
int mail_store_end(struct mail_store *s) __attribute__((warn_unused_result));
int mail_store_read(const struct mail_store *s, uint64_t offset, size_t most, struct buf *scratch, struct bytes *ret)
    __attribute__((warn_unused_result));
void mail_store_fini(struct mail_store *s);

enum mail_state { MAIL_HEADER, MAIL_BODY, MAIL_ENDED };

struct mail_private {
	enum mail_state state;
	uint64_t received;

	/* The header as received with the empty line that ends it; constant once it has ended. */
	struct buf head;
	size_t line;            /* where the line begins that is not yet known; in the end: the length of the header */
	size_t separator;       /* length of the empty line */
	struct mail_header *fields;
	unsigned field_count;
	struct arena arena;     /* fields that edits made */

	struct mail_store original;
	bool original_blank;    /* its first byte is a blank */

	struct mail_store edited, pending;
	bool replaced;          /* EDITED is the body */
	bool pending_lf;        /* PENDING ends in LF (or is empty) */
	bool pending_cr;        /* PENDING ends in CR */
};

static inline const struct mail_store *mail_body(const struct mail *m)
{
	return m->priv->replaced ? &m->priv->edited : &m->priv->original;
}

bool mail_any_8bit(struct bytes b);

/* Length of the field name that begins LINE, blanks and the colon not counted: 0 when it is no field, -1 when LINE is too
 * short to tell. */
ptrdiff_t mail_field_name(struct bytes line);

/* A last field that came without its line end gets it, because something is to follow. */
void mail_close_header(struct mail *m);

#endif
