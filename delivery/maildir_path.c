/*
 * maildir_path.c: where a recipient's maildir is, and what a file in it is called.
 */
#include "delivery/maildir_path.h"

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATH_VALUE_MAX = 200 };

int maildir_path_check(const char *template, struct buf *err)
{
	if (template[0] != '/') {
		buf_printf(err, "the path of a maildir must begin with '/': %s", template);
		return -EINVAL;
	}
	for (const char *p = template; (p = strchr(p, '%')); p += 2) {
		if (p[1] && strchr("dnu%", p[1]))
			continue;
		buf_printf(err, "a maildir's path knows %%d, %%n, %%u and %%%%: %s", template);
		return -EINVAL;
	}
	return 0;
}

size_t maildir_path_fixed(const char *template)
{
	const char *variable = template;
	size_t n;

	while ((variable = strchr(variable, '%')) && variable[1] == '%')
		variable += 2;
	n = variable ? (size_t)(variable - template) : strlen(template);
	/* Without a variable all but the maildir itself must exist. */
	while (n > 1 && template[n - 1] != '/')
		n--;
	return n > 1 ? n - 1 : n;
}

/* A value that comes from a stranger and becomes the name of a folder. */
static bool path_value_ok(struct bytes value)
{
	if (value.n == 0 || value.n > PATH_VALUE_MAX || value.p[0] == '.')
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '/' || (unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
			return false;
	return true;
}

/* ASCII only: what other letters' lower case is, is not ours to say. */
static void path_add_lower(struct bytes value, struct buf *to)
{
	for (size_t i = 0; i < value.n; i++)
		buf_add_char(to, value.p[i] >= 'A' && value.p[i] <= 'Z' ? (char)(value.p[i] | 0x20) : value.p[i]);
}

static int path_add_value(char variable, const struct smtp_address *rcpt, struct buf *to)
{
	if (variable == '%') {
		buf_add_char(to, '%');
		return 0;
	}
	if ((variable != 'd' && !path_value_ok(rcpt->local)) || (variable != 'n' && !path_value_ok(rcpt->domain)))
		return -EINVAL;
	if (variable != 'd')
		path_add_lower(rcpt->local, to);
	if (variable == 'u')
		buf_add_char(to, '@');
	if (variable != 'n')
		path_add_lower(rcpt->domain, to);
	return 0;
}

int maildir_path_expand(const char *template, const struct smtp_address *rcpt, struct buf *to)
{
	int r = 0;

	for (const char *p = template; *p && r == 0; p++) {
		if (*p == '%')
			r = path_add_value(*++p, rcpt, to);
		else
			buf_add_char(to, *p);
	}
	return r;
}

void maildir_path_name(const char *hostname, struct buf *to)
{
	static unsigned count;
	struct timeval now;

	gettimeofday(&now, NULL);
	buf_printf(to, "%lld.M%06ldP%dQ%u.", (long long)now.tv_sec, (long)now.tv_usec, (int)getpid(), ++count);
	for (const char *p = hostname; *p; p++) {
		if (*p == '/' || *p == ':')
			buf_printf(to, "\\%03o", (unsigned)*p);
		else
			buf_add_char(to, *p);
	}
}
