/*
 * milter_codec.c: the milter protocol, versions 2 to 6.
 *
 * A host (we) connects to a filter and asks; the filter answers.  Both sides send frames:
 *
 *	length  4 bytes, most significant first: of all that follows
 *	command 1 byte
 *	data    as the command wants
 *
 * In the data a string ends with a NUL, a number is 4 bytes, most significant first.
 *
 * NEGOTIATION  We open with O: version, actions (edits we would obey), protocol (events we would leave out, replies we would not
 *	wait for).  The filter answers O with its own: a version not above ours, a subset of the actions.  Behind them may stand
 *	pairs of a number and a string: the macros it wants at a stage (0 connect, 1 helo, 2 mail, 3 rcpt, 4 data, 5 end of
 *	message, 6 end of header).
 *
 * EVENTS  C host name, family (4, 6, L, U), and but for U: port (2 bytes), address.  H name.  M, R the path and each ESMTP
 *	parameter, as strings.  T data.  U an unknown command.  L header name and value.  N end of header.  B a piece of body, at most
 *	65535 bytes, no NUL.  E end of message.  A abort: forget this message.  Q quit.  Before an event may stand D: the event's command byte
 *	and pairs of strings, macros and their values.
 *
 * REPLIES  One verdict to each event, unless the filter said at the start that it does not answer this one (A, Q and D never are):
 *	c continue, a accept, r reject, t tempfail, d discard, s skip (no more events of this kind), y reply code and text, 4 shut
 *	down (421), f fail the connection.  Before its verdict it may send p (progress: I still work), and at the end of the message edits: h add
 *	header (name, value), i insert header (index, name, value), m change header (index, name, value), b a piece of the new body,
 *	+ add recipient, 2 add recipient with parameters, - delete recipient, e change sender, q quarantine (reason).
 *
 * Nothing may follow a reply's data within its frame, and every string must have its NUL.
 */
#include "milter/milter_codec.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

/* ---- what is agreed on ---- */

#define ACTIONS_V2                                                                                                      \
	(SMFIF_ADDHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT | SMFIF_DELRCPT | SMFIF_CHGHDRS | SMFIF_QUARANTINE)
#define PROTOCOL_V2                                                                                                     \
	(SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NOBODY | SMFIP_NOHDRS | SMFIP_NOEOH)

struct milter_terms milter_codec_offer(unsigned version)
{
	struct milter_terms t = { .version = version, .actions = ACTIONS_V2, .protocol = PROTOCOL_V2 };
	ASSERT(version >= 2 && version <= 6);
	if (version >= 3)
		t.protocol |= SMFIP_NOUNKNOWN;
	if (version >= 4)
		t.protocol |= SMFIP_NODATA;
	if (version >= 6) {
		t.actions = SMFI_CURR_ACTS;
		t.protocol = SMFI_CURR_PROT;
	}
	return t;
}

void milter_codec_negotiate(struct buf *out, const struct milter_terms *offer)
{
	size_t begun = milter_codec_begin(out, SMFIC_OPTNEG);
	buf_add_u32be(out, offer->version);
	buf_add_u32be(out, offer->actions);
	buf_add_u32be(out, offer->protocol);
	milter_codec_end(out, begun);
}

static bool milter_codec_take_u32(struct bytes *data, uint32_t *ret)
{
	if (data->n < 4)
		return false;
	const unsigned char *p = (const unsigned char *)data->p;
	*ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	*data = bytes_skip(*data, 4);
	return true;
}

static bool milter_codec_take_string(struct bytes *data, struct bytes *ret)
{
	ptrdiff_t nul = bytes_find(*data, '\0');
	if (nul < 0)
		return false;
	*ret = bytes_first(*data, nul);
	*data = bytes_skip(*data, nul + 1);
	return true;
}

static int milter_codec_take_symbols(struct bytes data, struct bytes symbols[static MILTER_SYMBOL_STAGES])
{
	while (data.n > 0) {
		uint32_t stage;
		struct bytes list;
		if (!milter_codec_take_u32(&data, &stage) || !milter_codec_take_string(&data, &list))
			return -EPROTO;
		if (stage < MILTER_SYMBOL_STAGES) /* an unknown stage is skipped (M3) */
			symbols[stage] = list;
	}
	return 0;
}

int milter_codec_agree(struct bytes frame, const struct milter_terms *offer, struct milter_terms *ret,
		       struct bytes symbols[static MILTER_SYMBOL_STAGES], const char **ret_why)
{
	struct milter_terms t;
	struct bytes data = bytes_skip(frame, 1);
	memset(symbols, 0, sizeof(*symbols) * MILTER_SYMBOL_STAGES);
	if (frame.p[0] != SMFIC_OPTNEG)
		*ret_why = "the answer to the negotiation is something else";
	else if (!milter_codec_take_u32(&data, &t.version) || !milter_codec_take_u32(&data, &t.actions) ||
		 !milter_codec_take_u32(&data, &t.protocol))
		*ret_why = "the answer to the negotiation is too short";
	else if (t.version < 2)
		*ret_why = "it speaks version 1, or none";
	else if (t.version > offer->version)
		*ret_why = "it wants a newer version than it was offered";
	else if (t.actions & ~offer->actions)
		*ret_why = "it wants edits that it was not offered";
	else if (milter_codec_take_symbols(data, symbols) < 0)
		*ret_why = "its macro lists are malformed";
	else {
		t.protocol &= offer->protocol; /* others are for a host that knows them */
		*ret = t;
		return 0;
	}
	return -EPROTO;
}

/* ---- events ---- */

static const struct milter_event events[] = {
	{ SMFIC_CONNECT, "connect", 2, SMFIP_NOCONNECT, SMFIP_NR_CONN },
	{ SMFIC_HELO, "helo", 2, SMFIP_NOHELO, SMFIP_NR_HELO },
	{ SMFIC_MAIL, "mail", 2, SMFIP_NOMAIL, SMFIP_NR_MAIL },
	{ SMFIC_RCPT, "rcpt", 2, SMFIP_NORCPT, SMFIP_NR_RCPT },
	{ SMFIC_DATA, "data", 4, SMFIP_NODATA, SMFIP_NR_DATA },
	{ SMFIC_UNKNOWN, "unknown", 3, SMFIP_NOUNKNOWN, SMFIP_NR_UNKN },
	{ SMFIC_HEADER, "header", 2, SMFIP_NOHDRS, SMFIP_NR_HDR },
	{ SMFIC_EOH, "eoh", 2, SMFIP_NOEOH, SMFIP_NR_EOH },
	{ SMFIC_BODY, "body", 2, SMFIP_NOBODY, SMFIP_NR_BODY },
	{ SMFIC_BODYEOB, "eom", 2, 0, 0 },
};

const struct milter_event *milter_codec_event(char command)
{
	for (unsigned i = 0; i < COUNT_OF(events); i++) {
		if (events[i].command == command)
			return &events[i];
	}
	ASSERT(!"a command of the table");
	return NULL;
}

size_t milter_codec_begin(struct buf *out, char command)
{
	size_t begun = out->n;
	buf_add_u32be(out, 0);
	buf_add_char(out, command);
	return begun;
}

void milter_codec_end(struct buf *out, size_t begun)
{
	uint32_t n = out->n - begun - MILTER_LENGTH_BYTES;
	unsigned char *p = (unsigned char *)out->p + begun;
	p[0] = n >> 24;
	p[1] = n >> 16;
	p[2] = n >> 8;
	p[3] = n;
}

void milter_codec_put_string(struct buf *out, struct bytes s)
{
	for (;;) {
		ptrdiff_t nul = bytes_find(s, '\0');
		if (nul < 0)
			break;
		buf_add(out, bytes_first(s, nul));
		s = bytes_skip(s, nul + 1);
	}
	buf_add(out, s);
	buf_add_char(out, '\0');
}

void milter_codec_put_bare(struct buf *out, char command)
{
	milter_codec_end(out, milter_codec_begin(out, command));
}

void milter_codec_put_connect(struct buf *out, const struct milter_peer *peer)
{
	size_t begun = milter_codec_begin(out, SMFIC_CONNECT);
	milter_codec_put_string(out, peer->name);
	buf_add_char(out, peer->family);
	if (peer->family != SMFIA_UNKNOWN) {
		buf_add_char(out, peer->port >> 8);
		buf_add_char(out, peer->port & 0xff);
		milter_codec_put_string(out, peer->address);
	}
	milter_codec_end(out, begun);
}

void milter_codec_put_text(struct buf *out, char command, struct bytes text)
{
	size_t begun = milter_codec_begin(out, command);
	milter_codec_put_string(out, text);
	milter_codec_end(out, begun);
}

/* A folded value goes out with bare LF, its white space kept (M21). */
static void milter_codec_put_unfolded(struct buf *out, struct bytes value)
{
	for (;;) {
		ptrdiff_t crlf = bytes_search(value, BYTES("\r\n"));
		if (crlf < 0)
			break;
		buf_add(out, bytes_first(value, crlf));
		buf_add_char(out, '\n');
		value = bytes_skip(value, crlf + 2);
	}
	milter_codec_put_string(out, value);
}

bool milter_codec_put_header(struct buf *out, const struct milter_header *h)
{
	size_t begun = milter_codec_begin(out, SMFIC_HEADER), data = out->n;
	struct bytes value = h->raw_value;
	milter_codec_put_string(out, bytes_first(h->name, h->most - 2));
	if (!h->keep_blank && value.n > 0 && value.p[0] == ' ')
		value = bytes_skip(value, 1);
	milter_codec_put_unfolded(out, value);
	bool cut = out->n - data > h->most;
	if (cut) {
		out->n = data + h->most - 1;
		buf_add_char(out, '\0');
	}
	milter_codec_end(out, begun);
	return !cut;
}

void milter_codec_put_chunk_head(struct buf *out, size_t n)
{
	ASSERT(n <= MILTER_CHUNK_MAX);
	buf_add_u32be(out, 1 + n);
	buf_add_char(out, SMFIC_BODY);
}

/* ---- replies ---- */

/* Layouts: n a number, s a string, S a string that may be missing, * all that is left. */
static const struct milter_reply_kind kinds[] = {
	{ SMFIR_CONTINUE, "continue", "", MILTER_VERDICT, 0 },
	{ SMFIR_ACCEPT, "accept", "", MILTER_VERDICT, 0 },
	{ SMFIR_REJECT, "reject", "", MILTER_VERDICT, 0 },
	{ SMFIR_TEMPFAIL, "tempfail", "", MILTER_VERDICT, 0 },
	{ SMFIR_DISCARD, "discard", "", MILTER_VERDICT, 0 },
	{ SMFIR_SKIP, "skip", "", MILTER_VERDICT, 0 },
	{ SMFIR_REPLYCODE, "replycode", "s", MILTER_VERDICT, 0 },
	{ SMFIR_SHUTDOWN, "shutdown", "", MILTER_VERDICT, 0 },
	{ SMFIR_CONN_FAIL, "conn_fail", "", MILTER_VERDICT, 0 },
	{ SMFIR_PROGRESS, "progress", "", MILTER_PROGRESS, 0 },
	{ SMFIR_ADDHEADER, "addheader", "ss", MILTER_EDIT, SMFIF_ADDHDRS },
	{ SMFIR_INSHEADER, "insheader", "nss", MILTER_EDIT, SMFIF_ADDHDRS },
	{ SMFIR_CHGHEADER, "chgheader", "nss", MILTER_EDIT, SMFIF_CHGHDRS },
	{ SMFIR_REPLBODY, "replbody", "*", MILTER_EDIT, SMFIF_CHGBODY },
	{ SMFIR_ADDRCPT, "addrcpt", "s", MILTER_EDIT, SMFIF_ADDRCPT },
	{ SMFIR_ADDRCPT_PAR, "addrcpt_par", "sS", MILTER_EDIT, SMFIF_ADDRCPT_PAR },
	{ SMFIR_DELRCPT, "delrcpt", "s", MILTER_EDIT, SMFIF_DELRCPT },
	{ SMFIR_CHGFROM, "chgfrom", "sS", MILTER_EDIT, SMFIF_CHGFROM },
	{ SMFIR_QUARANTINE, "quarantine", "s", MILTER_EDIT, SMFIF_QUARANTINE },
	{ SMFIC_OPTNEG, "optneg", "*", MILTER_TERMS, 0 },
};

static const struct milter_reply_kind *milter_codec_kind(char code)
{
	for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
		if (kinds[i].code == code)
			return &kinds[i];
	}
	return NULL;
}

int milter_codec_frame(struct bytes in, size_t most, struct bytes *ret, const char **ret_why)
{
	uint32_t n;
	if (!milter_codec_take_u32(&in, &n))
		return 0;
	if (n == 0 || n > most) {
		*ret_why = n == 0 ? "a reply without a code" : "a reply is too long";
		return -EPROTO;
	}
	if (in.n < n)
		return 0;
	*ret = bytes_first(in, n);
	return 1;
}

/* Takes DATA apart as LAYOUT says: NULL, or what is wrong. */
static const char *milter_codec_take_fields(const char *layout, struct bytes data, struct milter_reply *r)
{
	unsigned texts = 0;
	for (; *layout; layout++) {
		switch (*layout) {
		case 'n':
			if (!milter_codec_take_u32(&data, &r->index))
				return "a reply's number is cut off";
			break;
		case '*':
			r->text[texts++] = data;
			data.n = 0;
			break;
		case 'S':
			if (data.n == 0)
				break;
			/* fall through */
		default:
			if (!milter_codec_take_string(&data, &r->text[texts++]))
				return "a reply's text does not end";
		}
	}
	return data.n > 0 ? "a reply is followed by something" : NULL;
}

int milter_codec_reply(struct bytes frame, struct milter_reply *ret, const char **ret_why)
{
	struct milter_reply r = { .kind = milter_codec_kind(frame.p[0]) };
	const char *why = "a reply of no known kind";
	if (r.kind)
		why = milter_codec_take_fields(r.kind->layout, bytes_skip(frame, 1), &r);
	if (why) {
		*ret_why = why;
		return -EPROTO;
	}
	*ret = r;
	return 0;
}

/* ---- the text of a reply ---- */

static bool milter_codec_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "550-..." or "550 ...", and no enhanced code of another class (M37).  Postfix takes any digit there for one. */
static bool milter_codec_line_valid(struct bytes line, struct bytes code)
{
	if (line.n < 4 || (line.p[0] != '4' && line.p[0] != '5') || !milter_codec_digit(line.p[1]) || !milter_codec_digit(line.p[2]))
		return false;
	if (line.p[3] != ' ' && line.p[3] != '-')
		return false;
	if (line.n > 5 && milter_codec_digit(line.p[4]) && line.p[5] == '.' && line.p[4] != line.p[0])
		return false;
	return bytes_eq(bytes_first(line, 3), code);
}

/* The enhanced code that LINE (behind its code and blank) begins with; empty if none. */
static struct bytes milter_codec_enhanced(struct bytes line)
{
	struct bytes word = bytes_cut(&line, ' ');
	return word.n < sizeof(((struct smtp_reply *)0)->enhanced) && smtp_enhanced_valid(word) ? word : (struct bytes){ 0 };
}

/* "%%" is a percent sign, a lone one is dropped: filters write texts for a printf (M37). */
static void milter_codec_add_percent(struct buf *to, struct bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%')
			buf_add_char(to, s.p[i]);
		else if (i + 1 < s.n && s.p[i + 1] == '%')
			buf_add_char(to, s.p[i++]);
	}
}

/* The next line of *TEXT, divided by CR LF or a bare LF. */
static struct bytes milter_codec_next_line(struct bytes *text)
{
	struct bytes line = bytes_cut(text, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* The enhanced code that all lines share, or none: then each line keeps what it has. */
static int milter_codec_check_lines(struct bytes text, struct bytes *ret_enhanced)
{
	struct bytes code = bytes_first(text, 3), enhanced = { 0 };
	bool first = true;
	do {
		struct bytes line = milter_codec_next_line(&text);
		if (!milter_codec_line_valid(line, code))
			return -EPROTO;
		struct bytes here = milter_codec_enhanced(bytes_skip(line, 4));
		enhanced = first || bytes_eq(here, enhanced) ? here : (struct bytes){ 0 };
		first = false;
	} while (text.p && text.n > 0);
	*ret_enhanced = enhanced;
	return 0;
}

int milter_codec_reply_text(struct bytes text, struct arena *arena, struct smtp_reply *ret)
{
	struct bytes enhanced;
	if (milter_codec_check_lines(text, &enhanced) < 0)
		return -EPROTO;
	struct smtp_reply r = { .code = (text.p[0] - '0') * 100 + (text.p[1] - '0') * 10 + (text.p[2] - '0') };
	struct buf lines = { 0 };
	memcpy(r.enhanced, enhanced.p ? enhanced.p : "", enhanced.n);
	for (bool more = true; more;) {
		struct bytes line = bytes_skip(milter_codec_next_line(&text), 4);
		if (enhanced.n > 0)
			line = bytes_skip(line, enhanced.n + (line.n > enhanced.n));
		milter_codec_add_percent(&lines, line);
		more = text.p && text.n > 0;
		if (more)
			buf_add_char(&lines, '\n');
	}
	r.text = arena_str(arena, buf_bytes(&lines));
	buf_fini(&lines);
	*ret = r;
	return 0;
}
