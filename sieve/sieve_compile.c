/*
 * sieve_compile.c: makes the tree that runs from the parsed script, section by section.
 */
#include "sieve/sieve_private.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <stdarg.h>

/* ---- complaints ---- */

int sieve_complain(struct sieve_compiler *c, struct sieve_pos pos, const char *fmt, ...)
{
	if (c->errors++ >= SIEVE_ERRORS_MAX)
		return -EINVAL;
	buf_printf(c->err, "%s:%u:%u: ", c->params->file, pos.line, pos.column);
	size_t start = c->err->n;
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(c->err, fmt, ap);
	va_end(ap);
	/* What a script holds must not forge lines or play with a terminal. */
	for (size_t i = start; i < c->err->n; i++)
		if ((unsigned char)c->err->p[i] < ' ' || c->err->p[i] == 0x7f)
			c->err->p[i] = '?';
	buf_add_char(c->err, '\n');
	return -EINVAL;
}

static void complain_syntax(struct sieve_compiler *c, const struct sieve_parse_error *e)
{
	if (e->word.n)
		(void)sieve_complain(c, e->pos, "\"%.*s\" %s", BYTES_ARG(bytes_first(e->word, 60)), e->sentence);
	else
		(void)sieve_complain(c, e->pos, "the end of the script %s", e->sentence);
}

struct arena *sieve_compiler_arena(struct sieve_compiler *c) { return &c->script->arena; }
void *sieve_compiler_arg(struct sieve_compiler *c) { return c->params->arg; }
const struct sieve_host *sieve_compiler_host(struct sieve_compiler *c) { return c->params->host; }
unsigned sieve_compiler_section(struct sieve_compiler *c) { return c->section; }

int sieve_compiler_needs(struct sieve_compiler *c, struct sieve_pos pos, unsigned needs, const char *what)
{
	const struct sieve_host *h = c->params->host;
	if ((h->sections[c->section].has & needs) == needs)
		return 0;
	struct buf where = { 0 };
	for (unsigned i = 0; i < h->section_count; i++)
		if ((h->sections[i].has & needs) == needs)
			buf_printf(&where, "%s\"%s\"", where.n ? ", " : "", h->sections[i].name);
	int r = sieve_complain(c, pos, "%s makes no sense at %s \"%s\"%s%s", what, h->section_word, h->sections[c->section].name,
	    where.n ? ": it belongs to " : "", buf_str(&where));
	buf_fini(&where);
	return r;
}

/* ---- lists ---- */

struct candidates {
	const struct sieve_compiler *c;
	const char *what;
};

static const char *next_candidate(void *arg, unsigned i)
{
	const struct candidates *k = arg;
	const struct sieve_host *h = k->c->params->host;
	return h->candidate ? h->candidate(k->c->params->arg, k->what, i) : NULL;
}

int sieve_complain_unknown(struct sieve_compiler *c, struct sieve_pos pos, const char *what, struct bytes word)
{
	struct buf hint = { 0 };
	sieve_suggest(word, next_candidate, &(struct candidates){ c, what }, &hint);
	int r = sieve_complain(c, pos, "there is no %s \"%.*s\"%s", what, BYTES_ARG(bytes_first(word, 60)), buf_str(&hint));
	buf_fini(&hint);
	return r;
}

int sieve_compiler_list(struct sieve_compiler *c, const struct sieve_string *name, void **ret)
{
	const struct sieve_host *h = c->params->host;
	if (!sieve_string_constant(name))
		return sieve_complain(c, name->pos, "the name of a list, \"%.*s\", must be known when the script is read",
		    BYTES_ARG(bytes_first(name->text, 60)));
	if (!h->list || h->list(c->params->arg, name->text, ret) < 0)
		return sieve_complain_unknown(c, name->pos, "list", name->text);
	return 0;
}

/* ---- commands and tests ---- */

static int compile_test(struct sieve_compiler *c, const struct sieve_ast *ast, struct sieve_node **ret);

static int compile_tests(struct sieve_compiler *c, const struct sieve_ast *ast, struct sieve_node *n)
{
	unsigned takes = n->def->takes & (SIEVE_TAKES_TEST | SIEVE_TAKES_TESTS);
	if (!ast->tests && takes)
		return sieve_complain(c, ast->pos, "\"%s\" lacks a %s", n->def->name, takes & SIEVE_TAKES_TEST ? "test" : "list of tests in parentheses");
	if (ast->tests && !takes)
		return sieve_complain(c, ast->tests->pos, "\"%.*s\" should not stand here: \"%s\" takes no test", BYTES_ARG(ast->tests->name), n->def->name);
	if (ast->tests && ast->test_list != !!(takes & SIEVE_TAKES_TESTS))
		return sieve_complain(c, ast->tests->pos, "\"%s\" takes %s", n->def->name,
		    ast->test_list ? "one test: put anyof or allof before the list" : "a list of tests in parentheses");
	const struct sieve_node **link = &n->tests;
	int result = 0;
	for (const struct sieve_ast *t = ast->tests; t; t = t->next) {
		struct sieve_node *test;
		int r = compile_test(c, t, &test);
		if (r) {
			result = r;
			continue;
		}
		*link = test;
		link = &test->next;
	}
	return result;
}

/* What commands and tests have in common. */
static int compile_words(struct sieve_compiler *c, const struct sieve_ast *ast, bool test, struct sieve_node **ret)
{
	struct sieve_node *n = ARENA_NEW(&c->script->arena, struct sieve_node);
	n->pos = ast->pos;
	n->branch = c->branch;
	int r = sieve_find_command(c, ast, test, &n->def);
	if (r)
		return r;
	r = sieve_bind(c, ast, n);
	if (!r && n->def->needs) {
		char *what = arena_printf(&c->scratch, "\"%s\"", n->def->name);
		r = sieve_compiler_needs(c, ast->pos, n->def->needs, what);
	}
	int tests = compile_tests(c, ast, n);
	r = r ? r : tests;
	if (!r && n->def->check)
		r = n->def->check(c, n);
	if (!r)
		*ret = n;
	return r;
}

static int compile_test(struct sieve_compiler *c, const struct sieve_ast *ast, struct sieve_node **ret)
{
	return compile_words(c, ast, true, ret);
}

static void compile_list(struct sieve_compiler *c, const struct sieve_ast *first, const struct sieve_node ***tail);

static void compile_block(struct sieve_compiler *c, const struct sieve_ast *ast, struct sieve_node *n)
{
	bool top = c->top;
	const struct sieve_node *branch = c->branch;
	const struct sieve_node **tail = &n->block;
	c->top = false;
	if (n->def->takes & SIEVE_IS_BRANCH)
		c->branch = n;
	compile_list(c, ast->block, &tail);
	c->branch = branch;
	c->top = top;
}

static void compile_section(struct sieve_compiler *c, const struct sieve_ast *ast, const struct sieve_node *n)
{
	unsigned outer = c->section;
	if (n->def->section(c, n, &c->section))
		return;
	ASSERT(c->section < c->params->host->section_count);
	c->top = false;
	compile_list(c, ast->block, &c->tails[c->section]);
	c->top = true;
	c->section = outer;
}

/* Does the command stand where it may? */
static int check_place(struct sieve_compiler *c, const struct sieve_ast *ast, const struct sieve_command *def, const struct sieve_node *before)
{
	if ((def->takes & SIEVE_ONLY_TOP) && !c->top)
		return sieve_complain(c, ast->pos, "\"%s\" cannot stand within a block", def->name);
	if ((def->takes & SIEVE_ONLY_FIRST) && c->started)
		return sieve_complain(c, ast->pos, "\"%s\" must stand before all other commands", def->name);
	if (!(def->takes & SIEVE_ONLY_FIRST))
		c->started = true;
	if ((def->takes & SIEVE_CONTINUES) && !(before && (before->def->takes & SIEVE_IS_BRANCH) && before->tests))
		return sieve_complain(c, ast->pos, "\"%s\" must follow an \"if\" or \"elsif\" and its block", def->name);
	if (ast->has_block && !(def->takes & SIEVE_TAKES_BLOCK))
		return sieve_complain(c, ast->pos, "\"%s\" takes no block: it should end with \";\"", def->name);
	if (!ast->has_block && (def->takes & SIEVE_TAKES_BLOCK))
		return sieve_complain(c, ast->pos, "\"%s\" lacks its block", def->name);
	return 0;
}

/* NULL: there was a mistake, or nothing to be run.  A faulty "if" still has its block looked at, for more mistakes. */
static struct sieve_node *compile_command(struct sieve_compiler *c, const struct sieve_ast *ast, const struct sieve_node *before)
{
	struct sieve_node *n = NULL;
	const struct sieve_command *def;
	if (sieve_find_command(c, ast, false, &def) || check_place(c, ast, def, before))
		return NULL;
	if (compile_words(c, ast, false, &n)) {
		struct sieve_node lost = { .def = def };
		if (ast->has_block && !def->section)
			compile_block(c, ast, &lost);
		return NULL;
	}
	if (def->section)
		compile_section(c, ast, n);
	else if (ast->has_block)
		compile_block(c, ast, n);
	return def->section || (def->takes & SIEVE_ONLY_FIRST) ? NULL : n;
}

static void compile_list(struct sieve_compiler *c, const struct sieve_ast *first, const struct sieve_node ***tail)
{
	struct sieve_node *before = NULL;
	for (const struct sieve_ast *ast = first; ast && c->errors < SIEVE_ERRORS_MAX; ast = ast->next) {
		unsigned errors = c->errors;
		struct sieve_node *n = compile_command(c, ast, before);
		if (!n && c->errors > errors) {
			/* What follows a faulty "if" is not faulty for that. */
			while (ast->next && bytes_case_starts(ast->next->name, BYTES("els")))
				ast = ast->next;
		}
		if (n && (n->def->takes & SIEVE_CONTINUES)) {
			ASSERT(before); /* check_place() saw to it */
			before->otherwise = n;
		} else if (n) {
			**tail = n;
			*tail = &n->next;
		}
		before = n;
	}
}

/* ---- a whole script ---- */

static void compile_source(struct sieve_compiler *c)
{
	struct sieve_ast *first;
	struct sieve_parse_error error;
	if (c->params->source.n > SIEVE_SOURCE_MAX)
		(void)sieve_complain(c, (struct sieve_pos){ 1, 1 }, "the script is larger than %d bytes", SIEVE_SOURCE_MAX);
	else if (sieve_parse(c->params->source, &c->scratch, &first, &error) < 0)
		complain_syntax(c, &error);
	else
		compile_list(c, first, &c->tails[c->section]);
}

static void require_base(struct sieve_compiler *c)
{
	const struct sieve_extension *e;
	unsigned i = 0;
	for (; (e = sieve_extension_at(c->params->host, i)); i++)
		if (!e->name)
			c->required |= UINT64_C(1) << i;
	ASSERT(i <= SIEVE_EXTENSIONS_MAX);
}

static struct sieve_script *script_new(const struct sieve_compile_params *p)
{
	struct arena arena = { 0 };
	struct sieve_script *s = ARENA_NEW(&arena, struct sieve_script);
	s->host = p->host;
	s->file = arena_str(&arena, bytes_of(p->file));
	s->sections = ARENA_ARRAY(&arena, const struct sieve_node *, p->host->section_count);
	s->arena = arena;
	return s;
}

int sieve_compile(const struct sieve_compile_params *p, struct sieve_script **ret, struct buf *err)
{
	struct sieve_script *s = script_new(p);
	struct sieve_compiler c = { .params = p, .script = s, .err = err, .section = p->host->main_section, .top = true };
	c.own.fold_case = true;         /* RFC 5229 section 3: variable names are case-insensitive */
	c.tails = ARENA_ARRAY(&c.scratch, const struct sieve_node **, p->host->section_count);
	for (unsigned i = 0; i < p->host->section_count; i++)
		c.tails[i] = &s->sections[i];
	require_base(&c);
	compile_source(&c);
	s->own_count = (unsigned)c.own.n;
	s->variables = sieve_compiler_requires(&c, "variables");
	strmap_fini(&c.own);
	arena_fini(&c.scratch);
	if (c.errors) {
		sieve_free(&s);
		return -EINVAL;
	}
	*ret = s;
	return 0;
}

void sieve_free(struct sieve_script **s)
{
	if (!*s)
		return;
	struct arena arena = (*s)->arena;       /* the script lies in it */
	*s = NULL;
	arena_fini(&arena);
}

bool sieve_has_section(const struct sieve_script *s, unsigned section)
{
	return s->sections[section];
}
