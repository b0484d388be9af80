/*
 * milter_macros.c: Sendmail's macros.
 *
 * Each macro is one row of a table: its name, how its value is found, and where Postfix does not give it.  Names of one letter
 * stand bare, longer ones in braces.
 */
#include "milter/milter_macros.h"

#include "lib/base/assert.h"
#include "milter/milter_codec.h"

#include <errno.h>
#include <libmilter/mfdef.h>

enum { VALUE_MAX = 1024 };

/* Appends the value: false when there is none. */
typedef bool milter_macro_fn(const struct milter_macro_view *v, struct buf *out);

static bool milter_macros_str(struct buf *out, const char *s)
{
	if (!s)
		return false;
	buf_add_str(out, s);
	return true;
}

static bool milter_macros_lower(struct buf *out, struct bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(out, s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
	return true;
}

/* ---- the session ---- */

static bool macro_hostname(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->hostname);
}

static bool macro_version(const struct milter_macro_view *v, struct buf *out)
{
	(void)v;
	return milter_macros_str(out, "gatepost " GATEPOST_VERSION);
}

/* Postfix's `i` is its queue file, which is there once a recipient was accepted (M7). */
static bool macro_id(const struct milter_macro_view *v, struct buf *out)
{
	if (v->compat == MILTER_COMPAT_POSTFIX && (v->command == SMFIC_MAIL || v->command == SMFIC_RCPT) &&
	    (!v->txn || v->txn->rcpt_count == 0))
		return false;
	if (!v->txn && v->compat == MILTER_COMPAT_POSTFIX)
		return false;
	return milter_macros_str(out, v->txn ? v->txn->id : v->session->id);
}

static bool macro_client(const struct milter_macro_view *v, struct buf *out)
{
	const struct gate_session *s = v->session;
	buf_printf(out, "%s [%s]", s->client_ptr, s->client_ip);
	if (!bytes_case_eq(bytes_of(s->client_name), bytes_of(s->client_ptr)))
		buf_add_str(out, " (may be forged)");
	return true;
}

/* As in an address literal. */
static bool macro_client_addr(const struct milter_macro_view *v, struct buf *out)
{
	if (v->session->client.sa.sa_family == AF_INET6)
		buf_add_str(out, "IPv6:");
	return milter_macros_str(out, v->session->client_ip);
}

static bool macro_client_name(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->client_name);
}

static bool macro_client_port(const struct milter_macro_view *v, struct buf *out)
{
	buf_printf(out, "%u", v->session->client_port);
	return true;
}

static bool macro_client_ptr(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->client_ptr);
}

static bool macro_client_resolve(const struct milter_macro_view *v, struct buf *out)
{
	static const char *const words[] = {
		[GATE_RESOLVE_OK] = "OK",
		[GATE_RESOLVE_FAIL] = "FAIL",
		[GATE_RESOLVE_TEMP] = "TEMP",
		[GATE_RESOLVE_FORGED] = "FORGED",
	};
	return milter_macros_str(out, words[v->session->client_resolve]);
}

/* Sendmail does not give that of the loopback net. */
static bool macro_if_addr(const struct milter_macro_view *v, struct buf *out)
{
	const char *ip = v->session->server_ip;
	bool loopback = strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0;
	return (v->compat != MILTER_COMPAT_SENDMAIL || !loopback) && milter_macros_str(out, ip);
}

static bool macro_server_addr(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->server_ip);
}

static bool macro_server_port(const struct milter_macro_view *v, struct buf *out)
{
	buf_printf(out, "%u", net_addr_port(&v->session->server));
	return true;
}

static bool macro_protocol(const struct milter_macro_view *v, struct buf *out)
{
	static const char *const words[] = { [GATE_SMTP] = "SMTP", [GATE_ESMTP] = "ESMTP", [GATE_LMTP] = "LMTP" };
	return milter_macros_str(out, words[v->session->protocol]);
}

static bool macro_helo(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->helo);
}

static bool macro_tls_version(const struct milter_macro_view *v, struct buf *out)
{
	return v->session->tls && milter_macros_str(out, v->session->tls->protocol);
}

static bool macro_cipher(const struct milter_macro_view *v, struct buf *out)
{
	return v->session->tls && milter_macros_str(out, v->session->tls->cipher);
}

static bool macro_cipher_bits(const struct milter_macro_view *v, struct buf *out)
{
	if (!v->session->tls)
		return false;
	buf_printf(out, "%d", v->session->tls->cipher_bits);
	return true;
}

/* A certificate that nobody vouches for says nothing. */
static bool macro_cert_subject(const struct milter_macro_view *v, struct buf *out)
{
	const struct tls_info *tls = v->session->tls;
	return tls && tls->peer_verified && milter_macros_str(out, tls->peer_subject);
}

static bool macro_cert_issuer(const struct milter_macro_view *v, struct buf *out)
{
	const struct tls_info *tls = v->session->tls;
	return tls && tls->peer_verified && milter_macros_str(out, tls->peer_issuer);
}

static bool macro_auth_type(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->auth_mechanism);
}

static bool macro_auth_authen(const struct milter_macro_view *v, struct buf *out)
{
	return milter_macros_str(out, v->session->auth_user);
}

/* The AUTH= of MAIL (RFC 4954 section 5), which Postfix leaves encoded; else the identity the client asked to act for. */
static bool macro_auth_author(const struct milter_macro_view *v, struct buf *out)
{
	struct bytes auth = v->txn ? v->txn->sender.auth : BYTES("");
	if (auth.n == 0 || bytes_eq(auth, BYTES("<>")))
		return milter_macros_str(out, v->session->auth_author);
	if (v->compat != MILTER_COMPAT_POSTFIX)
		return smtp_xtext_decode(auth, out) == 0;
	buf_add(out, auth);
	return true;
}

/* No mechanism we offer brings a security layer of its own. */
static bool macro_auth_ssf(const struct milter_macro_view *v, struct buf *out)
{
	return v->session->auth_mechanism && milter_macros_str(out, "0");
}

/* ---- the transaction ---- */

/* Sendmail keeps the case of an address and puts its host into lower case; Postfix the other way round (M10). */
static bool milter_macros_address(const struct milter_macro_view *v, struct buf *out, struct bytes address)
{
	if (v->compat != MILTER_COMPAT_SENDMAIL)
		return milter_macros_lower(out, address);
	buf_add(out, address);
	return true;
}

static bool milter_macros_host(const struct milter_macro_view *v, struct buf *out, struct bytes domain)
{
	if (domain.n == 0)
		domain = bytes_of(v->session->hostname);
	if (v->compat == MILTER_COMPAT_SENDMAIL)
		return milter_macros_lower(out, domain);
	buf_add(out, domain);
	return true;
}

static bool macro_mail_addr(const struct milter_macro_view *v, struct buf *out)
{
	if (!v->txn)
		return false;
	struct bytes address = v->txn->sender.address.address;
	if (address.n == 0 && v->compat == MILTER_COMPAT_SENDMAIL)
		return milter_macros_str(out, "<>");
	return milter_macros_address(v, out, address);
}

/* The next hop of a bounce; our own for the null sender (M10). */
static bool macro_mail_host(const struct milter_macro_view *v, struct buf *out)
{
	return v->txn && milter_macros_host(v, out, v->txn->sender.address.domain);
}

static bool macro_mail_mailer(const struct milter_macro_view *v, struct buf *out)
{
	return v->txn && milter_macros_str(out, "smtp");
}

/* The recipient at hand; after RCPT the last one, to Postfix the first. */
static const struct gate_rcpt *milter_macros_rcpt(const struct milter_macro_view *v)
{
	if (v->rcpt || !v->txn || list_empty(&v->txn->rcpts))
		return v->rcpt;
	struct list *rcpt = v->compat == MILTER_COMPAT_POSTFIX ? v->txn->rcpts.next : v->txn->rcpts.prev;
	return LIST_ITEM(rcpt, struct gate_rcpt, link);
}

/* A refusal without the address it begins with. */
static const char *milter_macros_refusal(const struct smtp_reply *refused)
{
	const char *end = refused->text[0] == '<' ? strstr(refused->text, ">: ") : NULL;
	return end ? end + strlen(">: ") : refused->text;
}

/* A refused recipient is shown as one for the mailer "error", with the refusal as its address (M11). */
static bool macro_rcpt_addr(const struct milter_macro_view *v, struct buf *out)
{
	const struct gate_rcpt *rcpt = milter_macros_rcpt(v);
	if (!rcpt)
		return false;
	if (rcpt->refused.code)
		return milter_macros_str(out, milter_macros_refusal(&rcpt->refused));
	return milter_macros_address(v, out, rcpt->path.address.address);
}

static bool macro_rcpt_host(const struct milter_macro_view *v, struct buf *out)
{
	const struct gate_rcpt *rcpt = milter_macros_rcpt(v);
	if (!rcpt)
		return false;
	if (rcpt->refused.code)
		return milter_macros_str(out, rcpt->refused.enhanced);
	return milter_macros_host(v, out, rcpt->path.address.domain);
}

static bool macro_rcpt_mailer(const struct milter_macro_view *v, struct buf *out)
{
	const struct gate_rcpt *rcpt = milter_macros_rcpt(v);
	return rcpt && milter_macros_str(out, rcpt->refused.code ? "error" : "smtp");
}

/* Sendmail counts the recipient at hand. */
static bool macro_rcpt_count(const struct milter_macro_view *v, struct buf *out)
{
	bool sendmail = v->compat == MILTER_COMPAT_SENDMAIL;
	if (!v->txn || (v->command == SMFIC_MAIL && !sendmail))
		return false;
	buf_printf(out, "%u", v->txn->rcpt_count + (sendmail && v->command == SMFIC_RCPT));
	return true;
}

static bool macro_msg_id(const struct milter_macro_view *v, struct buf *out)
{
	if (!v->txn || !v->txn->mail)
		return false;
	const struct mail_header *h = mail_header_find(v->txn->mail, BYTES("Message-Id"), 1);
	if (!h)
		return false;
	buf_add(out, bytes_trim(mail_header_value(h)));
	return true;
}

/* ---- the table ---- */

/* Where Postfix does not give it: at no stage; with the content (M8, M9). */
enum { POSTFIX_NEVER = 1, POSTFIX_NOT_WITH_CONTENT = 2 };

static const struct milter_macro {
	const char *name;
	milter_macro_fn *value;
	unsigned withheld;
} macros[] = {
	{ "j", macro_hostname, 0 },
	{ "v", macro_version, 0 },
	{ "i", macro_id, 0 },
	{ "_", macro_client, 0 },
	{ "r", macro_protocol, POSTFIX_NEVER },
	{ "s", macro_helo, POSTFIX_NEVER },
	{ "{client_addr}", macro_client_addr, 0 },
	{ "{client_name}", macro_client_name, 0 },
	{ "{client_port}", macro_client_port, 0 },
	{ "{client_ptr}", macro_client_ptr, 0 },
	{ "{client_resolve}", macro_client_resolve, POSTFIX_NOT_WITH_CONTENT },
	{ "{daemon_name}", macro_hostname, 0 },
	{ "{daemon_addr}", macro_server_addr, 0 },
	{ "{daemon_port}", macro_server_port, 0 },
	{ "{if_name}", macro_hostname, POSTFIX_NEVER },
	{ "{if_addr}", macro_if_addr, POSTFIX_NEVER },
	{ "{tls_version}", macro_tls_version, POSTFIX_NOT_WITH_CONTENT },
	{ "{cipher}", macro_cipher, POSTFIX_NOT_WITH_CONTENT },
	{ "{cipher_bits}", macro_cipher_bits, POSTFIX_NOT_WITH_CONTENT },
	{ "{cert_subject}", macro_cert_subject, POSTFIX_NOT_WITH_CONTENT },
	{ "{cert_issuer}", macro_cert_issuer, POSTFIX_NOT_WITH_CONTENT },
	{ "{auth_type}", macro_auth_type, 0 },
	{ "{auth_authen}", macro_auth_authen, 0 },
	{ "{auth_author}", macro_auth_author, 0 },
	{ "{auth_ssf}", macro_auth_ssf, POSTFIX_NEVER },
	{ "{mail_addr}", macro_mail_addr, POSTFIX_NOT_WITH_CONTENT },
	{ "{mail_host}", macro_mail_host, POSTFIX_NOT_WITH_CONTENT },
	{ "{mail_mailer}", macro_mail_mailer, POSTFIX_NOT_WITH_CONTENT },
	{ "{rcpt_addr}", macro_rcpt_addr, POSTFIX_NOT_WITH_CONTENT },
	{ "{rcpt_host}", macro_rcpt_host, POSTFIX_NOT_WITH_CONTENT },
	{ "{rcpt_mailer}", macro_rcpt_mailer, POSTFIX_NOT_WITH_CONTENT },
	{ "{nrcpts}", macro_rcpt_count, POSTFIX_NEVER },
	{ "{msg_id}", macro_msg_id, POSTFIX_NEVER },
};

/* What each host gives by default.  FULL names at every stage what is new there, and at the end of the message all that a filter may have
 * forgotten: libmilter looks for a macro in the stages before, too. */
#define TLS_MACROS "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"
#define MAIL_MACROS "{mail_addr} {mail_host} {mail_mailer}"
#define RCPT_MACROS "{rcpt_addr} {rcpt_host} {rcpt_mailer}"
#define CLIENT_MACROS "{client_addr} {client_name} {client_port} {client_ptr} {client_resolve}"
static const char *const defaults[][MILTER_MACRO_STAGES] = {
	[MILTER_COMPAT_FULL] = {
		"i j _ v {daemon_name} {daemon_addr} {daemon_port} {if_name} {if_addr} " CLIENT_MACROS,
		"i s r " TLS_MACROS,
		"i s r " TLS_MACROS " {auth_type} {auth_authen} {auth_author} {auth_ssf} " MAIL_MACROS,
		"i " RCPT_MACROS " {nrcpts}",
		"i {nrcpts}",
		"i j _ s r " TLS_MACROS " {auth_type} {auth_authen} {auth_author} {auth_ssf} " MAIL_MACROS " " RCPT_MACROS
		" {nrcpts} {msg_id} " CLIENT_MACROS,
		"i {nrcpts} {msg_id}",
		"",
	},
	[MILTER_COMPAT_POSTFIX] = {
		"j {daemon_name} {daemon_addr} v _",
		TLS_MACROS,
		"i {auth_type} {auth_authen} {auth_author} " MAIL_MACROS,
		"i " RCPT_MACROS,
		"i",
		"i",
		"i",
		"",
	},
	[MILTER_COMPAT_SENDMAIL] = {
		"j _ {daemon_name} {if_name} {if_addr}",
		TLS_MACROS,
		"i {auth_type} {auth_authen} {auth_ssf} {auth_author} {mail_mailer} {mail_host} {mail_addr}",
		"{rcpt_mailer} {rcpt_host} {rcpt_addr}",
		"",
		"{msg_id}",
		"",
		"",
	},
};

/* NAME may lack its braces. */
static int milter_macros_find(struct bytes name)
{
	if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		name = bytes_make(name.p + 1, name.n - 2);
	for (unsigned i = 0; i < COUNT_OF(macros); i++) {
		struct bytes m = bytes_of(macros[i].name);
		if (m.p[0] == '{')
			m = bytes_make(m.p + 1, m.n - 2);
		if (bytes_eq(m, name))
			return i;
	}
	return -ENOENT;
}

static bool milter_macros_listed(const struct milter_macro_list *list, int macro)
{
	return memchr(list->macros, macro, list->count) != NULL;
}

unsigned milter_macros_parse(struct bytes names, struct milter_macro_list *ret, struct bytes *ret_unknown)
{
	_Static_assert(COUNT_OF(macros) <= sizeof(ret->macros), "a list holds each macro once");
	unsigned unknown = 0;
	*ret = (struct milter_macro_list){ 0 };
	while (names.n > 0) {
		size_t n = 0;
		while (n < names.n && !memchr(" \t,", names.p[n], 3))
			n++;
		struct bytes name = bytes_first(names, n);
		names = bytes_skip(names, n < names.n ? n + 1 : n);
		if (n == 0)
			continue;
		int macro = milter_macros_find(name);
		if (macro < 0 && unknown++ == 0)
			*ret_unknown = name;
		if (macro >= 0 && !milter_macros_listed(ret, macro))
			ret->macros[ret->count++] = macro;
	}
	return unknown;
}

void milter_macros_defaults(enum milter_compat compat, struct milter_macro_list ret[static MILTER_MACRO_STAGES])
{
	for (unsigned stage = 0; stage < MILTER_MACRO_STAGES; stage++) {
		struct bytes unknown;
		unsigned n = milter_macros_parse(bytes_of(defaults[compat][stage]), &ret[stage], &unknown);
		ASSERT(n == 0);
	}
}

enum milter_macro_stage milter_macros_stage(char command)
{
	static const struct {
		char command;
		enum milter_macro_stage stage;
	} stages[] = {
		{ SMFIC_CONNECT, MILTER_MACROS_CONNECT },
		{ SMFIC_HELO, MILTER_MACROS_HELO },
		{ SMFIC_MAIL, MILTER_MACROS_MAIL },
		{ SMFIC_RCPT, MILTER_MACROS_RCPT },
		{ SMFIC_DATA, MILTER_MACROS_DATA },
		{ SMFIC_HEADER, MILTER_MACROS_EOH },
		{ SMFIC_EOH, MILTER_MACROS_EOH },
		{ SMFIC_BODY, MILTER_MACROS_EOM },
		{ SMFIC_BODYEOB, MILTER_MACROS_EOM },
	};
	for (unsigned i = 0; i < COUNT_OF(stages); i++) {
		if (stages[i].command == command)
			return stages[i].stage;
	}
	return MILTER_MACROS_UNKNOWN;
}

static bool milter_macros_withheld(const struct milter_macro *m, const struct milter_macro_view *v)
{
	if (v->compat != MILTER_COMPAT_POSTFIX)
		return false;
	return m->withheld & POSTFIX_NEVER ||
	       (m->withheld & POSTFIX_NOT_WITH_CONTENT && strchr("LNBE", v->command) != NULL);
}

/* Name and value, or nothing. */
static void milter_macros_put_one(struct buf *out, const struct milter_macro *m, const struct milter_macro_view *view)
{
	size_t before = out->n;
	buf_add(out, bytes_make(m->name, strlen(m->name) + 1));
	size_t value = out->n;
	if (!m->value(view, out)) {
		out->n = before;
		return;
	}
	/* A NUL in a header field must not begin another macro, nor a long one fill the filter's buffer. */
	if (out->n - value > VALUE_MAX)
		out->n = value + VALUE_MAX;
	ptrdiff_t nul = bytes_find(bytes_make(out->p + value, out->n - value), '\0');
	if (nul >= 0)
		out->n = value + nul;
	buf_add_char(out, '\0');
}

void milter_macros_put(struct buf *out, const struct milter_macro_list *list, const struct milter_macro_view *view)
{
	size_t begun = milter_codec_begin(out, SMFIC_MACRO);
	buf_add_char(out, view->command);
	for (unsigned i = 0; i < list->count; i++) {
		const struct milter_macro *m = &macros[list->macros[i]];
		if (!milter_macros_withheld(m, view))
			milter_macros_put_one(out, m, view);
	}
	milter_codec_end(out, begun);
}
