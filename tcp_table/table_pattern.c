/*
 * table_pattern.c: pcre_table(5) and regexp_table(5).
 *
 *	/pattern/flags value
 *	!/pattern/flags value
 *	if /pattern/flags
 *	if !/pattern/flags
 *	endif
 *
 * Any character that is no letter, digit or blank may stand for the slash.  Rules are tried in the order of the file; those between if and endif only when
 * the if holds.  In the value $1 to $99, ${1} and $(1) are what the groups matched, and $$ is a dollar.  A rule that is
 * wrong is noted and left out.
 *
 * That is what the answer looks like; but a file may have a million rules, so few of them are really tried.  Most expressions say plainly how a key begins or
 * ends that they match (pattern_shape.h): of those an index has the ones that come into question (pattern_index.h).  Of the others the engine knows
 * bytes that must be in the key (struct pattern_needs).  An expression that is nothing but text, "^user@example\.org$", is that text, and no engine is
 * needed.  Rules that are negated, and ifs, which decide what is tried at all, are always tried.
 */
#include "tcp_table/table_pattern.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"
#include "tcp_table/pattern_index.h"
#include "tcp_table/table_pool.h"
#include "tcp_table/table_template.h"

#include <errno.h>
#include <time.h>

/* A million of them: each byte counts. */
struct pattern {
	void *regex;                    /* the engine's; or a C string without regard to case; NULL: there is none */
	struct pattern_needs needs;
	bool negated, plain;            /* plain: the string */
};
struct pattern_rule {
	struct pattern first;
	struct pattern *second;         /* NULL: there is none */
	unsigned line;
	uint32_t value;                 /* in the pool */
	uint32_t endif;                 /* IF: the rule behind its end.  While loading: the IF around it, plus one */
	bool is_if;
	unsigned char groups;           /* the highest that the value names */
};
struct pattern_table {
	const struct pattern_engine *engine;
	struct pattern_rule *rules;
	unsigned count, cap;
	struct pattern_index index;
	struct table_pool values;       /* each once */
	struct arena arena;
};

struct pattern_loading {
	struct pattern_table *table;
	struct table_notes *notes;
	unsigned line;
	unsigned open;                  /* the innermost IF without ENDIF so far, plus one */
	struct buf why;                 /* what is wrong with the line at hand */
};

/* ---- one pattern ---- */

/* The expression up to its closing delimiter, which a backslash hides.  *REST is what follows. */
static int pattern_delimited(struct bytes *rest, struct bytes *ret)
{
	struct bytes b = *rest;
	size_t n = 1;

	while (n < b.n && b.p[n] != b.p[0])
		n += b.p[n] == '\\' ? 2 : 1;
	if (n >= b.n)
		return -EINVAL;
	*ret = bytes_make(b.p + 1, n - 1);
	*rest = bytes_skip(b, n + 1);
	return 0;
}

struct pattern_parsed {
	struct pattern pattern;
	struct pattern_shape shape;     /* of the keys for which it holds */
	unsigned groups;
};

/* An expression that its compiler has to understand. */
static int pattern_compile(struct pattern_loading *l, const char *text, struct bytes flags, struct pattern_parsed *to)
{
	const struct pattern_engine *engine = l->table->engine;
	int r = engine->compile(text, flags, &to->pattern.regex, &to->groups, &l->why);
	if (r == 0 && engine->needs && !to->pattern.negated)
		engine->needs(to->pattern.regex, &to->pattern.needs);
	return r;
}

static int pattern_make(struct pattern_loading *l, const char *text, struct bytes flags, struct pattern_parsed *to)
{
	const struct pattern_engine *engine = l->table->engine;
	bool known = engine->shape && engine->shape(text, flags, &to->shape);
	int r = 0;

	to->groups = 0;
	to->pattern.plain = known && to->shape.whole;
	if (to->pattern.plain)
		to->pattern.regex = arena_str(&l->table->arena, bytes_make(to->shape.head, to->shape.head_n));
	else
		r = pattern_compile(l, text, flags, to);
	if (!known || to->pattern.negated)
		to->shape.head_n = to->shape.tail_n = 0;
	return r;
}

/* [!] /expression/ flags */
static int pattern_parse(struct pattern_loading *l, struct bytes *rest, struct pattern_parsed *ret)
{
	struct bytes regex, flags;

	ret->pattern = (struct pattern){ 0 };
	for (; rest->n && (*rest->p == '!' || table_space(*rest->p)); *rest = bytes_skip(*rest, 1))
		ret->pattern.negated ^= *rest->p == '!';
	if (rest->n == 0 || pattern_delimited(rest, &regex) < 0) {
		buf_add_str(&l->why, rest->n ? "the closing delimiter is missing" : "there is no pattern");
		return -EINVAL;
	}
	flags = *rest;
	for (flags.n = 0; flags.n < rest->n && !table_space(rest->p[flags.n]) && !(l->table->engine->second && rest->p[flags.n] == '!');)
		flags.n++;
	*rest = bytes_skip(*rest, flags.n);
	char *text = bytes_dup(regex);
	int r = pattern_make(l, text, flags, ret);
	mem_free(text);
	return r;
}

static void pattern_release(const struct pattern_engine *engine, const struct pattern *p)
{
	if (p && p->regex && !p->plain)
		engine->release(p->regex);
}

static void pattern_rule_release(const struct pattern_engine *engine, const struct pattern_rule *rule)
{
	pattern_release(engine, &rule->first);
	pattern_release(engine, rule->second);
}

/* ---- rules ---- */

/* SHAPE: of the keys for which it need be tried; NULL: all. */
static void pattern_push(struct pattern_table *t, const struct pattern_rule *rule, const struct pattern_shape *shape)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->rules = mem_array(t->rules, t->cap, sizeof *t->rules);
	}
	t->rules[t->count++] = *rule;
	pattern_index_add(&t->index, shape);
}

static int pattern_value(struct pattern_loading *l, struct bytes text, unsigned groups, struct pattern_rule *rule)
{
	unsigned highest;
	int r = table_template_check(text, &highest, &l->why);
	if (r < 0)
		return r;
	if (highest && rule->first.negated) {
		buf_add_str(&l->why, "nothing has matched that a $number could stand for");
		return -EINVAL;
	}
	if (highest > groups || highest >= PATTERN_SPANS) {
		buf_printf(&l->why, "there is no group $%u", highest);
		return -EINVAL;
	}
	if (text.n == 0)
		table_note(l->notes, l->line, "a pattern without a value: the value is empty");
	rule->groups = (unsigned char)highest;
	rule->value = table_pool_find(&l->table->values, text);
	if (!rule->value)
		rule->value = table_pool_add(&l->table->values, text);
	return 0;
}

static int pattern_second(struct pattern_loading *l, struct bytes *rest, struct pattern_rule *rule)
{
	struct pattern_parsed second;
	int r = pattern_parse(l, rest, &second);
	if (r < 0)
		return r;
	rule->second = arena_alloc(&l->table->arena, sizeof *rule->second);
	*rule->second = second.pattern;
	return 0;
}

static int pattern_match_line(struct pattern_loading *l, struct bytes rest)
{
	const struct pattern_engine *engine = l->table->engine;
	struct pattern_rule rule = { .line = l->line };
	struct pattern_parsed first;

	int r = pattern_parse(l, &rest, &first);
	if (r < 0)
		return r;
	rule.first = first.pattern;
	if (engine->second && bytes_starts(rest, BYTES("!")))
		r = pattern_second(l, &rest, &rule);
	if (r == 0)
		r = pattern_value(l, table_trim(rest), first.groups, &rule);
	if (r == 0)
		pattern_push(l->table, &rule, &first.shape);
	else
		pattern_rule_release(engine, &rule);
	return r;
}

static int pattern_if_line(struct pattern_loading *l, struct bytes rest)
{
	struct pattern_rule rule = { .is_if = true, .line = l->line, .endif = l->open };
	struct pattern_parsed parsed;

	int r = pattern_parse(l, &rest, &parsed);
	if (r < 0)
		return r;
	if (table_trim(rest).n)
		table_note(l->notes, l->line, "what follows the pattern of IF is ignored");
	rule.first = parsed.pattern;
	pattern_push(l->table, &rule, NULL);
	l->open = l->table->count;
	return 0;
}

static int pattern_endif_line(struct pattern_loading *l, struct bytes rest)
{
	if (l->open == 0) {
		buf_add_str(&l->why, "ENDIF without IF");
		return -EINVAL;
	}
	if (rest.n)
		table_note(l->notes, l->line, "what follows ENDIF is ignored");
	struct pattern_rule *opened = &l->table->rules[l->open - 1];
	l->open = opened->endif;
	opened->endif = l->table->count;
	return 0;
}

static int pattern_line(struct pattern_loading *l, struct bytes line)
{
	struct bytes rest;

	if (bytes_find(line, '\0') >= 0) {
		buf_add_str(&l->why, "the line holds NUL");
		return -EINVAL;
	}
	if (!table_alnum(*line.p))
		return pattern_match_line(l, line);
	if (table_keyword(line, BYTES("endif"), &rest))
		return pattern_endif_line(l, rest);
	if (table_keyword(line, BYTES("if"), &rest))
		return pattern_if_line(l, rest);
	buf_add_str(&l->why, "neither a pattern nor IF nor ENDIF");
	return -EINVAL;
}

/* An IF without ENDIF reaches to the end of the file. */
static void pattern_close_ifs(struct pattern_loading *l)
{
	while (l->open) {
		struct pattern_rule *opened = &l->table->rules[l->open - 1];
		l->open = opened->endif;
		opened->endif = l->table->count;
		table_note(l->notes, opened->line, "IF has no ENDIF");
	}
}

void *pattern_load(const struct pattern_engine *engine, char *text, size_t n, struct table_notes *notes)
{
	struct pattern_table *t = NEW(struct pattern_table);
	struct pattern_loading l = { .table = t, .notes = notes };
	struct table_lines lines;
	struct bytes line;

	t->engine = engine;
	table_lines_init(&lines, bytes_make(text, n));
	while (table_lines_next(&lines, &line)) {
		l.line = lines.line;
		buf_clear(&l.why);
		if (lines.orphan)
			table_note(notes, l.line, "a line that begins with white space continues nothing and is ignored");
		else if (pattern_line(&l, table_trim(line)) < 0)
			table_note(notes, l.line, "the rule is ignored: %s", buf_str(&l.why));
	}
	pattern_close_ifs(&l);
	table_lines_fini(&lines);
	buf_fini(&l.why);
	t->rules = mem_array(t->rules, t->count, sizeof *t->rules);
	pattern_index_seal(&t->index);
	table_pool_forget(&t->values);
	return t;
}

void pattern_unload(void *content)
{
	struct pattern_table *t = content;
	for (unsigned i = 0; i < t->count; i++)
		pattern_rule_release(t->engine, &t->rules[i]);
	mem_free(t->rules);
	pattern_index_fini(&t->index);
	table_pool_fini(&t->values);
	arena_fini(&t->arena);
	mem_free(t);
}

/* ---- asking ---- */

/* At once so many rules are looked at, and so many expressions tried, at most, and none any more after so many ns. */
enum { PATTERN_LOOKS = 4096, PATTERN_TRIES = 64, PATTERN_TIME = 1000000 };

struct pattern_asking {
	const struct pattern_table *table;
	struct pattern_try try;
	struct bytes folded;            /* the key without regard to case */
	bool has[256];                  /* bytes, in FOLDED */
	struct pattern_candidates candidates;
	unsigned looks, tries;          /* that are left */
	int64_t until;                  /* 0: the time has not begun */
	struct pattern_span spans[PATTERN_SPANS];
	struct buf why;
};

static char *pattern_fold(struct pattern_asking *a, struct bytes key)
{
	char *folded = bytes_dup(key);
	for (size_t i = 0; i < key.n; i++) {
		if (folded[i] >= 'A' && folded[i] <= 'Z')
			folded[i] |= 0x20;
		a->has[(unsigned char)folded[i]] = true;
	}
	/* What is not needed is there. */
	a->has[0] = true;
	return folded;
}

/* "^text$" */
static bool pattern_plain_matches(const struct pattern_asking *a, const char *text)
{
	size_t n = strlen(text);
	struct bytes rest = a->folded;
	if (rest.n < n || memcmp(rest.p, text, n) != 0)
		return false;
	rest = bytes_skip(rest, n);
	return rest.n == 0 || (a->table->engine->final_newline && bytes_eq(rest, BYTES("\n")));
}

/* Is what may be done at once at its end?  If not, one more expression is tried. */
static bool pattern_spent(struct pattern_asking *a)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t now = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
	if (!a->until)
		a->until = now + PATTERN_TIME;
	return now > a->until || a->tries-- == 0;
}

/* 1, 0 or -errno: as match(). */
static int pattern_try(struct pattern_asking *a, const struct pattern *p, unsigned groups)
{
	const struct pattern_engine *engine = a->table->engine;
	const struct pattern_needs *needs = &p->needs;

	if (p->plain)
		return pattern_plain_matches(a, p->regex);
	if (a->try.key.n < needs->length || !a->has[(unsigned char)needs->bytes[0]] || !a->has[(unsigned char)needs->bytes[1]])
		return 0;
	if (a->try.at_once && (!engine->at_once || pattern_spent(a)))
		return -EAGAIN;
	if (engine->begin && !a->try.scratch)
		a->try.scratch = engine->begin();
	return engine->match(p->regex, &a->try, a->spans, groups ? groups + 1 : 0, &a->why);
}

/* Does the pattern hold, negation counted?  -errno: that cannot be told. */
static int pattern_holds(struct pattern_asking *a, const struct pattern *p, unsigned groups)
{
	int r = pattern_try(a, p, groups);
	return r < 0 ? r : (r == 1) != p->negated;
}

static int pattern_rule_holds(struct pattern_asking *a, const struct pattern_rule *rule)
{
	/* The second pattern has no groups: it leaves the spans of the first alone. */
	int r = pattern_holds(a, &rule->first, rule->groups);
	return r == 1 && rule->second ? pattern_holds(a, rule->second, 0) : r;
}

static void pattern_expand(const struct pattern_asking *a, const struct pattern_rule *rule, struct buf *ret)
{
	struct bytes rest = bytes_of(table_pool_str(&a->table->values, rule->value)), key = a->try.key;
	struct table_piece piece;

	while (table_template_next(&rest, &piece) == 1) {
		if (piece.group == 0)
			buf_add(ret, piece.text);
		else if (a->spans[piece.group].to != SIZE_MAX)
			buf_add(ret, bytes_make(key.p + a->spans[piece.group].from, a->spans[piece.group].to - a->spans[piece.group].from));
	}
}

static int pattern_walk(struct pattern_asking *a, const struct pattern_rule **ret)
{
	uint32_t i = 0;

	pattern_candidates_init(&a->candidates, &a->table->index, a->folded);
	while ((i = pattern_candidates_next(&a->candidates, i)) != PATTERN_NO_RULE) {
		const struct pattern_rule *rule = &a->table->rules[i];
		*ret = rule;
		if (a->try.at_once && a->looks-- == 0)
			return -EAGAIN;
		int r = pattern_rule_holds(a, rule);
		if (r < 0 || (r == 1 && !rule->is_if))
			return r;
		i = rule->is_if && r == 0 ? rule->endif : i + 1;
	}
	return 0;
}

static int pattern_ask(const struct pattern_table *t, const struct pattern_try *try, struct buf *ret, struct buf *err)
{
	struct pattern_asking *a = NEW(struct pattern_asking);
	const struct pattern_rule *rule;
	char *folded = pattern_fold(a, try->key);

	a->table = t;
	a->try = *try;
	a->folded = bytes_make(folded, try->key.n);
	a->looks = PATTERN_LOOKS;
	a->tries = PATTERN_TRIES;
	int r = pattern_walk(a, &rule);
	if (r == 1)
		pattern_expand(a, rule, ret);
	else if (r < 0 && !try->at_once)
		buf_printf(err, "the rule in line %u gave no answer: %s", rule->line, buf_str(&a->why));
	if (a->try.scratch)
		t->engine->end(a->try.scratch);
	buf_fini(&a->why);
	mem_free(folded);
	mem_free(a);
	return r < 0 && try->at_once ? -EAGAIN : r;
}

static int pattern_get_within(const void *content, struct bytes key, bool at_once, struct buf *ret, struct buf *err)
{
	char *text = bytes_dup(key);
	int r = pattern_ask(content, &(struct pattern_try){ .key = bytes_make(text, key.n), .at_once = at_once }, ret, err);
	mem_free(text);
	return r;
}

int pattern_get(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	return pattern_get_within(content, key, false, ret, err);
}

int pattern_get_at_once(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	return pattern_get_within(content, key, true, ret, err);
}
