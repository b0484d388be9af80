/* sockets.c: listening sockets, kept across generations. */
#include "mta/sockets.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct socket_set {
	char *key;
	struct net_addr bound;          /* with the port the kernel chose, where it did */
	int *fds;                       /* one per worker; a unix socket: one for all */
	unsigned count;
};

/* What makes it the same address in the next config: the address itself; with port 0, where in the config it stands. */
static char *make_key(const struct config_listener *l, const struct config_address *a)
{
	char ip[INET6_ADDRSTRLEN];
	if (a->addr.sa.sa_family == AF_UNIX)
		return mem_printf("unix:%s", a->addr.un.sun_path);
	net_addr_ip(&a->addr, ip);
	if (net_addr_port(&a->addr))
		return mem_printf("%s %u", ip, net_addr_port(&a->addr));
	return mem_printf("%s of %s %d", ip, l->name, (int)(a - l->addresses));
}

static struct socket_set *find_set(const struct sockets *s, const struct config_listener *l, const struct config_address *a)
{
	struct socket_set *found = NULL;
	char *key = make_key(l, a);
	for (unsigned i = 0; i < s->count && !found; i++)
		if (strcmp(s->sets[i].key, key) == 0)
			found = &s->sets[i];
	mem_free(key);
	return found;
}

static void close_set(struct socket_set *set, bool unlink_path)
{
	for (unsigned i = 0; i < set->count; i++)
		close(set->fds[i]);
	if (unlink_path && set->bound.sa.sa_family == AF_UNIX)
		unlink(set->bound.un.sun_path);
	mem_free(set->fds);
	mem_free(set->key);
}

/* Sockets with SO_REUSEPORT share a port with whoever of the same user asks, a second server too: so the port is first tried without it. */
static int try_alone(const struct net_addr *a)
{
	int one = 1, status = 0;
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (a->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, &a->sa, a->len) || listen(fd, 1))
		status = -errno;
	close(fd);
	return status;
}

/* Is the port ours already, though at another address?  Then trying it alone says nothing. */
static bool have_port(const struct sockets *s, uint16_t port)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->sets[i].bound.sa.sa_family != AF_UNIX && net_addr_port(&s->sets[i].bound) == port)
			return true;
	return false;
}

static int add_socket(struct socket_set *set)
{
	int fd = net_listen(&set->bound, set->bound.sa.sa_family != AF_UNIX);
	if (fd < 0)
		return fd;
	socklen_t len = sizeof set->bound.in6;
	if (set->bound.sa.sa_family != AF_UNIX && !net_addr_port(&set->bound) && getsockname(fd, &set->bound.sa, &len)) {
		close(fd);
		return -errno;
	}
	set->fds = mem_array(set->fds, set->count + 1, sizeof *set->fds);
	set->fds[set->count++] = fd;
	return 0;
}

static struct socket_set *new_set(struct sockets *s, const struct config_listener *l, const struct config_address *a)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 8;
		s->sets = mem_array(s->sets, s->cap, sizeof *s->sets);
	}
	struct socket_set *set = &s->sets[s->count++];
	*set = (struct socket_set){ .key = make_key(l, a), .bound = a->addr };
	return set;
}

static int open_address(struct sockets *s, const struct config *c, const struct config_listener *l, const struct config_address *a)
{
	struct socket_set *set = find_set(s, l, a);
	bool local = a->addr.sa.sa_family == AF_UNIX;
	uint16_t port = local ? 0 : net_addr_port(&a->addr);
	int status = 0;
	if (!set) {
		if (port && !have_port(s, port))
			status = try_alone(&a->addr);
		if (status)
			return status;
		set = new_set(s, l, a);
	}
	while (!status && set->count < (local ? 1 : c->workers))
		status = add_socket(set);
	return status;
}

static void say_why(const struct config *c, const struct config_address *a, int status, struct buf *err)
{
	const char *hint = status == -EADDRINUSE ? " (another server listens there)" :
			   status == -EACCES	 ? " (ports below 1024 are root's)" :
						   "";
	buf_printf(err, "%s%s:%d: address \"%s\": %s%s", err->n ? "\n" : "", c->file, a->line, a->text, strerror(-status), hint);
}

int sockets_open(struct sockets *s, const struct config *c, struct buf *err)
{
	int status = 0;
	for (unsigned i = 0; i < c->listener_count && !status; i++) {
		const struct config_listener *l = &c->listeners[i];
		for (unsigned k = 0; k < l->address_count && !status; k++) {
			status = open_address(s, c, l, &l->addresses[k]);
			if (status)
				say_why(c, &l->addresses[k], status, err);
		}
	}
	return status;
}

static bool needed(const struct socket_set *set, const struct sockets *s, const struct config *c)
{
	for (unsigned i = 0; i < c->listener_count; i++)
		for (unsigned k = 0; k < c->listeners[i].address_count; k++)
			if (find_set(s, &c->listeners[i], &c->listeners[i].addresses[k]) == set)
				return true;
	return false;
}

void sockets_keep(struct sockets *s, const struct config *c)
{
	for (unsigned i = s->count; i-- > 0;) {
		struct socket_set *set = &s->sets[i];
		if (!needed(set, s, c)) {
			close_set(set, true);
			*set = s->sets[--s->count];
			continue;
		}
		while (set->bound.sa.sa_family != AF_UNIX && set->count > c->workers)
			close(set->fds[--set->count]);
	}
}

static void take_one(struct socket_set *set, unsigned worker)
{
	unsigned mine = worker < set->count ? worker : 0;
	for (unsigned i = 0; i < set->count; i++)
		if (i != mine)
			close(set->fds[i]);
	set->fds[0] = set->fds[mine];
	set->count = 1;
}

void sockets_take(struct sockets *s, const struct config *c, unsigned worker)
{
	for (unsigned i = s->count; i-- > 0;) {
		if (needed(&s->sets[i], s, c)) {
			take_one(&s->sets[i], worker);
		} else {
			close_set(&s->sets[i], false);
			s->sets[i] = s->sets[--s->count];
		}
	}
}

int sockets_fd(const struct sockets *s, const struct config_listener *l, const struct config_address *a)
{
	const struct socket_set *set = find_set(s, l, a);
	ASSERT(set && set->count);
	return set->fds[0];
}

static void log_address(const struct sockets *s, const struct config_listener *l, const struct config_address *a)
{
	const struct socket_set *set = find_set(s, l, a);
	struct log_line line;
	char ip[INET6_ADDRSTRLEN];
	log_begin(&line, LOG_LEVEL_INFO, "listening");
	log_str(&line, "listener", l->name);
	if (set->bound.sa.sa_family == AF_UNIX)
		log_printf(&line, "address", "unix:%s", set->bound.un.sun_path);
	else {
		net_addr_ip(&set->bound, ip);
		log_printf(&line, "address", set->bound.sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, net_addr_port(&set->bound));
	}
	log_end(&line);
}

void sockets_log(const struct sockets *s, const struct config *c)
{
	for (unsigned i = 0; i < c->listener_count; i++)
		for (unsigned k = 0; k < c->listeners[i].address_count; k++)
			log_address(s, &c->listeners[i], &c->listeners[i].addresses[k]);
}

void sockets_fini(struct sockets *s, bool unlink_paths)
{
	for (unsigned i = 0; i < s->count; i++)
		close_set(&s->sets[i], unlink_paths);
	mem_free(s->sets);
	*s = (struct sockets){ 0 };
}

int sockets_check(const struct config *c, struct buf *err)
{
	int status = 0;
	for (unsigned i = 0; i < c->listener_count; i++)
		for (unsigned k = 0; k < c->listeners[i].address_count; k++) {
			const struct config_address *a = &c->listeners[i].addresses[k];
			int this = a->addr.sa.sa_family == AF_UNIX ? 0 : try_alone(&a->addr);
			if (this) {
				say_why(c, a, this, err);
				status = this;
			}
		}
	return status;
}
