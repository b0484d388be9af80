/* kinds.c: every kind of gate, table and next hop there is, and the settings of each.  The only file that names them. */
#include "mta/kinds.h"

#include "delivery/maildir_hop.h"
#include "delivery/smtp_hop.h"
#include "lib/base/mem.h"
#include "milter/milter.h"
#include "mta/config_command.h"
#include "mta/config_gate.h"
#include "policyd/policyd.h"
#include "tcp_table/table_kinds.h"

#include <grp.h>
#include <pwd.h>

/* ---- what they share ---- */

/* The values of a list setting, as the kinds take them. */
static const char *const *read_list(struct reader *r, cfg_t *s, const char *name, unsigned *ret_count)
{
	unsigned n = reader_count(s, name);
	const char **list = ARENA_ARRAY(r->arena, const char *, n + 1);
	for (unsigned i = 0; i < n; i++)
		list[i] = reader_item(r, s, name, i);
	*ret_count = n;
	return list;
}

/* The endpoints of a list setting, tried here, where the line is known. */
static const char *const *read_endpoints(struct reader *r, cfg_t *s, const char *setting, uint16_t default_port, unsigned *ret_count)
{
	const char *const *endpoints = read_list(r, s, setting, ret_count);
	if (!*ret_count)
		reader_fail(r, reader_section_line(r, s), "%s %s has no %s", cfg_name(s), cfg_title(s), setting);
	for (unsigned i = 0; i < *ret_count; i++) {
		struct endpoint e;
		struct buf why = { 0 };
		if (endpoint_parse(bytes_of(endpoints[i]), default_port, &e, &why)) {
			reader_fail(r, reader_line(r, s, setting, i), "%s \"%s\": %s", setting, endpoints[i], buf_str(&why));
		} else {
			config_command_check_path(r, s, setting, i, &e);
			endpoint_fini(&e);
		}
		buf_fini(&why);
	}
	return endpoints;
}

/* What the kind itself says of a section that was read without a mistake. */
static void *refuse(struct reader *r, cfg_t *s, const char *name, struct buf *why)
{
	reader_fail(r, reader_section_line(r, s), "%s %s: %s", cfg_name(s), name, buf_str(why));
	buf_fini(why);
	return NULL;
}

static struct strmap *gate_map(struct config *c)
{
	return &c->gates;
}

static struct strmap *table_map(struct config *c)
{
	return &c->tables;
}

static struct strmap *next_hop_map(struct config *c)
{
	return &c->next_hops;
}

/* ---- milter ---- */

static cfg_opt_t macro_settings[] = {
	READER_VALUE("connect"), READER_VALUE("helo"), READER_VALUE("mail"), READER_VALUE("rcpt"), READER_VALUE("data"),
	READER_VALUE("eoh"), READER_VALUE("eom"), READER_VALUE("unknown"), CFG_END(),
};
static cfg_opt_t milter_settings[] = {
	READER_LIST("socket"), READER_VALUE("connect_timeout"), READER_VALUE("command_timeout"), READER_VALUE("content_timeout"),
	READER_VALUE("protocol"), READER_VALUE("compat"), READER_SECTION("macros", macro_settings), READER_VALUE("data_max"),
	READER_VALUE("reply_max"), READER_VALUE("keep"), READER_VALUE("idle"), READER_VALUE("tls"), READER_VALUE("tls_ca"), READER_VALUE("tls_name"),
	READER_VALUE("tls_certificate"), READER_VALUE("tls_key"), READER_LIST("peer_user"),
	CONFIG_GATE_SETTINGS, CFG_END(),
};

static void release_milter(void *what)
{
	milter_unconfigure(what);
}

static void read_macros(struct reader *r, cfg_t *s, struct milter_params *p)
{
	for (const cfg_opt_t *o = macro_settings; o->name; o++) {
		enum milter_macro_stage stage;
		if (reader_has(s, o->name) && milter_macro_stage_parse(bytes_of(o->name), &stage) == 0)
			p->macros[stage] = reader_item(r, s, o->name, 0);
	}
}

static void read_peer_users(struct reader *r, cfg_t *s, struct milter_params *p)
{
	unsigned n = reader_count(s, "peer_user");
	unsigned *uids = ARENA_ARRAY(r->arena, unsigned, n + 1);
	for (unsigned i = 0; i < n; i++) {
		const char *user = reader_item(r, s, "peer_user", i);
		const struct passwd *pw = getpwnam(user);
		if (!pw)
			reader_fail(r, reader_line(r, s, "peer_user", i), "there is no user called %s", user);
		else
			uids[p->peer_uid_count++] = pw->pw_uid;
	}
	p->peer_uids = uids;
}

static void *define_milter(struct reader *r, cfg_t *s, const char *name, struct config *c)
{
	static const char *const compat[] = { "full", "postfix", "sendmail", NULL }, *const tls[] = { "none", "encrypt", "verify", NULL };
	struct milter_params p = {
		.name = name,
		.connect_timeout = reader_duration(r, s, "connect_timeout", 0),
		.command_timeout = reader_duration(r, s, "command_timeout", 0),
		.content_timeout = reader_duration(r, s, "content_timeout", 0),
		.protocol = reader_number(r, s, "protocol", 6, 2, 6),
		.compat = (enum milter_compat)reader_word(r, s, "compat", compat, MILTER_COMPAT_FULL),
		.data_max = reader_size(r, s, "data_max", 0),
		.reply_max = reader_size(r, s, "reply_max", 0),
		.keep = reader_number(r, s, "keep", 10, 0, 10000),
		.idle = reader_duration(r, s, "idle", 0),
		.tls = (enum milter_tls)reader_word(r, s, "tls", tls, MILTER_TLS_NONE),
		.tls_ca = reader_path(r, s, "tls_ca"),
		.tls_name = reader_str(r, s, "tls_name"),
		.tls_certificate = reader_path(r, s, "tls_certificate"),
		.tls_key = reader_path(r, s, "tls_key"),
	};
	struct gate *g = ARENA_NEW(r->arena, struct gate);
	struct buf why = { 0 };
	p.sockets = read_endpoints(r, s, "socket", 0, &p.socket_count);
	read_macros(r, cfg_getsec(s, "macros"), &p);
	read_peer_users(r, s, &p);
	if (p.keep == 0)
		p.keep = -1;
	if (r->failed)
		return g;
	if (milter_configure(&p, g, &why))
		return refuse(r, s, name, &why);
	config_on_release(c, release_milter, g);
	config_gate_read(r, s, g);
	return g;
}

/* ---- policy ---- */

static cfg_opt_t policy_settings[] = {
	READER_VALUE("connect_timeout"), READER_VALUE("command_timeout"), READER_VALUE("idle"), READER_VALUE("max_ttl"),
	READER_VALUE("request_limit"), READER_VALUE("policy_context"), READER_VALUE("compatibility_level"), READER_VALUE("mail_version"),
	READER_VALUE("compat"), READER_VALUE("extras"), READER_VALUE("cache"), READER_VALUE("retry_delay"),
	CONFIG_COMMAND_SETTINGS, CONFIG_GATE_SETTINGS, CFG_END(),
};

static void release_policy(void *what)
{
	policyd_unconfigure(what);
}

/* "postfix": refusals say what Postfix's would. */
static bool read_as_postfix(struct reader *r, cfg_t *s)
{
	static const char *const compat[] = { "none", "postfix", NULL };
	return reader_word(r, s, "compat", compat, 0) == 1;
}

static int64_t read_retry_delay(struct reader *r, cfg_t *s)
{
	const char *text = reader_str(r, s, "retry_delay");
	return text && strcmp(text, "none") == 0 ? -1 : reader_duration(r, s, "retry_delay", POLICYD_RETRY_DELAY);
}

/* A process gets no new question when its time might be over before that is answered. */
static void limit_command(struct reader *r, cfg_t *s, struct policyd_params *p)
{
	int64_t limit = config_command_time_limit(r, s), timeout = p->timeout ? p->timeout : POLICYD_TIMEOUT;
	if (limit <= timeout)
		reader_fail(r, reader_line(r, s, "time_limit", 0), "time_limit must be longer than command_timeout, the time for one answer");
	if (!p->max_ttl || p->max_ttl > limit - timeout)
		p->max_ttl = limit - timeout;
}

static void read_policy_sockets(struct reader *r, cfg_t *s, struct config *c, struct policyd_params *p)
{
	struct config_sockets sockets;
	config_command_read_sockets(r, s, c, &sockets);
	p->endpoints = sockets.endpoints;
	p->endpoint_count = sockets.count;
	p->commands = sockets.commands;
	p->max_connections = sockets.at_once;
	if (sockets.command_count)
		limit_command(r, s, p);
}

static void *define_policy(struct reader *r, cfg_t *s, const char *name, struct config *c)
{
	struct policyd_params p = {
		.postfix = read_as_postfix(r, s),
		.extras = reader_bool(r, s, "extras", false),
		.cache = reader_duration(r, s, "cache", 0),
		.connect_timeout = reader_duration(r, s, "connect_timeout", 0),
		.timeout = reader_duration(r, s, "command_timeout", 0),
		.retry_delay = read_retry_delay(r, s),
		.idle = reader_duration(r, s, "idle", 0),
		.max_ttl = reader_duration(r, s, "max_ttl", 0),
		.request_limit = reader_number(r, s, "request_limit", 0, 0, 1000000000),
		.policy_context = reader_str(r, s, "policy_context"),
		.compatibility_level = reader_str(r, s, "compatibility_level"),
		.mail_version = reader_str(r, s, "mail_version"),
	};
	struct gate *g = ARENA_NEW(r->arena, struct gate);
	struct buf why = { 0 };
	read_policy_sockets(r, s, c, &p);
	if (r->failed)
		return g;
	if (policyd_configure(&p, g, &why))
		return refuse(r, s, name, &why);
	g->name = name;
	config_on_release(c, release_policy, g);
	config_gate_read(r, s, g);
	return g;
}

/* ---- table ---- */

const struct table_ops *const table_kinds[] = {
	&table_tcp, &table_socketmap, &table_inline, &table_texthash, &table_hash, &table_btree, &table_cdb, &table_lmdb, &table_cidr,
	&table_pcre, &table_regexp, &table_static, &table_unix, &table_environ, &table_fail, &table_randmap, &table_unionmap,
	&table_pipemap, &table_debug, &table_sqlite, &table_pgsql, &table_mysql, &table_ldap, &table_memcache, NULL,
};
static cfg_opt_t table_settings[] = {
	READER_VALUE("map"), READER_VALUE("timeout"), READER_VALUE("idle_timeout"), READER_VALUE("reply_max"), READER_VALUE("connections"),
	READER_VALUE("compat"), CFG_END(),
};

static void release_table(void *what)
{
	struct table *t = what;
	table_close(&t);
}

static void *define_table(struct reader *r, cfg_t *s, const char *name, struct config *c)
{
	const struct table_options o = {
		.timeout = reader_duration(r, s, "timeout", 0),
		.idle_timeout = reader_duration(r, s, "idle_timeout", 0),
		.reply_max = reader_size(r, s, "reply_max", 0),
		.connections = reader_number(r, s, "connections", 0, 1, 1000),
		.folder = r->folder,
	};
	const char *map = reader_str(r, s, "map");
	struct table *t;
	struct buf why = { 0 };
	if (!map) {
		reader_fail(r, reader_section_line(r, s), "table %s has no map", name);
		return NULL;
	}
	if (table_open(table_kinds, bytes_of(map), &o, name, &t, &why)) {
		reader_fail(r, reader_line(r, s, "map", 0), "table %s: %s", name, buf_str(&why));
		buf_fini(&why);
		return NULL;
	}
	config_on_release(c, release_table, t);
	if (read_as_postfix(r, s))
		strmap_set(&c->postfix_tables, bytes_of(name), t);
	return t;
}

/* ---- next hop ---- */

static cfg_opt_t next_hop_settings[] = {
	READER_LIST("lmtp"), READER_LIST("smtp"), READER_VALUE("maildir"),
	/* lmtp and smtp */
	READER_VALUE("helo"), READER_VALUE("tls"), READER_VALUE("tls_ca"), READER_VALUE("tls_name"), READER_VALUE("connect_timeout"),
	READER_VALUE("command_timeout"), READER_VALUE("data_timeout"), READER_VALUE("max_connections"), READER_VALUE("max_rcpts"),
	READER_VALUE("idle_time"),
	/* maildir */
	READER_VALUE("existing_only"), READER_VALUE("user"), READER_VALUE("group"),
	CFG_END(),
};
static const char *const server_only[] = {
	"helo", "tls", "tls_ca", "tls_name", "connect_timeout", "command_timeout", "data_timeout", "max_connections", "max_rcpts", "idle_time",
	NULL,
};
static const char *const maildir_only[] = { "existing_only", "user", "group", NULL };

static void release_next_hop(void *what)
{
	struct next_hop *hop = what;
	hop->ops->fini(hop);
}

static void refuse_settings(struct reader *r, cfg_t *s, const char *const *names, const char *kind)
{
	for (; *names; names++)
		if (reader_has(s, *names))
			reader_fail(r, reader_line(r, s, *names, 0), "%s means nothing for a next hop of kind %s", *names, kind);
}

static int configure_server(struct reader *r, cfg_t *s, const char *name, const char *kind, struct next_hop *ret, struct buf *why)
{
	static const char *const tls[] = { "none", "may", "encrypt", "verify", NULL };
	bool lmtp = strcmp(kind, "lmtp") == 0;
	unsigned host_count;
	const struct smtp_hop_params p = {
		.name = name,
		.lmtp = lmtp,
		.hosts = read_endpoints(r, s, kind, lmtp ? 24 : 25, &host_count),
		.helo = reader_str(r, s, "helo"),
		.tls = (enum smtp_hop_tls)reader_word(r, s, "tls", tls, SMTP_HOP_TLS_NONE),
		.tls_ca = reader_path(r, s, "tls_ca"),
		.tls_name = reader_str(r, s, "tls_name"),
		.connect_timeout = reader_duration(r, s, "connect_timeout", 0),
		.command_timeout = reader_duration(r, s, "command_timeout", 0),
		.data_timeout = reader_duration(r, s, "data_timeout", 0),
		.max_rcpts = reader_number(r, s, "max_rcpts", 0, 1, 100000),
		.idle_time = reader_duration(r, s, "idle_time", 0),
	};
	refuse_settings(r, s, maildir_only, kind);
	return r->failed ? 1 : smtp_hop_configure(&p, ret, why);
}

int kinds_server_hop(const char *name, bool lmtp, const char *host, struct next_hop *ret, struct buf *err)
{
	const char *const hosts[] = { host, NULL };
	return smtp_hop_configure(&(struct smtp_hop_params){ .name = name, .lmtp = lmtp, .hosts = hosts }, ret, err);
}

static void read_owner(struct reader *r, cfg_t *s, struct maildir_hop_params *p)
{
	const char *user = reader_str(r, s, "user"), *group = reader_str(r, s, "group");
	const struct passwd *pw = user ? getpwnam(user) : NULL;
	const struct group *gr = group ? getgrnam(group) : NULL;
	if (user && !pw)
		reader_fail(r, reader_line(r, s, "user", 0), "there is no user called %s", user);
	if (group && !gr)
		reader_fail(r, reader_line(r, s, "group", 0), "there is no group called %s", group);
	if (group && !user)
		reader_fail(r, reader_line(r, s, "group", 0), "group has no effect without user");
	if (!pw)
		return;
	p->chown = true;
	p->uid = pw->pw_uid;
	p->gid = gr ? gr->gr_gid : pw->pw_gid;
}

static int configure_maildir(struct reader *r, cfg_t *s, const char *name, struct next_hop *ret, struct buf *why)
{
	struct maildir_hop_params p = {
		.name = name,
		.path = reader_path(r, s, "maildir"),
		.existing_only = reader_bool(r, s, "existing_only", false),
	};
	read_owner(r, s, &p);
	refuse_settings(r, s, server_only, "maildir");
	return r->failed ? 1 : maildir_hop_configure(&p, ret, why);
}

static void *define_next_hop(struct reader *r, cfg_t *s, const char *name, struct config *c)
{
	static const char *const hop_kinds[] = { "lmtp", "smtp", "maildir", NULL };
	const char *kind = NULL;
	for (unsigned i = 0; hop_kinds[i]; i++) {
		if (!reader_has(s, hop_kinds[i]))
			continue;
		if (kind)
			reader_fail(r, reader_line(r, s, hop_kinds[i], 0), "next_hop %s is of one kind: %s or %s", name, kind, hop_kinds[i]);
		kind = hop_kinds[i];
	}
	if (!kind) {
		reader_fail(r, reader_section_line(r, s), "next_hop %s is of no kind: lmtp, smtp or maildir is missing", name);
		return NULL;
	}
	struct next_hop *hop = ARENA_NEW(r->arena, struct next_hop);
	struct buf why = { 0 };
	int status = strcmp(kind, "maildir") == 0 ? configure_maildir(r, s, name, hop, &why) :
						    configure_server(r, s, name, kind, hop, &why);
	if (status > 0)
		return hop;     /* a mistake that was told already */
	if (status)
		return refuse(r, s, name, &why);
	config_on_release(c, release_next_hop, hop);
	return hop;
}

const struct kind kinds[] = {
	{ "milter", milter_settings, gate_map, define_milter },
	{ "policy", policy_settings, gate_map, define_policy },
	{ "table", table_settings, table_map, define_table },
	{ "next_hop", next_hop_settings, next_hop_map, define_next_hop },
};
const unsigned kind_count = COUNT_OF(kinds);
