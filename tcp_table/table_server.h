/*
 * table_server.h: tables that ask a server: one question, one answer, over kept connections.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_SERVER_H
#define GATEPOST_TCP_TABLE_TABLE_SERVER_H

#include "lib/run/pool.h"
#include "tcp_table/table.h"

struct table_server;

struct table_server_params {
	struct bytes endpoint;                  /* "127.0.0.1:10001", "unix:/path" */
	const struct table_options *options;
	int64_t idle, max_ttl;                  /* defaults of this protocol, ns */
};
int table_server_new(const struct table_server_params *params, struct table_server **ret, struct buf *err) __attribute__((warn_unused_result));
void table_server_free(struct table_server **s);

struct table_server_question {
	int (*run)(struct stream *s, void *arg) TASK_PTR;       /* as in struct pool_exchange; starts anew each time it is called */
	void *arg;
	const char *why;                        /* set by RUN when it returns an error of its own: what is wrong with the answer */
};
/* 0: RUN has an answer.  Else cannot tell, as table_get() says it. */
TASK_FN int table_server_ask(struct table_server *s, struct table_server_question *q, struct buf *err) __attribute__((warn_unused_result));

#endif
