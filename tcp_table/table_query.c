/*
 * table_query.c: as db_common_expand() of Postfix has it.
 */
#include "tcp_table/table_query.h"

#include <errno.h>

int table_query_learn(struct table_query *q, const char *template, bool result, struct buf *err)
{
	for (const char *p = template; *p; p++) {
		if (*p != '%')
			continue;
		switch (*++p) {
		case '%':
		case 's':
		case 'S':
			break;
		case 'u':
			*(result ? &q->value_user : &q->key_user) = true;
			break;
		case 'd':
			*(result ? &q->value_domain : &q->key_domain) = true;
			break;
		case 'U':
			q->key_user = true;
			break;
		case '1' ... '9':
			if (q->labels < (unsigned)(*p - '0'))
				q->labels = (unsigned)(*p - '0');
			/* fall through */
		case 'D':
			q->key_domain = true;
			break;
		default:
			buf_printf(err, "a '%%' that is followed by none of s u d S U D 1-9 %% in \"%s\"", template);
			return -EINVAL;
		}
	}
	return 0;
}

/* An address taken apart at its last '@'.  Without one there is no domain, and everything is the user. */
struct query_address {
	struct bytes all, user, domain;
};

static struct query_address query_address(struct bytes all)
{
	ptrdiff_t at = bytes_rfind(all, '@');
	if (at < 0)
		return (struct query_address){ all, all, { NULL, 0 } };
	return (struct query_address){ all, bytes_first(all, (size_t)at), bytes_skip(all, (size_t)at + 1) };
}

static bool query_address_has(const struct query_address *a, bool user, bool domain)
{
	return !(domain && a->domain.n == 0) && !(user && a->user.n == 0);
}

/* The label of DOMAIN that is INDEX from its end, from 1.  Dots next to each other are one (Postfix: argv_split()). */
static struct bytes query_label(struct bytes domain, unsigned index)
{
	for (;;) {
		while (domain.n && domain.p[domain.n - 1] == '.')
			domain.n--;
		ptrdiff_t dot = bytes_rfind(domain, '.');
		if (--index == 0 || dot < 0)
			return index == 0 ? bytes_skip(domain, (size_t)(dot + 1)) : (struct bytes){ NULL, 0 };
		domain = bytes_first(domain, (size_t)dot);
	}
}

bool table_query_fits(const struct table_query *q, struct bytes key)
{
	struct query_address a = query_address(key);
	return query_address_has(&a, q->key_user, q->key_domain) &&
	       (q->labels == 0 || query_label(a.domain, q->labels).n > 0);
}

static struct bytes query_piece(char what, const struct query_address *value, const struct query_address *key)
{
	switch (what) {
	case '%':
		return BYTES("%");
	case 's':
		return value->all;
	case 'u':
		return value->user;
	case 'd':
		return value->domain;
	case 'S':
		return key->all;
	case 'U':
		return key->user;
	case 'D':
		return key->domain;
	default:
		return query_label(key->domain, (unsigned)(what - '0'));
	}
}

static int query_expand(const char *template, const struct query_address *value, const struct query_address *key,
    const struct table_quote *quote, struct buf *ret)
{
	int r = 0;

	for (const char *p = template; *p && r == 0; p++) {
		if (*p != '%') {
			buf_add_char(ret, *p);
			continue;
		}
		struct bytes piece = query_piece(*++p, value, key);
		if (*p != '%' && quote && quote->quote)
			r = quote->quote(quote->arg, piece, ret);
		else
			buf_add(ret, piece);
	}
	return r;
}

int table_query_ask(const char *template, struct bytes key, const struct table_quote *quote, struct buf *ret)
{
	struct query_address a = query_address(key);

	return query_expand(template, &a, &a, quote, ret);
}

int table_values_add(struct table_values *v, struct bytes value)
{
	struct query_address a, key = query_address(v->key);

	/* C strings in Postfix. */
	value.n = value.n ? strnlen(value.p, value.n) : 0;
	a = query_address(value);
	if (value.n == 0 || !query_address_has(&a, v->query->value_user, v->query->value_domain))
		return 0;
	if (v->limit && ++v->count > v->limit)
		return -E2BIG;
	if (v->ret->n)
		buf_add_char(v->ret, ',');
	int r = query_expand(v->template, &a, &key, NULL, v->ret);
	return r == 0 && v->ret->n > v->most ? -EMSGSIZE : r;
}
