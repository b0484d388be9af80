/*
 * milter_print.c: frames as lines of text.  What it is given may come from a file somebody sent: nothing of it is trusted.
 */
#include "milter/milter_print.h"

#include "lib/base/mem.h"

#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

enum { TEXT_MOST = 400, BODY_MOST = 60, OWED_MOST = 1 << 16 };
#define INDENT "                   "    /* below the text of a line with a time */

/* ---- text ---- */

/* How long is the character that well-formed UTF-8 begins with? */
static size_t milter_print_length(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* U+0080 to U+009F are control characters too. */
static bool milter_print_harmless(struct bytes character)
{
	unsigned char c = character.p[0];
	return c >= 0x80 && !(c == 0xc2 && (unsigned char)character.p[1] < 0xa0);
}

static void milter_print_escape(struct buf *out, unsigned char c)
{
	static const char special[] = "\\\n\r\t", letters[] = "\\nrt";
	const char *at = memchr(special, c, sizeof(special) - 1);
	if (at)
		buf_printf(out, "\\%c", letters[at - special]);
	else if (c >= ' ' && c <= '~')
		buf_add_char(out, c);
	else
		buf_printf(out, "\\x%02x", c);
}

void milter_print_text(struct buf *out, struct bytes text, size_t most)
{
	size_t all = text.n;
	if (most < all) {
		/* not within a character */
		while (most > 0 && (text.p[most] & 0xc0) == 0x80)
			most--;
		text.n = most;
	}
	bool utf8 = bytes_utf8(text);
	while (text.n > 0) {
		size_t n = utf8 ? milter_print_length(text.p[0]) : 1;
		if (utf8 && milter_print_harmless(bytes_first(text, n)))
			buf_add(out, bytes_first(text, n));
		else
			for (size_t i = 0; i < n; i++)
				milter_print_escape(out, text.p[i]);
		text = bytes_skip(text, n);
	}
	if (most < all)
		buf_printf(out, "... (%zu bytes)", all);
}

/* ---- the negotiation ---- */

struct print_flag {
	uint32_t bit;
	const char *name;
};
static const struct print_flag actions[] = {
	{ SMFIF_ADDHDRS, "ADDHDRS" }, { SMFIF_CHGBODY, "CHGBODY" }, { SMFIF_ADDRCPT, "ADDRCPT" }, { SMFIF_DELRCPT, "DELRCPT" },
	{ SMFIF_CHGHDRS, "CHGHDRS" }, { SMFIF_QUARANTINE, "QUARANTINE" }, { SMFIF_CHGFROM, "CHGFROM" },
	{ SMFIF_ADDRCPT_PAR, "ADDRCPT_PAR" }, { SMFIF_SETSYMLIST, "SETSYMLIST" },
};
static const struct print_flag protocol[] = {
	{ SMFIP_NOCONNECT, "NOCONNECT" }, { SMFIP_NOHELO, "NOHELO" }, { SMFIP_NOMAIL, "NOMAIL" }, { SMFIP_NORCPT, "NORCPT" },
	{ SMFIP_NOBODY, "NOBODY" }, { SMFIP_NOHDRS, "NOHDRS" }, { SMFIP_NOEOH, "NOEOH" }, { SMFIP_NR_HDR, "NR_HDR" },
	{ SMFIP_NOUNKNOWN, "NOUNKNOWN" }, { SMFIP_NODATA, "NODATA" }, { SMFIP_SKIP, "SKIP" }, { SMFIP_RCPT_REJ, "RCPT_REJ" },
	{ SMFIP_NR_CONN, "NR_CONN" }, { SMFIP_NR_HELO, "NR_HELO" }, { SMFIP_NR_MAIL, "NR_MAIL" }, { SMFIP_NR_RCPT, "NR_RCPT" },
	{ SMFIP_NR_DATA, "NR_DATA" }, { SMFIP_NR_UNKN, "NR_UNKN" }, { SMFIP_NR_EOH, "NR_EOH" }, { SMFIP_NR_BODY, "NR_BODY" },
	{ SMFIP_HDR_LEADSPC, "HDR_LEADSPC" },
};

static void milter_print_flags(struct buf *out, uint32_t value, const struct print_flag *flags, unsigned count)
{
	uint32_t known = 0;
	for (unsigned i = 0; i < count; i++) {
		known |= flags[i].bit;
		if (value & flags[i].bit)
			buf_printf(out, " %s", flags[i].name);
	}
	if (value & ~known)
		buf_printf(out, " %#x", value & ~known);
	if (!value)
		buf_add_str(out, " none");
}

static void milter_print_symbols(struct buf *out, const struct bytes *symbols)
{
	static const char *const stages[MILTER_SYMBOL_STAGES] = { "CONNECT", "HELO", "MAIL", "RCPT", "DATA", "EOM", "EOH" };
	for (unsigned i = 0; i < MILTER_SYMBOL_STAGES; i++) {
		if (!symbols[i].p)
			continue;
		buf_printf(out, "\n" INDENT "macros at %s: ", stages[i]);
		milter_print_text(out, symbols[i].n ? symbols[i] : BYTES("none"), TEXT_MOST);
	}
}

/* Either side's.  False: it is malformed. */
static bool milter_print_terms(struct buf *out, struct bytes frame, struct milter_terms *ret)
{
	static const struct milter_terms anything = { UINT32_MAX, UINT32_MAX, UINT32_MAX };
	struct milter_terms t;
	struct bytes symbols[MILTER_SYMBOL_STAGES];
	const char *why;
	if (milter_codec_agree(frame, &anything, &t, symbols, &why) < 0)
		return false;
	buf_printf(out, "negotiate version %u\n" INDENT "actions:", t.version);
	milter_print_flags(out, t.actions, actions, COUNT_OF(actions));
	buf_add_str(out, "\n" INDENT "protocol:");
	milter_print_flags(out, t.protocol, protocol, COUNT_OF(protocol));
	milter_print_symbols(out, symbols);
	*ret = t;
	return true;
}

/* ---- events ---- */

static const char *milter_print_command(char command)
{
	static const struct {
		char command;
		const char *name;
	} names[] = {
		{ SMFIC_CONNECT, "CONNECT" }, { SMFIC_HELO, "HELO" }, { SMFIC_MAIL, "MAIL" }, { SMFIC_RCPT, "RCPT" },
		{ SMFIC_DATA, "DATA" }, { SMFIC_HEADER, "HEADER" }, { SMFIC_EOH, "EOH" }, { SMFIC_BODY, "BODY" },
		{ SMFIC_BODYEOB, "EOM" }, { SMFIC_UNKNOWN, "UNKNOWN" }, { SMFIC_ABORT, "ABORT" }, { SMFIC_QUIT, "QUIT" },
		{ SMFIC_QUIT_NC, "QUIT_NC" },
	};
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		if (names[i].command == command)
			return names[i].name;
	}
	return NULL;
}

/* The next string of *DATA, or what is there without its NUL. */
static struct bytes milter_print_string(struct bytes *data)
{
	return bytes_cut(data, '\0');
}

static void milter_print_connect(struct buf *out, struct bytes data)
{
	struct bytes name = milter_print_string(&data);
	milter_print_text(out, name, TEXT_MOST);
	if (data.n < 3)
		return;
	unsigned port = (unsigned)(unsigned char)data.p[1] << 8 | (unsigned char)data.p[2];
	char family = data.p[0];
	data = bytes_skip(data, 3);
	buf_add_str(out, family == SMFIA_UNIX ? " unix " : family == SMFIA_INET ? " IPv4 " : family == SMFIA_INET6 ? " IPv6 " : " ? ");
	milter_print_text(out, milter_print_string(&data), TEXT_MOST);
	buf_printf(out, " port %u", port);
}

/* Strings with something between them. */
static void milter_print_strings(struct buf *out, struct bytes data, const char *between, size_t most)
{
	for (bool first = true; data.n > 0; first = false) {
		buf_add_str(out, first ? "" : between);
		milter_print_text(out, milter_print_string(&data), most);
	}
}

static void milter_print_macros(struct buf *out, struct bytes data)
{
	const char *event = milter_print_command(data.p[0]);
	buf_printf(out, "macros for %s:", event ? event : "?");
	data = bytes_skip(data, 1);
	while (data.n > 0) {
		buf_add_char(out, ' ');
		milter_print_text(out, milter_print_string(&data), TEXT_MOST);
		buf_add_char(out, '=');
		/* An empty value is there, too. */
		struct bytes value = milter_print_string(&data);
		bool quoted = value.n == 0 || bytes_find(value, ' ') >= 0;
		buf_add_str(out, quoted ? "\"" : "");
		milter_print_text(out, value, TEXT_MOST);
		buf_add_str(out, quoted ? "\"" : "");
	}
}

static void milter_print_body(struct buf *out, struct bytes data, size_t most)
{
	buf_printf(out, "%zu bytes: ", data.n);
	milter_print_text(out, data, most);
}

static void milter_print_sent(struct buf *out, struct bytes frame, size_t most)
{
	char command = frame.p[0];
	const char *name = milter_print_command(command);
	struct bytes data = bytes_skip(frame, 1);
	struct milter_terms terms;
	if (command == SMFIC_OPTNEG && milter_print_terms(out, frame, &terms))
		return;
	if (command == SMFIC_MACRO && data.n > 0) {
		milter_print_macros(out, data);
		return;
	}
	if (!name) {
		buf_add_str(out, "unknown command ");
		milter_print_text(out, frame, most);
		return;
	}
	buf_printf(out, "%s%s", name, data.n > 0 ? " " : "");
	if (command == SMFIC_CONNECT)
		milter_print_connect(out, data);
	else if (command == SMFIC_BODY)
		milter_print_body(out, data, most == TEXT_MOST ? BODY_MOST : most);
	else
		milter_print_strings(out, data, command == SMFIC_HEADER ? ": " : " ", most);
}

/* ---- replies ---- */

static void milter_print_reply(struct buf *out, struct bytes frame, size_t most)
{
	struct milter_reply r;
	struct milter_terms terms;
	const char *why;
	if (frame.p[0] == SMFIC_OPTNEG && milter_print_terms(out, frame, &terms))
		return;
	if (milter_codec_reply(frame, &r, &why) < 0) {
		buf_printf(out, "malformed (%s): ", why);
		milter_print_text(out, frame, most);
		return;
	}
	buf_add_str(out, r.kind->name);
	if (r.kind->layout[0] == 'n')
		buf_printf(out, " %u", r.index);
	if (r.kind->code == SMFIR_REPLBODY) {
		buf_add_char(out, ' ');
		milter_print_body(out, r.text[0], most);
		return;
	}
	bool header = strchr("him", r.kind->code) != NULL;
	for (unsigned i = 0; i < 2 && r.text[i].p; i++) {
		buf_add_str(out, i == 1 && header ? ": " : " ");
		milter_print_text(out, r.text[i], most);
	}
	if (r.kind->code == SMFIR_CHGHEADER && r.text[1].n == 0)
		buf_add_str(out, "(to be deleted)");
}

/* ---- who answers what ---- */

bool milter_print_answered(const struct milter_terms *terms, char command)
{
	if (!command || !strchr("CHMRTULNBE", command))
		return false;
	return !(terms->protocol & milter_codec_event(command)->unanswered);
}

static void milter_print_owe(struct milter_print *p, char command, int64_t at)
{
	if (p->owed_count == OWED_MOST)
		return;
	if (p->owed_count == p->owed_capacity) {
		p->owed_capacity = p->owed_capacity ? 2 * p->owed_capacity : 16;
		p->owed = mem_array(p->owed, p->owed_capacity, sizeof(*p->owed));
	}
	p->owed[p->owed_count++] = (struct milter_print_owed){ command, at };
}

/* Whose answer is it, and how long did it take? */
static void milter_print_settle(struct milter_print *p, const struct milter_record_entry *e, struct buf *out)
{
	struct milter_reply r;
	const char *why;
	if (p->owed_count == 0 || milter_codec_reply(e->data, &r, &why) < 0)
		return;
	double ms = (double)(e->at - p->owed[0].at) / 1e6;
	if (r.kind->class == MILTER_VERDICT) {
		buf_printf(out, "  [%s, %.3f ms]", milter_print_command(p->owed[0].command), ms);
		memmove(p->owed, p->owed + 1, --p->owed_count * sizeof(*p->owed));
	} else if (r.kind->class == MILTER_PROGRESS) {
		buf_printf(out, "  [%s, for %.3f ms]", milter_print_command(p->owed[0].command), ms);
	}
}

/* ---- lines ---- */

/* Several lines of SMTP, each with its letter. */
static void milter_print_smtp(struct buf *out, char who, struct bytes text, size_t most)
{
	do {
		buf_printf(out, "%c: ", who);
		milter_print_text(out, bytes_cut(&text, '\n'), most);
		buf_add_char(out, '\n');
	} while (text.n > 0);
}

static void milter_print_what(const struct milter_record_entry *e, struct buf *out, size_t most)
{
	switch (e->kind) {
	case MILTER_RECORD_OPENED:
		buf_add_str(out, "== connected to ");
		milter_print_text(out, e->data, most);
		break;
	case MILTER_RECORD_SENT:
		buf_add_str(out, "-> ");
		milter_print_sent(out, e->data, most);
		break;
	case MILTER_RECORD_RECEIVED:
		buf_add_str(out, "<- ");
		milter_print_reply(out, e->data, most);
		break;
	case MILTER_RECORD_REST:
		buf_printf(out, "<? %zu bytes that are no frame: ", e->data.n);
		milter_print_text(out, e->data, most);
		break;
	case MILTER_RECORD_FAULT:
		buf_add_str(out, "!! ");
		milter_print_text(out, e->data, most);
		break;
	case MILTER_RECORD_CLOSED:
		buf_add_str(out, "== closed");
		break;
	case MILTER_RECORD_CLIENT:
	case MILTER_RECORD_SERVER:
		break;
	}
}

static void milter_print_remember(struct milter_print *p, const struct milter_record_entry *e)
{
	struct buf ignored = { 0 };
	char command = e->data.n ? e->data.p[0] : '\0';
	if (e->kind == MILTER_RECORD_OPENED || e->kind == MILTER_RECORD_CLOSED)
		p->owed_count = 0;
	else if (e->kind == MILTER_RECORD_SENT && milter_print_answered(&p->terms, command))
		milter_print_owe(p, command, e->at);
	else if (e->kind == MILTER_RECORD_RECEIVED && command == SMFIC_OPTNEG)
		(void)!milter_print_terms(&ignored, e->data, &p->terms);
	buf_fini(&ignored);
}

void milter_print_entry(struct milter_print *p, const struct milter_record_entry *e, struct buf *out)
{
	size_t most = p->whole ? SIZE_MAX : TEXT_MOST;
	if (e->kind == MILTER_RECORD_CLIENT || e->kind == MILTER_RECORD_SERVER) {
		milter_print_smtp(out, e->kind, e->data, most);
		return;
	}
	buf_printf(out, "%12.3f ms ", (double)e->at / 1e6);
	milter_print_what(e, out, most);
	if (e->kind == MILTER_RECORD_RECEIVED)
		milter_print_settle(p, e, out);
	buf_add_char(out, '\n');
	milter_print_remember(p, e);
}

void milter_print_frame(const struct milter_record_entry *e, struct buf *out)
{
	milter_print_what(e, out, SIZE_MAX);
	buf_add_char(out, '\n');
}

void milter_print_fini(struct milter_print *p)
{
	mem_free(p->owed);
	*p = (struct milter_print){ 0 };
}
