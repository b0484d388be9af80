/*
 * file_map.c: memcpy() that survives SIGBUS.
 */
#include "tcp_table/file_map.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* What every process may keep in memory for one table. */
#define FILE_MAP_MAX ((off_t)256 << 20)

/* Where to go on instead, while this thread reads from a map. */
static _Thread_local sigjmp_buf *volatile file_map_way_out;

/* Who minded it before us. */
static struct sigaction file_map_before;

static void file_map_on_bus(int signo)
{
	if (file_map_way_out)
		siglongjmp(*file_map_way_out, 1);
	/* None of ours: it comes again, for them. */
	sigaction(signo, &file_map_before, NULL);
}

/* SA_NODEFER: who is left with siglongjmp() never returns, and the signal must not stay blocked. */
static void file_map_mind_bus(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	const struct sigaction action = { .sa_handler = file_map_on_bus, .sa_flags = SA_NODEFER | SA_ONSTACK };
	struct sigaction now;

	pthread_mutex_lock(&mutex);
	/* With each map anew: a test's framework has ideas of its own. */
	if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_handler != file_map_on_bus) {
		file_map_before = now;
		(void)sigaction(SIGBUS, &action, NULL);
	}
	pthread_mutex_unlock(&mutex);
}

/* Where is the last byte that is no NUL, of the last few pages?  Not through the map: this is a thread that takes no signals. */
static void file_map_find_last(struct file_map *m, int fd)
{
	char part[1024];
	size_t end = m->n;

	for (unsigned i = 0; i < 64 && end > 0; i++) {
		size_t n = end < sizeof part ? end : sizeof part;
		if (pread(fd, part, n, (off_t)(end - n)) != (ssize_t)n)
			return;
		for (size_t at = n; at-- > 0;)
			if (part[at]) {
				m->last = end - n + at;
				m->last_byte = part[at];
				return;
			}
		end -= n;
	}
}

int file_map_init(struct file_map *m, int fd, off_t size)
{
	if (size <= 0 || size > FILE_MAP_MAX)
		return -EFBIG;
	void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	/* What is not there any more is an error here, and no signal. */
	if (madvise(p, (size_t)size, MADV_POPULATE_READ) < 0) {
		int r = -errno;
		munmap(p, (size_t)size);
		return r;
	}
	file_map_mind_bus();
	*m = (struct file_map){ .p = p, .n = (size_t)size };
	file_map_find_last(m, fd);
	return 0;
}

void file_map_fini(struct file_map *m)
{
	if (m->p)
		munmap((void *)m->p, m->n);
	*m = (struct file_map){ 0 };
}

int file_map_read(const struct file_map *m, uint64_t offset, void *to, size_t n)
{
	sigjmp_buf here;
	if (sigsetjmp(here, 0)) {
		file_map_way_out = NULL;
		return -EIO;
	}
	file_map_way_out = &here;
	/* To the compiler the copy is nobody else's business, so it could move it out of here. */
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(to, m->p + offset, n);
	atomic_signal_fence(memory_order_seq_cst);
	file_map_way_out = NULL;
	return 0;
}

bool file_map_whole(const struct file_map *m)
{
	char now;
	return m->last_byte && file_map_read(m, m->last, &now, 1) == 0 && now == m->last_byte;
}
