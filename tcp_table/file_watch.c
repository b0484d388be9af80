/*
 * file_watch.c: two looks, one at the file and a dearer one at its name.
 */
#include "tcp_table/file_watch.h"

#include <time.h>

/* ns; the clock that they are counted by goes in steps of up to 4 ms. */
#define FILE_NAME_EVERY INT64_C(10000000)
#define FILE_TRUST INT64_C(5000000)
/* ns, by the clock of the files' times. */
#define FILE_SETTLED INT64_C(20000000)

static int64_t file_clock(clockid_t id)
{
	struct timespec now;
	clock_gettime(id, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static bool file_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool file_same_content(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && file_same_time(&a->st_mtim, &b->st_mtim);
}

static bool file_same_state(const struct stat *a, const struct stat *b)
{
	return file_same_content(a, b) && file_same_time(&a->st_ctim, &b->st_ctim) && a->st_nlink == b->st_nlink;
}

void file_watch_init(struct file_watch *w, const char *path, int fd, const struct stat *st)
{
	*w = (struct file_watch){ .path = path, .fd = fd, .st = *st, .named_at = file_clock(CLOCK_MONOTONIC_COARSE) };
}

bool file_watch_same(const struct file_watch *w)
{
	struct stat now;
	return fstat(w->fd, &now) == 0 && file_same_state(&now, &w->st);
}

bool file_watch_named(struct file_watch *w)
{
	struct stat named;
	if (w->nameless)
		return false;
	return file_clock(CLOCK_MONOTONIC_COARSE) - w->named_at < FILE_NAME_EVERY || file_watch_look(w, &named) == FILE_NO_NEWS;
}

bool file_watch_quiet(struct file_watch *w)
{
	return !w->nameless && file_watch_same(w) && file_watch_named(w);
}

bool file_watch_trusted(struct file_watch *w, uint64_t turn)
{
	int64_t now = file_clock(CLOCK_MONOTONIC_COARSE);
	if (!w->nameless && w->quiet_turn == turn && now - w->quiet_at < FILE_TRUST)
		return true;
	if (!file_watch_quiet(w))
		return false;
	w->quiet_at = now;
	w->quiet_turn = turn;
	return true;
}

enum file_news file_watch_look(struct file_watch *w, struct stat *ret_named)
{
	w->named_at = file_clock(CLOCK_MONOTONIC_COARSE);
	w->nameless = true;
	if (stat(w->path, ret_named) < 0)
		return FILE_LOST;
	if (ret_named->st_dev != w->st.st_dev || ret_named->st_ino != w->st.st_ino)
		return FILE_OTHER;
	w->nameless = false;
	return file_same_state(ret_named, &w->st) ? FILE_NO_NEWS : FILE_TOUCHED;
}

bool file_watch_untouched(struct file_watch *w)
{
	struct stat now;
	if (fstat(w->fd, &now) < 0 || !file_same_content(&now, &w->st))
		return false;
	w->st = now;
	return true;
}

void file_watch_accept(struct file_watch *w, const struct stat *st)
{
	w->st = *st;
}

bool file_settled(const struct stat *st)
{
	int64_t age = file_clock(CLOCK_REALTIME) - (st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec);
	return age < 0 || age > FILE_SETTLED;
}
