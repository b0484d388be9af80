/*
 * sieve_names.c: finds words among the extensions, and tells what could have been meant when there is none.
 */
#include "sieve/sieve_private.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- extensions ---- */

const struct sieve_extension *sieve_extension_at(const struct sieve_host *h, unsigned i)
{
	for (unsigned k = 0; sieve_extensions[k]; k++)
		if (i-- == 0)
			return sieve_extensions[k];
	return h->extensions ? h->extensions[i] : NULL;
}

bool sieve_extension_active(const struct sieve_compiler *c, unsigned i)
{
	return c->required >> i & 1;
}

bool sieve_compiler_requires(struct sieve_compiler *c, const char *extension)
{
	const struct sieve_extension *e;
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++)
		if (e->name && strcmp(e->name, extension) == 0)
			return sieve_extension_active(c, i);
	return false;
}

static const char *next_extension(void *arg, unsigned i)
{
	const struct sieve_compiler *c = arg;
	const struct sieve_extension *e;
	for (unsigned k = 0; (e = sieve_extension_at(c->params->host, k)); k++)
		if (e->name && i-- == 0)
			return e->name;
	return NULL;
}

int sieve_require(struct sieve_compiler *c, const struct sieve_string *name)
{
	const struct sieve_extension *e;
	bool found = false;
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++) {
		if (e->name && bytes_eq(name->text, bytes_of(e->name))) {
			c->required |= UINT64_C(1) << i;
			found = true;
		}
	}
	if (found)
		return 0;
	struct buf hint = { 0 };
	sieve_suggest(name->text, next_extension, c, &hint);
	int r = sieve_complain(c, name->pos, "there is no extension \"%.*s\" here%s", BYTES_ARG(bytes_first(name->text, 60)),
	    buf_str(&hint));
	buf_fini(&hint);
	return r;
}

/* ---- what could have been meant ---- */

enum { WORD_MAX = 40 };

/* Levenshtein's distance, letters of either case alike, one row at a time. */
static unsigned distance(struct bytes a, struct bytes b)
{
	unsigned row[WORD_MAX + 1];
	for (unsigned j = 0; j <= b.n; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			bool same = bytes_case_eq(bytes_make(a.p + i - 1, 1), bytes_make(b.p + j - 1, 1));
			unsigned best = diagonal + !same;
			diagonal = row[j];
			best = best < row[j] + 1 ? best : row[j] + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[b.n];
}

void sieve_suggest(struct bytes word, const char *(*next)(void *arg, unsigned i), void *arg, struct buf *to)
{
	const char *best = NULL, *name;
	unsigned least = word.n < 4 ? 2 : word.n < 8 ? 3 : 4;   /* one slip in a short word, more in a longer one */
	if (word.n < 2 || word.n > WORD_MAX)
		return;
	for (unsigned i = 0; (name = next(arg, i)); i++) {
		unsigned d = strlen(name) > WORD_MAX ? least : distance(word, bytes_of(name));
		if (d < least) {
			least = d;
			best = name;
		}
	}
	if (best)
		buf_printf(to, "; did you mean \"%s\"?", best);
}

/* ---- commands and tests ---- */

static const struct sieve_command *find_in(const struct sieve_command *list, struct bytes name)
{
	for (; list && list->name; list++)
		if (bytes_case_eq(bytes_of(list->name), name))
			return list;
	return NULL;
}

static const struct sieve_command *commands_of(const struct sieve_extension *e, bool test)
{
	return test ? e->tests : e->commands;
}

struct command_names {
	const struct sieve_compiler *c;
	bool test;
};

static const char *next_command(void *arg, unsigned i)
{
	const struct command_names *names = arg;
	const struct sieve_extension *e;
	for (unsigned k = 0; (e = sieve_extension_at(names->c->params->host, k)); k++)
		for (const struct sieve_command *d = commands_of(e, names->test); d && d->name; d++)
			if (i-- == 0)
				return d->name;
	return NULL;
}

static int no_command(struct sieve_compiler *c, const struct sieve_ast *ast, bool test)
{
	const struct sieve_extension *e;
	struct bytes word = bytes_first(ast->name, 60);
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++) {
		if (find_in(commands_of(e, test), ast->name))
			return sieve_complain(c, ast->pos, "\"%.*s\" needs require \"%s\"", BYTES_ARG(word), e->name);
		if (find_in(commands_of(e, !test), ast->name))
			return sieve_complain(c, ast->pos, "\"%.*s\" is a %s, but a %s should stand here", BYTES_ARG(word),
			    test ? "command" : "test", test ? "test" : "command");
	}
	struct buf hint = { 0 };
	sieve_suggest(ast->name, next_command, &(struct command_names){ c, test }, &hint);
	int r = sieve_complain(c, ast->pos, "there is no %s \"%.*s\"%s", test ? "test" : "command", BYTES_ARG(word), buf_str(&hint));
	buf_fini(&hint);
	return r;
}

int sieve_find_command(struct sieve_compiler *c, const struct sieve_ast *ast, bool test, const struct sieve_command **ret)
{
	const struct sieve_extension *e;
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++) {
		const struct sieve_command *found = find_in(commands_of(e, test), ast->name);
		if (found && sieve_extension_active(c, i)) {
			*ret = found;
			return 0;
		}
	}
	return no_command(c, ast, test);
}

/* ---- tags ---- */

static bool tag_fits(const struct sieve_tag *t, const struct sieve_command *def)
{
	if (t->command && strcmp(t->command, def->name) == 0)
		return true;
	return (t->flags & SIEVE_TAG_TESTS) && (def->takes & SIEVE_TAKES_MATCH);
}

/* The Ith tag extension E offers to DEF, whatever its meaning. */
static const char *tag_at(const struct sieve_extension *e, const struct sieve_command *def, unsigned i, struct sieve_tag_meaning *ret)
{
	*ret = (struct sieve_tag_meaning){ 0 };
	for (const struct sieve_tag *t = e->tags; t && t->name; t++) {
		if (tag_fits(t, def) && i-- == 0) {
			ret->tag = t;
			return t->name;
		}
	}
	for (const struct sieve_match_type *m = e->matches; (def->takes & SIEVE_TAKES_MATCH) && m && m->tag; m++) {
		if (i-- == 0) {
			ret->match = m;
			return m->tag;
		}
	}
	for (const struct sieve_part *p = e->parts; (def->takes & SIEVE_TAKES_PART) && p && p->tag; p++) {
		if (i-- == 0) {
			ret->part = p;
			return p->tag;
		}
	}
	return NULL;
}

static const struct sieve_tag *own_tag(const struct sieve_command *def, struct bytes name)
{
	for (const struct sieve_tag *t = def->tags; t && t->name; t++)
		if (bytes_case_eq(bytes_of(t->name), name))
			return t;
	bool compares = def->takes & (SIEVE_TAKES_MATCH | SIEVE_TAKES_COMPARATOR);
	return compares && bytes_case_eq(name, bytes_of(sieve_tag_comparator.name)) ? &sieve_tag_comparator : NULL;
}

struct tag_names {
	const struct sieve_compiler *c;
	const struct sieve_command *def;
};

static const char *next_tag(void *arg, unsigned i)
{
	const struct tag_names *names = arg;
	const struct sieve_extension *e;
	struct sieve_tag_meaning meaning;
	for (const struct sieve_tag *t = names->def->tags; t && t->name; t++)
		if (i-- == 0)
			return t->name;
	for (unsigned k = 0; (e = sieve_extension_at(names->c->params->host, k)); k++) {
		const char *name;
		for (unsigned at = 0; (name = tag_at(e, names->def, at, &meaning)); at++)
			if (i-- == 0)
				return name;
	}
	return NULL;
}

static int no_tag(struct sieve_compiler *c, const struct sieve_command *def, const struct sieve_ast_arg *arg)
{
	struct buf hint = { 0 };
	struct bytes word = bytes_first(arg->tag, 60);
	sieve_suggest(arg->tag, next_tag, &(struct tag_names){ c, def }, &hint);
	int r = sieve_complain(c, arg->pos, "\"%s\" has no tag \"%.*s\"%s", def->name, BYTES_ARG(word), buf_str(&hint));
	buf_fini(&hint);
	return r;
}

int sieve_find_tag(struct sieve_compiler *c, const struct sieve_command *def, const struct sieve_ast_arg *arg, struct sieve_tag_meaning *ret)
{
	const struct sieve_extension *e, *missing = NULL;
	const char *name;
	*ret = (struct sieve_tag_meaning){ .tag = own_tag(def, arg->tag) };
	if (ret->tag)
		return 0;
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++) {
		for (unsigned at = 0; (name = tag_at(e, def, at, ret)); at++) {
			if (!bytes_case_eq(bytes_of(name), arg->tag))
				continue;
			if (sieve_extension_active(c, i))
				return 0;
			missing = e;
		}
	}
	if (missing)
		return sieve_complain(c, arg->pos, "\"%.*s\" needs require \"%s\"", BYTES_ARG(bytes_first(arg->tag, 60)), missing->name);
	return no_tag(c, def, arg);
}

/* ---- comparators ---- */

static const char *next_comparator(void *arg, unsigned i)
{
	const struct sieve_compiler *c = arg;
	const struct sieve_extension *e;
	for (unsigned k = 0; (e = sieve_extension_at(c->params->host, k)); k++)
		for (const struct sieve_comparator *m = e->comparators; m && m->name; m++)
			if (i-- == 0)
				return m->name;
	return NULL;
}

int sieve_find_comparator(struct sieve_compiler *c, const struct sieve_string *name, const struct sieve_comparator **ret)
{
	const struct sieve_extension *e;
	struct bytes word = bytes_first(name->text, 60);
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++) {
		for (const struct sieve_comparator *m = e->comparators; m && m->name; m++) {
			if (!bytes_eq(bytes_of(m->name), name->text))
				continue;
			if (!sieve_extension_active(c, i))
				return sieve_complain(c, name->pos, "\"%.*s\" needs require \"%s\"", BYTES_ARG(word), e->name);
			*ret = m;
			return 0;
		}
	}
	struct buf hint = { 0 };
	sieve_suggest(name->text, next_comparator, c, &hint);
	int r = sieve_complain(c, name->pos, "there is no comparator \"%.*s\"%s", BYTES_ARG(word), buf_str(&hint));
	buf_fini(&hint);
	return r;
}
