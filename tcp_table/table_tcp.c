/*
 * table_tcp.c: tcp:host:port.
 */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_server.h"
#include "tcp_table/tcp_codec.h"

#include "lib/base/mem.h"

#include <errno.h>

struct tcp_table {
	struct table_server *server;
	size_t reply_max;
};

static int tcp_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	/* A Postfix process ends, and its connection with it, when it was idle for 100 s. */
	struct table_server_params params = { .endpoint = spec, .options = o, .idle = SECONDS(100), .max_ttl = FOREVER };
	struct table_server *server;

	int r = table_server_new(&params, &server, err);
	if (r < 0)
		return r;
	struct tcp_table *t = NEW(struct tcp_table);
	*t = (struct tcp_table){ .server = server, .reply_max = o->reply_max ? o->reply_max : TCP_REPLY_MAX };
	*ret_state = t;
	return 0;
}

static void tcp_close(void *state)
{
	struct tcp_table *t = state;
	table_server_free(&t->server);
	mem_free(t);
}

struct tcp_question {
	struct table_server_question base;
	struct buf request;
	struct tcp_reply reply;
	size_t reply_max;
};

TASK_FN static int tcp_run(struct stream *s, void *arg)
{
	struct tcp_question *q = arg;
	struct bytes line = { NULL, 0 };

	stream_put(s, buf_bytes(&q->request));
	int r = stream_flush(s);
	if (r == 0)
		r = stream_line(s, q->reply_max, &line, NULL);
	if (r == -EMSGSIZE)
		q->base.why = "malformed reply: the line is too long";
	return r < 0 ? r : tcp_codec_reply(line, &q->reply, &q->base.why);
}

TASK_FN static int tcp_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct tcp_table *t = state;
	struct tcp_question q = { .base = { .run = tcp_run, .arg = &q }, .reply_max = t->reply_max };

	tcp_codec_request(key, &q.request);
	int r = table_server_ask(t->server, &q.base, err);
	if (r == 0 && q.reply.status == TCP_FOUND) {
		buf_add(ret, buf_bytes(&q.reply.text));
		r = 1;
	} else if (r == 0 && q.reply.status == TCP_ERROR) {
		buf_add(err, buf_bytes(&q.reply.text));
		r = -EAGAIN;
	}
	buf_fini(&q.request);
	buf_fini(&q.reply.text);
	return r;
}

const struct table_ops table_tcp = { .type = "tcp", .whole_key = true, .open = tcp_open, .close = tcp_close, .ask = tcp_ask };
