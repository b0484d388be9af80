/*
 * stream.c: streams and the loop: how they begin, wait and end.
 */
#include "lib/base/assert.h"
#include "lib/run/stream_impl.h"

#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What a peak of connections took from malloc goes back to the kernel when it is over. */
enum { MANY_STREAMS = 256 };
static struct {
	unsigned open, peak;
	struct timer trim;
} streams;

static void streams_trim(void *arg)
{
	(void)arg;
	iobuf_trim_pool();
	malloc_trim(0);
}

static void streams_opened(void)
{
	if (++streams.open > streams.peak)
		streams.peak = streams.open;
}

static void streams_closed(void)
{
	if (--streams.open >= streams.peak / 2 || streams.peak < MANY_STREAMS)
		return;
	streams.peak = streams.open;
	timer_start(&streams.trim, SECONDS(2), streams_trim, NULL);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	loop.events++;
	if (what & EV_CLOSED)
		s->hung_up = true;
	if (what & (EV_READ | EV_CLOSED))
		s->readable = true;
	if (what & EV_WRITE)
		s->writable = true;
	/* TLS may have to write in order to read, and the other way round. */
	if (s->reader && (s->readable || s->tls))
		task_wake(s->reader);
	if (s->writer && (s->writable || s->tls))
		task_wake(s->writer);
	if (s->park_fn && s->readable)
		stream_parked_event(s);
}

static void watch_deep(void *arg)
{
	struct stream *s = arg;
	short what = s->watch_write ? EV_READ | EV_WRITE : EV_READ;

	event_assign(&s->event, loop.base, s->fd, what | EV_CLOSED | EV_ET | EV_PERSIST, on_event, s);
	if (event_add(&s->event, NULL))
		s->in_error = s->out_error = -EBADF;
}

static void watch(struct stream *s)
{
	task_deep(watch_deep, s);
}

/* A unix socket that is watched for writing wakes us each time the peer has read, so only those that ever were full
 * are. */
void stream_watch_write(struct stream *s)
{
	if (s->watch_write)
		return;
	s->watch_write = true;
	event_del(&s->event);
	watch(s);
}

static struct stream *stream_alloc(int fd)
{
	struct stream *s = NEW(struct stream);
	int on = 1;

	streams_opened();
	s->fd = fd;
	/* Fails on a unix socket, which has no Nagle to turn off. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return s;
}

struct stream *stream_new(int fd)
{
	struct stream *s = stream_alloc(fd);
	int on = 1;

	ioctl(fd, FIONBIO, &on);
	s->writable = true;
	watch(s);
	return s;
}

struct stream *stream_new_connecting(int fd)
{
	struct stream *s = stream_alloc(fd);

	s->watch_write = true;
	watch(s);
	return s;
}

int stream_pair(struct stream **ret_a, struct stream **ret_b)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd))
		return -errno;
	*ret_a = stream_new(fd[0]);
	*ret_b = stream_new(fd[1]);
	return 0;
}

void stream_close(struct stream **sp)
{
	struct stream *s = *sp;

	if (!s)
		return;
	ASSERT(!s->reader && !s->writer);
	*sp = NULL;
	stream_close(&s->reports);
	if (s->tls)
		stream_tls_close(s);
	timer_stop(&s->park_timer);
	event_del(&s->event);
	close(s->fd);
	streams_closed();
	iobuf_fini(&s->in);
	iobuf_fini(&s->out);
	mem_free(s);
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

int stream_peer(const struct stream *s, struct net_addr *ret)
{
	struct net_addr a = { .len = sizeof a.un };

	if (getpeername(s->fd, &a.sa, &a.len))
		return -errno;
	*ret = a;
	return 0;
}

int stream_local(const struct stream *s, struct net_addr *ret)
{
	struct net_addr a = { .len = sizeof a.un };

	if (getsockname(s->fd, &a.sa, &a.len))
		return -errno;
	*ret = a;
	return 0;
}

void stream_quickack(struct stream *s)
{
	int on = 1;

	setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

TASK_FN int stream_wait(struct stream *s, struct task **slot)
{
	int r;

	(void)s;
	ASSERT(!*slot);
	*slot = loop.current;
	r = task_suspend();
	*slot = NULL;
	return r;
}
