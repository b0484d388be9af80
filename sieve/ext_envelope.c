/*
 * ext_envelope.c: the envelope test (RFC 5228 section 5.4).  Which parts there are is the host's business.
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

static int check_envelope(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_host *h = sieve_compiler_host(c);
	unsigned *ids = ARENA_ARRAY(sieve_compiler_arena(c), unsigned, n->args[0].count);
	for (unsigned i = 0; i < n->args[0].count; i++) {
		const struct sieve_string *s = &n->args[0].strings[i];
		unsigned needs = 0;
		if (!h->envelope_part || h->envelope_part(sieve_compiler_arg(c), s->text, &ids[i], &needs) < 0)
			return sieve_complain_unknown(c, s->pos, "envelope part", s->text);
		const char *what = arena_printf(sieve_compiler_arena(c), "the envelope part \"%.*s\"", BYTES_ARG(bytes_first(s->text, 60)));
		int r = sieve_compiler_needs(c, s->pos, needs, what);
		if (r)
			return r;
	}
	n->data = ids;
	return 0;
}

TASK_FN static int test_envelope(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	const struct sieve_host *h = r->params->script->host;
	const unsigned *ids = n->data;
	struct sieve_matching m;
	int found = sieve_matching_begin(&m, r, n, &n->args[1]);
	for (unsigned i = 0; i < n->args[0].count && !found; i++) {
		struct sieve_mailbox box = { 0 };
		for (unsigned k = 0; !found && h->envelope(r, ids[i], k, &box); k++)
			found = sieve_matching_value(&m, box.plain ? box.all : n->part->of(&box));
	}
	found = sieve_matching_end(&m, found);
	*ret = found > 0;
	return found < 0 ? found : 0;
}

const struct sieve_extension ext_envelope = {
	.name = "envelope",
	.tests = (const struct sieve_command[]){
	    { .name = "envelope", .takes = SIEVE_TAKES_MATCH | SIEVE_TAKES_PART, .needs = SIEVE_HAS_ENVELOPE, .check = check_envelope,
		.test = test_envelope,
		.params = (const struct sieve_param[]){ { "envelope parts", SIEVE_STRINGS, SIEVE_PARAM_CONSTANT },
		    { "keys", SIEVE_STRINGS, SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};
