/*
 * address_list.h: values of virtual(5), canonical(5) and aliases(5): addresses, and what people write around them; no I/O.
 *
 *	joe, jane@example.org		addresses, divided by commas or blanks
 *	Joe <joe@example.org> (home)	names and comments do not count, nor do source routes
 *	friends: joe, jane;		nor does the name of a group
 *	"|command", :include:/file	what local(8) knows besides
 */
#ifndef GATEPOST_TCP_TABLE_ADDRESS_LIST_H
#define GATEPOST_TCP_TABLE_ADDRESS_LIST_H

#include "tcp_table/rfc822_token.h"

struct address_list {
	struct bytes rest;
	bool aliases;
	const char *last_semicolon, *last_bracket;      /* where the last ';' and '>' stand; NULL */
	bool looked, name;              /* it is known whether what comes next is only a name; it is */
	/* the address at hand */
	struct buf plain, address;
	unsigned ats;                   /* '@' without quotes */
	bool begun, odd, word;          /* there is one; it holds a special character that no address has; its last token is a word */
	struct rfc822_token token;
};
struct address_item {
	struct bytes plain;     /* without quotes: for what is no address */
	struct bytes address;   /* with quotes where they are needed, and nowhere else; what is no address is none afterwards, either */
};

/* ALIASES: as local(8) reads them, for whom "user@domain" within quotes is that address, and not a user of such a name. */
void address_list_init(struct address_list *l, struct bytes value, bool aliases);
/* The next one, valid until the next call; false: there are no more. */
bool address_list_next(struct address_list *l, struct address_item *ret);
void address_list_fini(struct address_list *l);

#endif
