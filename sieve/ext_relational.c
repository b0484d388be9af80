/*
 * ext_relational.c: :count and :value (RFC 5231), and the comparator they are for, i;ascii-numeric (RFC 4790 section 9.1).
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

/* ---- i;ascii-numeric ---- */

/* The digits at the beginning, without zeros before them; p == NULL: there are none, which is positive infinity. */
static struct bytes digits(struct bytes b)
{
	size_t n = 0, zeros = 0;
	while (n < b.n && b.p[n] >= '0' && b.p[n] <= '9')
		n++;
	if (!n)
		return bytes_of(NULL);
	while (zeros + 1 < n && b.p[zeros] == '0')
		zeros++;
	return bytes_make(b.p + zeros, n - zeros);
}

static int compare_numeric(struct bytes a, struct bytes b)
{
	struct bytes x = digits(a), y = digits(b);
	if (!x.p || !y.p)
		return !x.p - !y.p;
	return x.n != y.n ? (x.n < y.n ? -1 : 1) : bytes_cmp(x, y);
}

const struct sieve_extension ext_numeric = {
	.name = "comparator-i;ascii-numeric",
	.comparators = (const struct sieve_comparator[]){
	    { .name = "i;ascii-numeric", .can = SIEVE_CAN_EQUAL | SIEVE_CAN_ORDER, .compare = compare_numeric }, { 0 } },
};

/* ---- :count :value ---- */

/* Which outcomes of a comparison are true: bit 0 for less, 1 for equal, 2 for greater. */
struct relation {
	const char *name;
	unsigned holds;
};
static const struct relation relations[] = { { "gt", 4 }, { "ge", 6 }, { "lt", 1 }, { "le", 3 }, { "eq", 2 }, { "ne", 5 } };

static int check_relation(struct sieve_compiler *c, struct sieve_node *n, const struct sieve_value *argument, const struct sieve_value *keys)
{
	(void)keys;
	struct bytes word = argument->strings->text;
	for (size_t i = 0; i < sizeof relations / sizeof *relations; i++) {
		if (bytes_case_eq(word, bytes_of(relations[i].name))) {
			n->match_data = &relations[i];
			return 0;
		}
	}
	return sieve_complain(c, argument->pos, "\"%.*s\" is no relation: gt ge lt le eq ne are", BYTES_ARG(bytes_first(word, 60)));
}

TASK_FN static int match_relation(struct sieve_matching *m, struct bytes value, struct bytes key)
{
	const struct relation *relation = m->node->match_data;
	int order = m->node->comparator->compare(value, key);
	return relation->holds >> (order < 0 ? 0 : order == 0 ? 1 : 2) & 1;
}

const struct sieve_extension ext_relational = {
	.name = "relational",
	.matches = (const struct sieve_match_type[]){
	    { .tag = ":count", .needs = SIEVE_CAN_ORDER, .counts = true, .takes = SIEVE_STRING, .check = check_relation, .match = match_relation },
	    { .tag = ":value", .needs = SIEVE_CAN_ORDER, .takes = SIEVE_STRING, .check = check_relation, .match = match_relation },
	    { 0 } },
};
