/*
 * process_spawner.c: one loop around poll(2): requests, the ends of processes, what they say, and times that are over.
 *
 * A process is told to end by its end of file first: whoever asked for it has closed both sockets, or is dead, and the hang-up on the one for
 * reports tells us so.  It then has a while to end by itself, and another after SIGTERM.
 */
#include "lib/base/list.h"
#include "lib/run/process_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE SECONDS(5)
/* A process that fails although it has lived for less than this is in trouble: the next one waits, longer each time. */
#define GOOD_LIFE SECONDS(10)
#define PAUSE_FIRST SECONDS(1)
#define PAUSE_MOST SECONDS(60)
/* More lines than this in so long a time are not worth a log. */
#define LINES_TIME SECONDS(10)
enum { LINES_MAX = 100 };

struct command {
	const struct process_command *is;
	unsigned running;
	int64_t pause, again;           /* they fail: so long, until then, none is started; 0 */
	unsigned failures;              /* one after the other */
	char last[sizeof((struct process_end *)NULL)->last];    /* what the last one of them said */
};
/* What is done about its end so far. */
enum { LIVES, HUNG_UP, TERMINATED, KILLED };
struct process {
	struct list link;
	struct command *command;
	pid_t pid;
	int started_fd, err_fd, report_fd;      /* started_fd: an errno of exec, or end of file; -1 once it has come */
	bool started;
	int ending;
	int64_t born, due;              /* when the next thing is done about its end */
	int exec_error;
	char line[PROCESS_LINE_MAX];
	size_t line_length;
	unsigned lines;
	int64_t lines_since;
	char last[sizeof((struct process_end *)NULL)->last];
};
struct spawner {
	const struct process_spawner_params *params;
	int64_t grace;
	int signal_fd, channel;         /* channel: -1 when nobody is left who could ask */
	struct command *commands;
	struct list processes;
	unsigned process_count;
	struct pollfd *fds;             /* three for each process */
	size_t fds_cap;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return SECONDS(t.tv_sec) + t.tv_nsec;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- what is told ---- */

static void tell(struct spawner *s, struct process_news news)
{
	if (s->params->news)
		s->params->news(s->params->arg, &news);
}

/* The socket's buffer has room for all that is ever sent; should who asked be gone, nobody wants to know. */
static void report(int fd, const struct process_report *r)
{
	if (send(fd, r, sizeof *r, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0;
}

static void refuse(int fd, int error, const char *last)
{
	struct process_report r = { .ended = 1, .end = { .error = error } };

	memcpy(r.end.last, last, strnlen(last, sizeof r.end.last - 1));
	report(fd, &r);
}

/* ---- standard error ---- */

static void end_line(struct spawner *s, struct process *p, int64_t now)
{
	struct bytes line = bytes_trim(bytes_make(p->line, p->line_length));
	struct process_news news = { .event = PROCESS_SAID, .command = p->command->is, .pid = p->pid, .line = line };

	p->line_length = 0;
	if (!line.n)
		return;
	size_t n = line.n < sizeof p->last ? line.n : sizeof p->last - 1;
	memcpy(p->last, line.p, n);
	p->last[n] = '\0';
	if (now - p->lines_since >= LINES_TIME) {
		p->lines_since = now;
		p->lines = 0;
	}
	if (p->lines > LINES_MAX)
		return;
	if (p->lines++ == LINES_MAX)
		news.event = PROCESS_SAID_MORE;
	tell(s, news);
}

static void hear(struct spawner *s, struct process *p, struct bytes said, int64_t now)
{
	for (size_t i = 0; i < said.n; i++) {
		if (said.p[i] == '\n')
			end_line(s, p, now);
		else if (p->line_length < sizeof p->line)
			p->line[p->line_length++] = said.p[i];
	}
}

/* Whoever writes without end is heard again at the next turn. */
static void read_err(struct spawner *s, struct process *p, int64_t now)
{
	char said[1024];
	ssize_t n;

	for (int i = 0; i < 64 && (n = read(p->err_fd, said, sizeof said)) != 0; i++) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		hear(s, p, bytes_make(said, (size_t)n), now);
	}
	if (n == 0)
		close_fd(&p->err_fd);
}

/* ---- beginning ---- */

static pid_t fork_command(const struct process_command *c, int stdio, int err, int failed)
{
	struct process_exec x = { .command = c, .stdio = stdio, .err = err, .failed = failed, .parent = getpid() };
	pid_t pid = fork();

	if (pid == 0)
		process_exec(&x);
	return pid < 0 ? -errno : pid;
}

static int start(struct command *c, int stdio, struct process *p)
{
	int err[2], failed[2];

	if (pipe2(err, O_CLOEXEC))
		return -errno;
	int r = pipe2(failed, O_CLOEXEC | O_NONBLOCK) ? -errno : 0;
	if (!r) {
		p->pid = fork_command(c->is, stdio, err[1], failed[1]);
		r = p->pid < 0 ? p->pid : 0;
		close(failed[1]);
		p->started_fd = failed[0];
		if (r)
			close_fd(&p->started_fd);
	}
	close(err[1]);
	p->err_fd = err[0];
	if (r)
		close_fd(&p->err_fd);
	else
		fcntl(p->err_fd, F_SETFL, O_NONBLOCK);
	return r;
}

/* Takes both descriptors over. */
static void begin(struct spawner *s, struct command *c, int stdio, int report_fd)
{
	int64_t now = now_ns();
	struct process *p = NEW(struct process);
	int r = 0;

	*p = (struct process){
		.command = c, .started_fd = -1, .err_fd = -1, .report_fd = report_fd, .born = now, .lines_since = now, .due = FOREVER,
	};
	if (c->again > now || (c->is->max && c->running >= c->is->max))
		r = -EAGAIN;
	else if ((r = start(c, stdio, p)))
		tell(s, (struct process_news){ PROCESS_NOT_STARTED, .command = c->is, .end = &(struct process_end){ .error = r } });
	close(stdio);
	if (r) {
		refuse(report_fd, r, c->again > now ? c->last : "");
		close(report_fd);
		mem_free(p);
		return;
	}
	if (c->is->time_limit != FOREVER)
		p->due = now + c->is->time_limit;
	c->running++;
	s->process_count++;
	list_append(&s->processes, &p->link);
}

/* Exec has succeeded (its end of the pipe is closed), or says why not. */
static void read_started(struct spawner *s, struct process *p)
{
	static const struct process_report runs = { .ended = 0 };
	int error;
	ssize_t n = read(p->started_fd, &error, sizeof error);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close_fd(&p->started_fd);
	p->exec_error = n == sizeof error ? error : 0;
	if (p->exec_error)
		return;         /* it ends at once: that is when it is told */
	p->started = true;
	tell(s, (struct process_news){ PROCESS_STARTED, .command = p->command->is, .pid = p->pid });
	report(p->report_fd, &runs);
}

/* ---- requests ---- */

static void take_request(struct spawner *s, const struct process_request *request, size_t size, const int *fds, unsigned fd_count)
{
	if (size == sizeof *request && fd_count == PROCESS_REQUEST_FDS && request->command < s->params->count) {
		begin(s, &s->commands[request->command], fds[0], fds[1]);
		return;
	}
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
}

/* 1: that was one; 0: there is none now. */
static int read_request(struct spawner *s)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * PROCESS_REQUEST_FDS)];
	} control = { 0 };
	struct process_request request = { 0 };
	struct iovec iov = { &request, sizeof request };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	int fds[PROCESS_REQUEST_FDS];
	unsigned n = 0;

	ssize_t size = recvmsg(s->channel, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size <= 0)
		return 0;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	}
	take_request(s, &request, (size_t)size, fds, n);
	return 1;
}

/* ---- ending ---- */

static void do_what_is_due(struct spawner *s, struct process *p, int64_t now)
{
	if (p->due > now)
		return;
	if (p->ending == LIVES)
		tell(s, (struct process_news){ PROCESS_TOO_OLD, .command = p->command->is, .pid = p->pid });
	/* Before it has a group of its own there is nothing of it but itself. */
	int signo = p->ending < TERMINATED ? SIGTERM : SIGKILL;
	if (kill(-p->pid, signo) && errno == ESRCH)
		kill(p->pid, signo);
	p->ending = p->ending < TERMINATED ? TERMINATED : KILLED;
	p->due = p->ending == KILLED ? FOREVER : now + s->grace;
}

static void hung_up(struct spawner *s, struct process *p, int64_t now)
{
	close_fd(&p->report_fd);
	if (p->ending != LIVES)
		return;
	p->ending = HUNG_UP;
	p->due = now + s->grace;
}

/* Is this one of a row of failures?  The first costs nothing. */
static void judge(struct command *c, const struct process *p, bool failed, int64_t now)
{
	if (!failed || now - p->born >= GOOD_LIFE) {
		c->failures = 0;
		c->pause = 0;
		return;
	}
	memcpy(c->last, p->last, sizeof c->last);
	if (c->again > now)
		return;         /* it was started before the pause began */
	c->pause = c->failures++ == 0 ? 0 : c->pause ? 2 * c->pause : PAUSE_FIRST;
	if (c->pause > PAUSE_MOST)
		c->pause = PAUSE_MOST;
	c->again = c->pause ? now + c->pause : 0;
}

static void free_process(struct spawner *s, struct process *p)
{
	close_fd(&p->started_fd);
	close_fd(&p->err_fd);
	close_fd(&p->report_fd);
	list_remove(&p->link);
	p->command->running--;
	s->process_count--;
	mem_free(p);
}

/* Did it end because we wanted it to?  Who had asked for it may have hung up on seeing its end of file; but a signal that we did not send
 * (but for what writing into a closed socket causes) is somebody else's. */
static bool was_wanted(const struct process *p, int status)
{
	if (p->ending == HUNG_UP)
		return !WIFSIGNALED(status) || WTERMSIG(status) == SIGPIPE;
	return p->ending != LIVES;
}

static void ended(struct spawner *s, struct process *p, int status)
{
	int64_t now = now_ns();
	struct process_report r = { .ended = 1, .end = { .status = status } };

	if (p->started_fd >= 0)
		read_started(s, p);
	if (p->err_fd >= 0)
		read_err(s, p, now);
	end_line(s, p, now);
	r.end.error = p->exec_error;
	memcpy(r.end.last, p->last, sizeof p->last);
	bool wanted = was_wanted(p, status);
	judge(p->command, p, !wanted && status != 0, now);
	tell(s, (struct process_news){
	    .event = p->exec_error ? PROCESS_NOT_STARTED : PROCESS_ENDED, .command = p->command->is, .pid = p->exec_error ? 0 : p->pid,
	    .end = &r.end, .wanted = wanted, .pause = wanted ? 0 : p->command->pause,
	});
	if (p->report_fd >= 0)
		report(p->report_fd, &r);
	free_process(s, p);
}

/* Its group is killed before it is reaped: as long as it is a zombie no other can have its number. */
static void reap(struct spawner *s)
{
	siginfo_t info = { 0 };
	struct process *p;
	int status;

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		pid_t pid = info.si_pid;
		kill(-pid, SIGKILL);
		if (waitpid(pid, &status, 0) != pid)
			return;
		LIST_EACH(p, &s->processes, struct process, link) {
			if (p->pid == pid) {
				ended(s, p, status);
				break;
			}
		}
		info.si_pid = 0;
	}
}

static void children_ended(struct spawner *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
		reap(s);
}

/* ---- the loop ---- */

static struct pollfd *poll_list(struct spawner *s, size_t *ret_count, int64_t *ret_next)
{
	struct process *p;
	size_t n = 0, need = 2 + 3 * (size_t)s->process_count;

	if (need > s->fds_cap) {
		s->fds_cap = 2 * need;
		s->fds = mem_array(s->fds, s->fds_cap, sizeof *s->fds);
	}
	s->fds[n++] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	s->fds[n++] = (struct pollfd){ .fd = s->channel, .events = POLLIN };
	LIST_EACH(p, &s->processes, struct process, link) {
		s->fds[n++] = (struct pollfd){ .fd = p->started_fd, .events = POLLIN };
		s->fds[n++] = (struct pollfd){ .fd = p->err_fd, .events = POLLIN };
		s->fds[n++] = (struct pollfd){ .fd = p->report_fd };
		*ret_next = p->due < *ret_next ? p->due : *ret_next;
	}
	*ret_count = n;
	return s->fds;
}

static void look_after(struct spawner *s, const struct pollfd *fds, int64_t now)
{
	struct process *p;

	LIST_EACH(p, &s->processes, struct process, link) {
		if (fds[0].revents)
			read_started(s, p);
		if (fds[1].revents)
			read_err(s, p, now);
		if (fds[2].revents)
			hung_up(s, p, now);
		do_what_is_due(s, p, now);
		fds += 3;
	}
}

static void turn(struct spawner *s)
{
	int64_t next = FOREVER;
	size_t n;
	struct pollfd *fds = poll_list(s, &n, &next);
	int64_t now = now_ns(), wait = next == FOREVER ? -1 : next <= now ? 0 : (next - now) / MS(1) + 1;

	if (poll(fds, n, wait > 60000 ? 60000 : (int)wait) < 0)
		return;
	/* First of all, so that the end of a process is not taken for what its worker then does.  The list is another one afterwards. */
	if (fds[0].revents)
		children_ended(s);
	else
		look_after(s, fds + 2, now_ns());
	int requests = 0;
	while (fds[1].revents && requests < 16 && read_request(s))
		requests++;
	/* Only this means that nobody is left: an empty record, which any worker could send, looks like an end of file. */
	if (requests == 0 && fds[1].revents & (POLLHUP | POLLERR))
		s->channel = -1;
}

static int watch_children(void)
{
	sigset_t set;

	/* An ignored SIGCHLD would not leave us their status. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int process_spawner_run(const struct process_spawner_params *params)
{
	struct spawner s = {
		.params = params, .grace = params->grace ? params->grace : GRACE, .channel = params->channel, .signal_fd = watch_children(),
	};

	if (s.signal_fd < 0)
		return s.signal_fd;
	list_init(&s.processes);
	s.commands = mem_zalloc((params->count + 1) * sizeof *s.commands);
	for (unsigned i = 0; i < params->count; i++)
		s.commands[i].is = &params->commands[i];
	while (s.channel >= 0 || !list_empty(&s.processes))
		turn(&s);
	close(s.signal_fd);
	mem_free(s.commands);
	mem_free(s.fds);
	return 0;
}
