/*
 * address.c: the mailbox of RFC 5321 section 4.1.2
 *
 *	Mailbox        = Local-part "@" ( Domain / address-literal )
 *	Local-part     = Dot-string / Quoted-string
 *	Quoted-string  = DQUOTE *( qtextSMTP / quoted-pairSMTP ) DQUOTE
 *	Domain         = sub-domain *("." sub-domain)
 *
 * with the tolerance that address.h tells of, and UTF-8 wherever letters may stand (RFC 6531 section 3.3).
 */
#include "lib/smtp/address.h"

#include <arpa/inet.h>
#include <errno.h>

enum { ADDRESS_PATH_MAX = 256, ADDRESS_LABEL_MAX = 63 };

static bool address_letter_or_digit(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c > 127;
}

static bool address_atext(char c)
{
	return address_letter_or_digit((unsigned char)c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Length of the quoted string at the front of TEXT, quotes included; 0 if it is none. */
static size_t address_quoted_length(struct bytes text)
{
	for (size_t i = 1; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c == '"')
			return i + 1;
		/* quoted-pairSMTP = %d92 %d32-126 */
		if (c == '\\' && ++i < text.n)
			c = (unsigned char)text.p[i];
		if (c < ' ' || c == 127)
			return 0;
	}
	return 0;
}

/* Length of the local part at the front of TEXT; 0 if it is none.  Atoms and quoted strings may be mixed, parted by dots
 * (RFC 5321 knows one or the other, RFC 5322 mixes them). */
static size_t address_local_length(struct bytes text)
{
	size_t i = 0;
	bool word_begins = true;

	while (i < text.n && text.p[i] != '@') {
		size_t n = 1;
		if (text.p[i] == '"') {
			n = word_begins ? address_quoted_length(bytes_skip(text, i)) : 0;
			bool ends = i + n == text.n || text.p[i + n] == '.' || text.p[i + n] == '@';
			if (n == 0 || !ends)
				return 0;
		} else if (text.p[i] != '.' && !address_atext(text.p[i])) {
			return 0;
		}
		word_begins = text.p[i] == '.';
		i += n;
	}
	return i;
}

static bool address_literal_ok(struct bytes domain)
{
	unsigned char binary[16];
	char text[64];

	if (domain.p[domain.n - 1] != ']' || domain.n - 2 >= sizeof text)
		return false;
	struct bytes inner = bytes_make(domain.p + 1, domain.n - 2);
	int family = AF_INET;
	/* IPv6-address-literal = "IPv6:" IPv6-addr; no other tag was ever registered. */
	if (bytes_case_starts(inner, BYTES("IPv6:"))) {
		family = AF_INET6;
		inner = bytes_skip(inner, 5);
	}
	memcpy(text, inner.p, inner.n);
	text[inner.n] = '\0';
	return bytes_find(inner, '\0') < 0 && inet_pton(family, text, binary) == 1;
}

static bool address_label_ok(struct bytes label)
{
	if (label.n == 0 || label.n > ADDRESS_LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!address_letter_or_digit((unsigned char)label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	return true;
}

static bool address_numeric(struct bytes domain)
{
	for (size_t i = 0; i < domain.n; i++)
		if (domain.p[i] != '.' && (domain.p[i] < '0' || domain.p[i] > '9'))
			return false;
	return true;
}

static bool address_domain_ok(struct bytes domain)
{
	if (domain.n == 0 || address_numeric(domain))
		return false;
	if (domain.p[0] == '[')
		return address_literal_ok(domain);
	while (domain.p)
		if (!address_label_ok(bytes_cut(&domain, '.')))
			return false;
	return true;
}

static struct bytes address_unquote(struct bytes local, struct arena *arena)
{
	if (bytes_find(local, '"') < 0)
		return local;
	char *to = arena_str(arena, local);
	size_t n = 0;
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"')
			continue;
		if (local.p[i] == '\\')
			i++;
		to[n++] = local.p[i];
	}
	to[n] = '\0';
	return bytes_make(to, n);
}

static bool address_has_8bit(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if ((unsigned char)b.p[i] > 127)
			return true;
	return false;
}

int smtp_address_parse(struct bytes text, struct arena *arena, struct smtp_address *ret)
{
	size_t local = address_local_length(text);
	bool domain = local < text.n;

	if (local == 0 || (domain && text.p[local] != '@'))
		return -EINVAL;
	if (domain && text.p[text.n - 1] == '.')
		text.n--;
	if (domain && !address_domain_ok(bytes_skip(text, local + 1)))
		return -EINVAL;
	bool utf8 = address_has_8bit(text);
	if (text.n + 2 > ADDRESS_PATH_MAX || (utf8 && !bytes_utf8(text)))
		return -EINVAL;
	/* "" is a quoted string, but nobody's mailbox. */
	if (bytes_eq(bytes_first(text, local), BYTES("\"\"")))
		return -EINVAL;

	struct bytes address = arena_bytes(arena, text);
	*ret = (struct smtp_address){
		.address = address,
		.local = address_unquote(bytes_first(address, local), arena),
		.domain = domain ? bytes_skip(address, local + 1) : bytes_make(address.p + address.n, 0),
		.utf8 = utf8,
	};
	return 0;
}

static bool address_needs_quotes(struct bytes local)
{
	for (size_t i = 0; i < local.n; i++)
		if (local.p[i] != '.' && !address_atext(local.p[i]))
			return true;
	return false;
}

void smtp_address_quote_local(struct bytes local, struct buf *to)
{
	bool quotes = local.n == 0 || address_needs_quotes(local);

	buf_add_str(to, quotes ? "\"" : "");
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			buf_add_char(to, '\\');
		buf_add_char(to, local.p[i]);
	}
	buf_add_str(to, quotes ? "\"" : "");
}

void smtp_address_quote(struct bytes plain, struct buf *to)
{
	ptrdiff_t at = bytes_rfind(plain, '@');
	struct bytes local = at < 0 ? plain : bytes_first(plain, (size_t)at);

	/* "@domain" has none. */
	if (at != 0)
		smtp_address_quote_local(local, to);
	buf_add(to, bytes_skip(plain, local.n));
}

/* Length of TEXT's local part, if there are quotes in it. */
static size_t address_quotes_in(struct bytes text)
{
	size_t n = address_local_length(text);
	return bytes_find(bytes_first(text, n), '"') >= 0 && (n == text.n || text.p[n] == '@') ? n : 0;
}

void smtp_address_plain(struct bytes text, struct buf *to)
{
	size_t n = address_quotes_in(text);

	for (size_t i = 0; i < n; i++) {
		if (text.p[i] == '"')
			continue;
		i += text.p[i] == '\\' && i + 1 < n;
		buf_add_char(to, text.p[i]);
	}
	buf_add(to, bytes_skip(text, n));
}

void smtp_address_tidy(struct bytes text, struct buf *to)
{
	size_t n = address_quotes_in(text);
	struct buf plain = { 0 };

	if (n) {
		smtp_address_plain(bytes_first(text, n), &plain);
		smtp_address_quote_local(buf_bytes(&plain), to);
		buf_fini(&plain);
	}
	buf_add(to, bytes_skip(text, n));
}

bool smtp_address_eq(const struct smtp_address *a, const struct smtp_address *b)
{
	return bytes_eq(a->local, b->local) && bytes_case_eq(a->domain, b->domain);
}
