/*
 * table_query.h: the templates with %s, %u, %d in them that make a question of a key, and a value of an answer (mysql_table(5), "query",
 * "result_format").  No I/O.
 *
 *	%s  the key, or what was found          %S  the key
 *	%u  its local part; without '@', all    %U  that of the key
 *	%d  its domain                          %D  that of the key
 *	%1 ... %9  labels of the key's domain, the last one first          %%  '%'
 *
 * All templates of a table form a whole: a key that lacks what any of them wants is not asked for.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_QUERY_H
#define GATEPOST_TCP_TABLE_TABLE_QUERY_H

#include "lib/base/buf.h"

struct table_query {
	bool key_user, key_domain, value_user, value_domain;    /* what the templates want */
	unsigned labels;                                        /* the key's domain has so many at least */
};

/* Looks TEMPLATE over, which makes questions (RESULT: values).  -EINVAL with a sentence in ERR. */
int table_query_learn(struct table_query *q, const char *template, bool result, struct buf *err) __attribute__((warn_unused_result));

/* Appends VALUE, quoted for the place where it will stand; 0 or -errno. */
typedef int table_quote_fn(void *arg, struct bytes value, struct buf *ret);
struct table_quote {
	table_quote_fn *quote;          /* NULL: as it is */
	void *arg;
};

/* Has KEY what the questions want?  If not, it is in no table. */
bool table_query_fits(const struct table_query *q, struct bytes key);
/* Appends the question for KEY, which fits.  0, or what the quoting says. */
int table_query_ask(const char *template, struct bytes key, const struct table_quote *quote, struct buf *ret)
	__attribute__((warn_unused_result));

/* The answers to one question, as they come. */
struct table_values {
	const struct table_query *query;
	const char *template;           /* result_format */
	struct bytes key;
	unsigned limit, count;          /* expansion_limit; 0: none */
	size_t most;                    /* bytes in all */
	struct buf *ret;                /* empty at first */
};
/* Appends VALUE behind a comma.  Empty ones are skipped, as are those that lack what the template wants.  -E2BIG: too many; -EMSGSIZE: too
 * long in all. */
int table_values_add(struct table_values *v, struct bytes value) __attribute__((warn_unused_result));

#endif
