/*
 * sieve_lexer.h: the words of a script (RFC 5228 section 8.1).
 */
#ifndef GATEPOST_SIEVE_LEXER_H
#define GATEPOST_SIEVE_LEXER_H

#include "sieve/extend.h"

enum sieve_token_kind {
	SIEVE_TOKEN_END,
	SIEVE_TOKEN_ERROR,
	SIEVE_TOKEN_IDENTIFIER,
	SIEVE_TOKEN_TAG,                /* text begins with the colon */
	SIEVE_TOKEN_NUMBER,
	SIEVE_TOKEN_STRING,
	SIEVE_TOKEN_MARK,               /* one of { } [ ] ( ) ; , */
};
struct sieve_token {
	enum sieve_token_kind kind;
	struct sieve_pos pos;
	struct bytes text;              /* as written */
	struct bytes string;            /* STRING: what it means */
	uint64_t number;
	const char *error;              /* ERROR: a sentence that follows the offending word */
};

struct sieve_lexer {
	struct bytes rest;
	struct sieve_pos pos;           /* of rest */
	struct arena *arena;            /* for strings that differ from what is written */
};
void sieve_lexer_init(struct sieve_lexer *l, struct bytes source, struct arena *arena);
void sieve_lexer_next(struct sieve_lexer *l, struct sieve_token *ret);

#endif
