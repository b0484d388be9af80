/*
 * table_ldap.c: ldap:/file, as ldap_table(5) says: attributes of the entries that a filter finds in a directory, and of those that they name.
 *
 * There are four sorts of attributes.  Where an entry has a terminal one, nothing else of it counts.  Special ones hold names (DN) or URLs of
 * other entries, which are looked at in turn; where there is one, the leaf ones of the same entry do not count.
 */
#include "tcp_table/modules/cutoff.h"
#include "tcp_table/modules/db_hosts.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <lber.h>
#include <ldap.h>
#include <limits.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

/* Entries that name entries that name entries: each takes a piece of a thread's stack. */
enum { LDAP_DEPTH_MOST = 64, LDAP_ATTRIBUTES_MOST = 64 };

struct ldap_table {
	struct db_hosts hosts;
	struct cutoff cutoff;
	const char *base, *filter;
	int scope, version, deref, size_limit, depth_limit;
	bool dynamic_base; /* one that does not exist is no mistake then */
	bool referrals, start_tls, bind, tls_require;
	const char *bind_dn, *bind_pw;
	const char *tls_ca_dir, *tls_ca_file, *tls_cert, *tls_key, *tls_ciphers;
	/* terminal, leaf, ordinary, special; NULL behind them */
	char *attributes[LDAP_ATTRIBUTES_MOST + 1];
	unsigned count, terminal, leaf, ordinary; /* the end of each sort, but for special ones */
};

/* ---- connections ---- */

/* The library has a time limit for most of what it waits for, but neither for a TLS handshake nor for the rest of a message that has begun. */
struct ldap_connection {
	LDAP *ld;
	struct ldap_conncb hooks;
	struct cutoff_line line;
};

static int ldap_socket_of(Sockbuf *sb)
{
	int fd = -1;
	return ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) > 0 ? fd : -1;
}

static int ldap_on_connect(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *sa, struct ldap_conncb *hooks)
{
	struct ldap_connection *c = hooks->lc_arg;
	(void)ld;
	(void)url;
	(void)sa;
	return cutoff_line_add(&c->line, ldap_socket_of(sb));
}

static void ldap_on_disconnect(LDAP *ld, Sockbuf *sb, struct ldap_conncb *hooks)
{
	struct ldap_connection *c = hooks->lc_arg;
	(void)ld;
	/* None: it is the end of them all. */
	if (sb)
		cutoff_line_remove(&c->line, ldap_socket_of(sb));
}

static void ldap_disconnect(void *connection)
{
	struct ldap_connection *c = connection;

	if (c->ld)
		ldap_unbind_ext(c->ld, NULL, NULL);
	cutoff_line_fini(&c->line);
	mem_free(c);
}

static struct timeval ldap_left(int64_t deadline)
{
	int64_t us = (deadline - idle_now()) / 1000;
	us = us < 1 ? 1 : us;
	return (struct timeval){ .tv_sec = us / 1000000, .tv_usec = us % 1000000 };
}

static void ldap_set_string(LDAP *ld, int option, const char *value)
{
	if (*value)
		ldap_set_option(ld, option, value);
}

static void ldap_configure(struct ldap_connection *c, const struct ldap_table *t, int64_t deadline)
{
	const struct timeval left = ldap_left(deadline);

	c->hooks = (struct ldap_conncb){ .lc_add = ldap_on_connect, .lc_del = ldap_on_disconnect, .lc_arg = c };
	ldap_set_option(c->ld, LDAP_OPT_CONNECT_CB, &c->hooks);
	ldap_set_option(c->ld, LDAP_OPT_PROTOCOL_VERSION, &t->version);
	ldap_set_option(c->ld, LDAP_OPT_DEREF, &t->deref);
	ldap_set_option(c->ld, LDAP_OPT_REFERRALS, t->referrals ? LDAP_OPT_ON : LDAP_OPT_OFF);
	ldap_set_option(c->ld, LDAP_OPT_NETWORK_TIMEOUT, &left);
	ldap_set_option(c->ld, LDAP_OPT_TIMEOUT, &left);
}

/* The library says only that it cannot. */
static int ldap_explain_tls(const struct ldap_table *t, struct buf *err)
{
	const char *const files[][2] = { { "tls_ca_cert_file", t->tls_ca_file }, { "tls_ca_cert_dir", t->tls_ca_dir },
		{ "tls_cert", t->tls_cert }, { "tls_key", t->tls_key } };

	for (unsigned i = 0; i < COUNT_OF(files); i++) {
		if (*files[i][1] && access(files[i][1], R_OK) < 0) {
			buf_printf(err, "cannot read %s: %s", files[i][1], strerror(errno));
			return -EIO;
		}
	}
	buf_add_str(err, "the library does not take these tls_* parameters");
	if (*t->tls_ciphers)
		buf_printf(err,
		    " (tls_cipher_suite is in the words of the library it uses, which may be GnuTLS: \"%s\")",
		    t->tls_ciphers);
	return -EIO;
}

static int ldap_configure_tls(LDAP *ld, const struct ldap_table *t, struct buf *err)
{
	const int require = t->tls_require ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, client = 0;

	ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
	ldap_set_string(ld, LDAP_OPT_X_TLS_CACERTFILE, t->tls_ca_file);
	ldap_set_string(ld, LDAP_OPT_X_TLS_CACERTDIR, t->tls_ca_dir);
	ldap_set_string(ld, LDAP_OPT_X_TLS_CERTFILE, t->tls_cert);
	ldap_set_string(ld, LDAP_OPT_X_TLS_KEYFILE, t->tls_key);
	ldap_set_string(ld, LDAP_OPT_X_TLS_CIPHER_SUITE, t->tls_ciphers);
	return ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) == LDAP_OPT_SUCCESS ? 0 : ldap_explain_tls(t, err);
}

/* "Can't contact LDAP server", and what it is that the library did not like.  With GnuTLS it cannot say that of a certificate. */
static void ldap_diagnose(LDAP *ld, struct buf *err)
{
	char *more = NULL;

	if (ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more) == LDAP_OPT_SUCCESS && more && *more)
		buf_printf(err, ": %s",
		    strcmp(more, "(unknown error code)") != 0
			? more
			: "the certificate is not good: not signed by "
			  "whom tls_ca_cert_file or tls_ca_cert_dir name, for another host name, or expired");
	ldap_memfree(more);
}

static int ldap_say(LDAP *ld, int code, int64_t deadline, struct buf *err)
{
	const bool late = code == LDAP_TIMEOUT || idle_now() >= deadline;

	buf_add_str(err, ldap_err2string(late ? LDAP_TIMEOUT : code));
	if (late)
		return -ETIMEDOUT;
	if (ld)
		ldap_diagnose(ld, err);
	return code == LDAP_SERVER_DOWN || code == LDAP_UNAVAILABLE || code == LDAP_BUSY ? -EPIPE : -EIO;
}

static int ldap_authenticate(LDAP *ld, const struct ldap_table *t)
{
	char *password = mem_strdup(t->bind_pw);
	struct berval secret = { .bv_val = password, .bv_len = strlen(password) };
	int code = t->start_tls ? ldap_start_tls_s(ld, NULL, NULL) : LDAP_SUCCESS;
	if (code == LDAP_SUCCESS && t->bind)
		code = ldap_sasl_bind_s(ld, t->bind_dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
	mem_free(password);
	return code;
}

static int ldap_greet(struct ldap_connection *c, struct ldap_table *t, int64_t deadline, struct buf *err)
{
	ldap_configure(c, t, deadline);
	int r = ldap_configure_tls(c->ld, t, err);
	if (r < 0)
		return r;
	cutoff_line_begin(&c->line, deadline);
	int code = ldap_authenticate(c->ld, t);
	cutoff_line_end(&c->line);
	return code == LDAP_SUCCESS ? 0 : ldap_say(c->ld, code, deadline, err);
}

static int ldap_connect_host(void *table, const struct db_host *h, int64_t deadline, void **ret, struct buf *err)
{
	struct ldap_table *t = table;
	struct ldap_connection *c = NEW(struct ldap_connection);

	cutoff_line_init(&c->line, &t->cutoff);
	int code = ldap_initialize(&c->ld, h->name);
	int r = code == LDAP_SUCCESS ? ldap_greet(c, t, deadline, err) : ldap_say(NULL, code, deadline, err);
	if (r < 0) {
		ldap_disconnect(c);
		return r == -ETIMEDOUT ? r : -ECONNREFUSED;
	}
	*ret = c;
	return 0;
}

/* ---- quoting ---- */

static int ldap_quote(const char *special, struct bytes value, struct buf *ret)
{
	for (size_t i = 0; i < value.n; i++) {
		if (strchr(special, value.p[i]))
			buf_printf(ret, "\\%02x", (unsigned char)value.p[i]);
		else
			buf_add_char(ret, value.p[i]);
	}
	return 0;
}

/* RFC 4515, 3: "the octets 0x28 '(', 0x29 ')', 0x2a '*', 0x5c '\' are represented as a backslash and two hexadecimal digits"; NUL is in no key. */
static int ldap_quote_filter(void *arg, struct bytes value, struct buf *ret)
{
	(void)arg;
	return ldap_quote("*()\\", value, ret);
}

/* RFC 4514, 2.4.  Some need it at an end of the value only, but all may have it. */
static int ldap_quote_name(void *arg, struct bytes value, struct buf *ret)
{
	(void)arg;
	return ldap_quote("\"+,;<>\\#= \t", value, ret);
}

/* ---- answers ---- */

struct ldap_question {
	const struct ldap_table *table;
	LDAP *ld;
	int64_t deadline;
	struct table_values *values;
	struct buf *err;
};

/* One search, and what follows from it. */
struct ldap_search {
	const char *base, *filter;
	int scope;
	char **attributes;
	bool may_miss; /* no such base: no entries */
	int depth;
};
static int ldap_search(const struct ldap_question *q, const struct ldap_search *s);

/* RFC 4512, 2.5: is one of two descriptions, in any case, the other one with options behind it?  1: B is, or both are the same; -1: A is. */
static int ldap_subtype(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	if (m >= n && strncasecmp(a, b, n) == 0 && (m == n || b[n] == ';'))
		return 1;
	return n > m && strncasecmp(a, b, m) == 0 && a[m] == ';' ? -1 : 0;
}

static bool ldap_has_any(const struct ldap_question *q, LDAPMessage *entry, unsigned from, unsigned to)
{
	bool any = false;
	for (unsigned i = from; i < to && !any; i++) {
		struct berval **values = ldap_get_values_len(q->ld, entry, q->table->attributes[i]);
		any = ldap_count_values_len(values) > 0;
		ldap_value_free_len(values);
	}
	return any;
}

/* Those attributes of URL that are ours, too; RET has room for LDAP_ATTRIBUTES_MOST and NULL. */
static void ldap_url_attributes(const struct ldap_table *t, const LDAPURLDesc *url, char **ret)
{
	unsigned n = 0;
	for (char **a = url->lud_attrs; *a; a++) {
		for (unsigned i = 0; i < t->count && n < LDAP_ATTRIBUTES_MOST; i++) {
			int relation = ldap_subtype(*a, t->attributes[i]);
			if (relation)
				ret[n++] = relation > 0 ? t->attributes[i] : *a;
		}
	}
	ret[n] = NULL;
}

static int ldap_follow_url(const struct ldap_question *q, const char *text, int depth)
{
	LDAPURLDesc *url;
	int code = ldap_url_parse(text, &url);
	if (code != 0) {
		buf_printf(q->err, "malformed URL %s", text);
		return -EIO;
	}
	struct ldap_search s = { .base = url->lud_dn,
		.filter = url->lud_filter,
		.scope = url->lud_scope,
		.may_miss = true,
		.depth = depth };
	char **ours = mem_array(NULL, LDAP_ATTRIBUTES_MOST + 1, sizeof *ours);
	s.attributes = (char **)q->table->attributes;
	if (url->lud_attrs && *url->lud_attrs) {
		ldap_url_attributes(q->table, url, ours);
		s.attributes = ours;
	}
	int r = *s.attributes ? ldap_search(q, &s) : 0;
	mem_free(ours);
	ldap_free_urldesc(url);
	return r;
}

static int ldap_follow(const struct ldap_question *q, const char *name, int depth)
{
	if (depth > q->table->depth_limit) {
		buf_printf(
		    q->err, "entries that name each other, more than %d deep, at %s", q->table->depth_limit, name);
		return -EIO;
	}
	if (ldap_is_ldap_url(name))
		return ldap_follow_url(q, name, depth);
	return ldap_search(q, &(struct ldap_search){ .base = name,
				  .filter = "(objectclass=*)",
				  .scope = LDAP_SCOPE_BASE,
				  .attributes = (char **)q->table->attributes,
				  .may_miss = true,
				  .depth = depth });
}

enum ldap_sort { LDAP_IGNORED, LDAP_VALUE, LDAP_NAME };

static enum ldap_sort ldap_sort_of(const struct ldap_table *t, const char *attribute, bool terminal, bool group)
{
	unsigned i = 0;
	while (i < t->count && ldap_subtype(t->attributes[i], attribute) <= 0)
		i++;
	if (terminal)
		return i < t->terminal ? LDAP_VALUE : LDAP_IGNORED;
	if (i < t->ordinary)
		return group && i < t->leaf ? LDAP_IGNORED : LDAP_VALUE;
	return i < t->count ? LDAP_NAME : LDAP_IGNORED;
}

static int ldap_attribute(
    const struct ldap_question *q, LDAPMessage *entry, const char *attribute, enum ldap_sort sort, int depth)
{
	struct berval **values = sort == LDAP_IGNORED ? NULL : ldap_get_values_len(q->ld, entry, attribute);
	int r = 0;

	for (unsigned i = 0; values && values[i] && r == 0; i++) {
		if (sort == LDAP_VALUE)
			r = table_values_add(q->values, bytes_make(values[i]->bv_val, values[i]->bv_len));
		else
			r = ldap_follow(q, values[i]->bv_val, depth + 1);
	}
	ldap_value_free_len(values);
	return r;
}

static int ldap_entry(const struct ldap_question *q, LDAPMessage *entry, int depth)
{
	const struct ldap_table *t = q->table;
	const bool terminal = ldap_has_any(q, entry, 0, t->terminal),
		   group = ldap_has_any(q, entry, t->ordinary, t->count);
	BerElement *ber = NULL;
	int r = 0;

	for (char *a = ldap_first_attribute(q->ld, entry, &ber); a; a = ldap_next_attribute(q->ld, entry, ber)) {
		if (r == 0)
			r = ldap_attribute(q, entry, a, ldap_sort_of(t, a, terminal, group), depth);
		ldap_memfree(a);
	}
	ber_free(ber, 0);
	return r;
}

static int ldap_search(const struct ldap_question *q, const struct ldap_search *s)
{
	struct timeval left = ldap_left(q->deadline);
	LDAPMessage *found = NULL;
	int r = 0;

	int code = ldap_search_ext_s(
	    q->ld, s->base, s->scope, s->filter, s->attributes, 0, NULL, NULL, &left, q->table->size_limit, &found);
	if (code != LDAP_SUCCESS && !(code == LDAP_NO_SUCH_OBJECT && s->may_miss))
		r = ldap_say(q->ld, code, q->deadline, q->err);
	else
		for (LDAPMessage *e = ldap_first_entry(q->ld, found); e && r == 0; e = ldap_next_entry(q->ld, e))
			r = ldap_entry(q, e, s->depth);
	ldap_msgfree(found);
	return r;
}

static int ldap_ask(
    void *table, void *connection, struct bytes key, int64_t deadline, struct table_values *values, struct buf *err)
{
	static const struct table_quote in_filter = { ldap_quote_filter, NULL }, in_name = { ldap_quote_name, NULL };
	const struct ldap_table *t = table;
	struct ldap_connection *c = connection;
	struct buf base = { 0 }, filter = { 0 };

	int r = table_query_ask(t->base, key, &in_name, &base);
	if (r == 0)
		r = table_query_ask(t->filter, key, &in_filter, &filter);
	cutoff_line_begin(&c->line, deadline);
	if (r == 0)
		r = ldap_search(&(struct ldap_question){ t, c->ld, deadline, values, err },
		    &(struct ldap_search){ .base = buf_str(&base),
			.filter = buf_str(&filter),
			.scope = t->scope,
			.depth = 1,
			.attributes = (char **)t->attributes,
			.may_miss = t->dynamic_base });
	cutoff_line_end(&c->line);
	buf_fini(&base);
	buf_fini(&filter);
	return r;
}

static const struct db_client ldap_client = { .connect = ldap_connect_host, .close = ldap_disconnect, .ask = ldap_ask };

/* ---- a table ---- */

static int ldap_get(void *state, struct bytes key, struct table_values *values, struct buf *err)
{
	struct ldap_table *t = state;
	return db_hosts_get(&t->hosts, key, values, err);
}

static void ldap_close(void *state)
{
	struct ldap_table *t = state;
	db_hosts_fini(&t->hosts);
	cutoff_fini(&t->cutoff);
	for (unsigned i = 0; i < t->count; i++)
		mem_free(t->attributes[i]);
	mem_free(t);
}

/* The next word of *REST, between white space and commas; NULL at the end. */
static char *ldap_word(struct bytes *rest)
{
	struct bytes b = *rest;
	size_t n = 0;

	while (b.n && (table_space(*b.p) || *b.p == ','))
		b = bytes_skip(b, 1);
	while (n < b.n && !table_space(b.p[n]) && b.p[n] != ',')
		n++;
	*rest = bytes_skip(b, n);
	return n ? bytes_dup(bytes_first(b, n)) : NULL;
}

static unsigned ldap_read_attributes(
    struct ldap_table *t, struct table_config *c, const char *name, const char *otherwise)
{
	struct bytes rest = bytes_of(table_config_str(c, name, otherwise));
	char *word;

	while ((word = ldap_word(&rest))) {
		if (t->count < LDAP_ATTRIBUTES_MOST) {
			t->attributes[t->count++] = word;
			continue;
		}
		table_config_wrong(c, name, "there are more than %d attributes", LDAP_ATTRIBUTES_MOST);
		mem_free(word);
	}
	return t->count;
}

static void ldap_read_hosts(struct ldap_table *t, struct table_config *c)
{
	struct bytes rest = bytes_of(table_config_str(c, "server_host", "localhost"));
	const int port = table_config_int(c, "server_port", LDAP_PORT, 1, 65535);
	char *word;

	while ((word = ldap_word(&rest))) {
		char *url = ldap_is_ldap_url(word)
		                ? mem_strdup(word)
		                : mem_printf(strchr(word, ':') ? "ldap://%s" : "ldap://%s:%d", word, port);
		db_hosts_add(&t->hosts, c,
		    &(struct db_host){ .text = word, .name = url, .local = strncmp(url, "ldapi:", 6) == 0 });
		mem_free(url);
		mem_free(word);
	}
}

static void ldap_read_search(struct ldap_table *t, struct table_config *c, struct table_driver_plan *plan)
{
	static const char *const scopes[] = { "base", "one", "sub", NULL };
	static const int scope_of[] = { LDAP_SCOPE_BASE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_SUBTREE };

	t->base = table_config_str(c, "search_base", "");
	t->filter = table_config_str(c, "query_filter", "(mailacceptinggeneralid=%s)");
	t->scope = scope_of[table_config_word(c, "scope", scopes, 2)];
	t->deref = table_config_int(c, "dereference", 0, 0, 3);
	t->size_limit = table_config_int(c, "size_limit", (int)plan->expansion_limit, 0, INT_MAX);
	t->depth_limit = table_config_int(c, "recursion_limit", 1000, 1, INT_MAX);
	if (t->depth_limit > LDAP_DEPTH_MOST)
		t->depth_limit = LDAP_DEPTH_MOST;
	for (const char *p = t->base; (p = strchr(p, '%')) && p[1]; p += 2)
		t->dynamic_base = t->dynamic_base || p[1] != '%';
	t->terminal = ldap_read_attributes(t, c, "terminal_result_attribute", "");
	t->leaf = ldap_read_attributes(t, c, "leaf_result_attribute", "");
	t->ordinary = ldap_read_attributes(t, c, "result_attribute", "maildrop");
	ldap_read_attributes(t, c, "special_result_attribute", "");
}

static void ldap_read_connection(struct ldap_table *t, struct table_config *c)
{
	static const char *const binds[] = { "no", "none", "yes", "simple", NULL };

	t->version = table_config_int(c, "version", LDAP_VERSION3, LDAP_VERSION2, LDAP_VERSION3);
	t->referrals = table_config_bool(c, "chase_referrals", false);
	t->bind = table_config_word(c, "bind", binds, 2) >= 2;
	t->bind_dn = table_config_str(c, "bind_dn", "");
	t->bind_pw = table_config_str(c, "bind_pw", "");
	t->start_tls = table_config_bool(c, "start_tls", false);
	t->tls_require = table_config_bool(c, "tls_require_cert", false);
	t->tls_ca_dir = table_config_str(c, "tls_ca_cert_dir", "");
	t->tls_ca_file = table_config_str(c, "tls_ca_cert_file", "");
	t->tls_cert = table_config_str(c, "tls_cert", "");
	t->tls_key = table_config_str(c, "tls_key", "");
	t->tls_ciphers = table_config_str(c, "tls_cipher_suite", "");
}

static void ldap_read_ignored(struct table_config *c)
{
	static const char *const cache[] = { "cache", "cache_expiry", "cache_size" };
	for (unsigned i = 0; i < COUNT_OF(cache); i++)
		table_config_ignore(c, cache[i], "OpenLDAP's library has no cache any more");
	table_config_ignore(c, "debuglevel", "the library would write to the standard error output");
	table_config_ignore(c, "tls_random_file", "random numbers come from the system");
}

static int ldap_open(struct table_config *c, struct table_driver_plan *plan, void **ret_state, struct buf *err)
{
	struct ldap_table *t = NEW(struct ldap_table);
	int seconds = table_config_int(c, "timeout", 0, 1, INT_MAX);

	if (seconds)
		plan->timeout = seconds * INT64_C(1000000000);
	if (!table_config_str(c, "result_format", NULL))
		plan->result_format = table_config_str(c, "result_filter", "%s");
	cutoff_init(&t->cutoff);
	db_hosts_init(&t->hosts, c, &ldap_client, t, plan->timeout);
	ldap_read_hosts(t, c);
	ldap_read_search(t, c, plan);
	ldap_read_connection(t, c);
	ldap_read_ignored(c);
	int r = table_query_learn(&plan->query, t->base, false, err);
	if (r == 0)
		r = table_query_learn(&plan->query, t->filter, false, err);
	if (r < 0)
		ldap_close(t);
	else
		*ret_state = t;
	return r;
}

const struct table_driver table_driver = {
	.version = GATEPOST_VERSION, .type = "ldap", .open = ldap_open, .close = ldap_close, .get = ldap_get
};
