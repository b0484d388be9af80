/*
 * table_regexp.c: regexp:/file, POSIX regular expressions (regcomp(3)).
 *
 * Extended ones, and letters match in both cases, unless flags say otherwise: i m x turn REG_ICASE, REG_NEWLINE, REG_EXTENDED around.
 */
#include "tcp_table/regexp_weight.h"
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_pattern.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <regex.h>

/* No header field that anybody looks up is longer, and what regexec() needs grows with it. */
#define KEY_MAX 32768

static int regexp_options(struct bytes flags, int *ret, struct buf *why)
{
	*ret = REG_EXTENDED | REG_ICASE;
	for (; flags.n; flags = bytes_skip(flags, 1)) {
		int option = *flags.p == 'i'   ? REG_ICASE
		             : *flags.p == 'm' ? REG_NEWLINE
		             : *flags.p == 'x' ? REG_EXTENDED
		                               : 0;
		if (!option) {
			buf_printf(why, "there is no flag '%c'", *flags.p);
			return -EINVAL;
		}
		*ret ^= option;
	}
	return 0;
}

static void regexp_message(int code, const regex_t *regex, struct buf *why)
{
	char text[120];
	regerror(code, regex, text, sizeof text);
	buf_add_str(why, text);
}

static void regexp_release(void *regex)
{
	regfree(regex);
	mem_free(regex);
}

static int regexp_compile(const char *text, struct bytes flags, void **ret, unsigned *ret_groups, struct buf *why)
{
	int options;
	int r = regexp_options(flags, &options, why);
	if (r == 0)
		r = regexp_weight(text, options & REG_EXTENDED, why);
	if (r < 0)
		return r;
	regex_t *regex = NEW(regex_t);
	int code = regcomp(regex, text, options);
	if (code) {
		regexp_message(code, regex, why);
		mem_free(regex);
		return -EINVAL;
	}
	*ret = regex;
	*ret_groups = (unsigned)regex->re_nsub;
	return 0;
}

static bool regexp_shape(const char *text, struct bytes flags, struct pattern_shape *ret)
{
	struct buf why = { 0 };
	int options = 0, r = regexp_options(flags, &options, &why);

	buf_fini(&why);
	if (r < 0 || (options & REG_NEWLINE) || !(options & REG_EXTENDED))
		return false;
	pattern_shape(PATTERN_POSIX, false, text, ret);
	/* The head and the tail of one that minds case are true nevertheless. */
	if (!(options & REG_ICASE))
		ret->whole = false;
	return true;
}

static int regexp_match(const void *regex, const struct pattern_try *try, struct pattern_span *spans, unsigned n, struct buf *why)
{
	regmatch_t found[PATTERN_SPANS];

	if (try->key.n > KEY_MAX) {
		buf_printf(why, "the key has more than %d bytes", KEY_MAX);
		return -E2BIG;
	}
	int code = regexec(regex, try->key.p, n, found, 0);
	if (code && code != REG_NOMATCH) {
		regexp_message(code, regex, why);
		return -EDOM;
	}
	for (unsigned i = 0; !code && i < n; i++) {
		bool set = found[i].rm_so >= 0;
		spans[i] = (struct pattern_span){ set ? (size_t)found[i].rm_so : SIZE_MAX,
			set ? (size_t)found[i].rm_eo : SIZE_MAX };
	}
	return code == 0;
}

const struct pattern_engine regexp_engine = {
	.compile = regexp_compile, .release = regexp_release, .shape = regexp_shape, .match = regexp_match, .second = true
};

static void *regexp_load(char *text, size_t n, struct table_notes *notes)
{
	return pattern_load(&regexp_engine, text, n, notes);
}

/* As with pcre: in the thread pool, but for texts. */
const struct table_file_kind regexp_kind = {
	.type = "regexp", .inlined = true, .load = regexp_load, .unload = pattern_unload, .get = pattern_get, .get_at_once = pattern_get_at_once,
	.slow = true
};

static int regexp_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	return table_file_open(&regexp_kind, spec, ret_state, err);
}

const struct table_ops table_regexp = {
	.type = "regexp", .names_file = true, .whole_key = true, .open = regexp_open, .close = table_file_close, .ask = table_file_ask
};
