/* config_listener.c: what listens where, with which script and limits. */
#include "mta/config_listener.h"
#include "mta/filter_hop.h"

#include "lib/base/mem.h"
#include "mta/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SCRIPT_MAX (1024 * 1024)

cfg_opt_t config_listener_settings[] = {
	READER_LIST("address"), READER_VALUE("script"), READER_VALUE("protocol"), READER_VALUE("tls"), READER_LIST("xclient"),
	READER_VALUE("banner"), READER_VALUE("client_names"), READER_VALUE("vrfy"), READER_VALUE("bare_newline"),
	READER_VALUE("size_max"), READER_VALUE("header_max"), READER_VALUE("memory_max"), READER_VALUE("line_max"),
	READER_VALUE("rcpt_max"), READER_VALUE("hops_max"), READER_VALUE("soft_errors"), READER_VALUE("hard_errors"),
	READER_VALUE("junk_max"), READER_VALUE("data_rate_min"),
	READER_VALUE("error_delay"), READER_VALUE("command_timeout"), READER_VALUE("data_timeout"), READER_VALUE("delivery_deadline"),
	CFG_END(),
};

/* ---- addresses ---- */

/* Port 0 lets the kernel choose: for tests. */
static bool parse_inet(struct bytes text, struct net_addr *ret)
{
	uint64_t port;
	if (bytes_starts(text, BYTES("inet:")))
		text = bytes_skip(text, 5);
	ptrdiff_t colon = bytes_rfind(text, ':');
	if (colon < 0 || bytes_to_u64(bytes_skip(text, (size_t)colon + 1), 65535, &port))
		return false;
	struct bytes ip = bytes_first(text, (size_t)colon);
	bool brackets = bytes_starts(ip, BYTES("[")) && bytes_ends(ip, BYTES("]"));
	if (brackets)
		ip = bytes_make(ip.p + 1, ip.n - 2);
	return net_addr_parse(ip, (uint16_t)port, ret) == 0 && brackets == (ret->sa.sa_family == AF_INET6);
}

static bool parse_address(struct reader *r, int line, const char *text, struct net_addr *ret)
{
	if (strncmp(text, "unix:", 5) != 0) {
		bool good = parse_inet(bytes_of(text), ret);
		if (!good)
			reader_fail(r, line, "address \"%s\" is not IP:PORT, [IPv6]:PORT or unix:PATH", text);
		return good;
	}
	ret->un.sun_family = AF_UNIX;
	ret->len = sizeof ret->un;
	int n = snprintf(ret->un.sun_path, sizeof ret->un.sun_path, "%s", reader_resolve(r, text + 5));
	bool fits = n < (int)sizeof ret->un.sun_path;
	if (!fits)
		reader_fail(r, line, "address \"%s\": the path of a unix socket has at most %zu bytes", text, sizeof ret->un.sun_path - 1);
	return fits;
}

static const struct config_address *same_address(const struct config *c, const struct config_listener *l, const struct net_addr *a)
{
	if (a->sa.sa_family != AF_UNIX && !net_addr_port(a))
		return NULL;
	for (const struct config_listener *o = c->listeners; o <= l; o++)
		for (unsigned i = 0; i < o->address_count; i++)
			if (o->addresses[i].addr.len == a->len && memcmp(&o->addresses[i].addr.sa, &a->sa, a->len) == 0)
				return &o->addresses[i];
	return NULL;
}

static void read_addresses(struct reader *r, cfg_t *s, const struct config *c, struct config_listener *l)
{
	unsigned n = reader_count(s, "address");
	if (!n)
		reader_fail(r, l->line, "listener %s has no address", l->name);
	l->addresses = ARENA_ARRAY(r->arena, struct config_address, n + 1);
	for (unsigned i = 0; i < n; i++) {
		struct config_address a = { .text = reader_item(r, s, "address", i), .line = reader_line(r, s, "address", i) };
		if (!parse_address(r, a.line, a.text, &a.addr))
			continue;
		const struct config_address *other = same_address(c, l, &a.addr);
		if (other)
			reader_fail(r, a.line, "address \"%s\" is used twice, first on line %d", a.text, other->line);
		l->addresses[l->address_count++] = a;
	}
}

static void read_xclient(struct reader *r, cfg_t *s, struct smtpd_config *m)
{
	unsigned n = reader_count(s, "xclient");
	struct net_cidr *networks = ARENA_ARRAY(r->arena, struct net_cidr, n + 1);
	for (unsigned i = 0; i < n; i++) {
		const char *text = reader_item(r, s, "xclient", i);
		struct buf why = { 0 };
		if (net_cidr_parse(bytes_of(text), &networks[i], &why))
			reader_fail(r, reader_line(r, s, "xclient", i), "xclient \"%s\": %s", text, buf_str(&why));
		buf_fini(&why);
	}
	m->xclient = networks;
	m->xclient_count = n;
}

/* ---- settings of the server ---- */

static void read_limits(struct reader *r, cfg_t *s, struct smtpd_config *m)
{
	static const char *const bare[] = { "reject", "normalize", NULL };
	m->bare_newline = (enum smtp_bare)reader_word(r, s, "bare_newline", bare, m->bare_newline);
	m->size_max = reader_size(r, s, "size_max", m->size_max);
	m->header_max = reader_size(r, s, "header_max", m->header_max);
	m->memory_max = reader_size(r, s, "memory_max", m->memory_max);
	m->line_max = reader_number(r, s, "line_max", (unsigned)m->line_max, 512, 65536);
	m->rcpt_max = reader_number(r, s, "rcpt_max", m->rcpt_max, 1, 1000000);
	m->hops_max = reader_number(r, s, "hops_max", m->hops_max, 1, 1000);
	m->soft_errors = reader_number(r, s, "soft_errors", m->soft_errors, 1, 1000000);
	m->hard_errors = reader_number(r, s, "hard_errors", m->hard_errors, 1, 1000000);
	m->junk_max = reader_number(r, s, "junk_max", m->junk_max, 1, 1000000);
	m->data_rate_min = reader_number(r, s, "data_rate_min", m->data_rate_min, 0, 1000000000);
	m->error_delay = reader_duration(r, s, "error_delay", m->error_delay);
	m->command_timeout = reader_duration(r, s, "command_timeout", m->command_timeout);
	m->data_timeout = reader_duration(r, s, "data_timeout", m->data_timeout);
	m->delivery_deadline = reader_duration(r, s, "delivery_deadline", m->delivery_deadline);
}

static void read_server(struct reader *r, cfg_t *s, const struct config *c, struct config_listener *l)
{
	static const char *const protocols[] = { "smtp", "lmtp", NULL };
	static const char *const modes[] = { "none", "offer", "require", NULL };
	struct smtpd_config *m = &l->smtpd;
	smtpd_config_defaults(m);
	m->name = l->name;
	m->hostname = c->hostname;
	m->spool = c->spool;
	m->lmtp = reader_word(r, s, "protocol", protocols, 0) == 1;
	m->tls = c->tls;
	m->tls_mode = (enum smtpd_tls)reader_word(r, s, "tls", modes, c->tls ? SMTPD_TLS_OFFER : SMTPD_TLS_NONE);
	if (m->tls_mode != SMTPD_TLS_NONE && !c->tls)
		reader_fail(r, reader_line(r, s, "tls", 0), "tls = %s needs a certificate: tls { certificate = ... key = ... }", modes[m->tls_mode]);
	const char *banner = reader_str(r, s, "banner");
	if (banner)
		m->banner = banner;
	m->client_names = reader_bool(r, s, "client_names", m->client_names);
	static const char *const vrfy[] = { "any", "ask", "refuse", NULL };
	m->vrfy = (enum smtpd_vrfy_mode)reader_word(r, s, "vrfy", vrfy, m->vrfy);
	read_xclient(r, s, m);
	read_limits(r, s, m);
}

/* ---- the script ---- */

static const struct gate *name_gate(void *arg, struct bytes name)
{
	return config_gate(arg, name);
}

static struct table *name_table(void *arg, struct bytes name)
{
	return config_table(arg, name);
}

static const struct next_hop *name_next_hop(void *arg, struct bytes name)
{
	return config_next_hop(arg, name);
}

static bool name_as_postfix(void *arg, struct bytes table)
{
	const struct config *c = arg;
	return strmap_get(&c->postfix_tables, table);
}

static const struct next_hop *name_filter(void *arg, struct bytes destination, struct buf *err)
{
	return filter_hop_find(arg, destination, err);
}

static const char *name_candidate(void *arg, enum script_name_kind kind, unsigned i)
{
	const struct config *c = arg;
	const struct strmap *map = kind == SCRIPT_GATE ? &c->gates : kind == SCRIPT_TABLE ? &c->tables : &c->next_hops;
	const struct strmap_entry *e = NULL;
	size_t at = 0;
	do
		e = strmap_next(map, &at);
	while (e && i--);
	return e ? e->key : NULL;
}

static int read_script(const char *file, struct buf *ret)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = -1;
	if (fd < 0)
		return -errno;
	while (ret->n <= SCRIPT_MAX && (n = read(fd, buf_room(ret, 16384), 16384)) > 0)
		buf_grown(ret, (size_t)n);
	int status = n < 0 ? -errno : ret->n > SCRIPT_MAX ? -EFBIG : 0;
	close(fd);
	return status;
}

static void release_script(void *what)
{
	struct script *s = what;
	script_free(&s);
}

static void compile_script(struct reader *r, cfg_t *s, struct config *c, struct config_listener *l)
{
	const struct script_names names = {
		.gate = name_gate, .table = name_table, .next_hop = name_next_hop, .candidate = name_candidate,
		.as_postfix = name_as_postfix, .filter = name_filter, .arg = c,
	};
	struct buf source = { 0 }, why = { 0 };
	l->script_file = reader_path(r, s, "script");
	if (!l->script_file) {
		reader_fail(r, l->line, "listener %s has no script: what happens to its mail?", l->name);
		return;
	}
	/* What it names may be missing only because its definition was wrong: that has been said. */
	if (r->failed)
		return;
	int status = read_script(l->script_file, &source);
	if (status)
		reader_fail(r, reader_line(r, s, "script", 0), "script %s: %s", l->script_file, strerror(-status));
	else if (script_compile(buf_bytes(&source), l->script_file, &names, &l->script, &why)) {
		/* The compiler's lines name the script's own file and place. */
		r->failed = true;
		buf_printf(r->err, "%s%s", r->err->n ? "\n" : "", buf_str(&why));
	} else {
		config_on_release(c, release_script, l->script);
		l->smtpd.script = (struct smtpd_script){ .ops = &script_ops, .script = l->script };
	}
	buf_fini(&source);
	buf_fini(&why);
}

/* ---- the relay probe ---- */

struct probe {
	struct reader *reader;
	struct config *config;
};

static TASK_FN void probe_listeners(struct probe *p)
{
	for (unsigned i = 0; i < p->config->listener_count; i++) {
		const struct config_listener *l = &p->config->listeners[i];
		struct buf why = { 0 };
		if (script_probe_relay(l->script, p->config->hostname, &why))
			reader_fail(p->reader, l->line, "listener %s is an open relay: %s", l->name, buf_str(&why));
		buf_fini(&why);
	}
	run_stop();
}

/* In a loop of its own, gone before anything forks. */
static void probe_relay(struct reader *r, struct config *c)
{
	struct probe p = { r, c };
	struct task_group group;
	int status = run_init();
	if (status) {
		reader_fail(r, 0, "the relay probe has no event loop: %s", strerror(-status));
		return;
	}
	task_group_init(&group);
	task_spawn(&group, "relay probe", probe_listeners, &p);
	run_loop();
	run_fini();
}

void config_listeners_read(struct reader *r, struct config *c)
{
	unsigned n = cfg_size(r->root, "listener");
	if (!n)
		reader_fail(r, 0, "there is no listener: \"listener mx { address = ... script = ... }\"");
	c->listeners = ARENA_ARRAY(&c->arena, struct config_listener, n + 1);
	for (unsigned i = 0; i < n; i++) {
		cfg_t *s = cfg_getnsec(r->root, "listener", i);
		struct config_listener *l = &c->listeners[i];
		l->name = arena_str(&c->arena, bytes_of(cfg_title(s)));
		l->line = reader_section_line(r, s);
		read_addresses(r, s, c, l);
		read_server(r, s, c, l);
		compile_script(r, s, c, l);
		c->listener_count++;
	}
	if (!r->failed)
		probe_relay(r, c);
}
