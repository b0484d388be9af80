/* fuzz_net.c: endpoints and networks as users write them: what is taken holds together, what is not is explained. */
#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "lib/run/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_command(struct bytes text)
{
	struct endpoint e = { 0 };
	struct buf err = { 0 };

	if (endpoint_parse_any(text, 25, &e, &err))
		ASSERT(err.n && !e.text && !e.host && !e.path && !e.argv);
	else
		ASSERT(!err.n && bytes_eq(bytes_of(e.text), text) && (e.kind == ENDPOINT_EXEC) == (e.argv && e.argv[0][0] == '/'));
	endpoint_fini(&e);
	buf_fini(&err);
}

static void try_endpoint(struct bytes text, uint16_t default_port)
{
	struct endpoint e = { 0 };
	struct buf err = { 0 };

	if (endpoint_parse(text, default_port, &e, &err)) {
		ASSERT(err.n && !e.text && !e.host && !e.path);
	} else {
		ASSERT(!err.n && bytes_eq(bytes_of(e.text), text));
		ASSERT(e.kind == ENDPOINT_UNIX ? e.path && !e.host : e.host && !e.path && e.port);
		endpoint_fini(&e);
	}
	buf_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes text = bytes_make(data, n);
	struct net_cidr c;
	struct net_addr a;
	struct buf err = { 0 };

	try_endpoint(text, 0);
	try_endpoint(text, 25);
	try_command(text);
	if (net_cidr_parse(text, &c, &err))
		ASSERT(err.n);
	else if (!net_addr_parse(bytes_cut(&text, '/'), 0, &a))
		ASSERT(net_cidr_match(&c, &a));         /* a network holds its own address */
	buf_fini(&err);
	return 0;
}
