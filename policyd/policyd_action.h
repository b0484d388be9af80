/*
 * policyd_action.h: the actions of access(5), as policy servers and access tables give them; no I/O.
 */
#ifndef GATEPOST_POLICYD_POLICYD_ACTION_H
#define GATEPOST_POLICYD_POLICYD_ACTION_H

#include "lib/smtp/reply.h"

enum policyd_action_kind {
	POLICYD_DUNNO,                  /* no opinion; so is an empty action */
	POLICYD_OK,                     /* OK, RELAY, a number */
	POLICYD_REPLY,                  /* REJECT, DEFER, 4NN text, 5NN text: the reply */
	POLICYD_DISCONNECT,             /* 421 text, 521 text: the reply, then the connection is closed */
	POLICYD_DEFER_IF_PERMIT,        /* the reply, if nothing refuses */
	POLICYD_DEFER_IF_REJECT,        /* the reply, instead of what refuses */
	POLICYD_PREPEND,                /* text: a header field */
	POLICYD_HOLD, POLICYD_DISCARD, POLICYD_WARN, POLICYD_INFO,      /* text: a reason for the log; may be empty */
	POLICYD_UNSUPPORTED,            /* FILTER, REDIRECT, BCC, a restriction's name, a typing error: the reply is 451 4.3.5 */
};

struct policyd_action {
	enum policyd_action_kind kind;
	struct bytes word;              /* as given */
	struct bytes text;              /* what follows it, blanks at both ends removed */
	struct smtp_reply reply;        /* where the kind has one: text in the arena */
};

/* ACTION without line end.  WORD and TEXT are slices of it.  Words are taken in any case. */
void policyd_action_parse(struct bytes action, struct arena *arena, struct policyd_action *ret);

/* The text of PREPEND as name and value (without the blank behind the colon).  -EINVAL: it is no header field. */
int policyd_action_header(struct bytes text, struct bytes *ret_name, struct bytes *ret_value) __attribute__((warn_unused_result));

#endif
