/*
 * table_pcre.c: pcre:/file, Perl's regular expressions (PCRE2).
 *
 * Letters match in both cases, and '.' a newline, unless flags say otherwise: i m s x A E U turn the option around that they are named after.  A match that
 * backtracks too long is given up, and the answer is "cannot tell", where Postfix takes it for "no".
 *
 * PCRE2's compiler to machine code takes as long as a thousand matches, and a page of memory for every few expressions.  So an expression goes through it when
 * it has been tried often, and only as long as all that it has made is not too much.
 */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_pattern.h"

#include "lib/base/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>

/* PCRE2's own limit of ten million is most of a second.  Keys are addresses and names: what needs more than this has exploded.  The limit counts anew for each
 * place of the key where a match may begin; so what is tried at once has both limited, which makes three milliseconds of the worst. */
enum { PCRE_MATCH_LIMIT = 1000000, PCRE_MATCH_LIMIT_AT_ONCE = 500, PCRE_KEY_AT_ONCE = 256 };

/* Tries until an expression is compiled to machine code, and how much of that the process may have. */
enum { PCRE_JIT_AFTER = 200, PCRE_JIT_MAX = 16 << 20 };

struct pcre_regex {
	pcre2_code *code;
	_Atomic(pcre2_code *) fast;     /* the same as machine code; NULL: not yet */
	atomic_uint tries;              /* up to PCRE_JIT_AFTER */
};

static atomic_size_t pcre_jit_size;

/* Limits of matches: they are only read. */
static pcre2_match_context *pcre_limits, *pcre_limits_at_once;

static void pcre_limits_init(void)
{
	pcre_limits = pcre2_match_context_create(NULL);
	pcre_limits_at_once = pcre2_match_context_create(NULL);
	if (!pcre_limits || !pcre_limits_at_once)
		return; /* PCRE2's own are used */
	pcre2_set_match_limit(pcre_limits, PCRE_MATCH_LIMIT);
	pcre2_set_match_limit(pcre_limits_at_once, PCRE_MATCH_LIMIT_AT_ONCE);
}

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

/* ---- to machine code ---- */

static size_t pcre_jit_size_of(const pcre2_code *code)
{
	size_t size = 0;
	if (code)
		pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &size);
	return size;
}

/* Others may be matching with the code at this moment: so it is a copy that is compiled. */
static void pcre_make_fast(struct pcre_regex *p)
{
	pcre2_code *none = NULL, *fast = atomic_load(&pcre_jit_size) < PCRE_JIT_MAX ? pcre2_code_copy(p->code) : NULL;

	/* Without the compiler (a machine it does not know, a forbidden mapping) matching is slower, and that is all. */
	if (!fast || pcre2_jit_compile(fast, PCRE2_JIT_COMPLETE) < 0) {
		pcre2_code_free(fast);
		return;
	}
	atomic_fetch_add(&pcre_jit_size, pcre_jit_size_of(fast));
	if (!atomic_compare_exchange_strong(&p->fast, &none, fast)) {
		atomic_fetch_sub(&pcre_jit_size, pcre_jit_size_of(fast));
		pcre2_code_free(fast);
	}
}

static const pcre2_code *pcre_code(struct pcre_regex *p)
{
	/* Two threads may both count the same try: then it takes one more. */
	if (atomic_load_explicit(&p->tries, memory_order_relaxed) < PCRE_JIT_AFTER &&
	    atomic_fetch_add_explicit(&p->tries, 1, memory_order_relaxed) == PCRE_JIT_AFTER - 1)
		pcre_make_fast(p);
	const pcre2_code *fast = atomic_load(&p->fast);
	return fast ? fast : p->code;
}

/* ---- an expression ---- */

static void pcre_release(void *regex)
{
	struct pcre_regex *p = regex;
	pcre2_code *fast = atomic_load(&p->fast);
	atomic_fetch_sub(&pcre_jit_size, pcre_jit_size_of(fast));
	pcre2_code_free(fast);
	pcre2_code_free(p->code);
	mem_free(p);
}

static int pcre_compile(const char *regex, struct bytes flags, void **ret, unsigned *ret_groups, struct buf *why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint32_t options, groups;
	PCRE2_SIZE at;
	int code;

	int r = pcre_options(flags, &options, why);
	if (r < 0)
		return r;
	pthread_once(&once, pcre_limits_init);
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
	if (!compiled) {
		pcre_message(code, why);
		buf_printf(why, " (at character %zu)", at + 1);
		return -EINVAL;
	}
	pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &groups);
	struct pcre_regex *p = NEW(struct pcre_regex);
	p->code = compiled;
	*ret = p;
	*ret_groups = groups;
	return 0;
}

/* Where lines end otherwise '$' may stand elsewhere. */
static bool pcre_newline_plain(void)
{
	uint32_t newline;
	return pcre2_config(PCRE2_CONFIG_NEWLINE, &newline) >= 0 && newline == PCRE2_NEWLINE_LF;
}

static bool pcre_shape(const char *regex, struct bytes flags, struct pattern_shape *ret)
{
	struct buf why = { 0 };
	uint32_t options = 0;
	int r = pcre_options(flags, &options, &why);

	buf_fini(&why);
	if (r < 0 || (options & (PCRE2_MULTILINE | PCRE2_EXTENDED)) || !pcre_newline_plain())
		return false;
	pattern_shape(PATTERN_PERL, options & PCRE2_ANCHORED, regex, ret);
	/* The head and the tail of one that minds case are true nevertheless. */
	if (!(options & PCRE2_CASELESS) || (options & PCRE2_DOLLAR_ENDONLY))
		ret->whole = false;
	return true;
}

static char pcre_needed(const pcre2_code *code, uint32_t type, uint32_t unit)
{
	uint32_t has, c;
	pcre2_pattern_info(code, type, &has);
	pcre2_pattern_info(code, unit, &c);
	if (has != 1 || c >= 128)
		return 0;
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* What pcre2_match() itself looks at first.  With Unicode a letter may be matched by others: nothing is known then. */
static void pcre_needs(const void *regex, struct pattern_needs *ret)
{
	const struct pcre_regex *p = regex;
	uint32_t options, length;

	pcre2_pattern_info(p->code, PCRE2_INFO_ALLOPTIONS, &options);
	if (options & (PCRE2_UTF | PCRE2_UCP))
		return;
	pcre2_pattern_info(p->code, PCRE2_INFO_MINLENGTH, &length);
	ret->length = (unsigned char)(length < 255 ? length : 255);
	ret->bytes[0] = pcre_needed(p->code, PCRE2_INFO_FIRSTCODETYPE, PCRE2_INFO_FIRSTCODEUNIT);
	ret->bytes[1] = pcre_needed(p->code, PCRE2_INFO_LASTCODETYPE, PCRE2_INFO_LASTCODEUNIT);
}

/* ---- matching ---- */

static void *pcre_begin(void)
{
	return pcre2_match_data_create(PATTERN_SPANS, NULL);
}

static void pcre_end(void *scratch)
{
	pcre2_match_data_free(scratch);
}

static void pcre_spans(pcre2_match_data *data, struct pattern_span *spans, unsigned n)
{
	const PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
	for (unsigned i = 0; i < n; i++, v += 2)
		spans[i] = (struct pattern_span){ v[0], v[1] };
}

static int pcre_match(const void *regex, const struct pattern_try *try, struct pattern_span *spans, unsigned n, struct buf *why)
{
	const pcre2_code *code = pcre_code((struct pcre_regex *)regex);
	pcre2_match_context *limits = try->at_once ? pcre_limits_at_once : pcre_limits;

	if (try->at_once && try->key.n > PCRE_KEY_AT_ONCE)
		return -EAGAIN;
	int found = pcre2_match(code, (PCRE2_SPTR)try->key.p, try->key.n, 0, 0, try->scratch, limits);
	/* The compiled code has 32 KiB of stack; the interpreter's grows on the heap. */
	if (found == PCRE2_ERROR_JIT_STACKLIMIT)
		found = pcre2_match(code, (PCRE2_SPTR)try->key.p, try->key.n, 0, PCRE2_NO_JIT, try->scratch, limits);
	if (found >= 0)
		pcre_spans(try->scratch, spans, n);
	if (found >= 0)
		return 1;
	if (found == PCRE2_ERROR_NOMATCH)
		return 0;
	pcre_message(found, why);
	return -EDOM;
}

const struct pattern_engine pcre_engine = {
	.compile = pcre_compile, .release = pcre_release, .shape = pcre_shape, .final_newline = true, .needs = pcre_needs, .begin = pcre_begin,
	.end = pcre_end, .match = pcre_match, .at_once = true
};

static void *pcre_load(char *text, size_t n, struct table_notes *notes)
{
	return pattern_load(&pcre_engine, text, n, notes);
}

/* Matching may take long. */
const struct table_file_kind pcre_kind = {
	.type = "pcre", .inlined = true, .load = pcre_load, .unload = pattern_unload, .get = pattern_get, .get_at_once = pattern_get_at_once,
	.slow = true
};

static int pcre_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_file_open(&pcre_kind, spec, ret_state, err);
}

const struct table_ops table_pcre = {
	.type = "pcre", .names_file = true, .whole_key = true, .open = pcre_open, .close = table_file_close, .ask = table_file_ask
};
