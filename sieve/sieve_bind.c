/*
 * sieve_bind.c: checks the arguments of a command or test against what it takes, and puts each where it will be found.
 */
#include "sieve/sieve_private.h"

#include "lib/base/mem.h"

#include <errno.h>

struct binding {
	struct sieve_compiler *c;
	struct sieve_node *node;
	struct sieve_value *args;
	struct sieve_tag_value *tags;
	const struct sieve_value *match_argument;
	unsigned param;                 /* the next one */
};

static const char *type_name(enum sieve_type type)
{
	static const char *const names[] = { "nothing", "a number", "a string", "a list of strings" };
	return names[type];
}

static const char *kind_name(const struct sieve_ast_arg *a)
{
	return a->kind == SIEVE_AST_TAG ? "a tag" : a->kind == SIEVE_AST_NUMBER ? "a number" : a->list ? "a list of strings" : "a string";
}

static bool fits(const struct sieve_ast_arg *a, enum sieve_type type)
{
	switch (type) {
	case SIEVE_NUMBER:
		return a->kind == SIEVE_AST_NUMBER;
	case SIEVE_STRING:
		return a->kind == SIEVE_AST_STRINGS && !a->list;
	case SIEVE_STRINGS:
		return a->kind == SIEVE_AST_STRINGS;
	default:
		return false;
	}
}

static int bind_strings(struct binding *b, const struct sieve_ast_arg *a, bool constant, struct sieve_value *ret)
{
	struct sieve_string *to = ARENA_ARRAY(&b->c->script->arena, struct sieve_string, a->string_count);
	unsigned n = 0;
	for (const struct sieve_ast_string *s = a->strings; s; s = s->next) {
		int r = sieve_string_compile(b->c, s, &to[n]);
		if (r)
			return r;
		if (constant && !sieve_string_constant(&to[n]))
			return sieve_complain(b->c, s->pos, "\"%.*s\" holds a variable, but must be known when the script is read",
			    BYTES_ARG(bytes_first(s->text, 60)));
		n++;
	}
	ret->strings = to;
	ret->count = n;
	return 0;
}

/* WHAT takes TYPE; the argument is A (NULL: there is none). */
static int bind_value(struct binding *b, const char *what, enum sieve_type type, bool constant, const struct sieve_ast_arg *a, struct sieve_value *ret)
{
	if (!a)
		return sieve_complain(b->c, b->node->pos, "\"%s\" lacks %s behind it", what, type_name(type));
	if (!fits(a, type))
		return sieve_complain(b->c, a->pos, "\"%s\" takes %s here, not %s", what, type_name(type), kind_name(a));
	*ret = (struct sieve_value){ .type = type, .number = a->number, .pos = a->pos };
	return type == SIEVE_NUMBER ? 0 : bind_strings(b, a, constant, ret);
}

/* ---- tags ---- */

static int bind_match(struct binding *b, const struct sieve_match_type *m, const struct sieve_ast_arg **arg)
{
	const struct sieve_ast_arg *tag = *arg;
	if (b->node->match)
		return sieve_complain(b->c, tag->pos, "\"%.*s\" is a second match type, after \"%s\"", BYTES_ARG(tag->tag), b->node->match->tag);
	b->node->match = m;
	if (m->takes == SIEVE_NONE)
		return 0;
	struct sieve_value *v = ARENA_NEW(&b->c->script->arena, struct sieve_value);
	b->match_argument = v;
	*arg = tag->next;
	return bind_value(b, m->tag, m->takes, true, *arg, v);
}

static int bind_part(struct binding *b, const struct sieve_part *p, const struct sieve_ast_arg *arg)
{
	if (b->node->part)
		return sieve_complain(b->c, arg->pos, "\"%.*s\" is a second address part, after \"%s\"", BYTES_ARG(arg->tag), b->node->part->tag);
	b->node->part = p;
	return 0;
}

static int check_twice(struct binding *b, const struct sieve_tag *t, const struct sieve_ast_arg *arg)
{
	for (unsigned i = 0; i < b->node->tag_count; i++) {
		const struct sieve_tag *other = b->tags[i].tag;
		if (other == t)
			return sieve_complain(b->c, arg->pos, "\"%s\" stands here twice", t->name);
		if (t->group && other->group && strcmp(t->group, other->group) == 0)
			return sieve_complain(b->c, arg->pos, "\"%s\" cannot stand beside \"%s\"", t->name, other->name);
	}
	return 0;
}

static int bind_tag_value(struct binding *b, const struct sieve_tag *t, const struct sieve_ast_arg **arg)
{
	int r = check_twice(b, t, *arg);
	if (r)
		return r;
	struct sieve_tag_value *to = &b->tags[b->node->tag_count];
	to->tag = t;
	to->value.pos = (*arg)->pos;
	if (t->type != SIEVE_NONE) {
		*arg = (*arg)->next;
		r = bind_value(b, t->name, t->type, t->flags & SIEVE_TAG_CONSTANT, *arg, &to->value);
	}
	if (r)
		return r;
	b->node->tag_count++;
	b->node->lenient |= t->flags & SIEVE_TAG_LENIENT;
	if (t == &sieve_tag_comparator)
		return sieve_find_comparator(b->c, to->value.strings, &b->node->comparator);
	return t->check ? t->check(b->c, b->node, &to->value) : 0;
}

/* Moves *ARG to the last argument it used; to NULL when the tag's own argument is missing. */
static int bind_tag(struct binding *b, const struct sieve_ast_arg **arg)
{
	struct sieve_tag_meaning meaning;
	if (b->param)
		return sieve_complain(b->c, (*arg)->pos, "the tag \"%.*s\" must stand before the other arguments of \"%s\"",
		    BYTES_ARG(bytes_first((*arg)->tag, 60)), b->node->def->name);
	int r = sieve_find_tag(b->c, b->node->def, *arg, &meaning);
	if (r)
		return r;
	if (meaning.match)
		return bind_match(b, meaning.match, arg);
	return meaning.part ? bind_part(b, meaning.part, *arg) : bind_tag_value(b, meaning.tag, arg);
}

/* ---- positional arguments ---- */

static unsigned param_count(const struct sieve_command *def)
{
	unsigned n = 0;
	while (def->params && def->params[n].name)
		n++;
	return n;
}

static int bind_param(struct binding *b, const struct sieve_ast_arg *arg)
{
	const struct sieve_command *def = b->node->def;
	if (b->param >= param_count(def))
		return sieve_complain(b->c, arg->pos, "%s is one argument too many for \"%s\"", kind_name(arg), def->name);
	const struct sieve_param *p = &def->params[b->param];
	if (!fits(arg, p->type))
		return sieve_complain(b->c, arg->pos, "\"%s\" takes %s (%s) here, not %s", def->name, type_name(p->type), p->name, kind_name(arg));
	return bind_value(b, def->name, p->type, p->flags & SIEVE_PARAM_CONSTANT, arg, &b->args[b->param++]);
}

static int check_missing(struct binding *b)
{
	const struct sieve_command *def = b->node->def;
	if (b->param < param_count(def) && !(def->params[b->param].flags & SIEVE_PARAM_OPTIONAL))
		return sieve_complain(b->c, b->node->pos, "\"%s\" lacks %s (%s)", def->name, type_name(def->params[b->param].type),
		    def->params[b->param].name);
	return 0;
}

/* ---- match types ---- */

static const struct sieve_value *find_keys(const struct binding *b)
{
	const struct sieve_param *p = b->node->def->params;
	for (unsigned i = 0; p && p[i].name; i++)
		if (p[i].flags & SIEVE_PARAM_KEYS)
			return &b->args[i];
	return NULL;
}

static int check_match(struct binding *b)
{
	struct sieve_node *n = b->node;
	if (!(n->def->takes & SIEVE_TAKES_MATCH))
		return 0;
	bool given = n->match;
	if (!given)
		n->match = &sieve_matches[0];
	if ((n->match->needs & n->comparator->can) != n->match->needs)
		return sieve_complain(b->c, n->pos, "\"%s\" cannot be done with the comparator \"%s\"", n->match->tag, n->comparator->name);
	const struct sieve_value *keys = find_keys(b);
	if (given && keys->type == SIEVE_NONE)
		return sieve_complain(b->c, n->pos, "\"%s\" compares with nothing: \"%s\" lacks its values", n->match->tag, n->def->name);
	return n->match->check ? n->match->check(b->c, n, b->match_argument, keys) : 0;
}

int sieve_bind(struct sieve_compiler *c, const struct sieve_ast *ast, struct sieve_node *n)
{
	struct arena *arena = &c->script->arena;
	unsigned count = 0;
	int r = 0;
	for (const struct sieve_ast_arg *a = ast->args; a; a = a->next)
		count++;
	struct binding b = { .c = c, .node = n };
	n->args = b.args = ARENA_ARRAY(arena, struct sieve_value, param_count(n->def) + 1);
	n->tags = b.tags = ARENA_ARRAY(arena, struct sieve_tag_value, count + 1);
	n->comparator = &sieve_comparators[0];
	for (const struct sieve_ast_arg *a = ast->args; a && !r; a = a ? a->next : NULL)
		r = a->kind == SIEVE_AST_TAG ? bind_tag(&b, &a) : bind_param(&b, a);
	if (!r)
		r = check_missing(&b);
	if (!r && !n->part)
		n->part = &sieve_parts[0];
	return r ? r : check_match(&b);
}

const struct sieve_value *sieve_tag_find(const struct sieve_node *n, const struct sieve_tag *tag)
{
	for (unsigned i = 0; i < n->tag_count; i++)
		if (n->tags[i].tag == tag)
			return &n->tags[i].value;
	return NULL;
}

const struct sieve_value *sieve_tag_named(const struct sieve_node *n, const char *name)
{
	for (unsigned i = 0; i < n->tag_count; i++)
		if (strcmp(n->tags[i].tag->name, name) == 0)
			return &n->tags[i].value;
	return NULL;
}
