/*
 * socketmap_codec.c: Sendmail's socketmap, as Postfix speaks it (socketmap_table(5)).
 *
 * ENCODING
 *	Each request and each reply is a netstring: its length in decimal digits, ':', so many bytes, ','.
 *
 * REQUEST FORMAT
 *	map SPACE key: raw bytes, UTF-8; the key may hold blanks
 *
 * REPLY FORMAT
 *	OK SPACE value			found
 *	NOTFOUND SPACE			there is no such key; the blank may be missing
 *	TEMP SPACE reason		cannot tell now
 *	TIMEOUT SPACE reason		the same
 *	PERM SPACE reason		cannot tell, and trying again will not help
 *	"OK" alone is taken for not found, any other word for "cannot tell now", as Postfix does.
 *
 * SECURITY
 *	Plain text, nobody is authenticated.
 */
#include "tcp_table/socketmap_codec.h"

#include <errno.h>

void socketmap_codec_request(struct bytes map, struct bytes key, struct buf *to)
{
	buf_printf(to, "%zu:", map.n + 1 + key.n);
	buf_add(to, map);
	buf_add_char(to, ' ');
	buf_add(to, key);
	buf_add_char(to, ',');
}

/* The digits before the colon.  1: *RET has the number; 0: more must come. */
static int socketmap_length(struct bytes input, size_t max, uint64_t *ret, const char **ret_why)
{
	ptrdiff_t colon = bytes_find(bytes_first(input, SOCKETMAP_FRAME), ':');
	struct bytes digits = bytes_first(input, colon < 0 ? input.n : (size_t)colon);

	*ret_why = "malformed reply: no netstring";
	if (digits.n > SOCKETMAP_FRAME - 2)
		return -EPROTO;
	int r = digits.n || colon >= 0 ? bytes_to_u64(digits, max, ret) : 0;
	if (r == -ERANGE)
		*ret_why = "the reply is too long";
	if (r < 0)
		return r == -ERANGE ? -EMSGSIZE : -EPROTO;
	return colon >= 0;
}

int socketmap_codec_frame(struct bytes input, size_t max, struct bytes *ret, const char **ret_why)
{
	uint64_t n;
	int r = socketmap_length(input, max, &n, ret_why);
	if (r != 1)
		return r;
	struct bytes rest = input;
	bytes_cut(&rest, ':');
	if (rest.n < n + 1)
		return 0;
	if (rest.p[n] != ',' || rest.n > n + 1) {
		*ret_why = rest.p[n] != ',' ? "malformed reply: no ',' at its end" : "something follows the reply";
		return -EPROTO;
	}
	*ret = bytes_first(rest, n);
	return 1;
}

enum socketmap_status socketmap_codec_reply(struct bytes payload, struct bytes *ret_text)
{
	struct bytes text = payload, word = bytes_cut(&text, ' ');

	*ret_text = text.p ? text : BYTES("");
	if (bytes_eq(word, BYTES("OK")))
		return text.p ? SOCKETMAP_FOUND : SOCKETMAP_NOT_FOUND;
	if (bytes_eq(word, BYTES("NOTFOUND")))
		return SOCKETMAP_NOT_FOUND;
	if (bytes_eq(word, BYTES("PERM")))
		return SOCKETMAP_PERMANENT;
	if (!bytes_eq(word, BYTES("TEMP")) && !bytes_eq(word, BYTES("TIMEOUT")))
		*ret_text = BYTES("the server says neither OK nor NOTFOUND, TEMP, TIMEOUT or PERM");
	return SOCKETMAP_TEMPORARY;
}
