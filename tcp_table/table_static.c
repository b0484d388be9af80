/*
 * table_static.c: static:text, static:{text with blanks}: every key has this value.
 */
#include "tcp_table/table_kinds.h"
#include "tcp_table/table_lines.h"

#include "lib/base/mem.h"

#include <errno.h>

static int static_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	struct bytes value = spec;
	if (bytes_starts(spec, BYTES("{"))) {
		value = table_trim(spec);
		if (!table_braced(value)) {
			buf_printf(err, "\"static:%.*s\": the closing brace is missing, or something follows it", BYTES_ARG(spec));
			return -EINVAL;
		}
		value = table_unbraced(value);
	} else if (value.n == 0) {
		buf_add_str(err, "static: needs a value");
		return -EINVAL;
	}
	*ret_state = bytes_dup(value);
	return 0;
}

static int static_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	(void)key;
	(void)err;
	buf_add_str(ret, state);
	return 1;
}

const struct table_ops table_static = { .type = "static", .open = static_open, .close = mem_free, .get = static_get };
