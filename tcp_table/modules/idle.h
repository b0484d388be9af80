/*
 * idle.h: connections that wait for the next question.
 */
#ifndef GATEPOST_TCP_TABLE_MODULES_IDLE_H
#define GATEPOST_TCP_TABLE_MODULES_IDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { IDLE_MOST = 16 };

struct idle {
	pthread_mutex_t lock;
	void (*close)(void *connection);
	int64_t most_age; /* ns; a connection that waited longer is closed instead */
	struct {
		void *connection;
		int64_t since;
	} kept[IDLE_MOST];
	unsigned count;
};

int64_t idle_now(void); /* ns, a clock that only goes forward */

void idle_init(struct idle *i, int64_t most_age, void (*close)(void *connection));
void idle_fini(struct idle *i); /* closes all; so does idle_drop(), which leaves it usable */
void idle_drop(struct idle *i);
void *idle_take(struct idle *i); /* the one that was used last; NULL: none */
void idle_put(struct idle *i, void *connection);
bool idle_any(struct idle *i);

#endif
