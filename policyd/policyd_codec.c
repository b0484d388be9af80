/*
 * policyd_codec.c: the policy delegation protocol (Postfix SMTPD_POLICY_README).
 *
 * Over one connection the client asks and the server answers, in turn, as often as both like.
 *
 * REQUEST FORMAT
 *	name=value LF ... LF: one attribute a line, an empty line at the end.  The first is request=smtpd_access_policy.  The order of the others is
 *	not promised by the protocol, but servers exist that were written against what Postfix sends; so it is Postfix 3.12's.
 *	A value that is not known is empty (of clients and ports "unknown"); no attribute is left out.  Certificate names are xtext: a byte that is not
 *	graphic ASCII, or is '+', becomes +XX.
 *
 * REPLY FORMAT
 *	The same: action=WORD text LF LF.  Only the first action counts.  Other attributes, and lines without '=', are skipped.
 *	A server that ends its lines in CR LF never sends an empty line, as Postfix reads it; Postfix waits until its time is
 *	over, we say so at once.
 *
 * SECURITY
 *	Plain text, nobody is authenticated: for a unix socket, or a network that is trusted.
 */
#include "policyd/policyd_codec.h"

#include <errno.h>

static bool policyd_control(unsigned char c)
{
	return c < ' ' || c == 0x7f;
}

/* A control character in a value would end its line, and the client would be writing attributes of its own. */
static void policyd_put_value(struct buf *to, struct bytes value)
{
	char *at = buf_room(to, value.n);
	for (size_t i = 0; i < value.n; i++)
		at[i] = policyd_control((unsigned char)value.p[i]) ? '?' : value.p[i];
	buf_grown(to, value.n);
}

static void policyd_put_bytes(struct buf *to, const char *name, struct bytes value)
{
	buf_add_str(to, name);
	buf_add_char(to, '=');
	policyd_put_value(to, value);
	buf_add_char(to, '\n');
}

static void policyd_put(struct buf *to, const char *name, const char *value)
{
	policyd_put_bytes(to, name, bytes_of(value));
}

static void policyd_put_number(struct buf *to, const char *name, uint64_t value)
{
	buf_printf(to, "%s=%llu\n", name, (unsigned long long)value);
}

static void policyd_put_port(struct buf *to, const char *name, unsigned port)
{
	if (port)
		policyd_put_number(to, name, port);
	else
		policyd_put(to, name, "unknown");
}

/* Addresses go out as Postfix holds them: quotes and source route removed ("a b"@example.org is sent as a b@example.org). */
static void policyd_put_address(struct buf *to, const char *name, const struct smtp_address *a)
{
	buf_add_str(to, name);
	buf_add_char(to, '=');
	if (a) {
		policyd_put_value(to, a->local);
		if (a->domain.n) {
			buf_add_char(to, '@');
			policyd_put_value(to, a->domain);
		}
	}
	buf_add_char(to, '\n');
}

/* As xtext_quote() of Postfix, which leaves '=' alone where RFC 3461 would not. */
static void policyd_put_xtext(struct buf *to, const char *name, const char *value)
{
	buf_add_str(to, name);
	buf_add_char(to, '=');
	for (const char *p = value ? value : ""; *p; p++)
		if (*p > ' ' && *p < 0x7f && *p != '+')
			buf_add_char(to, *p);
		else
			buf_printf(to, "+%02X", (unsigned char)*p);
	buf_add_char(to, '\n');
}

static void policyd_put_envelope(struct buf *to, const struct policyd_request *r)
{
	policyd_put(to, "helo_name", r->helo_name);
	policyd_put_address(to, "sender", r->sender);
	policyd_put_address(to, "recipient", r->recipient);
	policyd_put_number(to, "recipient_count", r->recipient_count);
	policyd_put(to, "queue_id", r->queue_id);
	policyd_put(to, "instance", r->instance);
	policyd_put_number(to, "size", r->size);
	policyd_put(to, "etrn_domain", r->etrn_domain);
	policyd_put(to, "stress", r->stress);
}

static void policyd_put_identity(struct buf *to, const struct policyd_request *r)
{
	policyd_put(to, "sasl_method", r->sasl_method);
	policyd_put(to, "sasl_username", r->sasl_username);
	policyd_put_bytes(to, "sasl_sender", r->sasl_sender);
	policyd_put_xtext(to, "ccert_subject", r->ccert_subject);
	policyd_put_xtext(to, "ccert_issuer", r->ccert_issuer);
	policyd_put(to, "ccert_fingerprint", r->ccert_fingerprint);
	policyd_put(to, "ccert_pubkey_fingerprint", r->ccert_pubkey_fingerprint);
	policyd_put(to, "encryption_protocol", r->encryption_protocol);
	policyd_put(to, "encryption_cipher", r->encryption_cipher);
	policyd_put_number(to, "encryption_keysize", r->encryption_keysize);
	policyd_put(to, "tls_sni", r->tls_sni);
}

void policyd_codec_request(const struct policyd_request *r, struct buf *to)
{
	policyd_put(to, "request", "smtpd_access_policy");
	policyd_put(to, "protocol_state", r->protocol_state);
	policyd_put(to, "protocol_name", r->protocol_name);
	policyd_put(to, "client_address", r->client_address);
	policyd_put(to, "client_name", r->client_name);
	policyd_put_port(to, "client_port", r->client_port);
	policyd_put(to, "reverse_client_name", r->reverse_client_name);
	policyd_put(to, "server_address", r->server_address);
	policyd_put_port(to, "server_port", r->server_port);
	policyd_put_envelope(to, r);
	policyd_put_identity(to, r);
	policyd_put(to, "policy_context", r->policy_context);
	policyd_put(to, "compatibility_level", r->compatibility_level);
	policyd_put(to, "mail_version", r->mail_version);
	for (const struct policyd_extra *e = r->extras; e; e = e->next)
		policyd_put_bytes(to, e->name, e->value);
	buf_add_char(to, '\n');
}

int policyd_codec_reply_line(struct policyd_reply *r, struct bytes line, bool crlf, const char **ret_why)
{
	r->bytes += line.n + 1;
	if (r->bytes > POLICYD_REPLY_MAX) {
		*ret_why = "the answer is too long";
		return -EMSGSIZE;
	}
	if (crlf || bytes_find(line, '\0') >= 0) {
		*ret_why = crlf ? "a line ends in CR LF" : "a line holds NUL";
		return -EPROTO;
	}
	if (line.n == 0) {
		*ret_why = "the answer has no action";
		return r->found ? 1 : -EPROTO;
	}
	struct bytes value = line, name = bytes_cut(&value, '=');
	if (r->found || !bytes_eq(name, BYTES("action")))
		return 0;
	if (!value.p) {
		*ret_why = "the action has no value";
		return -EPROTO;
	}
	r->found = true;
	buf_add(&r->action, value);
	return 0;
}

void policyd_reply_fini(struct policyd_reply *r)
{
	buf_fini(&r->action);
	*r = (struct policyd_reply){ 0 };
}
