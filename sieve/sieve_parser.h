/*
 * sieve_parser.h: a script as its grammar sees it (RFC 5228 section 8.2), before anybody asks what its words mean.
 */
#ifndef GATEPOST_SIEVE_PARSER_H
#define GATEPOST_SIEVE_PARSER_H

#include "sieve/sieve_lexer.h"

struct sieve_ast_string {
	struct bytes text;
	struct sieve_pos pos;
	struct sieve_ast_string *next;
};
enum sieve_ast_kind { SIEVE_AST_NUMBER, SIEVE_AST_STRINGS, SIEVE_AST_TAG };
struct sieve_ast_arg {
	enum sieve_ast_kind kind;
	struct sieve_pos pos;
	struct bytes tag;               /* with its colon */
	uint64_t number;
	struct sieve_ast_string *strings;
	unsigned string_count;
	bool list;                      /* in brackets */
	struct sieve_ast_arg *next;
};
/* A command or a test. */
struct sieve_ast {
	struct sieve_pos pos;
	struct bytes name;
	struct sieve_ast_arg *args;
	struct sieve_ast *tests;
	bool test_list;                 /* in parentheses */
	struct sieve_ast *block;
	bool has_block;
	struct sieve_pos end;           /* of the last token */
	struct sieve_ast *next;
};

/* What a syntax error is told through. */
struct sieve_parse_error {
	struct sieve_pos pos;
	struct bytes word;              /* the offending one; empty at the end of the script */
	const char *sentence;
};
/* 0 and the first command (NULL: the script is empty), all in ARENA and in SOURCE; or -EINVAL with *RET_ERROR. */
int sieve_parse(struct bytes source, struct arena *arena, struct sieve_ast **ret, struct sieve_parse_error *ret_error) __attribute__((warn_unused_result));

#endif
