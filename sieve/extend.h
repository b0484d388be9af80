/*
 * extend.h: how commands, tests and tags are added to the language.
 *
 * One extension is one file sieve/ext_NAME.c (or the host's own) with one `const struct sieve_extension`; sieve/sieve_extensions.c
 * lists those of the engine.  Several of one name are required together, so that a large one can have several files.  A command says which arguments it takes; the compiler checks and binds them, so that a run finds
 * them at known places in an immutable struct sieve_node.
 */
#ifndef GATEPOST_SIEVE_EXTEND_H
#define GATEPOST_SIEVE_EXTEND_H

#include "sieve/sieve.h"

struct sieve_compiler;
struct sieve_matching;

/* What a command or test returns to end the section; 0 goes on. */
enum { SIEVE_STOP = 1 };

struct sieve_pos {
	unsigned line, column;          /* from 1; a column is a byte */
};

/* ---- values, as compiled ---- */

/* A piece of a string with variables in it. */
enum sieve_piece_kind { SIEVE_PIECE_TEXT, SIEVE_PIECE_CAPTURE, SIEVE_PIECE_OWN, SIEVE_PIECE_HOST };
struct sieve_piece {
	enum sieve_piece_kind kind;
	unsigned id;                    /* CAPTURE: ${1} is 1; OWN: slot; HOST: the host's id */
	struct bytes text;
};
struct sieve_string {
	struct bytes text;              /* as it stands between the quotes, escapes resolved */
	const struct sieve_piece *pieces;
	unsigned piece_count;           /* 0: the string is constant */
	struct sieve_pos pos;
};

enum sieve_type { SIEVE_NONE, SIEVE_NUMBER, SIEVE_STRING, SIEVE_STRINGS };
struct sieve_value {
	enum sieve_type type;           /* NONE: an optional argument that was left out */
	uint64_t number;
	const struct sieve_string *strings;
	unsigned count;
	struct sieve_pos pos;
};

/* ---- what an extension brings ---- */

enum {
	SIEVE_PARAM_OPTIONAL = 1,       /* must be followed by optional ones only */
	SIEVE_PARAM_CONSTANT = 2,       /* no variables */
	SIEVE_PARAM_KEYS = 4,           /* what a match type compares with */
};
struct sieve_param {
	const char *name;               /* for sentences; NULL ends the list */
	enum sieve_type type;           /* a STRINGS parameter takes a single string too */
	unsigned flags;
};

enum {
	SIEVE_TAG_LENIENT = 1,          /* the test is false when it cannot be answered */
	SIEVE_TAG_TESTS = 2,            /* instead of a command's name: for every test with SIEVE_TAKES_MATCH */
	SIEVE_TAG_CONSTANT = 4,
};
struct sieve_tag {
	const char *name;               /* with its colon; NULL ends the list */
	enum sieve_type type;           /* NONE: takes no argument */
	unsigned flags;
	const char *command;            /* in an extension's own list: which command gets it */
	const char *group;              /* of two tags with the same group a command takes one; NULL: no group */
	/* More checks of its argument; may be NULL.  -EINVAL after sieve_complain(). */
	int (*check)(struct sieve_compiler *c, const struct sieve_node *n, const struct sieve_value *argument);
};
struct sieve_tag_value {
	const struct sieve_tag *tag;
	struct sieve_value value;
};

enum {
	SIEVE_TAKES_MATCH = 1,          /* :is ... and :comparator */
	SIEVE_TAKES_COMPARATOR = 2,
	SIEVE_TAKES_PART = 4,           /* :all :localpart :domain */
	SIEVE_TAKES_TEST = 8,           /* one test behind the arguments */
	SIEVE_TAKES_TESTS = 16,         /* a list of tests */
	SIEVE_TAKES_BLOCK = 32,
	SIEVE_ONLY_TOP = 64,            /* not within a block */
	SIEVE_ONLY_FIRST = 128,         /* before all others: require */
	SIEVE_IS_BRANCH = 256,          /* if, elsif, else: the block is run or not */
	SIEVE_CONTINUES = 512,          /* elsif, else: must follow a branch that has a test */
};
struct sieve_command {
	const char *name;               /* NULL ends the list */
	unsigned takes;
	const struct sieve_param *params;
	const struct sieve_tag *tags;
	unsigned needs;                 /* SIEVE_HAS_...: all of them */
	/* More checks, once the arguments are bound; may set n->data (from the compiler's arena).  -EINVAL after sieve_complain(). */
	int (*check)(struct sieve_compiler *c, struct sieve_node *n);
	/* Opens a section: the block belongs there.  -EINVAL after sieve_complain(). */
	int (*section)(struct sieve_compiler *c, const struct sieve_node *n, unsigned *ret_section);
	/* Commands; NULL for require and those that open a section: there is nothing to be done when the script runs. */
	int (*run)(struct sieve_run *r, const struct sieve_node *n) TASK_PTR;
	int (*test)(struct sieve_run *r, const struct sieve_node *n, bool *ret) TASK_PTR;       /* tests */
};

enum { SIEVE_CAN_EQUAL = 1, SIEVE_CAN_ORDER = 2, SIEVE_CAN_SUBSTRING = 4 };
struct sieve_comparator {
	const char *name;
	unsigned can;
	bool fold_case;                 /* for substrings */
	int (*compare)(struct bytes a, struct bytes b);
};

struct sieve_match_type {
	const char *tag;
	unsigned needs;                 /* SIEVE_CAN_... of the comparator */
	bool counts;                    /* compares how many values there are, once */
	enum sieve_type takes;          /* STRING: an argument, "gt" for :value, constant */
	/* Checks the argument and the keys; may set n->match_data. */
	int (*check)(struct sieve_compiler *c, struct sieve_node *n, const struct sieve_value *argument, const struct sieve_value *keys);
	/* Compares VALUE with key number m->key: 1 it matches, 0, or -errno. */
	int (*match)(struct sieve_matching *m, struct bytes value, struct bytes key) TASK_PTR;
};

struct sieve_part {
	const char *tag;
	struct bytes (*of)(const struct sieve_mailbox *m);
};

/* All lists are ended by an all-zero element and may be NULL. */
struct sieve_extension {
	const char *name;               /* as in require; NULL: the base language, always there */
	const struct sieve_command *commands, *tests;
	const struct sieve_tag *tags;   /* for commands and tests of others */
	const struct sieve_comparator *comparators;     /* one here has its own capability, "comparator-NAME" */
	const struct sieve_match_type *matches;
	const struct sieve_part *parts;
	/* Rewrites each string of the script before it is looked at for variables.  -EINVAL after sieve_complain(). */
	int (*rewrite)(struct sieve_compiler *c, struct sieve_pos pos, struct bytes in, struct buf *out);
};

/* The engine's own, ended by NULL. */
extern const struct sieve_extension *const sieve_extensions[];

/* ---- the tree ---- */

struct sieve_node {
	const struct sieve_command *def;
	struct sieve_pos pos;
	const struct sieve_value *args;         /* one for each of def->params */
	const struct sieve_tag_value *tags;
	unsigned tag_count;
	const struct sieve_match_type *match;
	const struct sieve_comparator *comparator;
	const struct sieve_part *part;
	const void *match_data;
	bool lenient;
	const struct sieve_node *tests;         /* linked by next */
	const struct sieve_node *block;
	const struct sieve_node *otherwise;     /* of if and elsif: the elsif or else behind it */
	const struct sieve_node *branch;        /* the if, elsif or else whose block it stands in, the innermost; NULL */
	const struct sieve_node *next;
	const void *data;                       /* the command's own */
};

/* ---- for check() methods ---- */

/* Notes a mistake; returns -EINVAL.  The sentence should quote the offending word. */
int sieve_complain(struct sieve_compiler *c, struct sieve_pos pos, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "; did you mean "X"?", or nothing: what comes nearest to WORD among names from NEXT(arg, i), NULL ended.  Never fails. */
void sieve_suggest(struct bytes word, const char *(*next)(void *arg, unsigned i), void *arg, struct buf *to);
struct arena *sieve_compiler_arena(struct sieve_compiler *c);
void *sieve_compiler_arg(struct sieve_compiler *c);             /* sieve_compile_params.arg */
const struct sieve_host *sieve_compiler_host(struct sieve_compiler *c);
unsigned sieve_compiler_section(struct sieve_compiler *c);
bool sieve_compiler_requires(struct sieve_compiler *c, const char *extension);
/* -EINVAL, after a complaint, unless the current section has all of NEEDS.  WHAT is how the sentence begins. */
int sieve_compiler_needs(struct sieve_compiler *c, struct sieve_pos pos, unsigned needs, const char *what);
/* "there is no WHAT "WORD"", with what the host's candidate() makes probable. */
int sieve_complain_unknown(struct sieve_compiler *c, struct sieve_pos pos, const char *what, struct bytes word);
/* Finds list NAME, or complains. */
int sieve_compiler_list(struct sieve_compiler *c, const struct sieve_string *name, void **ret);

/* A variable that can be set. */
struct sieve_variable {
	bool host;
	unsigned id;
};
int sieve_compiler_variable(struct sieve_compiler *c, const struct sieve_string *name, struct sieve_variable *ret);

const struct sieve_value *sieve_tag_find(const struct sieve_node *n, const struct sieve_tag *tag);     /* NULL: not given */
const struct sieve_value *sieve_tag_named(const struct sieve_node *n, const char *name);
bool sieve_string_constant(const struct sieve_string *s);

/* ---- for run() and test() methods ---- */

void *sieve_host_run(const struct sieve_run *r);
struct mail *sieve_mail(const struct sieve_run *r);
struct arena *sieve_arena(const struct sieve_run *r);           /* outlives the run */
struct arena *sieve_scratch(struct sieve_run *r);               /* ends with the run */
/* An action has decided what happens to the message: no implicit keep. */
void sieve_cancel_keep(struct sieve_run *r);

/* Says why, and returns ERROR. */
int sieve_fail(struct sieve_run *r, const struct sieve_node *n, int error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The value of a string now; lives as long as the run.  -E2BIG. */
int sieve_string_get(struct sieve_run *r, const struct sieve_node *n, const struct sieve_string *s, struct bytes *ret) __attribute__((warn_unused_result));
int sieve_variable_set(struct sieve_run *r, const struct sieve_node *n, const struct sieve_variable *v, struct bytes value) __attribute__((warn_unused_result));
/* Counts WORK steps.  -E2BIG. */
int sieve_step(struct sieve_run *r, const struct sieve_node *n, size_t work) __attribute__((warn_unused_result));
TASK_FN int sieve_block(struct sieve_run *r, const struct sieve_node *first) __attribute__((warn_unused_result));
TASK_FN int sieve_test(struct sieve_run *r, const struct sieve_node *test, bool *ret) __attribute__((warn_unused_result));

/* Compares values with keys as the node's match type and comparator say:
 *
 *	sieve_matching_begin(&m, r, n, &n->args[1]);
 *	for each value, until it returns 1 or -errno:
 *		found = sieve_matching_value(&m, value);
 *	found = sieve_matching_end(&m, found);          // :count has its say; 1, 0 or -errno
 */
struct sieve_matching {
	struct sieve_run *run;
	const struct sieve_node *node;
	const struct sieve_value *keys;
	struct bytes *key_values;       /* NULL: all constant */
	unsigned key;                   /* the one being compared */
	unsigned values;                /* seen */
};
int sieve_matching_begin(struct sieve_matching *m, struct sieve_run *r, const struct sieve_node *n, const struct sieve_value *keys) __attribute__((warn_unused_result));
TASK_FN int sieve_matching_value(struct sieve_matching *m, struct bytes value) __attribute__((warn_unused_result));
TASK_FN int sieve_matching_end(struct sieve_matching *m, int found) __attribute__((warn_unused_result));

/* The branch an action stands in: handed back in sieve_run_params.skip, the next run takes the way it would take if that branch
 * (innermost if, elsif) did not hold.  NULL: it stands in none. */
const struct sieve_node *sieve_branch(const struct sieve_node *n);

/* Header fields, as tests see them: unfolded, encoded words (RFC 2047) decoded to UTF-8, no white space at the ends.  Starts after
 * *ITEM (NULL: at the beginning) and finds the next visible field NAME.  1, or 0 when there is none. */
int sieve_header_next(struct sieve_run *r, struct bytes name, struct mail_header **item) __attribute__((warn_unused_result));
TASK_FN int sieve_header_text(struct sieve_run *r, const struct mail_header *h, struct bytes *ret) __attribute__((warn_unused_result));

#endif
