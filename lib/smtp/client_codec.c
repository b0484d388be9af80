/*
 * client_codec.c: replies and capabilities of a server.
 */
#include "lib/smtp/client_codec.h"

#include "lib/base/mem.h"

#include <errno.h>

/* Reply-code = %x32-35 %x30-35 %x30-39.  The second digit is taken as it comes: servers have said 591 and worse. */
static unsigned codec_code(struct bytes line)
{
	uint64_t code;

	if (line.n < 3 || bytes_to_u64(bytes_first(line, 3), 599, &code) < 0 || code < 200)
		return 0;
	return line.n == 3 || line.p[3] == ' ' || line.p[3] == '-' ? (unsigned)code : 0;
}

/* The enhanced code at the front of *TEXT, cut off, when its class fits the code (RFC 2034 section 4); else empty. */
static struct bytes codec_take_enhanced(unsigned code, struct bytes *text)
{
	struct bytes rest = *text, word = bytes_word(&rest);

	/* bytes_word() skips blanks: a word that does not stand at the very front is text. */
	if (word.p != text->p || !smtp_enhanced_valid(word) || (unsigned)(*word.p - '0') != code / 100)
		return BYTES("");
	*text = rest.n ? bytes_skip(rest, 1) : rest;
	return word;
}

/* The enhanced code stands on each line; a line with another one, or none, keeps its text whole. */
static struct bytes codec_text(struct smtp_reply_parser *p, struct bytes text)
{
	struct bytes rest = text, enhanced = codec_take_enhanced(p->code, &rest);

	if (enhanced.n == 0)
		return text;
	if (p->lines == 0)
		memcpy(p->enhanced, enhanced.p, enhanced.n);
	return bytes_eq(bytes_of(p->enhanced), enhanced) ? rest : text;
}

int smtp_reply_parser_line(struct smtp_reply_parser *p, struct bytes line)
{
	unsigned code = codec_code(line);

	if (code == 0 || line.n > SMTP_REPLY_LINE_MAX || p->lines == SMTP_REPLY_LINES_MAX)
		return -EPROTO;
	/* RFC 5321 4.2.1: the reply code is the same on each line. */
	if (p->lines && code != p->code)
		return -EPROTO;
	if (p->text.n + line.n > SMTP_REPLY_BYTES_MAX)
		return -EPROTO;
	p->code = code;
	if (p->lines)
		buf_add_char(&p->text, '\n');
	struct bytes text = line.n > 4 ? codec_text(p, bytes_skip(line, 4)) : BYTES("");
	p->lines++;
	/* The text becomes a C string, whose lines LF divides. */
	for (size_t i = 0; i < text.n; i++)
		buf_add_char(&p->text, text.p[i] && text.p[i] != '\n' ? text.p[i] : '?');
	return line.n == 3 || line.p[3] == ' ';
}

void smtp_reply_parser_take(struct smtp_reply_parser *p, struct arena *arena, struct smtp_reply *ret)
{
	*ret = (struct smtp_reply){ .code = p->code, .text = arena_str(arena, buf_bytes(&p->text)) };
	memcpy(ret->enhanced, p->enhanced, sizeof ret->enhanced);
	p->code = p->lines = 0;
	memset(p->enhanced, 0, sizeof p->enhanced);
	buf_clear(&p->text);
}

void smtp_reply_parser_fini(struct smtp_reply_parser *p)
{
	buf_fini(&p->text);
	*p = (struct smtp_reply_parser){ 0 };
}

/* ---- capabilities ---- */

static bool codec_has_word(struct bytes words, struct bytes word)
{
	for (struct bytes have; (have = bytes_word(&words)).n;)
		if (bytes_case_eq(have, word))
			return true;
	return false;
}

/* Adds the words of FROM that are not yet in TO; one that does not fit is left out whole. */
static void codec_add_words(char *to, size_t size, struct bytes from)
{
	size_t n = strlen(to);

	for (struct bytes word; (word = bytes_word(&from)).n;) {
		if (n + word.n + 2 > size || codec_has_word(bytes_of(to), word))
			continue;
		if (n)
			to[n++] = ' ';
		memcpy(to + n, word.p, word.n);
		n += word.n;
		to[n] = '\0';
	}
}

static const struct {
	const char *keyword;
	unsigned flag;
} codec_caps[] = {
	{ "PIPELINING", SMTP_CAP_PIPELINING }, { "8BITMIME", SMTP_CAP_8BITMIME },       { "SIZE", SMTP_CAP_SIZE },
	{ "DSN", SMTP_CAP_DSN },               { "CHUNKING", SMTP_CAP_CHUNKING },       { "BINARYMIME", SMTP_CAP_BINARYMIME },
	{ "SMTPUTF8", SMTP_CAP_SMTPUTF8 },     { "STARTTLS", SMTP_CAP_STARTTLS },       { "XCLIENT", SMTP_CAP_XCLIENT },
	{ "AUTH", SMTP_CAP_AUTH },             { "XFORWARD", SMTP_CAP_XFORWARD },       { "REQUIRETLS", SMTP_CAP_REQUIRETLS },
	{ "ENHANCEDSTATUSCODES", SMTP_CAP_ENHANCED },
};

static unsigned codec_cap_flag(struct bytes keyword)
{
	for (size_t i = 0; i < COUNT_OF(codec_caps); i++)
		if (bytes_case_eq(keyword, bytes_of(codec_caps[i].keyword)))
			return codec_caps[i].flag;
	return 0;
}

/* RFC 9422: LIMITS SP name=value ...; only what we can heed. */
static void codec_limits(struct bytes words, struct smtp_caps *caps)
{
	uint64_t most;

	for (struct bytes value; (value = bytes_word(&words)).n;) {
		struct bytes name = bytes_cut(&value, '=');
		if (bytes_case_eq(name, BYTES("RCPTMAX")) && bytes_to_u64(value, 999999, &most) == 0)
			caps->rcpt_max = (unsigned)most;
	}
}

static void codec_cap_line(struct bytes line, struct smtp_caps *caps)
{
	struct bytes words = line, keyword = bytes_word(&words), size = words;

	/* "AUTH=LOGIN PLAIN" is what servers said before RFC 2554, and some still say it for old clients. */
	if (bytes_case_starts(keyword, BYTES("AUTH="))) {
		words = bytes_make(keyword.p + 5, (size_t)(line.p + line.n - keyword.p) - 5);
		keyword = bytes_first(keyword, 4);
	}
	unsigned flag = codec_cap_flag(keyword);
	caps->flags |= flag;
	if (flag == SMTP_CAP_SIZE && bytes_to_u64(bytes_word(&size), UINT64_MAX, &caps->size) < 0)
		caps->size = 0;
	else if (flag == SMTP_CAP_AUTH)
		codec_add_words(caps->auth, sizeof caps->auth, words);
	else if (flag == SMTP_CAP_XCLIENT)
		codec_add_words(caps->xclient, sizeof caps->xclient, words);
	else if (bytes_case_eq(keyword, BYTES("LIMITS")))
		codec_limits(words, caps);
}

void smtp_caps_parse(const struct smtp_reply *ehlo, struct smtp_caps *ret)
{
	struct bytes rest = bytes_of(ehlo->text);
	struct smtp_caps caps = { 0 };

	/* The first line greets. */
	bytes_cut(&rest, '\n');
	while (rest.p)
		codec_cap_line(bytes_cut(&rest, '\n'), &caps);
	*ret = caps;
}
