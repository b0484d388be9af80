/*
 * table_cidr.c: cidr:/file (cidr_table(5)).
 *
 *	pattern		value
 *	!pattern	value
 *	if pattern
 *	endif
 *
 * A pattern is a network or an address, IPv4 or IPv6, perhaps in brackets.  Rules are tried in the order of the file; those between if and endif only
 * when the address matches.  A rule of one family never matches an address of the other, not even with '!'.  A key
 * that is no address matches nothing.
 */
#include "tcp_table/table_file.h"
#include "tcp_table/table_kinds.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>

enum cidr_op { CIDR_MATCH, CIDR_IF, CIDR_ENDIF };

struct cidr_rule {
	unsigned char net[16];
	unsigned char op, bits;
	bool v6, negated;
	unsigned endif;                 /* IF: where it ends, the number of rules when nowhere */
	const char *value;
};
struct cidr {
	struct cidr_rule *rules;
	unsigned count, cap;
	struct arena arena;
};

struct cidr_address {
	unsigned char bytes[16];
	bool v6;
};

static int cidr_address_parse(struct bytes text, struct cidr_address *ret)
{
	char s[INET6_ADDRSTRLEN];
	struct cidr_address a = { .v6 = bytes_find(text, ':') >= 0 };

	if (text.n >= sizeof s || bytes_find(text, '\0') >= 0)
		return -EINVAL;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	if (inet_pton(a.v6 ? AF_INET6 : AF_INET, s, a.bytes) != 1)
		return -EINVAL;
	*ret = a;
	return 0;
}

/* ---- the file ---- */

/* "[net]/bits" and "[net/bits]" without their brackets. */
static int cidr_unbracket(struct bytes pattern, struct bytes *ret_net, struct bytes *ret_bits, const char **ret_why)
{
	struct bytes rest = pattern, inner = pattern;
	if (bytes_starts(pattern, BYTES("["))) {
		rest = bytes_skip(pattern, 1);
		inner = bytes_cut(&rest, ']');
		*ret_why = !rest.p ? "the ']' is missing" : "something follows the ']'";
		if (!rest.p || (rest.n && *rest.p != '/'))
			return -EINVAL;
		if (rest.n) {
			*ret_net = inner;
			*ret_bits = bytes_skip(rest, 1);
			return 0;
		}
	}
	*ret_net = bytes_cut(&inner, '/');
	*ret_bits = inner;
	return 0;
}

static bool cidr_host_bits(const struct cidr_rule *rule)
{
	for (unsigned bit = rule->bits; bit < (rule->v6 ? 128 : 32); bit++)
		if (rule->net[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

static int cidr_pattern(struct bytes pattern, struct cidr_rule *rule, const char **ret_why)
{
	struct cidr_address net;
	struct bytes address, bits;
	uint64_t n;

	for (; bytes_starts(pattern, BYTES("!")); pattern = bytes_skip(pattern, 1))
		rule->negated = !rule->negated;
	int r = cidr_unbracket(pattern, &address, &bits, ret_why);
	if (r < 0)
		return r;
	*ret_why = "no address, and no network";
	r = cidr_address_parse(address, &net);
	if (r < 0)
		return r;
	n = net.v6 ? 128 : 32;
	if (bits.p && bytes_to_u64(bits, n, &n) < 0)
		return -EINVAL;
	memcpy(rule->net, net.bytes, sizeof rule->net);
	rule->v6 = net.v6;
	rule->bits = (unsigned char)n;
	*ret_why = "bits are set behind the network's";
	return cidr_host_bits(rule) ? -EINVAL : 0;
}

static struct cidr_rule *cidr_push(struct cidr *t, const struct cidr_rule *rule)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->rules = mem_array(t->rules, t->cap, sizeof *t->rules);
	}
	t->rules[t->count] = *rule;
	return &t->rules[t->count++];
}

/* Loading: the open ifs are chained through their endif, 0-terminated by one more than the index. */
struct cidr_loading {
	struct cidr *table;
	struct table_notes *notes;
	unsigned line;
	unsigned open;                  /* innermost open if, plus one; 0: none */
};

static void cidr_endif(struct cidr_loading *l, struct bytes rest)
{
	if (rest.n) {
		table_note(l->notes, l->line, "something follows ENDIF: the line is ignored");
		return;
	}
	if (l->open == 0) {
		table_note(l->notes, l->line, "ENDIF without IF is ignored");
		return;
	}
	struct cidr_rule *opened = &l->table->rules[l->open - 1];
	l->open = opened->endif;
	opened->endif = l->table->count;
	cidr_push(l->table, &(struct cidr_rule){ .op = CIDR_ENDIF });
}

static void cidr_match_or_if(struct cidr_loading *l, enum cidr_op op, struct bytes pattern, struct bytes value)
{
	struct cidr_rule rule = { .op = (unsigned char)op };
	const char *why = op == CIDR_MATCH ? "an address without a value" : "something follows the pattern of IF";

	if ((op == CIDR_MATCH) != (value.n > 0) || cidr_pattern(pattern, &rule, &why) < 0) {
		table_note(l->notes, l->line, "%s: the rule \"%.*s\" is ignored", why, BYTES_ARG(pattern));
		return;
	}
	if (op == CIDR_MATCH) {
		rule.value = arena_str(&l->table->arena, value);
		cidr_push(l->table, &rule);
		return;
	}
	rule.endif = l->open;
	cidr_push(l->table, &rule);
	l->open = l->table->count;
}

static void cidr_line(struct cidr_loading *l, struct bytes line)
{
	struct bytes rest;

	if (table_keyword(line, BYTES("endif"), &rest)) {
		cidr_endif(l, rest);
	} else if (table_keyword(line, BYTES("if"), &rest)) {
		struct bytes pattern = table_word(&rest);
		cidr_match_or_if(l, CIDR_IF, pattern, rest);
	} else {
		rest = line;
		struct bytes pattern = table_word(&rest);
		cidr_match_or_if(l, CIDR_MATCH, pattern, rest);
	}
}

/* An IF without ENDIF reaches to the end of the file. */
static void cidr_close_ifs(struct cidr_loading *l)
{
	while (l->open) {
		struct cidr_rule *opened = &l->table->rules[l->open - 1];
		l->open = opened->endif;
		opened->endif = l->table->count;
		table_note(l->notes, l->line, "an IF has no ENDIF");
	}
}

static void *cidr_load(char *text, size_t n, struct table_notes *notes)
{
	struct cidr *t = NEW(struct cidr);
	struct cidr_loading l = { .table = t, .notes = notes };
	struct table_lines lines;
	struct bytes line;

	table_lines_init(&lines, bytes_make(text, n));
	while (table_lines_next(&lines, &line)) {
		l.line = lines.line;
		if (lines.orphan)
			table_note(notes, l.line, "a line that begins with white space continues nothing and is ignored");
		else
			cidr_line(&l, line);
	}
	cidr_close_ifs(&l);
	table_lines_fini(&lines);
	return t;
}

static void cidr_unload(void *content)
{
	struct cidr *t = content;
	mem_free(t->rules);
	arena_fini(&t->arena);
	mem_free(t);
}

/* ---- asking ---- */

static bool cidr_in_net(const struct cidr_rule *rule, const struct cidr_address *a)
{
	unsigned whole = rule->bits / 8, rest = rule->bits % 8;
	if (memcmp(rule->net, a->bytes, whole) != 0)
		return false;
	return rest == 0 || ((rule->net[whole] ^ a->bytes[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

static bool cidr_matches(const struct cidr_rule *rule, const struct cidr_address *a)
{
	return rule->v6 == a->v6 && cidr_in_net(rule, a) != rule->negated;
}

static int cidr_get(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct cidr *t = content;
	struct cidr_address a;

	(void)err;
	if (cidr_address_parse(key, &a) < 0)
		return 0;
	for (unsigned i = 0; i < t->count; i++) {
		const struct cidr_rule *rule = &t->rules[i];
		if (rule->op == CIDR_ENDIF)
			continue;
		bool matches = cidr_matches(rule, &a);
		if (rule->op == CIDR_MATCH && matches) {
			buf_add_str(ret, rule->value);
			return 1;
		}
		if (rule->op == CIDR_IF && !matches)
			i = rule->endif;
	}
	return 0;
}

const struct table_file_kind cidr_kind = { .type = "cidr", .load = cidr_load, .unload = cidr_unload, .get = cidr_get };

static int cidr_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_file_open(&cidr_kind, spec, ret_state, err);
}

const struct table_ops table_cidr = {
	.type = "cidr", .names_file = true, .whole_key = true, .open = cidr_open, .close = table_file_close, .ask = table_file_ask
};
