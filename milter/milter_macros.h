/*
 * milter_macros.h: what a milter is told beside its events: Sendmail's macros, rendered from the transaction.
 */
#ifndef GATEPOST_MILTER_MACROS_H
#define GATEPOST_MILTER_MACROS_H

#include "milter/milter.h"

/* Macros of one stage, by their place in the table of milter_macros.c. */
struct milter_macro_list {
	uint8_t count;
	uint8_t macros[39];
};

/* Names divided by blanks or commas: "j {daemon_name}, i".  Unknown ones are left out: how many, and the first of them. */
unsigned milter_macros_parse(struct bytes names, struct milter_macro_list *ret, struct bytes *ret_unknown);
/* What COMPAT's host gives at each stage. */
void milter_macros_defaults(enum milter_compat compat, struct milter_macro_list ret[static MILTER_MACRO_STAGES]);
/* Whose list goes with an event: SMFIC_HEADER and SMFIC_EOH share one, so do SMFIC_BODY and SMFIC_BODYEOB. */
enum milter_macro_stage milter_macros_stage(char command);

struct milter_macro_view {
	enum milter_compat compat;
	char command;                   /* the event they go with */
	const struct gate_session *session;
	const struct gate_txn *txn;     /* NULL before MAIL */
	const struct gate_rcpt *rcpt;   /* at RCPT */
};
/* The frame D for an event.  Macros without a value are left out. */
void milter_macros_put(struct buf *out, const struct milter_macro_list *list, const struct milter_macro_view *view);

#endif
