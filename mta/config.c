/* config.c: gatepost.conf into a struct config.  What defines gates, tables and next hops is in kinds.c, listeners are in config_listener.c. */
#include "mta/config.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "lib/run/task.h"
#include "lib/run/tls.h"
#include "mta/config_listener.h"
#include "mta/filter_hop.h"
#include "mta/kinds.h"
#include "mta/reader.h"
#include "mta/resolver.h"

#include <errno.h>
#include <grp.h>
#include <openssl/ssl.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKERS_MAX 256

static cfg_opt_t tls_settings[] = {
	READER_VALUE("certificate"), READER_VALUE("key"), READER_VALUE("client_ca"), READER_VALUE("ask_client_certificate"),
	READER_VALUE("min_version"), READER_VALUE("ciphers"), CFG_END(),
};
static cfg_opt_t log_settings[] = { READER_VALUE("target"), READER_VALUE("level"), CFG_END() };
static cfg_opt_t dns_settings[] = {
	READER_LIST("servers"), READER_VALUE("trust_anchor"), READER_VALUE("hosts"), READER_VALUE("enabled"), CFG_END(),
};
static cfg_opt_t journal_settings[] = { READER_VALUE("enabled"), READER_VALUE("window"), CFG_END() };
static const cfg_opt_t own_settings[] = {
	READER_VALUE("hostname"), READER_VALUE("spool"), READER_VALUE("user"), READER_VALUE("group"), READER_VALUE("workers"),
	READER_VALUE("sessions_max"), READER_SECTION("tls", tls_settings), READER_SECTION("log", log_settings),
	READER_SECTION("dns", dns_settings), READER_SECTION("journal", journal_settings), READER_TITLED("listener", config_listener_settings),
};

/* ---- the parts ---- */

static unsigned cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static const char *own_hostname(struct arena *a)
{
	char name[256] = "";
	return arena_str(a, bytes_of(gethostname(name, sizeof name - 1) == 0 && *name ? name : "localhost"));
}

/* It goes into greetings and trace fields as it is: letters, digits, "-" and "." (RFC 5321 section 4.1.2, Domain), or an address literal. */
static bool is_hostname(const char *s)
{
	size_t n = strlen(s);
	if (s[0] == '[' && n > 2 && s[n - 1] == ']')
		return strspn(s + 1, "0123456789abcdefABCDEF:.IPv") == n - 2;
	return n && n < 256 && s[0] != '.' && s[0] != '-' && !strstr(s, "..") &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == n;
}

static void read_names(struct reader *r, struct config *c)
{
	struct stat st;
	c->hostname = reader_str(r, r->root, "hostname");
	if (!c->hostname)
		c->hostname = own_hostname(&c->arena);
	if (!is_hostname(c->hostname))
		reader_fail(r, reader_line(r, r->root, "hostname", 0), "hostname \"%s\" is not the name of a host", c->hostname);
	c->spool = reader_path(r, r->root, "spool");
	if (!c->spool)
		c->spool = "/var/spool/gatepost";
	if (stat(c->spool, &st))
		reader_fail(r, reader_line(r, r->root, "spool", 0), "spool %s: %s", c->spool, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		reader_fail(r, reader_line(r, r->root, "spool", 0), "spool %s is not a folder", c->spool);
}

static void read_group(struct reader *r, struct config *c)
{
	const char *name = reader_str(r, r->root, "group");
	if (!name)
		return;
	const struct group *g = getgrnam(name);
	if (g)
		c->gid = g->gr_gid;
	else
		reader_fail(r, reader_line(r, r->root, "group", 0), "there is no group called %s", name);
	if (!c->user)
		reader_fail(r, reader_line(r, r->root, "group", 0), "group has no effect without user");
}

static void read_user(struct reader *r, struct config *c)
{
	c->user = reader_str(r, r->root, "user");
	if (c->user) {
		const struct passwd *p = getpwnam(c->user);
		int line = reader_line(r, r->root, "user", 0);
		if (!p)
			reader_fail(r, line, "there is no user called %s", c->user);
		else if (geteuid() != 0 && geteuid() != p->pw_uid)
			reader_fail(r, line, "only root can have its workers run as %s", c->user);
		else {
			c->uid = p->pw_uid;
			c->gid = p->pw_gid;
		}
	}
	read_group(r, c);
}

static void read_log(struct reader *r, struct config *c)
{
	static const char *const levels[] = { "error", "warning", "notice", "info", "debug", NULL };
	cfg_t *s = cfg_getsec(r->root, "log");
	c->log_level = (enum log_level)reader_word(r, s, "level", levels, LOG_LEVEL_INFO);
	c->log_target = reader_str(r, s, "target");
	if (!c->log_target)
		c->log_target = "stderr";
}

/* Last, when all else is good: a bad config must not change where the running server logs. */
static void open_log(struct reader *r, const struct config *c)
{
	if (!r->failed && log_open(c->log_target, c->log_level))
		reader_fail(r, reader_line(r, cfg_getsec(r->root, "log"), "target", 0),
		    "log target \"%s\" is neither stderr nor syslog:FACILITY", c->log_target);
}

static void read_dns(struct reader *r, struct config *c)
{
	cfg_t *s = cfg_getsec(r->root, "dns");
	unsigned n = reader_count(s, "servers");
	const char **servers = ARENA_ARRAY(&c->arena, const char *, n + 1);
	for (unsigned i = 0; i < n; i++)
		servers[i] = reader_item(r, s, "servers", i);
	const char *anchor = reader_has(s, "trust_anchor") ? reader_item(r, s, "trust_anchor", 0) : NULL;
	c->dns = (struct dns_config){
		.servers = n ? servers : NULL,
		.trust_anchor = anchor && *anchor ? reader_resolve(r, anchor) : anchor,
		.hosts = reader_path(r, s, "hosts"),
		.enabled = reader_bool(r, s, "enabled", true),
	};
	struct buf why = { 0 };
	if (resolver_check(&c->dns, &why))
		reader_fail(r, reader_section_line(r, s), "dns: %s", buf_str(&why));
	buf_fini(&why);
}

static void read_journal(struct reader *r, struct config *c)
{
	cfg_t *s = cfg_getsec(r->root, "journal");
	c->journal_window = reader_duration(r, s, "window", 0);
	if (reader_bool(r, s, "enabled", true))
		c->journal_folder = arena_printf(&c->arena, "%s/journal", c->spool);
}

static void release_tls(void *what)
{
	struct tls_context *t = what;
	tls_unref(&t);
}

static void read_tls(struct reader *r, struct config *c)
{
	static const char *const versions[] = { "TLSv1.2", "TLSv1.3", NULL };
	cfg_t *s = cfg_getsec(r->root, "tls");
	struct tls_server_config t = {
		.certificate = reader_path(r, s, "certificate"),
		.key = reader_path(r, s, "key"),
		.client_ca = reader_path(r, s, "client_ca"),
		.ask_client_certificate = reader_bool(r, s, "ask_client_certificate", false),
		.min_version = reader_word(r, s, "min_version", versions, 0) ? TLS1_3_VERSION : TLS1_2_VERSION,
		.ciphers = reader_str(r, s, "ciphers"),
	};
	struct buf why = { 0 };
	if (!t.certificate && !t.key)
		return;
	int line = reader_line(r, s, t.certificate ? "certificate" : "key", 0);
	if (!t.certificate || !t.key)
		reader_fail(r, line, "tls needs both a certificate and its key: %s is missing", t.key ? "certificate" : "key");
	else if (tls_server_new(&t, &c->tls, &why))
		reader_fail(r, line, "%s", buf_str(&why));
	else
		config_on_release(c, release_tls, c->tls);
	buf_fini(&why);
}

/* Names stand in scripts, logs and Sieve strings. */
static bool is_name(const char *s)
{
	return *s && strlen(s) <= 63 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(s);
}

static void read_kind(struct reader *r, const struct kind *k, struct config *c)
{
	struct strmap *map = k->map(c);
	for (unsigned i = 0; i < cfg_size(r->root, k->section); i++) {
		cfg_t *s = cfg_getnsec(r->root, k->section, i);
		const char *name = arena_str(&c->arena, bytes_of(cfg_title(s)));
		int line = reader_section_line(r, s);
		if (!is_name(name))
			reader_fail(r, line, "\"%s\" is not a name: letters, digits, \"-\", \"_\" and \".\" make one", name);
		else if (strmap_get(map, bytes_of(name)))
			reader_fail(r, line, "%s %s: the name is taken by another gate", k->section, name);
		else {
			void *made = k->define(r, s, name, c);
			if (made)
				strmap_set(map, bytes_of(name), made);
		}
	}
}

/* ---- the whole ---- */

/* Our own settings and a titled section for each kind. */
static cfg_opt_t *all_settings(struct arena *a)
{
	size_t own = COUNT_OF(own_settings);
	cfg_opt_t *all = ARENA_ARRAY(a, cfg_opt_t, own + kind_count + 1);
	memcpy(all, own_settings, sizeof own_settings);
	for (unsigned i = 0; i < kind_count; i++)
		all[own + i] = (cfg_opt_t)READER_TITLED(kinds[i].section, kinds[i].settings);
	all[own + kind_count] = (cfg_opt_t)CFG_END();
	return all;
}

static int read_all(struct reader *r, struct config *c)
{
	read_names(r, c);
	read_user(r, c);
	read_log(r, c);
	read_dns(r, c);
	read_journal(r, c);
	read_tls(r, c);
	c->workers = reader_number(r, r->root, "workers", cores(), 1, WORKERS_MAX);
	c->sessions_max = reader_number(r, r->root, "sessions_max", 0, 0, 1000000);
	for (unsigned i = 0; i < kind_count; i++)
		read_kind(r, &kinds[i], c);
	config_listeners_read(r, c);
	open_log(r, c);
	return r->failed ? -EINVAL : 0;
}

int config_read(const char *file, struct config **ret, struct buf *err)
{
	struct config *c = NEW(struct config);
	c->filters = ARENA_NEW(&c->arena, struct strmap);
	struct reader r;
	int status = reader_open(&r, file, all_settings(&c->arena), &c->arena, err);
	c->file = r.file;
	c->folder = r.folder;
	if (!status)
		status = read_all(&r, c);
	reader_close(&r);
	if (status)
		config_free(&c);
	else
		*ret = c;
	return status;
}

void config_free(struct config **c)
{
	struct config *config = *c;
	*c = NULL;
	if (!config)
		return;
	filter_hop_free_all(config);
	for (struct config_release *e = config->releases; e; e = e->next)
		e->fn(e->what);
	strmap_fini(&config->gates);
	strmap_fini(&config->tables);
	strmap_fini(&config->next_hops);
	strmap_fini(&config->postfix_tables);
	arena_fini(&config->arena);
	mem_free(config);
}

void config_on_release(struct config *c, void (*fn)(void *what), void *what)
{
	struct config_release *e = ARENA_NEW(&c->arena, struct config_release);
	*e = (struct config_release){ .fn = fn, .what = what, .next = c->releases };
	c->releases = e;
}

const struct gate *config_gate(const struct config *c, struct bytes name)
{
	return strmap_get(&c->gates, name);
}

struct table *config_table(const struct config *c, struct bytes name)
{
	return strmap_get(&c->tables, name);
}

const struct next_hop *config_next_hop(const struct config *c, struct bytes name)
{
	return strmap_get(&c->next_hops, name);
}
