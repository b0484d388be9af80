/*
 * smtpd_xclient.c
 *
 *	"XCLIENT" 1*( SP attribute-name "=" attribute-value ) CRLF	(Postfix XCLIENT_README)
 *
 *	attribute-name  = "NAME" / "REVERSE_NAME" / "ADDR" / "PORT" / "PROTO" / "HELO" / "LOGIN" / "DESTADDR" / "DESTPORT"
 *	attribute-value = xtext / "[UNAVAILABLE]" / "[TEMPUNAVAIL]"
 *
 * A proxy that we trust says who its client is.  All that was known of the client before is forgotten, and the
 * session starts anew with another greeting.  An IPv6 address is written "IPV6:2001:db8::1".
 *
 * From then on it is that client who speaks: some proxies pass its commands on as they are.  So whether it may use XCLIENT again
 * is asked of its own address, as in Postfix.
 */
#include "smtpd/smtpd_session.h"

#include "lib/base/log.h"

#include <errno.h>

enum { UNAVAILABLE = 1, TEMPUNAVAIL = 2 };

/* What the command changes, gathered before any of it takes effect. */
struct xclient {
	struct gate_session view;       /* a copy */
	struct bytes helo;              /* p == NULL: none */
	bool ptr_told;
};

struct xclient_attribute {
	const char *name;
	/* VALUE is decoded and plain.  -EINVAL: makes no sense. */
	int (*set)(struct smtpd_session *s, struct xclient *x, const char *value, int missing);
};

static int xclient_name(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	(void)s;
	x->view.client_name = missing ? "unknown" : value;
	x->view.client_resolve = !missing ? GATE_RESOLVE_OK : missing == TEMPUNAVAIL ? GATE_RESOLVE_TEMP : GATE_RESOLVE_FAIL;
	/* A name is verified because the address maps to it, so that is the reverse name, unless the proxy says better. */
	if (!x->ptr_told)
		x->view.client_ptr = x->view.client_name;
	return 0;
}

static int xclient_reverse_name(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	(void)s;
	x->view.client_ptr = missing ? "unknown" : value;
	x->ptr_told = true;
	return 0;
}

static int xclient_ip(struct smtpd_session *s, const char *value, struct net_addr *addr, const char **ret_text)
{
	struct bytes ip = bytes_of(value);
	char text[INET6_ADDRSTRLEN];
	if (bytes_case_starts(ip, BYTES("IPV6:")))
		ip = bytes_skip(ip, 5);
	if (net_addr_parse(ip, net_addr_port(addr), addr) < 0)
		return -EINVAL;
	net_addr_ip(addr, text);
	*ret_text = arena_str(&s->arena, bytes_of(text));
	return 0;
}

static int xclient_addr(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	if (!missing)
		return xclient_ip(s, value, &x->view.client, &x->view.client_ip);
	memset(&x->view.client, 0, sizeof x->view.client);
	x->view.client_ip = "unknown";
	return 0;
}

static int xclient_port_number(const char *value, struct net_addr *addr, uint64_t *ret)
{
	if (bytes_to_u64(bytes_of(value), 65535, ret) < 0)
		return -EINVAL;
	if (addr->sa.sa_family == AF_INET)
		addr->in.sin_port = htons((uint16_t)*ret);
	else if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons((uint16_t)*ret);
	return 0;
}

static int xclient_port(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	uint64_t port = 0;
	(void)s;
	if (xclient_port_number(missing ? "0" : value, &x->view.client, &port) < 0)
		return -EINVAL;
	x->view.client_port = (uint16_t)port;
	return 0;
}

static int xclient_proto(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	(void)missing;
	if (s->config->lmtp)
		return 0;
	if (strcasecmp(value, "SMTP") != 0 && strcasecmp(value, "ESMTP") != 0)
		return -EINVAL;
	x->view.esmtp = strcasecmp(value, "SMTP") != 0;
	x->view.protocol = x->view.esmtp ? GATE_ESMTP : GATE_SMTP;
	return 0;
}

static int xclient_helo(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	(void)s;
	x->helo = bytes_of(missing ? NULL : value);
	return 0;
}

static int xclient_login(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	(void)s;
	x->view.auth_user = missing ? NULL : value;
	x->view.auth_mechanism = missing ? NULL : "XCLIENT";
	x->view.auth_author = NULL;
	return 0;
}

static int xclient_destaddr(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	if (!missing)
		return xclient_ip(s, value, &x->view.server, &x->view.server_ip);
	x->view.server_ip = "unknown";
	return 0;
}

static int xclient_destport(struct smtpd_session *s, struct xclient *x, const char *value, int missing)
{
	uint64_t port;
	(void)s;
	return xclient_port_number(missing ? "0" : value, &x->view.server, &port);
}

static const struct xclient_attribute attributes[] = {
	{ "NAME", xclient_name }, { "REVERSE_NAME", xclient_reverse_name }, { "ADDR", xclient_addr }, { "PORT", xclient_port },
	{ "PROTO", xclient_proto }, { "HELO", xclient_helo }, { "LOGIN", xclient_login }, { "DESTADDR", xclient_destaddr },
	{ "DESTPORT", xclient_destport },
};

static const struct xclient_attribute *xclient_find(struct bytes name)
{
	for (size_t i = 0; i < COUNT_OF(attributes); i++)
		if (bytes_case_eq(bytes_of(attributes[i].name), name))
			return &attributes[i];
	return NULL;
}

/* Takes "NAME=value" over into X.  False: the client was told what is wrong. */
static bool xclient_take(struct smtpd_session *s, struct xclient *x, struct bytes word)
{
	struct bytes value = word, name = bytes_cut(&value, '=');
	const struct xclient_attribute *a = xclient_find(name);
	struct buf plain = { 0 };
	int r = -EINVAL, missing = 0;
	if (!a || !value.p) {
		smtpd_sayf(s, 501, "5.5.4", "Bad XCLIENT attribute name: %.*s", BYTES_ARG(bytes_first(name, 64)));
		return false;
	}
	if (smtp_xtext_decode(value, &plain) == 0 && plain.n && plain.n <= 255 && bytes_find(buf_bytes(&plain), 0) < 0) {
		if (bytes_case_eq(buf_bytes(&plain), BYTES("[UNAVAILABLE]")))
			missing = UNAVAILABLE;
		else if (bytes_case_eq(buf_bytes(&plain), BYTES("[TEMPUNAVAIL]")))
			missing = TEMPUNAVAIL;
		for (size_t i = 0; i < plain.n; i++)
			if ((unsigned char)plain.p[i] < 32 || plain.p[i] == 127)
				plain.p[i] = '?';
		r = a->set(s, x, arena_str(&s->arena, buf_bytes(&plain)), missing);
	}
	if (r < 0)
		smtpd_sayf(s, 501, "5.5.4", "Bad XCLIENT %s syntax: %.*s", a->name, BYTES_ARG(bytes_first(value, 64)));
	buf_fini(&plain);
	return r == 0;
}

/* Another client: another session, for the script and for the gates. */
TASK_FN static int xclient_restart(struct smtpd_session *s, const struct xclient *x)
{
	chain_close(&s->chain, true);
	chain_init(&s->chain, &s->view);
	if (s->script_state)
		s->config->script.ops->session_end(s->config->script.script, s->script_state);
	s->script_state = NULL;
	s->denied.code = 0;
	s->accepted = false;
	s->view = x->view;
	mem_free(s->helo);
	s->helo = x->helo.p ? bytes_dup(x->helo) : NULL;
	smtpd_ehlo_neuter(s->helo);
	s->view.helo = s->helo;
	s->xclient = smtpd_session_may_xclient(s);
	struct log_line l;
	log_begin(&l, LOG_LEVEL_DEBUG, "xclient");
	log_str(&l, "client", s->view.client_ip);
	log_str(&l, "name", s->view.client_name);
	log_end(&l);
	return smtpd_session_greet(s);
}

/* What is not told with this command is not known of the new client. */
static void xclient_forget(const struct smtpd_session *s, struct gate_session *view)
{
	view->protocol = s->config->lmtp ? GATE_LMTP : GATE_SMTP;
	view->esmtp = false;
	view->auth_mechanism = view->auth_user = view->auth_author = NULL;
}

int smtpd_xclient(struct smtpd_session *s, struct bytes arg)
{
	struct xclient x = { .view = s->view };
	if (!s->xclient) {
		smtpd_say(s, 550, "5.7.0", "Error: insufficient authorization");
		return 0;
	}
	if (s->txn) {
		smtpd_say(s, 503, "5.5.1", "Error: MAIL transaction in progress");
		return 0;
	}
	if (!arg.n) {
		smtpd_say(s, 501, "5.5.4", "Syntax: XCLIENT attribute=value...");
		return 0;
	}
	xclient_forget(s, &x.view);
	for (struct bytes word; (word = bytes_word(&arg)).n;)
		if (!xclient_take(s, &x, word))
			return 0;
	return xclient_restart(s, &x);
}
