/*
 * table_cidr.c: cidr:/file (cidr_table(5)).
 *
 *	pattern		value
 *	!pattern	value
 *	if pattern
 *	endif
 *
 * A pattern is a network or an address, IPv4 or IPv6, perhaps in brackets.  Rules are tried in the order of the file; those between if and endif only
 * when the address matches (cidr_map.h: without trying any).  A rule of one family never matches an address of the other, not even with '!'.  A key
 * that is no address matches nothing.
 */
#include "tcp_table/table_file.h"
#include "tcp_table/table_kinds.h"

#include "lib/base/mem.h"
#include "tcp_table/cidr_map.h"
#include "tcp_table/table_pool.h"

#include <arpa/inet.h>
#include <errno.h>

struct cidr {
	struct cidr_map map;            /* to places in VALUES */
	struct table_pool values;       /* each once */
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

static bool cidr_host_bits(const struct cidr_guard *g)
{
	for (unsigned bit = g->bits; bit < (g->v6 ? 128 : 32); bit++)
		if (g->net[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

static int cidr_pattern(struct bytes pattern, struct cidr_guard *ret, const char **ret_why)
{
	struct cidr_address net;
	struct bytes address, bits;
	uint64_t n;

	for (; pattern.n && (*pattern.p == '!' || table_space(*pattern.p)); pattern = bytes_skip(pattern, 1))
		ret->negated ^= *pattern.p == '!';
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
	memcpy(ret->net, net.bytes, sizeof ret->net);
	ret->v6 = net.v6;
	ret->bits = (unsigned char)n;
	*ret_why = "bits are set behind the network's";
	return cidr_host_bits(ret) ? -EINVAL : 0;
}

/* Loading: the open ifs are chained through the end of their guards, 0-terminated by one more than the index. */
struct cidr_loading {
	struct cidr *table;
	struct table_notes *notes;
	unsigned line;
	struct cidr_guard *guards;
	uint32_t guard_count, guard_cap;
	uint32_t *values;               /* of each rule, a place in table->values */
	uint32_t count, cap;
	uint32_t open;                  /* innermost open if, plus one; 0: none */
};

static void cidr_push_guard(struct cidr_loading *l, const struct cidr_guard *g)
{
	if (l->guard_count == l->guard_cap) {
		l->guard_cap = l->guard_cap ? l->guard_cap * 2 : 16;
		l->guards = mem_array(l->guards, l->guard_cap, sizeof *l->guards);
	}
	l->guards[l->guard_count++] = *g;
}

static void cidr_push_value(struct cidr_loading *l, struct bytes value)
{
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->values = mem_array(l->values, l->cap, sizeof *l->values);
	}
	uint32_t at = table_pool_find(&l->table->values, value);
	l->values[l->count++] = at ? at : table_pool_add(&l->table->values, value);
}

static void cidr_close_if(struct cidr_loading *l)
{
	struct cidr_guard *opened = &l->guards[l->open - 1];
	l->open = opened->to;
	opened->to = l->count;
}

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
	cidr_close_if(l);
}

static void cidr_wrong(struct cidr_loading *l, struct bytes pattern, const char *why)
{
	table_note(l->notes, l->line, "%s: the rule \"%.*s\" is ignored", why, BYTES_ARG(pattern));
}

static void cidr_match(struct cidr_loading *l, struct bytes pattern, struct bytes value)
{
	struct cidr_guard g = { .from = l->count, .to = l->count + 1 };
	const char *why = "an address without a value";

	/* Values are C strings in Postfix. */
	value.n = strnlen(value.p, value.n);
	if (value.n == 0 || cidr_pattern(pattern, &g, &why) < 0) {
		cidr_wrong(l, pattern, why);
		return;
	}
	cidr_push_guard(l, &g);
	cidr_push_value(l, value);
}

static void cidr_if(struct cidr_loading *l, struct bytes pattern, struct bytes rest)
{
	struct cidr_guard g = { .from = l->count, .to = l->open };
	const char *why = "something follows the pattern of IF";

	if (rest.n || cidr_pattern(pattern, &g, &why) < 0) {
		cidr_wrong(l, pattern, why);
		return;
	}
	cidr_push_guard(l, &g);
	l->open = l->guard_count;
}

/* The pattern that *REST begins with: a word, and what negates it, between which there may be blanks. */
static struct bytes cidr_word(struct bytes *rest)
{
	struct bytes line = *rest;
	size_t n = 0;
	while (n < line.n && (line.p[n] == '!' || table_space(line.p[n])))
		n++;
	*rest = bytes_skip(line, n);
	struct bytes word = table_word(rest);
	return bytes_first(line, n + word.n);
}

static void cidr_line(struct cidr_loading *l, struct bytes line)
{
	struct bytes rest;

	if (table_keyword(line, BYTES("endif"), &rest)) {
		cidr_endif(l, rest);
	} else if (table_keyword(line, BYTES("if"), &rest)) {
		struct bytes pattern = cidr_word(&rest);
		cidr_if(l, pattern, rest);
	} else {
		rest = line;
		struct bytes pattern = cidr_word(&rest);
		cidr_match(l, pattern, rest);
	}
}

/* An IF without ENDIF reaches to the end of the file. */
static void cidr_close_ifs(struct cidr_loading *l)
{
	while (l->open) {
		cidr_close_if(l);
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
	cidr_map_init(&t->map, l.guards, l.guard_count, l.values, l.count);
	table_pool_forget(&t->values);
	mem_free(l.guards);
	mem_free(l.values);
	return t;
}

static void cidr_unload(void *content)
{
	struct cidr *t = content;
	cidr_map_fini(&t->map);
	table_pool_fini(&t->values);
	mem_free(t);
}

/* ---- asking ---- */

static int cidr_get(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct cidr *t = content;
	struct cidr_address a;

	(void)err;
	if (cidr_address_parse(key, &a) < 0)
		return 0;
	uint32_t value = cidr_map_get(&t->map, &a);
	if (!value)
		return 0;
	buf_add_str(ret, table_pool_str(&t->values, value));
	return 1;
}

const struct table_file_kind cidr_kind = {
	.type = "cidr", .inlined = true, .load = cidr_load, .unload = cidr_unload, .get = cidr_get
};

static int cidr_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_file_open(&cidr_kind, spec, ret_state, err);
}

const struct table_ops table_cidr = {
	.type = "cidr", .names_file = true, .whole_key = true, .open = cidr_open, .close = table_file_close, .ask = table_file_ask
};
