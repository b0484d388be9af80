/*
 * command_table_build.c: gatepost table build: makes the file of a table from its source, as postmap(1) does, or with -a from aliases, as postalias(1) does.
 *
 * When root builds what belongs to another user, it becomes that user first: the file is then that user's, as Postfix wants it, and no mistake of
 * ours is root's.  The file has the permissions of its source, less what could write to it.
 */
#include "mta/command_table.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/kinds.h"
#include "tcp_table/table_build.h"
#include "tcp_table/table_source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { BUILD_PIECE = 65536 };

struct building {
	struct table_command *c;
	struct table_build *build;
	const char *name;               /* of the source */
	struct stat st;                 /* of the source */
	struct buf text;
	struct table_notes notes;
};

/* ---- reading ---- */

static int read_all(int fd, struct buf *to)
{
	ssize_t n;
	do {
		n = read(fd, buf_room(to, BUILD_PIECE), BUILD_PIECE);
		buf_grown(to, n > 0 ? (size_t)n : 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int table_command_read(const char *file, struct stat *ret_st, struct buf *to)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, ret_st) < 0 ? -errno : read_all(fd, to);
	close(fd);
	return r;
}

/* Standard input for -i; else the file that the map is named after. */
static int read_source(struct building *b)
{
	bool stdin_too = table_command_has(b->c, 'i');
	const char *colon = strchr(b->c->map, ':');
	b->name = stdin_too ? "standard input" : colon ? colon + 1 : b->c->map;
	int r = !stdin_too ? table_command_read(b->name, &b->st, &b->text) : fstat(STDIN_FILENO, &b->st) < 0 ? -errno : read_all(STDIN_FILENO, &b->text);
	if (r < 0)
		table_command_complain(b->c, "cannot read %s: %s", b->name, strerror(-r));
	return r;
}

/* ---- owner and mode ---- */

static int become_owner(const struct building *b)
{
	if (table_command_has(b->c, 'o') || getuid() != 0 || (b->st.st_uid == geteuid() && b->st.st_gid == getegid()))
		return 0;
	if (setgroups(1, &b->st.st_gid) < 0 || setegid(b->st.st_gid) < 0 || seteuid(b->st.st_uid) < 0) {
		table_command_complain(b->c, "cannot become the owner of %s: %s", b->name, strerror(errno));
		return -errno;
	}
	return 0;
}

static mode_t wanted_mode(const struct building *b)
{
	return table_command_has(b->c, 'p') || !S_ISREG(b->st.st_mode) ? 0644 : 0644 & ~(~b->st.st_mode & 077);
}

/* ---- entries ---- */

/* -F: VALUE names files, whose content counts, in Base64. */
static int content_of(struct bytes value, struct buf *to, struct buf *why)
{
	struct buf content = { 0 };
	struct stat st;
	int r = 0;
	for (struct bytes rest = value; rest.n && r == 0;) {
		size_t n = 0;
		while (n < rest.n && !strchr(", \t\r\n", rest.p[n]))
			n++;
		char *name = bytes_dup(bytes_first(rest, n));
		if (n && content.n)
			buf_add_char(&content, '\n');
		if (n)
			r = table_command_read(name, &st, &content);
		if (r < 0)
			buf_printf(why, "%s: %s", name, strerror(-r));
		mem_free(name);
		rest = bytes_skip(rest, n + (n < rest.n));
	}
	if (r == 0) {
		size_t room = content.n / 3 * 4 + 8;
		int n = EVP_EncodeBlock((unsigned char *)buf_room(to, room), (const unsigned char *)buf_str(&content), (int)content.n);
		buf_grown(to, (size_t)n);
	}
	buf_fini(&content);
	return r;
}

static void add_value(struct building *b, unsigned line, struct bytes key, struct bytes value)
{
	int r = table_build_add(b->build, key, value);
	if (r == -E2BIG)
		table_note(&b->notes, line, "\"%.*s\" is too long a key for such a file: the line is ignored", BYTES_ARG(key));
	else if (r == 1 && !table_command_has(b->c, 'w') && !table_command_has(b->c, 'r'))
		table_note(&b->notes, line, "\"%.*s\" again: the first entry counts", BYTES_ARG(key));
}

static void add_entry(struct building *b, unsigned line, struct bytes key, struct bytes value)
{
	struct buf content = { 0 }, why = { 0 };
	if (!table_command_has(b->c, 'F'))
		add_value(b, line, key, value);
	else if (content_of(value, &content, &why) == 0)
		add_value(b, line, key, buf_bytes(&content));
	else
		table_note(&b->notes, line, "%s: the line is ignored", buf_str(&why));
	buf_fini(&content);
	buf_fini(&why);
}

static void add_all(struct building *b)
{
	struct table_source source;
	struct bytes key, value;
	table_source_init(&source, buf_bytes(&b->text), table_command_has(b->c, 'a'), &b->notes);
	while (table_source_next(&source, &key, &value))
		add_entry(b, source.lines.line, key, value);
	table_source_fini(&source);
}

/* "@" says to Sendmail that the file is complete; the others are for NIS, which wants them without NUL. */
static int sign_aliases(struct building *b)
{
	char now[24], host[272];
	snprintf(now, sizeof now, "%010lld", (long long)time(NULL));
	if (gethostname(host, 256) < 0)
		return -errno;
	/* As Postfix completes it where main.cf does not say more. */
	if (!strchr(host, '.'))
		strcat(host, ".localdomain");
	int r = table_build_sign(b->build, BYTES("@"), BYTES("@"), TABLE_NUL_DEFAULT);
	if (r >= 0)
		r = table_build_sign(b->build, BYTES("YP_LAST_MODIFIED"), bytes_of(now), TABLE_NUL_NONE);
	if (r >= 0)
		r = table_build_sign(b->build, BYTES("YP_MASTER_NAME"), bytes_of(host), TABLE_NUL_NONE);
	return r < 0 ? r : 0;
}

void table_command_tell(const struct table_notes *n)
{
	struct bytes rest = buf_bytes(&n->text);
	unsigned lines = 0;
	for (; rest.n; lines++) {
		struct bytes line = bytes_cut(&rest, '\n');
		log_warning("table", "%.*s", BYTES_ARG(line));
	}
	if (n->count > lines)
		log_warning("table", "%s: %u more lines are wrong", n->file, n->count - lines);
}

/* ---- the command ---- */

static struct table_build_options build_options(const struct table_command *c)
{
	return (struct table_build_options){
		.keep = table_command_has(c, 'i') || c->removed,
		.must_exist = c->removed != NULL,
		.keep_case = table_command_has(c, 'f'),
		.replace = table_command_has(c, 'r'),
		.nul = table_command_has(c, 'n') ? TABLE_NUL_NONE : table_command_has(c, 'N') ? TABLE_NUL_ONE : TABLE_NUL_DEFAULT,
		.mode = 0644,
	};
}

/* Has put a sentence in ERR, or said it. */
static int build_from_source(struct building *b, struct buf *err)
{
	int r = read_source(b);
	if (r == 0)
		r = become_owner(b);
	if (r < 0)
		return r;
	struct table_build_options o = build_options(b->c);
	o.mode = wanted_mode(b);
	b->notes.file = b->name;
	r = table_build_new(table_kinds, bytes_of(b->c->map), &o, &b->build, err);
	if (r < 0)
		return r;
	add_all(b);
	table_command_tell(&b->notes);
	if (table_command_has(b->c, 'a'))
		r = sign_aliases(b);
	return r < 0 ? r : table_build_write(b->build, err);
}

static unsigned remove_lines(struct table_build *build)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	unsigned removed = 0;
	while ((n = getline(&line, &room, stdin)) >= 0) {
		struct bytes key = bytes_make(line, (size_t)n);
		if (bytes_ends(key, BYTES("\n")))
			key.n--;
		removed += table_build_remove(build, key);
	}
	free(line);
	return removed;
}

/* 1: none of the keys was there. */
static int remove_keys(struct building *b, struct buf *err)
{
	const struct table_build_options o = build_options(b->c);
	int r = table_build_new(table_kinds, bytes_of(b->c->map), &o, &b->build, err);
	if (r < 0)
		return r;
	unsigned removed = strcmp(b->c->removed, "-") == 0 ? remove_lines(b->build) :
							     table_build_remove(b->build, bytes_of(b->c->removed));
	return removed == 0 ? 1 : table_build_write(b->build, err);
}

int command_table_build(struct table_command *c)
{
	struct building b = { .c = c };
	struct buf err = { 0 };
	if (!strchr(c->map, ':')) {
		table_command_complain(c, "to be built a table is named by its type and file, as in hash:/etc/aliases");
		return EX_USAGE;
	}
	umask(022);
	int r = c->removed ? remove_keys(&b, &err) : build_from_source(&b, &err);
	if (r < 0 && err.n)
		table_command_complain(c, "%s", buf_str(&err));
	table_build_free(&b.build);
	table_notes_fini(&b.notes);
	buf_fini(&b.text);
	buf_fini(&err);
	return r ? TABLE_NO : EX_OK;
}
