/*
 * table_keys.c: which keys are tried for an address, a name, a network.
 *
 *	TABLE_ADDRESS		user+ext@domain		user@domain	@domain
 *	TABLE_RECIPIENT		user+ext@domain		user@domain	user+ext	user	@domain
 *	TABLE_ALIAS		user+ext		user
 *	TABLE_DOMAIN		a.b.test		.b.test		.test
 *	TABLE_TRANSPORT		user+ext@domain		user@domain	domain	.parent...	*
 *	TABLE_ACCESS_ADDRESS	user+ext@domain		user@domain	domain	parent...	user+ext@	user@
 *	TABLE_ACCESS_HOST	a.b.test  b.test  test;	192.0.2.1  192.0.2  192.0  192;	2001:db8::1  2001:db8:  2001:db8  2001
 *
 * A parent domain stands without a dot where Postfix's parent_domain_matches_subdomains has the use by default (access), else with one.
 * An address without a domain is its own only key, but for aliases.
 */
#include "tcp_table/table_keys.h"

#include "lib/base/assert.h"
#include "lib/smtp/address.h"

#include <arpa/inet.h>

/* A step of a walk: puts the next key in *RET, or says that this step has none (more). */
typedef bool table_keys_step(struct table_keys *k, struct bytes *ret);

static bool table_keys_reserved(struct bytes local)
{
	return bytes_case_eq(local, BYTES("postmaster")) || bytes_case_eq(local, BYTES("mailer-daemon")) ||
	       bytes_case_eq(local, BYTES("double-bounce"));
}

/* Mailing lists of old: their names are not extensions of anybody. */
static bool table_keys_list_address(struct bytes local)
{
	return bytes_case_starts(local, BYTES("owner-")) || bytes_case_ends(local, BYTES("-request"));
}

bool table_keys_bare(struct bytes local, const char *delimiters, struct bytes *ret)
{
	if (table_keys_reserved(local) || (strchr(delimiters, '-') && table_keys_list_address(local)))
		return false;
	for (size_t i = 1; i < local.n; i++)
		if (local.p[i] && strchr(delimiters, local.p[i])) {
			/* A delimiter in front is no delimiter: the user would have no name. */
			if (strchr(delimiters, local.p[0]))
				return false;
			*ret = bytes_first(local, i);
			return true;
		}
	return false;
}

static bool table_keys_is_ip(struct bytes key)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr any;
	if (key.n >= sizeof text)
		return false;
	memcpy(text, key.p, key.n);
	text[key.n] = '\0';
	return inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1;
}

/* ---- steps: each is called again and again until it has no more ---- */

static bool step_whole(struct table_keys *k, struct bytes *ret)
{
	*ret = k->key;
	k->step++;
	return true;
}

static bool step_none(struct table_keys *k)
{
	k->step++;
	return false;
}

/* A key without the extension. */
static bool table_keys_stripped(struct table_keys *k)
{
	k->stripped = true;
	return true;
}

static bool table_keys_put(struct table_keys *k, struct bytes a, const char *between, struct bytes b, struct bytes *ret)
{
	buf_clear(&k->text);
	buf_add(&k->text, a);
	buf_add_str(&k->text, between);
	buf_add(&k->text, b);
	*ret = buf_bytes(&k->text);
	k->step++;
	return true;
}

static bool step_bare(struct table_keys *k, struct bytes *ret)
{
	if (!k->bare.p || !k->domain.p)
		return step_none(k);
	return table_keys_put(k, k->bare, "@", k->domain, ret) && table_keys_stripped(k);
}

static bool step_at_domain(struct table_keys *k, struct bytes *ret)
{
	if (!k->domain.p)
		return step_none(k);
	return table_keys_put(k, BYTES(""), "@", k->domain, ret);
}

static bool step_local(struct table_keys *k, struct bytes *ret)
{
	*ret = k->local;
	k->step++;
	return true;
}

/* As it stands, it was the whole key already. */
static bool step_local_of(struct table_keys *k, struct bytes *ret)
{
	return k->domain.p ? step_local(k, ret) : step_none(k);
}

static bool step_bare_local(struct table_keys *k, struct bytes *ret)
{
	*ret = k->bare;
	k->step++;
	return k->bare.p && table_keys_stripped(k);
}

static bool step_local_at(struct table_keys *k, struct bytes *ret)
{
	if (!k->domain.p)
		return step_none(k);
	return table_keys_put(k, k->local, "@", BYTES(""), ret);
}

static bool step_bare_at(struct table_keys *k, struct bytes *ret)
{
	if (!k->bare.p || !k->domain.p)
		return step_none(k);
	return table_keys_put(k, k->bare, "@", BYTES(""), ret) && table_keys_stripped(k);
}

static bool step_star(struct table_keys *k, struct bytes *ret)
{
	*ret = BYTES("*");
	k->step++;
	return true;
}

/* k->parent, then what follows its next dot, with the dot or without.  Numbers have no parent domains. */
static bool table_keys_up(struct table_keys *k, bool keep_dot, struct bytes *ret)
{
	struct bytes now = k->parent;
	if (!now.p || now.n == 0)
		return step_none(k);
	ptrdiff_t dot = now.n > 1 ? bytes_find(bytes_skip(now, 1), '.') : -1;
	if (dot < 0 || table_keys_is_ip(k->parent))
		k->parent = (struct bytes){ NULL, 0 };
	else
		k->parent = bytes_skip(now, (size_t)dot + (keep_dot ? 1 : 2));
	*ret = now;
	return true;
}

static bool step_up_dot(struct table_keys *k, struct bytes *ret)
{
	return table_keys_up(k, true, ret);
}

static bool step_up(struct table_keys *k, struct bytes *ret)
{
	return table_keys_up(k, false, ret);
}

/* A name's parents, or an address cut at its last dot (colon) until none is left.  As Postfix cuts, "2001:db8::1" has the network "2001:db8:". */
static bool step_host(struct table_keys *k, struct bytes *ret)
{
	if (!table_keys_is_ip(k->key))
		return table_keys_up(k, false, ret);
	struct bytes now = k->parent;
	if (!now.p)
		return step_none(k);
	ptrdiff_t cut = bytes_rfind(now, bytes_find(k->key, ':') >= 0 ? ':' : '.');
	k->parent = cut < 0 ? (struct bytes){ NULL, 0 } : bytes_first(now, (size_t)cut);
	*ret = now;
	return true;
}

/* ---- walks ---- */

static table_keys_step *const walk_whole[] = { step_whole, NULL };
static table_keys_step *const walk_address[] = { step_whole, step_bare, step_at_domain, NULL };
static table_keys_step *const walk_recipient[] = { step_whole, step_bare, step_local_of, step_bare_local, step_at_domain, NULL };
static table_keys_step *const walk_domain[] = { step_up_dot, NULL };
static table_keys_step *const walk_transport[] = { step_whole, step_bare, step_up_dot, step_star, NULL };
static table_keys_step *const walk_alias[] = { step_local, step_bare_local, NULL };
static table_keys_step *const walk_local[] = { step_local, NULL };      /* aliases in a table of patterns */
static table_keys_step *const walk_access_address[] = { step_whole, step_bare, step_up, step_local_at, step_bare_at, NULL };
static table_keys_step *const walk_access_host[] = { step_host, NULL };

static table_keys_step *const *const walks[] = {
	[TABLE_WHOLE] = walk_whole,
	[TABLE_ADDRESS] = walk_address,
	[TABLE_RECIPIENT] = walk_recipient,
	[TABLE_DOMAIN] = walk_domain,
	[TABLE_TRANSPORT] = walk_transport,
	[TABLE_ALIAS] = walk_alias,
	[TABLE_ACCESS_ADDRESS] = walk_access_address,
	[TABLE_ACCESS_HOST] = walk_access_host,
};

/* As Postfix has it where the use is made: aliases(5) and access(5) without quotes, others with those that are needed. */
static void table_keys_tidy(struct table_keys *k)
{
	if (k->use == TABLE_ACCESS_ADDRESS)
		smtp_address_plain(k->key, &k->tidy);
	else
		smtp_address_tidy(k->key, &k->tidy);
	k->key = buf_bytes(&k->tidy);
}

/* Transport(5) may also be asked for a domain alone: then it is no address. */
static void table_keys_split(struct table_keys *k, const char *delimiters)
{
	if (bytes_find(k->key, '"') >= 0)
		table_keys_tidy(k);
	ptrdiff_t at = bytes_rfind(k->key, '@');
	k->local = at < 0 ? k->key : bytes_first(k->key, (size_t)at);
	if (at >= 0)
		k->domain = bytes_skip(k->key, (size_t)at + 1);
	if (k->use == TABLE_ALIAS) {
		smtp_address_plain(k->local, &k->name);
		k->local = buf_bytes(&k->name);
	}
	if (!table_keys_bare(k->local, delimiters, &k->bare))
		k->bare = (struct bytes){ NULL, 0 };
}

void table_keys_init(struct table_keys *k, enum table_use use, struct bytes key, const char *delimiters, bool whole_only)
{
	*k = (struct table_keys){ .use = use, .whole_only = whole_only, .key = key };
	ASSERT(use <= TABLE_ACCESS_HOST);
	if (use == TABLE_DOMAIN || use == TABLE_ACCESS_HOST) {
		k->parent = key;
		return;
	}
	if (use == TABLE_WHOLE)
		return;
	table_keys_split(k, delimiters);
	k->parent = k->domain;
	if (use == TABLE_TRANSPORT && !k->domain.p) {
		k->bare = (struct bytes){ NULL, 0 };
		k->parent = k->key;
		k->step = whole_only ? 0 : 1; /* the walk up begins with the whole key */
	}
}

bool table_keys_next(struct table_keys *k, struct bytes *ret)
{
	table_keys_step *const *walk = !k->whole_only ? walks[k->use] : k->use == TABLE_ALIAS ? walk_local : walk_whole;

	k->stripped = false;
	while (walk[k->step])
		if (walk[k->step](k, ret))
			return true;
	return false;
}

struct bytes table_keys_extension(const struct table_keys *k)
{
	return k->stripped ? bytes_skip(k->local, k->bare.n) : BYTES("");
}

void table_keys_fini(struct table_keys *k)
{
	buf_fini(&k->text);
	buf_fini(&k->tidy);
	buf_fini(&k->name);
}
