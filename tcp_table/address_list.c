/*
 * address_list.c: lists of addresses as Postfix reads them (RFC 822, with the commas put in that are missing between two words).
 */
#include "tcp_table/address_list.h"

#include "lib/smtp/address.h"

/* Where the last SPECIAL stands that is not within a comment, a quoted string, a domain literal. */
static const char *address_list_last(struct address_list *l, char special)
{
	struct bytes rest = l->rest;
	const char *last = NULL;

	while (rfc822_token_next(&rest, &l->token))
		if (rfc822_token_special(&l->token) == special)
			last = rest.p - 1;
	return last;
}

void address_list_init(struct address_list *l, struct bytes value, bool aliases)
{
	*l = (struct address_list){ .rest = value, .aliases = aliases };
	l->last_semicolon = address_list_last(l, ';');
	l->last_bracket = address_list_last(l, '>');
}

void address_list_fini(struct address_list *l)
{
	buf_fini(&l->plain);
	buf_fini(&l->address);
	rfc822_token_fini(&l->token);
}

/* Is what comes next a name: before "<address>", or before the ':' of a group, which is there if its ';' is?  ":include:" is neither. */
static bool address_list_look(struct address_list *l)
{
	struct bytes rest = l->rest;

	for (bool first = true; rfc822_token_next(&rest, &l->token); first = false) {
		char special = rfc822_token_special(&l->token);
		if (special == '<')
			return l->last_bracket && l->last_bracket >= rest.p;
		if (special == ':')
			return !first && l->last_semicolon && l->last_semicolon >= rest.p && !bytes_case_starts(rest, BYTES("include:"));
		if (special == ',' || special == ';')
			return false;
	}
	return false;
}

/* ---- one address ---- */

static void address_list_begin(struct address_list *l)
{
	buf_clear(&l->plain);
	l->ats = 0;
	l->begun = l->odd = l->word = false;
}

static void address_list_add(struct address_list *l)
{
	const bool literal = l->token.type == RFC822_LITERAL;
	const char special = rfc822_token_special(&l->token);

	if (l->token.type == RFC822_COMMENT)
		return;
	l->begun = true;
	l->word = !special;
	l->ats += special == '@';
	l->odd = l->odd || (special && !strchr("@.|%!", special));
	buf_add_str(&l->plain, literal ? "[" : "");
	buf_add(&l->plain, buf_bytes(&l->token.text));
	buf_add_str(&l->plain, literal ? "]" : "");
}

/* Behind the '<', up to the '>', which is there.  "@one,@two:address" has a source route. */
static void address_list_bracketed(struct address_list *l)
{
	address_list_begin(l);
	while (rfc822_token_next(&l->rest, &l->token) && rfc822_token_special(&l->token) != '>') {
		if (rfc822_token_special(&l->token) == ':' && l->plain.n && *l->plain.p == '@')
			address_list_begin(l);
		else
			address_list_add(l);
	}
	if (!l->begun) {
		buf_add_str(&l->plain, "<>");
		l->odd = true;
	}
}

/* The token at hand belongs to a name, which is of no interest, or ends it.  True: an address has come with it. */
static bool address_list_name(struct address_list *l)
{
	const char special = rfc822_token_special(&l->token);

	l->name = special != '<' && special != ':';
	l->looked = l->name;
	if (special == '<')
		address_list_bracketed(l);
	return special == '<';
}

/* Does the token at hand begin another address?  Between two words a comma is missing; and so it is before ":include:", for us, if not for Postfix. */
static bool address_list_begins(const struct address_list *l)
{
	if (rfc822_token_special(&l->token) == ':')
		return l->begun && bytes_case_starts(l->rest, BYTES("include:"));
	return l->word && l->token.type != RFC822_SPECIAL && l->token.type != RFC822_COMMENT;
}

/* Up to where an address ends.  False: there is none any more. */
static bool address_list_collect(struct address_list *l)
{
	struct bytes before;

	address_list_begin(l);
	for (;;) {
		if (!l->looked)
			l->name = address_list_look(l);
		l->looked = true;
		before = l->rest;
		if (!rfc822_token_next(&l->rest, &l->token))
			return l->begun;
		const char special = rfc822_token_special(&l->token);
		if (l->name) {
			if (address_list_name(l))
				return true;
		} else if (special == ',' || special == ';') {
			l->looked = false;
			if (l->begun)
				return true;
		} else if (address_list_begins(l)) {
			l->rest = before;
			return true;
		} else {
			address_list_add(l);
		}
	}
}

bool address_list_next(struct address_list *l, struct address_item *ret)
{
	if (!address_list_collect(l))
		return false;
	buf_clear(&l->address);
	/* "a@b@c" and "a:b" are no addresses: quotes would make some of them. */
	if (l->odd || l->ats > 1)
		buf_add(&l->address, buf_bytes(&l->plain));
	else if (l->ats == 0 && !l->aliases)
		smtp_address_quote_local(buf_bytes(&l->plain), &l->address);
	else
		smtp_address_quote(buf_bytes(&l->plain), &l->address);
	*ret = (struct address_item){ buf_bytes(&l->plain), buf_bytes(&l->address) };
	return true;
}
