/* main.c: the commands of gatepost. */
#include "mta/command.h"
#include "mta/command_milter_test.h"
#include "mta/master.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] = "usage: gatepost [-c FILE] serve [-d]    accept mail; -d: in the background\n"
			    "       gatepost [-c FILE] check         make every start-up check, serve nothing\n"
			    "       gatepost [-c FILE] milter-test [option...] SOCKET|NAME    show what a milter is told, and says\n"
			    "       gatepost [-c FILE] hold list [-j]                       what is held, and why\n"
			    "       gatepost [-c FILE] hold show [-H | -m] ID...            -H: envelope and header; -m: the message alone\n"
			    "       gatepost [-c FILE] hold release [--gates] ID...|ALL     deliver it; --gates: if they have nothing against it now\n"
			    "       gatepost [-c FILE] hold remove ID...|ALL                throw it away\n"
			    "       gatepost [-c FILE] table get [option...] MAP KEY...|-    what it has, as postmap -q\n"
			    "       gatepost [-c FILE] table dump [option...] MAP            all of it, as postmap -s\n"
			    "       gatepost table build [option...] MAP                     from its source, as postmap; -a: as postalias\n"
			    "       gatepost [-c FILE] table check [MAP]                     what is wrong with it, or with all that are configured\n"
			    "       gatepost version\n";

static void print_lines(FILE *to, const struct buf *text)
{
	if (text->n)
		fprintf(to, "%.*s\n", BYTES_ARG(buf_bytes(text)));
}

int command_bad_usage(void)
{
	fputs(usage, stderr);
	return EX_USAGE;
}

/* ---- serve ---- */

/* In the background's parent: waits for what the child has to say, its exit code or that it accepts. */
static int await_daemon(int fd)
{
	unsigned char code = EX_SOFTWARE;
	while (read(fd, &code, 1) < 0 && errno == EINTR)
		continue;
	return code;
}

static void tell_parent(void *arg)
{
	int *fd = arg;
	if (write(*fd, "", 1) != 1)
		errno = 0;      /* nobody waits */
	close(*fd);
	*fd = -1;
}

static int serve_in_background(const char *file)
{
	struct buf err = { 0 };
	int say[2];
	if (pipe2(say, O_CLOEXEC))
		return EX_OSERR;
	pid_t child = fork();
	if (child < 0)
		return EX_OSERR;
	if (child) {
		close(say[1]);
		return await_daemon(say[0]);
	}
	close(say[0]);
	setsid();
	const struct master_params p = { .file = file, .background = true, .started = tell_parent, .arg = &say[1] };
	int code = master_serve(&p, &err);
	print_lines(stderr, &err);
	buf_fini(&err);
	unsigned char byte = (unsigned char)code;
	if (say[1] >= 0 && write(say[1], &byte, 1) != 1)
		return EX_OSERR;
	return code;
}

static int command_serve(const struct command_line *l)
{
	const struct master_params p = { .file = l->file };
	struct buf err = { 0 };
	if (l->rest[0] && strcmp(l->rest[0], "-d") == 0 && !l->rest[1])
		return serve_in_background(l->file);
	if (l->rest[0])
		return command_bad_usage();
	int code = master_serve(&p, &err);
	print_lines(stderr, &err);
	buf_fini(&err);
	return code;
}

/* ---- check, version ---- */

static int command_check(const struct command_line *l)
{
	struct buf err = { 0 }, note = { 0 };
	if (l->rest[0])
		return command_bad_usage();
	int code = master_check(l->file, &err, &note);
	print_lines(stderr, &err);
	print_lines(stderr, &note);
	if (!code)
		printf("%s: ok\n", l->file);
	buf_fini(&err);
	buf_fini(&note);
	return code;
}

static int command_version(const struct command_line *l)
{
	if (l->rest[0])
		return command_bad_usage();
	puts("gatepost " GATEPOST_VERSION);
	return EX_OK;
}

static const struct {
	const char *name;
	int (*run)(const struct command_line *l);
} commands[] = {
	{ "serve", command_serve }, { "check", command_check }, { "hold", command_hold }, { "table", command_table },
	{ "milter-test", command_milter_test },
	{ "version", command_version },
};

int main(int argc, char **argv)
{
	struct command_line l = { .file = "/etc/gatepost/gatepost.conf" };
	int option;
	while ((option = getopt(argc, argv, "+c:h")) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EX_OK;
		}
		if (option != 'c')
			return command_bad_usage();
		l.file = optarg;
	}
	if (optind >= argc)
		return command_bad_usage();
	l.rest = argv + optind + 1;
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(argv[optind], commands[i].name) == 0)
			return commands[i].run(&l);
	fprintf(stderr, "gatepost: unknown command %s\n", argv[optind]);
	return command_bad_usage();
}
