/*
 * xtext.c: xtext = *( xchar / hexchar ), hexchar = "+" 2(%x30-39 / %x41-46)  (RFC 3461 section 4).
 */
#include "lib/smtp/command.h"

#include <errno.h>

void smtp_xtext_encode(struct bytes in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];
		if (c <= ' ' || c >= 127 || c == '+' || c == '=')
			buf_printf(out, "+%02X", c);
		else
			buf_add_char(out, (char)c);
	}
}

int smtp_xtext_decode(struct bytes in, struct buf *out)
{
	size_t before = out->n;

	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];
		uint64_t value = c;
		bool bad = c <= ' ' || c >= 127;
		if (c == '+') {
			bad = in.n - i < 3 || bytes_hex_to_u64(bytes_make(in.p + i + 1, 2), 255, &value) < 0;
			i += 2;
		}
		if (bad) {
			out->n = before;
			return -EINVAL;
		}
		buf_add_char(out, (char)value);
	}
	return 0;
}
