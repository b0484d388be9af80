/*
 * milter.h: a gate that is a milter (Sendmail's content filter protocol, versions 2 to 6).
 */
#ifndef GATEPOST_MILTER_MILTER_H
#define GATEPOST_MILTER_MILTER_H

#include "lib/gate/gate.h"

/* Which macros a milter is given, and when.  FULL: every macro at every stage from which on it is known.  POSTFIX: exactly Postfix's
 * (`i` only from the second recipient on, macros before every header and body chunk...).  SENDMAIL: Sendmail's lists. */
enum milter_compat { MILTER_COMPAT_FULL, MILTER_COMPAT_POSTFIX, MILTER_COMPAT_SENDMAIL };
int milter_compat_parse(struct bytes word, enum milter_compat *ret) __attribute__((warn_unused_result));

/* The stages of macro lists, numbered as in SMFIR_SETSYMLIST; headers use EOH's list, body chunks EOM's.  UNKNOWN has none there. */
enum milter_macro_stage {
	MILTER_MACROS_CONNECT, MILTER_MACROS_HELO, MILTER_MACROS_MAIL, MILTER_MACROS_RCPT, MILTER_MACROS_DATA, MILTER_MACROS_EOM,
	MILTER_MACROS_EOH, MILTER_MACROS_UNKNOWN, MILTER_MACRO_STAGES
};
/* "connect helo mail rcpt data eom eoh unknown" */
int milter_macro_stage_parse(struct bytes word, enum milter_macro_stage *ret) __attribute__((warn_unused_result));

/* What gatepost.conf says of a milter.  Zero means the default, so that {0} with a name and a socket is a milter. */
struct milter_params {
	const char *name;                       /* must outlive the gate */
	const char *const *sockets;             /* "inet:host:port", "unix:/path"; of those that are up the least busy is used */
	unsigned socket_count;                  /* 1 to 64 */
	int64_t connect_timeout;                /* ns to connect, and for TLS: 30 s */
	int64_t command_timeout;                /* ns for each reply before the content: 30 s */
	int64_t content_timeout;                /* ns for each reply to content; progress replies restart it: 300 s */
	unsigned protocol;                      /* most to offer, 2 to 6; default 6 */
	enum milter_compat compat;
	const char *macros[MILTER_MACRO_STAGES];        /* "j {daemon_name}", "" for none; NULL: compat's list */
	size_t data_max;                        /* bytes of a header field it can be shown; default 65535, all that libmilter takes */
	size_t reply_max;                       /* bytes of the longest reply taken; default 1 MiB + 64 KiB */
	int keep;                               /* connections of each socket that are kept for the next session (compat FULL); default 10; -1: none */
	int64_t idle;                           /* ns that one is kept unused: 60 s */
	enum milter_tls { MILTER_TLS_NONE, MILTER_TLS_ENCRYPT, MILTER_TLS_VERIFY } tls;
	const char *tls_ca;                     /* PEM; NULL: the system's */
	const char *tls_name;                   /* in its certificate; NULL: the socket's host */
	const char *tls_certificate, *tls_key;  /* ours, PEM; NULL: none */
	const unsigned *peer_uids;              /* who may have opened a unix socket; none: anybody */
	unsigned peer_uid_count;
};

/* Fills in *RET: ops, name, config, a total timeout of twice the content timeout, the default action for every fault (tempfail); the caller then overrides
 * what the configuration overrides.  -EINVAL: a sentence in ERR. */
int milter_configure(const struct milter_params *p, struct gate *ret, struct buf *err) __attribute__((warn_unused_result));
/* Frees what milter_configure() made, now or when checks of its sockets that are under way have ended; no session uses it any more. */
void milter_unconfigure(struct gate *g);

extern const struct gate_ops milter_ops;

#endif
