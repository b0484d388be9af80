/*
 * script_aliases.c: lists of destinations as in aliases(5).
 *
 *	user, user@domain		an address
 *	":include:/file"		the destinations in a file, one or more a line; a line that begins with "#" is a comment
 *	/dev/null			nobody
 *	"|command", "/file", "./x"	not done here: refused, by name
 *
 * A file is read anew each time, in the thread pool.  What cannot be read is not "nobody": the recipient is told to come again.
 */
#include "mta/script_aliases.h"

#include "lib/run/task.h"
#include "tcp_table/address_list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, FILES_MAX = 100, DEPTH_MAX = 10 };

/* ---- reading, in the thread pool ---- */

struct reading {
	const char *path;
	struct buf *content;
	const char *why;        /* what is wrong with the file, where errno does not tell */
};

/* As Postfix's local(8): what anybody may write to is nobody's list. */
static int check_file(int fd, struct reading *f)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		f->why = "it is no regular file";
	else if (st.st_mode & S_IWOTH)
		f->why = "anybody may write to it";
	else if (st.st_size > FILE_MAX)
		f->why = "it is longer than 1 MiB";
	return f->why ? -EINVAL : 0;
}

static int read_open(int fd, struct reading *f)
{
	int r = check_file(fd, f);
	while (!r) {
		ssize_t n = read(fd, buf_room(f->content, 16384), 16384);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		buf_grown(f->content, (size_t)n);
		/* It grows while it is read. */
		if (f->content->n > FILE_MAX)
			r = -EFBIG;
	}
	return r;
}

/* O_NONBLOCK: a FIFO must not hold the thread up. */
static int read_file(void *arg)
{
	struct reading *f = arg;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = read_open(fd, f);
	close(fd);
	return r;
}

/* ---- destinations ---- */

static const char *refused_as(struct bytes plain)
{
	if (bytes_starts(plain, BYTES("|")))
		return "a command";
	if (bytes_starts(plain, BYTES("/")) || bytes_starts(plain, BYTES("./")))
		return "a file";
	return NULL;
}

TASK_FN static int each_line(struct script_aliases *a, struct bytes text)
{
	int r = 0;
	while (!r && text.n) {
		struct bytes line = bytes_cut(&text, '\n');
		if (!bytes_starts(line, BYTES("#")))
			r = script_aliases_each(a, line);
	}
	return r;
}

TASK_FN static int include(struct script_aliases *a, struct bytes name)
{
	struct reading f = { .path = arena_str(sieve_scratch(a->run), name), .content = &(struct buf){ 0 } };
	if (!bytes_starts(name, BYTES("/")) || bytes_find(name, '\0') >= 0)
		return sieve_fail(a->run, a->node, -EINVAL, "\":include:%s\" is no absolute path", f.path);
	if (a->depth >= DEPTH_MAX || a->files++ >= FILES_MAX)
		return sieve_fail(a->run, a->node, -E2BIG, "\":include:%s\" is one file too many: up to %d, and %d within each other, are read", f.path,
		    FILES_MAX, DEPTH_MAX);
	int r = task_offload(read_file, &f);
	if (r < 0 && r != -ECANCELED && r != -ETIMEDOUT)
		r = sieve_fail(a->run, a->node, -EINVAL, "\":include:%s\" cannot be used: %s", f.path, f.why ? f.why : strerror(-r));
	if (!r) {
		a->depth++;
		r = each_line(a, buf_bytes(f.content));
		a->depth--;
	}
	buf_fini(f.content);
	return r;
}

TASK_FN static int each(struct script_aliases *a, const struct address_item *item)
{
	static const struct bytes included = { ":include:", 9 };
	if (a->allowed && bytes_eq(item->plain, BYTES("/dev/null"))) {
		a->count++;
		return 0;
	}
	const char *other = refused_as(item->plain);
	if (other)
		return sieve_fail(a->run, a->node, -EINVAL, "\"redirect\" goes to %s, which is not done here: \"%.*s\"", other, BYTES_ARG(bytes_first(item->plain, 200)));
	if (!bytes_case_starts(item->plain, included)) {
		a->count++;
		return a->add(a->run, a->node, item->address);
	}
	if (a->allowed)
		return include(a, bytes_skip(item->plain, included.n));
	return sieve_fail(a->run, a->node, -EINVAL, "\"%.*s\" is read by \"redirect :aliases\" only", BYTES_ARG(bytes_first(item->plain, 200)));
}

TASK_FN int script_aliases_each(struct script_aliases *a, struct bytes text)
{
	struct address_list list;
	struct address_item item;
	int r = 0;
	address_list_init(&list, text, a->allowed);
	while (!r && address_list_next(&list, &item))
		r = each(a, &item);
	address_list_fini(&list);
	return r;
}
