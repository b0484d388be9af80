/* test_mail.c: a message is received, kept and given out to the byte. */
#include "lib/mail/mail.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

static char spool[] = "/tmp/test_mail.XXXXXX";
static bool no_tmpfile;         /* play a file system that cannot do O_TMPFILE */

/* Stands before the C library's. */
int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return openat(AT_FDCWD, path, flags, mode);
}

static const struct mail_limits plenty = { .header_max = 200000, .memory_max = 131072 };

static int receive(struct mail *m, struct bytes in, size_t piece)
{
	while (in.n) {
		struct bytes part = bytes_first(in, piece ? piece : 1 + (size_t)rand() % 9);
		/* Of its own, to the byte: nothing may be kept of it, nor read behind it. */
		char *copy = mem_alloc(part.n);
		memcpy(copy, part.p, part.n);
		int r = mail_append(m, bytes_make(copy, part.n));
		mem_free(copy);
		if (r < 0)
			return r;
		in = bytes_skip(in, part.n);
	}
	return mail_end(m);
}

static struct mail *mail_of(struct bytes in, const struct mail_limits *limits, size_t piece)
{
	struct mail *m = mail_new(limits);
	assert_int_equal(receive(m, in, piece), 0);
	return m;
}

static void read_all(struct mail *m, size_t most, struct buf *out)
{
	struct mail_cursor c = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;

	buf_clear(out);
	do {
		assert_int_equal(mail_read(m, &c, most, &scratch, &piece), 0);
		assert_true(piece.n <= most);
		buf_add(out, piece);
	} while (piece.n);
	assert_int_equal(mail_read(m, &c, most, &scratch, &piece), 0);
	assert_int_equal(piece.n, 0);
	buf_fini(&scratch);
	assert_int_equal(mail_size(m), out->n);
}

static void assert_mail(struct mail *m, struct bytes want)
{
	struct buf out = { 0 };
	read_all(m, 100, &out);
	if (!bytes_eq(buf_bytes(&out), want))
		fail_msg("got \"%.*s\", want \"%.*s\"", BYTES_ARG(out), BYTES_ARG(want));
	buf_fini(&out);
}

static void assert_digest(const struct mail *m, struct bytes in)
{
	unsigned char got[32], want[32];
	assert_int_equal(mail_digest(m, got), 0);
	SHA256((const unsigned char *)in.p, in.n, want);
	assert_memory_equal(got, want, 32);
}

#define B(literal) { literal, sizeof(literal) - 1 }

static const struct {
	struct bytes in;
	const char *names;      /* of the fields, parted by '|' */
	bool separator;
	struct bytes body;
} parse_cases[] = {
	{ B(""), "", false, B("") },
	{ B("\r\n"), "", true, B("") },
	{ B("\n"), "", true, B("") },
	{ B("\r\n\r\n"), "", true, B("\r\n") },
	{ B("A: b\r\n\r\nbody\r\n"), "A", true, B("body\r\n") },
	{ B("A: b\r\nC:d\r\n\r\n"), "A|C", true, B("") },
	{ B("A: b\r\n"), "A", false, B("") },
	{ B("A: b"), "A", false, B("") },
	{ B("A: b\r"), "A", false, B("") },
	{ B("A:"), "A", false, B("") },
	{ B("A: b\r\n c\r\n\td\r\nE: f\r\n\r\nx"), "A|E", true, B("x") },
	{ B("A: b\r\n \r\nE: f\r\n\r\nx"), "A|E", true, B("x") },
	{ B("A: b\r\n c"), "A", false, B("") },
	{ B("Subject : x\r\nB\t:y\r\n\r\n"), "Subject|B", true, B("") },
	{ B("From someone Mon Jan  1\r\nA: b\r\n\r\nx"), "", false, B("From someone Mon Jan  1\r\nA: b\r\n\r\nx") },
	{ B("A: b\r\nno field\r\nC: d\r\n"), "A", false, B("no field\r\nC: d\r\n") },
	{ B("A: b\r\nnofield\r\n\r\nx"), "A", false, B("nofield\r\n\r\nx") },
	{ B("A: b\r\nnofield"), "A", false, B("nofield") },
	{ B("A: b\r\n: x\r\n"), "A", false, B(": x\r\n") },
	{ B(" A: b\r\n\r\nx"), "", false, B(" A: b\r\n\r\nx") },
	{ B("A: b\r\nX\xc3\xa4: y\r\n\r\n"), "A", false, B("X\xc3\xa4: y\r\n\r\n") },
	{ B("A: b\0c\r\nD\0: e\r\n"), "A", false, B("D\0: e\r\n") },
	{ B("A: b\nC: d\n\nx\n"), "A|C", true, B("x\n") },
	{ B("A: b\r\n\rx"), "A", false, B("\rx") },
	{ B("A: b\r\n\r"), "A", false, B("\r") },
	{ B("A: b\rC: d\r\n\r\n"), "A", true, B("") },
	{ B("A: b\r\r\n\r\nx"), "A", true, B("x") },
	{ B("A: b\r\n\r\r\nx"), "A", false, B("\r\r\nx") },
};

/* Every message, cut in every way into pieces of one size; with body in memory and in a file. */
static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(parse_cases); i++) {
		for (size_t piece = 1; piece <= parse_cases[i].in.n + 1; piece++) {
			struct mail_limits limits = { .header_max = 100, .memory_max = piece % 2 ? 0 : 100, .spool = spool };
			struct mail *m = mail_of(parse_cases[i].in, &limits, piece);
			struct buf names = { 0 }, scratch = { 0 };
			struct mail_header *h;
			struct bytes body;
			LIST_EACH(h, &m->headers, struct mail_header, link)
				buf_printf(&names, "%s%.*s", names.n ? "|" : "", BYTES_ARG(h->name));
			assert_string_equal(buf_str(&names), parse_cases[i].names);
			assert_int_equal(mail_has_separator(m), parse_cases[i].separator);
			assert_int_equal(mail_body_size(m), parse_cases[i].body.n);
			assert_int_equal(mail_received_size(m), parse_cases[i].in.n);
			assert_int_equal(mail_body_read(m, 0, 1000, &scratch, &body), 0);
			assert_true(bytes_eq(body, parse_cases[i].body));
			assert_mail(m, parse_cases[i].in);
			assert_digest(m, parse_cases[i].in);
			buf_fini(&names);
			buf_fini(&scratch);
			mail_unref(&m);
			assert_null(m);
		}
	}
}

/* Any bytes at all come out as they went in. */
static void test_round_trip(void **state)
{
	static const char alphabet[] = "aB:: \t\r\n\r\n\r\n\0\xc3.-";
	struct buf in = { 0 }, out = { 0 };

	(void)state;
	srand(3);
	for (int round = 0; round < 4000; round++) {
		struct mail_limits limits = { .memory_max = (size_t)rand() % 40, .spool = spool };
		buf_clear(&in);
		for (int n = rand() % 120; n > 0; n--)
			buf_add_char(&in, alphabet[rand() % (int)(sizeof alphabet - 1)]);
		struct mail *m = mail_of(buf_bytes(&in), &limits, 0);
		read_all(m, 1 + (size_t)rand() % 50, &out);
		assert_true(bytes_eq(buf_bytes(&in), buf_bytes(&out)));
		assert_digest(m, buf_bytes(&in));
		mail_unref(&m);
	}
	buf_fini(&in);
	buf_fini(&out);
}

/* The header of an unedited message is one piece, however many fields it has. */
static void test_one_piece(void **state)
{
	struct mail *m = mail_of(BYTES("A: b\r\nC: d\r\n e\r\nF: g\r\n\r\nbody"), &plenty, 3);
	struct mail_cursor c = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;

	(void)state;
	assert_int_equal(mail_read(m, &c, 1000, &scratch, &piece), 0);
	assert_true(bytes_eq(piece, BYTES("A: b\r\nC: d\r\n e\r\nF: g\r\n\r\n")));
	assert_int_equal(mail_read(m, &c, 1000, &scratch, &piece), 0);
	assert_true(bytes_eq(piece, BYTES("body")));
	buf_fini(&scratch);
	mail_unref(&m);
}

static void test_101_kb_of_header(void **state)
{
	struct buf in = { 0 };

	(void)state;
	for (int i = 0; in.n < 50500; i++)
		buf_printf(&in, "X-Field-%d: some value\r\n\tfolded here\r\n", i);
	buf_add_str(&in, "X-Long: ");
	memset(buf_room(&in, 50500), 'x', 50500);
	buf_grown(&in, 50500);
	buf_add_str(&in, "\r\n\r\nbody\r\n");
	assert_true(in.n > 101000);
	size_t pieces[] = { 1, 1000, 4095, 4096, 4097, 65536, 1000000 };
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct mail *m = mail_of(buf_bytes(&in), &plenty, pieces[i]);
		assert_mail(m, buf_bytes(&in));
		assert_int_equal(mail_header_find(m, BYTES("x-long"), 1)->raw.n, 50510);
		mail_unref(&m);
	}
	buf_fini(&in);
}

static void test_header_limit(void **state)
{
	static const struct {
		struct bytes in;
		int want;
	} table[] = {
		{ B("A: 3456789\r\n\r\n"), 0 },
		{ B("A: 3456789\r\n"), 0 },
		{ B("A: 34567890\r\n\r\n"), -EMSGSIZE },
		{ B("A: 34567890"), 0 },
		{ B("A: 3456789012"), -EMSGSIZE },
		{ B("A: 34\r\nB: 9\r\n\r\n"), -EMSGSIZE },
		{ B("A: 34\r\n folded on\r\n"), -EMSGSIZE },
		{ B("A: 34\r\n folded on"), -EMSGSIZE },
		{ B("A: 34\r\nno field, so all of this is body"), 0 },
		{ B("A: 34\r\nnofieldsoallofthisisbody"), 0 },
		{ B("A: 34\r\nnofieldyettheninsteaditisone:"), -EMSGSIZE },
		{ B("A: 34\r\n\r\nthe body may be as long as it will\r\n"), 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		for (size_t piece = 1; piece <= table[i].in.n; piece++) {
			struct mail_limits limits = { .header_max = 12, .memory_max = 1000 };
			struct mail *m = mail_new(&limits);
			int r = receive(m, table[i].in, piece);
			if (r != table[i].want)
				fail_msg("case %zu in pieces of %zu: %d", i, piece, r);
			if (r == 0)
				assert_mail(m, table[i].in);
			mail_unref(&m);
		}
	}
}

/* What might still become a name is not refused for its length; what never meets its colon is body. */
static void test_endless_name(void **state)
{
	static char text[5000];
	struct mail_limits limits = { .header_max = 100, .memory_max = 10000 };

	(void)state;
	for (int blanks = 0; blanks < 2; blanks++) {
		memset(text, 'n', sizeof text);
		if (blanks)
			memset(text + 5, ' ', sizeof text - 5);
		struct mail *m = mail_of(bytes_make(text, sizeof text), &limits, 7);
		assert_int_equal(mail_body_size(m), sizeof text);
		assert_mail(m, bytes_make(text, sizeof text));
		mail_unref(&m);
	}
}

static void test_size_limit(void **state)
{
	struct mail_limits limits = { .size_max = 10, .memory_max = 100 };
	struct mail *m = mail_new(&limits);

	(void)state;
	assert_int_equal(mail_append(m, BYTES("A: b\r\n\r\nxy")), 0);
	assert_int_equal(mail_append(m, BYTES("z")), -EFBIG);
	mail_unref(&m);
}

static unsigned files_in(const char *folder)
{
	unsigned n = 0;
	DIR *d = opendir(folder);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* A body of 1 MB through the file, with and without O_TMPFILE: nothing is ever seen in the spool. */
static void test_spool(void **state)
{
	struct mail_limits limits = { .memory_max = 131072, .spool = spool };
	struct buf in = { 0 };

	(void)state;
	buf_add_str(&in, "A: b\r\n\r\n");
	while (in.n < 1000000)
		buf_printf(&in, "line %zu\r\n", in.n);
	size_t pieces[] = { 1000, 16384, 65536, 100000, 2000000 };
	for (size_t i = 0; i < 2 * COUNT_OF(pieces); i++) {
		no_tmpfile = i % 2;
		struct mail *m = mail_of(buf_bytes(&in), &limits, pieces[i / 2]);
		no_tmpfile = false;
		assert_mail(m, buf_bytes(&in));
		assert_digest(m, buf_bytes(&in));
		assert_int_equal(files_in(spool), 0);
		mail_unref(&m);
	}
	buf_fini(&in);
}

static void test_spool_errors(void **state)
{
	struct mail_limits limits = { .memory_max = 10, .spool = "/nonexistent/spool" };
	static char body[100000];
	struct rlimit old, small;

	(void)state;
	struct mail *m = mail_new(&limits);
	assert_int_equal(mail_append(m, BYTES("\r\n0123456789")), 0);
	assert_int_equal(mail_append(m, BYTES("0")), -ENOENT);
	mail_unref(&m);

	/* As full as a disk can be without being root: EFBIG from write(2). */
	limits.spool = spool;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 70000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	m = mail_new(&limits);
	int first = mail_append(m, BYTES("\r\n"));
	int large = mail_append(m, bytes_make(body, sizeof body));
	mail_unref(&m);
	m = mail_new(&limits);
	int part = mail_append(m, BYTES("\r\n"));
	for (int i = 0; i < 2 && part == 0; i++)
		part = mail_append(m, bytes_make(body, 40000));
	int end = mail_end(m);
	mail_unref(&m);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(first, 0);
	assert_int_equal(large, -ENOSPC);
	assert_int_equal(part, 0);
	/* The rest is written at the end, and that is heard of, too. */
	assert_int_equal(end, -ENOSPC);
}

static void test_8bit(void **state)
{
	static const struct {
		struct bytes in;
		bool header, any;
	} table[] = {
		{ B("A: b\r\n\r\nc"), false, false },
		{ B("A: \xc3\xa4\r\n\r\nc"), true, true },
		{ B("A: b\r\n\r\nccccccccccccccccccccc\x80"), false, true },
		{ B("A: b\r\n\r\n\x80zzzzzzzzzzzzzzzz"), false, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mail *m = mail_of(table[i].in, &plenty, 5);
		assert_int_equal(mail_has_8bit_header(m), table[i].header);
		assert_int_equal(mail_has_8bit(m), table[i].any);
		mail_unref(&m);
	}
	struct mail *m = mail_of(BYTES("A: b\r\n\r\n\xff"), &plenty, 5);
	assert_int_equal(mail_body_replace(m, BYTES("plain")), 0);
	assert_int_equal(mail_body_replace_end(m), 0);
	assert_false(mail_has_8bit(m));
	assert_int_equal(mail_header_add(m, BYTES("X"), BYTES("\xc3\xa4"), false), 0);
	assert_true(mail_has_8bit(m) && mail_has_8bit_header(m));
	mail_unref(&m);
}

static void test_refs(void **state)
{
	(void)state;
	struct mail *m = mail_new(&plenty), *other = mail_ref(m), *none = NULL;
	mail_unref(&m);
	assert_null(m);
	assert_int_equal(mail_append(other, BYTES("A: b\r\n")), 0);
	mail_unref(&other);
	mail_unref(&none);
}

static int make_spool(void **state)
{
	(void)state;
	return mkdtemp(spool) ? 0 : -1;
}

static int remove_spool(void **state)
{
	(void)state;
	return rmdir(spool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_one_piece),
		cmocka_unit_test(test_101_kb_of_header), cmocka_unit_test(test_header_limit), cmocka_unit_test(test_endless_name),
		cmocka_unit_test(test_size_limit),   cmocka_unit_test(test_spool),        cmocka_unit_test(test_spool_errors),
		cmocka_unit_test(test_8bit),         cmocka_unit_test(test_refs),
	};
	return cmocka_run_group_tests(tests, make_spool, remove_spool);
}
