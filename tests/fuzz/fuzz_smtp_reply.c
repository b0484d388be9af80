/* fuzz_smtp_reply.c: a server's lines, and configured reply texts; what comes out can be sent and read again. */
#include "lib/smtp/client_codec.h"

#include "lib/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct smtp_reply *r, struct arena *arena)
{
	struct smtp_reply_parser p = { 0 };
	struct smtp_reply again;
	struct buf wire = { 0 };
	int done = 0;

	smtp_reply_put(r, &wire);
	for (struct bytes rest = buf_bytes(&wire); rest.n;) {
		struct bytes line = bytes_cut(&rest, '\n');
		ASSERT(done == 0 && line.n <= 511 && line.p[line.n - 1] == '\r');
		line.n--;
		done = smtp_reply_parser_line(&p, line);
		if (done < 0)
			break;
	}
	/* More lines than a reply may have are refused; else it is the same reply. */
	if (done == 1) {
		smtp_reply_parser_take(&p, arena, &again);
		ASSERT(again.code == r->code && (!r->enhanced[0] || bytes_eq(bytes_of(again.enhanced), bytes_of(r->enhanced))));
	} else {
		ASSERT(done < 0);
	}
	smtp_reply_parser_fini(&p);
	buf_fini(&wire);
}

static void read_lines(struct bytes in, struct arena *arena)
{
	struct smtp_reply_parser p = { 0 };
	struct smtp_reply r;
	struct smtp_caps caps;

	while (in.p) {
		int done = smtp_reply_parser_line(&p, bytes_cut(&in, '\n'));
		if (done < 0)
			break;
		if (done == 0)
			continue;
		smtp_reply_parser_take(&p, arena, &r);
		ASSERT(r.code >= 200 && r.code <= 599 && strlen(r.text) <= SMTP_REPLY_BYTES_MAX + SMTP_REPLY_LINES_MAX);
		ASSERT(!r.enhanced[0] || (smtp_enhanced_valid(bytes_of(r.enhanced)) && r.enhanced[0] == (char)('0' + r.code / 100)));
		read_back(&r, arena);
		smtp_caps_parse(&r, &caps);
		ASSERT(strlen(caps.auth) < sizeof caps.auth && strlen(caps.xclient) < sizeof caps.xclient);
	}
	smtp_reply_parser_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { (const char *)data, size };
	struct arena arena = { 0 };
	struct smtp_reply r;

	if (size)
		read_lines(in, &arena);
	smtp_reply_parse_text(in, 450, "4.7.1", &arena, &r);
	ASSERT(r.code >= 200 && r.code <= 599);
	read_back(&r, &arena);
	arena_fini(&arena);
	return 0;
}
