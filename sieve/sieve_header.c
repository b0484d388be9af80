/*
 * sieve_header.c: header fields as tests see them.
 */
#include "sieve/sieve_private.h"

#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "lib/run/task.h"

#include <errno.h>

int sieve_header_next(struct sieve_run *r, struct bytes name, struct mail_header **item)
{
	struct list *head = &sieve_mail(r)->headers;
	for (struct list *l = *item ? (*item)->link.next : head->next; l != head; l = l->next) {
		struct mail_header *h = LIST_ITEM(l, struct mail_header, link);
		if (!h->hidden && bytes_case_eq(h->name, name)) {
			*item = h;
			return 1;
		}
	}
	return 0;
}

/* RFC 5322 section 2.2.3: unfolding takes away the CR LF before white space. */
static struct bytes unfold(struct arena *a, struct bytes in)
{
	if (bytes_find(in, '\n') < 0)
		return in;
	char *to = arena_alloc(a, in.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++)
		if (in.p[i] != '\r' && in.p[i] != '\n')
			to[n++] = in.p[i];
	return bytes_make(to, n);
}

struct decoding {
	struct bytes text;
	struct buf *to;
};

static int decode_slowly(void *arg)
{
	struct decoding *d = arg;
	return sieve_words_decode(d->text, true, d->to);
}

TASK_FN int sieve_header_text(struct sieve_run *r, const struct mail_header *h, struct bytes *ret)
{
	struct bytes text = bytes_trim(unfold(&r->scratch, mail_header_value(h)));
	if (bytes_search(text, BYTES("=?")) < 0) {
		*ret = text;
		return 0;
	}
	struct buf decoded = { 0 };
	int result = sieve_words_decode(text, false, &decoded);
	if (result == -EAGAIN)
		result = task_offload(decode_slowly, &(struct decoding){ text, &decoded });
	if (!result)
		*ret = bytes_trim(arena_bytes(&r->scratch, buf_bytes(&decoded)));
	buf_fini(&decoded);
	return result;
}
