/*
 * sieve_run.c: one run of one section: the walk over the tree, its limits and its failures.
 */
#include "sieve/sieve_private.h"

#include <errno.h>
#include <stdarg.h>

void *sieve_host_run(const struct sieve_run *r) { return r->params->host_run; }
struct mail *sieve_mail(const struct sieve_run *r) { return r->params->mail; }
struct arena *sieve_arena(const struct sieve_run *r) { return r->params->arena; }
struct arena *sieve_scratch(struct sieve_run *r) { return &r->scratch; }
void sieve_cancel_keep(struct sieve_run *r) { r->keep = false; }
const struct sieve_node *sieve_branch(const struct sieve_node *n) { return n->branch; }

int sieve_fail(struct sieve_run *r, const struct sieve_node *n, int error, const char *fmt, ...)
{
	r->err->n = r->err_start;       /* of two failures the later one counts: the first was forgiven */
	buf_printf(r->err, "%s:%u:%u: ", r->params->script->file, n->pos.line, n->pos.column);
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(r->err, fmt, ap);
	va_end(ap);
	return error;
}

int sieve_step(struct sieve_run *r, const struct sieve_node *n, size_t work)
{
	r->steps += work;
	if (r->steps <= SIEVE_STEPS_MAX)
		return 0;
	return sieve_fail(r, n, -E2BIG, "the script did more than %d steps", SIEVE_STEPS_MAX);
}

static bool skipped(const struct sieve_run *r, const struct sieve_node *branch)
{
	for (unsigned i = 0; i < r->params->skip_count; i++)
		if (r->params->skip[i] == branch)
			return true;
	return false;
}

TASK_FN int sieve_block(struct sieve_run *r, const struct sieve_node *first)
{
	int result = 0;
	for (const struct sieve_node *n = first; n && !result; n = n->next) {
		result = sieve_step(r, n, 1);
		if (!result)
			result = n->def->run(r, n);
	}
	return result;
}

TASK_FN int sieve_test(struct sieve_run *r, const struct sieve_node *test, bool *ret)
{
	int result = sieve_step(r, test, 1);
	if (!result)
		result = test->def->test(r, test, ret);
	if (result == -EREMOTEIO && test->lenient) {
		r->err->n = r->err_start;
		*ret = false;
		return 0;
	}
	return result;
}

/* if, elsif, else: the first branch that holds.  Its own function in the table of commands, but it belongs to the walk. */
TASK_FN int sieve_run_if(struct sieve_run *r, const struct sieve_node *n)
{
	for (const struct sieve_node *b = n; b; b = b->otherwise) {
		bool holds = !skipped(r, b);
		if (holds && b->tests) {
			int result = sieve_test(r, b->tests, &holds);
			if (result)
				return result;
		}
		if (holds)
			return sieve_block(r, b->block);
	}
	return 0;
}

TASK_FN int sieve_run(const struct sieve_run_params *p, struct sieve_outcome *ret, struct buf *err)
{
	struct sieve_run r = { .params = p, .err = err, .err_start = err->n, .keep = true };
	int result = sieve_block(&r, p->script->sections[p->section]);
	arena_fini(&r.scratch);
	if (result < 0)
		return result;
	*ret = (struct sieve_outcome){ .implicit_keep = r.keep, .stopped = result == SIEVE_STOP };
	return 0;
}
