/* test_access.c: the actions of access(5). */
#include "lib/gate/access.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct action_case {
	const char *action;
	enum access_kind kind;
	const char *text;               /* NULL: not looked at */
	const char *reply;              /* NULL: none */
} cases[] = {
	{ "", ACCESS_DUNNO, "", NULL },
	{ "   ", ACCESS_DUNNO, "", NULL },
	{ "DUNNO", ACCESS_DUNNO, "", NULL },
	{ "dunno whatever", ACCESS_DUNNO, "whatever", NULL },
	{ "OK", ACCESS_OK, "", NULL },
	{ "Ok trailing text is ignored", ACCESS_OK, NULL, NULL },
	{ "RELAY", ACCESS_OK, "", NULL },
	{ "permit", ACCESS_OK, "", NULL },
	{ "1234567890", ACCESS_OK, "", NULL },
	{ "450", ACCESS_OK, "", NULL },

	{ "REJECT", ACCESS_REPLY, "", "554 5.7.1 Access denied" },
	{ "reject  Go away ", ACCESS_REPLY, "Go away", "554 5.7.1 Go away" },
	{ "REJECT\tGo away", ACCESS_REPLY, "Go away", "554 5.7.1 Go away" },
	{ "REJECT 5.1.1 No such user", ACCESS_REPLY, NULL, "554 5.1.1 No such user" },
	{ "REJECT 4.1.1 No such user", ACCESS_REPLY, NULL, "554 5.1.1 No such user" },
	{ "REJECT 5.1.1", ACCESS_REPLY, NULL, "554 5.1.1 Access denied" },
	{ "REJECT a\tb\x7f\x01\x1fz", ACCESS_REPLY, NULL, "554 5.7.1 a b   z" },
	{ "REJECT 550 x", ACCESS_REPLY, NULL, "554 5.7.1 550 x" },
	{ "REJECT 5.1.1111 x", ACCESS_REPLY, NULL, "554 5.7.1 5.1.1111 x" },
	{ "DEFER", ACCESS_REPLY, "", "450 4.7.1 Access denied" },
	{ "DEFER later", ACCESS_REPLY, NULL, "450 4.7.1 later" },
	{ "550 nope", ACCESS_REPLY, "nope", "550 5.7.1 nope" },
	{ "550 5.7.23 SPF", ACCESS_REPLY, NULL, "550 5.7.23 SPF" },
	{ "550 4.2.0 odd", ACCESS_REPLY, NULL, "550 5.2.0 odd" },
	{ "451 5.7.1 odd", ACCESS_REPLY, NULL, "451 4.7.1 odd" },
	{ "450 4.2.0 Greylisted", ACCESS_REPLY, NULL, "450 4.2.0 Greylisted" },
	{ "421 4.3.2 Bye", ACCESS_DISCONNECT, NULL, "421 4.3.2 Bye" },
	{ "521 Bye", ACCESS_DISCONNECT, NULL, "521 5.7.1 Bye" },

	{ "DEFER_IF_PERMIT", ACCESS_DEFER_IF_PERMIT, "", "450 4.7.1 Service unavailable" },
	{ "DEFER_IF_PERMIT Greylisted", ACCESS_DEFER_IF_PERMIT, NULL, "450 4.7.1 Greylisted" },
	{ "defer_if_permit 4.2.0 Greylisted", ACCESS_DEFER_IF_PERMIT, NULL, "450 4.2.0 Greylisted" },
	{ "DEFER_IF_REJECT 4.3.0 Perhaps", ACCESS_DEFER_IF_REJECT, NULL, "450 4.3.0 Perhaps" },

	{ "PREPEND X-Greylist: delayed 5 seconds", ACCESS_PREPEND, "X-Greylist: delayed 5 seconds", NULL },
	{ "HOLD", ACCESS_HOLD, "", NULL },
	{ "HOLD looks odd", ACCESS_HOLD, "looks odd", NULL },
	{ "DISCARD spam", ACCESS_DISCARD, "spam", NULL },
	{ "WARN look", ACCESS_WARN, "look", NULL },
	{ "INFO seen", ACCESS_INFO, "seen", NULL },

	{ "FILTER smtp:[127.0.0.1]:10024", ACCESS_FILTER, "smtp:[127.0.0.1]:10024", NULL },
	{ "redirect a@example.org", ACCESS_REDIRECT, "a@example.org", NULL },
	{ "BCC a@example.org", ACCESS_BCC, "a@example.org", NULL },
	{ "HANGUP", ACCESS_DISCONNECT, "", "421 4.7.1 Closing the connection" },
	{ "permit, reject", ACCESS_UNKNOWN, NULL, "451 4.3.5 Server configuration error" },
	{ "permit_mynetworks, reject", ACCESS_UNKNOWN, NULL, "451 4.3.5 Server configuration error" },
	{ "REJECTED", ACCESS_UNKNOWN, NULL, "451 4.3.5 Server configuration error" },
	{ "250 fine", ACCESS_UNKNOWN, NULL, "451 4.3.5 Server configuration error" },
	{ "550-x", ACCESS_UNKNOWN, NULL, "451 4.3.5 Server configuration error" },
	{ "DELAY 5", ACCESS_UNKNOWN, NULL, "451 4.3.5 Server configuration error" },
};

/* shows: P11 P12 P13 */
static void test_actions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		const struct action_case *c = &cases[i];
		struct arena arena = { 0 };
		struct access_action a;
		struct buf line = { 0 };
		print_message("[ case     ] %s\n", c->action);
		access_parse(bytes_of(c->action), &arena, &a);
		assert_int_equal(a.kind, c->kind);
		if (c->text)
			assert_true(bytes_eq(a.text, bytes_of(c->text)));
		assert_int_equal(a.reply.code != 0, c->reply != NULL);
		if (c->reply) {
			buf_printf(&line, "%u %s %s", a.reply.code, a.reply.enhanced, a.reply.text);
			assert_string_equal(buf_str(&line), c->reply);
		}
		buf_fini(&line);
		arena_fini(&arena);
	}
}

static void test_header(void **state)
{
	(void)state;
	struct bytes name, value;
	assert_int_equal(access_header(BYTES("X-Spam: a: b"), &name, &value), 0);
	assert_true(bytes_eq(name, BYTES("X-Spam")) && bytes_eq(value, BYTES(" a: b")));
	assert_int_equal(access_header(BYTES("X:"), &name, &value), 0);
	assert_true(bytes_eq(name, BYTES("X")) && value.n == 0);
	assert_int_equal(access_header(BYTES("X-Old : v"), &name, &value), 0);
	assert_true(bytes_eq(name, BYTES("X-Old")) && bytes_eq(value, BYTES(" v")));
	static const char *const bad[] = { "", "no colon", ": x", "two words: x", "\xc3\xa9: x" };
	for (unsigned i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(access_header(bytes_of(bad[i]), &name, &value), -EINVAL);
}

/* shows: P12 */
static void test_cut(void **state)
{
	(void)state;
	struct arena arena = { 0 };
	struct buf text = { 0 };
	struct access_action a;
	buf_add_str(&text, "REJECT ");
	while (text.n < 506)
		buf_add_char(&text, 'x');
	buf_add_str(&text, "\xc3\xb6\xc3\xb6");
	access_parse(buf_bytes(&text), &arena, &a);
	/* "554 5.7.1 ", 499 times x, and no half of a character */
	assert_int_equal(strlen(a.reply.text), 499);
	access_parse(bytes_first(buf_bytes(&text), 506), &arena, &a);
	assert_int_equal(strlen(a.reply.text), 499);
	buf_fini(&text);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
