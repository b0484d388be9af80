/*
 * rfc822_token.h: the tokens of addresses as RFC 822 has them, and Postfix: words, quoted strings, domain literals, comments, and special characters, to which '|',
 * '%' and '!' belong.  No I/O.
 */
#ifndef GATEPOST_TCP_TABLE_RFC822_TOKEN_H
#define GATEPOST_TCP_TABLE_RFC822_TOKEN_H

#include "lib/base/buf.h"

enum rfc822_type { RFC822_SPECIAL, RFC822_ATOM, RFC822_QUOTED, RFC822_LITERAL, RFC822_COMMENT };

struct rfc822_token {
	enum rfc822_type type;
	struct buf text;        /* without quotes, brackets and backslashes; a comment has them all */
};

/* Cuts the next token off *REST; T->text is used again.  What should be closed and is not ends with the text.  False: there are no more. */
bool rfc822_token_next(struct bytes *rest, struct rfc822_token *t);
/* The special character that T is; 0: it is something else. */
char rfc822_token_special(const struct rfc822_token *t);
void rfc822_token_fini(struct rfc822_token *t);

#endif
