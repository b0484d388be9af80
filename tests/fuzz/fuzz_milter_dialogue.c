/*
 * fuzz_milter_dialogue.c: a dialogue, or a message, from a file somebody sent.  A dialogue is refused with a line's number, or becomes pieces;
 * a message keeps every byte but for its line ends, and content ends at its own dot and nowhere before.
 */
#include "lib/base/assert.h"
#include "lib/smtp/data.h"
#include "mta/milter_dialogue.h"

#include <ctype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_file(struct bytes text)
{
	struct arena arena = { 0 };
	struct milter_dialogue d;
	struct buf err = { 0 };
	milter_dialogue_init(&d, &arena);
	if (milter_dialogue_parse(&d, text, &err) < 0)
		ASSERT(isdigit((unsigned char)err.p[0]));
	else
		ASSERT(err.n == 0);
	for (unsigned i = 0; i < d.count; i++)
		ASSERT(d.pieces[i].n == 0 || d.pieces[i].p);
	milter_dialogue_fini(&d);
	arena_fini(&arena);
	buf_fini(&err);
}

static void without_ends(struct bytes b, struct buf *out)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] != '\r' && b.p[i] != '\n')
			buf_add_char(out, b.p[i]);
}

static void fuzz_message(struct bytes message)
{
	static const char *const to[] = { "a@example.org", "<b@example.org> NOTIFY=NEVER", NULL };
	struct arena arena = { 0 };
	struct milter_dialogue d;
	struct buf content = { 0 }, want = { 0 }, got = { 0 };
	struct smtp_data_decoder decoder;
	milter_dialogue_init(&d, &arena);
	milter_dialogue_compose(&d, &(struct milter_dialogue_params){ .helo = "h", .from = "", .to = to, .message = message });
	ASSERT(d.count == 8 && bytes_eq(d.pieces[1], BYTES("MAIL FROM:<>\r\n")));
	ASSERT(bytes_eq(d.pieces[3], BYTES("RCPT TO:<b@example.org> NOTIFY=NEVER\r\n")));
	smtp_data_decoder_init(&decoder, SMTP_BARE_REJECT);
	struct bytes in = d.pieces[5];
	smtp_data_decode(&decoder, &in, &content);
	ASSERT(!decoder.done && in.n == 0 && !decoder.bare_lf);
	in = d.pieces[6];
	smtp_data_decode(&decoder, &in, &content);
	ASSERT(decoder.done && in.n == 0);
	if (bytes_starts(message, BYTES("From ")))
		bytes_cut(&message, '\n');
	without_ends(message, &want);
	without_ends(buf_bytes(&content), &got);
	ASSERT(bytes_eq(buf_bytes(&want), buf_bytes(&got)));
	milter_dialogue_fini(&d);
	arena_fini(&arena);
	buf_fini(&content);
	buf_fini(&want);
	buf_fini(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	fuzz_file(bytes_make(data, n));
	fuzz_message(bytes_make(data, n));
	return 0;
}
