/*
 * fuzz_milter_record.c: a recording from anybody: it is refused, or printed, and written and read again it is the same.
 */
#include "milter/milter_print.h"

#include "lib/base/assert.h"

#include <ctype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void write_record(const struct milter_record *r, struct buf *out)
{
	milter_record_put_begin(out);
	for (unsigned i = 0; i < r->count; i++)
		milter_record_put(out, &r->entries[i]);
	milter_record_put_end(out, r->count);
}

/* Nothing a terminal or a log would obey. */
static void print_record(const struct milter_record *r)
{
	struct milter_print p = { 0 };
	struct buf out = { 0 };
	for (unsigned i = 0; i < r->count; i++) {
		milter_print_entry(&p, &r->entries[i], &out);
		milter_print_frame(&r->entries[i], &out);
	}
	for (size_t i = 0; i < out.n; i++)
		ASSERT(!iscntrl((unsigned char)out.p[i]) || out.p[i] == '\n');
	milter_print_fini(&p);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct milter_record r, again;
	struct buf err = { 0 }, text = { 0 }, text_again = { 0 };
	if (milter_record_parse(bytes_make(data, n), &r, &err) == 0) {
		print_record(&r);
		write_record(&r, &text);
		ASSERT(milter_record_parse(buf_bytes(&text), &again, &err) == 0);
		ASSERT(again.count == r.count);
		write_record(&again, &text_again);
		ASSERT(bytes_eq(buf_bytes(&text), buf_bytes(&text_again)));
		milter_record_fini(&again);
		milter_record_fini(&r);
	} else {
		ASSERT(err.n > 0);
	}
	buf_fini(&err);
	buf_fini(&text);
	buf_fini(&text_again);
	return 0;
}
