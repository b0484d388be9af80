/*
 * sieve_mailbox.c: the addresses of a header field (RFC 5322 section 3.4, obsolete forms of 4.4 included).
 *
 *	address      = mailbox / display-name ":" [mailbox-list] ";"
 *	mailbox      = [display-name] "<" [obs-route] addr-spec ">" / addr-spec
 *	addr-spec    = local-part "@" domain
 *
 * First one item of the list is cut out, minding quotes, comments and brackets; then the address in it is taken apart.
 */
#include "sieve/sieve_private.h"

/* ---- pieces that may hold any character ---- */

/* Length of the quoted string, domain literal or comment that B begins with, its end mark included. */
static size_t enclosed(struct bytes b)
{
	char open = b.p[0], close = open == '(' ? ')' : open == '[' ? ']' : '"';
	unsigned depth = 0;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] == '\\')
			i++;
		else if (b.p[i] == close && (i > 0) && --depth == 0)
			return i + 1;
		else if (b.p[i] == open && (i == 0 || open == '('))
			depth++;
	}
	return b.n;
}

/* Length of what is taken as one at the beginning of B. */
static size_t unit(struct bytes b)
{
	char c = b.p[0];
	return c == '"' || c == '(' || c == '[' ? enclosed(b) : c == '\\' && b.n > 1 ? 2 : 1;
}

static void skip_cfws(struct bytes *b)
{
	while (b->n && strchr(" \t\r\n(", *b->p ? *b->p : 'x'))
		*b = bytes_skip(*b, *b->p == '(' ? enclosed(*b) : 1);
}

/* ---- items of the list ---- */

/* Up to "," or ";" (the end of a group); behind the ":" of a group's name. */
static struct bytes cut_item(struct bytes *rest)
{
	struct bytes item = bytes_make(rest->p, 0);
	bool angle = false;
	while (rest->n) {
		char c = *rest->p;
		size_t n = unit(*rest);
		*rest = bytes_skip(*rest, n);
		if (!angle && (c == ',' || c == ';'))
			break;
		if (!angle && c == ':')
			item = bytes_make(rest->p, 0);
		else
			item.n += n;
		angle = c == '<' || (angle && c != '>');
	}
	return item;
}

/* What stands in "<...>", without a route; the item itself when there are no brackets. */
static struct bytes find_spec(struct bytes item)
{
	for (struct bytes b = item; b.n; b = bytes_skip(b, unit(b))) {
		if (*b.p != '<')
			continue;
		struct bytes spec = bytes_skip(b, 1);
		size_t n = 0;
		while (n < spec.n && spec.p[n] != '>')
			n += unit(bytes_skip(spec, n));
		spec = bytes_first(spec, n);
		skip_cfws(&spec);
		ptrdiff_t colon = spec.n && *spec.p == '@' ? bytes_find(spec, ':') : -1;
		return bytes_skip(spec, (size_t)(colon + 1));
	}
	return item;
}

/* ---- an address ---- */

struct builder {
	char *p;
	size_t n;
};

static void add(struct builder *to, char c) { to->p[to->n++] = c; }

static bool is_atext(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && !strchr("()<>[]:;@\\,.\"", c);
}

static bool take_word(struct bytes *rest, struct builder *to)
{
	if (rest->n && *rest->p == '"') {
		struct bytes quoted = bytes_first(*rest, enclosed(*rest));
		*rest = bytes_skip(*rest, quoted.n);
		for (size_t i = 1; i + 1 < quoted.n; i++) {
			if (quoted.p[i] == '\\')
				i++;
			if (i + 1 < quoted.n && quoted.p[i] != '\r' && quoted.p[i] != '\n')
				add(to, quoted.p[i]);
		}
		return true;
	}
	size_t start = to->n;
	for (; rest->n && is_atext(*rest->p); *rest = bytes_skip(*rest, 1))
		add(to, *rest->p);
	return to->n > start;
}

/* word *("." word), with comments and blanks between; stray dots are let pass. */
static bool take_dotted(struct bytes *rest, struct builder *to)
{
	bool any = false;
	for (;;) {
		skip_cfws(rest);
		any |= take_word(rest, to);
		skip_cfws(rest);
		if (!rest->n || *rest->p != '.')
			return any;
		add(to, '.');
		*rest = bytes_skip(*rest, 1);
	}
}

static bool take_domain(struct bytes *rest, struct builder *to)
{
	skip_cfws(rest);
	if (!rest->n || *rest->p != '[')
		return take_dotted(rest, to);
	size_t n = enclosed(*rest);
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r\n", rest->p[i] ? rest->p[i] : ' '))
			add(to, rest->p[i]);
	*rest = bytes_skip(*rest, n);
	skip_cfws(rest);
	return true;
}

static bool is_dot_atom(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!is_atext(b.p[i]) && !(b.p[i] == '.' && i > 0 && i + 1 < b.n && b.p[i - 1] != '.'))
			return false;
	return b.n;
}

static void add_local(struct builder *to, struct bytes local)
{
	bool plain = is_dot_atom(local);
	if (!plain)
		add(to, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (!plain && (local.p[i] == '"' || local.p[i] == '\\'))
			add(to, '\\');
		add(to, local.p[i]);
	}
	if (!plain)
		add(to, '"');
}

static bool parse_spec(struct bytes spec, struct arena *arena, struct sieve_mailbox *ret)
{
	struct builder b = { .p = arena_alloc(arena, 4 * spec.n + 4) };
	if (!take_dotted(&spec, &b) || !spec.n || *spec.p != '@')
		return false;
	ret->local = bytes_make(b.p, b.n);
	spec = bytes_skip(spec, 1);
	if (!take_domain(&spec, &b) || spec.n)
		return false;
	ret->domain = bytes_make(b.p + ret->local.n, b.n - ret->local.n);
	size_t start = b.n;
	add_local(&b, ret->local);
	add(&b, '@');
	memcpy(b.p + b.n, ret->domain.p, ret->domain.n);
	ret->all = bytes_make(b.p + start, b.n + ret->domain.n - start);
	ret->plain = false;
	return true;
}

int sieve_mailbox_next(struct bytes *rest, struct arena *arena, struct sieve_mailbox *ret)
{
	while (rest->n) {
		struct bytes spec = find_spec(cut_item(rest));
		if (bytes_find(spec, '@') >= 0 && parse_spec(spec, arena, ret))
			return 1;
	}
	return 0;
}
