/* fuzz_held.c: envelopes of held messages: whatever lies in the spool, and what was read is written back the same. */
#include "queue/held_codec.h"

#include "lib/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_rcpts(const struct held *a, const struct held *b)
{
	const struct list *at = b->rcpts.next;
	const struct held_rcpt *r;
	LIST_EACH(r, &a->rcpts, struct held_rcpt, link) {
		ASSERT(at != &b->rcpts);
		const struct held_rcpt *other = LIST_ITEM(at, struct held_rcpt, link);
		ASSERT(bytes_eq(r->view.path.address.address, other->view.path.address.address));
		ASSERT(held_rcpt_done(r) == held_rcpt_done(other));
		at = at->next;
	}
	ASSERT(at == &b->rcpts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct buf err = { 0 }, text = { 0 };
	struct held held, again;
	if (held_decode(bytes_make(data, size), &arena, &held, &err) == 0) {
		held_encode(&held, &text);
		ASSERT(held_decode(buf_bytes(&text), &arena, &again, &err) == 0);
		ASSERT(strcmp(held.id, again.id) == 0 && held.time == again.time && held.size == again.size);
		ASSERT(bytes_eq(held.sender.address.address, again.sender.address.address));
		ASSERT(held.gate_count == again.gate_count && held.trace_count == again.trace_count && !held.session.tls == !again.session.tls);
		same_rcpts(&held, &again);
	} else {
		ASSERT(err.n);
	}
	ASSERT(!held_id_valid(bytes_make(data, size)) || (size && !memchr(data, '/', size) && data[0] != '.'));
	buf_fini(&err);
	buf_fini(&text);
	arena_fini(&arena);
	return 0;
}
