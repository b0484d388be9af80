/*
 * sieve_parser.c: the grammar (RFC 5228 section 8.2), by recursive descent with one token of look-ahead.
 *
 *	commands     = *command
 *	command      = identifier arguments (";" / block)
 *	arguments    = *argument [ test / test-list ]
 *	argument     = string-list / number / tag
 *	test-list    = "(" test *("," test) ")"
 *	test         = identifier arguments
 *	string-list  = "[" string *("," string) "]" / string
 *	block        = "{" commands "}"
 */
#include "sieve/sieve_parser.h"

#include <errno.h>

struct parser {
	struct sieve_lexer lexer;
	struct sieve_token token;       /* the next one */
	struct sieve_pos end;           /* of the one before */
	struct arena *arena;
	unsigned depth;
	struct sieve_parse_error *error;
};

static void next(struct parser *p)
{
	p->end = p->lexer.pos;
	sieve_lexer_next(&p->lexer, &p->token);
}

static int fail(struct parser *p, const char *sentence)
{
	bool lexical = p->token.kind == SIEVE_TOKEN_ERROR;
	*p->error = (struct sieve_parse_error){ p->token.pos, p->token.text, lexical ? p->token.error : sentence };
	return -EINVAL;
}

static bool at_mark(const struct parser *p, char mark)
{
	return p->token.kind == SIEVE_TOKEN_MARK && *p->token.text.p == mark;
}

static bool skip_mark(struct parser *p, char mark)
{
	if (!at_mark(p, mark))
		return false;
	next(p);
	return true;
}

static int deeper(struct parser *p)
{
	return ++p->depth > SIEVE_NESTING_MAX ? fail(p, "stands too deep: 32 blocks and tests may be within each other") : 0;
}

static int parse_string(struct parser *p, struct sieve_ast_arg *arg, struct sieve_ast_string ***link)
{
	if (p->token.kind != SIEVE_TOKEN_STRING)
		return fail(p, "stands where a string should be");
	struct sieve_ast_string *s = ARENA_NEW(p->arena, struct sieve_ast_string);
	*s = (struct sieve_ast_string){ .text = p->token.string, .pos = p->token.pos };
	**link = s;
	*link = &s->next;
	arg->string_count++;
	next(p);
	return 0;
}

static int parse_strings(struct parser *p, struct sieve_ast_arg *arg)
{
	struct sieve_ast_string **link = &arg->strings;
	arg->list = skip_mark(p, '[');
	int r = parse_string(p, arg, &link);
	while (!r && arg->list && skip_mark(p, ','))
		r = parse_string(p, arg, &link);
	if (!r && arg->list && !skip_mark(p, ']'))
		r = fail(p, "stands in a list of strings where \",\" or \"]\" should be");
	return r;
}

/* 1: an argument; 0: none here. */
static int parse_argument(struct parser *p, struct sieve_ast_arg **ret)
{
	struct sieve_ast_arg *arg = ARENA_NEW(p->arena, struct sieve_ast_arg);
	arg->pos = p->token.pos;
	if (p->token.kind == SIEVE_TOKEN_NUMBER || p->token.kind == SIEVE_TOKEN_TAG) {
		arg->kind = p->token.kind == SIEVE_TOKEN_TAG ? SIEVE_AST_TAG : SIEVE_AST_NUMBER;
		arg->tag = p->token.text;
		arg->number = p->token.number;
		next(p);
	} else if (p->token.kind == SIEVE_TOKEN_STRING || at_mark(p, '[')) {
		arg->kind = SIEVE_AST_STRINGS;
		int r = parse_strings(p, arg);
		if (r)
			return r;
	} else {
		return 0;
	}
	*ret = arg;
	return 1;
}

static int parse_words(struct parser *p, struct sieve_ast *to);

static int parse_test(struct parser *p, struct sieve_ast **ret)
{
	if (p->token.kind != SIEVE_TOKEN_IDENTIFIER)
		return fail(p, "stands where a test should be");
	int r = deeper(p);
	*ret = ARENA_NEW(p->arena, struct sieve_ast);
	if (!r)
		r = parse_words(p, *ret);
	p->depth--;
	return r;
}

static int parse_test_list(struct parser *p, struct sieve_ast *to)
{
	struct sieve_ast **link = &to->tests;
	do {
		int r = parse_test(p, link);
		if (r)
			return r;
		link = &(*link)->next;
	} while (skip_mark(p, ','));
	return skip_mark(p, ')') ? 0 : fail(p, "stands in a list of tests where \",\" or \")\" should be");
}

/* identifier arguments */
static int parse_words(struct parser *p, struct sieve_ast *to)
{
	to->name = p->token.text;
	to->pos = p->token.pos;
	next(p);
	struct sieve_ast_arg **link = &to->args;
	int r;
	while ((r = parse_argument(p, link)) > 0)
		link = &(*link)->next;
	if (r)
		return r;
	if (p->token.kind == SIEVE_TOKEN_IDENTIFIER)
		r = parse_test(p, &to->tests);
	else if ((to->test_list = skip_mark(p, '(')))
		r = parse_test_list(p, to);
	to->end = p->end;
	return r;
}

static int parse_commands(struct parser *p, struct sieve_ast **link);

static int parse_block(struct parser *p, struct sieve_ast *to)
{
	to->has_block = true;
	int r = deeper(p);
	if (!r)
		r = parse_commands(p, &to->block);
	p->depth--;
	if (!r && !skip_mark(p, '}'))
		r = fail(p, "stands where a command or \"}\" should be");
	return r;
}

static int parse_command(struct parser *p, struct sieve_ast *to)
{
	int r = parse_words(p, to);
	if (r)
		return r;
	if (skip_mark(p, ';'))
		return 0;
	if (skip_mark(p, '{'))
		return parse_block(p, to);
	return fail(p, "stands where \";\" should end the command before it, or \"{\" begin its block");
}

static int parse_commands(struct parser *p, struct sieve_ast **link)
{
	while (p->token.kind == SIEVE_TOKEN_IDENTIFIER) {
		*link = ARENA_NEW(p->arena, struct sieve_ast);
		int r = parse_command(p, *link);
		if (r)
			return r;
		link = &(*link)->next;
	}
	return 0;
}

int sieve_parse(struct bytes source, struct arena *arena, struct sieve_ast **ret, struct sieve_parse_error *ret_error)
{
	struct parser p = { .arena = arena, .error = ret_error };
	struct sieve_ast *first = NULL;
	sieve_lexer_init(&p.lexer, source, arena);
	next(&p);
	int r = parse_commands(&p, &first);
	if (!r && p.token.kind != SIEVE_TOKEN_END)
		r = fail(&p, at_mark(&p, '}') ? "closes no block" : "stands where a command should be");
	if (!r)
		*ret = first;
	return r;
}
