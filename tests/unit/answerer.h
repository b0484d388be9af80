/* answerer.h: a server of questions and answers that behaves as badly as it is told. */
#ifndef GATEPOST_TESTS_UNIT_ANSWERER_H
#define GATEPOST_TESTS_UNIT_ANSWERER_H

#include "lib/base/mem.h"
#include "lib/run/stream.h"

#include <stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum after {
	AFTER_GO_ON,
	AFTER_CLOSE,            /* the connection is closed behind the answer */
	AFTER_HANG,             /* nothing more comes, until the client goes */
	AFTER_DRIP,             /* the answer again and again, one each second */
	AFTER_FLOOD,            /* the answer again and again, as fast as it goes */
};
struct answer {
	const char *bytes;
	size_t n;               /* 0: strlen(bytes) */
	enum after after;
};

struct answerer {
	/* Length of the question that INPUT begins with, 0 when it is not complete yet. */
	size_t (*question)(struct bytes input);
	const struct answer *answers;   /* one a question, over all connections, in order */
	unsigned answer_count;
	unsigned close_at_accept;       /* so many connections are closed before a question */

	unsigned asked, connections, open;
	struct buf questions;
	char endpoint[64];
	int fd;
	struct listener *listener;
	struct task_group tasks;
};

struct answerer_conn {
	struct answerer *server;
	struct stream *stream;
};

TASK_FN static inline int answerer_repeat(struct answerer_conn *c, const struct answer *a, struct bytes text)
{
	int r = 0;
	while (r == 0) {
		if (a->after == AFTER_DRIP)
			r = task_sleep(SECONDS(1));
		else
			task_yield();
		stream_put(c->stream, text);
		if (r == 0)
			r = stream_flush(c->stream);
		if (r == 0 && a->after == AFTER_DRIP && stream_poll(c->stream) != -EAGAIN)
			r = -EPIPE;
	}
	return r;
}

TASK_FN static inline int answerer_answer(struct answerer_conn *c)
{
	struct answerer *s = c->server;
	const struct answer *a = &s->answers[s->asked++ < s->answer_count ? s->asked - 1 : s->answer_count - 1];
	struct bytes text = bytes_make(a->bytes, a->n ? a->n : strlen(a->bytes));

	stream_put(c->stream, text);
	int r = stream_flush(c->stream);
	if (r == 0 && (a->after == AFTER_DRIP || a->after == AFTER_FLOOD))
		return answerer_repeat(c, a, text);
	while (r == 0 && a->after == AFTER_HANG)
		r = stream_fill(c->stream, 1 << 20);
	return r == 0 && a->after == AFTER_CLOSE ? -EPIPE : r;
}

TASK_FN static inline void answerer_serve(struct answerer_conn *c)
{
	int r = 0;

	while (r == 0) {
		size_t n;
		while (r == 0 && (n = c->server->question(stream_input(c->stream))) == 0)
			r = stream_fill(c->stream, 1 << 20);
		if (r < 0)
			break;
		buf_add(&c->server->questions, bytes_first(stream_input(c->stream), n));
		stream_consume(c->stream, n);
		r = answerer_answer(c);
	}
	stream_close(&c->stream);
	c->server->open--;
	mem_free(c);
}

static inline void answerer_accept(void *arg, int fd, const struct net_addr *peer)
{
	struct answerer *s = arg;
	(void)peer;
	s->connections++;
	if (s->close_at_accept) {
		s->close_at_accept--;
		close(fd);
		return;
	}
	struct answerer_conn *c = NEW(struct answerer_conn);
	*c = (struct answerer_conn){ s, stream_new(fd) };
	s->open++;
	task_spawn(&s->tasks, "answerer", answerer_serve, c);
}

/* The members above the line are set.  S->endpoint is "127.0.0.1:PORT" then. */
static inline void answerer_start(struct answerer *s)
{
	struct net_addr any, at;
	const char *before = strrchr(s->endpoint, ':');         /* one that comes back comes back where it was */
	assert_int_equal(net_addr_parse(BYTES("127.0.0.1"), before ? (uint16_t)atoi(before + 1) : 0, &any), 0);
	s->fd = net_listen(&any, false);
	assert_true(s->fd >= 0);
	at.len = sizeof at.in;
	assert_int_equal(getsockname(s->fd, &at.sa, &at.len), 0);
	snprintf(s->endpoint, sizeof s->endpoint, "127.0.0.1:%u", net_addr_port(&at));
	task_group_init(&s->tasks);
	s->listener = listener_new(s->fd, answerer_accept, s);
}

/* In a task.  Nobody can connect any more; who is connected loses the connection. */
TASK_FN static inline void answerer_stop(struct answerer *s)
{
	if (!s->listener)
		return;
	listener_close(&s->listener);
	close(s->fd);
	task_group_cancel(&s->tasks);
	task_group_wait(&s->tasks);
	buf_fini(&s->questions);
}

#endif
