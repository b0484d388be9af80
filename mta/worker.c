/* worker.c: from the fork to the last session. */
#include "mta/worker.h"

#include "delivery/delivery.h"
#include "lib/run/stream.h"
#include "mta/spool.h"
#include "mta/test_clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* What a listener's connections go to. */
struct door {
	struct worker *worker;
	const struct smtpd_config *smtpd;
	struct listener *listener;
};
struct worker {
	const struct worker_params *params;
	struct smtpd *smtpd;
	struct door *doors;
	unsigned door_count;
	bool draining;
};

/* ---- the sessions ---- */

static void on_connection(void *arg, int fd, const struct net_addr *peer)
{
	struct door *door = arg;
	smtpd_accept(door->worker->smtpd, door->smtpd, fd, peer);
}

static void open_doors(struct worker *w)
{
	const struct config *c = w->params->config;
	unsigned n = 0;
	for (unsigned i = 0; i < c->listener_count; i++)
		n += c->listeners[i].address_count;
	w->doors = ARENA_ARRAY(&w->params->config->arena, struct door, n);
	for (unsigned i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		for (unsigned k = 0; k < l->address_count; k++) {
			struct door *door = &w->doors[w->door_count++];
			int fd = sockets_fd(w->params->sockets, l, &l->addresses[k]);
			*door = (struct door){ .worker = w, .smtpd = &l->smtpd };
			door->listener = listener_new(fd, on_connection, door);
		}
	}
}

static void close_doors(struct worker *w)
{
	for (unsigned i = 0; i < w->door_count; i++)
		listener_close(&w->doors[i].listener);
	w->door_count = 0;
	sockets_fini(w->params->sockets, false);
}

static void on_empty(void *arg)
{
	(void)arg;
	run_stop();
}

static void on_retire(void *arg)
{
	struct worker *w = arg;
	if (w->draining)
		return;
	close_doors(w);
	smtpd_retire(w->smtpd, on_empty, w);
}

static void on_term(void *arg)
{
	struct worker *w = arg;
	if (w->draining)
		return;
	w->draining = true;
	close_doors(w);
	smtpd_drain(w->smtpd, on_empty, w);
}

static void on_cut_short(void *arg)
{
	struct worker *w = arg;
	on_term(w);
	smtpd_cancel(w->smtpd);
}

/* ---- the life ---- */

/* The parts that live in this process, in order; what has begun is ended by end_parts(). */
static int begin_parts(struct worker *w)
{
	const struct config *c = w->params->config;
	const struct smtpd_params smtpd = { .sessions_max = c->sessions_max, .counters = w->params->counters };
	const struct delivery_settings delivery = { .journal_folder = c->journal_folder, .journal_window = c->journal_window };
	struct buf why = { 0 };
	int status = run_init();
	if (!status)
		status = dns_init(&c->dns, &why);
	if (!status)
		status = delivery_init(&delivery, &why);
	if (!status)
		status = run_on_signal(SIGTERM, on_term, w);
	if (!status)
		status = run_on_signal(WORKER_RETIRE, on_retire, w);
	if (!status)
		status = run_on_signal(WORKER_CUT_SHORT, on_cut_short, w);
	if (status)
		log_error("worker", "cannot begin: %s", why.n ? buf_str(&why) : strerror(-status));
	else {
		process_use_spawner(w->params->spawner);
		w->smtpd = smtpd_new(&smtpd);
	}
	buf_fini(&why);
	return status;
}

static void end_parts(struct worker *w)
{
	struct config *config = w->params->config;
	smtpd_free(&w->smtpd);
	/* Gates, tables and next hops keep connections that are parked in the loop. */
	config_free(&config);
	delivery_fini();
	dns_fini();
	test_clock_stop();
	run_fini();
}

static int prepare_process(const struct config *c, pid_t master)
{
	/* The terminal's ^C goes to all of us; what it means is the master's to say. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	int status = spool_drop_privileges(c);
	if (status) {
		log_error("worker", "cannot become user %s: %s", c->user, strerror(-status));
		return EX_NOPERM;
	}
	/* After the change of user, which would reset it: should the master be killed, finish and end. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != master)
		return EX_TEMPFAIL;
	struct buf why = { 0 };
	status = spool_prepare(c, &why);
	if (status)
		log_error("worker", "%s", buf_str(&why));
	buf_fini(&why);
	return status ? EX_CANTCREAT : EX_OK;
}

int worker_run(const struct worker_params *p)
{
	struct worker w = { .params = p };
	sockets_take(p->sockets, p->config, p->index);
	int code = prepare_process(p->config, p->master);
	if (code)
		return code;
	if (begin_parts(&w))
		return EX_OSERR;
	test_clock_start();
	open_doors(&w);
	if (write(p->ready_fd, "", 1) != 1)
		log_debug("worker", "the master is gone");
	close(p->ready_fd);
	run_loop();
	end_parts(&w);
	return EX_OK;
}
