/*
 * spawner.c: what the log is told of commands.
 *
 * It keeps the rights that the master has, to become each command's user.  What it does with them is decided by the configuration
 * alone: a worker names a command by its number.
 */
#include "mta/spawner.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sysexits.h>

static void log_news(enum log_level level, const char *event, const struct process_news *n)
{
	struct log_line l;
	log_begin(&l, level, event);
	log_str(&l, "gate", n->command->name);
	log_str(&l, "command", n->command->argv[0]);
	if (n->pid)
		log_int(&l, "pid", n->pid);
	if (n->line.n)
		log_bytes(&l, "stderr", n->line);
	if (n->end) {
		char why[300];
		process_end_text(n->end, why, sizeof why);
		log_str(&l, "why", why);
	}
	if (n->pause)
		log_printf(&l, "pause", "%ds", (int)(n->pause / SECONDS(1)));
	log_end(&l);
}

static void on_news(void *arg, const struct process_news *n)
{
	(void)arg;
	switch (n->event) {
	case PROCESS_STARTED:
		log_news(LOG_LEVEL_DEBUG, "command-started", n);
		break;
	case PROCESS_SAID:
		log_news(LOG_LEVEL_NOTICE, "command-said", n);
		break;
	case PROCESS_SAID_MORE:
		log_news(LOG_LEVEL_WARNING, "command-says-too-much", n);
		break;
	case PROCESS_ENDED:
		log_news(!n->wanted && n->end->status ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "command-ended", n);
		break;
	case PROCESS_NOT_STARTED:
		log_news(LOG_LEVEL_ERROR, "command-not-started", n);
		break;
	case PROCESS_TOO_OLD:
		log_news(LOG_LEVEL_INFO, "command-time-limit", n);
		break;
	}
}

int spawner_run(const struct config *c, int channel)
{
	const struct process_spawner_params p = { .commands = c->commands, .count = c->command_count, .channel = channel, .news = on_news };
	/* It ends when the workers have: before that they may need it, whoever else is told to end. */
	static const int ignored[] = { SIGINT, SIGHUP, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2 };
	for (size_t i = 0; i < COUNT_OF(ignored); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "gatepost-spawn");
	int status = process_spawner_run(&p);
	if (status)
		log_error("spawner", "cannot begin: %s", strerror(-status));
	return status ? EX_OSERR : EX_OK;
}
