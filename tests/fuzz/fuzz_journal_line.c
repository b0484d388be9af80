/* fuzz_journal_line.c: lines of the delivered journal: whatever is in the file, and what was read is written back the same. */
#include "delivery/journal_line.h"

#include "lib/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_back(void *arg, const struct journal_line *l)
{
	struct buf text = { 0 }, names = { 0 };
	struct journal_line again;

	(void)arg;
	journal_line_put(l, &text);
	ASSERT(text.n && text.p[text.n - 1] == '\n');
	ASSERT(journal_line_parse(bytes_first(buf_bytes(&text), text.n - 1), &names, &again) == 0);
	ASSERT(again.state == l->state && again.expires == l->expires && memcmp(again.digest, l->digest, 32) == 0);
	ASSERT(bytes_eq(again.key.hop, l->key.hop) && bytes_eq(again.key.sender, l->key.sender) && bytes_eq(again.key.rcpt, l->key.rcpt));
	buf_fini(&text);
	buf_fini(&names);
}

/* A random line never has the right checksum: so the input is also taken as the three names. */
static void write_names(struct bytes in)
{
	struct journal_line l = { .state = JOURNAL_UNCERTAIN, .expires = (int64_t)in.n };

	l.key.hop = bytes_cut(&in, '\n');
	l.key.sender = bytes_cut(&in, '\n');
	l.key.rcpt = in;
	write_back(NULL, &l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { (const char *)data, size };

	if (size == 0)
		return 0;
	ASSERT(journal_line_each(in, -1, write_back, NULL) <= size);
	write_names(in);
	return 0;
}
