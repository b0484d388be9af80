/*
 * ext_ereject.c: refuses the message during the SMTP conversation (RFC 5429 section 2.1).
 */
#include "sieve/sieve_extensions.h"

TASK_FN static int run_ereject(struct sieve_run *r, const struct sieve_node *n)
{
	const struct sieve_host *h = r->params->script->host;
	struct bytes text;
	int result = sieve_string_get(r, n, n->args[0].strings, &text);
	if (result)
		return result;
	sieve_cancel_keep(r);
	return h->reject ? h->reject(r, n, text) : SIEVE_STOP;
}

const struct sieve_extension ext_ereject = {
	.name = "ereject",
	.commands = (const struct sieve_command[]){
	    { .name = "ereject", .needs = SIEVE_HAS_REJECT, .run = run_ereject,
		.params = (const struct sieve_param[]){ { "text", SIEVE_STRING, 0 }, { 0 } } },
	    { 0 } },
};
