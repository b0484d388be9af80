/* test_table_cidr.c: random cidr files, asked of the table and of a plain walk through the rules in their order. */
#include "tests/unit/table_test.h"

#include "tcp_table/table_file.h"

#include <arpa/inet.h>

enum { RULES_MAX = 4000 };

struct plain_rule {
	enum { PLAIN_RULE, PLAIN_IF, PLAIN_ENDIF } op;
	bool v6, negated;
	unsigned bits;
	unsigned char net[16];
	unsigned value;
};
struct plain {
	struct plain_rule rules[RULES_MAX];
	unsigned count;
	bool wide;              /* networks from all over, else crowded into a few bits */
};

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 16) % n);
}

/* ---- the plain walk ---- */

static bool plain_matches(const struct plain_rule *r, bool v6, const unsigned char *address)
{
	if (r->v6 != v6)
		return false;
	for (unsigned bit = 0; bit < r->bits; bit++)
		if ((r->net[bit / 8] ^ address[bit / 8]) & (0x80 >> bit % 8))
			return r->negated;
	return !r->negated;
}

/* -1: no rule. */
static int plain_get(const struct plain *p, bool v6, const unsigned char *address)
{
	for (unsigned i = 0; i < p->count; i++) {
		const struct plain_rule *r = &p->rules[i];
		if (r->op == PLAIN_ENDIF)
			continue;
		bool matches = plain_matches(r, v6, address);
		if (r->op == PLAIN_RULE && matches)
			return (int)r->value;
		if (r->op == PLAIN_RULE || matches)
			continue;
		for (unsigned depth = 1; depth && ++i < p->count;)
			depth = p->rules[i].op == PLAIN_IF ? depth + 1 : p->rules[i].op == PLAIN_ENDIF ? depth - 1 : depth;
	}
	return -1;
}

/* ---- making up a file ---- */

/* Addresses at both ends of all there are, too. */
static void random_address(const struct plain *p, bool v6, unsigned char *ret)
{
	unsigned n = v6 ? 16 : 4, crowd = random_below(8);
	memset(ret, crowd == 0 ? 0xff : 0, 16);
	if (!v6)
		memset(ret + 4, 0, 12);
	for (unsigned i = 0; i < n; i++) {
		if (p->wide && crowd > 1)
			ret[i] = (unsigned char)random_below(256);
		else if (i == 0 || i == n - 1)
			ret[i] ^= (unsigned char)random_below(8);
	}
}

static void random_net(const struct plain *p, struct plain_rule *r)
{
	unsigned all;
	r->v6 = random_below(2);
	r->negated = random_below(6) == 0;
	all = r->v6 ? 128 : 32;
	random_address(p, r->v6, r->net);
	r->bits = random_below(3) ? all - random_below(4) : random_below(all + 1);
	for (unsigned bit = r->bits; bit < all; bit++)
		r->net[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
}

static void plain_random(struct plain *p, unsigned count, unsigned ifs)
{
	unsigned open = 0;
	p->wide = random_below(2);
	p->count = count;
	for (unsigned i = 0; i < count; i++) {
		struct plain_rule *r = &p->rules[i];
		*r = (struct plain_rule){ .value = random_below(random_below(2) ? 5 : 1000) };
		random_net(p, r);
		if (random_below(100) < ifs)
			r->op = open && random_below(2) ? PLAIN_ENDIF : PLAIN_IF;
		/* A condition that seldom holds hides what is behind it. */
		if (r->op == PLAIN_IF && random_below(4)) {
			r->bits = random_below(4);
			memset(r->net + 1, 0, 15);
			r->net[0] &= (unsigned char)(0xff00 >> r->bits);
		}
		open += r->op == PLAIN_IF;
		open -= r->op == PLAIN_ENDIF;
	}
}

static const char *address_text(bool v6, const unsigned char *address, char *to)
{
	return inet_ntop(v6 ? AF_INET6 : AF_INET, address, to, INET6_ADDRSTRLEN);
}

static void plain_write(const struct plain *p, struct buf *to)
{
	char net[INET6_ADDRSTRLEN];
	for (unsigned i = 0; i < p->count; i++) {
		const struct plain_rule *r = &p->rules[i];
		if (r->op == PLAIN_ENDIF) {
			buf_add_str(to, "endif\n");
			continue;
		}
		buf_printf(to, "%s%s%s/%u", r->op == PLAIN_IF ? "if " : "", r->negated ? "!" : "", address_text(r->v6, r->net, net), r->bits);
		if (r->op == PLAIN_RULE)
			buf_printf(to, " value %u", r->value);
		buf_add_char(to, '\n');
	}
}

/* ---- the two beside each other ---- */

static void address_step(unsigned char *address, unsigned n, int by)
{
	while (n-- && (address[n] = (unsigned char)(address[n] + by)) == (by > 0 ? 0 : 0xff))
		;
}

/* 1: a rule was found. */
static bool compare(const struct plain *p, const void *content, bool v6, const unsigned char *address)
{
	char key[INET6_ADDRSTRLEN], text[32] = "";
	struct buf got = { 0 }, err = { 0 };
	int want = plain_get(p, v6, address);

	if (want >= 0)
		snprintf(text, sizeof text, "value %d", want);
	int r = cidr_kind.get(content, bytes_of(address_text(v6, address, key)), &got, &err);
	if (r != (want >= 0) || strcmp(buf_str(&got), text) != 0) {
		struct buf file = { 0 };
		plain_write(p, &file);
		print_message("%s\n%s: \"%s\", not \"%s\"\n", buf_str(&file), key, text, buf_str(&got));
		buf_fini(&file);
	}
	assert_int_equal(r, want >= 0);
	assert_string_equal(buf_str(&got), text);
	buf_fini(&got);
	buf_fini(&err);
	return want >= 0;
}

static unsigned compare_all(const struct plain *p)
{
	struct table_notes notes = { .file = "file" };
	struct buf text = { 0 };
	unsigned char address[16];
	unsigned found = 0;

	plain_write(p, &text);
	void *content = cidr_kind.load(text.p, text.n, &notes);
	buf_fini(&text);
	for (unsigned i = 0; i < 300; i++) {
		bool v6 = random_below(2);
		random_address(p, v6, address);
		found += compare(p, content, v6, address);
	}
	/* Where networks begin, and just before. */
	for (unsigned i = 0; p->count && i < 300; i++) {
		const struct plain_rule *r = &p->rules[random_below(p->count)];
		memcpy(address, r->net, sizeof address);
		found += compare(p, content, r->v6, address);
		address_step(address, r->v6 ? 16 : 4, -1);
		found += compare(p, content, r->v6, address);
		memcpy(address, r->net, sizeof address);
		for (unsigned bit = r->bits; bit < (r->v6 ? 128 : 32); bit++)
			address[bit / 8] |= (unsigned char)(0x80 >> bit % 8);
		found += compare(p, content, r->v6, address);
		address_step(address, r->v6 ? 16 : 4, 1);
		found += compare(p, content, r->v6, address);
	}
	cidr_kind.unload(content);
	table_notes_fini(&notes);
	return found;
}

static void test_random(void **state)
{
	(void)state;
	static struct plain p;
	unsigned found = 0;
	random_state = (uint64_t)time(NULL) * 2654435761 + 1;
	print_message("[ case     ] seed %llu\n", (unsigned long long)random_state);
	for (unsigned i = 0; i < 400; i++) {
		plain_random(&p, random_below(30), random_below(60));
		found += compare_all(&p);
	}
	for (unsigned i = 0; i < 8; i++) {
		plain_random(&p, RULES_MAX - random_below(1000), i & 1 ? 20 : 0);
		found += compare_all(&p);
	}
	print_message("[ case     ] %u of %u keys found\n", found, 408 * 1500);
	assert_true(found > 10000);
}

/* One inside the other, each within the condition before: what would be quadratic for whoever keeps a set of addresses for each. */
static void test_deep(void **state)
{
	(void)state;
	enum { DEEP = 50000 };
	struct table_notes notes = { .file = "file" };
	struct buf text = { 0 }, got = { 0 }, err = { 0 };
	for (unsigned i = 0; i < DEEP; i++)
		buf_printf(&text, "if !10.%u.%u.0/24\n0.0.0.0/%u v%u\n", i / 256 % 256, i % 256, i == DEEP - 1 ? 0 : 32, i);
	void *content = cidr_kind.load(text.p, text.n, &notes);
	buf_fini(&text);
	assert_int_equal(cidr_kind.get(content, BYTES("10.0.9.1"), &got, &err), 0);
	assert_int_equal(cidr_kind.get(content, BYTES("10.255.0.1"), &got, &err), 1);
	assert_string_equal(buf_str(&got), "v49999");
	buf_clear(&got);
	assert_int_equal(cidr_kind.get(content, BYTES("0.0.0.0"), &got, &err), 1);
	assert_string_equal(buf_str(&got), "v0");
	assert_int_equal(cidr_kind.get(content, BYTES("::"), &got, &err), 0);
	buf_fini(&got);
	buf_fini(&err);
	cidr_kind.unload(content);
	table_notes_fini(&notes);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random), cmocka_unit_test(test_deep) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
