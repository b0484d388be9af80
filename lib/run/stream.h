/*
 * stream.h: buffered byte streams over TCP, unix sockets and TLS.
 *
 * The fd is registered with the loop once, edge-triggered.  Input is tried first, then waited for, then tried again.
 * Buffers are taken from a pool when there is something to hold and given back when empty, so a stream that waits
 * holds none.  TCP_NODELAY is always set: put together what belongs together, then flush once.
 *
 * One task at a time may read and one may write.  All errors are sticky for their direction: -EPIPE/-ECONNRESET when
 * the peer is gone, -ETIMEDOUT and -ECANCELED are not sticky.
 */
#ifndef GATEPOST_RUN_STREAM_H
#define GATEPOST_RUN_STREAM_H

#include "lib/run/net.h"
#include "lib/run/task.h"
#include "lib/run/tls.h"

#include <sys/uio.h>

struct stream;

/* Takes FD over (non-blocking is set). */
struct stream *stream_new(int fd);
/* Connects: each address of the name in order until one accepts, within the task's deadline.  -ECONNREFUSED,
 * -ETIMEDOUT, -EHOSTUNREACH, ...: of the last address tried.  SOURCE, an address to bind to, may be NULL. */
TASK_FN int stream_connect(const struct endpoint *to, const struct net_addr *source, struct stream **ret) __attribute__((warn_unused_result));
int stream_pair(struct stream **ret_a, struct stream **ret_b);  /* socketpair, for tests */
/* Closes at once; what was put and not flushed is lost.  A TLS close_notify is sent if that does not block. */
void stream_close(struct stream **s);
int stream_fd(const struct stream *s);
int stream_peer(const struct stream *s, struct net_addr *ret);          /* getpeername */
int stream_local(const struct stream *s, struct net_addr *ret);         /* getsockname */
/* Acknowledges at once what has come.  Libmilter has Nagle on: the second of two writes without one of ours between them waits for that. */
void stream_quickack(struct stream *s);

/* ---- input ---- */

/* What has arrived and was not consumed yet.  Valid until the next call on this stream's input. */
struct bytes stream_input(struct stream *s);
void stream_consume(struct stream *s, size_t n);        /* gives the buffer back when all is consumed */
/* Reads some more behind what is there (at most until stream_input() holds MOST bytes; -EMSGSIZE when it already does).
 * 0 when there is more, -ENODATA at end of file.  Yields. */
TASK_FN int stream_fill(struct stream *s, size_t most) __attribute__((warn_unused_result));
/* Next line up to LF, without it and without a CR before it (*ret_crlf, if not NULL, says if CR LF ended it).  -EMSGSIZE
 * when there is no LF in the first MOST bytes: they stay in the input.  The line is consumed, and valid until the
 * next call on this stream's input. */
TASK_FN int stream_line(struct stream *s, size_t most, struct bytes *ret, bool *ret_crlf) __attribute__((warn_unused_result));
/* Exactly N bytes into TO. */
TASK_FN int stream_read(struct stream *s, void *to, size_t n) __attribute__((warn_unused_result));
/* Tries to read without waiting: 0 if input is there now, -EAGAIN if not, -ENODATA/-errno if the peer is gone.  How a
 * pooled connection is checked before it is used again. */
int stream_poll(struct stream *s);

/* Gives back buffers that hold nothing: before a long wait for somebody else.  As parking does. */
void stream_relax(struct stream *s);

/* ---- output ---- */

/* Appended to the output buffer; never waits, never fails (errors show at the flush). */
void stream_put(struct stream *s, struct bytes b);
void stream_putf(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t stream_unsent(const struct stream *s);
TASK_FN int stream_flush(struct stream *s) __attribute__((warn_unused_result));
/* The buffered output and then these slices, in as few writes as the kernel allows, without copying what is large.  When
 * cut short amid the slices the stream is torn: every later write is -EPIPE.  A task that is cancelled already still
 * sends what goes without waiting, and sees -ECANCELED. */
TASK_FN int stream_writev(struct stream *s, const struct iovec *iov, unsigned n) __attribute__((warn_unused_result));

/* ---- parking: waiting for input without a stack ---- */

/* Calls FN(arg, why) once from the loop (not in a task): why = 0 when input (or EOF, or an error) can be read,
 * -ETIMEDOUT when run_now() reaches DEADLINE.  If input is there already FN is called at the next turn.  Empty buffers are
 * given back.  stream_unpark() ends it without a call. */
void stream_park(struct stream *s, int64_t deadline, void (*fn)(void *arg, int why), void *arg);
void stream_unpark(struct stream *s);

/* ---- TLS ---- */

/* Handshake as server.  Input that was read but not consumed before is *discarded by the caller's choice*: the caller
 * must have checked stream_input() (command injection); -EPROTO if it is not empty.  -EPROTO when the handshake fails, with a sentence
 * in ERR.  Output is flushed first. */
TASK_FN int stream_tls_accept(struct stream *s, struct tls_context *t, struct buf *err) __attribute__((warn_unused_result));
struct tls_connect_params {
	const char *server_name;        /* SNI, and the name that is checked when verify */
	bool verify;                    /* -EPROTO unless the chain and the name hold */
};
TASK_FN int stream_tls_connect(struct stream *s, struct tls_context *t, const struct tls_connect_params *p, struct buf *err) __attribute__((warn_unused_result));
const struct tls_info *stream_tls(struct stream *s);    /* NULL in clear */

/* ---- accepting ---- */

struct listener;
/* Calls FN(arg, fd, peer) from the loop for each connection, until listener_close().  Accepts in bursts; when descriptors
 * run out it pauses for a second instead of spinning, and says so once.  Does not close LISTEN_FD itself. */
struct listener *listener_new(int listen_fd, void (*fn)(void *arg, int fd, const struct net_addr *peer), void *arg);
void listener_close(struct listener **l);

#endif
