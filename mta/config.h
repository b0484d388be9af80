/*
 * config.h: gatepost.conf, read: what exists on this machine (gatepost.conf(5)).
 *
 * A struct config is constant once it has been read; each generation of workers has one of its own.  The names that scripts
 * use (gates, tables, next hops) are resolved when a script is compiled, by the three lookups below.
 */
#ifndef GATEPOST_MTA_CONFIG_H
#define GATEPOST_MTA_CONFIG_H

#include "lib/base/arena.h"
#include "lib/base/log.h"
#include "lib/base/strmap.h"
#include "lib/dns/dns.h"
#include "lib/run/process.h"
#include "smtpd/smtpd.h"

#include <sys/types.h>

struct gate;
struct next_hop;
struct script;
struct table;
struct tls_context;

/* One address of a listener, as it was written and as it is bound. */
struct config_address {
	const char *text;               /* "127.0.0.1:25" */
	struct net_addr addr;
	int line;                       /* in the file, for messages */
};
struct config_listener {
	const char *name;
	int line;
	struct config_address *addresses;
	unsigned address_count;
	const char *script_file;
	struct script *script;          /* compiled */
	struct smtpd_config smtpd;      /* what smtpd_accept() is told */
};

/* Something that has to be given back when a config ends. */
struct config_release {
	void (*fn)(void *what);
	void *what;
	struct config_release *next;
};

struct config {
	const char *file, *folder;      /* as named on the command line; where it lies */
	const char *hostname;
	const char *spool;              /* message bodies too large for memory, the lock of the running server */
	const char *user;               /* workers become this user; NULL: they stay who we are */
	uid_t uid;
	gid_t gid;
	const char *log_target;         /* as for log_open() */
	enum log_level log_level;
	unsigned workers;               /* at least 1 */
	unsigned sessions_max;          /* per worker; 0: no limit */
	struct dns_config dns;
	const char *journal_folder;     /* of messages whose client may not know that they were delivered; NULL: none */
	int64_t journal_window;         /* ns; 0: the default */
	struct tls_context *tls;        /* ours as a server; NULL: no certificate was named */
	struct config_listener *listeners;
	unsigned listener_count;
	struct strmap gates, tables, next_hops;         /* of struct gate, table, next_hop */
	struct strmap postfix_tables;   /* of table: those whose refusals say what Postfix's would */
	struct strmap *filters;         /* of struct next_hop: what FILTER has named in this process (mta/filter_hop.c) */
	struct process_command *commands;               /* what the spawner may be asked for, by number */
	unsigned command_count;
	struct config_release *releases;                /* the last one first */
	struct arena arena;             /* everything above */
};

/* Reads FILE with all it names: certificates, tables, scripts.  Each script is compiled and must pass the relay probe.  -ENOENT...: the
 * file itself cannot be read; -EINVAL: something in it is wrong.  ERR then has "FILE:LINE: sentence" lines, or "FILE: sentence" where no
 * line is to blame.  Not in a task, and with no loop: it makes its own.  The log is opened as the config says, last. */
int config_read(const char *file, struct config **ret, struct buf *err) __attribute__((warn_unused_result));
void config_free(struct config **c);
/* FN(WHAT) is called when the config ends; what was added last goes first. */
void config_on_release(struct config *c, void (*fn)(void *what), void *what);

/* By name; NULL: there is none. */
const struct gate *config_gate(const struct config *c, struct bytes name);
struct table *config_table(const struct config *c, struct bytes name);
const struct next_hop *config_next_hop(const struct config *c, struct bytes name);

#endif
