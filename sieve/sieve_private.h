/*
 * sieve_private.h: what the files of the engine share, and nobody else sees.
 */
#ifndef GATEPOST_SIEVE_PRIVATE_H
#define GATEPOST_SIEVE_PRIVATE_H

#include "lib/base/strmap.h"
#include "sieve/extend.h"
#include "sieve/sieve_parser.h"

enum { SIEVE_CAPTURES = 32, SIEVE_EXTENSIONS_MAX = 64 };

struct sieve_script {
	struct arena arena;             /* this struct lies in it */
	const char *file;
	const struct sieve_host *host;
	const struct sieve_node **sections;     /* first command of each */
	unsigned own_count;             /* variables without a namespace */
	bool variables;                 /* required: captures are wanted */
};

struct sieve_compiler {
	const struct sieve_compile_params *params;
	struct sieve_script *script;
	struct arena scratch;           /* the parsed script */
	struct buf *err;
	unsigned errors;
	uint64_t required;              /* bit per extension, see sieve_extension_at() */
	bool started;                   /* a command that is no require has been seen */
	bool top;                       /* not within any block */
	unsigned section;
	const struct sieve_node ***tails;       /* where each section's next command is linked */
	const struct sieve_node *branch;
	struct strmap own;              /* variable name to its slot, an unsigned in scratch */
};

/* ---- sieve_names.c: finding words among extensions ---- */

const struct sieve_extension *sieve_extension_at(const struct sieve_host *h, unsigned i);       /* NULL at the end */
bool sieve_extension_active(const struct sieve_compiler *c, unsigned i);
int sieve_require(struct sieve_compiler *c, const struct sieve_string *name);

/* Commands or tests called NAME; complains. */
int sieve_find_command(struct sieve_compiler *c, const struct sieve_ast *ast, bool test, const struct sieve_command **ret);
/* What a tag means to a command: one of the three is set. */
struct sieve_tag_meaning {
	const struct sieve_tag *tag;
	const struct sieve_match_type *match;
	const struct sieve_part *part;
};
int sieve_find_tag(struct sieve_compiler *c, const struct sieve_command *def, const struct sieve_ast_arg *arg, struct sieve_tag_meaning *ret);
int sieve_find_comparator(struct sieve_compiler *c, const struct sieve_string *name, const struct sieve_comparator **ret);

extern const struct sieve_comparator sieve_comparators[];       /* those of the base language; the first is the default */
extern const struct sieve_match_type sieve_matches[];
extern const struct sieve_part sieve_parts[];
extern const struct sieve_tag sieve_tag_comparator;

/* ---- sieve_bind.c ---- */

int sieve_bind(struct sieve_compiler *c, const struct sieve_ast *ast, struct sieve_node *n);

/* ---- sieve_string.c ---- */

int sieve_string_compile(struct sieve_compiler *c, const struct sieve_ast_string *in, struct sieve_string *ret);

/* ---- sieve_run.c ---- */

struct sieve_run {
	const struct sieve_run_params *params;
	struct arena scratch;
	struct buf *err;
	size_t err_start;               /* what stood in err before */
	size_t steps;
	struct bytes *own;              /* NULL until the first set */
	struct bytes *captures;         /* NULL until the first :matches that matched */
	unsigned capture_count;
	bool keep;
};
TASK_FN int sieve_run_if(struct sieve_run *r, const struct sieve_node *n);

/* ---- sieve_words.c: RFC 2047 ---- */

/* Appends TEXT to TO with its encoded words decoded.  -EAGAIN when a character set must be asked of iconv(3), which may block, and
 * MAY_BLOCK is not set: then TO is as it was. */
int sieve_words_decode(struct bytes text, bool may_block, struct buf *to) __attribute__((warn_unused_result));
/* Appends TEXT as the value of a header field: encoded words if it holds anything but ASCII, folded before column 78. COLUMN is where
 * it begins. */
void sieve_words_encode(struct bytes text, size_t column, struct buf *to);

/* ---- sieve_mailbox.c: the addresses of a header field (RFC 5322 section 3.4, with its obsolete forms) ---- */

/* Takes the next address from *REST.  1, or 0 at the end.  What is no address is passed over. */
int sieve_mailbox_next(struct bytes *rest, struct arena *arena, struct sieve_mailbox *ret) __attribute__((warn_unused_result));

#endif
