/*
 * policyd_codec.h: the policy delegation protocol, bytes and structs; no I/O.
 */
#ifndef GATEPOST_POLICYD_POLICYD_CODEC_H
#define GATEPOST_POLICYD_POLICYD_CODEC_H

#include "lib/base/buf.h"
#include "lib/smtp/address.h"

struct policyd_extra;
/* A question.  Strings and addresses may be NULL: sent empty. */
struct policyd_request {
	const char *protocol_state, *protocol_name;
	const char *client_address, *client_name;
	unsigned client_port;                   /* 0: not known, sent as Postfix does; so are the others called port */
	const char *reverse_client_name;
	const char *server_address;
	unsigned server_port;
	const char *helo_name;
	const struct smtp_address *sender, *recipient;
	unsigned recipient_count;
	const char *queue_id, *instance;
	uint64_t size;
	const char *etrn_domain, *stress;
	const char *sasl_method, *sasl_username;
	struct bytes sasl_sender;
	const char *ccert_subject, *ccert_issuer;       /* sent as xtext */
	const char *ccert_fingerprint, *ccert_pubkey_fingerprint;
	const char *encryption_protocol, *encryption_cipher;
	unsigned encryption_keysize;
	const char *tls_sni;
	const char *policy_context, *compatibility_level, *mail_version;
	const struct policyd_extra *extras;     /* behind all of Postfix's; NULL: none */
};
/* An attribute of our own: what Postfix does not tell. */
struct policyd_extra {
	const char *name;
	struct bytes value;
	const struct policyd_extra *next;
};

/* Appends the question to TO, its final empty line included. */
void policyd_codec_request(const struct policyd_request *r, struct buf *to);

/* An answer that arrives line by line; all-zero at first. */
struct policyd_reply {
	struct buf action;      /* value of the first "action" attribute */
	bool found;
	size_t bytes;           /* read so far */
};
enum { POLICYD_REPLY_MAX = 65536 };     /* bytes of one answer; also the longest line worth waiting for */

/* The next line, without its line end (CRLF: which was CR LF).  1: the answer is complete; 0: more must follow; -EPROTO: this is no
 * answer, -EMSGSIZE: it is too long; *RET_WHY then says what is wrong. */
int policyd_codec_reply_line(struct policyd_reply *r, struct bytes line, bool crlf, const char **ret_why)
    __attribute__((warn_unused_result));
void policyd_reply_fini(struct policyd_reply *r);

#endif
