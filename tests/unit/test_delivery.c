/* test_delivery.c: several recipients and next hops, one verdict: prepare, commit, roll back, remember (docs/delivery.md). */
#include "tests/unit/delivery_fixture.h"

#define CAPS "S 250-hop\nS 250 PIPELINING\n"
#define MAIL "C MAIL FROM:<a@example.net>\n"
#define ASK(rcpt) FX_EHLO CAPS MAIL "C RCPT TO:<" rcpt "@example.org>\nC DATA\n"
/* The whole conversation about one recipient that is taken. */
#define TAKES(rcpt) ASK(rcpt) "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 2.0.0 taken\neof\n"
/* Ready to take it, but it never gets the final dot. */
#define HOLDS(rcpt) ASK(rcpt) "S 250 ok\nS 250 ok\nS 354 go\nheld\n"
#define REFUSES(rcpt) ASK(rcpt) "S 250 ok\nS 550 5.1.1 unknown\nS 503 no\nC RSET\nS 250 ok\neof\n"
#define DELAYS(rcpt) ASK(rcpt) "S 250 ok\nS 450 4.2.1 busy\nS 503 no\nC RSET\nS 250 ok\neof\n"
#define GOT "== " FX_MESSAGE

#define SCRIPTS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* Two next hops, each with one server, and a message for b@ on the first and c@ on the second. */
struct pair {
	struct fx_server one, two;
	struct next_hop hop_one, hop_two;
	struct delivery_target *b, *c;
};

static void pair_message(struct fx *fx, struct pair *p)
{
	p->b = fx_simple(fx, "b@example.org", &p->hop_one);
	p->c = fx_rcpt(fx, "c@example.org", &p->hop_two);
}

static void pair_start(struct fx *fx, struct pair *p, const char *const *one, const char *const *two)
{
	fx_server_start(fx, &p->one, one);
	fx_server_start(fx, &p->two, two);
	p->hop_one = fx_hop("one", false, &p->one);
	p->hop_two = fx_hop("two", false, &p->two);
	pair_message(fx, p);
}

TASK_FN static void pair_finish(struct fx *fx, struct pair *p)
{
	fx_finish(fx);
	p->hop_one.ops->fini(&p->hop_one);
	p->hop_two.ops->fini(&p->hop_two);
}

/* ---- all or nobody ---- */

/* No final dot before everybody is prepared, and then to all of them. */
FX_TEST(test_commit_waits_for_all)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(ASK("b") "S 250 ok\nS 250 ok\nS 354 go\nD\nmark dot-one\nS 250 2.0.0 one\neof\n"),
	    SCRIPTS(ASK("c") "sleep 10\nmark ready-two\nS 250 ok\nS 250 ok\nS 354 go\nD\nmark dot-two\nS 250 2.0.0 two\neof\n"));

	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	assert_int_equal(fx->outcome.delivered, 2);
	assert_false(fx->outcome.uncertain);
	assert_string_equal(buf_str(&fx->trace), "ready-two dot-one dot-two ");
	assert_string_equal(buf_str(&p.one.got), GOT);
	assert_string_equal(buf_str(&p.two.got), GOT);
	fx_check_reply(&p.b->rcpt->result, "250 2.0.0 one");
	fx_check_reply(&p.c->rcpt->result, "250 2.0.0 two");
	assert_true(fx->txn.spans && fx->txn.spans->next);
	pair_finish(fx, &p);
}

/* With CHUNKING the content is one BDAT, acknowledged, and the end an empty last one. */
FX_TEST(test_commit_by_bdat)
{
	static const char script[] = FX_EHLO "S 250-hop\nS 250-PIPELINING\nS 250 CHUNKING\n" MAIL "C RCPT TO:<*\nS 250 ok\nS 250 ok\nB\nS 250 got it\nB\nS 250 ok\neof\n";
	struct pair p;
	pair_start(fx, &p, SCRIPTS(script), SCRIPTS(script));

	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	assert_string_equal(buf_str(&p.one.got), "== " FX_MESSAGE "==LAST ");
	assert_string_equal(buf_str(&p.two.got), "== " FX_MESSAGE "==LAST ");
	pair_finish(fx, &p);
}

FX_TEST(test_delay_of_one_rolls_all_back)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(HOLDS("b")), SCRIPTS(DELAYS("c")));

	fx_deliver(fx);
	fx_check(fx, "450 4.2.1 busy");
	assert_int_equal(fx->outcome.delivered, 0);
	assert_int_equal(fx->outcome.deferred, 2);
	fx_check_reply(&p.b->rcpt->result, "450 4.2.1 busy");
	pair_finish(fx, &p);
}

FX_TEST(test_refusal_of_all_passes_through)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(REFUSES("b")), SCRIPTS(REFUSES("c")));

	fx_deliver(fx);
	fx_check(fx, "550 5.1.1 unknown");
	assert_int_equal(fx->outcome.refused, 2);
	pair_finish(fx, &p);
}

/* Both on one next hop: one connection, and the refusal is known before the content. */
FX_TEST(test_one_group_with_a_refusal)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_EHLO CAPS MAIL "C RCPT TO:<b@example.org>\nC RCPT TO:<c@example.org>\nC DATA\nS 250 ok\nS 250 ok\nS 550 5.1.1 unknown\nS 354 go\nheld\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_rcpt(fx, "c@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "550 5.1.1 <c@example.org>: unknown");
	assert_string_equal(buf_str(&server.got), "== ");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* The first dot alone: it is refused, so nobody has the message yet and the others can be spared. */
FX_TEST(test_first_dot_refused)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(ASK("b") "S 250 ok\nS 250 ok\nS 354 go\nD\nS 451 4.3.0 try again\neof\n"), SCRIPTS(HOLDS("c")));

	fx_deliver(fx);
	fx_check(fx, "451 4.3.0 try again");
	assert_int_equal(fx->outcome.delivered, 0);
	assert_false(fx->outcome.uncertain);
	pair_finish(fx, &p);
}

/* ---- some refused, others not: nothing is lost, and it ends ---- */

FX_TEST(test_some_refused_without_journal)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(HOLDS("b")), SCRIPTS(REFUSES("c")));

	fx_deliver(fx);
	fx_check(fx, "550 5.1.1 <c@example.org>: unknown");
	fx_check_reply(&p.b->rcpt->result, "550 5.1.1 <c@example.org>: unknown");
	fx_check_reply(&p.c->rcpt->result, "550 5.1.1 unknown");
	assert_false(delivery_doubtful(p.c, &fx->txn));
	pair_finish(fx, &p);
}

/* The client comes again, RCPT is verified for the one that was refused, and the rest of the message arrives. */
FX_TEST(test_some_refused_then_alone_at_rcpt)
{
	struct pair p;
	struct smtp_reply reply;
	fx_use_journal(fx);
	pair_start(fx, &p, SCRIPTS(HOLDS("b"), TAKES("b")),
	    SCRIPTS(REFUSES("c") /* which ends the connection in this test */,
		FX_EHLO CAPS MAIL "C RCPT TO:<c@example.org>\nS 250 ok\nS 550 5.1.1 unknown\nC RSET\nS 250 ok\neof\n"));

	fx_deliver(fx);
	fx_check(fx, "451 4.1.1 <c@example.org>: unknown");
	fx_check_reply(&p.c->rcpt->result, "451 4.1.1 <c@example.org>: unknown");
	smtp_hop_close_all();

	pair_message(fx, &p);
	assert_false(delivery_doubtful(p.b, &fx->txn));
	assert_true(delivery_doubtful(p.c, &fx->txn));
	assert_int_equal(delivery_verify(p.c, &fx->txn, &fx->session, &reply), 0);
	fx_check_reply(&reply, "550 5.1.1 unknown");
	list_remove(&p.c->rcpt->link);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 taken");
	assert_string_equal(buf_str(&p.one.got), "== " FX_MESSAGE GOT);
	pair_finish(fx, &p);
}

/* The refusal does not show at RCPT: the second time is the last. */
FX_TEST(test_some_refused_twice)
{
	struct pair p;
	fx_use_journal(fx);
	pair_start(fx, &p, SCRIPTS(HOLDS("b"), HOLDS("b")), SCRIPTS(REFUSES("c"), REFUSES("c")));

	fx_deliver(fx);
	fx_check(fx, "451 4.1.1 <c@example.org>: unknown");
	smtp_hop_close_all();
	pair_message(fx, &p);
	fx_deliver(fx);
	fx_check(fx, "550 5.1.1 <c@example.org>: unknown");
	pair_finish(fx, &p);
}

/* ---- some have it, others do not: nobody gets it twice ---- */

FX_TEST(test_second_commit_fails_and_retry_delivers_only_that)
{
	struct pair p;
	fx_use_journal(fx);
	pair_start(fx, &p, SCRIPTS(TAKES("b")), SCRIPTS(ASK("c") "S 250 ok\nS 250 ok\nS 354 go\nD\nS 452 4.3.1 disk full\neof\n", TAKES("c"), TAKES("c")));

	fx_deliver(fx);
	fx_check(fx, "452 4.3.1 disk full");
	assert_int_equal(fx->outcome.delivered, 1);
	assert_int_equal(fx->outcome.deferred, 1);
	assert_true(fx->outcome.uncertain);
	delivery_unanswered(&fx->params, &fx->outcome);
	smtp_hop_close_all();

	pair_message(fx, &p);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	assert_true(p.b->delivered_before);
	assert_int_equal(fx->outcome.delivered, 2);
	assert_int_equal(p.one.connections, 1);
	assert_int_equal(p.two.connections, 2);
	smtp_hop_close_all();

	/* Another message is another message. */
	fx_mail_from(fx, "a@example.net");
	fx_content(fx, BYTES("Subject: test\r\n\r\nHallo\r\n"));
	fx_rcpt(fx, "c@example.org", &p.hop_two);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 taken");
	pair_finish(fx, &p);
}

/* The worker that remembered is gone; the next one knows. */
FX_TEST(test_memory_outlives_the_worker)
{
	struct pair p;
	fx_use_journal(fx);
	pair_start(fx, &p, SCRIPTS(TAKES("b")), SCRIPTS(ASK("c") "S 250 ok\nS 250 ok\nS 354 go\nD\nclose\n", TAKES("c")));

	fx_deliver(fx);
	fx_check(fx, "451 4.4.2 Connection to two lost (end of content)");
	assert_true(p.c->uncertain);
	delivery_fini();
	fx_use_journal(fx);
	pair_message(fx, &p);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	assert_int_equal(p.one.connections, 1);
	pair_finish(fx, &p);
}

/* RFC 1047: the client is gone before it could read the 250.  It comes again, misses the answer again, and once more: then it has it. */
FX_TEST(test_unanswered_message_comes_again)
{
	struct fx_server server;
	fx_use_journal(fx);
	fx_server_start(fx, &server, SCRIPTS(TAKES("b"), TAKES("b")));
	struct next_hop hop = fx_hop("next", false, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 taken");
	delivery_unanswered(&fx->params, &fx->outcome);
	smtp_hop_close_all();
	for (int i = 0; i < 3; i++) {
		fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, "250 2.0.0 Delivered before");
		assert_int_equal(fx->outcome.delivered, 1);
		if (i < 2)
			delivery_unanswered(&fx->params, &fx->outcome);
	}
	assert_int_equal(server.connections, 1);

	/* Settled: the same once more is a new message, as from a program that has only one thing to say. */
	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 taken");
	assert_int_equal(server.connections, 2);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* A normal delivery leaves nothing in the journal: a second copy that a client sends on purpose is delivered. */
FX_TEST(test_answered_message_is_not_remembered)
{
	struct fx_server server;
	fx_use_journal(fx);
	fx_server_start(fx, &server, SCRIPTS(TAKES("b"), TAKES("b")));
	struct next_hop hop = fx_hop("next", false, &server);

	for (int i = 0; i < 2; i++) {
		fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, "250 2.0.0 taken");
		smtp_hop_close_all();
	}
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* LMTP with one verdict: one recipient has it, one is refused at the end.  The client comes again and hears the refusal. */
FX_TEST(test_mixed_end_of_one_lmtp_group)
{
	struct fx_server server;
	fx_use_journal(fx);
	fx_server_start(fx, &server,
	    SCRIPTS(FX_LHLO CAPS MAIL "C RCPT TO:<b@example.org>\nC RCPT TO:<c@example.org>\nC DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 saved\nS 552 5.2.2 full\n"
			    MAIL "C RCPT TO:<c@example.org>\nC DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 552 5.2.2 full\neof\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_rcpt(fx, "c@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "451 4.2.2 <c@example.org>: full");
	assert_true(fx->outcome.uncertain);
	fx_simple(fx, "b@example.org", &hop);
	fx_rcpt(fx, "c@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "552 5.2.2 full");
	assert_string_equal(buf_str(&server.got), GOT GOT);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Cancelled in the middle of the second commit: what was delivered is remembered though nobody was answered. */
struct side {
	struct fx *fx;
	int result;
};

TASK_FN static void side_run(struct side *s)
{
	s->result = delivery_run(&s->fx->params, &s->fx->outcome);
}

FX_TEST(test_cancelled_between_commits)
{
	struct pair p;
	struct side side = { .fx = fx };
	struct task_group group;
	fx_use_journal(fx);
	pair_start(fx, &p, SCRIPTS(TAKES("b")),
	    SCRIPTS(ASK("c") "S 250 ok\nS 250 ok\nS 354 go\nD\nmark dot-two\neof\n", TAKES("c")));

	task_group_init(&group);
	task_spawn(&group, "delivery", side_run, &side);
	while (fx->trace.n == 0)
		task_yield();
	task_group_cancel(&group);
	task_group_wait(&group);
	assert_int_equal(side.result, -ECANCELED);
	assert_true(p.b->delivered);
	smtp_hop_close_all();
	pair_message(fx, &p);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	assert_int_equal(p.one.connections, 1);
	pair_finish(fx, &p);
}

/* ---- fail over, deadline ---- */

FX_TEST(test_fail_over_in_order)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(DELAYS("b")), SCRIPTS(TAKES("b")));
	const struct next_hop *both[] = { &p.hop_one, &p.hop_two };

	fx_mail_from(fx, "a@example.net");
	fx_content(fx, BYTES(FX_MESSAGE));
	fx_target(fx, NULL, "b@example.org", both, 2);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 taken");
	assert_string_equal(buf_str(&p.one.got), "");
	pair_finish(fx, &p);
}

/* A refusal is an answer, not a failure; and what may have been delivered is not tried elsewhere. */
FX_TEST(test_no_fail_over)
{
	static const struct {
		const char *one, *want;
	} cases[] = {
		{ REFUSES("b"), "550 5.1.1 unknown" },
		{ ASK("b") "S 250 ok\nS 250 ok\nS 354 go\nD\nclose\n", "451 4.4.2 Connection to one lost (end of content)" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair p;
		pair_start(fx, &p, SCRIPTS(cases[i].one), SCRIPTS(NULL));
		const struct next_hop *both[] = { &p.hop_one, &p.hop_two };
		fx_mail_from(fx, "a@example.net");
		fx_content(fx, BYTES(FX_MESSAGE));
		fx_target(fx, NULL, "b@example.org", both, 2);
		fx_deliver(fx);
		fx_check(fx, cases[i].want);
		assert_int_equal(p.two.connections, 0);
		pair_finish(fx, &p);
	}
}

FX_TEST(test_deadline_rolls_back)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(HOLDS("b")), SCRIPTS(ASK("c") "S 250 ok\nadvance 240\neof\n"));
	int64_t start = run_now();

	fx_deliver(fx);
	assert_int_equal(fx->result, 0);
	assert_int_equal(fx->outcome.reply.code, 451);
	assert_int_equal(fx->outcome.delivered, 0);
	assert_int_equal((run_now() - start) / SECONDS(1), 240);
	pair_finish(fx, &p);
}

/* ---- targets ---- */

FX_TEST(test_no_targets)
{
	fx_mail_from(fx, "a@example.net");
	fx_content(fx, BYTES(FX_MESSAGE));
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Ok");
	fx_finish(fx);
}

/* Two recipients of one SMTP transaction: what it said of the message is said to our client. */
FX_TEST(test_one_group)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_EHLO CAPS MAIL "C RCPT TO:<b@example.org>\nC RCPT TO:<c@example.org>\nC DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 2.0.0 queued as 17\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_rcpt(fx, "c@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 queued as 17");
	assert_int_equal(fx->outcome.delivered, 2);
	assert_string_equal(buf_str(&server.got), GOT);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* An alias of two: both in one transaction, and what they are called is not told to the client. */
FX_TEST(test_alias)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_EHLO CAPS MAIL "C RCPT TO:<x@example.org>\nC RCPT TO:<y@example.org>\nC DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 x and y\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);
	const struct next_hop *only = &hop;

	fx_mail_from(fx, "a@example.net");
	fx_content(fx, BYTES(FX_MESSAGE));
	struct gate_rcpt *rcpt = ARENA_NEW(&fx->arena, struct gate_rcpt);
	rcpt->path.address = fx_address(fx, "list@example.org");
	list_append(&fx->txn.rcpts, &rcpt->link);
	fx_target(fx, rcpt, "x@example.org", &only, 1);
	fx_target(fx, rcpt, "y@example.org", &only, 1);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	fx_check_reply(&rcpt->result, "250 2.0.0 Delivered");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* More recipients than a next hop takes at once: two transactions side by side, and still one verdict. */
FX_TEST(test_many_recipients_are_split)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_EHLO CAPS MAIL "C RCPT TO:<*\nC RCPT TO:<*\nC DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 ok\neof\n",
					 FX_EHLO CAPS MAIL "C RCPT TO:<*\nC DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 ok\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	hop.max_rcpts = 2;
	fx_simple(fx, "b@example.org", &hop);
	fx_rcpt(fx, "c@example.org", &hop);
	fx_rcpt(fx, "d@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	assert_int_equal(fx->outcome.delivered, 3);
	assert_int_equal(server.connections, 2);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Each recipient its own verdict: nobody is rolled back for another's sake. */
FX_TEST(test_per_recipient)
{
	struct pair p;
	pair_start(fx, &p, SCRIPTS(TAKES("b")), SCRIPTS(DELAYS("c")));

	fx->params.per_recipient = true;
	fx_deliver(fx);
	assert_int_equal(fx->result, 0);
	fx_check_reply(&p.b->rcpt->result, "250 2.0.0 taken");
	fx_check_reply(&p.c->rcpt->result, "450 4.2.1 busy");
	assert_string_equal(buf_str(&p.one.got), GOT);
	pair_finish(fx, &p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commit_waits_for_all),
		cmocka_unit_test(test_commit_by_bdat),
		cmocka_unit_test(test_delay_of_one_rolls_all_back),
		cmocka_unit_test(test_refusal_of_all_passes_through),
		cmocka_unit_test(test_one_group_with_a_refusal),
		cmocka_unit_test(test_first_dot_refused),
		cmocka_unit_test(test_some_refused_without_journal),
		cmocka_unit_test(test_some_refused_then_alone_at_rcpt),
		cmocka_unit_test(test_some_refused_twice),
		cmocka_unit_test(test_second_commit_fails_and_retry_delivers_only_that),
		cmocka_unit_test(test_memory_outlives_the_worker),
		cmocka_unit_test(test_unanswered_message_comes_again),
		cmocka_unit_test(test_answered_message_is_not_remembered),
		cmocka_unit_test(test_mixed_end_of_one_lmtp_group),
		cmocka_unit_test(test_cancelled_between_commits),
		cmocka_unit_test(test_fail_over_in_order),
		cmocka_unit_test(test_no_fail_over),
		cmocka_unit_test(test_deadline_rolls_back),
		cmocka_unit_test(test_no_targets),
		cmocka_unit_test(test_one_group),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_many_recipients_are_split),
		cmocka_unit_test(test_per_recipient),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
