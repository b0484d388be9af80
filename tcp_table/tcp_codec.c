/*
 * tcp_codec.c: tcp_table(5), as Postfix's dict_tcp speaks it.
 *
 * ENCODING
 *	One line each way.  '%', white space and whatever is not printable ASCII is %XX.  The digits may be of any case.
 *
 * REQUEST FORMAT
 *	get SPACE key NEWLINE
 *
 * REPLY FORMAT
 *	200 SPACE value NEWLINE		found
 *	400 SPACE text NEWLINE		cannot tell: text says why
 *	500 SPACE text NEWLINE		there is no such key
 *	Only the first digit is looked at, but there must be three, and white space behind them.  A value may hold unencoded blanks.
 *
 * SECURITY
 *	Plain text, nobody is authenticated.
 */
#include "tcp_table/tcp_codec.h"

#include <errno.h>

static bool tcp_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '%';
}

void tcp_codec_request(struct bytes key, struct buf *to)
{
	buf_add_str(to, "get ");
	for (size_t i = 0; i < key.n; i++)
		if (tcp_plain((unsigned char)key.p[i]))
			buf_add_char(to, key.p[i]);
		else
			buf_printf(to, "%%%02X", (unsigned char)key.p[i]);
	buf_add_char(to, '\n');
}

static int tcp_decode(struct bytes text, struct buf *to)
{
	for (size_t i = 0; i < text.n; i++) {
		uint64_t c = (unsigned char)text.p[i];
		if (c == '%') {
			if (text.n - i < 3 || bytes_hex_to_u64(bytes_make(text.p + i + 1, 2), 255, &c) < 0)
				return -EPROTO;
			i += 2;
		}
		/* Values are C strings wherever they go. */
		if (c == '\0')
			return -EPROTO;
		buf_add_char(to, (char)c);
	}
	return 0;
}

static bool tcp_digits(struct bytes b)
{
	uint64_t ignored;
	return b.n == 3 && bytes_to_u64(b, 999, &ignored) == 0;
}

int tcp_codec_reply(struct bytes line, struct tcp_reply *ret, const char **ret_why)
{
	if (!tcp_digits(bytes_first(line, 3)) || line.n < 4 || (line.p[3] != ' ' && line.p[3] != '\t')) {
		*ret_why = "malformed reply: no status and text";
		return -EPROTO;
	}
	switch (line.p[0]) {
	case '2':
		ret->status = TCP_FOUND;
		break;
	case '4':
		ret->status = TCP_ERROR;
		break;
	case '5':
		ret->status = TCP_NOT_FOUND;
		break;
	default:
		*ret_why = "malformed reply: a status other than 2xx, 4xx and 5xx";
		return -EPROTO;
	}
	buf_clear(&ret->text);
	if (tcp_decode(bytes_skip(line, 4), &ret->text) < 0) {
		*ret_why = "malformed reply: a wrong %XX";
		return -EPROTO;
	}
	return 0;
}
