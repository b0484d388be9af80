/*
 * script_variables.c: the variables env.X, auth.X, mail.X, rcpt.X and result.X, and those that keep what a script sets: session.X and
 * mail.x_X.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- values ---- */

typedef struct bytes getter(const struct script_run *s, struct arena *scratch);

#define SESSION_GETTER(name, expression)                                                                                \
	static struct bytes name(const struct script_run *s, struct arena *scratch)                                     \
	{                                                                                                               \
		const struct gate_session *session = s->io->session;                                                    \
		(void)scratch;                                                                                          \
		return bytes_of(expression);                                                                            \
	}
SESSION_GETTER(env_remote_ip, session->client_ip)
SESSION_GETTER(env_remote_name, session->client_name)
SESSION_GETTER(env_remote_ptr, session->client_ptr)
SESSION_GETTER(env_local_ip, session->server_ip)
SESSION_GETTER(env_helo, session->helo)
SESSION_GETTER(env_hostname, session->hostname)
SESSION_GETTER(env_listener, session->listener)
SESSION_GETTER(env_session, session->id)
SESSION_GETTER(env_tls_version, session->tls ? session->tls->protocol : NULL)
SESSION_GETTER(env_tls_cipher, session->tls ? session->tls->cipher : NULL)
SESSION_GETTER(env_tls_server_name, session->tls ? session->tls->server_name : NULL)
SESSION_GETTER(env_tls_subject, session->tls ? session->tls->peer_subject : NULL)
SESSION_GETTER(env_tls_issuer, session->tls ? session->tls->peer_issuer : NULL)
SESSION_GETTER(env_tls_fingerprint, session->tls ? session->tls->peer_fingerprint : NULL)
SESSION_GETTER(env_tls_bits, session->tls ? arena_printf(scratch, "%d", session->tls->cipher_bits) : NULL)
SESSION_GETTER(env_remote_port, session->client_port ? arena_printf(scratch, "%u", session->client_port) : NULL)
SESSION_GETTER(env_local_port, arena_printf(scratch, "%u", net_addr_port(&session->server)))
SESSION_GETTER(auth_user, session->auth_user)
SESSION_GETTER(auth_author, session->auth_author ? session->auth_author : session->auth_user)
SESSION_GETTER(auth_mech, session->auth_mechanism)

/* RFC 3848: the word behind "with" in Received. */
static struct bytes env_protocol(const struct script_run *s, struct arena *scratch)
{
	const struct gate_session *session = s->io->session;
	if (session->protocol == GATE_SMTP)
		return BYTES("SMTP");
	return bytes_of(arena_printf(scratch, "%s%s%s", session->protocol == GATE_LMTP ? "LMTP" : "ESMTP", session->tls ? "S" : "",
	    session->auth_mechanism ? "A" : ""));
}

static struct bytes mail_from(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return s->io->txn->sender.address.address;
}

static struct bytes mail_local(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return s->io->txn->sender.address.local;
}

static struct bytes mail_domain(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return s->io->txn->sender.address.domain;
}

static struct bytes mail_id(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return bytes_of(s->io->txn->id);
}

/* What was declared (RFC 1870), until it is known. */
static struct bytes mail_bytes(const struct script_run *s, struct arena *scratch)
{
	const struct gate_txn *t = s->io->txn;
	uint64_t size = t->mail && s->io->stage >= GATE_MESSAGE ? mail_received_size(t->mail) : t->sender.size;
	return bytes_of(arena_printf(scratch, "%llu", (unsigned long long)size));
}

static struct bytes mail_body(const struct script_run *s, struct arena *scratch)
{
	static const char *const names[] = { "7BIT", "8BITMIME", "BINARYMIME" };
	(void)scratch;
	return bytes_of(names[s->io->txn->sender.body]);
}

static struct bytes rcpt_to(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return script_route_rcpt(s)->address;
}

static struct bytes rcpt_local(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return script_route_rcpt(s)->local;
}

static struct bytes rcpt_domain(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return script_route_rcpt(s)->domain;
}

/* What the client named, before any redirect. */
static struct bytes rcpt_original(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return s->io->rcpt->path.address.address;
}

static struct bytes result_code(const struct script_run *s, struct arena *scratch)
{
	return s->io->result ? bytes_of(arena_printf(scratch, "%u", s->io->result->code)) : bytes_of("");
}

static struct bytes result_status(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return s->io->result ? bytes_of(s->io->result->enhanced) : bytes_of("");
}

static struct bytes result_text(const struct script_run *s, struct arena *scratch)
{
	(void)scratch;
	return s->io->result ? bytes_of(s->io->result->text) : bytes_of("");
}

/* Why it is held; empty: it is not, or could not be. */
static struct bytes result_held(const struct script_run *s, struct arena *scratch)
{
	const struct gate_txn *t = s->io->txn;
	(void)scratch;
	if (!t->held || !s->io->result || !smtp_reply_ok(s->io->result))
		return bytes_of("");
	return bytes_of(t->hold_reason && *t->hold_reason ? t->hold_reason : "held");
}

/* ---- the table ---- */

static const struct variable {
	const char *name;
	getter *get;
	unsigned needs, set_needs;      /* set_needs: 0, it cannot be set */
} variables[] = {
	{ "env.remote_ip", env_remote_ip, 0, 0 },
	{ "env.remote_name", env_remote_name, 0, 0 },
	{ "env.remote_ptr", env_remote_ptr, 0, 0 },
	{ "env.remote_port", env_remote_port, 0, 0 },
	{ "env.local_ip", env_local_ip, 0, 0 },
	{ "env.local_port", env_local_port, 0, 0 },
	{ "env.helo", env_helo, SCRIPT_HAS_HELO, 0 },
	{ "env.hostname", env_hostname, 0, 0 },
	{ "env.listener", env_listener, 0, 0 },
	{ "env.session", env_session, 0, 0 },
	{ "env.protocol", env_protocol, SCRIPT_HAS_HELO, 0 },
	{ "env.tls_version", env_tls_version, 0, 0 },
	{ "env.tls_cipher", env_tls_cipher, 0, 0 },
	{ "env.tls_bits", env_tls_bits, 0, 0 },
	{ "env.tls_server_name", env_tls_server_name, 0, 0 },
	{ "env.tls_subject", env_tls_subject, 0, 0 },
	{ "env.tls_issuer", env_tls_issuer, 0, 0 },
	{ "env.tls_fingerprint", env_tls_fingerprint, 0, 0 },
	{ "auth.user", auth_user, 0, 0 },
	{ "auth.author", auth_author, 0, 0 },
	{ "auth.mech", auth_mech, 0, 0 },
	{ "mail.from", mail_from, SCRIPT_HAS_SENDER, SCRIPT_HAS_EDIT_SENDER },
	{ "mail.local", mail_local, SCRIPT_HAS_SENDER, 0 },
	{ "mail.domain", mail_domain, SCRIPT_HAS_SENDER, 0 },
	{ "mail.size", mail_bytes, SCRIPT_HAS_SENDER, 0 },
	{ "mail.body", mail_body, SCRIPT_HAS_SENDER, 0 },
	{ "mail.id", mail_id, SCRIPT_HAS_SENDER, 0 },
	{ "rcpt.to", rcpt_to, SCRIPT_HAS_RCPT, SCRIPT_HAS_RCPT },
	{ "rcpt.local", rcpt_local, SCRIPT_HAS_RCPT, 0 },
	{ "rcpt.domain", rcpt_domain, SCRIPT_HAS_RCPT, 0 },
	{ "rcpt.original", rcpt_original, SCRIPT_HAS_RCPT, 0 },
	{ "result.code", result_code, SCRIPT_HAS_RESULT, 0 },
	{ "result.status", result_status, SCRIPT_HAS_RESULT, 0 },
	{ "result.text", result_text, SCRIPT_HAS_RESULT, 0 },
	{ "result.held", result_held, SCRIPT_HAS_RESULT, 0 },
};

/* Ids of what scripts keep: these bits and a slot. */
enum { ID_SESSION = 1 << 16, ID_MAIL = 1 << 17, ID_SLOT = (1 << 16) - 1 };

const char *script_variable_name(unsigned i)
{
	return i < COUNT_OF(variables) ? variables[i].name : NULL;
}

static int slot_variable(struct strmap *slots, struct arena *arena, struct bytes name, unsigned kind, struct sieve_host_variable *ret)
{
	unsigned *slot = strmap_get(slots, name);
	if (!slot && slots->n > ID_SLOT)
		return -ENOENT;
	if (!slot) {
		slot = ARENA_NEW(arena, unsigned);
		*slot = (unsigned)slots->n;
		strmap_set(slots, name, slot);
	}
	*ret = (struct sieve_host_variable){ .id = kind | *slot, .settable = true };
	return 0;
}

int script_variable(void *arg, struct bytes space, struct bytes name, struct sieve_host_variable *ret)
{
	struct script_compiling *c = arg;
	if (bytes_case_eq(space, BYTES("session")))
		return slot_variable(&c->session_slots, &c->arena, name, ID_SESSION, ret);
	if (bytes_case_eq(space, BYTES("mail")) && bytes_case_starts(name, BYTES("x_"))) {
		int r = slot_variable(&c->mail_slots, &c->arena, name, ID_MAIL, ret);
		ret->needs = SCRIPT_HAS_SENDER;
		return r;
	}
	for (unsigned i = 0; i < COUNT_OF(variables); i++) {
		struct bytes rest = bytes_of(variables[i].name), head = bytes_cut(&rest, '.');
		if (!bytes_case_eq(head, space) || !bytes_case_eq(rest, name))
			continue;
		*ret = (struct sieve_host_variable){ .id = i, .settable = variables[i].set_needs, .needs = variables[i].needs,
		    .set_needs = variables[i].set_needs };
		return 0;
	}
	return -ENOENT;
}

static struct buf *slot(struct script_state *st, unsigned id)
{
	return &st->slots[(id & ID_SLOT) + (id & ID_MAIL ? st->session_slots : 0)];
}

struct bytes script_variable_get(struct sieve_run *r, unsigned id)
{
	const struct script_run *s = script_of(r);
	if (!(id & (ID_SESSION | ID_MAIL))) {
		struct bytes value = variables[id].get(s, sieve_scratch(r));
		return value.p ? value : bytes_of("");
	}
	/* A later set changes the buffer: what was read stays. */
	struct script_state *st = script_state_get(s);
	return st ? arena_bytes(sieve_scratch(r), buf_bytes(slot(st, id))) : bytes_of("");
}

static int set_sender(struct sieve_run *r, const struct sieve_node *n, struct bytes value)
{
	struct gate_txn *t = script_of(r)->io->txn;
	struct smtp_address a = { .address = bytes_of(""), .local = bytes_of(""), .domain = bytes_of("") };
	if (value.n && smtp_address_parse(value, t->arena, &a) < 0)
		return sieve_fail(r, n, -EINVAL, "\"%.*s\" is no address", BYTES_ARG(bytes_first(value, 60)));
	t->sender.address = a;
	return 0;
}

int script_variable_set(struct sieve_run *r, const struct sieve_node *n, unsigned id, struct bytes value)
{
	if (id & (ID_SESSION | ID_MAIL)) {
		struct buf *b = slot(script_state_make(script_of(r)), id);
		struct bytes copy = arena_bytes(sieve_scratch(r), value);       /* VALUE may lie in B */
		buf_clear(b);
		buf_add(b, copy);
		return 0;
	}
	return variables[id].get == mail_from ? set_sender(r, n, value) : script_route_set_rcpt(r, n, value);
}
