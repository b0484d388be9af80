/*
 * table_unix.c: unix:passwd.byname, unix:group.byname: the system's users and groups, as the lines of passwd(5) and group(5).
 *
 * Whatever nsswitch.conf(5) names is asked, so this may take long: it runs in the thread pool.
 */
#include "tcp_table/table_kinds.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

/* An entry with its strings: a group may have very many members. */
enum { UNIX_ENTRY = 4096, UNIX_ENTRY_MAX = 16 << 20 };

struct unix_list {
	const char *name;
	/* As getpwnam_r(), with SPACE for the strings: 1: found, its line appended to RET; 0: not found; -errno. */
	int (*get)(const char *name, char *space, size_t n, struct buf *ret);
};

/* The manual allows these, too, for "not found": a service of nsswitch.conf that is not there says so after the others did not find it. */
static int unix_result(int r)
{
	return r == ENOENT || r == ESRCH ? 0 : -r;
}

static int unix_user(const char *name, char *space, size_t n, struct buf *ret)
{
	struct passwd pw, *found;
	int r = getpwnam_r(name, &pw, space, n, &found);
	if (r || !found)
		return unix_result(r);
	buf_printf(ret, "%s:%s:%lu:%lu:%s:%s:%s", pw.pw_name, pw.pw_passwd, (unsigned long)pw.pw_uid, (unsigned long)pw.pw_gid, pw.pw_gecos,
		   pw.pw_dir, pw.pw_shell);
	return 1;
}

static int unix_group(const char *name, char *space, size_t n, struct buf *ret)
{
	struct group gr, *found;
	int r = getgrnam_r(name, &gr, space, n, &found);
	if (r || !found)
		return unix_result(r);
	buf_printf(ret, "%s:%s:%lu:", gr.gr_name, gr.gr_passwd, (unsigned long)gr.gr_gid);
	for (char **member = gr.gr_mem; *member; member++)
		buf_printf(ret, "%s%s", member == gr.gr_mem ? "" : ",", *member);
	return 1;
}

static const struct unix_list unix_lists[] = { { "passwd.byname", unix_user }, { "group.byname", unix_group } };

static int unix_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	for (size_t i = 0; i < COUNT_OF(unix_lists); i++)
		if (bytes_eq(spec, bytes_of(unix_lists[i].name))) {
			*ret_state = (void *)&unix_lists[i];
			return 0;
		}
	buf_printf(err, "there is no unix:%.*s, only unix:passwd.byname and unix:group.byname", BYTES_ARG(spec));
	return -EINVAL;
}

static void unix_close(void *state)
{
	(void)state;
}

static int unix_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	const struct unix_list *list = state;
	char *name = bytes_dup(key), why[64];
	struct buf space = { 0 };
	int r = -ERANGE;

	for (size_t n = UNIX_ENTRY; r == -ERANGE && n <= UNIX_ENTRY_MAX; n *= 4)
		r = list->get(name, buf_room(&space, n), n, ret);
	if (r < 0)
		buf_printf(err, "unix:%s: %s", list->name, strerror_r(-r, why, sizeof why));
	buf_fini(&space);
	mem_free(name);
	return r;
}

const struct table_ops table_unix = {
	.type = "unix", .blocks = true, .fold_key = true, .open = unix_open, .close = unix_close, .get = unix_get
};
