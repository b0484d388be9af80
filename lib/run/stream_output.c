/*
 * stream_output.c: writing.
 */
#include "lib/base/assert.h"
#include "lib/run/stream_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- into the buffer ---- */

void stream_put(struct stream *s, struct bytes b)
{
	if (!s->out_error)
		iobuf_append(&s->out, b.p, b.n);
}

void stream_putf(struct stream *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (s->out_error)
		return;
	iobuf_reserve(&s->out, 128);
	va_start(ap, fmt);
	n = vsnprintf(s->out.p + s->out.to, iobuf_space(&s->out), fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	if ((size_t)n >= iobuf_space(&s->out)) {
		iobuf_reserve(&s->out, (size_t)n + 1);
		va_start(ap, fmt);
		vsnprintf(s->out.p + s->out.to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	s->out.to += (uint32_t)n;
}

size_t stream_unsent(const struct stream *s)
{
	return iobuf_used(&s->out);
}

/* ---- out of it ---- */

ssize_t stream_send(struct stream *s, const struct iovec *iov, size_t n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	ssize_t sent;

	if (!s->writable)
		return -EAGAIN;
	do
		sent = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0) {
		s->in_doubt = false;
		return sent;
	}
	if (errno != EAGAIN)
		return errno == ETIMEDOUT ? -ECONNRESET : -errno;
	s->writable = false;
	stream_watch_write(s);
	return -EAGAIN;
}

/* What is left to write: the buffer, then slices of the caller. */
struct rest {
	const struct iovec *iov;
	unsigned n;
	size_t skip;            /* so much of iov[0] is done */
};

static void rest_advance(struct rest *rest, size_t sent)
{
	rest->skip += sent;
	while (rest->n && rest->skip >= rest->iov->iov_len) {
		rest->skip -= rest->iov->iov_len;
		rest->iov++;
		rest->n--;
	}
}

static int send_clear(struct stream *s, struct rest *rest)
{
	enum { MOST = 16 };
	struct iovec iov[MOST];
	size_t buffered = iobuf_used(&s->out);
	unsigned n = 0;
	ssize_t sent;

	if (buffered)
		iov[n++] = (struct iovec){ s->out.p + s->out.from, buffered };
	for (unsigned i = 0; i < rest->n && n < MOST; i++)
		iov[n++] = rest->iov[i];
	if (rest->n && n > (buffered > 0)) {
		struct iovec *first = &iov[buffered > 0];

		*first = (struct iovec){ (char *)first->iov_base + rest->skip, first->iov_len - rest->skip };
	}
	sent = stream_send(s, iov, n);
	if (sent < 0)
		return (int)sent;
	if ((size_t)sent < buffered) {
		iobuf_consume(&s->out, (size_t)sent);
		return 0;
	}
	iobuf_consume(&s->out, buffered);
	rest_advance(rest, (size_t)sent - buffered);
	return 0;
}

/* Records are filled: what the caller has is gathered in the buffer. */
static int send_tls(struct stream *s, struct rest *rest)
{
	while (rest->n && iobuf_used(&s->out) < IOBUF_LARGE) {
		size_t room = IOBUF_LARGE - iobuf_used(&s->out), left = rest->iov->iov_len - rest->skip;
		size_t some = left < room ? left : room;

		iobuf_append(&s->out, (char *)rest->iov->iov_base + rest->skip, some);
		rest_advance(rest, some);
	}
	return iobuf_used(&s->out) ? stream_tls_send(s) : 0;
}

static int send_some(struct stream *s, struct rest *rest)
{
	int r = s->out_error;

	if (!r)
		r = s->tls ? send_tls(s, rest) : send_clear(s, rest);
	if (r && r != -EAGAIN)
		s->out_error = r;
	return r;
}

/* A stream on which a part of something was written cannot be used for anything else. */
static void tear(struct stream *s, const struct rest *rest, unsigned n)
{
	if (rest->n && (rest->n < n || rest->skip))
		s->out_error = -EPIPE;
}

TASK_FN int stream_writev(struct stream *s, const struct iovec *iov, unsigned n)
{
	struct rest rest = { iov, n, 0 };
	int r = s->out_error, canceled = task_check();

	rest_advance(&rest, 0);
	n = rest.n;
	/* Also when the task is cancelled already: a farewell that can go without waiting does. */
	while (!r && (iobuf_used(&s->out) || rest.n)) {
		r = send_some(s, &rest);
		if (r == -EAGAIN)
			r = canceled ? canceled : stream_wait(s, &s->writer);
	}
	if (r == -ECANCELED || r == -ETIMEDOUT)
		tear(s, &rest, n);
	if (s->out_error)
		iobuf_fini(&s->out);
	iobuf_release(&s->out);
	return canceled ? canceled : r;
}

TASK_FN int stream_flush(struct stream *s)
{
	return stream_writev(s, NULL, 0);
}
