/* generation.c: starting workers, telling them to end, and what becomes of those that die. */
#include "mta/generation.h"

#include "lib/base/mem.h"
#include "lib/run/task.h"
#include "mta/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A worker that lived for less than this is in trouble: its replacement waits, longer each time. */
#define GOOD_LIFE SECONDS(10)
#define BACKOFF_FIRST MS(100)
#define BACKOFF_MOST SECONDS(10)
/* From cutting sessions short to SIGKILL. */
#define CUT_SHORT SECONDS(5)

static struct smtpd_counters *new_counters(void)
{
	void *p = mmap(NULL, sizeof(struct smtpd_counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void add_counters(struct smtpd_counters *to, const struct smtpd_counters *c)
{
	to->sessions += c->sessions;
	to->sessions_refused += c->sessions_refused;
	to->live += c->live;
	to->accepted += c->accepted;
	to->refused += c->refused;
	to->deferred += c->deferred;
	to->discarded += c->discarded;
	to->held += c->held;
	to->bytes += c->bytes;
}

struct generation *generation_new(struct config *c, unsigned number)
{
	struct generation *g = NEW(struct generation);
	g->number = number;
	g->config = c;
	g->urge_at = FOREVER;
	g->spawner = (struct child){ .ready_fd = -1, .again = c->command_count ? 1 : 0 };
	g->channel[0] = g->channel[1] = -1;
	g->children = mem_zalloc(c->workers * sizeof *g->children);
	for (unsigned i = 0; i < c->workers; i++)
		g->children[i] = (struct child){ .ready_fd = -1, .again = 1 };
	return g;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void generation_disown(struct generation *g)
{
	close_fd(&g->channel[0]);
	close_fd(&g->channel[1]);
}

void generation_free(struct generation **g)
{
	if (!*g)
		return;
	generation_disown(*g);
	list_remove(&(*g)->link);
	mem_free((*g)->children);
	config_free(&(*g)->config);
	mem_free(*g);
	*g = NULL;
}

/* ---- starting ---- */

static void close_ready_fds(struct generation *g)
{
	for (unsigned k = 0; k < g->config->workers; k++)
		close_fd(&g->children[k].ready_fd);
}

static void become_child(struct generation *g, unsigned i, int ready_fd, const struct generation_start *how)
{
	close_ready_fds(g);
	g->children[i].ready_fd = ready_fd;
	close_fd(&g->channel[0]);
	sigprocmask(SIG_UNBLOCK, how->signals, NULL);
	exit(how->run(g, i, how));
}

static int start_child(struct generation *g, unsigned i, const struct generation_start *how, int64_t now)
{
	struct child *c = &g->children[i];
	int ready[2];
	if (!c->counters)
		c->counters = new_counters();
	if (!c->counters || pipe2(ready, O_CLOEXEC))
		return -errno;
	c->pid = fork();
	if (c->pid == 0) {
		close(ready[0]);
		become_child(g, i, ready[1], how);
	}
	int status = c->pid < 0 ? -errno : 0;
	close(ready[1]);
	if (status) {
		c->pid = 0;
		close(ready[0]);
		return status;
	}
	c->ready_fd = ready[0];
	c->ready = false;
	c->born = now;
	c->again = 0;
	return 0;
}

/* The channel outlives a spawner: what is asked for meanwhile its successor reads. */
static int start_spawner(struct generation *g, const struct generation_start *how, int64_t now)
{
	struct child *c = &g->spawner;
	if (g->channel[0] < 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, g->channel))
		return -errno;
	c->pid = fork();
	if (c->pid == 0) {
		/* It knows by its end of file that the last worker is gone. */
		close_fd(&g->channel[1]);
		close_ready_fds(g);
		sigprocmask(SIG_UNBLOCK, how->signals, NULL);
		exit(how->run_spawner(g, how));
	}
	if (c->pid < 0) {
		c->pid = 0;
		return -errno;
	}
	c->born = now;
	c->again = 0;
	return 0;
}

static unsigned workers_alive(const struct generation *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->config->workers; i++)
		n += g->children[i].pid != 0;
	return n;
}

static bool spawner_due(const struct generation *g)
{
	return !g->spawner.pid && g->spawner.again && (!g->ending || workers_alive(g));
}

int generation_start_due(struct generation *g, const struct generation_start *how, int64_t now)
{
	if (spawner_due(g) && g->spawner.again <= now) {
		int status = start_spawner(g, how, now);
		if (status)
			return status;
	}
	for (unsigned i = 0; i < g->config->workers && !g->ending; i++) {
		struct child *c = &g->children[i];
		if (c->pid || !c->again || c->again > now)
			continue;
		int status = start_child(g, i, how, now);
		if (status)
			return status;
	}
	return 0;
}

void generation_read_ready(struct generation *g, unsigned i)
{
	struct child *c = &g->children[i];
	char byte;
	c->ready = read(c->ready_fd, &byte, 1) == 1;
	close(c->ready_fd);
	c->ready_fd = -1;
}

bool generation_ready(const struct generation *g)
{
	for (unsigned i = 0; i < g->config->workers; i++)
		if (!g->children[i].ready)
			return false;
	return true;
}

/* ---- ending ---- */

/* No worker will be started any more: the end that those alive have is all there is. */
static void begin_to_end(struct generation *g)
{
	g->ending = true;
	close_fd(&g->channel[1]);
}

static void signal_children(const struct generation *g, int signo)
{
	for (unsigned i = 0; i < g->config->workers; i++)
		if (g->children[i].pid)
			kill(g->children[i].pid, signo);
}

void generation_retire(struct generation *g, int64_t now, int64_t most)
{
	begin_to_end(g);
	g->urge_at = now + most;
	signal_children(g, WORKER_RETIRE);
}

void generation_urge(struct generation *g, int64_t now, int64_t drain)
{
	static const int signals[] = { SIGTERM, WORKER_CUT_SHORT, SIGKILL };
	begin_to_end(g);
	signal_children(g, signals[g->urged < 3 ? g->urged : 2]);
	g->urged++;
	g->urge_at = g->urged == 1 ? now + drain : g->urged == 2 ? now + CUT_SHORT : FOREVER;
}

unsigned generation_alive(const struct generation *g)
{
	return workers_alive(g) + (g->spawner.pid != 0);
}

struct child *generation_find(struct generation *g, pid_t pid)
{
	if (g->spawner.pid == pid)
		return &g->spawner;
	for (unsigned i = 0; i < g->config->workers; i++)
		if (g->children[i].pid == pid)
			return &g->children[i];
	return NULL;
}

static void log_spawner_death(const struct generation *g, int status)
{
	struct log_line l;
	bool expected = g->ending && status == 0;
	log_begin(&l, expected ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, expected ? "spawner-ended" : "spawner-died");
	log_int(&l, "pid", g->spawner.pid);
	log_int(&l, "generation", g->number);
	if (WIFSIGNALED(status))
		log_str(&l, "signal", sigabbrev_np(WTERMSIG(status)));
	else
		log_int(&l, "exit", WEXITSTATUS(status));
	log_end(&l);
}

static void log_death(const struct generation *g, const struct child *c, int status)
{
	struct log_line l;
	/* A signal may find the worker's last session gone, and its handler too. */
	bool asked = WIFSIGNALED(status) && (WTERMSIG(status) == SIGTERM || WTERMSIG(status) == WORKER_RETIRE || WTERMSIG(status) == WORKER_CUT_SHORT || g->urged > 2);
	bool expected = g->ending && (asked || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
	log_begin(&l, expected ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, expected ? "worker-ended" : "worker-died");
	log_int(&l, "worker", c - g->children);
	log_int(&l, "pid", c->pid);
	log_int(&l, "generation", g->number);
	if (WIFSIGNALED(status))
		log_str(&l, "signal", sigabbrev_np(WTERMSIG(status)));
	else
		log_int(&l, "exit", WEXITSTATUS(status));
	if (!expected)
		log_int(&l, "sessions_lost", (int64_t)c->counters->live);
	log_end(&l);
}

/* The first one is replaced at once. */
static void replace_later(struct child *c, int64_t now)
{
	if (now - c->born >= GOOD_LIFE)
		c->backoff = 0;
	c->again = now + c->backoff;
	c->backoff = c->backoff ? 2 * c->backoff : BACKOFF_FIRST;
	if (c->backoff > BACKOFF_MOST)
		c->backoff = BACKOFF_MOST;
}

void generation_reap(struct generation *g, struct child *c, int status, int64_t now)
{
	if (c == &g->spawner) {
		log_spawner_death(g, status);
		c->pid = 0;
		replace_later(c, now);
		return;
	}
	log_death(g, c, status);
	c->counters->live = 0;
	add_counters(&g->past, c->counters);
	munmap(c->counters, sizeof *c->counters);
	c->counters = NULL;
	if (c->ready_fd >= 0)
		close(c->ready_fd);
	c->ready_fd = -1;
	c->ready = false;
	c->pid = 0;
	if (!g->ending)
		replace_later(c, now);
}

int64_t generation_next(const struct generation *g)
{
	int64_t next = g->urge_at;
	if (spawner_due(g) && g->spawner.again < next)
		next = g->spawner.again;
	for (unsigned i = 0; i < g->config->workers && !g->ending; i++)
		if (!g->children[i].pid && g->children[i].again && g->children[i].again < next)
			next = g->children[i].again;
	return next;
}

void generation_count(const struct generation *g, struct smtpd_counters *to)
{
	add_counters(to, &g->past);
	for (unsigned i = 0; i < g->config->workers; i++)
		if (g->children[i].counters)
			add_counters(to, g->children[i].counters);
}
