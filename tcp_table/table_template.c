/*
 * table_template.c: regexp_table(5), "TEXT SUBSTITUTION".
 */
#include "tcp_table/table_template.h"

#include "tcp_table/table_lines.h"

#include <errno.h>

/* The name behind the '$' that *REST begins with: a word, or what stands in brackets. */
static int table_template_name(struct bytes *rest, struct bytes *ret)
{
	struct bytes b = bytes_skip(*rest, 1);
	size_t n = 0;

	if (b.n && (*b.p == '{' || *b.p == '(')) {
		ptrdiff_t end = bytes_find(b, *b.p == '{' ? '}' : ')');
		if (end < 0)
			return -EINVAL;
		*ret = bytes_make(b.p + 1, (size_t)end - 1);
		*rest = bytes_skip(b, (size_t)end + 1);
		return 0;
	}
	while (n < b.n && (table_alnum(b.p[n]) || b.p[n] == '_'))
		n++;
	*ret = bytes_first(b, n);
	*rest = bytes_skip(b, n);
	return 0;
}

int table_template_next(struct bytes *rest, struct table_piece *ret)
{
	struct bytes name;
	uint64_t group;

	if (rest->n == 0)
		return 0;
	ptrdiff_t dollar = bytes_find(*rest, '$');
	if (dollar != 0) {
		ret->group = 0;
		ret->text = bytes_first(*rest, dollar < 0 ? rest->n : (size_t)dollar);
		*rest = bytes_skip(*rest, ret->text.n);
		return 1;
	}
	if (rest->n > 1 && rest->p[1] == '$') {
		*ret = (struct table_piece){ .text = bytes_first(*rest, 1) };
		*rest = bytes_skip(*rest, 2);
		return 1;
	}
	if (table_template_name(rest, &name) < 0 || bytes_to_u64(name, 10000, &group) < 0 || group == 0)
		return -EINVAL;
	ret->group = (unsigned)group;
	return 1;
}

int table_template_check(struct bytes text, unsigned *ret_highest, struct buf *why)
{
	struct table_piece piece;
	unsigned highest = 0;
	int r;

	while ((r = table_template_next(&text, &piece)) == 1)
		if (piece.group > highest)
			highest = piece.group;
	if (r < 0)
		buf_add_str(why, "a '$' without a number from 1 on");
	else
		*ret_highest = highest;
	return r;
}
