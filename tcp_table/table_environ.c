/* table_environ.c: environ: the variables of gatepost's environment. */
#include "tcp_table/table_kinds.h"

#include "lib/base/mem.h"

#include <stdlib.h>

/* The name after the colon means nothing, as in Postfix. */
static int environ_open(struct bytes spec, const struct table_options *o, void **ret_state, struct buf *err)
{
	(void)spec;
	(void)o;
	(void)err;
	*ret_state = NULL;
	return 0;
}

static void environ_close(void *state)
{
	(void)state;
}

static int environ_get(void *state, struct bytes key, struct buf *ret, struct buf *err)
{
	(void)state;
	(void)err;
	char *name = bytes_dup(key);
	const char *value = getenv(name);
	mem_free(name);
	if (!value)
		return 0;
	buf_add_str(ret, value);
	return 1;
}

const struct table_ops table_environ = {
	.type = "environ", .fold_key = true, .open = environ_open, .close = environ_close, .get = environ_get
};
