/*
 * script_probe.c: is the script an open relay?
 *
 * A stranger (198.51.100.1, in clear, not authenticated) sends to a stranger through the stages up to rcpt.  Gates say "go on", tables know
 * nothing, and nothing is sent anywhere.  A script must not find a destination for that.
 */
#include "mta/script_private.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>

#define STRANGER "relay-probe.invalid"

/* ---- a world in which nobody knows anybody ---- */

static void attach_nothing(struct script_run *s, const struct gate *g)
{
	(void)s;
	(void)g;
}

TASK_FN static int ask_nobody(struct script_run *s, const struct gate *g, struct bytes line, struct gate_verdict *ret)
{
	(void)s;
	(void)g;
	(void)line;
	*ret = (struct gate_verdict){ .action = GATE_CONTINUE, .answer = "DUNNO" };
	return 0;
}

TASK_FN static int find_nothing(struct script_run *s, struct table *t, enum table_use use, struct bytes key, struct buf *ret, struct buf *err)
{
	(void)s;
	(void)t;
	(void)use;
	(void)key;
	(void)ret;
	(void)err;
	return 0;
}

static const struct script_world nowhere = { .attach = attach_nothing, .ask = ask_nobody, .find = find_nothing };

/* ---- recipients ---- */

/* "$" is our own name.  Where LOCAL is set the domain is ours, and mail may be taken for it: but not for the stranger within. */
static const struct {
	const char *address;
	bool local;
} recipients[] = {
	{ "probe@" STRANGER, false },
	{ "probe@[198.51.100.2]", false },
	{ "@$:probe@" STRANGER, false },               /* a source route (RFC 5321 appendix C) */
	{ "postmaster@" STRANGER, false },
	{ "\"probe@" STRANGER "\"@$", true },
	{ "probe%" STRANGER "@$", true },             /* the percent hack */
	{ STRANGER "!probe@$", true },                 /* UUCP */
};

struct probe {
	struct smtpd_stage io;
	struct gate_session session;
	struct gate_txn txn;
	struct chain chain;
	struct arena arena;
	void *state;
};

static void probe_init(struct probe *p, const char *hostname)
{
	*p = (struct probe){ .session = {
		.id = "relay-probe", .hostname = hostname, .listener = "relay-probe", .server_ip = "192.0.2.1", .client_ip = "198.51.100.1",
		.client_name = "unknown", .client_ptr = "unknown", .client_resolve = GATE_RESOLVE_FAIL, .protocol = GATE_ESMTP,
		.helo = "client." STRANGER,
	} };
	int r = net_addr_parse(BYTES("198.51.100.1"), 40000, &p->session.client);
	if (r == 0)
		r = net_addr_parse(BYTES("192.0.2.1"), 25, &p->session.server);
	ASSERT(r == 0);
	p->session.arena = &p->arena;
	p->txn.arena = &p->arena;
	p->txn.id = p->txn.instance = "relay-probe.1";
	list_init(&p->txn.rcpts);
	list_init(&p->txn.early_edits);
	chain_init(&p->chain, &p->session);
}

static void probe_fini(struct probe *p)
{
	script_state_free(p->state);
	arena_fini(&p->arena);
}

static bool refused(const struct gate_verdict *v)
{
	return v->action == GATE_REJECT || v->action == GATE_TEMPFAIL || v->action == GATE_DISCONNECT || v->action == GATE_DISCARD;
}

/* 1: the script lets it pass this stage. */
TASK_FN static int ask(const struct script *s, struct probe *p, enum gate_stage stage, struct gate_rcpt *rcpt)
{
	p->io = (struct smtpd_stage){
		.stage = stage,
		.session = &p->session,
		.chain = &p->chain,
		.txn = stage >= GATE_MAIL ? &p->txn : NULL,
		.rcpt = rcpt,
		.session_state = &p->state,
		.verdict = { .action = GATE_CONTINUE },
	};
	int r = script_run_stage(s, &nowhere, &p->io);
	return r < 0 ? r : !refused(&p->io.verdict);
}

static void path_set(struct smtp_path *path, const char *text, struct arena *arena)
{
	int r = smtp_address_parse(bytes_of(text), arena, &path->address);
	ASSERT(r == 0);
	path->raw = bytes_of(arena_printf(arena, "<%s>", text));
}

static bool is_stranger(const struct delivery_target *t)
{
	return bytes_case_ends(t->address.address, BYTES("@" STRANGER));
}

/* 1: mail for this recipient would go somewhere. */
TASK_FN static int would_deliver(const struct script *s, struct probe *p, const char *to, bool local)
{
	struct gate_rcpt *rcpt = ARENA_NEW(&p->arena, struct gate_rcpt);
	struct smtp_reply error;
	const char *argument = arena_printf(&p->arena, "TO:<%s>", to);
	if (smtp_path_parse(SMTP_RCPT, bytes_of(argument), false, &p->arena, &rcpt->path, &error) < 0)
		return 0;       /* the server refuses it before any script is asked */
	int r = ask(s, p, GATE_RCPT, rcpt);
	for (const struct delivery_target *t = rcpt->targets; r > 0 && t; t = t->next)
		if (!local || is_stranger(t))
			return 1;
	return r < 0 ? r : 0;
}

static void put_address(struct buf *to, const char *address, const char *hostname)
{
	for (; *address; address++) {
		if (*address == '$')
			buf_add_str(to, hostname);
		else
			buf_add_char(to, *address);
	}
}

TASK_FN static int probe_recipients(const struct script *s, struct probe *p, struct buf *err)
{
	int r = 0;
	for (unsigned i = 0; i < COUNT_OF(recipients) && !r; i++) {
		struct buf to = { 0 };
		put_address(&to, recipients[i].address, p->session.hostname);
		r = would_deliver(s, p, buf_str(&to), recipients[i].local);
		if (r > 0)
			buf_printf(err, "it would take mail from a stranger (198.51.100.1) to <%s> and deliver it; "
				"its rcpt stage must deliver or redirect only to recipients that it has found to be ours", buf_str(&to));
		buf_fini(&to);
	}
	return r > 0 ? -EACCES : r;
}

TASK_FN int script_probe_relay(const struct script *s, const char *hostname, struct buf *err)
{
	struct probe p;
	probe_init(&p, hostname);
	static const enum gate_stage stages[] = { GATE_CONNECT, GATE_EHLO, GATE_MAIL };
	int r = 1;
	for (unsigned i = 0; i < COUNT_OF(stages) && r > 0; i++) {
		if (stages[i] == GATE_MAIL)
			path_set(&p.txn.sender, "probe@sender." STRANGER, &p.arena);
		r = ask(s, &p, stages[i], NULL);
	}
	if (r > 0)
		r = probe_recipients(s, &p, err);
	probe_fini(&p);
	return r;
}
