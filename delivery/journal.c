/*
 * journal.c: the index of the delivered journal.
 */
#include "delivery/journal.h"

#include "delivery/journal_file.h"
#include "delivery/journal_line.h"
#include "lib/base/mem.h"
#include "lib/base/strmap.h"
#include "lib/run/task.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOURNAL_PIECE = 64 * 1024 };

struct journal_entry {
	enum journal_state state;
	int64_t expires;
	unsigned char digest[32];
	struct journal_entry *next;
};

struct journal {
	char *path, *folder;
	int64_t window;
	int fd;                         /* as far as it was read: OFFSET */
	off_t offset;
	struct strmap index;            /* hop, sender, recipient, NUL between: struct journal_entry, youngest first */
	int64_t expires;                /* of the youngest */
};

/* ---- the index ---- */

static void journal_index_key(const struct journal_key *key, struct buf *to)
{
	buf_add(to, key->hop);
	buf_add_char(to, '\0');
	buf_add(to, key->sender);
	buf_add_char(to, '\0');
	buf_add(to, key->rcpt);
}

static void journal_index_clear(struct journal *j)
{
	const struct strmap_entry *slot;
	size_t i = 0;

	while ((slot = strmap_next(&j->index, &i))) {
		struct journal_entry *next;
		for (struct journal_entry *e = slot->value; e; e = next) {
			next = e->next;
			mem_free(e);
		}
	}
	strmap_fini(&j->index);
	j->index = (struct strmap){ 0 };
	j->expires = 0;
}

static void journal_index_add(struct journal *j, const struct journal_line *l)
{
	struct journal_entry *e = NEW(struct journal_entry);
	struct buf key = { 0 };

	journal_index_key(&l->key, &key);
	e->state = l->state;
	e->expires = l->expires;
	memcpy(e->digest, l->digest, sizeof e->digest);
	e->next = strmap_get(&j->index, buf_bytes(&key));
	strmap_set(&j->index, buf_bytes(&key), e);
	if (e->expires > j->expires)
		j->expires = e->expires;
	buf_fini(&key);
}

static const struct journal_entry *journal_entries(const struct journal *j, const struct journal_key *key)
{
	struct buf text = { 0 };

	journal_index_key(key, &text);
	const struct journal_entry *e = strmap_get(&j->index, buf_bytes(&text));
	buf_fini(&text);
	return e;
}

bool journal_knows(const struct journal *j, const struct journal_key *key)
{
	for (const struct journal_entry *e = journal_entries(j, key); e; e = e->next)
		if (e->expires > run_wall())
			return true;
	return false;
}

bool journal_refused(const struct journal *j, const struct journal_key *key)
{
	for (const struct journal_entry *e = journal_entries(j, key); e; e = e->next)
		if (e->expires > run_wall() && e->state == JOURNAL_REFUSED)
			return true;
	return false;
}

enum journal_state journal_find(const struct journal *j, const struct journal_key *key, const unsigned char digest[static 32])
{
	enum journal_state state = JOURNAL_NONE;

	for (const struct journal_entry *e = journal_entries(j, key); e; e = e->next) {
		if (e->expires <= run_wall() || memcmp(e->digest, digest, sizeof e->digest) != 0)
			continue;
		if (e->state == JOURNAL_SETTLED)
			break;
		if (e->state == JOURNAL_DELIVERED)
			return e->state;
		if (state == JOURNAL_NONE)
			state = e->state;
	}
	return state;
}

/* ---- reading the file ---- */

static void journal_take_line(void *arg, const struct journal_line *l)
{
	journal_index_add(arg, l);
}

/* From j->offset on, which is moved behind the last whole line. */
static void journal_read(struct journal *j)
{
	struct buf text = { 0 };
	ssize_t n;

	for (;;) {
		n = pread(j->fd, buf_room(&text, JOURNAL_PIECE), JOURNAL_PIECE, j->offset + (off_t)text.n);
		if (n <= 0)
			break;
		buf_grown(&text, (size_t)n);
		size_t used = journal_line_each(buf_bytes(&text), run_wall(), journal_take_line, j);
		buf_consume(&text, used);
		j->offset += (off_t)used;
	}
	buf_fini(&text);
}

static int journal_reopen(struct journal *j)
{
	int fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->offset = 0;
	journal_index_clear(j);
	journal_read(j);
	return 0;
}

/* Follows the file: it grows, or another takes its place. */
static void journal_follow(struct journal *j)
{
	struct stat st;

	if (fstat(j->fd, &st) < 0)
		return;
	if (st.st_nlink == 0 || st.st_size < j->offset)
		(void)!journal_reopen(j);       /* if that fails the old file goes on being read */
	else if (st.st_size > j->offset)
		journal_read(j);
}

bool journal_any(struct journal *j)
{
	journal_follow(j);
	return j->expires > run_wall();
}

int journal_open(const char *folder, int64_t window, struct journal **ret, struct buf *err)
{
	struct journal *j = NEW(struct journal);
	int r;

	j->folder = mem_strdup(folder);
	j->path = mem_printf("%s/delivered", folder);
	j->window = window;
	j->fd = -1;
	r = journal_reopen(j);
	if (r < 0) {
		buf_printf(err, "delivered journal %s: %s", j->path, strerror(-r));
		journal_close(&j);
		return r;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal **jp)
{
	struct journal *j = *jp;

	*jp = NULL;
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	journal_index_clear(j);
	mem_free(j->path);
	mem_free(j->folder);
	mem_free(j);
}

/* ---- adding ---- */

TASK_FN int journal_add(struct journal *j, const unsigned char digest[static 32], const struct journal_note *notes, unsigned n)
{
	struct journal_append w = { .path = j->path, .folder = j->folder, .now = run_wall() };
	struct journal_line l = { .expires = w.now + j->window };
	int r;

	memcpy(l.digest, digest, sizeof l.digest);
	for (unsigned i = 0; i < n; i++) {
		l.state = notes[i].state;
		l.key = notes[i].key;
		journal_line_put(&l, &w.text);
	}
	r = task_offload(journal_file_append, &w);
	buf_fini(&w.text);
	journal_follow(j);
	return r;
}
