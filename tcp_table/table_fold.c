/*
 * table_fold.c: keys without regard to case.
 *
 * ASCII by hand.  Others as Unicode folds them, in full and for no language ("ß" is "ss", "Σ" and "ς" are "σ"): so does Postfix, with ICU, when it builds a
 * file as well as when it looks something up.
 */
#include "tcp_table/table_fold.h"

#include <stdlib.h>
#include <unicase.h>

static bool table_fold_ascii(struct bytes key)
{
	for (size_t i = 0; i < key.n; i++)
		if ((unsigned char)key.p[i] >= 128)
			return false;
	return true;
}

static void table_fold_unicode(struct bytes key, struct buf *to)
{
	size_t n;
	uint8_t *folded = u8_casefold((const uint8_t *)key.p, key.n, NULL, NULL, NULL, &n);
	buf_add(to, folded ? bytes_make(folded, n) : key);
	free(folded);
}

void table_fold(struct bytes key, struct buf *to)
{
	if (!table_fold_ascii(key) && bytes_utf8(key)) {
		table_fold_unicode(key, to);
		return;
	}
	char *p = buf_room(to, key.n);
	for (size_t i = 0; i < key.n; i++)
		p[i] = key.p[i] >= 'A' && key.p[i] <= 'Z' ? (char)(key.p[i] | 0x20) : key.p[i];
	buf_grown(to, key.n);
}
