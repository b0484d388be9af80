/*
 * memcache_codec.c: memcached's text protocol (doc/protocol.txt there).
 *
 *	get KEY                  VALUE KEY FLAGS BYTES [CAS]
 *	                         (the value)
 *	                         END
 * Without a value there is the END alone.  ERROR, CLIENT_ERROR why, SERVER_ERROR why: a question that was not understood, or could not be answered.
 */
#include "tcp_table/memcache_codec.h"

#include "tcp_table/table_lines.h"

#include <errno.h>

bool memcache_codec_sane(struct bytes key)
{
	for (size_t i = 0; i < key.n; i++)
		if (table_space(key.p[i]))
			return false;
	return key.n > 0;
}

int memcache_codec_reply(struct bytes line, struct bytes key, size_t most, size_t *ret_n, const char **ret_why)
{
	uint64_t n, flags;

	if (bytes_eq(line, BYTES("END")))
		return 0;
	*ret_why = "an unexpected reply";
	if (!bytes_eq(bytes_word(&line), BYTES("VALUE")) || !bytes_eq(bytes_word(&line), key))
		return -EPROTO;
	if (bytes_to_u64(bytes_word(&line), UINT32_MAX, &flags) < 0 ||
	    bytes_to_u64(bytes_word(&line), SIZE_MAX, &n) < 0)
		return -EPROTO;
	*ret_why = "the value is too long (data_size_limit)";
	if (n > most)
		return -EPROTO;
	*ret_n = (size_t)n;
	return 1;
}
