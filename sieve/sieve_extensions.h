/*
 * sieve_extensions.h: the extensions of the engine, one file each.
 */
#ifndef GATEPOST_SIEVE_EXTENSIONS_H
#define GATEPOST_SIEVE_EXTENSIONS_H

#include "sieve/sieve_private.h"

extern const struct sieve_extension ext_base, ext_tests, ext_numeric, ext_encoded_character, ext_editheader, ext_envelope, ext_ereject,
    ext_extlists, ext_relational, ext_variables;

#endif
