/*
 * sieve_extensions.c: what the engine speaks.
 */
#include "sieve/sieve_extensions.h"

/* Comparators that are always there may be required all the same (RFC 5228 section 2.7.3). */
static const struct sieve_extension octet = { .name = "comparator-i;octet" };
static const struct sieve_extension casemap = { .name = "comparator-i;ascii-casemap" };

const struct sieve_extension *const sieve_extensions[] = {
	&ext_base, &ext_tests, &octet, &casemap, &ext_numeric, &ext_encoded_character, &ext_editheader, &ext_envelope, &ext_ereject,
	&ext_extlists, &ext_relational, &ext_variables, NULL,
};
