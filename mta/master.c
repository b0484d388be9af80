/*
 * master.c: one straight loop: it sleeps until a signal, a worker that is ready, or the time of something that is due.
 *
 * A reload is a new generation of workers beside the old one.  Only when every new worker accepts does the old generation
 * retire: it takes no more sessions and finishes those it has.  Should one of the new ones end before that, the new generation is
 * given up and the old one serves on.
 */
#include "mta/master.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "lib/run/task.h"
#include "mta/generation.h"
#include "mta/resolver.h"
#include "mta/spawner.h"
#include "mta/spool.h"
#include "mta/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* How long sessions may take to end by themselves: when the server stops; after a reload, where nobody waits for them. */
#define DRAIN_AT_END SECONDS(30)
#define RETIRE_AT_RELOAD SECONDS(600)

struct master {
	const struct master_params *params;
	struct sockets sockets;
	sigset_t signals;
	int signal_fd, lock_fd;
	struct list generations;        /* the one that serves, the ones that drain, the one that is about to serve */
	struct generation *serving, *coming;
	unsigned last_number;
	bool ending, reload_again;
	struct smtpd_counters past;     /* what generations that are gone have counted */
	bool started;
	int exit_code;
};

/* The master has no event loop, whose clock run_now() is: nothing of one may be inherited by the workers. */
static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return SECONDS(t.tv_sec) + t.tv_nsec;
}

/* In the background: lets go of the caller's terminal and pipes, but for where it wants the log. */
static void detach(const struct config *c)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	for (int fd = 0; fd < (strcmp(c->log_target, "stderr") == 0 ? 2 : 3); fd++)
		dup2(null, fd);
	close(null);
}

/* ---- workers ---- */

/* In a child of generation G: what it must not keep. */
static void leave_master(struct master *m, const struct generation *g)
{
	struct generation *other;
	close(m->signal_fd);
	close(m->lock_fd);
	LIST_EACH(other, &m->generations, struct generation, link) {
		if (other != g)
			generation_disown(other);
	}
	if (m->params->background)
		detach(g->config);
}

/* In the child. */
static int run_worker(struct generation *g, unsigned index, const struct generation_start *how)
{
	struct master *m = how->arg;
	const struct worker_params p = {
		.config = g->config, .sockets = how->sockets, .index = index, .counters = g->children[index].counters,
		.master = getppid(), .ready_fd = g->children[index].ready_fd, .spawner = g->channel[1],
	};
	leave_master(m, g);
	return worker_run(&p);
}

/* In the child. */
static int run_spawner(struct generation *g, const struct generation_start *how)
{
	struct master *m = how->arg;
	leave_master(m, g);
	sockets_fini(&m->sockets, false);
	return spawner_run(g->config, g->channel[0]);
}

static void start_due(struct master *m, struct generation *g)
{
	const struct generation_start how = { .sockets = &m->sockets, .signals = &m->signals, .run = run_worker, .run_spawner = run_spawner, .arg = m };
	int status = generation_start_due(g, &how, now_ns());
	if (status)
		log_error("master", "cannot start a worker: %s", strerror(-status));
}

static struct generation *begin_generation(struct master *m, struct config *c)
{
	struct generation *g = generation_new(c, ++m->last_number);
	list_append(&m->generations, &g->link);
	start_due(m, g);
	return g;
}

/* The first time sessions may end by themselves, for a while; who asks again wants it faster. */
static void end(struct master *m)
{
	struct generation *g;
	int64_t latest = now_ns() + DRAIN_AT_END;
	bool again = m->ending;
	m->coming = NULL;
	m->ending = true;
	sockets_fini(&m->sockets, true);        /* who connects now is refused, and tries another of our MX */
	LIST_EACH(g, &m->generations, struct generation, link)
		if (!g->ending || !g->urged || again)
			generation_urge(g, now_ns(), DRAIN_AT_END);
		else if (g->urge_at > latest)
			g->urge_at = latest;
}

static void give_up_coming(struct master *m)
{
	generation_urge(m->coming, now_ns(), DRAIN_AT_END);
	m->coming = NULL;
	if (m->serving) {
		sockets_keep(&m->sockets, m->serving->config);
		log_error("reload", "the new workers do not start: generation %u serves on", m->serving->number);
	} else {
		end(m);
	}
}

static void coming_serves(struct master *m)
{
	struct generation *old = m->serving;
	m->serving = m->coming;
	m->coming = NULL;
	sockets_keep(&m->sockets, m->serving->config);
	sockets_log(&m->sockets, m->serving->config);
	if (old)
		generation_retire(old, now_ns(), RETIRE_AT_RELOAD);
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "ready");
	log_int(&l, "generation", m->serving->number);
	log_int(&l, "workers", m->serving->config->workers);
	log_str(&l, "config", m->serving->config->file);
	log_str(&l, "version", GATEPOST_VERSION);
	log_end(&l);
	if (m->started)
		return;
	m->started = true;
	if (m->params->background)
		detach(m->serving->config);
	if (m->params->started)
		m->params->started(m->params->arg);
}

/* ---- signals ---- */

static void log_lines(const char *event, struct bytes text)
{
	while (text.p) {
		struct bytes line = bytes_cut(&text, '\n');
		log_error(event, "%.*s", BYTES_ARG(line));
	}
}

static void reload(struct master *m)
{
	struct config *c;
	struct buf err = { 0 };
	if (m->coming || m->ending) {
		m->reload_again = true;
		return;
	}
	m->reload_again = false;
	if (config_read(m->params->file, &c, &err)) {
		log_lines("reload", buf_bytes(&err));
		log_error("reload", "the configuration was not changed: generation %u serves on", m->serving->number);
	} else if (sockets_open(&m->sockets, c, &err)) {
		sockets_keep(&m->sockets, m->serving->config);
		config_free(&c);
		log_lines("reload", buf_bytes(&err));
		log_error("reload", "the configuration was not changed: generation %u serves on", m->serving->number);
	} else {
		m->coming = begin_generation(m, c);
	}
	buf_fini(&err);
}

static void reap_one(struct master *m, pid_t pid, int status)
{
	struct generation *g;
	LIST_EACH(g, &m->generations, struct generation, link) {
		struct child *c = generation_find(g, pid);
		if (!c)
			continue;
		bool was_ready = c->ready || c == &g->spawner;
		generation_reap(g, c, status, now_ns());
		if (g == m->coming && !was_ready) {
			if (!m->serving)
				m->exit_code = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
			give_up_coming(m);
		}
		return;
	}
}

static void reap_all(struct master *m)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reap_one(m, pid, status);
}

static void on_signal(struct master *m)
{
	struct signalfd_siginfo info;
	while (read(m->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap_all(m);
			break;
		case SIGHUP:
			reload(m);
			break;
		default:
			log_info("stopping", "SIG%s", sigabbrev_np((int)info.ssi_signo));
			end(m);
		}
}

/* ---- the loop ---- */

/* Waits for signals, ready workers, or the next thing due. */
static void wait_for_something(struct master *m)
{
	struct generation *g;
	int64_t next = FOREVER, now = now_ns();
	unsigned n = 1, workers = m->coming ? m->coming->config->workers : 0;
	struct pollfd *fds = mem_zalloc((1 + workers) * sizeof *fds);
	unsigned *index = mem_zalloc((1 + workers) * sizeof *index);
	fds[0] = (struct pollfd){ .fd = m->signal_fd, .events = POLLIN };
	for (unsigned i = 0; i < workers; i++)
		if (m->coming->children[i].ready_fd >= 0) {
			index[n] = i;
			fds[n++] = (struct pollfd){ .fd = m->coming->children[i].ready_fd, .events = POLLIN };
		}
	LIST_EACH(g, &m->generations, struct generation, link)
		next = generation_next(g) < next ? generation_next(g) : next;
	int64_t wait = next == FOREVER ? -1 : next <= now ? 0 : (next - now) / MS(1) + 1;
	if (poll(fds, n, wait > 60000 ? 60000 : (int)wait) > 0) {
		for (unsigned i = 1; i < n; i++)
			if (fds[i].revents)
				generation_read_ready(m->coming, index[i]);
		if (fds[0].revents)
			on_signal(m);
	}
	mem_free(fds);
	mem_free(index);
}

static void do_what_is_due(struct master *m)
{
	struct generation *g;
	if (m->coming && generation_ready(m->coming))
		coming_serves(m);
	if (m->reload_again && !m->coming && !m->ending)
		reload(m);
	LIST_EACH(g, &m->generations, struct generation, link) {
		if (g->ending && g->urge_at <= now_ns())
			generation_urge(g, now_ns(), DRAIN_AT_END);
		if (g->ending && !generation_alive(g)) {
			if (g == m->serving)
				m->serving = NULL;
			generation_count(g, &m->past);
			generation_free(&g);
		} else {
			start_due(m, g);
		}
	}
}

static void log_life(const struct smtpd_counters *c)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "stopped");
	log_int(&l, "sessions", (int64_t)c->sessions);
	log_int(&l, "accepted", (int64_t)c->accepted);
	log_int(&l, "refused", (int64_t)c->refused);
	log_int(&l, "deferred", (int64_t)c->deferred);
	log_int(&l, "discarded", (int64_t)c->discarded);
	log_int(&l, "held", (int64_t)c->held);
	log_int(&l, "bytes", (int64_t)c->bytes);
	log_end(&l);
}

static void serve(struct master *m)
{
	while (!m->ending || !list_empty(&m->generations)) {
		do_what_is_due(m);
		if (!m->ending || !list_empty(&m->generations))
			wait_for_something(m);
	}
	log_life(&m->past);
}

/* ---- beginning ---- */

static void raise_file_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l))
			log_notice("master", "cannot raise the limit of open files: %s", strerror(errno));
	}
}

static void begin_signals(struct master *m)
{
	sigemptyset(&m->signals);
	sigaddset(&m->signals, SIGCHLD);
	sigaddset(&m->signals, SIGHUP);
	sigaddset(&m->signals, SIGTERM);
	sigaddset(&m->signals, SIGINT);
	sigprocmask(SIG_BLOCK, &m->signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	m->signal_fd = signalfd(-1, &m->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	ASSERT(m->signal_fd >= 0);
}

static int exit_code_of(int status)
{
	return status == -ENOENT || status == -EACCES || status == -EISDIR ? EX_NOINPUT : EX_CONFIG;
}

static int begin(struct master *m, struct config *c, struct buf *err)
{
	m->lock_fd = spool_lock(c->spool, err);
	if (m->lock_fd < 0) {
		config_free(&c);
		return m->lock_fd == -EWOULDBLOCK ? EX_UNAVAILABLE : EX_CANTCREAT;
	}
	if (sockets_open(&m->sockets, c, err)) {
		sockets_fini(&m->sockets, true);
		config_free(&c);
		return EX_UNAVAILABLE;
	}
	raise_file_limit();
	begin_signals(m);
	if (!c->user && geteuid() == 0)
		log_notice("master", "the workers run as root: set user in %s", c->file);
	m->coming = begin_generation(m, c);
	return EX_OK;
}

int master_serve(const struct master_params *p, struct buf *err)
{
	struct master m = { .params = p, .signal_fd = -1, .lock_fd = -1 };
	struct config *c;
	int status = config_read(p->file, &c, err);
	if (status)
		return exit_code_of(status);
	list_init(&m.generations);
	int code = begin(&m, c, err);
	if (!code) {
		serve(&m);
		sockets_fini(&m.sockets, true);
		close(m.signal_fd);
		code = m.exit_code;
	}
	if (m.lock_fd >= 0)
		spool_unlock(&m.lock_fd);
	return code;
}

int master_check(const char *file, struct buf *err, struct buf *note)
{
	struct config *c;
	int status = config_read(file, &c, err);
	if (status)
		return exit_code_of(status);
	pid_t running = spool_holder(c->spool);
	int code = EX_OK;
	if (running)
		buf_printf(note, "the addresses were not tried: process %d serves with this spool", (int)running);
	else if (sockets_check(c, err))
		code = EX_UNAVAILABLE;
	if (spool_check(c, err))
		code = EX_CANTCREAT;
	resolver_ask(&c->dns, note);
	config_free(&c);
	return code;
}
