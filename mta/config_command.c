/* config_command.c: commands that gatepost runs, with the user, environment and limits of each. */
#include "mta/config_command.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define TIME_LIMIT SECONDS(1000)        /* spawn(8)'s */
enum { AT_ONCE = 20, MOST_AT_ONCE = 10000 };

/* ---- the user ---- */

static void read_groups(struct reader *r, const char *user, struct process_command *p)
{
	int n = 0;
	getgrouplist(user, p->gid, NULL, &n);
	gid_t *groups = ARENA_ARRAY(r->arena, gid_t, (size_t)n + 1);
	p->group_count = getgrouplist(user, p->gid, groups, &n) < 0 ? 0 : (unsigned)n;
	p->groups = groups;
}

/* As spawn(8): never root, and never who owns the spool, where it could do as it likes with held mail. */
static void check_user(struct reader *r, cfg_t *s, const char *user, const struct process_command *p, const struct config *c)
{
	int line = reader_line(r, s, "user", 0);
	if (p->uid == 0)
		reader_fail(r, line, "a command is not run as root");
	else if (c->user && p->uid == c->uid)
		reader_fail(r, line, "a command is not run as %s, who owns the spool", user);
	else if (p->gid == 0)
		reader_fail(r, line, "a command is not run in the group of root");
}

static void read_group(struct reader *r, cfg_t *s, struct process_command *p)
{
	const char *name = reader_str(r, s, "group");
	const struct group *g = name ? getgrnam(name) : NULL;
	if (name && !g)
		reader_fail(r, reader_line(r, s, "group", 0), "there is no group called %s", name);
	if (g)
		p->gid = g->gr_gid;
}

static void read_user(struct reader *r, cfg_t *s, struct process_command *p, const struct config *c)
{
	const char *user = reader_str(r, s, "user");
	const struct passwd *pw = user ? getpwnam(user) : NULL;
	int line = reader_line(r, s, "user", 0);
	if (user && !pw)
		reader_fail(r, line, "there is no user called %s", user);
	if (!user && geteuid() == 0)
		reader_fail(r, line, "%s %s runs a command, so it needs a user to run it as", cfg_name(s), cfg_title(s));
	if (!user && reader_has(s, "group"))
		reader_fail(r, reader_line(r, s, "group", 0), "group has no effect without user");
	if (!pw)
		return;
	if (geteuid() != 0) {
		if (pw->pw_uid != geteuid())
			reader_fail(r, line, "only root can have a command run as %s", user);
		return;
	}
	p->become = true;
	p->uid = pw->pw_uid;
	p->gid = pw->pw_gid;
	read_group(r, s, p);
	check_user(r, s, user, p, c);
	read_groups(r, user, p);
}

/* ---- the environment ---- */

static bool has_variable(char *const *env, unsigned n, const char *name)
{
	size_t length = strlen(name);
	for (unsigned i = 0; i < n; i++)
		if (strncmp(env[i], name, length) == 0 && env[i][length] == '=')
			return true;
	return false;
}

static void add_default(struct reader *r, char **env, unsigned *n, const char *name, const char *value)
{
	if (value && !has_variable(env, *n, name))
		env[(*n)++] = arena_printf(r->arena, "%s=%s", name, value);
}

/* "NAME=value"; or "NAME", which is handed on as we have it. */
static void read_environment(struct reader *r, cfg_t *s, struct process_command *p)
{
	unsigned count = reader_count(s, "environment"), n = 0;
	char **env = ARENA_ARRAY(r->arena, char *, count + 3);
	for (unsigned i = 0; i < count; i++) {
		const char *item = reader_item(r, s, "environment", i);
		if (!*item || *item == '=')
			reader_fail(r, reader_line(r, s, "environment", i), "environment \"%s\" has no name", item);
		else if (strchr(item, '='))
			env[n++] = arena_str(r->arena, bytes_of(item));
		else
			add_default(r, env, &n, item, getenv(item));
	}
	add_default(r, env, &n, "PATH", "/usr/local/bin:/usr/bin:/bin");
	add_default(r, env, &n, "TZ", getenv("TZ"));
	env[n] = NULL;
	p->env = env;
}

/* ---- the command ---- */

static char *const *copy_argv(struct reader *r, char *const *argv)
{
	size_t n = 0;
	while (argv[n])
		n++;
	char **copy = ARENA_ARRAY(r->arena, char *, n + 1);
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_str(r->arena, bytes_of(argv[i]));
	copy[n] = NULL;
	return copy;
}

static void append(struct config *c, const struct process_command *p)
{
	struct process_command *all = ARENA_ARRAY(&c->arena, struct process_command, c->command_count + 1);
	if (c->command_count)
		memcpy(all, c->commands, c->command_count * sizeof *all);
	all[c->command_count++] = *p;
	c->commands = all;
}

int64_t config_command_time_limit(struct reader *r, cfg_t *s)
{
	return reader_duration(r, s, "time_limit", TIME_LIMIT);
}

static void add_command(struct reader *r, cfg_t *s, unsigned i, char *const *argv, struct config *c)
{
	struct process_command p = {
		.name = arena_str(r->arena, bytes_of(cfg_title(s))),
		.argv = copy_argv(r, argv),
		.time_limit = config_command_time_limit(r, s),
		/* Twice what the workers want: those that they have done with may not have ended yet. */
		.max = 2 * c->workers * reader_number(r, s, "max_connections", AT_ONCE, 1, MOST_AT_ONCE),
	};
	bool failed = r->failed;
	r->failed = false;
	read_user(r, s, &p, c);
	read_environment(r, s, &p);
	/* Looked at as that user, who therefore must be good. */
	int status = r->failed ? 0 : process_check(&p);
	if (status)
		reader_fail(r, reader_line(r, s, "socket", i), "the command %s: %s", p.argv[0], status == -EISDIR ? "it is not a file" : strerror(-status));
	r->failed = r->failed || failed;
	append(c, &p);
}

/* Settings that mean nothing. */
static void refuse_settings(struct reader *r, cfg_t *s)
{
	static const char *const settings[] = { "user", "group", "environment", "time_limit" };
	for (size_t i = 0; i < COUNT_OF(settings); i++)
		if (reader_has(s, settings[i]))
			reader_fail(r, reader_line(r, s, settings[i], 0), "%s is for a socket \"exec:...\", a command that is run", settings[i]);
}

/* Postfix's unix:private/x lies in its queue directory; here there is none that it could be meant to lie in. */
void config_command_check_path(struct reader *r, cfg_t *s, const char *name, unsigned i, const struct endpoint *e)
{
	if (e->kind == ENDPOINT_UNIX && *e->path != '/')
		reader_fail(r, reader_line(r, s, name, i), "%s \"%s\": the path of a unix socket begins with \"/\"; what Postfix finds there is most likely "
			    "unix:/var/spool/postfix/%s", name, reader_item(r, s, name, i), e->path);
}

static void read_socket(struct reader *r, cfg_t *s, unsigned i, struct config *c, struct config_sockets *to)
{
	struct endpoint e;
	struct buf why = { 0 };
	const char *text = reader_item(r, s, "socket", i);
	to->endpoints[i] = text;
	to->command_count += strncmp(text, "exec:", 5) == 0;
	if (endpoint_parse_any(bytes_of(text), 0, &e, &why)) {
		reader_fail(r, reader_line(r, s, "socket", i), "socket \"%s\": %s", text, buf_str(&why));
		buf_fini(&why);
		return;
	}
	config_command_check_path(r, s, "socket", i, &e);
	if (e.kind == ENDPOINT_EXEC) {
		to->commands[i] = c->command_count;
		add_command(r, s, i, e.argv, c);
	}
	endpoint_fini(&e);
}

void config_command_read_sockets(struct reader *r, cfg_t *s, struct config *c, struct config_sockets *ret)
{
	unsigned n = reader_count(s, "socket");
	*ret = (struct config_sockets){
		.endpoints = ARENA_ARRAY(r->arena, const char *, n + 1), .count = n, .commands = ARENA_ARRAY(r->arena, unsigned, n + 1),
	};
	if (!n)
		reader_fail(r, reader_section_line(r, s), "%s %s has no socket", cfg_name(s), cfg_title(s));
	for (unsigned i = 0; i < n; i++)
		read_socket(r, s, i, c, ret);
	if (!ret->command_count)
		refuse_settings(r, s);
	ret->at_once = reader_number(r, s, "max_connections", ret->command_count ? AT_ONCE : 0, 1, MOST_AT_ONCE);
}
