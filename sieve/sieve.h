/*
 * sieve.h: the Sieve engine (RFC 5228).
 *
 * A script is compiled once into an immutable tree that any number of runs share.  The engine knows no MTA: what a message is going
 * through (sections), what can be done there, and every name outside the language are told by its host, in a struct sieve_host.
 * Extensions are tables of commands, tests and tags; sieve/extend.h is the contract for those who write them, in here or in the host.
 */
#ifndef GATEPOST_SIEVE_SIEVE_H
#define GATEPOST_SIEVE_SIEVE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/mail/mail.h"
#include "lib/run/marks.h"

struct sieve_script;
struct sieve_run;
struct sieve_node;
struct sieve_extension;

enum {
	SIEVE_SOURCE_MAX = 1 << 20,     /* bytes of a script */
	SIEVE_NESTING_MAX = 32,         /* blocks and tests within each other: a run needs stack for each */
	SIEVE_ERRORS_MAX = 10,          /* told by one compilation */
	SIEVE_STRING_MAX = 1 << 16,     /* bytes of a string with variables in it, and of a variable's value */
	SIEVE_STEPS_MAX = 50000,        /* commands, tests, comparisons, and pieces of long comparisons in one run */
};

/* What a section offers: a command that needs something else cannot stand there. */
enum {
	SIEVE_HAS_MESSAGE = 1 << 0,
	SIEVE_HAS_EDIT = 1 << 1,        /* header fields may be added and deleted */
	SIEVE_HAS_KEEP = 1 << 2,
	SIEVE_HAS_DISCARD = 1 << 3,
	SIEVE_HAS_REDIRECT = 1 << 4,
	SIEVE_HAS_REJECT = 1 << 5,
	SIEVE_HAS_ENVELOPE = 1 << 6,
	SIEVE_HAS_HOST = 1 << 8,        /* this bit and those above mean what the host wants */
};

/* A part of a script that is run by itself. */
struct sieve_section {
	const char *name;
	unsigned has;
};

/* A variable in a namespace ("env.helo"), resolved when the script is compiled. */
struct sieve_host_variable {
	unsigned id;                    /* for get() and set() */
	bool settable;
	unsigned needs, set_needs;      /* SIEVE_HAS_..., to be read and to be set */
};

/* An address, or another value of an envelope part: then PLAIN is set and only ALL is filled in. */
struct sieve_mailbox {
	struct bytes local, domain;     /* quoting removed */
	struct bytes all;               /* local@domain; empty for the null sender */
	bool plain;
};

/* What the engine asks its host.  A NULL method means "there is none" or "do nothing". */
struct sieve_host {
	const struct sieve_section *sections;
	unsigned section_count;
	unsigned main_section;          /* where code outside of every section's block belongs */
	const char *section_word;       /* for sentences: "stage" */
	const struct sieve_extension *const *extensions;        /* the host's own; ended by NULL */

	/* While compiling.  ARG is sieve_compile_params.arg.  0, or -ENOENT: there is no such thing. */
	int (*variable)(void *arg, struct bytes space, struct bytes name, struct sieve_host_variable *ret);
	int (*envelope_part)(void *arg, struct bytes name, unsigned *ret_id, unsigned *ret_needs);
	int (*list)(void *arg, struct bytes name, void **ret);
	/* The Ith name that could have been meant by WHAT ("variable", "envelope part", "list"); NULL at the end. */
	const char *(*candidate)(void *arg, const char *what, unsigned i);

	/* While running.  None of these three waits. */
	struct bytes (*get)(struct sieve_run *r, unsigned id);          /* lives as long as the run */
	int (*set)(struct sieve_run *r, const struct sieve_node *n, unsigned id, struct bytes value);   /* -errno after sieve_fail() */
	/* The Ith value of an envelope part: 1, or 0 when there are no more. */
	int (*envelope)(struct sieve_run *r, unsigned id, unsigned i, struct sieve_mailbox *ret);

	/* Actions: 0 to go on, SIEVE_STOP, or -errno after sieve_fail(). */
	int (*keep)(struct sieve_run *r, const struct sieve_node *n) TASK_PTR;
	int (*discard)(struct sieve_run *r, const struct sieve_node *n) TASK_PTR;
	int (*redirect)(struct sieve_run *r, const struct sieve_node *n, struct bytes address) TASK_PTR;
	int (*reject)(struct sieve_run *r, const struct sieve_node *n, struct bytes text) TASK_PTR;

	/* Is VALUE on LIST?  -EREMOTEIO after sieve_fail() when that cannot be told. */
	int (*list_has)(struct sieve_run *r, const struct sieve_node *n, void *list, struct bytes value, bool *ret) TASK_PTR;
};

struct sieve_compile_params {
	struct bytes source;
	const char *file;               /* for messages */
	const struct sieve_host *host;  /* outlives the script */
	void *arg;                      /* for the host's methods, and those of its extensions, while compiling */
};
/* 0, or -EINVAL with lines "file:line:column: sentence" appended to ERR: all mistakes up to SIEVE_ERRORS_MAX. */
int sieve_compile(const struct sieve_compile_params *p, struct sieve_script **ret, struct buf *err) __attribute__((warn_unused_result));
void sieve_free(struct sieve_script **s);
/* Is there any code in this section? */
bool sieve_has_section(const struct sieve_script *s, unsigned section);

struct sieve_run_params {
	const struct sieve_script *script;
	unsigned section;
	void *host_run;                 /* the host's own: sieve_host_run(r) */
	struct mail *mail;              /* NULL where the section has no message */
	struct arena *arena;            /* for what must outlive the run */
	/* Conditions that count as false, whatever they test: see sieve_branch(). */
	const struct sieve_node *const *skip;
	unsigned skip_count;
};
struct sieve_outcome {
	bool implicit_keep;             /* no action cancelled it */
	bool stopped;                   /* by stop, or by an action that ends the section */
};
/* Runs a section from its first command to its last.  0 with RET filled in, or -errno with a sentence appended to ERR that begins with
 * "file:line:column: ":
 *	-EREMOTEIO      a test that had to ask somebody got no answer
 *	-E2BIG          over one of the limits
 *	-EINVAL         a value that came from variables makes no sense where it was used
 *	-EIO, -ENOSPC   the message could not be read or changed
 *	-ECANCELED, -ETIMEDOUT of the task pass through (nothing in ERR).
 * Yields. */
TASK_FN int sieve_run(const struct sieve_run_params *p, struct sieve_outcome *ret, struct buf *err) __attribute__((warn_unused_result));

#endif
