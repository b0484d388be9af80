/*
 * sieve_string.c: strings with variables in them (RFC 5229 section 3).
 *
 *	variable-ref    = "${" [namespace] variable-name "}"
 *	namespace       = identifier "." *sub-namespace         ; sub-namespace = variable-name "."
 *	variable-name   = num-variable / identifier             ; num-variable = 1*DIGIT
 *
 * What looks like a reference but does not fit the grammar is left as it is.
 */
#include "sieve/sieve_private.h"

#include <errno.h>

bool sieve_string_constant(const struct sieve_string *s)
{
	return s->piece_count == 0;
}

/* ---- compiling ---- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_identifier(struct bytes b)
{
	if (!b.n || !is_letter(b.p[0]))
		return false;
	for (size_t i = 1; i < b.n; i++)
		if (!is_letter(b.p[i]) && !is_digit(b.p[i]))
			return false;
	return true;
}

static bool is_number(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!is_digit(b.p[i]))
			return false;
	return b.n;
}

/* Is this what may stand between "${" and "}"? */
static bool is_reference(struct bytes b)
{
	bool first = true;
	while (bytes_find(b, '.') >= 0) {
		struct bytes part = bytes_cut(&b, '.');
		if (!is_identifier(part) && (first || !is_number(part)))
			return false;
		first = false;
	}
	return is_identifier(b) || is_number(b);
}

static unsigned own_slot(struct sieve_compiler *c, struct bytes name)
{
	unsigned *slot = strmap_get(&c->own, name);
	if (!slot) {
		slot = ARENA_NEW(&c->scratch, unsigned);
		*slot = (unsigned)c->own.n;
		strmap_set(&c->own, name, slot);
	}
	return *slot;
}

static int host_variable(struct sieve_compiler *c, struct sieve_pos pos, struct bytes ref, struct sieve_host_variable *ret)
{
	const struct sieve_host *h = c->params->host;
	size_t dot = (size_t)bytes_rfind(ref, '.');
	if (!h->variable || h->variable(c->params->arg, bytes_first(ref, dot), bytes_skip(ref, dot + 1), ret) < 0)
		return sieve_complain_unknown(c, pos, "variable", ref);
	if (!ret->needs)
		return 0;
	return sieve_compiler_needs(c, pos, ret->needs, arena_printf(&c->scratch, "\"${%.*s}\"", BYTES_ARG(bytes_first(ref, 60))));
}

static int compile_reference(struct sieve_compiler *c, struct sieve_pos pos, struct bytes ref, struct sieve_piece *ret)
{
	if (is_number(ref)) {
		uint64_t index;
		if (bytes_to_u64(ref, SIEVE_CAPTURES - 1, &index) < 0)
			return sieve_complain(c, pos, "\"${%.*s}\" is beyond the last match variable, ${%d}", BYTES_ARG(bytes_first(ref, 60)),
			    SIEVE_CAPTURES - 1);
		*ret = (struct sieve_piece){ .kind = SIEVE_PIECE_CAPTURE, .id = (unsigned)index };
	} else if (bytes_find(ref, '.') >= 0) {
		struct sieve_host_variable v = { 0 };
		int r = host_variable(c, pos, ref, &v);
		if (r)
			return r;
		*ret = (struct sieve_piece){ .kind = SIEVE_PIECE_HOST, .id = v.id };
	} else {
		*ret = (struct sieve_piece){ .kind = SIEVE_PIECE_OWN, .id = own_slot(c, ref) };
	}
	return 0;
}

/* The next reference in TEXT: where its "${" begins, and *RET is what stands within.  -1: none. */
static ptrdiff_t find_reference(struct bytes text, struct bytes *ret)
{
	for (size_t at = 0;;) {
		ptrdiff_t open = bytes_search(bytes_skip(text, at), BYTES("${"));
		if (open < 0)
			return -1;
		at += (size_t)open + 2;
		ptrdiff_t length = bytes_find(bytes_skip(text, at), '}');
		if (length < 0)
			return -1;
		*ret = bytes_make(text.p + at, (size_t)length);
		if (is_reference(*ret))
			return (ptrdiff_t)at - 2;
	}
}

static unsigned count_pieces(struct bytes text)
{
	unsigned n = 0;
	struct bytes ref;
	ptrdiff_t at;
	while ((at = find_reference(text, &ref)) >= 0) {
		n += 1 + (at > 0);
		text = bytes_skip(text, (size_t)at + ref.n + 3);
	}
	return n ? n + (text.n > 0) : 0;
}

static int compile_pieces(struct sieve_compiler *c, struct sieve_string *s)
{
	unsigned count = count_pieces(s->text);
	if (!count)
		return 0;
	struct sieve_piece *to = ARENA_ARRAY(&c->script->arena, struct sieve_piece, count);
	struct bytes text = s->text, ref;
	ptrdiff_t at;
	s->pieces = to;
	s->piece_count = count;
	while ((at = find_reference(text, &ref)) >= 0) {
		if (at > 0)
			*to++ = (struct sieve_piece){ .text = bytes_first(text, (size_t)at) };
		int r = compile_reference(c, s->pos, ref, to++);
		if (r)
			return r;
		text = bytes_skip(text, (size_t)at + ref.n + 3);
	}
	if (text.n)
		*to = (struct sieve_piece){ .text = text };
	return 0;
}

static int rewrite(struct sieve_compiler *c, struct sieve_string *s)
{
	const struct sieve_extension *e;
	for (unsigned i = 0; (e = sieve_extension_at(c->params->host, i)); i++) {
		if (!e->rewrite || !sieve_extension_active(c, i))
			continue;
		struct buf out = { 0 };
		int r = e->rewrite(c, s->pos, s->text, &out);
		s->text = arena_bytes(&c->script->arena, buf_bytes(&out));
		buf_fini(&out);
		if (r)
			return r;
	}
	return 0;
}

int sieve_string_compile(struct sieve_compiler *c, const struct sieve_ast_string *in, struct sieve_string *ret)
{
	*ret = (struct sieve_string){ .text = arena_bytes(&c->script->arena, in->text), .pos = in->pos };
	int r = rewrite(c, ret);
	if (!r && sieve_compiler_requires(c, "variables"))
		r = compile_pieces(c, ret);
	return r;
}

int sieve_compiler_variable(struct sieve_compiler *c, const struct sieve_string *name, struct sieve_variable *ret)
{
	struct bytes word = bytes_first(name->text, 60);
	if (!sieve_compiler_requires(c, "variables"))
		return sieve_complain(c, name->pos, "setting \"%.*s\" needs require \"variables\"", BYTES_ARG(word));
	if (!sieve_string_constant(name) || !is_reference(name->text) || is_number(name->text))
		return sieve_complain(c, name->pos, "\"%.*s\" cannot be the name of a variable", BYTES_ARG(word));
	if (bytes_find(name->text, '.') < 0) {
		*ret = (struct sieve_variable){ .id = own_slot(c, name->text) };
		return 0;
	}
	struct sieve_host_variable v = { 0 };
	int r = host_variable(c, name->pos, name->text, &v);
	if (!r && !v.settable)
		r = sieve_complain(c, name->pos, "\"%.*s\" can be read, but not set", BYTES_ARG(word));
	if (!r)
		r = sieve_compiler_needs(c, name->pos, v.set_needs, arena_printf(&c->scratch, "setting \"%.*s\"", BYTES_ARG(word)));
	if (!r)
		*ret = (struct sieve_variable){ .host = true, .id = v.id };
	return r;
}

/* ---- running ---- */

static struct bytes piece_value(struct sieve_run *r, const struct sieve_piece *p)
{
	switch (p->kind) {
	case SIEVE_PIECE_CAPTURE:
		return p->id < r->capture_count ? r->captures[p->id] : bytes_of("");
	case SIEVE_PIECE_OWN:
		return r->own ? r->own[p->id] : bytes_of("");
	case SIEVE_PIECE_HOST:
		return r->params->script->host->get(r, p->id);
	default:
		return p->text;
	}
}

int sieve_string_get(struct sieve_run *r, const struct sieve_node *n, const struct sieve_string *s, struct bytes *ret)
{
	size_t length = 0;
	if (s->piece_count == 1) {
		*ret = piece_value(r, s->pieces);
		return 0;
	}
	if (!s->piece_count) {
		*ret = s->text;
		return 0;
	}
	for (unsigned i = 0; i < s->piece_count; i++)
		length += piece_value(r, &s->pieces[i]).n;
	if (length > SIEVE_STRING_MAX)
		return sieve_fail(r, n, -E2BIG, "a string with variables came to more than %d bytes", SIEVE_STRING_MAX);
	char *to = arena_alloc(&r->scratch, length + 1);
	*ret = bytes_make(to, length);
	for (unsigned i = 0; i < s->piece_count; i++) {
		struct bytes v = piece_value(r, &s->pieces[i]);
		if (v.n)
			memcpy(to, v.p, v.n);
		to += v.n;
	}
	return sieve_step(r, n, length >> 8);
}

int sieve_variable_set(struct sieve_run *r, const struct sieve_node *n, const struct sieve_variable *v, struct bytes value)
{
	const struct sieve_script *s = r->params->script;
	if (value.n > SIEVE_STRING_MAX)
		return sieve_fail(r, n, -E2BIG, "a variable came to %zu bytes, more than %d", value.n, SIEVE_STRING_MAX);
	if (v->host)
		return s->host->set(r, n, v->id, value);
	if (!r->own)
		r->own = ARENA_ARRAY(&r->scratch, struct bytes, s->own_count);
	r->own[v->id] = value;
	return 0;
}
