/*
 * dns_rdata.c: names in record data.
 */
#include "lib/dns/dns.h"

#include <errno.h>
#include <stdio.h>

static void add_octet(struct buf *text, unsigned char c)
{
	if (c <= ' ' || c >= 127)
		buf_printf(text, "\\%03u", c);
	else if (c == '.' || c == '\\')
		buf_printf(text, "\\%c", c);
	else
		buf_add_char(text, (char)c);
}

/* RFC 1035, 3.1: labels, each behind its length, up to the empty one of the root.  255 octets at most, and no pointers: the
 * resolver has resolved them. */
int dns_rdata_name(struct bytes rdata, size_t *offset, struct arena *arena, const char **ret)
{
	size_t at = *offset, start = at;
	struct buf text = { 0 };
	int r = -EINVAL;

	while (at < rdata.n && at - start < 255) {
		unsigned char len = (unsigned char)rdata.p[at++];

		if (!len) {
			*ret = arena_str(arena, buf_bytes(&text));
			*offset = at;
			r = 0;
			break;
		}
		if (len > 63 || len > rdata.n - at)
			break;
		if (text.n)
			buf_add_char(&text, '.');
		while (len--)
			add_octet(&text, (unsigned char)rdata.p[at++]);
	}
	buf_fini(&text);
	return r;
}
