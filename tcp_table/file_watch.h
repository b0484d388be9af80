/*
 * file_watch.h: has the file that a table was opened from been changed, or has another taken its place?
 *
 * One look at the open file (fstat) tells of all that is done to it: writing and cutting change its size and times, and so does what happens to its name.
 * A file that is removed, moved away, or has another moved into its place has one link less or at least another time of change.  What that look cannot
 * tell is that a symbolic link or a folder on the way was exchanged.  So the name is looked up as well, every ten milliseconds at most.
 *
 * That look is a system call, which costs more than many a lookup.  So an answer that a change cannot have made wrong by itself may trust a look of the
 * same turn of the loop, if it is not older than a few milliseconds (file_watch_trusted()).
 *
 * The kernel's times go in steps of up to 10 ms: what was written to just now may be once more, and show the same time (file_settled()).
 *
 * No tasks, no logs: for the thread pool too.
 */
#ifndef GATEPOST_TCP_TABLE_FILE_WATCH_H
#define GATEPOST_TCP_TABLE_FILE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct file_watch {
	const char *path;       /* the owner's */
	int fd;                 /* the owner's */
	struct stat st;         /* the state that is known */
	int64_t named_at;       /* when the name was looked up last */
	int64_t quiet_at;       /* when all was quiet last, and in which turn */
	uint64_t quiet_turn;
	bool nameless;          /* it led elsewhere then, or nowhere */
};

enum file_news {
	FILE_NO_NEWS,
	FILE_TOUCHED,           /* the same file, in another state */
	FILE_OTHER,             /* another stands under the name */
	FILE_LOST,              /* none can be seen there: errno says why */
};

/* ST: what fstat() said of FD before anything was read. */
void file_watch_init(struct file_watch *w, const char *path, int fd, const struct stat *st);
/* The open file is in the state that is known. */
bool file_watch_same(const struct file_watch *w);
/* It has its name, as far as that had to be looked up.  Once the name led elsewhere: never. */
bool file_watch_named(struct file_watch *w);
/* Both. */
bool file_watch_quiet(struct file_watch *w);
/* As file_watch_quiet(), unless that was so in the turn TURN (run_turn()) a moment ago. */
bool file_watch_trusted(struct file_watch *w, uint64_t turn);
/* Looks both up.  *RET_NAMED is what stands under the name, but for FILE_LOST. */
enum file_news file_watch_look(struct file_watch *w, struct stat *ret_named);
/* When the content was left alone, by its size and time, what the file is like now is known from now on. */
bool file_watch_untouched(struct file_watch *w);
/* ST, what fstat() has said of it, is known from now on. */
void file_watch_accept(struct file_watch *w, const struct stat *st);

/* Another change would have another time. */
bool file_settled(const struct stat *st);

#endif
