/*
 * table_domains.c: Postfix's string_list: the first pattern that matches decides; '!' before it turns it around.
 */
#include "tcp_table/table_domains.h"

#include "lib/base/mem.h"
#include "tcp_table/table_lines.h"
#include "tcp_table/table_read.h"

#include <errno.h>

enum { DOMAINS_FILE_MAX = 16 << 20, DOMAINS_DEPTH = 10 };

struct domain_pattern {
	bool negated;
	char *name; /* one of the two */
	struct table *table;
};
struct table_domains {
	struct domain_pattern *patterns;
	unsigned count;
};

/* The next pattern of *REST: between white space and commas, but for those within braces. */
static struct bytes domains_next(struct bytes *rest)
{
	struct bytes b = *rest;
	unsigned depth = 0;
	size_t n = 0;

	while (b.n && (table_space(*b.p) || *b.p == ','))
		b = bytes_skip(b, 1);
	for (; n < b.n && (depth || !(table_space(b.p[n]) || b.p[n] == ',')); n++) {
		if (b.p[n] == '{')
			depth++;
		else if (b.p[n] == '}' && depth)
			depth--;
	}
	*rest = bytes_skip(b, n);
	return bytes_first(b, n);
}

static int domains_add(struct table_domains *d, struct bytes text, bool negated, unsigned depth,
    const struct table_options *o, struct buf *err);

static int domains_add_file(struct table_domains *d, struct bytes path, bool negated, unsigned depth,
    const struct table_options *o, struct buf *err)
{
	struct buf text = { 0 };
	struct table_lines lines;
	struct bytes line;
	char *name = bytes_dup(path);

	int r = depth < DOMAINS_DEPTH ? table_read(name, DOMAINS_FILE_MAX, &text) : -ELOOP;
	if (r < 0)
		buf_printf(err, "cannot read %s: %s", name, strerror(-r));
	table_lines_init(&lines, buf_bytes(&text));
	while (r == 0 && table_lines_next(&lines, &line))
		r = domains_add(d, line, negated, depth + 1, o, err);
	table_lines_fini(&lines);
	buf_fini(&text);
	mem_free(name);
	return r;
}

static int domains_add_one(struct table_domains *d, struct bytes pattern, bool negated, unsigned depth,
    const struct table_options *o, struct buf *err)
{
	struct domain_pattern p = { .negated = negated };
	int r = 0;

	while (pattern.n && *pattern.p == '!') {
		p.negated = !p.negated;
		pattern = bytes_skip(pattern, 1);
	}
	if (pattern.n && *pattern.p == '/')
		return domains_add_file(d, pattern, p.negated, depth, o, err);
	if (pattern.n && *pattern.p != '[' && bytes_find(pattern, ':') >= 0)
		r = table_open(o->kinds, pattern, o, "domain", &p.table, err);
	else
		p.name = bytes_dup(pattern);
	if (r < 0)
		return r;
	d->patterns = mem_array(d->patterns, d->count + 1, sizeof *d->patterns);
	d->patterns[d->count++] = p;
	return 0;
}

static int domains_add(struct table_domains *d, struct bytes text, bool negated, unsigned depth,
    const struct table_options *o, struct buf *err)
{
	struct bytes pattern;
	int r = 0;

	while (r == 0 && (pattern = domains_next(&text)).n > 0)
		r = domains_add_one(d, pattern, negated, depth, o, err);
	return r;
}

int table_domains_open(struct bytes text, const struct table_options *o, struct table_domains **ret, struct buf *err)
{
	struct table_domains *d = NEW(struct table_domains);
	int r = domains_add(d, text, false, 0, o, err);
	if (r < 0)
		table_domains_close(&d);
	else
		*ret = d;
	return r;
}

void table_domains_close(struct table_domains **dp)
{
	struct table_domains *d = *dp;
	if (!d)
		return;
	for (unsigned i = 0; i < d->count; i++) {
		table_close(&d->patterns[i].table);
		mem_free(d->patterns[i].name);
	}
	mem_free(d->patterns);
	mem_free(d);
	*dp = NULL;
}

TASK_FN static int domain_pattern_match(const struct domain_pattern *p, struct bytes domain, struct buf *err)
{
	struct buf value = { 0 };

	if (!p->table)
		return bytes_case_eq(bytes_of(p->name), domain);
	int r = table_get(p->table, domain, &value, err);
	buf_fini(&value);
	return r;
}

TASK_FN int table_domains_admit(struct table_domains *d, struct bytes key, struct buf *err)
{
	ptrdiff_t at = bytes_rfind(key, '@');
	/* "Only fully qualified search keys with a non-empty localpart and a matching domain are eligible" (mysql_table(5)). */
	if (at <= 0)
		return 0;
	for (unsigned i = 0; i < d->count; i++) {
		int r = domain_pattern_match(&d->patterns[i], bytes_skip(key, (size_t)at + 1), err);
		if (r != 0)
			return r < 0 ? r : !d->patterns[i].negated;
	}
	return 0;
}
