/*
 * idle.c: connections that wait for the next question.
 */
#include "tcp_table/modules/idle.h"

#include <time.h>

int64_t idle_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void idle_init(struct idle *i, int64_t most_age, void (*close)(void *connection))
{
	*i = (struct idle){ .close = close, .most_age = most_age };
	pthread_mutex_init(&i->lock, NULL);
}

/* Of those that have waited too long, one; the oldest are the first. */
static void *idle_take_old(struct idle *i, int64_t now)
{
	void *old = NULL;

	pthread_mutex_lock(&i->lock);
	if (i->count && now - i->kept[0].since > i->most_age) {
		old = i->kept[0].connection;
		i->count--;
		for (unsigned k = 0; k < i->count; k++)
			i->kept[k] = i->kept[k + 1];
	}
	pthread_mutex_unlock(&i->lock);
	return old;
}

static void *idle_take_newest(struct idle *i)
{
	pthread_mutex_lock(&i->lock);
	void *c = i->count ? i->kept[--i->count].connection : NULL;
	pthread_mutex_unlock(&i->lock);
	return c;
}

void idle_drop(struct idle *i)
{
	void *c;
	while ((c = idle_take_newest(i)))
		i->close(c);
}

void idle_fini(struct idle *i)
{
	idle_drop(i);
	pthread_mutex_destroy(&i->lock);
}

void *idle_take(struct idle *i)
{
	void *old;
	while ((old = idle_take_old(i, idle_now())))
		i->close(old);
	return idle_take_newest(i);
}

void idle_put(struct idle *i, void *connection)
{
	pthread_mutex_lock(&i->lock);
	if (i->count < IDLE_MOST) {
		i->kept[i->count].connection = connection;
		i->kept[i->count++].since = idle_now();
		connection = NULL;
	}
	pthread_mutex_unlock(&i->lock);
	if (connection)
		i->close(connection);
}

bool idle_any(struct idle *i)
{
	pthread_mutex_lock(&i->lock);
	bool any = i->count > 0;
	pthread_mutex_unlock(&i->lock);
	return any;
}
