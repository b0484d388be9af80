/*
 * table_map.c: values that are lists of addresses, and what an address extension does to them.
 *
 * As Postfix's mail_addr_map() with propagate_unmatched_extensions for virtual(5) and canonical(5): of "user+ext@a.test", found as "user@a.test",
 *
 *	other@b.test, more		becomes		other+ext@b.test, more+ext@a.test
 *	@b.test				becomes		user+ext@b.test
 */
#include "tcp_table/table_map.h"

struct bytes table_map_next(struct bytes *rest)
{
	bool quoted = false;
	size_t n = 0;
	while (rest->n && strchr(", \t\r\n", *rest->p))
		*rest = bytes_skip(*rest, 1);
	while (n < rest->n && (quoted || !strchr(", \t\r\n", rest->p[n]))) {
		if (rest->p[n] == '\\' && n + 1 < rest->n)
			n++;
		else if (rest->p[n] == '"')
			quoted = !quoted;
		n++;
	}
	struct bytes word = bytes_first(*rest, n);
	*rest = bytes_skip(*rest, n);
	return word;
}

/* EXTENSION stands at the end of the local part: within its quotes, if it has any. */
static void add_extended(struct bytes local, struct bytes extension, struct buf *to)
{
	bool quoted = extension.n && local.n > 1 && bytes_ends(local, BYTES("\""));
	buf_add(to, bytes_first(local, local.n - quoted));
	buf_add(to, extension);
	buf_add_str(to, quoted ? "\"" : "");
}

static void add_address(const struct table_keys *k, struct bytes word, struct buf *to)
{
	struct bytes domain = k->domain, local = word, extension = table_keys_extension(k);
	ptrdiff_t at = bytes_rfind(word, '@');
	if (at >= 0) {
		domain = bytes_skip(word, (size_t)at + 1);
		local = bytes_first(word, (size_t)at);
	}
	if (at == 0)
		buf_add(to, k->local);
	else
		add_extended(local, extension, to);
	if (domain.p) {
		buf_add_char(to, '@');
		buf_add(to, domain);
	}
}

void table_map_complete(const struct table_keys *keys, struct bytes value, struct buf *to)
{
	const char *between = "";
	for (struct bytes word = table_map_next(&value); word.n; word = table_map_next(&value)) {
		buf_add_str(to, between);
		add_address(keys, word, to);
		between = ", ";
	}
}
