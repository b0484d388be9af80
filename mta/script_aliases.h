/*
 * script_aliases.h: lists of destinations as in aliases(5), with the files they include.
 */
#ifndef GATEPOST_MTA_SCRIPT_ALIASES_H
#define GATEPOST_MTA_SCRIPT_ALIASES_H

#include "sieve/extend.h"

struct script_aliases {
	struct sieve_run *run;
	const struct sieve_node *node;
	/* Called for each address.  0, or -errno after sieve_fail(). */
	int (*add)(struct sieve_run *r, const struct sieve_node *n, struct bytes word);
	bool allowed;           /* ":include:/file" is read, and "/dev/null" is nobody */
	unsigned count;         /* addresses so far, nobody among them */
	unsigned files;         /* read so far */
	unsigned depth;         /* of files within each other, now */
};

/* Goes through LIST.  What is no address is read (":include:/file"), or refused by its name ("|command", "/file").  0, or -errno after sieve_fail().
 * Yields. */
TASK_FN int script_aliases_each(struct script_aliases *a, struct bytes list) __attribute__((warn_unused_result));

#endif
