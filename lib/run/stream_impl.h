/*
 * stream_impl.h: what the stream_*.c files share; nobody else includes it.
 */
#ifndef GATEPOST_RUN_STREAM_IMPL_H
#define GATEPOST_RUN_STREAM_IMPL_H

#include "lib/run/iobuf.h"
#include "lib/run/loop.h"
#include "lib/run/stream.h"

#include <event2/event_struct.h>

struct stream_tls;

/*
 * READABLE: the kernel may have input.  Its edge has come and no read has found the end since.
 * IN_DOUBT: a read got less than it asked for, so there is no more data, but an error may be hidden behind it: libevent
 *	tells of a reset connection as of input.  A later write that succeeds proves that there was none.  So the usual
 *	dialogue, read a command and write the reply, needs no read that ends in EAGAIN.
 * HUNG_UP: the peer will send no more (EPOLLRDHUP): read to the end of file.
 */
struct stream {
	struct event event;
	int fd;
	int in_error, out_error;        /* sticky */
	bool readable, in_doubt, hung_up, writable;
	bool watch_write;               /* the loop tells us when we can write: from the first EAGAIN on */
	bool park_ready;
	bool bulk;                      /* the last read brought much */
	struct iobuf in, out;
	uint32_t scanned;               /* no LF in so many bytes of the input */
	struct task *reader, *writer;
	void (*park_fn)(void *arg, int why);
	void *park_arg;
	struct timer park_timer;
	struct stream_tls *tls;
	struct stream *reports;         /* of the process whose input and output this is; NULL */
};

/* For a connect() under way: writable is set when it has been decided. */
struct stream *stream_new_connecting(int fd);
/* Without waiting: 0 when input was added, -EAGAIN, -ENODATA at end of file, -errno.  At most MOST bytes are then there. */
int stream_receive(struct stream *s, size_t most);
/* As recv(2) and sendmsg(2), but -errno, and with the flags above kept. */
ssize_t stream_recv(struct stream *s, const struct iovec *iov, int n);
ssize_t stream_send(struct stream *s, const struct iovec *iov, size_t n);
void stream_watch_write(struct stream *s);
/* SLOT is &s->reader or &s->writer.  0 when something may have changed, -ECANCELED, -ETIMEDOUT. */
TASK_FN int stream_wait(struct stream *s, struct task **slot);
void stream_parked_event(struct stream *s);

int stream_tls_receive(struct stream *s, size_t most);
int stream_tls_send(struct stream *s);                          /* from s->out; 0 when some was sent */
void stream_tls_close(struct stream *s);

#endif
