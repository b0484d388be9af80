/*
 * command_table_get.c: gatepost table get, gatepost table dump: what a table has.
 *
 * One key on the command line has its value printed, as postmap -q prints it; of several keys, and of those that are read from the standard input, each
 * that is found makes a line "key TAB value".
 */
#include "mta/command_table.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* So many lookups in a row are no hanging task, and the loop's turn costs more than one of them. */
enum { GET_ROW = 64 };

struct table_getting {
	struct table_command *c;
	bool failed;
	unsigned found;
};

static void print_bytes(struct bytes b)
{
	if (b.n)
		fwrite_unlocked(b.p, 1, b.n, stdout);
}

/* As postmap -q - and -s do; postalias has a colon behind the key. */
static void print_entry(const struct table_command *c, struct bytes key, struct bytes value)
{
	print_bytes(key);
	print_bytes(table_command_has(c, 'a') ? BYTES(":\t") : BYTES("\t"));
	print_bytes(value);
	putchar_unlocked('\n');
}

static void warn_empty(struct table_command *c, struct bytes key)
{
	table_command_complain(c, "warning: key %.*s: the value is empty, which Postfix does not allow", BYTES_ARG(key));
}

/* ---- get ---- */

TASK_FN static void get_key(struct table_getting *g, struct bytes key, bool alone)
{
	struct buf value = { 0 }, err = { 0 };
	int r = table_find(g->c->table, g->c->use, key, &value, &err);
	if (r < 0) {
		table_command_complain(g->c, "key %.*s: cannot tell: %s", BYTES_ARG(key), err.n ? buf_str(&err) : strerror(-r));
		g->failed = true;
	} else if (r == 1) {
		g->found++;
		if (value.n == 0)
			warn_empty(g->c, key);
		if (alone) {
			print_bytes(buf_bytes(&value));
			putchar('\n');
		} else {
			print_entry(g->c, key, buf_bytes(&value));
		}
	}
	buf_fini(&value);
	buf_fini(&err);
}

TASK_FN static void get_lines(struct table_getting *g)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	unsigned row = 0;
	while (!g->failed && (n = getline(&line, &room, stdin)) >= 0) {
		struct bytes key = bytes_make(line, (size_t)n);
		if (bytes_ends(key, BYTES("\n")))
			key.n--;
		get_key(g, key, false);
		if (++row % GET_ROW == 0)
			task_yield();
	}
	free(line);
}

TASK_FN static void get_task(struct table_getting *g)
{
	const struct table_command *c = g->c;
	if (c->key_count == 1 && strcmp(c->keys[0], "-") == 0)
		get_lines(g);
	else
		for (unsigned i = 0; i < c->key_count && !g->failed; i++)
			get_key(g, bytes_of(c->keys[i]), c->key_count == 1);
	run_stop();
}

int command_table_get(struct table_command *c)
{
	struct table_getting g = { .c = c };
	struct task_group group;
	int code = table_command_open(c);
	if (code)
		return code;
	int r = run_init();
	if (r) {
		table_command_complain(c, "%s", strerror(-r));
		return TABLE_NO;
	}
	signal(SIGPIPE, SIG_IGN);
	task_group_init(&group);
	task_spawn(&group, "table get", get_task, &g);
	run_loop();
	/* Servers' connections are parked in the loop. */
	table_command_close(c);
	run_fini();
	return g.failed || !g.found ? TABLE_NO : EX_OK;
}

/* ---- dump ---- */

static int dump_entry(void *arg, struct bytes key, struct bytes value)
{
	struct table_command *c = arg;
	key.n = strnlen(key.p, key.n);
	value.n = strnlen(value.p, value.n);
	if (value.n == 0)
		warn_empty(c, key);
	print_entry(c, key, value);
	return ferror(stdout) ? -EIO : 0;
}

int command_table_dump(struct table_command *c)
{
	struct buf err = { 0 };
	int code = table_command_open(c);
	if (code)
		return code;
	int r = table_each(c->table, dump_entry, c, &err);
	if (r < 0)
		table_command_complain(c, "%s", err.n ? buf_str(&err) : strerror(-r));
	buf_fini(&err);
	return r < 0 ? TABLE_NO : EX_OK;
}
