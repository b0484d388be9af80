/*
 * module.c: what a module has of its own, where the program has something larger.
 */
#include "lib/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *file, int line, const char *claim)
{
	fprintf(stderr, "level=error event=assert file=%s line=%d claim=\"%s\"\n", file, line, claim);
	abort();
}
