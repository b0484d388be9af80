/*
 * ext_encoded_character.c: characters by number within strings (RFC 5228 section 2.4.2.4).
 *
 *	"${hex:" hex-pair-seq "}"               ; hex-pair = 1*2HEXDIG: an octet; blanks between
 *	"${unicode:" unicode-hex-seq "}"        ; 1*HEXDIG a character, in UTF-8
 *
 * What does not fit the grammar stays as it is; a number that is no character is a mistake.
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Next word between blanks, line ends included. */
static struct bytes next_word(struct bytes *rest)
{
	size_t n = 0;
	while (rest->n && is_blank(*rest->p))
		*rest = bytes_skip(*rest, 1);
	while (n < rest->n && !is_blank(rest->p[n]))
		n++;
	struct bytes word = bytes_first(*rest, n);
	*rest = bytes_skip(*rest, n);
	return word;
}

static void add_utf8(struct buf *out, uint64_t c)
{
	if (c < 0x80) {
		buf_add_char(out, (char)c);
		return;
	}
	unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	buf_add_char(out, (char)(lead[more] | c >> 6 * more));
	while (more--)
		buf_add_char(out, (char)(0x80 | (c >> 6 * more & 0x3f)));
}

/* 1: decoded; 0: not such a sequence; -EINVAL: a number that is no character. */
static int decode(struct bytes seq, bool unicode, struct buf *out)
{
	struct bytes word = next_word(&seq);
	if (!word.n)
		return 0;
	for (; word.n; word = next_word(&seq)) {
		uint64_t c;
		int r = bytes_hex_to_u64(word, unicode ? 0x10ffff : 0xff, &c);
		if (r == -EINVAL || (!unicode && word.n > 2))
			return 0;
		if (r || (unicode && c >= 0xd800 && c < 0xe000))
			return -EINVAL;
		if (unicode)
			add_utf8(out, c);
		else
			buf_add_char(out, (char)c);
	}
	return 1;
}

static int rewrite(struct sieve_compiler *c, struct sieve_pos pos, struct bytes in, struct buf *out)
{
	static const struct bytes hex = { "${hex:", 6 }, unicode = { "${unicode:", 10 };
	while (in.n) {
		bool is_hex = bytes_case_starts(in, hex), is_unicode = bytes_case_starts(in, unicode);
		size_t head = is_hex ? hex.n : unicode.n, start = out->n;
		ptrdiff_t end = is_hex || is_unicode ? bytes_find(in, '}') : -1;
		int r = end < 0 ? 0 : decode(bytes_make(in.p + head, (size_t)end - head), is_unicode, out);
		if (r < 0)
			return sieve_complain(c, pos, "\"%.*s\" is no character", BYTES_ARG(bytes_first(in, (size_t)end + 1 < 60 ? (size_t)end + 1 : 60)));
		if (r == 0) {
			out->n = start;
			buf_add_char(out, *in.p);
		}
		in = bytes_skip(in, r ? (size_t)end + 1 : 1);
	}
	return 0;
}

const struct sieve_extension ext_encoded_character = { .name = "encoded-character", .rewrite = rewrite };
