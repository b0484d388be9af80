/*
 * regexp_weight.c: bounds what regcomp() and regexec() need.
 *
 * glibc compiles x{3} as xxx and x+ as xx*, so repetitions of repetitions multiply: "(a{255}){255}" becomes 65025 a's, and a dozen
 * nested "+" exhaust the memory of any machine.  There is no limit to be set, neither there nor for a match.  So the copies are
 * counted before.  "+" counts four, since what its two copies cost together grows faster than their number (measured: nine of
 * them around "a?" need 116 MB and two seconds, eleven more than a GB).  What is allowed stays below 100 MB and a second, and is far more than
 * expressions about addresses and header fields have.
 */
#include "tcp_table/regexp_weight.h"

#include <errno.h>
#include <string.h>

#define PLUS_WEIGHT 4
/* Higher counts are regcomp()'s to refuse (RE_DUP_MAX). */
#define COUNT_MAX 40000

struct weighing {
	const char *p;
	bool extended;
	unsigned depth;
	uint64_t groups[REGEXP_DEPTH_MAX + 1]; /* what has been weighed in each group that is open; 0: outside */
	uint64_t last; /* of that, what a repetition would repeat */
	uint64_t copies;
};

static void weigh(struct weighing *w, uint64_t weight)
{
	w->last = weight;
	w->groups[w->depth] += weight;
}

static void repeat(struct weighing *w, uint64_t times)
{
	uint64_t more = times > 1 ? w->last * (times - 1) : 0;
	w->copies += more;
	w->last += more;
	w->groups[w->depth] += more;
}

/* Behind "[": over the whole of it, classes such as [:alpha:] included. */
static void skip_bracket(struct weighing *w)
{
	w->p += *w->p == '^';
	w->p += *w->p == ']';
	while (*w->p && *w->p != ']') {
		char kind = w->p[0] == '[' ? w->p[1] : '\0';
		const char *end = NULL;
		if (kind == ':' || kind == '.' || kind == '=')
			for (end = w->p + 2; *end && !(end[0] == kind && end[1] == ']');)
				end++;
		w->p = end && *end ? end + 2 : w->p + 1;
	}
	w->p += *w->p == ']';
}

static uint64_t read_count(struct weighing *w)
{
	uint64_t n = 0;
	for (; *w->p >= '0' && *w->p <= '9'; w->p++)
		n = n < COUNT_MAX ? n * 10 + (uint64_t)(*w->p - '0') : COUNT_MAX;
	return n;
}

/* Behind "{": n}  n,}  ,m}  n,m} */
static uint64_t read_interval(struct weighing *w)
{
	uint64_t least = read_count(w), most = least;
	if (*w->p == ',') {
		w->p++;
		most = read_count(w);
	}
	w->p += !w->extended && *w->p == '\\';
	w->p += *w->p == '}';
	return most > least ? most : least + 1;
}

static int open_group(struct weighing *w, struct buf *why)
{
	if (w->depth == REGEXP_DEPTH_MAX) {
		buf_printf(why, "more than %d groups within each other", REGEXP_DEPTH_MAX);
		return -E2BIG;
	}
	w->groups[++w->depth] = 1;
	return 0;
}

static void close_group(struct weighing *w)
{
	if (w->depth) {
		w->depth--;
		weigh(w, w->groups[w->depth + 1]);
	}
}

/* A character that means something; -E2BIG. */
static int weigh_special(struct weighing *w, char c, struct buf *why)
{
	switch (c) {
	case '(':
		return open_group(w, why);
	case ')':
		close_group(w);
		break;
	case '{':
		repeat(w, read_interval(w));
		break;
	case '+':
		repeat(w, PLUS_WEIGHT);
		break;
	case '[':
		skip_bracket(w);
		weigh(w, 1);
		break;
	case '*':
	case '?':
		break;
	default:
		weigh(w, 1);
	}
	return 0;
}

int regexp_weight(const char *regex, bool extended, struct buf *why)
{
	struct weighing w = { .p = regex, .extended = extended };
	int r = 0;
	while (*w.p && !r && w.copies <= REGEXP_COPIES_MAX) {
		bool escaped = w.p[0] == '\\' && w.p[1];
		char c = w.p[escaped];
		w.p += escaped + 1;
		/* A backslash makes these special in basic expressions, and plain in extended ones. */
		bool special = strchr("(){}+?", c) ? escaped != extended : !escaped;
		if (special)
			r = weigh_special(&w, c, why);
		else
			weigh(&w, 1);
	}
	if (!r && w.copies > REGEXP_COPIES_MAX) {
		buf_printf(why, "its repetitions come to more than %d copies", REGEXP_COPIES_MAX);
		r = -E2BIG;
	}
	return r;
}
