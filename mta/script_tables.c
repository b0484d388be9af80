/*
 * script_tables.c: lookup asks a table for a value.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"
#include "tcp_table/address_list.h"

#include <errno.h>

/* Which keys are tried, by the name of what Postfix would ask the table for. */
static const struct sieve_tag lookup_tags[] = {
	{ .name = ":as", .type = SIEVE_STRING, .flags = SIEVE_TAG_CONSTANT },
	{ .name = ":local" },
	{ .name = ":virtual", .group = "use" },
	{ .name = ":canonical", .group = "use" },
	{ .name = ":recipient", .group = "use" },
	{ .name = ":aliases", .group = "use" },
	{ .name = ":transport", .group = "use" },
	{ .name = ":subdomain", .group = "use" },
	{ .name = ":address", .group = "use" },
	{ .name = ":host", .group = "use" },
	{ 0 },
};
static const struct lookup_use {
	const char *tag;
	enum table_use use;
	enum table_use local;           /* with :local; TABLE_WHOLE: makes no sense */
} uses[] = {
	{ ":virtual", TABLE_ADDRESS | TABLE_MAP, TABLE_RECIPIENT | TABLE_MAP },
	{ ":canonical", TABLE_ADDRESS | TABLE_MAP, TABLE_RECIPIENT | TABLE_MAP },
	{ ":recipient", TABLE_ADDRESS, TABLE_RECIPIENT },
	{ ":aliases", TABLE_ALIAS, TABLE_WHOLE },
	{ ":transport", TABLE_TRANSPORT, TABLE_WHOLE },
	{ ":subdomain", TABLE_DOMAIN, TABLE_WHOLE },
	{ ":address", TABLE_ACCESS_ADDRESS, TABLE_WHOLE },
	{ ":host", TABLE_ACCESS_HOST, TABLE_WHOLE },
};
/* As Postfix's cleanup(8) maps a canonical address: what was found is asked for again, so often. */
enum { CANONICAL_MAX = 10 };

/* ":lenient": false when the table gives no answer; also for other tests that may have to ask one (:list). */
static const struct sieve_tag lenient_tags[] = { { .name = ":lenient", .flags = SIEVE_TAG_LENIENT | SIEVE_TAG_TESTS }, { 0 } };

struct lookup {
	struct table *table;
	enum table_use use;
	bool canonical;
	bool as;
	struct sieve_variable variable;
};

static int check_use(struct sieve_compiler *c, const struct sieve_node *n, struct lookup *l)
{
	bool local = sieve_tag_named(n, ":local");
	l->use = TABLE_WHOLE;
	l->canonical = sieve_tag_named(n, ":canonical");
	for (unsigned i = 0; i < COUNT_OF(uses); i++)
		if (sieve_tag_named(n, uses[i].tag))
			l->use = local ? uses[i].local : uses[i].use;
	if (local && l->use == TABLE_WHOLE)
		return sieve_complain(c, n->pos, "\":local\" makes sense only beside :virtual, :canonical or :recipient");
	return 0;
}

static int check_lookup(struct sieve_compiler *c, struct sieve_node *n)
{
	struct lookup *l = ARENA_NEW(sieve_compiler_arena(c), struct lookup);
	const struct sieve_value *as = sieve_tag_find(n, &lookup_tags[0]);
	int r = script_find_table(c, n->args[0].strings, &l->table);
	if (check_use(c, n, l) < 0)
		r = -EINVAL;
	if (as) {
		int named = sieve_compiler_variable(c, as->strings, &l->variable);
		r = r ? r : named;
		l->as = true;
	}
	n->data = l;
	return r;
}

/* VALUE's first address. */
static struct bytes first_address(struct sieve_run *r, struct bytes value)
{
	struct address_list list;
	struct address_item item = { 0 };
	address_list_init(&list, value, false);
	struct bytes first = address_list_next(&list, &item) ? arena_bytes(sieve_scratch(r), item.address) : BYTES("");
	address_list_fini(&list);
	return first;
}

/* A canonical address is asked for again, until the table does not have it, or has it for itself.  Of several the first counts. */
TASK_FN static int find_canonical(struct sieve_run *r, const struct sieve_node *n, struct bytes key, struct buf *ret)
{
	const struct lookup *l = n->data;
	struct bytes from = key;
	for (unsigned count = 0; count < CANONICAL_MAX; count++) {
		struct buf value = { 0 };
		int found = script_table_find(r, n, l->table, l->use, key, &value);
		struct bytes next = first_address(r, buf_bytes(&value));
		buf_fini(&value);
		if (found < 0)
			return found;
		bool last = !found || bytes_case_eq(next, key);
		if (found)
			key = next;
		if (last) {
			buf_add(ret, key);
			return count || found;
		}
	}
	return sieve_fail(r, n, -ELOOP, "table \"%s\" has no end of addresses for <%.*s>", table_name(l->table), BYTES_ARG(from));
}

TASK_FN static int find_key(struct sieve_run *r, const struct sieve_node *n, struct bytes key, struct buf *ret)
{
	const struct lookup *l = n->data;
	return l->canonical ? find_canonical(r, n, key, ret) : script_table_find(r, n, l->table, l->use, key, ret);
}

/* The value of the first key that the table has.  1, 0 or -errno. */
TASK_FN static int find(struct sieve_run *r, const struct sieve_node *n, struct bytes *ret)
{
	struct buf value = { 0 };
	int found = 0;
	for (unsigned i = 0; i < n->args[1].count && !found; i++) {
		struct bytes key;
		found = sieve_string_get(r, n, &n->args[1].strings[i], &key);
		if (!found)
			found = find_key(r, n, key, &value);
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
