/*
 * sieve_words.c: encoded words in header fields (RFC 2047).
 *
 *	encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="
 *
 * Words that cannot be decoded stay as they are; white space between two words that can be is dropped (section 6.2).
 */
#include "sieve/sieve_private.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <iconv.h>

/* ---- taking a word apart ---- */

struct word {
	struct bytes charset, text;
	char encoding;                  /* 'q' or 'b' */
	size_t length;                  /* of the whole */
};

/* Cuts at "?": what stands before it, -EINVAL when it holds a blank or there is no "?". */
static int cut(struct bytes *rest, struct bytes *ret)
{
	for (size_t i = 0; i < rest->n; i++) {
		if (rest->p[i] == '?') {
			*ret = bytes_first(*rest, i);
			*rest = bytes_skip(*rest, i + 1);
			return 0;
		}
		if (rest->p[i] <= ' ' && rest->p[i] >= 0)
			break;
	}
	return -EINVAL;
}

/* TEXT begins with "=?". */
static int parse(struct bytes text, struct word *ret)
{
	struct bytes rest = bytes_skip(text, 2), encoding;
	if (cut(&rest, &ret->charset) || !ret->charset.n || cut(&rest, &encoding) || encoding.n != 1)
		return -EINVAL;
	ret->encoding = (char)(encoding.p[0] | 0x20);
	if (ret->encoding != 'q' && ret->encoding != 'b')
		return -EINVAL;
	/* Many senders leave blanks in "Q" text, which the grammar forbids; the end is "?=" all the same. */
	ptrdiff_t end = bytes_search(rest, BYTES("?="));
	if (end < 0)
		return -EINVAL;
	ret->text = bytes_first(rest, (size_t)end);
	ret->length = (size_t)(rest.p - text.p) + (size_t)end + 2;
	ptrdiff_t language = bytes_find(ret->charset, '*');     /* RFC 2231 section 5 */
	if (language >= 0)
		ret->charset.n = (size_t)language;
	return 0;
}

/* ---- transfer encodings ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static void decode_q(struct bytes in, struct buf *to)
{
	for (size_t i = 0; i < in.n; i++) {
		int high = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1, low = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
		if (in.p[i] == '=' && high >= 0 && low >= 0) {
			buf_add_char(to, (char)(high << 4 | low));
			i += 2;
		} else {
			buf_add_char(to, in.p[i] == '_' ? ' ' : in.p[i]);
		}
	}
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

static void decode_b(struct bytes in, struct buf *to)
{
	unsigned bits = 0, have = 0;
	for (size_t i = 0; i < in.n; i++) {
		int d = base64_digit(in.p[i]);
		if (d < 0)
			continue;
		bits = (bits << 6 | (unsigned)d) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_add_char(to, (char)(bits >> have));
		}
	}
}

/* ---- character sets ---- */

static void add_utf8(struct buf *to, unsigned c)
{
	if (c < 0x80) {
		buf_add_char(to, (char)c);
		return;
	}
	buf_add_char(to, (char)(0xc0 | c >> 6));
	buf_add_char(to, (char)(0x80 | (c & 0x3f)));
}

static bool is_one_of(struct bytes name, const char *const *names)
{
	for (; *names; names++)
		if (bytes_case_eq(name, bytes_of(*names)))
			return true;
	return false;
}

static int convert(iconv_t cd, const struct buf *in, struct buf *to)
{
	char *from = in->p;
	size_t left = in->n;
	while (left) {
		char *at = buf_room(to, 4 * left + 16);
		size_t room = 4 * left + 16, before = room;
		size_t n = iconv(cd, &from, &left, &at, &room);
		buf_grown(to, before - room);
		if (n == (size_t)-1 && errno != E2BIG)
			return -EINVAL;
	}
	return 0;
}

static int convert_slowly(struct bytes charset, const struct buf *in, struct buf *to)
{
	char name[64];
	if (charset.n >= sizeof name || bytes_find(charset, '/') >= 0)
		return -EINVAL;
	memcpy(name, charset.p, charset.n);
	name[charset.n] = '\0';
	iconv_t cd = iconv_open("UTF-8", name);
	if ((intptr_t)cd == -1)
		return -EINVAL;
	size_t start = to->n;
	int r = convert(cd, in, to);
	iconv_close(cd);
	if (r)
		to->n = start;
	return r;
}

/* Appends IN as UTF-8.  -EINVAL: the character set is not known, or IN is not in it. */
static int to_utf8(struct bytes charset, const struct buf *in, bool may_block, struct buf *to)
{
	static const char *const ours[] = { "utf-8", "us-ascii", "utf8", "ascii", NULL };
	static const char *const latin[] = { "iso-8859-1", "latin1", NULL };
	if (is_one_of(charset, ours)) {
		buf_add(to, buf_bytes(in));
		return 0;
	}
	if (is_one_of(charset, latin)) {
		for (size_t i = 0; i < in->n; i++)
			add_utf8(to, (unsigned char)in->p[i]);
		return 0;
	}
	return may_block ? convert_slowly(charset, in, to) : -EAGAIN;
}

/* ---- decoding ---- */

static int decode_word(const struct word *w, bool may_block, struct buf *to)
{
	struct buf raw = { 0 };
	if (w->encoding == 'q')
		decode_q(w->text, &raw);
	else
		decode_b(w->text, &raw);
	int r = to_utf8(w->charset, &raw, may_block, to);
	buf_fini(&raw);
	return r;
}

int sieve_words_decode(struct bytes text, bool may_block, struct buf *to)
{
	size_t start = to->n, gap = to->n;      /* gap: where what follows a decoded word begins */
	bool after_word = false;
	while (text.n) {
		struct word w = { .length = 1 };
		size_t end = to->n;
		int r = bytes_starts(text, BYTES("=?")) ? parse(text, &w) : -EINVAL;
		if (!r)
			r = decode_word(&w, may_block, to);
		if (r == -EAGAIN) {
			to->n = start;
			return r;
		}
		if (r) {
			buf_add(to, bytes_first(text, w.length));
		} else {
			if (after_word && !bytes_trim(bytes_make(to->p + gap, end - gap)).n) {
				memmove(to->p + gap, to->p + end, to->n - end);
				to->n -= end - gap;
			}
			after_word = true;
			gap = to->n;
		}
		text = bytes_skip(text, w.length);
	}
	return 0;
}

/* ---- encoding ---- */

enum {
	FOLD_COLUMN = 78,       /* RFC 5322 section 2.1.1 */
	WORD_BYTES = 45,        /* make a word of 72 characters; RFC 2047 section 2 allows 75 */
	WORD_FRAME = 12,        /* of an encoded word: all but its text */
};

static bool is_ascii(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] & 0x80)
			return false;
	return true;
}

static void encode_b(struct bytes in, struct buf *to)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < in.n; i += 3) {
		unsigned v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < in.n ? (unsigned char)in.p[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			buf_add_char(to, i + k <= in.n ? digits[v >> (18 - 6 * k) & 63] : '=');
	}
}

/* How much of TEXT goes into one encoded word that begins at COLUMN: no character is divided. */
static size_t word_bytes(struct bytes text, size_t column)
{
	size_t room = column + WORD_FRAME < FOLD_COLUMN ? (FOLD_COLUMN - column - WORD_FRAME) / 4 * 3 : 0;
	size_t n = room < 12 || room > WORD_BYTES ? WORD_BYTES : room;
	if (text.n <= n)
		return text.n;
	for (size_t whole = n; whole > n - 4; whole--)
		if (((unsigned char)text.p[whole] & 0xc0) != 0x80)
			return whole;
	return n;
}

struct folding {
	struct buf *to;
	size_t column;
};

/* Puts BLANKS and WORD, on a new line if this one gets too long. */
static void put(struct folding *f, struct bytes blanks, struct bytes word)
{
	if (blanks.n && f->column + blanks.n + word.n > FOLD_COLUMN) {
		buf_add_char(f->to, '\n');
		f->column = 0;
	}
	buf_add(f->to, blanks);
	buf_add(f->to, word);
	f->column += blanks.n + word.n;
}

static void put_encoded(struct folding *f, struct bytes blanks, struct bytes text)
{
	while (text.n) {
		struct buf word = { 0 };
		size_t n = word_bytes(text, f->column + blanks.n);
		buf_add_str(&word, "=?UTF-8?B?");
		encode_b(bytes_first(text, n), &word);
		buf_add_str(&word, "?=");
		put(f, blanks, buf_bytes(&word));
		buf_fini(&word);
		blanks = BYTES(" ");
		text = bytes_skip(text, n);
	}
}

static size_t span(struct bytes b, bool blank)
{
	size_t n = 0;
	while (n < b.n && (strchr(" \t\r\n", b.p[n] ? b.p[n] : 'x') != NULL) == blank)
		n++;
	return n;
}

/* The next word, and all those behind it that cannot stay as they are either, with the blanks between them. */
static struct bytes take_run(struct bytes *rest)
{
	struct bytes word = bytes_first(*rest, span(*rest, false));
	*rest = bytes_skip(*rest, word.n);
	while (!is_ascii(word)) {
		size_t blanks = span(*rest, true);
		struct bytes next = bytes_skip(*rest, blanks);
		next = bytes_first(next, span(next, false));
		if (is_ascii(next))
			break;
		word.n += blanks + next.n;
		*rest = bytes_skip(*rest, blanks + next.n);
	}
	return word;
}

void sieve_words_encode(struct bytes text, size_t column, struct buf *to)
{
	struct folding f = { to, column };
	while (text.n) {
		struct bytes blanks = bytes_first(text, span(text, true));
		text = bytes_skip(text, blanks.n);
		if (bytes_find(blanks, '\n') >= 0 || bytes_find(blanks, '\r') >= 0)
			blanks = BYTES(" ");
		struct bytes word = take_run(&text);
		if (is_ascii(word))
			put(&f, blanks, word);
		else
			put_encoded(&f, blanks, word);
	}
}
