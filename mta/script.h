/*
 * script.h: Sieve scripts that decide what happens to mail (gatepost-sieve(7)): the engine of sieve/ bound to gates, tables and
 * next hops as the extension "vnd.gatepost.mta".
 */
#ifndef GATEPOST_MTA_SCRIPT_H
#define GATEPOST_MTA_SCRIPT_H

#include "delivery/delivery.h"
#include "lib/gate/gate.h"
#include "smtpd/script.h"
#include "tcp_table/table.h"

struct script;

enum script_name_kind { SCRIPT_GATE, SCRIPT_TABLE, SCRIPT_NEXT_HOP };

/* How a script's names find what gatepost.conf defines: NULL when there is no such thing.  What is returned must outlive the script. */
struct script_names {
	const struct gate *(*gate)(void *arg, struct bytes name);
	struct table *(*table)(void *arg, struct bytes name);
	const struct next_hop *(*next_hop)(void *arg, struct bytes name);
	/* The Ith name of a kind, NULL at the end: for "did you mean".  May be NULL itself. */
	const char *(*candidate)(void *arg, enum script_name_kind kind, unsigned i);
	/* Do refusals that come out of this table say what Postfix's would?  May be NULL: no. */
	bool (*as_postfix)(void *arg, struct bytes table);
	/* Where access(5)'s FILTER sends a message: kept with ARG by the script, and called while it runs.  NULL with a sentence in ERR: nowhere.  May
	 * itself be NULL. */
	const struct next_hop *(*filter)(void *arg, struct bytes destination, struct buf *err);
	void *arg;
};

/* 0, or -EINVAL with lines "file:line:column: sentence" appended to ERR.  NAMES is not kept, but for what it says of filter.  Not in a task. */
int script_compile(struct bytes source, const char *file, const struct script_names *names, struct script **ret, struct buf *err)
	__attribute__((warn_unused_result));
void script_free(struct script **s);

/* For struct smtpd_script: { &script_ops, a struct script }. */
extern const struct smtpd_script_ops script_ops;

/* Plays a stranger who sends to strangers through the script, with gates that say "go on" and tables that know nothing, without any
 * network.  0, or -EACCES when the script would deliver that: it is an open relay, and a sentence in ERR says how.  HOSTNAME is ours.
 * In a task. */
TASK_FN int script_probe_relay(const struct script *s, const char *hostname, struct buf *err) __attribute__((warn_unused_result));

#endif
