/* table_fold.c: keys in lower case. */
#include "tcp_table/table_fold.h"

void table_fold(struct bytes key, struct buf *to)
{
	char *p = buf_room(to, key.n);
	for (size_t i = 0; i < key.n; i++)
		p[i] = key.p[i] >= 'A' && key.p[i] <= 'Z' ? (char)(key.p[i] | 0x20) : key.p[i];
	buf_grown(to, key.n);
}
