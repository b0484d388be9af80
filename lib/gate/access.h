/*
 * access.h: the actions of access(5), as policy servers and access tables give them, and what each does to a transaction.
 *
 * Nothing here yields or logs: what is worth a line in the log is told to the caller.
 */
#ifndef GATEPOST_GATE_ACCESS_H
#define GATEPOST_GATE_ACCESS_H

#include "lib/base/log.h"
#include "lib/gate/gate.h"

enum access_kind {
	ACCESS_DUNNO,                   /* no opinion; so is an empty action */
	ACCESS_OK,                      /* OK, RELAY, a number */
	ACCESS_REPLY,                   /* REJECT, DEFER, 4NN text, 5NN text: the reply */
	ACCESS_DISCONNECT,              /* 421 text, 521 text, HANGUP: the reply, then the connection is closed */
	ACCESS_DEFER_IF_PERMIT,         /* the reply, if nothing refuses */
	ACCESS_DEFER_IF_REJECT,         /* the reply, instead of what refuses */
	ACCESS_PREPEND,                 /* text: a header field */
	ACCESS_HOLD, ACCESS_DISCARD, ACCESS_WARN, ACCESS_INFO,  /* text: a reason for the log; may be empty */
	ACCESS_FILTER,                  /* text: the next hop that all of the message goes to instead */
	ACCESS_REDIRECT, ACCESS_BCC,    /* text: an address */
	ACCESS_UNKNOWN,                 /* a restriction's name, a typing error: the reply is 451 4.3.5 */
};

struct access_action {
	enum access_kind kind;
	struct bytes word;              /* as given */
	struct bytes text;              /* what follows it, blanks at both ends removed */
	struct smtp_reply reply;        /* where the kind has one: text in the arena */
};

/* ACTION without line end.  WORD and TEXT are slices of it.  Words are taken in any case. */
void access_parse(struct bytes action, struct arena *arena, struct access_action *ret);

/* The text of PREPEND as name and value (all behind the colon, the blanks there included).  -EINVAL: it is no header field. */
int access_header(struct bytes text, struct bytes *ret_name, struct bytes *ret_value) __attribute__((warn_unused_result));

/* What an ACCESS_UNKNOWN word is, and what stands for it in a script: a sentence. */
const char *access_hint(struct bytes word, struct arena *arena);

/* No more of a reply's text than fits into a line. */
void access_cut(struct smtp_reply *r, struct arena *arena);

/* About whom an action speaks: Postfix's replies name them. */
enum access_class { ACCESS_BY_STAGE, ACCESS_CLIENT, ACCESS_HELO, ACCESS_SENDER, ACCESS_RECIPIENT };
/* Makes A's reply what Postfix says: "<object>: Recipient address rejected: text", and its enhanced status one about such an object. */
void access_wrap(struct access_action *a, const struct gate_call *call, enum access_class class, struct arena *arena);

/* Something for the log. */
struct access_note {
	bool told;
	enum log_level level;
	const char *text;               /* NULL: the action says it all */
};
/* Does to CALL what A says.  0, or the -errno of an edit: GATE_FAULT_EDIT. */
int access_apply(struct gate_call *call, const struct access_action *a, struct access_note *ret_note) __attribute__((warn_unused_result));
/* Stage, action, its text and the note, in a line that the asker has begun and ends. */
void access_note_put(struct log_line *l, const struct gate_call *call, const struct access_action *a, const struct access_note *note);
/* Done once to a message, however often it is said: what changes it and what is only logged. */
bool access_once(const struct access_action *a);

#endif
