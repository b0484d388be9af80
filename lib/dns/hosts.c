/*
 * hosts.c: /etc/hosts.
 *
 *	ADDRESS CANONICAL-NAME [ALIAS...] [# COMMENT]
 */
#include "lib/dns/hosts.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const void *addr_ip(const struct net_addr *a)
{
	return a->sa.sa_family == AF_INET ? (const void *)&a->in.sin_addr : (const void *)&a->in6.sin6_addr;
}

static size_t ip_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

static struct hosts_entry *parse_line(struct bytes line)
{
	struct bytes ip, name;
	struct hosts_entry *e;
	struct net_addr addr;
	struct buf names = { 0 };

	line = bytes_trim(bytes_cut(&line, '#'));
	ip = bytes_word(&line);
	if (bytes_find(line, '\0') >= 0 || net_addr_parse(ip, 0, &addr))
		return NULL;
	while ((name = bytes_word(&line)).n) {
		buf_add(&names, name);
		buf_add_char(&names, '\0');
	}
	if (!names.n)
		return NULL;
	e = NEW(struct hosts_entry);
	e->family = addr.sa.sa_family;
	memcpy(e->ip, addr_ip(&addr), ip_size(e->family));
	e->names = buf_take_str(&names);
	return e;
}

int hosts_read(const char *file, struct hosts *ret)
{
	FILE *f = fopen(file, "re");
	struct hosts_entry **tail = &ret->first;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!f)
		return -errno;
	*tail = NULL;
	while ((n = getline(&line, &size, f)) > 0)
		if ((*tail = parse_line(bytes_make(line, (size_t)n))))
			tail = &(*tail)->next;
	free(line);
	fclose(f);
	return 0;
}

void hosts_fini(struct hosts *h)
{
	for (struct hosts_entry *e; (e = h->first);) {
		h->first = e->next;
		mem_free(e->names);
		mem_free(e);
	}
}

const char *hosts_name(const struct hosts *h, const struct net_addr *a)
{
	for (const struct hosts_entry *e = h->first; e; e = e->next)
		if (e->family == a->sa.sa_family && !memcmp(e->ip, addr_ip(a), ip_size(e->family)))
			return e->names;
	return NULL;
}

static bool has_name(const struct hosts_entry *e, struct bytes name)
{
	for (const char *p = e->names; *p; p += strlen(p) + 1)
		if (bytes_case_eq(bytes_of(p), name))
			return true;
	return false;
}

const struct hosts_entry *hosts_find(const struct hosts *h, const struct hosts_entry *from, int family, struct bytes name)
{
	for (const struct hosts_entry *e = from ? from->next : h->first; e; e = e->next)
		if (e->family == family && has_name(e, name))
			return e;
	return NULL;
}
