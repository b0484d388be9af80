/*
 * cutoff.c: a time limit for a library that waits in read(2).
 */
#include "tcp_table/modules/cutoff.h"
#include "tcp_table/modules/idle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void cutoff_init(struct cutoff *c)
{
	pthread_condattr_t clock;

	*c = (struct cutoff){ 0 };
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&c->change, &clock);
	pthread_condattr_destroy(&clock);
}

void cutoff_fini(struct cutoff *c)
{
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_signal(&c->change);
	pthread_mutex_unlock(&c->lock);
	if (c->running)
		pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->change);
	pthread_mutex_destroy(&c->lock);
}

/* ---- the thread ---- */

static void cutoff_line_cut(const struct cutoff_line *l)
{
	for (unsigned i = 0; i < l->count; i++)
		shutdown(l->fds[i].ours, SHUT_RDWR);
}

/* Cuts off those whose time is over.  The next deadline; 0: there is none. */
static int64_t cutoff_look(const struct cutoff *c)
{
	int64_t now = idle_now(), next = 0;

	for (const struct cutoff_line *l = c->lines; l; l = l->next) {
		if (l->deadline <= now)
			cutoff_line_cut(l);
		else if (!next || l->deadline < next)
			next = l->deadline;
	}
	return next;
}

static void *cutoff_main(void *arg)
{
	struct cutoff *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->ending) {
		int64_t next = cutoff_look(c);
		const struct timespec t = { .tv_sec = next / 1000000000, .tv_nsec = next % 1000000000 };
		if (next)
			pthread_cond_timedwait(&c->change, &c->lock, &t);
		else
			pthread_cond_wait(&c->change, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Signals are for the process's own threads. */
static void cutoff_start(struct cutoff *c)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->running = pthread_create(&c->thread, NULL, cutoff_main, c) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- lines ---- */

void cutoff_line_init(struct cutoff_line *l, struct cutoff *of)
{
	*l = (struct cutoff_line){ .of = of };
}

void cutoff_line_fini(struct cutoff_line *l)
{
	cutoff_line_end(l);
	for (unsigned i = 0; i < l->count; i++)
		close(l->fds[i].ours);
	l->count = 0;
}

int cutoff_line_add(struct cutoff_line *l, int fd)
{
	int own = l->count < CUTOFF_SOCKETS ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (own < 0)
		return l->count < CUTOFF_SOCKETS ? -errno : -EMFILE;
	pthread_mutex_lock(&l->of->lock);
	l->fds[l->count].theirs = fd;
	l->fds[l->count++].ours = own;
	/* One that comes too late is cut off, too. */
	pthread_cond_signal(&l->of->change);
	pthread_mutex_unlock(&l->of->lock);
	return 0;
}

void cutoff_line_remove(struct cutoff_line *l, int fd)
{
	unsigned i = 0;

	pthread_mutex_lock(&l->of->lock);
	while (i < l->count && l->fds[i].theirs != fd)
		i++;
	if (i < l->count) {
		close(l->fds[i].ours);
		l->fds[i] = l->fds[--l->count];
	}
	pthread_mutex_unlock(&l->of->lock);
}

void cutoff_line_begin(struct cutoff_line *l, int64_t deadline)
{
	struct cutoff *c = l->of;

	pthread_mutex_lock(&c->lock);
	if (!c->running)
		cutoff_start(c);
	l->deadline = deadline;
	l->next = c->lines;
	c->lines = l;
	pthread_cond_signal(&c->change);
	pthread_mutex_unlock(&c->lock);
}

void cutoff_line_end(struct cutoff_line *l)
{
	struct cutoff *c = l->of;

	pthread_mutex_lock(&c->lock);
	for (struct cutoff_line **p = &c->lines; *p; p = &(*p)->next) {
		if (*p == l) {
			*p = l->next;
			break;
		}
	}
	l->deadline = 0;
	pthread_mutex_unlock(&c->lock);
}
