/*
 * gate.c: gate faults by name, and edits: collected while a gate answers, applied when it has.
 *
 * Everything that can be wrong with an edit is found when it is collected, so that applying a whole answer cannot stop half way for
 * what a gate said.
 */
#include "lib/gate/edit.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <errno.h>

static const char *const fault_names[GATE_FAULTS] = {
	[GATE_FAULT_NONE] = "none",
	[GATE_FAULT_CONNECT] = "connect",
	[GATE_FAULT_TIMEOUT] = "timeout",
	[GATE_FAULT_PROTOCOL] = "protocol",
	[GATE_FAULT_EDIT] = "edit",
};

const char *gate_fault_name(enum gate_fault fault)
{
	ASSERT(fault < GATE_FAULTS);
	return fault_names[fault];
}

const char *const gate_on_failure_words[] = {
	[GATE_ON_FAILURE_CONTINUE] = "continue",
	[GATE_ON_FAILURE_ACCEPT] = "accept",
	[GATE_ON_FAILURE_TEMPFAIL] = "tempfail",
	[GATE_ON_FAILURE_REJECT] = "reject",
	[GATE_ON_FAILURE_HOLD] = "hold",
	[GATE_ON_FAILURE_DISCONNECT] = "disconnect",
	NULL,
};

void gate_edit_names(unsigned kinds, struct buf *to)
{
	static const struct {
		enum gate_edit_kind kind;
		const char *name;
	} names[] = {
		{ GATE_EDIT_HEADER_ADD, "header-add" }, { GATE_EDIT_HEADER_INSERT, "header-insert" },
		{ GATE_EDIT_HEADER_CHANGE, "header-change" }, { GATE_EDIT_BODY, "body" }, { GATE_EDIT_SENDER, "sender" },
		{ GATE_EDIT_RCPT_ADD, "rcpt-add" }, { GATE_EDIT_RCPT_DELETE, "rcpt-delete" }, { GATE_EDIT_HOLD, "hold" },
		{ GATE_EDIT_FILTER, "filter" }, { GATE_EDIT_REDIRECT, "redirect" }, { GATE_EDIT_BCC, "bcc" },
	};
	const char *comma = "";
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		if (!(kinds & names[i].kind))
			continue;
		buf_add_str(to, comma);
		buf_add_str(to, names[i].name);
		comma = ",";
	}
}

/* ---- collecting ---- */

/* May there be another edit of KIND that takes N bytes? */
static int gate_edit_allowed(struct gate_call *c, enum gate_edit_kind kind, size_t n)
{
	if (!(c->negotiated & c->permitted & kind))
		return -EPERM;
	if (n > GATE_EDITS_MAX - c->edit_bytes || sizeof(struct gate_edit) > GATE_EDITS_MAX - c->edit_bytes - n)
		return -EMSGSIZE;
	c->edit_bytes += sizeof(struct gate_edit) + n;
	return 0;
}

/* A new edit of KIND at the end of the call's. */
static struct gate_edit *gate_edit_new(struct gate_call *c, enum gate_edit_kind kind)
{
	struct gate_edit *e = ARENA_NEW(c->txn->arena, struct gate_edit);
	e->kind = kind;
	list_append(&c->edits, &e->link);
	return e;
}

/* RFC 5322 section 3.6.8: field-name = 1*ftext; ftext = %d33-57 / %d59-126 */
static bool gate_edit_name_valid(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char ch = name.p[i];
		if (ch < 33 || ch > 126 || ch == ':')
			return false;
	}
	return name.n > 0;
}

struct header_edit {
	enum gate_edit_kind kind;
	unsigned index;
	struct bytes name, value;
	bool leading_space;
};

static int gate_edit_header(struct gate_call *c, const struct header_edit *h)
{
	if (!gate_edit_name_valid(h->name))
		return -EINVAL;
	int r = gate_edit_allowed(c, h->kind, h->name.n + h->value.n);
	if (r < 0)
		return r;
	struct gate_edit *e = gate_edit_new(c, h->kind);
	e->index = h->index;
	e->leading_space = h->leading_space;
	e->name = arena_bytes(c->txn->arena, h->name);
	e->value = arena_bytes(c->txn->arena, h->value);
	return 0;
}

int gate_edit_header_add(struct gate_call *c, struct bytes name, struct bytes value, bool leading_space)
{
	return gate_edit_header(c, &(struct header_edit){ GATE_EDIT_HEADER_ADD, 0, name, value, leading_space });
}

int gate_edit_header_insert(struct gate_call *c, unsigned index, struct bytes name, struct bytes value, bool leading_space)
{
	return gate_edit_header(c, &(struct header_edit){ GATE_EDIT_HEADER_INSERT, index, name, value, leading_space });
}

int gate_edit_header_change(struct gate_call *c, unsigned nth, struct bytes name, struct bytes value, bool leading_space)
{
	return gate_edit_header(c, &(struct header_edit){ GATE_EDIT_HEADER_CHANGE, nth, name, value, leading_space });
}

/* Length of the quoted string or comment that TEXT begins with. */
static size_t gate_edit_quoted(struct bytes text, char end)
{
	size_t i = 1;
	while (i < text.n && text.p[i] != end)
		i += text.p[i] == '\\' ? 2 : 1;
	return i < text.n ? i + 1 : text.n;
}

/* Filters name an address as `a@b`, `<a@b>`, and now and then as they found it in a header field: `Name <a@b> (who)` (RFC 5322 section 3.4).  Postfix
 * and Sendmail understand all of these. */
static void gate_edit_put_mailbox(struct bytes text, struct buf *to)
{
	size_t begin = to->n;
	for (text = bytes_trim(text); text.n > 0 && text.p[0] != '>';) {
		char c = text.p[0];
		size_t n = c == '"' ? gate_edit_quoted(text, '"') : c == '(' ? gate_edit_quoted(text, ')') : 1;
		if (c == '<')
			to->n = begin;
		else if (c != '(')
			buf_add(to, bytes_first(text, n));
		text = bytes_skip(text, n);
	}
	while (to->n > begin && strchr(" \t", to->p[to->n - 1]))
		to->n--;
}

/* The parameters a gate may give to a sender (RFC 3461: RET, ENVID) or a recipient (NOTIFY, ORCPT).  Others belong to the
 * transaction, not to the address; Postfix ignores them too (M30, M31). */
static bool gate_edit_param_wanted(enum smtp_verb verb, struct bytes param)
{
	struct bytes keyword = bytes_cut(&param, '=');
	if (verb == SMTP_MAIL)
		return bytes_case_eq(keyword, BYTES("RET")) || bytes_case_eq(keyword, BYTES("ENVID"));
	return bytes_case_eq(keyword, BYTES("NOTIFY")) || bytes_case_eq(keyword, BYTES("ORCPT"));
}

/* Parses ADDRESS and PARAMS as the command that would have named them. */
static int gate_edit_path(struct gate_call *c, enum smtp_verb verb, struct bytes address, struct bytes params, struct smtp_path *ret)
{
	struct buf line = { 0 };
	struct smtp_reply error;
	buf_add_str(&line, verb == SMTP_MAIL ? "FROM:<" : "TO:<");
	gate_edit_put_mailbox(address, &line);
	buf_add_char(&line, '>');
	int r = smtp_path_parse(verb, buf_bytes(&line), false, c->txn->arena, ret, &error);
	for (struct bytes word = bytes_word(&params); r == 0 && word.n > 0; word = bytes_word(&params)) {
		size_t before = line.n;
		buf_printf(&line, " %.*s", BYTES_ARG(word));
		if (gate_edit_param_wanted(verb, word) && smtp_path_parse(verb, buf_bytes(&line), false, c->txn->arena, ret, &error) == 0)
			continue;
		log_debug("gate-param", "gate %s: parameter %.*s left out", c->gate->name, BYTES_ARG(word));
		line.n = before;
	}
	buf_fini(&line);
	return r;
}

/* A user without a domain is one of this host, as behind Postfix: another server would take him for one of its own. */
static int gate_edit_address(struct gate_call *c, enum smtp_verb verb, struct bytes address, struct bytes params, struct smtp_path *ret)
{
	int r = gate_edit_path(c, verb, address, params, ret);
	if (r < 0 || !ret->address.address.n || ret->address.domain.n)
		return r;
	const char *whole = arena_printf(c->txn->arena, "%.*s@%s", BYTES_ARG(ret->address.address), c->session->hostname);
	return gate_edit_path(c, verb, bytes_of(whole), params, ret);
}

int gate_edit_rcpt_add(struct gate_call *c, struct bytes address, struct bytes params)
{
	struct smtp_path path;
	int r = gate_edit_allowed(c, GATE_EDIT_RCPT_ADD, address.n + params.n);
	if (r == 0)
		r = gate_edit_address(c, SMTP_RCPT, address, params, &path);
	if (r < 0)
		return r;
	if (path.address.address.n == 0)
		return -EINVAL;
	struct gate_edit *e = gate_edit_new(c, GATE_EDIT_RCPT_ADD);
	e->path = path;
	e->twice = c->rcpt_twice;
	return 0;
}

int gate_edit_rcpt_delete(struct gate_call *c, struct bytes address)
{
	int r = gate_edit_allowed(c, GATE_EDIT_RCPT_DELETE, address.n);
	if (r < 0)
		return r;
	/* What is no address is nobody's. */
	struct smtp_path path;
	if (gate_edit_path(c, SMTP_RCPT, address, BYTES(""), &path) == 0)
		gate_edit_new(c, GATE_EDIT_RCPT_DELETE)->path = path;
	return 0;
}

int gate_edit_sender(struct gate_call *c, struct bytes address, struct bytes params)
{
	struct smtp_path path;
	int r = gate_edit_allowed(c, GATE_EDIT_SENDER, address.n + params.n);
	if (r == 0)
		r = gate_edit_address(c, SMTP_MAIL, address, params, &path);
	if (r < 0)
		return r;
	gate_edit_new(c, GATE_EDIT_SENDER)->path = path;
	return 0;
}

int gate_edit_hold(struct gate_call *c, struct bytes reason)
{
	int r = gate_edit_allowed(c, GATE_EDIT_HOLD, reason.n);
	if (r < 0)
		return r;
	struct gate_edit *e = gate_edit_new(c, GATE_EDIT_HOLD);
	e->gate = c->gate->name;
	e->value = arena_bytes(c->txn->arena, reason);
	return 0;
}

/* What nobody asked for shall not tell the sender of recipients he did not name. */
static int gate_edit_route_path(struct gate_call *c, enum gate_edit_kind kind, struct bytes where, struct smtp_path *ret)
{
	int r = gate_edit_path(c, SMTP_RCPT, where, kind == GATE_EDIT_BCC ? BYTES("NOTIFY=NEVER") : BYTES(""), ret);
	return r == 0 && !ret->address.domain.n ? -EINVAL : r;
}

int gate_edit_route(struct gate_call *c, enum gate_edit_kind kind, struct bytes where)
{
	struct smtp_path path = { 0 };
	where = bytes_trim(where);
	int r = gate_edit_allowed(c, kind, where.n);
	if (r == 0 && kind == GATE_EDIT_FILTER)
		r = where.n ? 0 : -EINVAL;
	else if (r == 0)
		r = gate_edit_route_path(c, kind, where, &path);
	if (r < 0)
		return r;
	struct gate_edit *e = gate_edit_new(c, kind);
	e->value = bytes_of(arena_str(c->txn->arena, where));
	e->path = path;
	return 0;
}

int gate_edit_body(struct gate_call *c, struct bytes piece)
{
	if (!(c->negotiated & c->permitted & GATE_EDIT_BODY))
		return -EPERM;
	if (!c->txn->mail)
		return -EINVAL;
	uint64_t most = c->txn->mail->limits.size_max;
	c->body_bytes += piece.n;
	if (most && c->body_bytes > most + GATE_EDITS_MAX)
		return -EMSGSIZE;
	c->body_replaced = true;
	/* A shadow gate's body would only be thrown away. */
	return c->gate->shadow ? 0 : mail_body_replace(c->txn->mail, piece);
}

/* ---- applying ---- */

static int gate_edit_apply_header(const struct gate_edit *e, struct mail *m)
{
	switch (e->kind) {
	case GATE_EDIT_HEADER_ADD:
		return mail_header_add(m, e->name, e->value, e->leading_space);
	case GATE_EDIT_HEADER_INSERT:
		return mail_header_insert(m, e->index, e->name, e->value, e->leading_space);
	default:
		if (e->value.n > 0)
			return mail_header_change(m, e->name, e->index, e->value, e->leading_space);
		mail_header_delete(m, e->name, e->index); /* one that is not there is gone already */
		return 0;
	}
}

static void gate_edit_apply_rcpt_add(struct gate_edit *e, struct gate_txn *txn)
{
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link) {
		bool counts = rcpt->added || !e->twice;
		if (counts && smtp_address_eq(&rcpt->path.address, &e->path.address))
			return;
	}
	rcpt = ARENA_NEW(txn->arena, struct gate_rcpt);
	rcpt->path = e->path;
	rcpt->added = true;
	list_append(&txn->rcpts, &rcpt->link);
	txn->rcpt_count++;
}

/* The address must be the same, the domain's case included (M29); how it was quoted makes no difference, nor does a dot behind the domain: a sender
 * could otherwise write a recipient so that a filter cannot delete it. */
static void gate_edit_apply_rcpt_delete(const struct gate_edit *e, struct gate_txn *txn)
{
	const struct smtp_address *named = &e->path.address;
	struct gate_rcpt *rcpt;
	LIST_EACH(rcpt, &txn->rcpts, struct gate_rcpt, link) {
		const struct smtp_address *a = &rcpt->path.address;
		if (bytes_eq(a->local, named->local) && bytes_eq(a->domain, named->domain)) {
			list_remove(&rcpt->link);
			txn->rcpt_count--;
		}
	}
}

static void gate_edit_apply_sender(const struct gate_edit *e, struct gate_txn *txn)
{
	txn->sender.address = e->path.address;
	if (e->path.ret_full || e->path.ret_headers) {
		txn->sender.ret_full = e->path.ret_full;
		txn->sender.ret_headers = e->path.ret_headers;
	}
	if (e->path.envid.n > 0)
		txn->sender.envid = e->path.envid;
}

/* A header edit before there is a header waits in the transaction.  Inserted ones stack up downwards when they are applied from
 * the top, so the last one made goes first (P17: several PREPENDs keep their order). */
static void gate_edit_defer(struct gate_edit *e, struct gate_txn *txn)
{
	if (!txn->early_edits.next)
		list_init(&txn->early_edits);
	list_remove(&e->link);
	if (e->kind == GATE_EDIT_HEADER_INSERT)
		list_prepend(&txn->early_edits, &e->link);
	else
		list_append(&txn->early_edits, &e->link);
}

static void gate_edit_apply_route(struct gate_edit *e, struct gate_txn *txn)
{
	if (e->kind == GATE_EDIT_FILTER) {
		txn->filter = e->value.p;
		txn->filter_hop = NULL;
	} else if (e->kind == GATE_EDIT_REDIRECT) {
		txn->redirect = &e->path;
	} else {
		struct gate_path *bcc = ARENA_NEW(txn->arena, struct gate_path), **end = &txn->bcc;
		bcc->path = e->path;
		while (*end)
			end = &(*end)->next;
		*end = bcc;
	}
}

static int gate_edit_apply(struct gate_edit *e, struct gate_txn *txn)
{
	switch (e->kind) {
	case GATE_EDIT_HEADER_ADD:
	case GATE_EDIT_HEADER_INSERT:
	case GATE_EDIT_HEADER_CHANGE:
		if (txn->mail)
			return gate_edit_apply_header(e, txn->mail);
		gate_edit_defer(e, txn);
		return 0;
	case GATE_EDIT_RCPT_ADD:
		gate_edit_apply_rcpt_add(e, txn);
		return 0;
	case GATE_EDIT_RCPT_DELETE:
		gate_edit_apply_rcpt_delete(e, txn);
		return 0;
	case GATE_EDIT_SENDER:
		gate_edit_apply_sender(e, txn);
		return 0;
	case GATE_EDIT_HOLD:
		if (!txn->held) {
			txn->hold_reason = e->value.p;
			txn->hold_gate = e->gate;
		}
		txn->held = true;
		return 0;
	case GATE_EDIT_FILTER:
	case GATE_EDIT_REDIRECT:
	case GATE_EDIT_BCC:
		gate_edit_apply_route(e, txn);
		return 0;
	default:
		ASSERT(!"an edit that is kept in the list");
		return 0;
	}
}

int gate_edits_apply(struct list *edits, struct gate_txn *txn)
{
	struct gate_edit *e;
	LIST_EACH(e, edits, struct gate_edit, link) {
		int r = gate_edit_apply(e, txn);
		if (r < 0)
			return r;
	}
	return 0;
}
