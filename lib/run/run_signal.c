/*
 * run_signal.c: signals become calls from the loop.
 *
 * Not libevent's: that allows one base a process to have signals, and master and workers each have theirs.
 */
#include "lib/run/loop.h"

#include <signal.h>
#include <string.h>

static struct {
	void (*fn)(void *arg);
	void *arg;
	volatile sig_atomic_t pending;
} handlers[NSIG];

/* The kernel's frame for a handler may be larger than a task's stack has left. */
static char handler_stack[64 * 1024];

static void on_signal(int signo)
{
	handlers[signo].pending = 1;
	loop_poke();
}

int run_on_signal(int signo, void (*fn)(void *arg), void *arg)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK };
	stack_t alternate = { .ss_sp = handler_stack, .ss_size = sizeof handler_stack }, present;

	/* ASAN may have set one. */
	if (!sigaltstack(NULL, &present) && (present.ss_flags & SS_DISABLE) && sigaltstack(&alternate, NULL))
		return -errno;
	if (signo <= 0 || signo >= NSIG)
		return -EINVAL;
	handlers[signo].fn = fn;
	handlers[signo].arg = arg;
	sigfillset(&action.sa_mask);
	return sigaction(signo, &action, NULL) ? -errno : 0;
}

void signal_deliver(void)
{
	for (int i = 1; i < NSIG; i++) {
		if (!handlers[i].pending || !handlers[i].fn)
			continue;
		handlers[i].pending = 0;
		handlers[i].fn(handlers[i].arg);
	}
}

/* One that came in a child before it could say what to do takes its default effect. */
void signal_forget(void)
{
	for (int i = 1; i < NSIG; i++) {
		if (!handlers[i].fn)
			continue;
		handlers[i].fn = NULL;
		signal(i, SIG_DFL);
		if (handlers[i].pending)
			raise(i);
		handlers[i].pending = 0;
	}
}
