/*
 * fuzz_sieve.c: any bytes as a script; what compiles is run on a message: what follows the script behind a NUL, or a fixed one.
 */
#include "tests/tools/sieve_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed[] =
    "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: a@example.net, (c) \"q q\"@example.com\r\nCc: g: x@example.net;\r\n"
    "Subject: =?iso-8859-1?b?5Pb8?= one\r\n two\r\nX-Number: 42\r\nX-Number: 0043\r\n\r\nbody\r\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	if (!ready && run_init() < 0)
		return -1;
	ready = true;
	struct bytes message = bytes_make(data, size), script = bytes_cut(&message, '\0');
	struct stub s = {
		.script = script,
		.message = message.p ? message : bytes_make(fixed, sizeof fixed - 1),
		.from = "sender@example.org",
		.to = "\"odd one\"@example.com",
	};
	stub_go(&s);
	stub_fini(&s);
	return 0;
}
