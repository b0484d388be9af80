/*
 * process.c: from the fork to the command.
 */
#include "lib/run/process_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 1024 };        /* programs that use select() break with more */

static int become_user(const struct process_command *c)
{
	if (!c->become)
		return 0;
	if (setgroups(c->group_count, c->groups) || setresgid(c->gid, c->gid, c->gid) || setresuid(c->uid, c->uid, c->uid))
		return -errno;
	/* A process that can become root again has dropped nothing. */
	return c->uid != 0 && setuid(0) == 0 ? -EPERM : 0;
}

/* What the server ignores or has blocked is its own affair. */
static void default_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void usual_limits(void)
{
	static const struct rlimit no_core = { 0, 0 };
	struct rlimit files;

	setrlimit(RLIMIT_CORE, &no_core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > DESCRIPTORS_MAX) {
		files.rlim_cur = DESCRIPTORS_MAX;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Its three descriptors, and *FAILED.  They are moved out of the way first: should we have been started without a standard input, any
 * of them may be 0. */
static int arrange_descriptors(const struct process_exec *x, int *failed)
{
	int stdio = fcntl(x->stdio, F_DUPFD_CLOEXEC, 4), err = fcntl(x->err, F_DUPFD_CLOEXEC, 4), told = fcntl(x->failed, F_DUPFD_CLOEXEC, 4);

	if (told < 0)
		return -errno;
	*failed = told;
	if (stdio < 0 || err < 0 || dup2(stdio, 0) < 0 || dup2(stdio, 1) < 0 || dup2(err, 2) < 0 || dup3(told, 3, O_CLOEXEC) < 0)
		return -errno;
	*failed = 3;
	/* Ours close by themselves; this is for what our own parent left open.  Kernels before 5.9 do not have it. */
	close_range(4, ~0U, 0);
	return 0;
}

static int prepare(const struct process_exec *x, int *failed)
{
	int r = arrange_descriptors(x, failed);

	if (r)
		return r;
	setsid();
	umask(077);
	usual_limits();
	default_signals();
	if (chdir("/"))
		return -errno;
	return become_user(x->command);
}

void process_exec(const struct process_exec *x)
{
	int failed = x->failed, r = prepare(x, &failed);

	/* After the change of user, which would reset it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (!r && getppid() != x->parent)
		r = -ESRCH;
	if (!r) {
		execve(x->command->argv[0], x->command->argv, x->command->env);
		r = -errno;
	}
	if (write(failed, &r, sizeof r) < 0)
		_exit(126);
	_exit(127);
}

/* ---- before that ---- */

static int look(const struct process_command *c)
{
	struct stat st;
	int r = become_user(c);

	if (r)
		return r;
	if (stat(c->argv[0], &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	return access(c->argv[0], X_OK) ? -errno : 0;
}

int process_check(const struct process_command *c)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(-look(c));
	if (child < 0)
		return -errno;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* ---- afterwards ---- */

void process_end_text(const struct process_end *e, char *to, size_t size)
{
	const char *colon = e->last[0] ? ": " : "";

	if (e->error)
		snprintf(to, size, "%s%s%s", strerrordesc_np(-e->error), colon, e->last);
	else if (WIFSIGNALED(e->status))
		snprintf(to, size, "SIG%s%s%s", sigabbrev_np(WTERMSIG(e->status)), colon, e->last);
	else
		snprintf(to, size, "exit status %d%s%s", WEXITSTATUS(e->status), colon, e->last);
}
