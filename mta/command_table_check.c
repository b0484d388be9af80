/*
 * command_table_check.c: gatepost table check: what is wrong with a table, or with all tables of gatepost.conf.
 *
 * Opening a table tells most of it: wrong lines of a text file, a built file that is damaged, or older than its source.  What the source of a built file
 * has to say is looked at here.
 */
#include "mta/command_table.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"
#include "tcp_table/table_build.h"
#include "tcp_table/table_fold.h"
#include "tcp_table/table_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

static int find_sign(void *arg, struct bytes key, struct bytes value)
{
	(void)value;
	key.n = strnlen(key.p, key.n);
	*(bool *)arg |= bytes_eq(key, BYTES("@"));
	return 0;
}

/* Did postalias make it?  Its "@" is no name that anybody could have in an alias file. */
static bool made_of_aliases(struct table *t)
{
	bool sign = false;
	struct buf err = { 0 };
	int r = table_each(t, find_sign, &sign, &err);
	buf_fini(&err);
	return r == 0 && sign;
}

static void check_lines(struct bytes text, bool aliases, struct table_notes *notes)
{
	struct table_source source;
	struct strmap seen = { 0 };
	struct buf folded = { 0 };
	struct bytes key, value;

	table_source_init(&source, text, aliases, notes);
	while (table_source_next(&source, &key, &value)) {
		buf_clear(&folded);
		table_fold(key, &folded);
		if (strmap_get(&seen, buf_bytes(&folded)))
			table_note(notes, source.lines.line, "\"%.*s\" again: the first entry counts", BYTES_ARG(key));
		strmap_set(&seen, buf_bytes(&folded), &seen);
	}
	table_source_fini(&source);
	strmap_fini(&seen);
	buf_fini(&folded);
}

/* A file that was built elsewhere has no source. */
static void check_source(struct table *t)
{
	const char *file = table_source(t);
	if (!file)
		return;
	struct table_notes notes = { .file = file };
	struct buf text = { 0 };
	struct stat st;
	if (table_command_read(file, &st, &text) == 0)
		check_lines(buf_bytes(&text), made_of_aliases(t), &notes);
	table_command_tell(&notes);
	table_notes_fini(&notes);
	buf_fini(&text);
}

static int order_by_name(const void *a, const void *b)
{
	return strcmp(table_name(*(struct table *const *)a), table_name(*(struct table *const *)b));
}

static void check_configured(const struct config *config)
{
	struct table **tables = mem_array(NULL, config->tables.n + 1, sizeof *tables);
	const struct strmap_entry *e;
	size_t i = 0, n = 0;
	while ((e = strmap_next(&config->tables, &i)))
		tables[n++] = e->value;
	qsort(tables, n, sizeof *tables, order_by_name);
	for (i = 0; i < n; i++)
		check_source(tables[i]);
	mem_free(tables);
}

int command_table_check(struct table_command *c)
{
	int code = c->map ? table_command_open(c) : table_command_configure(c);
	if (code)
		return code;
	if (c->table)
		check_source(c->table);
	else
		check_configured(c->config);
	if (c->warnings)
		return TABLE_NO;
	printf("%s: ok\n", c->map ? c->map : c->file);
	return EX_OK;
}
