/*
 * stream_input.c: reading.
 */
#include "lib/base/assert.h"
#include "lib/run/stream_impl.h"

#include <string.h>

struct bytes stream_input(struct stream *s)
{
	return iobuf_bytes(&s->in);
}

void stream_consume(struct stream *s, size_t n)
{
	iobuf_consume(&s->in, n);
	s->scanned = s->scanned > n ? s->scanned - (uint32_t)n : 0;
	/* Whoever waits for somebody else now need not hold it meanwhile. */
	iobuf_release(&s->in);
}

/* ---- without waiting ---- */

static size_t iov_total(const struct iovec *iov, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

ssize_t stream_recv(struct stream *s, const struct iovec *iov, int n)
{
	ssize_t got;

	if (!s->readable && !s->in_doubt)
		return -EAGAIN;
	do
		got = readv(s->fd, iov, n);
	while (got < 0 && errno == EINTR);
	s->in_doubt = false;
	if (got < 0 && errno == EAGAIN) {
		s->readable = false;
		return -EAGAIN;
	}
	if (got < 0)
		/* The kernel's own timeout means that the peer is gone; -ETIMEDOUT is for deadlines. */
		return errno == ETIMEDOUT ? -ECONNRESET : -errno;
	if ((size_t)got < iov_total(iov, (size_t)n) && !s->hung_up) {
		s->readable = false;
		s->in_doubt = true;
	}
	return got;
}

/* A small chunk is enough for a command.  What does not fit goes into the overflow, which belongs to the process, and then
 * with the rest into a large one: so one read does, and a stream that says little holds little.  Behind a read
 * that found more than a small chunk holds comes another such, most often: it gets the large one at once. */
static int receive_clear(struct stream *s, size_t most)
{
	static char overflow[IOBUF_LARGE];
	size_t want = most - iobuf_used(&s->in), space;
	struct iovec iov[2];
	ssize_t got;

	if (!s->readable && !s->in_doubt)
		return -EAGAIN;
	iobuf_reserve(&s->in, s->bulk && !iobuf_used(&s->in) ? IOBUF_LARGE : 1);
	space = iobuf_space(&s->in);
	if (space > want)
		space = want;
	iov[0] = (struct iovec){ s->in.p + s->in.to, space };
	want -= space;
	iov[1] = (struct iovec){ overflow, want < sizeof overflow ? want : sizeof overflow };
	got = stream_recv(s, iov, want ? 2 : 1);
	s->bulk = got > IOBUF_SMALL;
	if (got <= 0)
		return got ? (int)got : -ENODATA;
	if ((size_t)got <= space) {
		s->in.to += (uint32_t)got;
		return 0;
	}
	s->in.to += (uint32_t)space;
	iobuf_append(&s->in, overflow, (size_t)got - space);
	return 0;
}

int stream_receive(struct stream *s, size_t most)
{
	int r;

	if (s->in_error)
		return s->in_error;
	if (s->in.from == s->in.to)
		s->in.from = s->in.to = 0;
	r = s->tls ? stream_tls_receive(s, most) : receive_clear(s, most);
	if (r && r != -EAGAIN)
		s->in_error = r;
	if (r)
		iobuf_release(&s->in);
	return r;
}

int stream_poll(struct stream *s)
{
	if (iobuf_used(&s->in))
		return 0;
	/* The loop may not have told us yet. */
	s->readable = true;
	return stream_receive(s, IOBUF_SMALL);
}

void stream_relax(struct stream *s)
{
	iobuf_release(&s->in);
	iobuf_release(&s->out);
}

/* ---- waiting ---- */

TASK_FN int stream_fill(struct stream *s, size_t most)
{
	int r = task_check();

	if (!r && iobuf_used(&s->in) >= most)
		return -EMSGSIZE;
	while (!r) {
		r = stream_receive(s, most);
		if (r != -EAGAIN)
			return r;
		r = stream_wait(s, &s->reader);
	}
	return r;
}

/* Index of the first LF; -1: none yet. */
static ptrdiff_t find_lf(struct stream *s)
{
	struct bytes in = iobuf_bytes(&s->in);
	ptrdiff_t i = bytes_find(bytes_skip(in, s->scanned), '\n');

	if (i >= 0)
		return i + (ptrdiff_t)s->scanned;
	s->scanned = (uint32_t)in.n;
	return -1;
}

TASK_FN int stream_line(struct stream *s, size_t most, struct bytes *ret, bool *ret_crlf)
{
	struct bytes line;
	ptrdiff_t lf;
	bool crlf;

	while ((lf = find_lf(s)) < 0) {
		int r = stream_fill(s, most);

		if (r)
			return r;
	}
	if ((size_t)lf >= most)
		return -EMSGSIZE;
	line = bytes_first(iobuf_bytes(&s->in), (size_t)lf);
	iobuf_consume(&s->in, (size_t)lf + 1);
	s->scanned = 0;
	crlf = line.n && line.p[line.n - 1] == '\r';
	line.n -= crlf;
	if (ret_crlf)
		*ret_crlf = crlf;
	*ret = line;
	return 0;
}

TASK_FN int stream_read(struct stream *s, void *to, size_t n)
{
	char *p = to;

	while (n) {
		struct bytes in = iobuf_bytes(&s->in);
		size_t some = in.n < n ? in.n : n;
		int r;

		if (!some) {
			if ((r = stream_fill(s, IOBUF_LARGE)))
				return r;
			continue;
		}
		memcpy(p, in.p, some);
		stream_consume(s, some);
		p += some;
		n -= some;
	}
	return 0;
}

/* ---- parking ---- */

static void unpark_and_call(struct stream *s, int why)
{
	void (*fn)(void *, int) = s->park_fn;

	stream_unpark(s);
	fn(s->park_arg, why);
}

static void on_park_timer(void *arg)
{
	struct stream *s = arg;

	if (s->park_fn)
		unpark_and_call(s, s->park_ready ? 0 : -ETIMEDOUT);
}

/* A TLS record that is not complete, or not data, is no input. */
void stream_parked_event(struct stream *s)
{
	if (!s->tls || stream_receive(s, IOBUF_SMALL) != -EAGAIN)
		unpark_and_call(s, 0);
}

void stream_park(struct stream *s, int64_t deadline, void (*fn)(void *arg, int why), void *arg)
{
	ASSERT(!s->reader && !s->park_fn);
	s->park_fn = fn;
	s->park_arg = arg;
	s->park_ready = iobuf_used(&s->in) || stream_receive(s, IOBUF_SMALL) != -EAGAIN;
	s->park_timer.fn = on_park_timer;
	s->park_timer.arg = s;
	stream_relax(s);
	timer_set(&s->park_timer, s->park_ready ? run_now() : deadline);
}

void stream_unpark(struct stream *s)
{
	s->park_fn = NULL;
	timer_clear(&s->park_timer);
}
