/*
 * task_offload.c: a few threads for calls that block.
 */
#include "lib/base/assert.h"
#include "lib/run/loop.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* Lies on the stack of the task that waits for it. */
struct job {
	struct job *next;
	int (*fn)(void *arg);
	void *arg;
	struct task *task;
	int result;
	bool done;
};

enum { MOST_THREADS = 64, THREAD_STACK = 512 * 1024 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *todo, **todo_tail;          /* oldest first */
	struct job *done;
	pthread_t threads[MOST_THREADS];
	unsigned n, idle;
	bool stopping;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .todo_tail = &pool.todo };

static unsigned most_threads = 4;

void run_set_threads(unsigned n)
{
	most_threads = n < 1 ? 1 : n > MOST_THREADS ? MOST_THREADS : n;
}

static struct job *next_job(void)
{
	struct job *j;

	pool.idle++;
	while (!pool.todo && !pool.stopping)
		pthread_cond_wait(&pool.changed, &pool.lock);
	pool.idle--;
	j = pool.todo;
	if (j && !(pool.todo = j->next))
		pool.todo_tail = &pool.todo;
	return j;
}

static void *thread_main(void *arg)
{
	struct job *j;

	(void)arg;
	pthread_mutex_lock(&pool.lock);
	while ((j = next_job())) {
		bool first;

		pthread_mutex_unlock(&pool.lock);
		j->result = j->fn(j->arg);
		pthread_mutex_lock(&pool.lock);
		first = !pool.done;
		j->next = pool.done;
		pool.done = j;
		if (first)
			loop_poke();
	}
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/* Threads take no signals: those are the loop's. */
static int start_thread(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&pool.threads[pool.n], &attr, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (!r)
		pool.n++;
	return -r;
}

TASK_FN int task_offload(int (*fn)(void *arg), void *arg)
{
	struct job j = { .fn = fn, .arg = arg, .task = loop.current };
	int r = 0;

	pthread_mutex_lock(&pool.lock);
	if (!pool.idle && pool.n < most_threads)
		r = start_thread();
	if (!pool.n) {
		pthread_mutex_unlock(&pool.lock);
		return r;
	}
	*pool.todo_tail = &j;
	pool.todo_tail = &j.next;
	pthread_cond_signal(&pool.changed);
	pthread_mutex_unlock(&pool.lock);
	while (!j.done)
		task_suspend_deaf();
	return j.result;
}

void offload_reap(void)
{
	struct job *j;

	pthread_mutex_lock(&pool.lock);
	j = pool.done;
	pool.done = NULL;
	pthread_mutex_unlock(&pool.lock);
	for (struct job *next; j; j = next) {
		next = j->next;
		j->done = true;
		task_wake(j->task);
	}
}

void offload_forget(void)
{
	memset(&pool, 0, sizeof pool);
	pthread_mutex_init(&pool.lock, NULL);
	pthread_cond_init(&pool.changed, NULL);
	pool.todo_tail = &pool.todo;
}

void offload_fini(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.stopping = true;
	pthread_cond_broadcast(&pool.changed);
	pthread_mutex_unlock(&pool.lock);
	for (unsigned i = 0; i < pool.n; i++)
		pthread_join(pool.threads[i], NULL);
	offload_forget();
}
