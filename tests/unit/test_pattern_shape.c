/* test_pattern_shape.c: what is plain to see of an expression, which rules an index has for a text, and that answers are the same with both and without. */
#include "tcp_table/pattern_index.h"
#include "tcp_table/table_pattern.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- shapes ---- */

static const struct {
	const char *regex, *head, *tail;
	bool whole;
} shapes[] = {
	{ "^user@example\\.org$", "user@example.org", "user@example.org", true },
	{ "^User\\@Example\\.ORG$", "user@example.org", "user@example.org", true },
	{ "^$", "", "", true },
	{ "", "", "", false },
	{ "@example\\.org$", "", "@example.org", false },
	{ "^postmaster@", "postmaster@", "", false },
	{ "plain", "", "", false },
	{ "^a.b$", "a", "b", false },
	{ "^(.*)@x\\.org$", "", "@x.org", false },
	{ "(^|\\.)dyn[0-9]+\\.example\\.org$", "", ".example.org", false },
	{ "^(?:a|b)c$", "", "c", false },
	{ "(a|b)(c|d)$", "", "", false },
	/* What may be there or not, or more than once. */
	{ "^abc*$", "ab", "", false },
	{ "^abc?d$", "ab", "d", false },
	{ "^ab+c$", "a", "c", false },
	{ "^ab{2}c$", "a", "c", false },
	{ "^ab{2,}?c$", "a", "c", false },
	{ "^a\\.?b$", "a", "b", false },
	{ "^(ab)?c$", "", "c", false },
	{ "^[ab]?c$", "", "c", false },
	{ "^a[]x]b$", "a", "b", false },
	{ "^a[^]x]b$", "a", "b", false },
	{ "^a[[:alpha:]$]b$", "a", "b", false },
	{ "^a[b]$", "a", "", false },
	/* Several ways. */
	{ "^a|b$", "", "", false },
	{ "a$|^b$", "", "", false },
	{ "^(a|b$", "", "", false },
	{ "^a)b$", "", "", false },
	/* Places that are no beginning, and no end. */
	{ "a^b$", "", "b", false },
	{ "^^ab$", "", "ab", false },
	{ "^ab$c", "", "", false },
	{ "^(ab$)", "", "", false },
	{ "^ab$*", "", "", false },
	{ "^*ab", "", "", false },
	{ "^a\\", "", "", false },
	{ "^a[b$", "", "", false },
	{ "^a{$", "", "", false },
	{ "^a{,3}$", "", "", false },
	{ "^\xc3\xa9t\xc3\xa9@x$", "", "@x", false },
	{ "^a\\\xc3$", "", "", false },
};

static const struct {
	const char *regex, *head, *tail;
} perl[] = {
	{ "^a\\d+b$", "a", "b" }, { "^a\\bb$", "a", "b" }, { "^a[\\]]b$", "a", "b" }, { "^a\\<b$", "a<b", "a<b" },
	/* What changes what follows, or has other names for things. */
	{ "(?i)^a$", "", "" }, { "^(?i)a$", "", "" }, { "(*UTF)^a$", "", "" }, { "^a(*ACCEPT)b$", "", "" }, { "^a(?#b)$", "", "" }, { "^a(?=b)$", "", "" },
	{ "^\\Qa.b\\E$", "", "" }, { "^a\\x41$", "", "" }, { "^a\\101$", "", "" }, { "^(a)\\1$", "", "" }, { "^a\\Kb$", "", "" }, { "^a\\c|b$", "", "" },
	{ "^a[\\Q]|[\\E]b$", "", "" }, { "^a[[:b]$", "", "" }, { "a\\z", "", "" }, { "\\Aa", "", "" },
}, posix[] = {
	{ "^a\\d+b$", "", "" }, { "^a\\<b$", "", "" }, { "^a[\\]b$", "a", "b" }, { "^a\\w$", "", "" }, { "^a(*b)$", "", "" }, { "^a(?:b)$", "", "" }, { "^a\\|b$", "a|b", "a|b" },
	{ "^a[[.-.]]b$", "", "" }, { "^a[[=a=]]b$", "a", "b" },
};

static void expect_shape(enum pattern_syntax syntax, const char *regex, const char *head, const char *tail)
{
	struct pattern_shape s;
	pattern_shape(syntax, false, regex, &s);
	print_message("[ case     ] %s: %.*s...%.*s\n", regex, (int)s.head_n, s.head, (int)s.tail_n, s.tail);
	assert_true(bytes_eq(bytes_make(s.head, s.head_n), bytes_of(head)));
	assert_true(bytes_eq(bytes_make(s.tail, s.tail_n), bytes_of(tail)));
}

static void test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(shapes); i++)
		for (int syntax = 0; syntax < 2; syntax++) {
			struct pattern_shape s;
			/* What begins a group differs. */
			if (syntax == PATTERN_POSIX && strstr(shapes[i].regex, "(?"))
				continue;
			expect_shape(syntax, shapes[i].regex, shapes[i].head, shapes[i].tail);
			pattern_shape(syntax, false, shapes[i].regex, &s);
			assert_int_equal(s.whole, shapes[i].whole);
		}
	for (size_t i = 0; i < COUNT_OF(perl); i++)
		expect_shape(PATTERN_PERL, perl[i].regex, perl[i].head, perl[i].tail);
	for (size_t i = 0; i < COUNT_OF(posix); i++)
		expect_shape(PATTERN_POSIX, posix[i].regex, posix[i].head, posix[i].tail);
}

static void test_anchored(void **state)
{
	(void)state;
	struct pattern_shape s;
	pattern_shape(PATTERN_PERL, true, "ab.", &s);
	assert_true(s.head_n == 2 && s.tail_n == 0 && !s.whole);
	pattern_shape(PATTERN_PERL, true, "ab$", &s);
	assert_true(s.head_n == 2 && s.tail_n == 2 && s.whole);
}

/* The head is the first bytes, and the tail the last. */
static void test_long(void **state)
{
	(void)state;
	char regex[2 * PATTERN_SHAPE_MAX + 8];
	struct pattern_shape s;
	for (unsigned n = PATTERN_SHAPE_MAX - 1; n < 2 * PATTERN_SHAPE_MAX; n++) {
		regex[0] = '^';
		for (unsigned i = 0; i < n; i++)
			regex[1 + i] = (char)('a' + i % 26);
		memcpy(regex + 1 + n, "$", 2);
		pattern_shape(PATTERN_PERL, false, regex, &s);
		assert_int_equal(s.whole, n <= PATTERN_SHAPE_MAX);
		assert_int_equal(s.head_n, n < PATTERN_SHAPE_MAX ? n : PATTERN_SHAPE_MAX);
		assert_int_equal(s.tail_n, s.head_n);
		assert_memory_equal(s.head, regex + 1, s.head_n);
		assert_memory_equal(s.tail, regex + 1 + n - s.tail_n, s.tail_n);
	}
}

/* ---- the index ---- */

static unsigned seed;

static unsigned draw(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static unsigned draw_text(char *to, unsigned most)
{
	unsigned n = draw(most + 1);
	for (unsigned i = 0; i < n; i++)
		to[i] = "ab"[draw(2)];
	return n;
}

static bool shape_allows(const struct pattern_shape *s, struct bytes text)
{
	struct bytes without = text;
	if (bytes_ends(text, BYTES("\n")))
		without.n--;
	struct bytes head = bytes_make(s->head, s->head_n), tail = bytes_make(s->tail, s->tail_n);
	if (head.n == 0 && tail.n == 0)
		return true;
	return (head.n == 0 || bytes_starts(text, head)) && (tail.n == 0 || bytes_ends(text, tail) || bytes_ends(without, tail));
}

enum { RULES = 300 };

/* All that the shapes allow, and hardly any others; in order; from wherever it is asked. */
static void expect_candidates(const struct pattern_index *x, const struct pattern_shape *shapes_of, struct bytes text, unsigned *ret_extra)
{
	struct pattern_candidates c;
	uint32_t from = 0, next;

	pattern_candidates_init(&c, x, text);
	while ((next = pattern_candidates_next(&c, from)) != PATTERN_NO_RULE) {
		assert_true(next >= from && next < RULES);
		for (; from < next; from++)
			assert_false(shape_allows(&shapes_of[from], text));
		*ret_extra += !shape_allows(&shapes_of[next], text);
		from = next + 1;
		/* An if that does not hold. */
		if (draw(8) == 0)
			from += draw(60);
	}
	for (; from < RULES; from++)
		assert_false(shape_allows(&shapes_of[from], text));
}

static void test_index(void **state)
{
	(void)state;
	static struct pattern_shape of[RULES];
	unsigned extra = 0;
	seed = 1;
	for (unsigned round = 0; round < 200; round++) {
		struct pattern_index x = { 0 };
		unsigned always = draw(3);
		for (unsigned i = 0; i < RULES; i++) {
			of[i] = (struct pattern_shape){ 0 };
			/* One of the two is what counts; the index need not look at the other. */
			if (draw(4) >= always)
				*(draw(2) ? &of[i].head_n : &of[i].tail_n) = 1;
			if (of[i].head_n)
				of[i].head_n = draw_text(of[i].head, 80);
			if (of[i].tail_n)
				of[i].tail_n = draw_text(of[i].tail, 80);
			if (draw(2) && of[i].head_n > 4)
				of[i].head_n = 4;
			if (draw(2) && of[i].tail_n > 4)
				of[i].tail_n = 4;
			pattern_index_add(&x, draw(20) ? &of[i] : memset(&of[i], 0, sizeof of[i]));
		}
		pattern_index_seal(&x);
		for (unsigned i = 0; i < 50; i++) {
			char text[201];
			const struct pattern_shape *s = &of[draw(RULES)];
			unsigned n = draw_text(text, 100);
			if (draw(2) && s->head_n) {
				memcpy(text, s->head, s->head_n);
				n = n > s->head_n ? n : s->head_n;
			} else if (draw(2) && s->tail_n) {
				memcpy(text + n, s->tail, s->tail_n);
				n += s->tail_n;
			}
			if (draw(4) == 0)
				text[n++] = '\n';
			expect_candidates(&x, of, bytes_make(text, n), &extra);
		}
		pattern_index_fini(&x);
	}
	print_message("[ case     ] %u rules too many\n", extra);
}

static void test_index_empty(void **state)
{
	(void)state;
	struct pattern_index x = { 0 };
	struct pattern_candidates c;
	pattern_index_seal(&x);
	pattern_candidates_init(&c, &x, BYTES("a"));
	assert_int_equal(pattern_candidates_next(&c, 0), PATTERN_NO_RULE);
	pattern_index_fini(&x);
}

/* ---- the whole: the same answers with all of that and without ---- */

static void put_piece(struct buf *b, unsigned depth);

static void put_class(struct buf *b)
{
	static const char *const classes[] = { "[ab]", "[^a]", "[]a]", "[^]]", "[[:alpha:]]", "[a.@]", "[a-b]", "[$^]", "[\\]a]", "[[.a.]]", "[\\w]", "[|(]", "[\\Q]|\\E]", "[\\E^]a]" };
	buf_add_str(b, classes[draw(COUNT_OF(classes))]);
}

static void put_atom(struct buf *b, unsigned depth)
{
	static const char *const atoms[] = { "a", "a", "b", "b", "A", "@", "\\.", ".", "\\@", "-", "$", "^", "\\b", "\\w", "\\d", "\\n", "\xc3", " ", "#", "\\$", "\\x61",
		"\\Qa", "\\E", "\\z", "\\A", "\\1", "{", "}", "]", "\\K", "(?i)", "(?#a)", "(*ACCEPT)", "(?=a)", "(?!b)", "(?<=a)", "\\<", "\\`", "k", "s", "\n", "\\|" };
	unsigned n = draw(10);
	if (n < 7)
		buf_add_str(b, atoms[draw(draw(4) ? 8 : COUNT_OF(atoms))]);
	else if (n < 8)
		put_class(b);
	else if (depth < 3) {
		buf_add_str(b, draw(3) ? "(" : "(?:");
		put_piece(b, depth + 1);
		buf_add_char(b, ')');
	}
}

static void put_piece(struct buf *b, unsigned depth)
{
	static const char *const quantifiers[] = { "*", "+", "?", "{2}", "{0,1}", "*?", "++", "{,2}", "{1", "?" };
	for (unsigned n = draw(5); n > 0; n--) {
		put_atom(b, depth);
		if (draw(6) == 0)
			buf_add_str(b, quantifiers[draw(COUNT_OF(quantifiers))]);
		if (draw(12) == 0)
			buf_add_char(b, '|');
	}
}

static void put_pattern(struct buf *b)
{
	if (draw(6) == 0)
		buf_add_char(b, '!');
	buf_add_char(b, '/');
	if (draw(30) == 0)
		buf_add_str(b, "(*UTF)");
	if (draw(2))
		buf_add_char(b, '^');
	put_piece(b, 0);
	if (draw(2))
		buf_add_char(b, '$');
	buf_add_char(b, '/');
	while (draw(4) == 0)
		buf_add_char(b, "imsxAEU"[draw(7)]);
}

static void put_file(struct buf *b)
{
	unsigned rules = 1 + draw(12);
	for (unsigned i = 0; i < rules; i++) {
		unsigned sort = draw(10);
		if (sort == 0) {
			buf_add_str(b, "if ");
			put_pattern(b);
			buf_add_char(b, '\n');
		} else if (sort == 1) {
			buf_add_str(b, "endif\n");
		} else {
			put_pattern(b);
			buf_printf(b, " rule %u%s\n", i, draw(3) ? "" : " $1");
		}
	}
}

static void put_key(struct buf *b)
{
	static const char letters[] = "aabbAB@.-$^ks |{1\n";
	for (unsigned n = 1 + draw(8); n > 0; n--)
		buf_add_char(b, letters[draw(draw(3) ? 8 : sizeof letters - 1)]);
	if (draw(20) == 0)
		buf_add_str(b, "\xe2\x84\xaa");         /* KELVIN SIGN: with Unicode, a "k" */
	if (draw(10) == 0)
		buf_add_char(b, '\n');
}

static void *load(const struct pattern_engine *engine, const struct buf *file)
{
	struct table_notes notes = { .file = "file" };
	char *text = bytes_dup(buf_bytes(file));
	void *content = pattern_load(engine, text, file->n, &notes);
	mem_free(text);
	table_notes_fini(&notes);
	return content;
}

struct answer {
	int r;
	struct buf value, err;
};

static struct answer ask(int (*get)(const void *, struct bytes, struct buf *, struct buf *), const void *content, const struct buf *key)
{
	struct answer a = { 0 };
	a.r = get(content, buf_bytes(key), &a.value, &a.err);
	assert_true(a.r <= 1 && (a.r == 1 || a.value.n == 0));
	return a;
}

static void answer_fini(struct answer *a)
{
	buf_fini(&a->value);
	buf_fini(&a->err);
}

static bool answers_agree(const struct answer *a, const struct answer *bare)
{
	/* A rule that could not be told of may not have come into question. */
	if (bare->r < 0)
		return true;
	return a->r == bare->r && bytes_eq(buf_bytes(&a->value), buf_bytes(&bare->value));
}

static void compare(const struct buf *file, const struct buf *key, const void *content, const void *bare, unsigned *found)
{
	struct answer a = ask(pattern_get, content, key), b = ask(pattern_get, bare, key), c = ask(pattern_get_at_once, content, key);
	if (!answers_agree(&a, &b) || (c.r != -EAGAIN && !answers_agree(&c, &b)))
		print_message("%s\n-> %.*s: %d %.*s, not %d %.*s\n", buf_str((struct buf *)file), BYTES_ARG(buf_bytes(key)), a.r, BYTES_ARG(buf_bytes(&a.value)), b.r,
			      BYTES_ARG(buf_bytes(&b.value)));
	assert_true(answers_agree(&a, &b));
	assert_true(c.r == -EAGAIN ? c.err.n == 0 : answers_agree(&c, &b));
	*found += b.r == 1;
	answer_fini(&a);
	answer_fini(&b);
	answer_fini(&c);
}

static void expect_same(const struct pattern_engine *engine, unsigned files)
{
	struct pattern_engine bare = *engine;
	unsigned found = 0, all = 0;
	bare.shape = NULL;
	bare.needs = NULL;
	seed = 2;
	for (unsigned i = 0; i < files; i++) {
		struct buf file = { 0 };
		put_file(&file);
		void *content = load(engine, &file), *without = load(&bare, &file);
		for (unsigned j = 0; j < 40; j++, all++) {
			struct buf key = { 0 };
			put_key(&key);
			compare(&file, &key, content, without, &found);
			buf_fini(&key);
		}
		pattern_unload(content);
		pattern_unload(without);
		buf_fini(&file);
	}
	print_message("[ case     ] %u keys, %u found\n", all, found);
	assert_true(found > all / 10 && found < all);
}

static void test_same_pcre(void **state)
{
	(void)state;
	expect_same(&pcre_engine, 2500);
}

static void test_same_regexp(void **state)
{
	(void)state;
	expect_same(&regexp_engine, 1000);
}

/* Often enough for machine code. */
static void test_often(void **state)
{
	(void)state;
	struct buf file = { 0 };
	buf_add_str(&file, "/^(a+)b(c?)$/ $1-$2\n/b/ b\n");
	void *content = load(&pcre_engine, &file);
	for (unsigned i = 0; i < 1000; i++) {
		static const char *const keys[][2] = { { "aab", "aa-" }, { "ABC", "A-C" }, { "xb", "b" }, { "x", "" } };
		struct buf value = { 0 }, err = { 0 };
		int r = pattern_get(content, bytes_of(keys[i % 4][0]), &value, &err);
		assert_int_equal(r, i % 4 != 3);
		assert_string_equal(buf_str(&value), keys[i % 4][1]);
		buf_fini(&value);
		buf_fini(&err);
	}
	pattern_unload(content);
	buf_fini(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes), cmocka_unit_test(test_anchored), cmocka_unit_test(test_long), cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_empty), cmocka_unit_test(test_same_pcre), cmocka_unit_test(test_same_regexp), cmocka_unit_test(test_often),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
