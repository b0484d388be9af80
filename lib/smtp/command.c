/*
 * command.c: MAIL and RCPT.
 *
 *	mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
 *	rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF
 *	Path = "<" [ A-d-l ":" ] Mailbox ">"
 *
 * The texts of refusals are Postfix's: people search for them.
 */
#include "lib/smtp/command.h"

#include "lib/base/mem.h"

#include <errno.h>

static bool command_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct bytes command_skip_blanks(struct bytes b)
{
	while (b.n && command_blank(*b.p))
		b = bytes_skip(b, 1);
	return b;
}

static struct bytes command_trim(struct bytes b)
{
	b = command_skip_blanks(b);
	while (b.n && command_blank(b.p[b.n - 1]))
		b.n--;
	return b;
}

void smtp_command_split(struct bytes line, struct bytes *ret_verb, struct bytes *ret_argument)
{
	struct bytes rest = command_trim(line);
	*ret_verb = bytes_word(&rest);
	*ret_argument = command_skip_blanks(rest);
}

/* ---- parameters ---- */

enum { COMMAND_BAD = 1, COMMAND_UNKNOWN };

static bool command_graphic(struct bytes b, bool utf8)
{
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];
		if (c <= ' ' || c == 127 || (c > 127 && !utf8))
			return false;
	}
	return true;
}

static bool command_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static bool command_xtext(struct bytes b, bool utf8)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '+' && (i + 2 >= b.n || !command_hex(b.p[i + 1]) || !command_hex(b.p[i + 2])))
			return false;
	return command_graphic(b, utf8) && (!utf8 || bytes_utf8(b));
}

static int command_size(struct smtp_path *path, struct bytes value)
{
	/* RFC 1870 section 4: size-value ::= 1*20DIGIT.  Twenty digits may pass what a u64 holds; that is no bad syntax. */
	int r = value.n > 20 ? -EINVAL : bytes_to_u64(value, UINT64_MAX, &path->size);
	if (r == -ERANGE)
		path->size = UINT64_MAX;
	return r == -EINVAL ? COMMAND_BAD : 0;
}

static int command_body(struct smtp_path *path, struct bytes value)
{
	static const char *const names[] = {
		[SMTP_BODY_7BIT] = "7BIT", [SMTP_BODY_8BITMIME] = "8BITMIME", [SMTP_BODY_BINARYMIME] = "BINARYMIME",
	};
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!bytes_case_eq(value, bytes_of(names[i])))
			continue;
		path->body = (enum smtp_body)i;
		path->body_given = true;
		return 0;
	}
	return COMMAND_UNKNOWN;
}

static int command_smtputf8(struct smtp_path *path, struct bytes value)
{
	/* RFC 6531 section 3.4: the parameter does not take a value. */
	path->smtputf8 = true;
	return value.p ? COMMAND_BAD : 0;
}

static int command_ret(struct smtp_path *path, struct bytes value)
{
	path->ret_full = bytes_case_eq(value, BYTES("FULL"));
	path->ret_headers = bytes_case_eq(value, BYTES("HDRS"));
	return path->ret_full || path->ret_headers ? 0 : COMMAND_BAD;
}

/* RFC 3461 4.4: what is encoded must be printable, too, because it goes into the report's header. */
static int command_envid(struct smtp_path *path, struct bytes value)
{
	uint64_t c;

	if (value.n == 0 || !command_xtext(value, false))
		return COMMAND_BAD;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '+' && (bytes_hex_to_u64(bytes_make(value.p + i + 1, 2), 126, &c) < 0 || c < ' '))
			return COMMAND_BAD;
	path->envid = value;
	return 0;
}

/* RFC 4954 section 5: an addr-spec in xtext, or "<>". */
static int command_auth(struct smtp_path *path, struct bytes value)
{
	path->auth = value;
	return value.n && command_xtext(value, true) ? 0 : COMMAND_BAD;
}

static int command_notify(struct smtp_path *path, struct bytes value)
{
	static const struct {
		const char *name;
		unsigned flag;
	} words[] = {
		{ "NEVER", SMTP_NOTIFY_NEVER }, { "SUCCESS", SMTP_NOTIFY_SUCCESS },
		{ "FAILURE", SMTP_NOTIFY_FAILURE }, { "DELAY", SMTP_NOTIFY_DELAY },
	};

	if (!value.p)
		return COMMAND_BAD;
	while (value.p) {
		struct bytes word = bytes_cut(&value, ',');
		unsigned flag = 0;
		for (size_t i = 0; i < COUNT_OF(words); i++)
			if (bytes_case_eq(word, bytes_of(words[i].name)))
				flag = words[i].flag;
		if (!flag)
			return COMMAND_BAD;
		path->notify |= flag;
	}
	/* RFC 3461 4.1: NEVER must stand alone. */
	return path->notify & SMTP_NOTIFY_NEVER && path->notify != SMTP_NOTIFY_NEVER ? COMMAND_BAD : 0;
}

/* RFC 3461 4.2: original-recipient-address = addr-type ";" xtext; RFC 6533 section 3 adds the type utf-8. */
static int command_orcpt(struct smtp_path *path, struct bytes value)
{
	struct bytes address = value, type = bytes_cut(&address, ';');

	if (type.n == 0 || address.n == 0 || !command_graphic(type, false))
		return COMMAND_BAD;
	path->orcpt = value;
	return command_xtext(address, bytes_case_eq(type, BYTES("utf-8"))) ? 0 : COMMAND_BAD;
}

static const struct command_parameter {
	const char *keyword;
	enum smtp_verb verb;
	int (*parse)(struct smtp_path *path, struct bytes value);
	const char *refusal;
} command_parameters[] = {
	{ "SIZE", SMTP_MAIL, command_size, "Bad message size syntax" },
	{ "BODY", SMTP_MAIL, command_body, NULL },
	{ "SMTPUTF8", SMTP_MAIL, command_smtputf8, "Bad SMTPUTF8 parameter syntax" },
	{ "RET", SMTP_MAIL, command_ret, "Bad RET parameter syntax" },
	{ "ENVID", SMTP_MAIL, command_envid, "Bad ENVID parameter syntax" },
	{ "AUTH", SMTP_MAIL, command_auth, "Bad AUTH parameter syntax" },
	{ "NOTIFY", SMTP_RCPT, command_notify, "Error: Bad NOTIFY parameter syntax" },
	{ "ORCPT", SMTP_RCPT, command_orcpt, "Error: Bad ORCPT parameter syntax" },
};

static int command_refuse(struct smtp_reply reply, struct smtp_reply *ret_error)
{
	*ret_error = reply;
	return -EINVAL;
}

static int command_refuse_parameter(const char *text, struct bytes word, struct arena *arena, struct smtp_reply *ret_error)
{
	char *shown = arena_printf(arena, "%s: %.*s", text, BYTES_ARG(word));
	/* LF would make two lines of it. */
	for (char *lf = shown; (lf = strchr(lf, '\n'));)
		*lf = '?';
	return command_refuse(SMTP_REPLY(501, "5.5.4", shown), ret_error);
}

static const struct command_parameter *command_lookup(enum smtp_verb verb, struct bytes keyword)
{
	for (size_t i = 0; i < COUNT_OF(command_parameters); i++) {
		const struct command_parameter *p = &command_parameters[i];
		if (p->verb == verb && bytes_case_eq(keyword, bytes_of(p->keyword)))
			return p;
	}
	return NULL;
}

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"), esmtp-value = 1*(%d33-60 / %d62-126) and UTF-8. */
static bool command_parameter_syntax(const struct smtp_param *param)
{
	for (size_t i = 0; i < param->keyword.n; i++) {
		char c = param->keyword.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c != '-' || i == 0))
			return false;
	}
	return param->keyword.n && command_graphic(param->value, true) && !(param->value.p && param->value.n == 0);
}

static int command_parse_parameter(enum smtp_verb verb, struct smtp_path *path, struct bytes word, struct arena *arena,
				   struct smtp_reply *ret_error)
{
	struct bytes value = word, keyword = bytes_cut(&value, '=');
	struct smtp_param *param = &path->params[path->param_count];

	*param = (struct smtp_param){ .keyword = keyword, .value = value, .text = word };
	if (!command_parameter_syntax(param))
		return command_refuse_parameter("Bad parameter syntax", word, arena, ret_error);
	/* RFC 5321 4.1.2 leaves open what two of one kind would mean; nobody shall have to guess. */
	for (unsigned i = 0; i < path->param_count; i++)
		if (bytes_case_eq(path->params[i].keyword, keyword))
			return command_refuse_parameter("Duplicate parameter", keyword, arena, ret_error);
	path->param_count++;

	const struct command_parameter *kind = command_lookup(verb, keyword);
	int r = kind ? kind->parse(path, value) : COMMAND_UNKNOWN;
	if (r == COMMAND_BAD)
		return command_refuse(SMTP_REPLY(501, "5.5.4", kind->refusal), ret_error);
	if (r == COMMAND_UNKNOWN) {
		/* RFC 5321 4.1.1.11: 555 for a parameter that is not recognized. */
		const char *text = arena_printf(arena, "Unsupported option: %.*s", BYTES_ARG(word));
		return command_refuse(SMTP_REPLY(555, "5.5.4", text), ret_error);
	}
	return 0;
}

static unsigned command_count_words(struct bytes text)
{
	unsigned n = 0;
	while (bytes_word(&text).n)
		n++;
	return n;
}

static int command_parse_parameters(enum smtp_verb verb, struct bytes text, struct arena *arena, struct smtp_path *path,
				    struct smtp_reply *ret_error)
{
	unsigned count = command_count_words(text);

	if (count == 0)
		return 0;
	path->params = ARENA_ARRAY(arena, struct smtp_param, count);
	while (count--) {
		int r = command_parse_parameter(verb, path, bytes_word(&text), arena, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the path ---- */

/* Length of the path at the front of TEXT: up to its ">", or up to a blank where the brackets are missing.  What is quoted
 * or behind a backslash ends nothing.  0 when the end is missing. */
static size_t command_path_length(struct bytes text)
{
	bool brackets = text.n && *text.p == '<', quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (brackets && !quoted && c == '>')
			return i + 1;
		else if (!brackets && !quoted && command_blank(c))
			return i;
	}
	return brackets || quoted ? 0 : text.n;
}

/* A-d-l = At-domain *( "," At-domain ): RFC 5321 4.1.2 says it "MUST BE accepted, SHOULD NOT be generated, and SHOULD be
 * ignored".  False when something that begins like one is none. */
static bool command_skip_route(struct bytes *mailbox)
{
	struct bytes rest = *mailbox;

	if (rest.n == 0 || *rest.p != '@')
		return true;
	struct bytes route = bytes_cut(&rest, ':');
	if (!rest.p)
		return false;
	for (size_t i = 0; i < route.n; i++) {
		unsigned char c = (unsigned char)route.p[i];
		if (c <= ' ' || c == 127 || strchr("<>()\"\\;", c))
			return false;
	}
	*mailbox = rest;
	return true;
}

static int command_parse_mailbox(enum smtp_verb verb, struct bytes mailbox, bool strict, struct arena *arena,
				 struct smtp_address *ret)
{
	if (!strict)
		mailbox = command_trim(mailbox);
	if (mailbox.n == 0 && verb == SMTP_MAIL) {
		struct bytes none = BYTES("");
		*ret = (struct smtp_address){ .address = none, .local = none, .domain = none };
		return 0;
	}
	if (!command_skip_route(&mailbox))
		return -EINVAL;
	return smtp_address_parse(mailbox, arena, ret);
}

/* Cuts "<path>" off the front of *REST. */
static int command_parse_path(enum smtp_verb verb, struct bytes *rest, bool strict, struct arena *arena, struct smtp_path *path)
{
	size_t n = command_path_length(*rest);
	struct bytes raw = bytes_first(*rest, n);
	bool brackets = n && *raw.p == '<';

	if (n == 0 || (strict && !brackets))
		return -EINVAL;
	*rest = bytes_skip(*rest, n);
	if (!brackets) {
		const char *p = arena_printf(arena, "<%.*s>", BYTES_ARG(raw));
		raw = bytes_make(p, raw.n + 2);
	}
	path->raw = raw;
	path->bare = !brackets;
	return command_parse_mailbox(verb, bytes_make(raw.p + 1, raw.n - 2), strict, arena, &path->address);
}

static const struct {
	struct bytes keyword;
	const char *syntax, *bad_enhanced, *bad_address;
} command_verbs[] = {
	[SMTP_MAIL] = { { "FROM:", 5 }, "Syntax: MAIL FROM:<address>", "5.1.7", "Bad sender address syntax" },
	[SMTP_RCPT] = { { "TO:", 3 }, "Syntax: RCPT TO:<address>", "5.1.3", "Bad recipient address syntax" },
};

static struct smtp_reply command_bad_address(enum smtp_verb verb)
{
	struct smtp_reply reply = { .code = 501, .text = command_verbs[verb].bad_address };
	memcpy(reply.enhanced, command_verbs[verb].bad_enhanced, 6);
	return reply;
}

int smtp_path_parse(enum smtp_verb verb, struct bytes argument, bool strict, struct arena *arena, struct smtp_path *ret,
		    struct smtp_reply *ret_error)
{
	const struct smtp_reply syntax = SMTP_REPLY(501, "5.5.4", command_verbs[verb].syntax);
	struct bytes keyword = command_verbs[verb].keyword;
	struct smtp_path path = { .auth = { NULL, 0 } };

	if (!bytes_case_starts(argument, keyword))
		return command_refuse(syntax, ret_error);
	/* An address with a NUL must not look like another one to C. */
	if (bytes_find(argument, '\0') >= 0)
		return command_refuse(command_bad_address(verb), ret_error);
	struct bytes rest = arena_bytes(arena, bytes_skip(argument, keyword.n));
	if (!strict)
		rest = command_skip_blanks(rest);
	if (rest.n == 0 || command_blank(*rest.p))
		return command_refuse(syntax, ret_error);
	if (command_parse_path(verb, &rest, strict, arena, &path) < 0)
		return command_refuse(command_bad_address(verb), ret_error);
	if (rest.n && !command_blank(*rest.p))
		return command_refuse(syntax, ret_error);
	int r = command_parse_parameters(verb, rest, arena, &path, ret_error);
	if (r == 0)
		*ret = path;
	return r;
}
