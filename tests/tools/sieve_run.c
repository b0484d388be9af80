/*
 * sieve_run.c: runs a Sieve script on a message and prints what it wants done, for the comparison with sieve-test(1).
 *
 *	sieve_run [-f SENDER] [-r RECIPIENT] SCRIPT MESSAGE
 *
 * One action a line; exit code 1: the script has a mistake, 2: the run failed.
 */
#include "tests/tools/sieve_stub.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct bytes read_file(const char *name, struct buf *to)
{
	FILE *f = fopen(name, "r");
	size_t n;
	if (!f) {
		perror(name);
		exit(3);
	}
	while ((n = fread(buf_room(to, 65536), 1, 65536, f)) > 0)
		buf_grown(to, n);
	fclose(f);
	return buf_bytes(to);
}

int main(int argc, char **argv)
{
	struct buf script = { 0 }, message = { 0 };
	struct stub s = { .from = "", .to = "" };
	for (int c; (c = getopt(argc, argv, "f:r:")) != -1;) {
		if (c == '?')
			return 3;
		*(c == 'f' ? &s.from : &s.to) = optarg;
	}
	if (argc - optind != 2 || run_init() < 0)
		return 3;
	s.script = read_file(argv[optind], &script);
	s.message = read_file(argv[optind + 1], &message);
	stub_go(&s);
	run_fini();
	if (s.compiled || s.result)
		fprintf(stderr, "%s\n", buf_str(&s.err));
	else
		printf("%s%s", buf_str(&s.actions), s.outcome.implicit_keep ? "implicit keep\n" : "");
	int code = s.compiled ? 1 : s.result ? 2 : 0;
	stub_fini(&s);
	buf_fini(&script);
	buf_fini(&message);
	return code;
}
