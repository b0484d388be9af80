/*
 * milter_print.h: a conversation with a milter, readable by a person.
 */
#ifndef GATEPOST_MILTER_PRINT_H
#define GATEPOST_MILTER_PRINT_H

#include "milter/milter_codec.h"
#include "milter/milter_record_codec.h"

/* An event whose answer has not come yet. */
struct milter_print_owed {
	char command;
	int64_t at;
};
/* What the printer must know of what came before.  All zero begins; milter_print_fini() ends. */
struct milter_print {
	struct milter_terms terms;
	struct milter_print_owed *owed;
	unsigned owed_count, owed_capacity;
	bool whole;                     /* long texts are printed in full, not only their beginning */
};
void milter_print_fini(struct milter_print *p);

/* The lines of one entry, each LF ended. */
void milter_print_entry(struct milter_print *p, const struct milter_record_entry *e, struct buf *out);
/* The same without time: what two conversations are compared by. */
void milter_print_frame(const struct milter_record_entry *e, struct buf *out);
/* Text for a terminal: control characters and what is no UTF-8 as \n, \t, \xNN.  At most MOST bytes of it, and then how many there were. */
void milter_print_text(struct buf *out, struct bytes text, size_t most);
/* A frame's letter says: does the filter owe an answer to it under TERMS? */
bool milter_print_answered(const struct milter_terms *terms, char command);

#endif
