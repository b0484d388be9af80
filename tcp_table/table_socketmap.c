/*
 * table_socketmap.c: socketmap:inet:host:port:name, socketmap:unix:/path:name.
 */
#include "tcp_table/socketmap_codec.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_server.h"

#include "lib/base/mem.h"

#include <errno.h>

struct socketmap_table {
	struct table_server *server;
	char *map;
	size_t reply_max;
};

static int socketmap_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	struct table_server_params params = { .options = o, .idle = SECONDS(10), .max_ttl = SECONDS(100) };
	ptrdiff_t colon = bytes_rfind(spec, ':');
	struct bytes map = colon < 0 ? spec : bytes_skip(spec, (size_t)colon + 1);
	struct table_server *server;

	if (colon < 0 || map.n == 0) {
		buf_printf(err, "\"socketmap:%.*s\": it needs the form socketmap:inet:host:port:name or socketmap:unix:path:name", BYTES_ARG(spec));
		return -EINVAL;
	}
	params.endpoint = bytes_first(spec, (size_t)colon);
	int r = table_server_new(&params, &server, err);
	if (r < 0)
		return r;
	struct socketmap_table *t = NEW(struct socketmap_table);
	*t = (struct socketmap_table){
		.server = server, .map = bytes_dup(map), .reply_max = o->reply_max ? o->reply_max : SOCKETMAP_REPLY_MAX
	};
	*ret_state = t;
	return 0;
}

static void socketmap_close(void *state)
{
	struct socketmap_table *t = state;
	table_server_free(&t->server);
	mem_free(t->map);
	mem_free(t);
}

struct socketmap_question {
	struct table_server_question base;
	struct buf request;
	size_t reply_max;
	enum socketmap_status status;
	struct buf *ret, *err;          /* where the text goes: of what was found, of what is wrong */
};

/* What was read is in the stream's own buffer until the next call: so it is used here. */
static void socketmap_take(struct socketmap_question *q, struct bytes payload)
{
	struct bytes text;
	q->status = socketmap_codec_reply(payload, &text);
	if (q->status == SOCKETMAP_FOUND)
		buf_add(q->ret, text);
	else if (q->status != SOCKETMAP_NOT_FOUND)
		buf_add(q->err, text);
}

TASK_FN static int socketmap_run(struct stream *s, void *arg)
{
	struct socketmap_question *q = arg;
	struct bytes payload = { NULL, 0 };

	stream_put(s, buf_bytes(&q->request));
	int r = stream_flush(s);
	while (r == 0) {
		r = stream_fill(s, q->reply_max + SOCKETMAP_FRAME);
		if (r == 0)
			r = socketmap_codec_frame(stream_input(s), q->reply_max, &payload, &q->base.why);
	}
	if (r < 0)
		return r;
	socketmap_take(q, payload);
	stream_consume(s, stream_input(s).n);
	return 0;
}

TASK_FN static int socketmap_ask(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	struct socketmap_table *t = state;
	struct socketmap_question q = { .base = { .run = socketmap_run, .arg = &q }, .reply_max = t->reply_max, .ret = ret, .err = err };

	if (key.n > SOCKETMAP_QUERY_MAX)
		return 0;
	socketmap_codec_request(bytes_of(t->map), key, &q.request);
	int r = table_server_ask(t->server, &q.base, err);
	buf_fini(&q.request);
	if (r < 0)
		return r;
	switch (q.status) {
	case SOCKETMAP_FOUND:
		return 1;
	case SOCKETMAP_NOT_FOUND:
		return 0;
	case SOCKETMAP_TEMPORARY:
		return -EAGAIN;
	case SOCKETMAP_PERMANENT:
		break;
	}
	return -EINVAL;
}

const struct table_ops table_socketmap = {
	.type = "socketmap", .whole_key = true, .open = socketmap_open, .close = socketmap_close, .ask = socketmap_ask
};
