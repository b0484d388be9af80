/*
 * held_codec.c: the envelope of a held message, from and to JSON.
 *
 * Reading goes on after the first mistake, which is remembered in the reader: so the functions that read need no error paths of their own.
 */
#include "queue/held_codec.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

enum { HELD_VERSION = 1, HELD_ID_MAX = 64 };

static const char *const resolve_words[] = {
	[GATE_RESOLVE_OK] = "ok", [GATE_RESOLVE_FAIL] = "fail", [GATE_RESOLVE_TEMP] = "temp", [GATE_RESOLVE_FORGED] = "forged",
};
static const char *const protocol_words[] = { [GATE_SMTP] = "smtp", [GATE_ESMTP] = "esmtp", [GATE_LMTP] = "lmtp" };

bool held_id_valid(struct bytes id)
{
	static const char alnum[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	if (id.n == 0 || id.n > HELD_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (!memchr(alnum, id.p[i], sizeof alnum - 1) && !(i && (id.p[i] == '.' || id.p[i] == '-')))
			return false;
	return true;
}

bool held_rcpt_done(const struct held_rcpt *r)
{
	for (const struct held_target *t = r->targets; t; t = t->next)
		if (!t->delivered)
			return false;
	return true;
}

/* ---- writing ---- */

static json_t *put_hex(struct bytes b)
{
	struct buf hex = { 0 };
	for (size_t i = 0; i < b.n; i++)
		buf_printf(&hex, "%02x", (unsigned char)b.p[i]);
	json_t *v = json_pack("{s:s%}", "hex", hex.n ? hex.p : "", hex.n);
	buf_fini(&hex);
	return v;
}

static json_t *put_bytes(struct bytes b)
{
	return bytes_utf8(b) && bytes_find(b, '\0') < 0 ? json_stringn(b.n ? b.p : "", b.n) : put_hex(b);
}

static void set_bytes(json_t *o, const char *key, struct bytes b)
{
	json_object_set_new(o, key, put_bytes(b));
}

/* NULL is left out, and so is false. */
static void set_str(json_t *o, const char *key, const char *s)
{
	if (s)
		set_bytes(o, key, bytes_of(s));
}

static void set_flag(json_t *o, const char *key, bool flag)
{
	if (flag)
		json_object_set_new(o, key, json_true());
}

static void set_int(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *put_names(const char *const *names, unsigned n)
{
	json_t *a = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(a, put_bytes(bytes_of(names[i])));
	return a;
}

static json_t *put_addr(const struct net_addr *a, const char *ip, uint16_t port)
{
	json_t *o = json_object();
	set_str(o, "ip", ip);
	set_flag(o, "local", a->sa.sa_family == AF_UNIX);
	if (port)
		set_int(o, "port", port);
	return o;
}

static json_t *put_tls(const struct tls_info *t)
{
	json_t *o = json_object();
	set_str(o, "protocol", t->protocol);
	set_str(o, "cipher", t->cipher);
	set_int(o, "cipher_bits", (uint64_t)t->cipher_bits);
	set_str(o, "server_name", t->server_name);
	set_str(o, "peer_subject", t->peer_subject);
	set_str(o, "peer_issuer", t->peer_issuer);
	set_str(o, "peer_fingerprint", t->peer_fingerprint);
	set_str(o, "peer_key_fingerprint", t->peer_key_fingerprint);
	set_flag(o, "peer_verified", t->peer_verified);
	return o;
}

static json_t *put_session(const struct gate_session *s)
{
	json_t *o = json_object(), *client = put_addr(&s->client, s->client_ip, s->client_port);
	set_str(client, "name", s->client_name);
	set_str(client, "ptr", s->client_ptr);
	set_str(client, "resolve", resolve_words[s->client_resolve]);
	set_str(o, "id", s->id);
	set_str(o, "hostname", s->hostname);
	set_str(o, "listener", s->listener);
	json_object_set_new(o, "server", put_addr(&s->server, s->server_ip, net_addr_port(&s->server)));
	json_object_set_new(o, "client", client);
	set_str(o, "protocol", protocol_words[s->protocol]);
	set_str(o, "helo", s->helo);
	if (s->tls)
		json_object_set_new(o, "tls", put_tls(s->tls));
	set_str(o, "auth_mechanism", s->auth_mechanism);
	set_str(o, "auth_user", s->auth_user);
	set_str(o, "auth_author", s->auth_author);
	return o;
}

/* The command's argument as it came, and the address that counts now. */
static json_t *put_path(const char *verb, const struct smtp_path *p)
{
	json_t *o = json_object();
	struct buf command = { 0 };
	buf_printf(&command, "%s:%.*s", verb, BYTES_ARG(p->raw));
	for (unsigned i = 0; i < p->param_count; i++)
		buf_printf(&command, " %.*s", BYTES_ARG(p->params[i].text));
	set_bytes(o, "command", buf_bytes(&command));
	set_bytes(o, "address", p->address.address);
	buf_fini(&command);
	return o;
}

static json_t *put_sender(const struct smtp_path *p)
{
	json_t *o = put_path("FROM", p);
	set_str(o, "ret", p->ret_full ? "full" : p->ret_headers ? "headers" : NULL);
	if (p->envid.n)
		set_bytes(o, "envid", p->envid);
	return o;
}

static json_t *put_rcpt(const struct held_rcpt *r)
{
	json_t *o = put_path("TO", &r->view.path), *targets = json_array();
	set_str(o, "class", r->view.class);
	set_flag(o, "added", r->view.added);
	for (const struct held_target *t = r->targets; t; t = t->next) {
		json_t *to = json_object();
		set_bytes(to, "address", t->address.address);
		json_object_set_new(to, "hops", put_names(t->hops, t->hop_count));
		set_flag(to, "queue", t->queue);
		set_flag(to, "delivered", t->delivered);
		json_array_append_new(targets, to);
	}
	json_object_set_new(o, "targets", targets);
	return o;
}

static json_t *put_held(const struct held *h)
{
	json_t *o = json_object(), *rcpts = json_array(), *trace = json_array();
	struct held_rcpt *r;
	set_int(o, "version", HELD_VERSION);
	set_str(o, "id", h->id);
	set_int(o, "time", (uint64_t)h->time);
	set_int(o, "size", h->size);
	set_str(o, "reason", h->reason);
	set_str(o, "gate", h->gate);
	set_str(o, "instance", h->instance);
	set_flag(o, "chunking", h->chunking);
	json_object_set_new(o, "session", put_session(&h->session));
	json_object_set_new(o, "sender", put_sender(&h->sender));
	LIST_EACH(r, &h->rcpts, struct held_rcpt, link)
		json_array_append_new(rcpts, put_rcpt(r));
	json_object_set_new(o, "recipients", rcpts);
	json_object_set_new(o, "gates", put_names(h->gates, h->gate_count));
	for (unsigned i = 0; i < h->trace_count; i++)
		json_array_append_new(trace, json_integer(h->trace[i]));
	json_object_set_new(o, "trace", trace);
	return o;
}

static int add_piece(const char *piece, size_t n, void *to)
{
	buf_add(to, bytes_make(piece, n));
	return 0;
}

void held_encode(const struct held *h, struct buf *to)
{
	json_t *o = put_held(h);
	json_dump_callback(o, add_piece, to, JSON_INDENT(1));
	buf_add_char(to, '\n');
	json_decref(o);
}

/* ---- reading ---- */

struct held_reader {
	struct arena *arena;
	const char *wrong;              /* the first that is; NULL */
};

static void held_wrong(struct held_reader *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct bytes get_hex(struct held_reader *r, struct bytes hex, const char *key)
{
	char *to = arena_alloc(r->arena, hex.n / 2 + 1);
	for (size_t i = 0; i < hex.n; i += 2) {
		int high = hex_digit(hex.p[i]), low = i + 1 < hex.n ? hex_digit(hex.p[i + 1]) : -1;
		if (high < 0 || low < 0) {
			held_wrong(r, key);
			return bytes_of("");
		}
		to[i / 2] = (char)(high * 16 + low);
	}
	return bytes_make(to, hex.n / 2);
}

static struct bytes get_value(struct held_reader *r, const json_t *v, const char *key)
{
	if (json_is_string(v))
		return arena_bytes(r->arena, bytes_make(json_string_value(v), json_string_length(v)));
	const json_t *hex = json_object_get(v, "hex");
	if (json_is_string(hex))
		return get_hex(r, bytes_make(json_string_value(hex), json_string_length(hex)), key);
	held_wrong(r, key);
	return bytes_of("");
}

static struct bytes get_bytes(struct held_reader *r, const json_t *o, const char *key)
{
	return get_value(r, json_object_get(o, key), key);
}

static const char *get_text(struct held_reader *r, const json_t *v, const char *key)
{
	struct bytes b = get_value(r, v, key);
	if (bytes_find(b, '\0') >= 0)
		held_wrong(r, key);
	return arena_str(r->arena, b);
}

/* NULL when it is not there. */
static const char *get_str(struct held_reader *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return v ? get_text(r, v, key) : NULL;
}

static const char *need_str(struct held_reader *r, const json_t *o, const char *key)
{
	return get_text(r, json_object_get(o, key), key);
}

static bool get_flag(struct held_reader *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	if (v && !json_is_boolean(v))
		held_wrong(r, key);
	return json_is_true(v);
}

static uint64_t get_int(struct held_reader *r, const json_t *o, const char *key, uint64_t most)
{
	const json_t *v = json_object_get(o, key);
	if (!v)
		return 0;
	if (json_is_integer(v) && json_integer_value(v) >= 0 && (uint64_t)json_integer_value(v) <= most)
		return (uint64_t)json_integer_value(v);
	held_wrong(r, key);
	return 0;
}

static unsigned get_word(struct held_reader *r, const json_t *o, const char *key, const char *const *words, unsigned n)
{
	struct bytes word = get_bytes(r, o, key);
	for (unsigned i = 0; i < n; i++)
		if (bytes_eq(word, bytes_of(words[i])))
			return i;
	held_wrong(r, key);
	return 0;
}

static const json_t *need_array(struct held_reader *r, const json_t *o, const char *key)
{
	const json_t *a = json_object_get(o, key);
	if (!json_is_array(a))
		held_wrong(r, key);
	return a;
}

static const char **get_names(struct held_reader *r, const json_t *o, const char *key, unsigned *ret_count)
{
	const json_t *a = need_array(r, o, key);
	unsigned n = (unsigned)json_array_size(a);
	const char **names = ARENA_ARRAY(r->arena, const char *, n + 1);
	for (unsigned i = 0; i < n; i++)
		names[i] = get_text(r, json_array_get(a, i), key);
	*ret_count = n;
	return names;
}

static void get_addr(struct held_reader *r, const json_t *o, struct net_addr *ret, const char **ret_ip)
{
	uint16_t port = (uint16_t)get_int(r, o, "port", 65535);
	*ret_ip = need_str(r, o, "ip");
	if (net_addr_parse(bytes_of(*ret_ip), port, ret) == 0)
		return;
	/* A unix socket's, or one that is not known (XCLIENT). */
	*ret = (struct net_addr){ .len = sizeof(sa_family_t) };
	ret->sa.sa_family = get_flag(r, o, "local") ? AF_UNIX : AF_UNSPEC;
}

static struct tls_info get_tls(struct held_reader *r, const json_t *o)
{
	return (struct tls_info){
		.protocol = need_str(r, o, "protocol"),
		.cipher = need_str(r, o, "cipher"),
		.cipher_bits = (int)get_int(r, o, "cipher_bits", 65535),
		.server_name = get_str(r, o, "server_name"),
		.peer_subject = get_str(r, o, "peer_subject"),
		.peer_issuer = get_str(r, o, "peer_issuer"),
		.peer_fingerprint = get_str(r, o, "peer_fingerprint"),
		.peer_key_fingerprint = get_str(r, o, "peer_key_fingerprint"),
		.peer_verified = get_flag(r, o, "peer_verified"),
	};
}

static void get_session(struct held_reader *r, const json_t *o, struct held *h)
{
	const json_t *client = json_object_get(o, "client"), *tls = json_object_get(o, "tls");
	struct gate_session *s = &h->session;
	*s = (struct gate_session){
		.id = need_str(r, o, "id"),
		.hostname = need_str(r, o, "hostname"),
		.listener = need_str(r, o, "listener"),
		.client_port = (uint16_t)get_int(r, client, "port", 65535),
		.client_name = need_str(r, client, "name"),
		.client_ptr = need_str(r, client, "ptr"),
		.client_resolve = get_word(r, client, "resolve", resolve_words, COUNT_OF(resolve_words)),
		.protocol = get_word(r, o, "protocol", protocol_words, COUNT_OF(protocol_words)),
		.helo = get_str(r, o, "helo"),
		.auth_mechanism = get_str(r, o, "auth_mechanism"),
		.auth_user = get_str(r, o, "auth_user"),
		.auth_author = get_str(r, o, "auth_author"),
		.arena = r->arena,
	};
	get_addr(r, json_object_get(o, "server"), &s->server, &s->server_ip);
	get_addr(r, client, &s->client, &s->client_ip);
	if (tls)
		h->tls = get_tls(r, tls);
}

static void get_address(struct held_reader *r, const json_t *o, struct smtp_address *ret)
{
	struct bytes text = get_bytes(r, o, "address");
	*ret = (struct smtp_address){ .address = bytes_of("") };
	if (text.n && smtp_address_parse(text, r->arena, ret) < 0)
		held_wrong(r, "address");
}

static void get_path(struct held_reader *r, enum smtp_verb verb, const json_t *o, struct smtp_path *ret)
{
	struct smtp_reply error;
	*ret = (struct smtp_path){ 0 };
	if (smtp_path_parse(verb, get_bytes(r, o, "command"), false, r->arena, ret, &error) < 0)
		held_wrong(r, "command");
	get_address(r, o, &ret->address);
}

/* It goes into a command of ours as it is: no more than a client could have said. */
static struct bytes get_envid(struct held_reader *r, const json_t *o)
{
	struct bytes envid = get_bytes(r, o, "envid");
	struct smtp_path path = { 0 };
	struct smtp_reply error;
	struct bytes command = bytes_of(arena_printf(r->arena, "FROM:<> ENVID=%.*s", BYTES_ARG(envid)));
	if (smtp_path_parse(SMTP_MAIL, command, false, r->arena, &path, &error) < 0 || !bytes_eq(path.envid, envid))
		held_wrong(r, "envid");
	return envid;
}

static void get_sender(struct held_reader *r, const json_t *o, struct smtp_path *ret)
{
	get_path(r, SMTP_MAIL, o, ret);
	const char *which = get_str(r, o, "ret");
	ret->ret_full = which && strcmp(which, "full") == 0;
	ret->ret_headers = which && strcmp(which, "headers") == 0;
	if (json_object_get(o, "envid"))
		ret->envid = get_envid(r, o);
}

static struct held_target *get_target(struct held_reader *r, const json_t *o)
{
	struct held_target *t = ARENA_NEW(r->arena, struct held_target);
	get_address(r, o, &t->address);
	t->hops = get_names(r, o, "hops", &t->hop_count);
	t->queue = get_flag(r, o, "queue");
	t->delivered = get_flag(r, o, "delivered");
	if (t->hop_count == 0)
		held_wrong(r, "hops");
	if (t->address.address.n == 0)
		held_wrong(r, "address");
	return t;
}

static struct held_rcpt *get_rcpt(struct held_reader *r, const json_t *o)
{
	struct held_rcpt *rcpt = ARENA_NEW(r->arena, struct held_rcpt);
	const json_t *targets = need_array(r, o, "targets");
	struct held_target **end = &rcpt->targets;
	get_path(r, SMTP_RCPT, o, &rcpt->view.path);
	rcpt->view.class = get_str(r, o, "class");
	rcpt->view.added = get_flag(r, o, "added");
	for (size_t i = 0; i < json_array_size(targets); i++) {
		*end = get_target(r, json_array_get(targets, i));
		end = &(*end)->next;
	}
	if (!rcpt->targets)
		held_wrong(r, "targets");
	return rcpt;
}

static void get_trace(struct held_reader *r, const json_t *o, struct held *h)
{
	const json_t *trace = need_array(r, o, "trace");
	h->trace_count = (unsigned)json_array_size(trace);
	h->trace = ARENA_ARRAY(r->arena, unsigned, h->trace_count + 1);
	for (unsigned i = 0; i < h->trace_count; i++) {
		json_int_t n = json_integer_value(json_array_get(trace, i));
		if (n < 0 || n > INT32_MAX)
			held_wrong(r, "trace");
		else
			h->trace[i] = (unsigned)n;
	}
}

static void get_held(struct held_reader *r, const json_t *o, struct held *h)
{
	const json_t *rcpts = need_array(r, o, "recipients");
	if (json_array_size(rcpts) == 0)
		held_wrong(r, "recipients");
	h->id = need_str(r, o, "id");
	if (!held_id_valid(bytes_of(h->id)))
		held_wrong(r, "id");
	h->time = (int64_t)get_int(r, o, "time", INT64_MAX);
	h->size = get_int(r, o, "size", INT64_MAX);
	h->reason = get_str(r, o, "reason");
	h->gate = get_str(r, o, "gate");
	h->instance = need_str(r, o, "instance");
	h->chunking = get_flag(r, o, "chunking");
	get_session(r, json_object_get(o, "session"), h);
	get_sender(r, json_object_get(o, "sender"), &h->sender);
	for (size_t i = 0; i < json_array_size(rcpts); i++)
		list_append(&h->rcpts, &get_rcpt(r, json_array_get(rcpts, i))->link);
	h->gates = get_names(r, o, "gates", &h->gate_count);
	get_trace(r, o, h);
}

int held_decode(struct bytes text, struct arena *arena, struct held *ret, struct buf *err)
{
	json_error_t error;
	json_t *o = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
	struct held_reader r = { .arena = arena };
	if (!o) {
		buf_printf(err, "line %d: %s", error.line, error.text);
		return -EBADMSG;
	}
	*ret = (struct held){ 0 };
	list_init(&ret->rcpts);
	uint64_t version = get_int(&r, o, "version", INT64_MAX);
	if (version == 0)
		held_wrong(&r, "version");
	bool known = r.wrong || version == HELD_VERSION;
	if (known)
		get_held(&r, o, ret);
	json_decref(o);
	if (!known) {
		/* A later one's, after a downgrade.  It is not damaged, and the later one can read it. */
		buf_printf(err, "it is of version %llu, and this gatepost knows version %d", (unsigned long long)version, HELD_VERSION);
		return -EBADMSG;
	}
	if (ret->tls.protocol)
		ret->session.tls = &ret->tls;
	if (r.wrong)
		buf_printf(err, "what it says of \"%s\" is missing, or makes no sense", r.wrong);
	return r.wrong ? -EBADMSG : 0;
}
