/*
 * milter_client.h: one connection to a milter: opened, negotiated, frames out, replies in.  What they mean is milter_gate.c's.
 */
#ifndef GATEPOST_MILTER_CLIENT_H
#define GATEPOST_MILTER_CLIENT_H

#include "lib/run/stream.h"
#include "milter/milter_codec.h"
#include "milter/milter_macros.h"
#include "milter/milter_tap.h"

/* A configured milter: what milter_params said, digested. */
struct milter_config {
	struct endpoint *endpoints;
	unsigned endpoint_count;
	int64_t connect_timeout, command_timeout, content_timeout;
	size_t reply_max, data_max;
	enum milter_compat compat;
	struct milter_terms offer;
	struct milter_macro_list macros[MILTER_MACRO_STAGES];
	const struct milter_tap *tap;           /* who watches; NULL */
};

/* A connection.  Small: while it waits for the filter it holds no buffers. */
struct milter_client {
	const struct milter_config *config;
	struct stream *stream;          /* NULL: not open */
	struct buf out;                 /* frames that wait for the next one that needs an answer, to go out in one write */
	size_t eaten;                   /* bytes of input that the last reply took */
	struct milter_terms terms;
	struct milter_macro_list *symbols;      /* MILTER_MACRO_STAGES lists; NULL: the filter asked for none, config's hold */
	bool inet;
	bool heard;                     /* something came since the last write: see stream_quickack() */
	enum gate_fault fault;          /* what was wrong when a call returned -errno (but -ECANCELED) */
	const char *why;                /* ... in a few words */
};

/* Connects and negotiates. */
TASK_FN int milter_client_open(struct milter_client *c) __attribute__((warn_unused_result));
void milter_client_close(struct milter_client *c);
/* Sends what is in c->out; its first AT bytes, then BODY, then the rest.  TIMEOUT in ns. */
TASK_FN int milter_client_send(struct milter_client *c, size_t at, struct bytes body, int64_t timeout) __attribute__((warn_unused_result));
/* The next reply.  Its texts are valid until the next call or milter_client_forget(), which gives its memory back. */
TASK_FN int milter_client_reply(struct milter_client *c, int64_t timeout, struct milter_reply *ret) __attribute__((warn_unused_result));
void milter_client_forget(struct milter_client *c);
/* Has the filter hung up, or spoken unasked? */
bool milter_client_stale(struct milter_client *c);
const struct milter_macro_list *milter_client_macros(const struct milter_client *c, char command);

#endif
