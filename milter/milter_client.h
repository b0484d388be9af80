/*
 * milter_client.h: one connection to a milter: opened, negotiated, frames out, replies in.  What they mean is milter_gate.c's.
 */
#ifndef GATEPOST_MILTER_CLIENT_H
#define GATEPOST_MILTER_CLIENT_H

#include "lib/run/pool.h"
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

	char *name;
	struct pool *pool;
	struct milter_socket *sockets;          /* of each endpoint */
	unsigned keep;                          /* connections of each endpoint that outlive a session; 0: none */
	int64_t idle;                           /* ns that one is kept unused */
	struct tls_context *tls;                /* NULL: in clear */
	char *tls_name;                         /* NULL: the endpoint's host */
	bool tls_verify;
	uid_t *peer_uids;                       /* who may be behind a unix socket; none: anybody */
	unsigned peer_uid_count;
	void (*free)(struct milter_config *c);
};

/* What a process knows of how a socket's filter takes SMFIC_QUIT_NC; see milter_pool.c. */
struct milter_socket {
	enum milter_reuse { MILTER_REUSE_UNTRIED, MILTER_REUSE_ASKED, MILTER_REUSE_WORKS, MILTER_REUSE_FAILS } reuse;
	int64_t again_at;               /* when ASKED and FAILS become UNTRIED */
	unsigned failures;              /* since it last worked: each doubles the time until it is tried again */
};

/* What lasts as long as a connection: it may serve several sessions, one after another. */
struct milter_bond {
	struct milter_terms terms;
	struct milter_macro_list *symbols;      /* MILTER_MACRO_STAGES lists; NULL: the filter asked for none, config's hold */
	bool quit_due;                  /* when it is closed the filter is told QUIT: no session has it */
	char question;                  /* between two sessions: the last command whose answer is awaited */
	uint8_t owed;                   /* ... and how many are */
	struct buf answer;              /* ... as far as it has come */
};

/* A session's connection.  Small: while it waits for the filter it holds no buffers. */
struct milter_client {
	const struct milter_config *config;
	struct pool_conn *conn;         /* NULL: not open */
	struct stream *stream;          /* conn's; NULL: not open */
	struct buf out;                 /* frames that wait for the next one that needs an answer, to go out in one write */
	size_t eaten;                   /* bytes of input that the last reply took */
	struct milter_terms terms;
	const struct milter_macro_list *symbols;        /* the bond's */
	bool inet;
	bool heard;                     /* something came since the last write: see stream_quickack() */
	bool told, answered;            /* something was sent, and came, in this session */
	enum gate_fault fault;          /* what was wrong when a call returned -errno (but -ECANCELED) */
	const char *why;                /* ... in a few words */
};

/* Agrees with the filter at the other end of c->stream. */
TASK_FN int milter_client_negotiate(struct milter_client *c, struct milter_bond *ret) __attribute__((warn_unused_result));
/* FRAME is its answer to our offer. */
int milter_client_agree(const struct milter_config *c, struct bytes frame, struct milter_bond *ret, const char **ret_why) __attribute__((warn_unused_result));
/* Gives the connection up. */
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
