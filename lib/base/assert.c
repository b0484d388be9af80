/*
 * assert.c: the end of a process that found itself wrong.
 */
#include "lib/base/assert.h"

#include "lib/base/log.h"

#include <stdlib.h>

void assert_failed(const char *file, int line, const char *claim)
{
	log_error("assert", "%s:%d: %s", file, line, claim);
	abort();
}
