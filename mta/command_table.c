/*
 * command_table.c: gatepost table get|dump|build|check: a lookup table at a terminal, as postmap(1) and postalias(1) have it.
 *
 * Runs as whoever calls it, whether the server runs or not.  MAP is "type:spec", or the name of a table of gatepost.conf.
 */
#include "mta/command_table.h"

#include "lib/base/mem.h"
#include "mta/kinds.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct table_verb {
	const char *name;
	const char *options;            /* letters, as for getopt(3) */
	unsigned min, max;              /* arguments, MAP among them */
	int (*run)(struct table_command *c);
};

static const struct table_verb verbs[] = {
	{ "get", "af", 2, UINT_MAX, command_table_get },
	{ "dump", "a", 1, 1, command_table_dump },
	{ "build", "ad:fFinNoprw", 1, 1, command_table_build },
	{ "check", "", 0, 1, command_table_check },
};

/* ---- saying things ---- */

bool table_command_has(const struct table_command *c, char option)
{
	return strchr(c->letters, option) != NULL;
}

void table_command_complain(struct table_command *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "gatepost: %s: ", c->map ? c->map : "table");
	vfprintf(stderr, fmt, ap);
	putc('\n', stderr);
	va_end(ap);
}

/* What tables would log. */
static void hear_table(void *arg, enum log_level level, const char *text)
{
	struct table_command *c = arg;
	if (level > LOG_LEVEL_WARNING)
		return;
	c->warnings++;
	fprintf(stderr, "gatepost: warning: %s\n", text);
}

/* ---- which table ---- */

int table_command_configure(struct table_command *c)
{
	struct buf err = { 0 };
	int r = config_read(c->file, &c->config, &err);
	if (err.n)
		fprintf(stderr, "%.*s\n", BYTES_ARG(buf_bytes(&err)));
	buf_fini(&err);
	if (r)
		return r == -ENOENT || r == -EACCES || r == -EISDIR ? EX_NOINPUT : EX_CONFIG;
	return EX_OK;
}

static int open_named(struct table_command *c)
{
	int code = table_command_configure(c);
	if (code)
		return code;
	c->table = config_table(c->config, bytes_of(c->map));
	if (c->table)
		return EX_OK;
	table_command_complain(c, "%s defines no table of that name, and it has no type, as in hash:%s", c->file, c->map);
	return TABLE_NO;
}

int table_command_open(struct table_command *c)
{
	const struct table_options o = { .keep_case = table_command_has(c, 'f') };
	struct buf err = { 0 };

	/* A path is no name of a section, but one whose type was forgotten. */
	if (!strpbrk(c->map, ":/"))
		return open_named(c);
	int r = table_open(table_kinds, bytes_of(c->map), &o, c->map, &c->table, &err);
	if (r < 0)
		table_command_complain(c, "%s", buf_str(&err));
	buf_fini(&err);
	return r < 0 ? TABLE_NO : EX_OK;
}

void table_command_close(struct table_command *c)
{
	if (!c->config)
		table_close(&c->table);
	c->table = NULL;
	config_free(&c->config);
}

/* ---- the command line ---- */

static bool read_use(struct table_command *c, const char *name)
{
	static const struct {
		const char *name;
		enum table_use use;
	} uses[] = {
		{ "whole", TABLE_WHOLE }, { "address", TABLE_ADDRESS }, { "recipient", TABLE_RECIPIENT }, { "domain", TABLE_DOMAIN },
		{ "transport", TABLE_TRANSPORT }, { "alias", TABLE_ALIAS }, { "access-address", TABLE_ACCESS_ADDRESS },
		{ "access-host", TABLE_ACCESS_HOST },
	};
	for (size_t i = 0; i < COUNT_OF(uses); i++) {
		c->use = uses[i].use;
		if (strcmp(name, uses[i].name) == 0)
			return true;
	}
	fprintf(stderr, "gatepost: --use %s: there are", name);
	for (size_t i = 0; i < COUNT_OF(uses); i++)
		fprintf(stderr, " %s", uses[i].name);
	putc('\n', stderr);
	return false;
}

static bool read_options(struct table_command *c, const struct table_verb *v, char **argv, struct buf *letters)
{
	static const struct option longs[] = {
		{ "aliases", no_argument, NULL, 'a' }, { "use", required_argument, NULL, '=' }, { 0 },
	};
	int argc = 0, option;
	while (argv[argc])
		argc++;
	optind = 0;     /* getopt(3): to begin anew */
	while ((option = getopt_long(argc, argv, v->options, longs, NULL)) != -1) {
		if (option == '=' ? v->max == 1 || !read_use(c, optarg) : !strchr(v->options, option))
			return false;
		if (option == 'd')
			c->removed = optarg;
		buf_add_char(letters, (char)option);
	}
	c->letters = buf_str(letters);
	unsigned count = (unsigned)(argc - optind);
	c->map = argv[optind];
	c->keys = argv + optind + (count > 0);
	c->key_count = count - (count > 0);
	return count >= v->min && count <= v->max;
}

static const struct table_verb *find_verb(const char *name)
{
	for (size_t i = 0; name && i < COUNT_OF(verbs); i++)
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
	return NULL;
}

int command_table(const struct command_line *l)
{
	struct table_command c = { .file = l->file };
	struct buf letters = { 0 };
	const struct table_verb *verb = find_verb(l->rest[0]);
	int code = EX_USAGE;

	log_tell(hear_table, &c);
	if (verb && read_options(&c, verb, l->rest, &letters))
		code = verb->run(&c);
	else
		command_bad_usage();
	table_command_close(&c);
	log_tell(NULL, NULL);
	buf_fini(&letters);
	if (fflush(stdout) && code == EX_OK)
		code = EX_IOERR;
	return code;
}
