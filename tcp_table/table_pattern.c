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
 */
#include "tcp_table/table_pattern.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"
#include "tcp_table/table_template.h"

#include <errno.h>

struct pattern {
	void *regex;                    /* NULL: there is none */
	bool negated;
};
enum pattern_op { PATTERN_MATCH, PATTERN_IF, PATTERN_ENDIF };
struct pattern_rule {
	enum pattern_op op;
	unsigned line;
	struct pattern first, second;
	struct bytes value;             /* in the arena */
	unsigned groups;                /* the highest that the value names */
	unsigned endif;                 /* IF: where it ends; the number of rules: nowhere.  While loading: the IF around it, plus one */
};
struct pattern_table {
	const struct pattern_engine *engine;
	struct pattern_rule *rules;
	unsigned count, cap;
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

/* [!] /expression/ flags */
static int pattern_parse(struct pattern_loading *l, struct bytes *rest, struct pattern *ret, unsigned *ret_groups)
{
	const struct pattern_engine *engine = l->table->engine;
	struct bytes regex, flags;
	struct pattern p = { 0 };

	for (; rest->n && (*rest->p == '!' || table_space(*rest->p)); *rest = bytes_skip(*rest, 1))
		p.negated ^= *rest->p == '!';
	if (rest->n == 0 || pattern_delimited(rest, &regex) < 0) {
		buf_add_str(&l->why, rest->n ? "the closing delimiter is missing" : "there is no pattern");
		return -EINVAL;
	}
	flags = *rest;
	for (flags.n = 0; flags.n < rest->n && !table_space(rest->p[flags.n]) && !(engine->second && rest->p[flags.n] == '!');)
		flags.n++;
	*rest = bytes_skip(*rest, flags.n);
	char *text = bytes_dup(regex);
	int r = engine->compile(text, flags, &p.regex, ret_groups, &l->why);
	mem_free(text);
	if (r == 0)
		*ret = p;
	return r;
}

static void pattern_rule_release(const struct pattern_engine *engine, struct pattern_rule *rule)
{
	if (rule->first.regex)
		engine->release(rule->first.regex);
	if (rule->second.regex)
		engine->release(rule->second.regex);
}

/* ---- rules ---- */

static struct pattern_rule *pattern_push(struct pattern_table *t, const struct pattern_rule *rule)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->rules = mem_array(t->rules, t->cap, sizeof *t->rules);
	}
	t->rules[t->count] = *rule;
	return &t->rules[t->count++];
}

static int pattern_value(struct pattern_loading *l, struct bytes text, unsigned groups, struct pattern_rule *rule)
{
	int r = table_template_check(text, &rule->groups, &l->why);
	if (r < 0)
		return r;
	if (rule->groups && rule->first.negated) {
		buf_add_str(&l->why, "nothing has matched that a $number could stand for");
		return -EINVAL;
	}
	if (rule->groups > groups || rule->groups >= PATTERN_SPANS) {
		buf_printf(&l->why, "there is no group $%u", rule->groups);
		return -EINVAL;
	}
	if (text.n == 0)
		table_note(l->notes, l->line, "a pattern without a value: the value is empty");
	rule->value = arena_bytes(&l->table->arena, text);
	return 0;
}

static int pattern_match_line(struct pattern_loading *l, struct bytes rest)
{
	const struct pattern_engine *engine = l->table->engine;
	struct pattern_rule rule = { .op = PATTERN_MATCH, .line = l->line };
	unsigned groups, ignored;

	int r = pattern_parse(l, &rest, &rule.first, &groups);
	if (r == 0 && engine->second && bytes_starts(rest, BYTES("!")))
		r = pattern_parse(l, &rest, &rule.second, &ignored);
	if (r == 0)
		r = pattern_value(l, table_trim(rest), groups, &rule);
	if (r == 0)
		pattern_push(l->table, &rule);
	else
		pattern_rule_release(engine, &rule);
	return r;
}

static int pattern_if_line(struct pattern_loading *l, struct bytes rest)
{
	struct pattern_rule rule = { .op = PATTERN_IF, .line = l->line, .endif = l->open };
	unsigned ignored;

	int r = pattern_parse(l, &rest, &rule.first, &ignored);
	if (r < 0)
		return r;
	if (table_trim(rest).n)
		table_note(l->notes, l->line, "what follows the pattern of IF is ignored");
	pattern_push(l->table, &rule);
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
	pattern_push(l->table, &(struct pattern_rule){ .op = PATTERN_ENDIF });
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
	return t;
}

void pattern_unload(void *content)
{
	struct pattern_table *t = content;
	for (unsigned i = 0; i < t->count; i++)
		pattern_rule_release(t->engine, &t->rules[i]);
	mem_free(t->rules);
	arena_fini(&t->arena);
	mem_free(t);
}

/* ---- asking ---- */

struct pattern_asking {
	const struct pattern_table *table;
	struct bytes key;
	struct pattern_span spans[PATTERN_SPANS];
	struct buf why;
};

/* Does the pattern hold, negation counted?  -errno: that cannot be told. */
static int pattern_holds(struct pattern_asking *a, const struct pattern *p, unsigned groups)
{
	int r = a->table->engine->match(p->regex, a->key, a->spans, groups ? groups + 1 : 0, &a->why);
	return r < 0 ? r : (r == 1) != p->negated;
}

static int pattern_rule_holds(struct pattern_asking *a, const struct pattern_rule *rule)
{
	/* The second pattern has no groups: it leaves the spans of the first alone. */
	int r = pattern_holds(a, &rule->first, rule->groups);
	return r == 1 && rule->second.regex ? pattern_holds(a, &rule->second, 0) : r;
}

static void pattern_expand(const struct pattern_asking *a, const struct pattern_rule *rule, struct buf *ret)
{
	struct bytes rest = rule->value;
	struct table_piece piece;

	while (table_template_next(&rest, &piece) == 1) {
		if (piece.group == 0)
			buf_add(ret, piece.text);
		else if (a->spans[piece.group].to != SIZE_MAX)
			buf_add(ret, bytes_make(a->key.p + a->spans[piece.group].from, a->spans[piece.group].to - a->spans[piece.group].from));
	}
}

/* An IF whose end is reached without ENDIF stands at the number of rules, and so ends the walk. */
static int pattern_walk(struct pattern_asking *a, const struct pattern_rule **ret)
{
	for (unsigned i = 0; i < a->table->count; i++) {
		const struct pattern_rule *rule = &a->table->rules[i];
		if (rule->op == PATTERN_ENDIF)
			continue;
		int r = pattern_rule_holds(a, rule);
		*ret = rule;
		if (r < 0 || (r == 1 && rule->op == PATTERN_MATCH))
			return r;
		if (rule->op == PATTERN_IF && r == 0)
			i = rule->endif;
	}
	return 0;
}

int pattern_get(const void *content, struct bytes key, struct buf *ret, struct buf *err)
{
	struct pattern_asking *a = NEW(struct pattern_asking);
	const struct pattern_rule *rule;
	char *text = bytes_dup(key);

	a->table = content;
	a->key = bytes_make(text, key.n);
	int r = pattern_walk(a, &rule);
	if (r == 1)
		pattern_expand(a, rule, ret);
	else if (r < 0)
		buf_printf(err, "the rule in line %u gave no answer: %s", rule->line, buf_str(&a->why));
	buf_fini(&a->why);
	mem_free(text);
	mem_free(a);
	return r;
}
