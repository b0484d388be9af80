/*
 * table_map.c: values that are lists of addresses, and what an address extension does to them.
 *
 * As Postfix's mail_addr_map() with propagate_unmatched_extensions for virtual(5) and canonical(5): of "user+ext@a.test", found as "user@a.test",
 *
 *	other@b.test, more		becomes		other+ext@b.test, more+ext@a.test
 *	@b.test				becomes		user+ext@b.test
 */
#include "tcp_table/table_map.h"

#include "tcp_table/address_list.h"

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
	struct address_list list;
	struct address_item item;

	address_list_init(&list, value, false);
	while (address_list_next(&list, &item)) {
		buf_add_str(to, between);
		add_address(keys, item.address, to);
		between = ", ";
	}
	address_list_fini(&list);
}
