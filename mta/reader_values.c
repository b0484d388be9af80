/* reader_values.c: what the words behind the equal signs mean. */
#include "mta/reader.h"

#include "lib/base/mem.h"
#include "lib/run/task.h"

#include <errno.h>

bool reader_has(cfg_t *section, const char *name)
{
	return cfg_size(section, name) > 0 && cfg_getnstr(section, name, 0);
}

unsigned reader_count(cfg_t *section, const char *name)
{
	return reader_has(section, name) ? cfg_size(section, name) : 0;
}

const char *reader_item(struct reader *r, cfg_t *section, const char *name, unsigned i)
{
	return arena_str(r->arena, bytes_of(cfg_getnstr(section, name, i)));
}

const char *reader_str(struct reader *r, cfg_t *section, const char *name)
{
	if (!reader_has(section, name))
		return NULL;
	const char *value = reader_item(r, section, name, 0);
	if (!*value)
		reader_fail(r, reader_line(r, section, name, 0), "%s is empty", name);
	return value;
}

const char *reader_resolve(struct reader *r, const char *path)
{
	if (*path == '/')
		return path;
	return arena_printf(r->arena, "%s/%s", r->folder, path);
}

const char *reader_path(struct reader *r, cfg_t *section, const char *name)
{
	const char *path = reader_str(r, section, name);
	return path ? reader_resolve(r, path) : NULL;
}

/* A number and a unit's factor; false: not a number, not a unit, too large. */
struct unit {
	const char *name;
	uint64_t factor;
};
static bool scaled(struct bytes text, const struct unit *units, uint64_t *ret)
{
	size_t digits = 0;
	uint64_t n;
	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (!digits || bytes_to_u64(bytes_first(text, digits), INT64_MAX, &n))
		return false;
	struct bytes unit = bytes_trim(bytes_skip(text, digits));
	for (; units->name; units++)
		if (bytes_case_eq(unit, bytes_of(units->name)))
			return !__builtin_mul_overflow(n, units->factor, ret) && *ret <= INT64_MAX;
	return false;
}

int64_t reader_duration(struct reader *r, cfg_t *section, const char *name, int64_t unset)
{
	static const struct unit units[] = {
		{ "ms", 1000000 }, { "", 1000000000 }, { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 },
		{ "d", 86400000000000 }, { NULL, 0 },
	};
	const char *text = reader_str(r, section, name);
	uint64_t n;
	if (!text)
		return unset;
	if (scaled(bytes_of(text), units, &n) && n)
		return (int64_t)n;
	reader_fail(r, reader_line(r, section, name, 0), "%s is a time such as 30s, 250ms, 5m or 1h, not \"%s\"", name, text);
	return unset;
}

uint64_t reader_size(struct reader *r, cfg_t *section, const char *name, uint64_t unset)
{
	static const struct unit units[] = { { "", 1 }, { "k", 1 << 10 }, { "m", 1 << 20 }, { "g", 1 << 30 }, { NULL, 0 } };
	const char *text = reader_str(r, section, name);
	uint64_t n;
	if (!text)
		return unset;
	if (scaled(bytes_of(text), units, &n))
		return n;
	reader_fail(r, reader_line(r, section, name, 0), "%s is a size in bytes such as 64k, 50M or 1G, not \"%s\"", name, text);
	return unset;
}

unsigned reader_number(struct reader *r, cfg_t *section, const char *name, unsigned unset, unsigned least, unsigned most)
{
	const char *text = reader_str(r, section, name);
	uint64_t n;
	if (!text)
		return unset;
	if (bytes_to_u64(bytes_of(text), most, &n) == 0 && n >= least)
		return (unsigned)n;
	reader_fail(r, reader_line(r, section, name, 0), "%s is a number from %u to %u, not \"%s\"", name, least, most, text);
	return unset;
}

bool reader_bool(struct reader *r, cfg_t *section, const char *name, bool unset)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", NULL };
	const char *text = reader_str(r, section, name);
	if (!text)
		return unset;
	for (int i = 0; words[i]; i++)
		if (bytes_case_eq(bytes_of(text), bytes_of(words[i])))
			return i & 1;
	reader_fail(r, reader_line(r, section, name, 0), "%s is yes or no, not \"%s\"", name, text);
	return unset;
}

int reader_word(struct reader *r, cfg_t *section, const char *name, const char *const *words, int unset)
{
	const char *text = reader_str(r, section, name);
	if (!text)
		return unset;
	for (int i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	reader_fail(r, reader_line(r, section, name, 0), "%s is one of", name);
	for (int i = 0; words[i]; i++)
		buf_printf(r->err, "%s %s", i ? "," : "", words[i]);
	buf_printf(r->err, "; not \"%s\"", text);
	reader_suggest(r, bytes_of(text), words);
	return unset;
}
