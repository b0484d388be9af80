/* fuzz_smtp_command.c: MAIL and RCPT lines; what is accepted must hold together and be accepted again. */
#include "lib/smtp/command.h"

#include "lib/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct bytes part, struct bytes whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_path(const struct smtp_path *p, bool strict, struct arena *arena)
{
	const struct smtp_address *a = &p->address;
	struct smtp_address again;

	ASSERT(p->raw.n >= 2 && p->raw.p[0] == '<' && p->raw.p[p->raw.n - 1] == '>');
	ASSERT(within(a->domain, a->address));
	for (unsigned i = 0; i < p->param_count; i++)
		ASSERT(p->params[i].keyword.n && within(p->params[i].value, p->params[i].text));
	if (a->address.n == 0)
		return;
	ASSERT(a->address.p[a->address.n] == '\0' && a->local.n && a->address.n <= 254);
	ASSERT(smtp_address_parse(a->address, arena, &again) == 0 && smtp_address_eq(a, &again));
	if (p->raw.n <= 256 && strict)
		ASSERT(bytes_search(p->raw, a->address) > 0);
}

static void try_path(enum smtp_verb verb, struct bytes argument, bool strict)
{
	struct arena arena = { 0 };
	struct smtp_path path;
	struct smtp_reply error = { 0 };

	if (smtp_path_parse(verb, argument, strict, &arena, &path, &error) == 0) {
		check_path(&path, strict, &arena);
		/* What is strictly right is right. */
		if (strict)
			ASSERT(smtp_path_parse(verb, argument, false, &arena, &path, &error) == 0);
	} else {
		struct buf wire = { 0 };
		ASSERT((error.code == 501 || error.code == 555) && smtp_enhanced_valid(bytes_of(error.enhanced)));
		smtp_reply_put(&error, &wire);
		ASSERT(wire.n <= 512 && bytes_find(buf_bytes(&wire), '\n') == (ptrdiff_t)wire.n - 1);
		buf_fini(&wire);
	}
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes line = { (const char *)data, size }, verb, argument;
	struct buf coded = { 0 }, back = { 0 };

	smtp_command_split(line, &verb, &argument);
	ASSERT(within(verb, line) && within(argument, line));
	for (int strict = 0; strict < 2; strict++) {
		try_path(SMTP_MAIL, argument, strict);
		try_path(SMTP_RCPT, argument, strict);
	}
	smtp_xtext_encode(line, &coded);
	ASSERT(smtp_xtext_decode(buf_bytes(&coded), &back) == 0 && bytes_eq(buf_bytes(&back), line));
	buf_clear(&back);
	if (smtp_xtext_decode(line, &back) == 0)
		ASSERT(back.n <= line.n);
	buf_fini(&coded);
	buf_fini(&back);
	return 0;
}
