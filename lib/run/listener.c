/*
 * listener.c: accepting connections.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/run/loop.h"
#include "lib/run/stream.h"

#include <event2/event_struct.h>
#include <string.h>
#include <unistd.h>

enum { BURST = 64 };                    /* then others have their turn */

struct listener {
	struct event event;
	struct timer pause;
	int fd;
	bool said_full, closed, busy;
	void (*fn)(void *arg, int fd, const struct net_addr *peer);
	void *arg;
};

static void listener_resume(void *arg)
{
	struct listener *l = arg;

	event_add(&l->event, NULL);
}

/* The connection stays in the backlog, and the socket readable: so look away for a while. */
static void listener_pause(struct listener *l, int error)
{
	if (!l->said_full)
		log_warning("accept_paused", "accept: %s: no new connections for now", strerror(error));
	l->said_full = true;
	event_del(&l->event);
	timer_start(&l->pause, SECONDS(1), listener_resume, l);
}

static bool accept_one(struct listener *l)
{
	struct net_addr peer = { .len = sizeof peer.un };
	int fd = accept4(l->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		l->said_full = false;
		l->fn(l->arg, fd, &peer);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		listener_pause(l, errno);
		return false;
	}
	/* A connection that was gone before we came, or another network error, says nothing about the next one. */
	return errno != EAGAIN && errno != EBADF && errno != EINVAL && errno != ENOTSOCK;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd, (void)what;
	loop.events++;
	l->busy = true;
	for (int i = 0; i < BURST && !l->closed && accept_one(l); i++)
		;
	l->busy = false;
	if (l->closed)
		mem_free(l);
}

struct listener *listener_new(int listen_fd, void (*fn)(void *arg, int fd, const struct net_addr *peer), void *arg)
{
	struct listener *l = NEW(struct listener);

	l->fd = listen_fd;
	l->fn = fn;
	l->arg = arg;
	event_assign(&l->event, loop.base, listen_fd, EV_READ | EV_PERSIST, on_accept, l);
	event_add(&l->event, NULL);
	return l;
}

void listener_close(struct listener **lp)
{
	struct listener *l = *lp;

	if (!l)
		return;
	*lp = NULL;
	event_del(&l->event);
	timer_stop(&l->pause);
	l->closed = true;
	if (!l->busy)
		mem_free(l);
}
