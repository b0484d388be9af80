/*
 * script_tables.c: lookup asks a table for a value.
 */
#include "mta/script_private.h"

#include <errno.h>

/* ":lenient": false when the table gives no answer; also for other tests that may have to ask one (:list). */
static const struct sieve_tag lookup_tags[] = { { .name = ":as", .type = SIEVE_STRING, .flags = SIEVE_TAG_CONSTANT }, { 0 } };
static const struct sieve_tag lenient_tags[] = { { .name = ":lenient", .flags = SIEVE_TAG_LENIENT | SIEVE_TAG_TESTS }, { 0 } };

struct lookup {
	struct table *table;
	bool as;
	struct sieve_variable variable;
};

static int check_lookup(struct sieve_compiler *c, struct sieve_node *n)
{
	struct lookup *l = ARENA_NEW(sieve_compiler_arena(c), struct lookup);
	const struct sieve_value *as = sieve_tag_find(n, &lookup_tags[0]);
	int r = script_find_table(c, n->args[0].strings, &l->table);
	if (as) {
		int named = sieve_compiler_variable(c, as->strings, &l->variable);
		r = r ? r : named;
		l->as = true;
	}
	n->data = l;
	return r;
}

/* The value of the first key that the table has.  1, 0 or -errno. */
TASK_FN static int find(struct sieve_run *r, const struct sieve_node *n, struct bytes *ret)
{
	const struct lookup *l = n->data;
	struct buf value = { 0 };
	int found = 0;
	for (unsigned i = 0; i < n->args[1].count && !found; i++) {
		struct bytes key;
		found = sieve_string_get(r, n, &n->args[1].strings[i], &key);
		if (!found)
			found = script_table_get(r, n, l->table, key, &value);
	}
	if (found > 0)
		*ret = arena_bytes(sieve_scratch(r), buf_bytes(&value));
	buf_fini(&value);
	return found;
}

TASK_FN static int test_lookup(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	const struct lookup *l = n->data;
	struct bytes value;
	struct sieve_matching m;
	int found = find(r, n, &value);
	if (found > 0 && n->args[2].type != SIEVE_NONE) {
		found = sieve_matching_begin(&m, r, n, &n->args[2]);
		if (!found)
			found = sieve_matching_value(&m, value);
		found = sieve_matching_end(&m, found);
	}
	*ret = found > 0;
	if (found > 0 && l->as)
		found = sieve_variable_set(r, n, &l->variable, value);
	return found < 0 ? found : 0;
}

const struct sieve_extension script_ext_tables = {
	.name = SCRIPT_EXTENSION,
	.tags = lenient_tags,
	.tests = (const struct sieve_command[]){
	    { .name = "lookup", .takes = SIEVE_TAKES_MATCH, .tags = lookup_tags, .check = check_lookup, .test = test_lookup,
		.params = (const struct sieve_param[]){ { "table", SIEVE_STRING, SIEVE_PARAM_CONSTANT }, { "keys", SIEVE_STRINGS, 0 },
		    { "values", SIEVE_STRINGS, SIEVE_PARAM_OPTIONAL | SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};
