/*
 * table_config.h: the files that tell a table of Postfix how to ask a database: sqlite_table(5), pgsql_table(5), mysql_table(5),
 * ldap_table(5), memcache_table(5).  No I/O.
 *
 *	# comment
 *	dbname = mail
 *	query = SELECT target FROM alias
 *		WHERE source = '%s'
 *
 * A value is everything behind the '=', without the white space around it; there are no quotes and no $names.
 */
#ifndef GATEPOST_TCP_TABLE_TABLE_CONFIG_H
#define GATEPOST_TCP_TABLE_TABLE_CONFIG_H

#include "tcp_table/table_lines.h"

struct table_setting {
	char *name, *value;
	unsigned line;
	bool known;                     /* somebody has asked for it */
};
struct table_config {
	char *file;
	struct table_setting *settings;
	unsigned count;
	struct table_notes notes;       /* what is odd, but no reason to stop */
	struct buf wrong;               /* the first mistake: a sentence; empty while all is well */
};

/* FILE is its name, for what is said of it.  -EINVAL with a sentence in ERR. */
int table_config_parse(struct bytes text, const char *file, struct table_config *ret, struct buf *err) __attribute__((warn_unused_result));
void table_config_fini(struct table_config *c);

/* The value of NAME, or OTHERWISE where there is none.  What is wrong with a value goes to WRONG; its default is the answer then. */
const char *table_config_str(struct table_config *c, const char *name, const char *otherwise);
/* As table_config_str(), but it must be there, and not empty. */
const char *table_config_need(struct table_config *c, const char *name);
int table_config_int(struct table_config *c, const char *name, int otherwise, int least, int most);
bool table_config_bool(struct table_config *c, const char *name, bool otherwise);
/* Which of the NULL-terminated WORDS (in any case) it is. */
unsigned table_config_word(struct table_config *c, const char *name, const char *const *words, unsigned otherwise);
/* NAME may be there, and means nothing: WHY says it in a note. */
void table_config_ignore(struct table_config *c, const char *name, const char *why);
/* A mistake of another kind in the value of NAME. */
void table_config_wrong(struct table_config *c, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* All was asked for: notes the parameters that nobody knows.  -EINVAL with a sentence in ERR if there was a mistake. */
int table_config_done(struct table_config *c, struct buf *err) __attribute__((warn_unused_result));

#endif
