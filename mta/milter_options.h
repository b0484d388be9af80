/*
 * milter_options.h: the command line of gatepost milter-test.
 */
#ifndef GATEPOST_MTA_MILTER_OPTIONS_H
#define GATEPOST_MTA_MILTER_OPTIONS_H

#include "lib/run/tls.h"
#include "milter/milter.h"
#include "mta/command.h"

struct milter_test {
	struct arena arena;
	const char *config_file;
	const char *target;             /* a socket, or a name */
	/* the session */
	const char *from, *helo, *auth, *client, *client_name;
	const char **to, **headers;     /* NULL at the end */
	unsigned to_count, header_count;
	const char *body, *eml, *dialogue;
	struct tls_info tls;
	/* the milter, when it is named by its socket */
	struct milter_params params;
	bool params_given;              /* other than a timeout */
	/* what becomes of it */
	const char *record, *replay, *output;
	bool full;
	int64_t timeout;
};

/* Fills in an all-zero T; what it holds is valid as long as L.  An exit code, and what is wrong has been printed; or -1: there is nothing more
 * to do. */
int milter_options_read(struct milter_test *t, const struct command_line *l);
void milter_options_fini(struct milter_test *t);
/* Is TARGET a socket, not a name? */
bool milter_options_socket(const char *target);

#endif
