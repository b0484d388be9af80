/*
 * ext_extlists.c: membership of lists kept elsewhere (RFC 6134).  A key of :list is the name of a list, known when the script is read.
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

static int check_list(struct sieve_compiler *c, struct sieve_node *n, const struct sieve_value *argument, const struct sieve_value *keys)
{
	(void)argument;
	void **lists = ARENA_ARRAY(sieve_compiler_arena(c), void *, keys->count);
	for (unsigned i = 0; i < keys->count; i++) {
		int r = sieve_compiler_list(c, &keys->strings[i], &lists[i]);
		if (r)
			return r;
	}
	n->match_data = lists;
	return 0;
}

TASK_FN static int match_list(struct sieve_matching *m, struct bytes value, struct bytes key)
{
	(void)key;
	void *const *lists = m->node->match_data;
	const struct sieve_host *h = m->run->params->script->host;
	bool has = false;
	int r = h->list_has ? h->list_has(m->run, m->node, lists[m->key], value, &has) : 0;
	return r ? r : has;
}

/* Section 2.5: valid_ext_list is how a script asks whether a list is there, so an unknown name is no mistake here. */
static int check_valid(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_host *h = sieve_compiler_host(c);
	bool *valid = ARENA_NEW(sieve_compiler_arena(c), bool);
	void *list;
	*valid = true;
	for (unsigned i = 0; i < n->args[0].count; i++)
		*valid = *valid && h->list && h->list(sieve_compiler_arg(c), n->args[0].strings[i].text, &list) == 0;
	n->data = valid;
	return 0;
}

TASK_FN static int test_valid(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	(void)r;
	*ret = *(const bool *)n->data;
	return 0;
}

const struct sieve_extension ext_extlists = {
	.name = "extlists",
	.matches = (const struct sieve_match_type[]){ { .tag = ":list", .check = check_list, .match = match_list }, { 0 } },
	.tests = (const struct sieve_command[]){
	    { .name = "valid_ext_list", .check = check_valid, .test = test_valid,
		.params = (const struct sieve_param[]){ { "list names", SIEVE_STRINGS, SIEVE_PARAM_CONSTANT }, { 0 } } },
	    { 0 } },
};
