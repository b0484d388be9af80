/*
 * script_private.h: what the files mta/script_*.c share.
 *
 * A stage is a section of the Sieve script.  One struct script_run lives while a stage's block is run; what must outlive it, for the
 * session or the transaction, is in struct script_state.
 */
#ifndef GATEPOST_MTA_SCRIPT_PRIVATE_H
#define GATEPOST_MTA_SCRIPT_PRIVATE_H

#include "lib/base/strmap.h"
#include "mta/script.h"
#include "sieve/extend.h"

#define SCRIPT_EXTENSION "vnd.gatepost.mta"

/* What stages offer, beside what the engine itself asks for. */
enum {
	SCRIPT_HAS_CONNECT = SIEVE_HAS_HOST,            /* gates can be attached */
	SCRIPT_HAS_HELO = SIEVE_HAS_HOST << 1,
	SCRIPT_HAS_SENDER = SIEVE_HAS_HOST << 2,        /* there is a transaction */
	SCRIPT_HAS_RCPT = SIEVE_HAS_HOST << 3,          /* there is one recipient, who can be sent somewhere */
	SCRIPT_HAS_TO = SIEVE_HAS_HOST << 7,            /* there are recipients */
	SCRIPT_HAS_VERDICT = SIEVE_HAS_HOST << 4,
	SCRIPT_HAS_RESULT = SIEVE_HAS_HOST << 5,
	SCRIPT_HAS_EDIT_SENDER = SIEVE_HAS_HOST << 6,
};
#define SCRIPT_STAGES (GATE_RESULT + 1)

struct script {
	struct sieve_script *sieve;
	unsigned session_slots, mail_slots;     /* variables session.X and mail.x_X */
	const struct next_hop *(*filter)(void *arg, struct bytes destination, struct buf *err);        /* script_names' */
	void *filter_arg;
};

/* While a script is compiled: what the engine hands to our methods. */
struct script_compiling {
	const struct script_names *names;
	struct strmap session_slots, mail_slots;        /* name to slot, an unsigned in the arena */
	struct arena arena;
};

/* What a session's variables hold, and whether its checks were waived.  Made when there is something to remember. */
struct script_state {
	unsigned session_slots, mail_slots;
	struct buf *slots;              /* session.X, then mail.x_X */
	char txn_id[64];                /* the transaction that mail.x_X and accepted_message are of */
	bool accepted_session, accepted_message;
};

/* How a run reaches the world; the relay probe has one of its own. */
struct script_run;
struct script_world {
	void (*attach)(struct script_run *s, const struct gate *g);
	/* LINE: see chain_args. */
	int (*ask)(struct script_run *s, const struct gate *g, struct bytes line, struct gate_verdict *ret) TASK_PTR;
	int (*find)(struct script_run *s, struct table *t, enum table_use use, struct bytes key, struct buf *ret, struct buf *err) TASK_PTR;
};
extern const struct script_world script_world;

struct script_route;
struct script_run {
	const struct script *script;
	const struct script_world *world;
	struct smtpd_stage *io;
	struct script_route *route;     /* at rcpt */
};
/* The answer of one stage: what script_ops.stage() does, in a world. */
TASK_FN int script_run_stage(const struct script *script, const struct script_world *world, struct smtpd_stage *io) __attribute__((warn_unused_result));
/* Runs the block of io->stage once.  SKIP as in sieve_run_params.  A failure becomes the verdict 451 4.3.5, logged. */
TASK_FN int script_run_block(struct script_run *s, const struct sieve_node *const *skip, unsigned skip_count) __attribute__((warn_unused_result));

static inline struct script_run *script_of(const struct sieve_run *r) { return sieve_host_run(r); }

/* ---- script_state.c ---- */

struct script_state *script_state_get(const struct script_run *s);      /* NULL: nothing remembered */
struct script_state *script_state_make(const struct script_run *s);
struct script_state *script_state_copy(const struct script_state *st);  /* NULL of NULL */
void script_state_free(struct script_state *st);
/* Are checks waived: by `accept`, or because a gate or access(5) has added the recipient, whom, as in Postfix, nobody is asked about? */
bool script_waived(const struct script_run *s);

/* ---- script_host.c: names the engine asks about ---- */

extern const struct sieve_host script_host;
/* Resolve constant names, or complain. */
int script_find_gate(struct sieve_compiler *c, const struct sieve_string *name, const char *kind, const struct gate **ret);
int script_find_table(struct sieve_compiler *c, const struct sieve_string *name, struct table **ret);
int script_find_next_hop(struct sieve_compiler *c, const struct sieve_string *name, const struct next_hop **ret);
/* TABLE was found when the script was compiled.  1 found, 0 not, -EREMOTEIO after sieve_fail(). */
TASK_FN int script_table_get(struct sieve_run *r, const struct sieve_node *n, struct table *t, struct bytes key, struct buf *ret) __attribute__((warn_unused_result));
/* The same for the keys that make up KEY in some use. */
TASK_FN int script_table_find(struct sieve_run *r, const struct sieve_node *n, struct table *t, enum table_use use, struct bytes key, struct buf *ret) __attribute__((warn_unused_result));

/* ---- script_gates.c: what a gate says, and what it does to the stage ---- */

TASK_FN int script_ask(struct sieve_run *r, const struct sieve_node *n, const struct gate *g, struct bytes line, struct gate_verdict *ret) __attribute__((warn_unused_result));
/* Returns what the command does. */
int script_obey(struct script_run *s, const struct gate_verdict *v);

/* ---- script_variables.c ---- */

int script_variable(void *arg, struct bytes space, struct bytes name, struct sieve_host_variable *ret);
const char *script_variable_name(unsigned i);                   /* NULL at the end */
struct bytes script_variable_get(struct sieve_run *r, unsigned id);
int script_variable_set(struct sieve_run *r, const struct sieve_node *n, unsigned id, struct bytes value);

/* ---- script_verdicts.c ---- */

TASK_FN int script_keep(struct sieve_run *r, const struct sieve_node *n);
TASK_FN int script_discard(struct sieve_run *r, const struct sieve_node *n);
TASK_FN int script_reject(struct sieve_run *r, const struct sieve_node *n, struct bytes text);

/* ---- script_route.c ---- */

/* Runs the rcpt block for the recipient and for each address it is redirected to. */
TASK_FN int script_route_run(struct script_run *s) __attribute__((warn_unused_result));
const struct smtp_address *script_route_rcpt(const struct script_run *s);       /* the address the block is run for now */
struct gate_rcpt *script_route_asked(const struct script_run *s);       /* the recipient that gates are asked about; NULL */
int script_route_set_rcpt(struct sieve_run *r, const struct sieve_node *n, struct bytes value);
TASK_FN int script_redirect(struct sieve_run *r, const struct sieve_node *n, struct bytes addresses);

/* The parts of vnd.gatepost.mta. */
extern const struct sieve_extension script_ext_stages, script_ext_verdicts, script_ext_gates, script_ext_access, script_ext_tables, script_ext_route, script_ext_tests;

#endif
