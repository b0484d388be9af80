/*
 * stream_connect.c: connecting.
 */
#include "lib/run/process.h"
#include "lib/run/stream_impl.h"

#include <string.h>
#include <unistd.h>

enum { MOST_ADDRESSES = 8 };

TASK_FN static int wait_connected(struct stream *s)
{
	int error = 0, r;
	socklen_t len = sizeof error;

	while (!s->writable)
		if ((r = stream_wait(s, &s->writer)))
			return r;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return -errno;
	return error == ETIMEDOUT ? -EHOSTUNREACH : -error;
}

/* A unix socket whose backlog is full says EAGAIN, and nothing tells when it has room again. */
TASK_FN static int connect_fd(int fd, const struct net_addr *to)
{
	int64_t pause = MS(5);

	while (connect(fd, &to->sa, to->len)) {
		int r;

		if (errno != EAGAIN)
			return -errno;
		if ((r = task_sleep(pause)))
			return r;
		if (pause < MS(80))
			pause *= 2;
	}
	return 0;
}

TASK_FN static int connect_addr(const struct net_addr *to, const struct net_addr *source, struct stream **ret)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;
	struct stream *s;

	if (fd < 0)
		return -errno;
	if (source && source->sa.sa_family == to->sa.sa_family && bind(fd, &source->sa, source->len)) {
		r = -errno;
		close(fd);
		return r;
	}
	r = connect_fd(fd, to);
	if (r && r != -EINPROGRESS) {
		close(fd);
		return r;
	}
	s = r ? stream_new_connecting(fd) : stream_new(fd);
	if (r && (r = wait_connected(s))) {
		stream_close(&s);
		return r;
	}
	*ret = s;
	return 0;
}

TASK_FN static int connect_unix(const char *path, struct stream **ret)
{
	struct net_addr a = { .len = sizeof a.un };

	a.un.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof a.un.sun_path)
		return -ENAMETOOLONG;
	strcpy(a.un.sun_path, path);
	return connect_addr(&a, NULL, ret);
}

TASK_FN int stream_connect(const struct endpoint *to, const struct net_addr *source, struct stream **ret)
{
	struct net_addr addrs[MOST_ADDRESSES];
	int n, r = task_check();

	if (r)
		return r;
	if (to->kind == ENDPOINT_UNIX)
		return connect_unix(to->path, ret);
	if (to->kind == ENDPOINT_EXEC)
		return process_connect(to, ret);
	n = net_resolve(to->host, to->port, addrs, MOST_ADDRESSES);
	if (n <= 0)
		return n ? n : -EHOSTUNREACH;
	for (int i = 0; i < n; i++) {
		r = connect_addr(&addrs[i], source, ret);
		if (!r || r == -ECANCELED || r == -ETIMEDOUT)
			break;
	}
	return r;
}
