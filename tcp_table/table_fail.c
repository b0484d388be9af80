/* table_fail.c: fail:name: no key can be told.  For trying what happens then. */
#include "tcp_table/table_kinds.h"

#include "lib/base/mem.h"

#include <errno.h>

static int fail_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)o;
	(void)err;
	*ret_state = bytes_dup(spec);
	return 0;
}

static int fail_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	(void)key;
	(void)ret;
	buf_printf(err, "fail:%s always fails", (const char *)state);
	return -EAGAIN;
}

const struct table_ops table_fail = { .type = "fail", .whole_key = true, .open = fail_open, .close = mem_free, .get = fail_get };
