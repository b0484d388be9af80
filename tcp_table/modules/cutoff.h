/*
 * cutoff.h: a time limit for a library that waits in read(2): at the deadline its sockets are shut down, and whatever waits for them fails.
 *
 * A thread does it, from the first deadline on: none is there yet when the master, which asks nobody, forks its workers.  The sockets are told by
 * descriptors of our own (dup(2)): a library may have closed its own by then, and its number may be somebody else's.
 */
#ifndef GATEPOST_TCP_TABLE_MODULES_CUTOFF_H
#define GATEPOST_TCP_TABLE_MODULES_CUTOFF_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { CUTOFF_SOCKETS = 8 };

struct cutoff {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct cutoff_line *lines; /* that have a deadline */
	bool running, ending;
	pthread_t thread;
};

/* The sockets of one connection. */
struct cutoff_line {
	struct cutoff *of;
	struct cutoff_line *next;
	int64_t deadline; /* idle_now(); 0: none */
	struct {
		int theirs, ours;
	} fds[CUTOFF_SOCKETS];
	unsigned count;
};

void cutoff_init(struct cutoff *c);
void cutoff_fini(struct cutoff *c); /* no line has a deadline any more */

void cutoff_line_init(struct cutoff_line *l, struct cutoff *of);
void cutoff_line_fini(struct cutoff_line *l);
/* FD is one of the connection's, too, until it is closed.  -errno */
int cutoff_line_add(struct cutoff_line *l, int fd) __attribute__((warn_unused_result));
void cutoff_line_remove(struct cutoff_line *l, int fd);
/* Until cutoff_line_end() the line's sockets, and those that are added, must be done by DEADLINE. */
void cutoff_line_begin(struct cutoff_line *l, int64_t deadline);
void cutoff_line_end(struct cutoff_line *l);

#endif
