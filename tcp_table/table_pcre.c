/*
 * table_pcre.c: pcre:/file, Perl's regular expressions (PCRE2).
 *
 * Letters match in both cases, and '.' a newline, unless flags say otherwise: i m s x A E U turn the option around that they are named after.  A match that
 * backtracks too long is given up, and the answer is "cannot tell", where Postfix takes it for "no".
 */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_pattern.h"

#include "lib/base/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>

/* PCRE2's own limit of ten million is most of a second.  Keys are addresses and names: what needs more than this has exploded. */
enum { PCRE_MATCH_LIMIT = 1000000 };

struct pcre_regex {
	pcre2_code *code;
	pcre2_match_context *limits;
};

static int pcre_options(struct bytes flags, uint32_t *ret, struct buf *why)
{
	static const struct {
		char flag;
		uint32_t option;
	} known[] = {
		{ 'i', PCRE2_CASELESS }, { 'm', PCRE2_MULTILINE }, { 's', PCRE2_DOTALL }, { 'x', PCRE2_EXTENDED }, { 'A', PCRE2_ANCHORED },
		{ 'E', PCRE2_DOLLAR_ENDONLY }, { 'U', PCRE2_UNGREEDY }, { 'X', 0 },     /* X: as in Postfix, of no effect with PCRE2 */
	};
	*ret = PCRE2_CASELESS | PCRE2_DOTALL;
	for (; flags.n; flags = bytes_skip(flags, 1)) {
		unsigned i = 0;
		while (i < COUNT_OF(known) && known[i].flag != *flags.p)
			i++;
		if (i == COUNT_OF(known)) {
			buf_printf(why, "there is no flag '%c'", *flags.p);
			return -EINVAL;
		}
		*ret ^= known[i].option;
	}
	return 0;
}

static void pcre_message(int code, struct buf *why)
{
	PCRE2_UCHAR text[120];
	pcre2_get_error_message(code, text, sizeof text);
	buf_add_str(why, (const char *)text);
}

static void pcre_release(void *regex)
{
	struct pcre_regex *p = regex;
	pcre2_match_context_free(p->limits);
	pcre2_code_free(p->code);
	mem_free(p);
}

static int pcre_compile(const char *regex, struct bytes flags, void **ret, unsigned *ret_groups, struct buf *why)
{
	uint32_t options, groups;
	PCRE2_SIZE at;
	int code;

	int r = pcre_options(flags, &options, why);
	if (r < 0)
		return r;
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
	if (!compiled) {
		pcre_message(code, why);
		buf_printf(why, " (at character %zu)", at + 1);
		return -EINVAL;
	}
	/* Without the compiler (a machine it does not know, a forbidden mapping) matching is slower, and that is all. */
	(void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &groups);
	struct pcre_regex *p = NEW(struct pcre_regex);
	p->code = compiled;
	p->limits = pcre2_match_context_create(NULL);
	pcre2_set_match_limit(p->limits, PCRE_MATCH_LIMIT);
	*ret = p;
	*ret_groups = groups;
	return 0;
}

static void pcre_spans(pcre2_match_data *data, struct pattern_span *spans, unsigned n)
{
	const PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
	for (unsigned i = 0; i < n && i < pcre2_get_ovector_count(data); i++, v += 2)
		spans[i] = (struct pattern_span){ v[0], v[1] };
}

static int pcre_match(const void *regex, struct bytes key, struct pattern_span *spans, unsigned n, struct buf *why)
{
	const struct pcre_regex *p = regex;
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(p->code, NULL);

	int found = pcre2_match(p->code, (PCRE2_SPTR)key.p, key.n, 0, 0, data, p->limits);
	/* The compiled code has 32 KiB of stack; the interpreter's grows on the heap. */
	if (found == PCRE2_ERROR_JIT_STACKLIMIT)
		found = pcre2_match(p->code, (PCRE2_SPTR)key.p, key.n, 0, PCRE2_NO_JIT, data, p->limits);
	if (found >= 0)
		pcre_spans(data, spans, n);
	pcre2_match_data_free(data);
	if (found >= 0)
		return 1;
	if (found == PCRE2_ERROR_NOMATCH)
		return 0;
	pcre_message(found, why);
	return -EDOM;
}

static const struct pattern_engine pcre_engine = { .compile = pcre_compile, .release = pcre_release, .match = pcre_match };

static void *pcre_load(char *text, size_t n, struct table_notes *notes)
{
	return pattern_load(&pcre_engine, text, n, notes);
}

/* Matching may take long, and more stack than a task has. */
const struct table_file_kind pcre_kind = {
	.type = "pcre", .inlined = true, .load = pcre_load, .unload = pattern_unload, .get = pattern_get, .slow = true
};

static int pcre_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_file_open(&pcre_kind, spec, ret_state, err);
}

const struct table_ops table_pcre = {
	.type = "pcre", .names_file = true, .whole_key = true, .open = pcre_open, .close = table_file_close, .ask = table_file_ask
};
