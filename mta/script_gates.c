/*
 * script_gates.c: milter attaches gates; policy asks one, as an action or as a test.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- milter ---- */

static int check_milter(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_value *names = &n->args[0];
	const struct gate **gates = ARENA_ARRAY(sieve_compiler_arena(c), const struct gate *, names->count);
	int result = 0;
	for (unsigned i = 0; i < names->count; i++)
		if (script_find_gate(c, &names->strings[i], "milter", &gates[i]) < 0)
			result = -EINVAL;
	n->data = gates;
	return result;
}

TASK_FN static int run_milter(struct sieve_run *r, const struct sieve_node *n)
{
	struct script_run *s = script_of(r);
	const struct gate *const *gates = n->data;
	for (unsigned i = 0; i < n->args[0].count; i++)
		s->world->attach(s, gates[i]);
	return 0;
}

/* ---- gates that are asked by name ---- */

/* Somebody said FILTER.  Which next hop that is is found at once: a message that could go nowhere is refused before it is sent. */
TASK_FN static int find_filter(struct sieve_run *r, const struct sieve_node *n, const struct gate *g)
{
	const struct script_run *s = script_of(r);
	struct gate_txn *t = s->io->txn;
	struct buf why = { 0 };
	if (!t || !t->filter || t->filter_hop)
		return 0;
	if (s->script->filter)
		t->filter_hop = s->script->filter(s->script->filter_arg, bytes_of(t->filter), &why);
	int result = t->filter_hop ? 0 : sieve_fail(r, n, -EREMOTEIO, "%s says FILTER %s: %s", g->name, t->filter, buf_str(&why));
	if (result)
		t->filter = NULL;
	buf_fini(&why);
	return result;
}

TASK_FN int script_ask(struct sieve_run *r, const struct sieve_node *n, const struct gate *g, struct bytes line, struct gate_verdict *ret)
{
	struct script_run *s = script_of(r);
	int result = s->world->ask(s, g, line, ret);
	return result < 0 ? result : find_filter(r, n, g);
}

int script_obey(struct script_run *s, const struct gate_verdict *v)
{
	/* ACCEPT is "this one has no objection": it decides for no other check.  And before MAIL there is nothing to discard. */
	if (v->action == GATE_CONTINUE || v->action == GATE_ACCEPT || (v->action == GATE_DISCARD && !s->io->txn))
		return 0;
	/* Whichever recipient it was said of, it is the message that is dropped, and nobody is asked about it any more (P18). */
	if (v->action == GATE_DISCARD)
		s->io->txn->discarded = true;
	s->io->verdict = *v;
	return SIEVE_STOP;
}

/* ---- policy ---- */

static int check_policy(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct gate *g;
	int r = script_find_gate(c, n->args[0].strings, "policy", &g);
	if (!r)
		n->data = g;
	return r;
}

/* A policy server whose check is waived has no opinion. */
TASK_FN static int ask(struct sieve_run *r, const struct sieve_node *n, struct gate_verdict *ret)
{
	struct script_run *s = script_of(r);
	*ret = (struct gate_verdict){ .action = GATE_CONTINUE };
	return script_waived(s) ? 0 : script_ask(r, n, n->data, bytes_of(""), ret);
}

TASK_FN static int run_policy(struct sieve_run *r, const struct sieve_node *n)
{
	struct gate_verdict verdict;
	int result = ask(r, n, &verdict);
	return result < 0 ? result : script_obey(script_of(r), &verdict);
}

/* What the server said, or, when its answer has no words of its own (it could not be asked), what is made of that. */
static struct bytes answer_text(const struct gate_verdict *v)
{
	static const char *const words[] = { "DUNNO", "OK", "REJECT", "DEFER", "DISCARD", "DISCONNECT" };
	return bytes_of(v->answer ? v->answer : words[v->action]);
}

TASK_FN static int test_policy(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	struct gate_verdict verdict;
	struct sieve_matching m;
	int found = ask(r, n, &verdict);
	if (found < 0)
		return found;
	found = sieve_matching_begin(&m, r, n, &n->args[1]);
	if (!found)
		found = sieve_matching_value(&m, answer_text(&verdict));
	found = sieve_matching_end(&m, found);
	*ret = found > 0;
	return found < 0 ? found : 0;
}

const struct sieve_extension script_ext_gates = {
	.name = SCRIPT_EXTENSION,
	.commands = (const struct sieve_command[]){
	    { .name = "milter", .needs = SCRIPT_HAS_CONNECT, .check = check_milter, .run = run_milter,
		.params = (const struct sieve_param[]){ { "names", SIEVE_STRINGS, SIEVE_PARAM_CONSTANT }, { 0 } } },
	    { .name = "policy", .needs = SCRIPT_HAS_VERDICT, .check = check_policy, .run = run_policy,
		.params = (const struct sieve_param[]){ { "name", SIEVE_STRING, SIEVE_PARAM_CONSTANT }, { 0 } } },
	    { 0 } },
	.tests = (const struct sieve_command[]){
	    { .name = "policy", .takes = SIEVE_TAKES_MATCH, .needs = SCRIPT_HAS_VERDICT, .check = check_policy, .test = test_policy,
		.params = (const struct sieve_param[]){ { "name", SIEVE_STRING, SIEVE_PARAM_CONSTANT },
		    { "answers", SIEVE_STRINGS, SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};

/* ---- the world as it is ---- */

static void attach(struct script_run *s, const struct gate *g)
{
	chain_attach(s->io->chain, g);
}

TASK_FN static int ask_gate(struct script_run *s, const struct gate *g, struct bytes line, struct gate_verdict *ret)
{
	struct chain_args args = { .txn = s->io->txn, .rcpt = script_route_asked(s), .line = line };
	return chain_ask(s->io->chain, g, s->io->stage, &args, ret);
}

TASK_FN static int ask_table(struct script_run *s, struct table *t, enum table_use use, struct bytes key, struct buf *ret, struct buf *err)
{
	int64_t start = run_now();
	int found = use == TABLE_WHOLE ? table_get(t, key, ret, err) : table_find(t, use, key, ret, err);
	gate_span_add(s->io->txn, table_name(t), run_now() - start);
	return found;
}

const struct script_world script_world = { .attach = attach, .ask = ask_gate, .find = ask_table };
