/* test_policyd_action.c: the actions of access(5). */
#include "policyd/policyd_action.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct action_case {
	const char *action;
	enum policyd_action_kind kind;
	const char *text;               /* NULL: not looked at */
	const char *reply;              /* NULL: none */
} cases[] = {
	{ "", POLICYD_DUNNO, "", NULL },
	{ "   ", POLICYD_DUNNO, "", NULL },
	{ "DUNNO", POLICYD_DUNNO, "", NULL },
	{ "dunno whatever", POLICYD_DUNNO, "whatever", NULL },
	{ "OK", POLICYD_OK, "", NULL },
	{ "Ok trailing text is ignored", POLICYD_OK, NULL, NULL },
	{ "RELAY", POLICYD_OK, "", NULL },
	{ "1234567890", POLICYD_OK, "", NULL },
	{ "450", POLICYD_OK, "", NULL },

	{ "REJECT", POLICYD_REPLY, "", "554 5.7.1 Access denied" },
	{ "reject  Go away ", POLICYD_REPLY, "Go away", "554 5.7.1 Go away" },
	{ "REJECT\tGo away", POLICYD_REPLY, "Go away", "554 5.7.1 Go away" },
	{ "REJECT 5.1.1 No such user", POLICYD_REPLY, NULL, "554 5.1.1 No such user" },
	{ "REJECT 4.1.1 No such user", POLICYD_REPLY, NULL, "554 5.1.1 No such user" },
	{ "REJECT 5.1.1", POLICYD_REPLY, NULL, "554 5.1.1 Access denied" },
	{ "REJECT 550 x", POLICYD_REPLY, NULL, "554 5.7.1 550 x" },
	{ "REJECT 5.1.1111 x", POLICYD_REPLY, NULL, "554 5.7.1 5.1.1111 x" },
	{ "DEFER", POLICYD_REPLY, "", "450 4.7.1 Access denied" },
	{ "DEFER later", POLICYD_REPLY, NULL, "450 4.7.1 later" },
	{ "550 nope", POLICYD_REPLY, "nope", "550 5.7.1 nope" },
	{ "550 5.7.23 SPF", POLICYD_REPLY, NULL, "550 5.7.23 SPF" },
	{ "550 4.2.0 odd", POLICYD_REPLY, NULL, "550 5.2.0 odd" },
	{ "451 5.7.1 odd", POLICYD_REPLY, NULL, "451 4.7.1 odd" },
	{ "450 4.2.0 Greylisted", POLICYD_REPLY, NULL, "450 4.2.0 Greylisted" },
	{ "421 4.3.2 Bye", POLICYD_DISCONNECT, NULL, "421 4.3.2 Bye" },
	{ "521 Bye", POLICYD_DISCONNECT, NULL, "521 5.7.1 Bye" },

	{ "DEFER_IF_PERMIT", POLICYD_DEFER_IF_PERMIT, "", "450 4.7.1 Service unavailable" },
	{ "DEFER_IF_PERMIT Greylisted", POLICYD_DEFER_IF_PERMIT, NULL, "450 4.7.1 Greylisted" },
	{ "defer_if_permit 4.2.0 Greylisted", POLICYD_DEFER_IF_PERMIT, NULL, "450 4.2.0 Greylisted" },
	{ "DEFER_IF_REJECT 4.3.0 Perhaps", POLICYD_DEFER_IF_REJECT, NULL, "450 4.3.0 Perhaps" },

	{ "PREPEND X-Greylist: delayed 5 seconds", POLICYD_PREPEND, "X-Greylist: delayed 5 seconds", NULL },
	{ "HOLD", POLICYD_HOLD, "", NULL },
	{ "HOLD looks odd", POLICYD_HOLD, "looks odd", NULL },
	{ "DISCARD spam", POLICYD_DISCARD, "spam", NULL },
	{ "WARN look", POLICYD_WARN, "look", NULL },
	{ "INFO seen", POLICYD_INFO, "seen", NULL },

	{ "FILTER smtp:[127.0.0.1]:10024", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "REDIRECT a@example.org", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "BCC a@example.org", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "permit_mynetworks, reject", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "REJECTED", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "250 fine", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "550-x", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
	{ "DELAY 5", POLICYD_UNSUPPORTED, NULL, "451 4.3.5 Server configuration error" },
};

static void test_actions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		const struct action_case *c = &cases[i];
		struct arena arena = { 0 };
		struct policyd_action a;
		struct buf line = { 0 };
		print_message("[ case     ] %s\n", c->action);
		policyd_action_parse(bytes_of(c->action), &arena, &a);
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
	assert_int_equal(policyd_action_header(BYTES("X-Spam: a: b"), &name, &value), 0);
	assert_true(bytes_eq(name, BYTES("X-Spam")) && bytes_eq(value, BYTES("a: b")));
	assert_int_equal(policyd_action_header(BYTES("X:"), &name, &value), 0);
	assert_true(bytes_eq(name, BYTES("X")) && value.n == 0);
	static const char *const bad[] = { "", "no colon", ": x", "two words: x", "\xc3\xa9: x" };
	for (unsigned i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(policyd_action_header(bytes_of(bad[i]), &name, &value), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
