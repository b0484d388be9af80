/*
 * process_client.c: asking the spawner for a process, and how it ended.
 */
#include "lib/run/process_impl.h"
#include "lib/run/stream_impl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void process_use_spawner(int channel)
{
	loop.spawner = channel;
	loop.has_spawner = channel >= 0;
}

/* Never waits: -EAGAIN when the spawner has too much to do. */
static int ask_now(const struct process_request *request, const int fds[static PROCESS_REQUEST_FDS])
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * PROCESS_REQUEST_FDS)];
	} control = { 0 };
	struct iovec iov = { (void *)request, sizeof *request };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };

	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * PROCESS_REQUEST_FDS), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * PROCESS_REQUEST_FDS);
	return sendmsg(loop.spawner, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Nothing tells when there is room again. */
TASK_FN static int ask(const struct process_request *request, const int *fds)
{
	int64_t pause = MS(5);
	int r;

	while ((r = ask_now(request, fds)) == -EAGAIN) {
		if ((r = task_sleep(pause)))
			return r;
		if (pause < MS(80))
			pause *= 2;
	}
	return r;
}

static int two_pairs(int ours[2], int theirs[2])
{
	for (int i = 0; i < 2; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
			int r = -errno;
			if (i) {
				close(ours[0]);
				close(theirs[0]);
			}
			return r;
		}
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	return 0;
}

TASK_FN static int await_start(struct stream *reports)
{
	struct process_report report;
	int r = stream_read(reports, &report, sizeof report);

	if (r == -ENODATA)
		return -ECONNRESET;     /* the spawner itself has ended */
	if (r)
		return r;
	return report.ended ? report.end.error : 0;
}

TASK_FN int process_connect(const struct endpoint *to, struct stream **ret)
{
	const struct process_request request = { .command = to->command };
	int ours[2] = { -1, -1 }, theirs[2] = { -1, -1 };

	if (!loop.has_spawner)
		return -ENOTCONN;
	int r = two_pairs(ours, theirs);
	if (r)
		return r;
	struct stream *s = stream_new(ours[0]);
	s->reports = stream_new(ours[1]);
	r = ask(&request, theirs);
	close(theirs[0]);
	close(theirs[1]);
	if (!r)
		r = await_start(s->reports);
	if (r)
		stream_close(&s);
	else
		*ret = s;
	return r;
}

TASK_FN int process_ended(struct stream *s, int64_t wait, struct process_end *ret)
{
	struct process_report report;
	struct deadline d;

	if (!s->reports)
		return -ENOENT;
	deadline_begin(&d, wait);
	int r = stream_read(s->reports, &report, sizeof report);
	if (r && (r != -ETIMEDOUT || deadline_passed(&d)) && r != -ECANCELED)
		r = -ENOENT;
	deadline_end(&d);
	if (r)
		return r;
	*ret = report.end;
	ret->last[sizeof ret->last - 1] = '\0';
	return 0;
}
