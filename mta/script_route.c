/*
 * script_route.c: where the mail of one recipient goes: deliver, redirect, class.
 *
 * The rcpt block is run for the recipient, and again for each address it is redirected to, as Postfix expands virtual(5) aliases: depth
 * first come, first served, no address twice.  The targets of all those runs are the recipient's.
 *
 * An address that a branch redirects to itself is final for that branch: the block is run once more for it as if that branch did not
 * hold, so that `elsif lookup :as "t" "aliases" "${rcpt.to}" { redirect "${t}"; } else { deliver "local"; }` delivers
 * what maps to itself.  Coming back to any other address by way of others is a loop: 554 5.4.6.  Addresses are the same whatever their case is, as
 * for Postfix.
 *
 * A refusal of one of the addresses refuses the recipient, and so does an address that goes nowhere: relay access denied.
 */
#include "mta/script_private.h"
#include "mta/script_aliases.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>

enum { ADDRESSES_MAX = 1000, SKIP_MAX = 8 };    /* as virtual_alias_recursion_limit and virtual_alias_expansion_limit */

/* An address the block is to be run for. */
struct route_address {
	struct smtp_address address;    /* as given */
	struct smtp_address now;        /* as set "rcpt.to" left it */
	const struct route_address *parent;
	const struct sieve_node *skip[SKIP_MAX];        /* branches that redirected it to itself */
	unsigned skip_count;
	struct gate_rcpt *asked;        /* how policy servers see it; NULL: not asked yet */
	struct route_address *next;
};

struct script_route {
	struct gate_rcpt *rcpt;
	struct route_address *first, **last, *current;
	unsigned count;
	bool chosen;                    /* the current address has somewhere to go */
	bool loop, overflow;
	struct delivery_target *targets, **targets_end;
};

const struct smtp_address *script_route_rcpt(const struct script_run *s)
{
	return &s->route->current->now;
}

int script_route_set_rcpt(struct sieve_run *r, const struct sieve_node *n, struct bytes value)
{
	const struct script_run *s = script_of(r);
	struct smtp_address a;
	if (smtp_address_parse(value, s->io->txn->arena, &a) < 0)
		return sieve_fail(r, n, -EINVAL, "\"%.*s\" is no address", BYTES_ARG(bytes_first(value, 60)));
	s->route->current->now = a;
	return 0;
}

struct gate_rcpt *script_route_asked(const struct script_run *s)
{
	if (!s->route)
		return s->io->rcpt;
	struct route_address *a = s->route->current;
	if (!a->parent)
		return s->route->rcpt;
	if (!a->asked) {
		struct arena *arena = s->io->txn->arena;
		a->asked = ARENA_NEW(arena, struct gate_rcpt);
		a->asked->path = s->route->rcpt->path;
		a->asked->path.address = a->address;
		a->asked->path.raw = bytes_of(arena_printf(arena, "<%.*s>", BYTES_ARG(a->address.address)));
	}
	return a->asked;
}

/* ---- deliver ---- */

static const struct sieve_tag deliver_tags[] = { { .name = ":queue" }, { .name = ":verify" }, { .name = ":copy" }, { 0 } };

static int check_deliver(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_value *names = &n->args[0];
	const struct next_hop **hops = ARENA_ARRAY(sieve_compiler_arena(c), const struct next_hop *, names->count);
	int result = 0;
	for (unsigned i = 0; i < names->count; i++)
		if (script_find_next_hop(c, &names->strings[i], &hops[i]) < 0)
			result = -EINVAL;
	n->data = hops;
	return result;
}

static bool same_target(const struct delivery_target *a, const struct delivery_target *b)
{
	return a->hop_count == b->hop_count && smtp_address_eq(&a->address, &b->address) &&
	    memcmp(a->hops, b->hops, a->hop_count * sizeof *a->hops) == 0;
}

TASK_FN static int run_deliver(struct sieve_run *r, const struct sieve_node *n)
{
	struct script_run *s = script_of(r);
	struct script_route *route = s->route;
	struct delivery_target to = {
		.address = route->current->now,
		.hops = n->data,
		.hop_count = n->args[0].count,
		.queue = sieve_tag_find(n, &deliver_tags[0]),
		.verify = sieve_tag_find(n, &deliver_tags[1]),
		.rcpt = route->rcpt,
	};
	if (!sieve_tag_find(n, &deliver_tags[2]))
		route->chosen = true;
	for (const struct delivery_target *t = route->targets; t; t = t->next)
		if (same_target(t, &to))
			return 0;
	struct delivery_target *kept = ARENA_NEW(s->io->txn->arena, struct delivery_target);
	*kept = to;
	*route->targets_end = kept;
	route->targets_end = &kept->next;
	return 0;
}

/* ---- redirect ---- */

static bool same_address(const struct smtp_address *a, const struct smtp_address *b)
{
	return bytes_case_eq(a->address, b->address);
}

static struct route_address *add_address(struct script_run *s, const struct smtp_address *a)
{
	struct script_route *route = s->route;
	struct route_address *to = ARENA_NEW(s->io->txn->arena, struct route_address);
	to->address = to->now = *a;
	to->parent = route->current;
	*route->last = to;
	route->last = &to->next;
	route->count++;
	return to;
}

/* The current address once more, as it is now written, without the branch that sent it to itself. */
static int keep_address(struct script_run *s, const struct sieve_node *branch, const struct smtp_address *a)
{
	struct route_address *from = s->route->current;
	if (!branch || from->skip_count == SKIP_MAX)
		return -ELOOP;
	struct route_address *to = add_address(s, same_address(a, &from->address) ? a : &from->address);
	memcpy(to->skip, from->skip, sizeof to->skip);
	to->skip_count = from->skip_count;
	to->skip[to->skip_count++] = branch;
	to->parent = from->parent;
	return 0;
}

static int redirect_to(struct script_run *s, const struct sieve_node *n, const struct smtp_address *a)
{
	struct script_route *route = s->route;
	if (same_address(a, &route->current->address) || same_address(a, &route->current->now))
		return keep_address(s, sieve_branch(n), a);
	bool known = false;
	for (const struct route_address *other = route->first; other; other = other->next) {
		if (!same_address(a, &other->address))
			continue;
		if (other->skip_count)
			return 0;       /* it is final: coming back to it ends there */
		known = true;
	}
	for (const struct route_address *up = route->current->parent; up; up = up->parent)
		if (same_address(a, &up->address))
			return -ELOOP;
	if (known)
		return 0;
	add_address(s, a);
	return 0;
}

/* "user" is in the domain of the address that is redirected; "@domain" is its user in another domain, as in virtual(5). */
static int complete(struct script_run *s, struct bytes word, struct smtp_address *ret)
{
	const struct smtp_address *from = &s->route->current->now;
	struct arena *arena = s->io->txn->arena;
	if (bytes_starts(word, BYTES("@"))) {
		size_t local = from->domain.n ? from->address.n - from->domain.n - 1 : from->address.n;
		word = bytes_of(arena_printf(arena, "%.*s%.*s", BYTES_ARG(bytes_first(from->address, local)), BYTES_ARG(word)));
	}
	int r = smtp_address_parse(word, arena, ret);
	if (!r && !ret->domain.n && from->domain.n)
		r = smtp_address_parse(bytes_of(arena_printf(arena, "%.*s@%.*s", BYTES_ARG(word), BYTES_ARG(from->domain))), arena, ret);
	return r;
}

/* One address more, in any form that a list can hold it. */
static int add_word(struct sieve_run *r, const struct sieve_node *n, struct bytes word)
{
	struct script_run *s = script_of(r);
	struct script_route *route = s->route;
	struct smtp_address a;
	if (complete(s, word, &a) < 0)
		return sieve_fail(r, n, -EINVAL, "\"redirect\" goes to \"%.*s\", which is no address", BYTES_ARG(bytes_first(word, 60)));
	if (route->count >= ADDRESSES_MAX) {
		route->overflow = true;
		return sieve_fail(r, n, -E2BIG, "one recipient was redirected to more than %d addresses", ADDRESSES_MAX);
	}
	if (redirect_to(s, n, &a) == -ELOOP) {
		route->loop = true;
		return sieve_fail(r, n, -ELOOP, "\"redirect\" to <%.*s> goes round in circles", BYTES_ARG(a.address));
	}
	return 0;
}

TASK_FN int script_redirect(struct sieve_run *r, const struct sieve_node *n, struct bytes addresses)
{
	struct script_aliases list = { .run = r, .node = n, .add = add_word, .allowed = sieve_tag_named(n, ":aliases") };
	int result = script_aliases_each(&list, addresses);
	if (!result && !list.count)
		result = sieve_fail(r, n, -EINVAL, "\"redirect\" has no address");
	if (!result)
		script_of(r)->route->chosen = true;
	return result;
}

static const struct sieve_tag redirect_tags[] = { { .name = ":aliases", .command = "redirect" }, { 0 } };

/* ---- class ---- */

TASK_FN static int run_class(struct sieve_run *r, const struct sieve_node *n)
{
	struct script_run *s = script_of(r);
	struct bytes name;
	int result = sieve_string_get(r, n, n->args[0].strings, &name);
	if (!result)
		s->route->rcpt->class = arena_str(s->io->txn->arena, name);
	return result;
}

/* ---- one recipient ---- */

static bool refuses(enum gate_action a)
{
	return a == GATE_REJECT || a == GATE_TEMPFAIL || a == GATE_DISCONNECT;
}

/* The block for one address.  1: go on with the others; 0: the recipient's answer is known; -errno. */
TASK_FN static int run_address(struct script_run *s, struct route_address *a)
{
	struct script_route *route = s->route;
	struct smtpd_stage *io = s->io;
	struct delivery_target **before = route->targets_end;
	route->current = a;
	route->chosen = false;
	io->verdict = (struct gate_verdict){ .action = GATE_CONTINUE };
	int r = script_run_block(s, a->skip, a->skip_count);
	if (r < 0)
		return r;
	if (route->overflow)
		io->verdict = (struct gate_verdict){ .action = GATE_TEMPFAIL, .reply = SMTP_REPLY(451, "4.6.0", "Alias expansion error") };
	if (route->loop)
		io->verdict = (struct gate_verdict){ .action = GATE_REJECT, .reply = SMTP_REPLY(554, "5.4.6", "Mail forwarding loop") };
	if (refuses(io->verdict.action) || io->txn->discarded)
		return 0;
	if (io->verdict.action == GATE_DISCARD) {
		*before = NULL;
		route->targets_end = before;
		return 1;
	}
	if (!route->chosen && a->parent)
		log_notice("relay_denied", "<%.*s>, which <%.*s> is redirected to, goes nowhere", BYTES_ARG(a->address.address),
		    BYTES_ARG(route->rcpt->path.address.address));
	return route->chosen;
}

TASK_FN int script_route_run(struct script_run *s)
{
	struct smtpd_stage *io = s->io;
	struct script_route route = { .rcpt = io->rcpt };
	bool accepted = false;
	int r = 1;
	route.last = &route.first;
	route.targets_end = &route.targets;
	s->route = &route;
	add_address(s, &io->rcpt->path.address);
	for (struct route_address *a = route.first; a && r > 0; a = a->next) {
		r = run_address(s, a);
		accepted |= io->verdict.action == GATE_ACCEPT;
	}
	s->route = NULL;
	if (r > 0) {
		enum gate_action all = route.targets ? GATE_CONTINUE : GATE_DISCARD;
		io->verdict = (struct gate_verdict){ .action = accepted && route.targets ? GATE_ACCEPT : all };
	}
	/* Without a target the server denies relaying. */
	io->rcpt->targets = r > 0 ? route.targets : NULL;
	return r < 0 ? r : 0;
}

const struct sieve_extension script_ext_route = {
	.name = SCRIPT_EXTENSION,
	.tags = redirect_tags,
	.commands = (const struct sieve_command[]){
	    { .name = "deliver", .needs = SCRIPT_HAS_RCPT, .tags = deliver_tags, .check = check_deliver, .run = run_deliver,
		.params = (const struct sieve_param[]){ { "next hops", SIEVE_STRINGS, SIEVE_PARAM_CONSTANT }, { 0 } } },
	    { .name = "class", .needs = SCRIPT_HAS_RCPT, .run = run_class,
		.params = (const struct sieve_param[]){ { "name", SIEVE_STRING, 0 }, { 0 } } },
	    { 0 } },
};
