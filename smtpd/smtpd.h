/*
 * smtpd.h: the SMTP and LMTP server.
 *
 * One struct smtpd per process holds all its sessions.  A session that waits for its client has no task and no
 * stack: it is parked in the loop; when input arrives a task runs verbs until the input is used up.  What is
 * decided about mail is asked of the listener's script (script.h) and of the gates the script attached
 * (lib/gate).
 */
#ifndef GATEPOST_SMTPD_SMTPD_H
#define GATEPOST_SMTPD_SMTPD_H

#include "lib/smtp/data.h"
#include "smtpd/script.h"

enum smtpd_tls { SMTPD_TLS_NONE, SMTPD_TLS_OFFER, SMTPD_TLS_REQUIRE };
/* What VRFY is answered: 252 to everybody; what RCPT would be; that it is disabled. */
enum smtpd_vrfy_mode { SMTPD_VRFY_ANY, SMTPD_VRFY_ASK, SMTPD_VRFY_REFUSE };

/* One listener.  Constant while sessions use it.  smtpd_config_defaults() gives an all-zero one its defaults; the first group has none. */
struct smtpd_config {
	const char *name;               /* in logs, and env.listener */
	const char *hostname;           /* ours: greeting, Received, EHLO */
	const char *banner;             /* behind the host name in the greeting; default "ESMTP gatepost" (LMTP: "LMTP gatepost") */
	const char *spool;              /* folder for bodies over memory_max, and of the hold area; NULL for a trial: bodies stay in memory, and a message to
	                                 * be held is answered as if it were */
	struct smtpd_script script;

	bool lmtp;                      /* LHLO, and a reply for each recipient after the dot (RFC 2033) */
	struct tls_context *tls;        /* NULL: none */
	enum smtpd_tls tls_mode;
	const struct net_cidr *xclient; /* clients that may use XCLIENT */
	unsigned xclient_count;
	bool client_names;              /* look the client's name up; default true */
	enum smtpd_vrfy_mode vrfy;      /* REFUSE: [disable_vrfy_command] */

	/* limits; in brackets the Postfix parameter with the same meaning */
	enum smtp_bare bare_newline;    /* [smtpd_forbid_bare_newline] default SMTP_BARE_REJECT */
	uint64_t size_max;              /* [message_size_limit] default 50 MiB; 0: none */
	size_t header_max;              /* bytes of all header fields; default 1 MiB; 0: none */
	size_t memory_max;              /* body bytes kept in memory; default 128 KiB */
	size_t line_max;                /* [line_length_limit] bytes of a command line; default 2048 */
	unsigned rcpt_max;              /* [smtpd_recipient_limit] default 1000 */
	unsigned hops_max;              /* [hopcount_limit] Received fields; default 50; 0: no limit */
	unsigned soft_errors;           /* [smtpd_soft_error_limit] from here on every reply is late by error_delay; default 10 */
	unsigned hard_errors;           /* [smtpd_hard_error_limit] 421 and close; default 20 */
	unsigned junk_max;              /* [smtpd_junk_command_limit] NOOP, RSET, ... without a message; default 100 */
	int64_t error_delay;            /* [smtpd_error_sleep_time] ns; default 1 s */
	int64_t command_timeout;        /* [smtpd_timeout] ns for a command to come, or a reply to go; default 300 s */
	int64_t data_timeout;           /* ns for the next piece of content; default 180 s */
	unsigned data_rate_min;         /* [smtpd_min_data_rate] bytes/s: every byte of content buys time, up to data_timeout; default 500 */
	int64_t delivery_deadline;      /* ns from the end of the content until we decide; default 240 s */
};
void smtpd_config_defaults(struct smtpd_config *c);

/* Where a process counts; may be in memory shared with the master. */
struct smtpd_counters {
	uint64_t sessions;              /* taken */
	uint64_t sessions_refused;      /* over the limit */
	uint64_t live;                  /* now */
	uint64_t accepted, refused, deferred, discarded, held;  /* messages, by the reply to their content */
	uint64_t bytes;                 /* of content */
};

/* All sessions of one process. */
struct smtpd;
struct smtpd_params {
	unsigned sessions_max;          /* over it: 421 and close; 0: no limit */
	struct smtpd_counters *counters;        /* NULL: the server keeps its own */
};
/* After run_init(). */
struct smtpd *smtpd_new(const struct smtpd_params *p);
/* No session may be left. */
void smtpd_free(struct smtpd **srv);

/* A new connection: takes FD over.  Called from the loop (a listener's callback). */
void smtpd_accept(struct smtpd *srv, const struct smtpd_config *config, int fd, const struct net_addr *peer);

unsigned smtpd_live(const struct smtpd *srv);
const struct smtpd_counters *smtpd_counters(const struct smtpd *srv);

/* Who still connects is told 421; the sessions there are go on to their end.  EMPTY as below. */
void smtpd_retire(struct smtpd *srv, void (*empty)(void *arg), void *arg);
/* SIGTERM: sessions without a transaction are told 421 4.3.2 and closed, the others when their transaction has ended.
 * EMPTY(arg) is called from the loop or a task, once, when no session is left (perhaps at once); it must not free
 * SRV. Who still connects is told 421. */
void smtpd_drain(struct smtpd *srv, void (*empty)(void *arg), void *arg);
/* Ends every session where it stands: waits return -ECANCELED, clients are told 421 if that does not block. */
void smtpd_cancel(struct smtpd *srv);

#endif
