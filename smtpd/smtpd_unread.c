/*
 * smtpd_unread.c: has the client got our 250 (RFC 1047)?
 *
 * A session ends behind a 250, and the client said neither QUIT nor another command.  The delivered journal is to know of the
 * message if the client has to come again with it, and only then: an entry that nobody needs makes the next message of the same
 * bytes vanish, which is worse than a message that comes twice.
 *
 * The kernels know.  A connection that somebody else still holds acknowledges what it is sent, though perhaps not at once; one that is
 * closed answers with a reset, and one that is cut off with nothing.  That the client had closed before our answer says nothing:
 * it may have closed its sending side alone, and read on.
 */
#include "smtpd/smtpd_session.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

/* How long an answer may take to be acknowledged: many round trips, and the 40 ms or more that receivers hold an acknowledgement back. */
#define TAKEN_WITHIN SECONDS(5)
#define LOOK_EVERY MS(20)

/* Of a unix socket only the error tells. */
static bool is_reset(int fd)
{
	int error = 0;
	struct tcp_info info;
	socklen_t n = sizeof error;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) || error)
		return true;
	n = sizeof info;
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_state == TCP_CLOSE;
}

static bool is_taken(int fd)
{
	int unacknowledged;
	return ioctl(fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
}

TASK_FN bool smtpd_unread(const struct smtpd_session *s, int why)
{
	int fd = stream_fd(s->stream);
	int64_t until = run_now() + TAKEN_WITHIN;
	if (s->quit)
		return false;
	if (why < 0 && why != -ENODATA && why != -ETIMEDOUT && why != -ECANCELED)
		return true;
	while (!is_reset(fd)) {
		if (is_taken(fd))
			return false;
		if (run_now() >= until || task_sleep(LOOK_EVERY) < 0)
			break;
	}
	return true;
}
