/*
 * table_config.c: what dict_load_file() and cfg_parser of Postfix read.
 */
#include "tcp_table/table_config.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <strings.h>

static struct table_setting *table_config_find(const struct table_config *c, struct bytes name)
{
	for (unsigned i = 0; i < c->count; i++)
		if (bytes_eq(bytes_of(c->settings[i].name), name))
			return &c->settings[i];
	return NULL;
}

/* Of two with one name the last counts. */
static void table_config_set(struct table_config *c, struct bytes name, struct bytes value, unsigned line)
{
	struct table_setting *s = table_config_find(c, name);

	if (s) {
		table_note(&c->notes, line, "\"%s\" again: line %u has no effect", s->name, s->line);
		mem_free(s->value);
	} else {
		c->settings = mem_array(c->settings, c->count + 1, sizeof *c->settings);
		s = &c->settings[c->count++];
		*s = (struct table_setting){ .name = bytes_dup(name) };
	}
	s->value = bytes_dup(value);
	s->line = line;
}

static int table_config_line(struct table_config *c, const struct table_lines *l, struct bytes line, struct buf *err)
{
	const char *why = NULL;
	struct bytes value = line, name = table_trim(bytes_cut(&value, '='));

	if (l->orphan)
		why = "the first line begins with white space, and so continues nothing";
	else if (bytes_find(line, '\0') >= 0)
		why = "a NUL";
	else if (!value.p)
		why = "there is no '='";
	else if (name.n == 0)
		why = "there is no name before the '='";
	if (why) {
		buf_printf(err, "%s, line %u: %s", c->file, l->line, why);
		return -EINVAL;
	}
	table_config_set(c, name, table_trim(value), l->line);
	return 0;
}

int table_config_parse(struct bytes text, const char *file, struct table_config *ret, struct buf *err)
{
	struct table_config c = { .file = mem_strdup(file) };
	struct table_lines lines;
	struct bytes line;
	int r = 0;

	c.notes.file = c.file;
	table_lines_init(&lines, text);
	while (r == 0 && table_lines_next(&lines, &line))
		r = table_config_line(&c, &lines, line, err);
	table_lines_fini(&lines);
	if (r < 0)
		table_config_fini(&c);
	else
		*ret = c;
	return r;
}

void table_config_fini(struct table_config *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		mem_free(c->settings[i].name);
		mem_free(c->settings[i].value);
	}
	mem_free(c->settings);
	mem_free(c->file);
	table_notes_fini(&c->notes);
	buf_fini(&c->wrong);
	*c = (struct table_config){ 0 };
}

static struct table_setting *table_config_ask(struct table_config *c, const char *name)
{
	struct table_setting *s = table_config_find(c, bytes_of(name));
	if (s)
		s->known = true;
	return s;
}

static void table_config_mistake(struct table_config *c, unsigned line, const char *fmt, va_list ap)
{
	if (c->wrong.n)
		return;
	buf_printf(&c->wrong, "%s, line %u: ", c->file, line);
	buf_vprintf(&c->wrong, fmt, ap);
}

void table_config_wrong(struct table_config *c, const char *name, const char *fmt, ...)
{
	const struct table_setting *s = table_config_find(c, bytes_of(name));
	va_list ap;
	va_start(ap, fmt);
	table_config_mistake(c, s ? s->line : 0, fmt, ap);
	va_end(ap);
}

const char *table_config_str(struct table_config *c, const char *name, const char *otherwise)
{
	const struct table_setting *s = table_config_ask(c, name);
	return s ? s->value : otherwise;
}

const char *table_config_need(struct table_config *c, const char *name)
{
	const struct table_setting *s = table_config_ask(c, name);
	if (s && *s->value)
		return s->value;
	if (!c->wrong.n)
		buf_printf(&c->wrong, "%s: the parameter \"%s\" is missing", c->file, name);
	return "";
}

int table_config_int(struct table_config *c, const char *name, int otherwise, int least, int most)
{
	const struct table_setting *s = table_config_ask(c, name);
	uint64_t n;

	if (!s)
		return otherwise;
	if (bytes_to_u64(bytes_of(s->value), (uint64_t)most, &n) < 0 || (int)n < least) {
		if (most == INT_MAX)
			table_config_wrong(c, name, "%s is a number from %d on, not \"%s\"", name, least, s->value);
		else
			table_config_wrong(
			    c, name, "%s is a number from %d to %d, not \"%s\"", name, least, most, s->value);
		return otherwise;
	}
	return (int)n;
}

unsigned table_config_word(struct table_config *c, const char *name, const char *const *words, unsigned otherwise)
{
	const struct table_setting *s = table_config_ask(c, name);

	if (!s)
		return otherwise;
	for (unsigned i = 0; words[i]; i++)
		if (strcasecmp(words[i], s->value) == 0)
			return i;
	table_config_wrong(c, name, "%s cannot be \"%s\"", name, s->value);
	return otherwise;
}

bool table_config_bool(struct table_config *c, const char *name, bool otherwise)
{
	static const char *const words[] = { "no", "yes", NULL };
	return table_config_word(c, name, words, otherwise) != 0;
}

void table_config_ignore(struct table_config *c, const char *name, const char *why)
{
	const struct table_setting *s = table_config_ask(c, name);
	if (s)
		table_note(&c->notes, s->line, "%s has no effect: %s", name, why);
}

int table_config_done(struct table_config *c, struct buf *err)
{
	for (unsigned i = 0; i < c->count; i++)
		if (!c->settings[i].known)
			table_note(&c->notes, c->settings[i].line, "there is no parameter \"%s\"", c->settings[i].name);
	if (!c->wrong.n)
		return 0;
	buf_add(err, buf_bytes(&c->wrong));
	return -EINVAL;
}
