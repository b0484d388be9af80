/*
 * endpoint.c: endpoints as users write them.
 */
#include "lib/base/mem.h"
#include "lib/run/net.h"

#include <errno.h>
#include <netdb.h>

__attribute__((format(printf, 2, 3))) static int refuse(struct buf *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(err, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int service_port(const char *name, uint16_t *ret)
{
	struct servent entry, *found;
	char space[1024];

	if (getservbyname_r(name, "tcp", &entry, space, sizeof space, &found) || !found)
		return -EINVAL;
	*ret = ntohs((uint16_t)found->s_port);
	return 0;
}

static int parse_port(struct bytes text, uint16_t *ret, struct buf *err)
{
	uint64_t port;
	char *name;
	int r = bytes_to_u64(text, UINT16_MAX, &port);

	if (!r && port) {
		*ret = (uint16_t)port;
		return 0;
	}
	name = bytes_dup(text);
	r = r == -EINVAL && text.n ? service_port(name, ret) : -EINVAL;
	mem_free(name);
	if (r)
		return refuse(err, "\"%.*s\" is not a port", BYTES_ARG(text));
	return 0;
}

static int parse_unix(struct bytes path, struct endpoint *ret, struct buf *err)
{
	if (!path.n)
		return refuse(err, "the path of the unix socket is missing");
	if (path.n >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		return refuse(err, "the path of the unix socket is longer than %zu bytes",
		    sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
	ret->kind = ENDPOINT_UNIX;
	ret->path = bytes_dup(path);
	return 0;
}

static bool plausible_host(struct bytes host)
{
	for (size_t i = 0; i < host.n; i++)
		if ((unsigned char)host.p[i] <= ' ' || strchr("[]@/,;\"'\\\177", host.p[i]))
			return false;
	return host.n && host.n <= 255;
}

/* "HOST:PORT", "[2001:db8::1]:PORT" or without the port: *RET_PORT is then empty, p == NULL. */
static int split_host(struct bytes text, struct bytes *ret_host, struct bytes *ret_port, struct buf *err)
{
	ptrdiff_t colon = bytes_rfind(text, ':');
	struct bytes host = text, port = { NULL, 0 };

	if (text.n && text.p[0] == '[') {
		ptrdiff_t close = bytes_find(text, ']');

		if (close < 0)
			return refuse(err, "\"[\" without \"]\"");
		host = bytes_make(text.p + 1, (size_t)close - 1);
		text = bytes_skip(text, (size_t)close + 1);
		if (text.n && text.p[0] != ':')
			return refuse(err, "\"%.*s\" stands where \":PORT\" is expected", BYTES_ARG(text));
		if (text.n)
			port = bytes_skip(text, 1);
	} else if (colon >= 0) {
		host = bytes_first(text, (size_t)colon);
		port = bytes_skip(text, (size_t)colon + 1);
		if (bytes_find(host, ':') >= 0)
			return refuse(err, "an IPv6 address is written in brackets: [%.*s]", BYTES_ARG(text));
	}
	*ret_host = host;
	*ret_port = port;
	return 0;
}

static int parse_inet(struct bytes text, uint16_t default_port, struct endpoint *ret, struct buf *err)
{
	struct bytes host = { NULL, 0 }, port = { NULL, 0 };
	ptrdiff_t at = bytes_find(text, '@');
	int r;

	if (at >= 0) {
		port = bytes_first(text, (size_t)at);
		host = bytes_skip(text, (size_t)at + 1);
		if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
			host = bytes_make(host.p + 1, host.n - 2);
	} else if ((r = split_host(text, &host, &port, err))) {
		return r;
	}
	if (!plausible_host(host))
		return refuse(err, "\"%.*s\" is not a host name or address", BYTES_ARG(host));
	if (!port.p && !default_port)
		return refuse(err, "the port is missing");
	ret->port = default_port;
	if (port.p && (r = parse_port(port, &ret->port, err)))
		return r;
	ret->kind = ENDPOINT_INET;
	ret->host = bytes_dup(host);
	return 0;
}

/* ---- commands ---- */

/* Where the brace that TEXT begins with is closed: the index of "}"; -1. */
static ptrdiff_t closing_brace(struct bytes text)
{
	size_t depth = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '{')
			depth++;
		else if (text.p[i] == '}' && --depth == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

/* The next argument of *REST, which is not empty and begins with no blank.  As Postfix: blanks just inside the braces are not part of it. */
static int next_argument(struct bytes *rest, struct bytes *ret, struct buf *err)
{
	if (rest->p[0] != '{') {
		*ret = bytes_word(rest);
		return 0;
	}
	ptrdiff_t end = closing_brace(*rest);
	if (end < 0)
		return refuse(err, "\"{\" without \"}\"");
	*ret = bytes_trim(bytes_make(rest->p + 1, (size_t)end - 1));
	*rest = bytes_skip(*rest, (size_t)end + 1);
	if (rest->n && rest->p[0] != ' ' && rest->p[0] != '\t')
		return refuse(err, "\"%.*s\" stands where a blank is expected", BYTES_ARG(*rest));
	return 0;
}

static void free_argv(char **argv)
{
	for (char **a = argv; a && *a; a++)
		mem_free(*a);
	mem_free(argv);
}

static int parse_argv(struct bytes text, char ***ret, struct buf *err)
{
	char **argv = mem_array(NULL, text.n / 2 + 2, sizeof *argv);
	size_t n = 0;
	int r = 0;

	while (!r && (text = bytes_trim(text)).n) {
		struct bytes argument;
		r = next_argument(&text, &argument, err);
		if (!r)
			argv[n++] = bytes_dup(argument);
	}
	argv[n] = NULL;
	if (r)
		free_argv(argv);
	else
		*ret = argv;
	return r;
}

static int parse_exec(struct bytes text, struct endpoint *ret, struct buf *err)
{
	char **argv;
	struct bytes command = bytes_trim(text);

	if (command.n && command.p[0] == '{' && closing_brace(command) == (ptrdiff_t)command.n - 1)
		command = bytes_make(command.p + 1, command.n - 2);
	int r = parse_argv(command, &argv, err);
	if (r)
		return r;
	if (!argv[0])
		r = refuse(err, "the command is missing");
	else if (argv[0][0] != '/')
		r = refuse(err, "the command \"%s\" is not a path that begins with \"/\"", argv[0]);
	if (r) {
		free_argv(argv);
		return r;
	}
	ret->kind = ENDPOINT_EXEC;
	ret->argv = argv;
	return 0;
}

/* ---- all of them ---- */

static int parse(enum endpoint_kind kind, struct bytes rest, uint16_t default_port, struct endpoint *ret, struct buf *err)
{
	switch (kind) {
	case ENDPOINT_UNIX:
		return parse_unix(rest, ret, err);
	case ENDPOINT_EXEC:
		return parse_exec(rest, ret, err);
	case ENDPOINT_INET:
		break;
	}
	return parse_inet(rest, default_port, ret, err);
}

int endpoint_parse_any(struct bytes text, uint16_t default_port, struct endpoint *ret, struct buf *err)
{
	static const struct {
		struct bytes prefix;
		enum endpoint_kind kind;
	} kinds[] = {
		{ { "unix:", 5 }, ENDPOINT_UNIX },
		{ { "local:", 6 }, ENDPOINT_UNIX },
		{ { "inet:", 5 }, ENDPOINT_INET },
		{ { "inet6:", 6 }, ENDPOINT_INET },
		{ { "exec:", 5 }, ENDPOINT_EXEC },
	};
	struct endpoint e = { .kind = ENDPOINT_INET };
	struct bytes rest = text;
	int r;

	if (bytes_find(text, '\0') >= 0)
		return refuse(err, "an endpoint holds no NUL");
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (bytes_starts(text, kinds[i].prefix)) {
			e.kind = kinds[i].kind;
			rest = bytes_skip(text, kinds[i].prefix.n);
			break;
		}
	if (rest.p == text.p && text.n && text.p[0] == '/')
		return refuse(err, "a unix socket is written unix:%.*s", BYTES_ARG(text));
	r = parse(e.kind, rest, default_port, &e, err);
	if (r)
		return r;
	e.text = bytes_dup(text);
	*ret = e;
	return 0;
}

int endpoint_parse(struct bytes text, uint16_t default_port, struct endpoint *ret, struct buf *err)
{
	if (bytes_starts(text, BYTES("exec:")))
		return refuse(err, "a command can be run for a policy server only, not here");
	return endpoint_parse_any(text, default_port, ret, err);
}

void endpoint_fini(struct endpoint *e)
{
	mem_free(e->host);
	mem_free(e->path);
	free_argv(e->argv);
	mem_free(e->text);
	memset(e, 0, sizeof *e);
}
