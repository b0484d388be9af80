/*
 * ext_base.c: the control commands and actions of RFC 5228 sections 3 and 4.  What an action means is the host's business.
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

/* ---- control ---- */

static int check_require(struct sieve_compiler *c, struct sieve_node *n)
{
	int result = 0;
	for (unsigned i = 0; i < n->args[0].count; i++)
		if (sieve_require(c, &n->args[0].strings[i]) < 0)
			result = -EINVAL;
	return result;
}

TASK_FN static int run_stop(struct sieve_run *r, const struct sieve_node *n)
{
	(void)r;
	(void)n;
	return SIEVE_STOP;
}

/* ---- actions ---- */

TASK_FN static int run_keep(struct sieve_run *r, const struct sieve_node *n)
{
	const struct sieve_host *h = r->params->script->host;
	return h->keep ? h->keep(r, n) : 0;
}

TASK_FN static int run_discard(struct sieve_run *r, const struct sieve_node *n)
{
	const struct sieve_host *h = r->params->script->host;
	sieve_cancel_keep(r);
	return h->discard ? h->discard(r, n) : 0;
}

TASK_FN static int run_redirect(struct sieve_run *r, const struct sieve_node *n)
{
	const struct sieve_host *h = r->params->script->host;
	struct bytes address;
	int result = sieve_string_get(r, n, n->args[0].strings, &address);
	if (result)
		return result;
	sieve_cancel_keep(r);
	return h->redirect ? h->redirect(r, n, address) : 0;
}

static const struct sieve_command commands[] = {
	{ .name = "require", .takes = SIEVE_ONLY_TOP | SIEVE_ONLY_FIRST, .check = check_require,
	    .params = (const struct sieve_param[]){ { "extensions", SIEVE_STRINGS, SIEVE_PARAM_CONSTANT }, { 0 } } },
	{ .name = "if", .takes = SIEVE_TAKES_TEST | SIEVE_TAKES_BLOCK | SIEVE_IS_BRANCH, .run = sieve_run_if },
	{ .name = "elsif", .takes = SIEVE_TAKES_TEST | SIEVE_TAKES_BLOCK | SIEVE_IS_BRANCH | SIEVE_CONTINUES, .run = sieve_run_if },
	{ .name = "else", .takes = SIEVE_TAKES_BLOCK | SIEVE_IS_BRANCH | SIEVE_CONTINUES, .run = sieve_run_if },
	{ .name = "stop", .run = run_stop },
	{ .name = "keep", .needs = SIEVE_HAS_KEEP, .run = run_keep },
	{ .name = "discard", .needs = SIEVE_HAS_DISCARD, .run = run_discard },
	{ .name = "redirect", .needs = SIEVE_HAS_REDIRECT, .run = run_redirect,
	    .params = (const struct sieve_param[]){ { "address", SIEVE_STRING, 0 }, { 0 } } },
	{ 0 },
};

const struct sieve_tag sieve_tag_comparator = { .name = ":comparator", .type = SIEVE_STRING, .flags = SIEVE_TAG_CONSTANT };

const struct sieve_extension ext_base = {
	.commands = commands,
	.comparators = sieve_comparators,
	.matches = sieve_matches,
};
