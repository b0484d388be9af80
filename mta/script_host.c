/*
 * script_host.c: the stages, and the names that gatepost.conf defines: what the Sieve engine asks its host about.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- stages ---- */

enum {
	SESSION = SCRIPT_HAS_VERDICT | SIEVE_HAS_REJECT,
	MAIL = SESSION | SCRIPT_HAS_HELO | SCRIPT_HAS_SENDER | SIEVE_HAS_ENVELOPE | SIEVE_HAS_DISCARD,
};
static const struct sieve_section stages[SCRIPT_STAGES] = {
	[GATE_CONNECT] = { "connect", SESSION | SCRIPT_HAS_CONNECT },
	[GATE_EHLO] = { "ehlo", SESSION | SCRIPT_HAS_HELO },
	[GATE_AUTH] = { "auth", SESSION | SCRIPT_HAS_HELO },
	[GATE_MAIL] = { "mail", MAIL | SCRIPT_HAS_EDIT_SENDER },
	[GATE_RCPT] = { "rcpt", MAIL | SCRIPT_HAS_RCPT | SCRIPT_HAS_TO | SCRIPT_HAS_EDIT_SENDER | SIEVE_HAS_REDIRECT },
	[GATE_DATA] = { "data", MAIL | SCRIPT_HAS_TO | SCRIPT_HAS_EDIT_SENDER },
	[GATE_MESSAGE] = { "message", MAIL | SCRIPT_HAS_TO | SCRIPT_HAS_EDIT_SENDER | SIEVE_HAS_MESSAGE | SIEVE_HAS_EDIT | SIEVE_HAS_KEEP },
	[GATE_RESULT] = { "result", SCRIPT_HAS_HELO | SCRIPT_HAS_SENDER | SCRIPT_HAS_TO | SIEVE_HAS_ENVELOPE | SCRIPT_HAS_RESULT },
};

static const char *next_stage(void *arg, unsigned i)
{
	(void)arg;
	return i < SCRIPT_STAGES ? stages[i].name : NULL;
}

static int open_stage(struct sieve_compiler *c, const struct sieve_node *n, unsigned *ret)
{
	const struct sieve_string *name = n->args[0].strings;
	for (unsigned i = 0; i < SCRIPT_STAGES; i++) {
		if (bytes_case_eq(name->text, bytes_of(stages[i].name))) {
			*ret = i;
			return 0;
		}
	}
	struct buf hint = { 0 };
	sieve_suggest(name->text, next_stage, NULL, &hint);
	int r = sieve_complain(c, name->pos, "there is no stage \"%.*s\"%s (connect ehlo auth mail rcpt data message result are the stages)",
	    BYTES_ARG(bytes_first(name->text, 60)), buf_str(&hint));
	buf_fini(&hint);
	return r;
}

const struct sieve_extension script_ext_stages = {
	.name = SCRIPT_EXTENSION,
	.commands = (const struct sieve_command[]){
	    { .name = "stage", .takes = SIEVE_TAKES_BLOCK | SIEVE_ONLY_TOP, .section = open_stage,
		.params = (const struct sieve_param[]){ { "stage", SIEVE_STRING, SIEVE_PARAM_CONSTANT }, { 0 } } },
	    { 0 } },
};

/* ---- what gatepost.conf defines ---- */

struct candidates {
	const struct script_names *names;
	enum script_name_kind kind;
};

static const char *next_name(void *arg, unsigned i)
{
	const struct candidates *k = arg;
	return k->names->candidate ? k->names->candidate(k->names->arg, k->kind, i) : NULL;
}

static const struct script_names *names_of(struct sieve_compiler *c)
{
	const struct script_compiling *compiling = sieve_compiler_arg(c);
	return compiling->names;
}

static int unknown(struct sieve_compiler *c, const struct sieve_string *name, enum script_name_kind kind, const char *what)
{
	struct buf hint = { 0 };
	sieve_suggest(name->text, next_name, &(struct candidates){ names_of(c), kind }, &hint);
	int r = sieve_complain(c, name->pos, "the configuration defines no %s \"%.*s\"%s", what, BYTES_ARG(bytes_first(name->text, 60)), buf_str(&hint));
	buf_fini(&hint);
	return r;
}

int script_find_gate(struct sieve_compiler *c, const struct sieve_string *name, const char *kind, const struct gate **ret)
{
	const struct script_names *names = names_of(c);
	const struct gate *g = names->gate ? names->gate(names->arg, name->text) : NULL;
	if (!g)
		return unknown(c, name, SCRIPT_GATE, kind);
	if (strcmp(g->ops->kind, kind) != 0)
		return sieve_complain(c, name->pos, "\"%.*s\" is a %s, not a %s", BYTES_ARG(bytes_first(name->text, 60)), g->ops->kind, kind);
	*ret = g;
	return 0;
}

int script_find_table(struct sieve_compiler *c, const struct sieve_string *name, struct table **ret)
{
	const struct script_names *names = names_of(c);
	struct table *t = names->table ? names->table(names->arg, name->text) : NULL;
	if (!t)
		return unknown(c, name, SCRIPT_TABLE, "table");
	*ret = t;
	return 0;
}

int script_find_next_hop(struct sieve_compiler *c, const struct sieve_string *name, const struct next_hop **ret)
{
	const struct script_names *names = names_of(c);
	const struct next_hop *h = names->next_hop ? names->next_hop(names->arg, name->text) : NULL;
	if (!h)
		return unknown(c, name, SCRIPT_NEXT_HOP, "next hop");
	*ret = h;
	return 0;
}

/* ---- lists: ":table:NAME" (RFC 6134 leaves the form of names to us) ---- */

static int find_list(void *arg, struct bytes name, void **ret)
{
	const struct script_names *names = ((struct script_compiling *)arg)->names;
	static const struct bytes prefix = { ":table:", 7 };
	struct table *t = NULL;
	if (bytes_case_starts(name, prefix) && names->table)
		t = names->table(names->arg, bytes_skip(name, prefix.n));
	if (!t)
		return -ENOENT;
	*ret = t;
	return 0;
}

TASK_FN int script_table_find(struct sieve_run *r, const struct sieve_node *n, struct table *t, enum table_use use, struct bytes key, struct buf *ret)
{
	struct script_run *s = script_of(r);
	struct buf why = { 0 };
	int found = s->world->find(s, t, use, key, ret, &why);
	if (found < 0 && found != -ECANCELED && found != -ETIMEDOUT)
		found = sieve_fail(r, n, -EREMOTEIO, "table \"%s\" gave no answer: %s", table_name(t), why.n ? buf_str(&why) : strerror(-found));
	buf_fini(&why);
	return found;
}

TASK_FN int script_table_get(struct sieve_run *r, const struct sieve_node *n, struct table *t, struct bytes key, struct buf *ret)
{
	return script_table_find(r, n, t, TABLE_WHOLE, key, ret);
}

TASK_FN static int list_has(struct sieve_run *r, const struct sieve_node *n, void *list, struct bytes value, bool *ret)
{
	struct buf ignored = { 0 };
	int found = script_table_get(r, n, list, value, &ignored);
	buf_fini(&ignored);
	*ret = found > 0;
	return found < 0 ? found : 0;
}

/* ---- the envelope ---- */

enum { PART_FROM, PART_TO };

static int envelope_part(void *arg, struct bytes name, unsigned *ret_id, unsigned *ret_needs)
{
	(void)arg;
	bool from = bytes_case_eq(name, BYTES("from"));
	if (!from && !bytes_case_eq(name, BYTES("to")))
		return -ENOENT;
	*ret_id = from ? PART_FROM : PART_TO;
	*ret_needs = from ? SCRIPT_HAS_SENDER : SCRIPT_HAS_TO;
	return 0;
}

static int as_mailbox(const struct smtp_address *a, struct sieve_mailbox *ret)
{
	*ret = (struct sieve_mailbox){ .local = a->local, .domain = a->domain, .all = a->address };
	return 1;
}

/* Before the message there is one recipient, afterwards there are all that were accepted. */
static int envelope(struct sieve_run *r, unsigned id, unsigned i, struct sieve_mailbox *ret)
{
	const struct script_run *s = script_of(r);
	if (id == PART_FROM)
		return i == 0 ? as_mailbox(&s->io->txn->sender.address, ret) : 0;
	if (s->route)
		return i == 0 ? as_mailbox(script_route_rcpt(s), ret) : 0;
	const struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &s->io->txn->rcpts, const struct gate_rcpt, link)
		if (i-- == 0)
			return as_mailbox(&rcpt->path.address, ret);
	return 0;
}

static const char *candidate(void *arg, const char *what, unsigned i)
{
	static const char *const parts[] = { "from", "to" };
	struct script_compiling *c = arg;
	if (strcmp(what, "variable") == 0)
		return script_variable_name(i);
	if (strcmp(what, "envelope part") == 0)
		return i < COUNT_OF(parts) ? parts[i] : NULL;
	const char *table = next_name(&(struct candidates){ c->names, SCRIPT_TABLE }, i);
	return table ? arena_printf(&c->arena, ":table:%s", table) : NULL;
}

static const struct sieve_extension *const extensions[] = {
	&script_ext_stages, &script_ext_verdicts, &script_ext_gates, &script_ext_access, &script_ext_tables, &script_ext_route, &script_ext_tests, NULL,
};

const struct sieve_host script_host = {
	.sections = stages,
	.section_count = SCRIPT_STAGES,
	.main_section = GATE_MESSAGE,
	.section_word = "stage",
	.extensions = extensions,
	.variable = script_variable,
	.envelope_part = envelope_part,
	.list = find_list,
	.candidate = candidate,
	.get = script_variable_get,
	.set = script_variable_set,
	.envelope = envelope,
	.keep = script_keep,
	.discard = script_discard,
	.redirect = script_redirect,
	.reject = script_reject,
	.list_has = list_has,
};
