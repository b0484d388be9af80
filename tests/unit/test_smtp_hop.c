/* test_smtp_hop.c: the SMTP and LMTP client as a next hop, against servers that behave and servers that do not. */
#include "tests/unit/delivery_fixture.h"

#define CAPS "S 250-hop\nS 250-PIPELINING\nS 250-ENHANCEDSTATUSCODES\nS 250 SIZE 1000\n"
#define CAPS_CHUNKING "S 250-hop\nS 250-PIPELINING\nS 250-CHUNKING\nS 250 8BITMIME\n"
#define MAIL "C MAIL FROM:<a@example.net> SIZE=24\n"
#define MAIL_PLAIN "C MAIL FROM:<a@example.net>\n"
#define RCPT "C RCPT TO:<b@example.org>\n"
#define GOT "== " FX_MESSAGE

/* Scripts for one connection each. */
#define SCRIPTS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* ---- the way it should be ---- */

/* MAIL, RCPT and DATA in one write, before the first reply; the content and its end in the next. */
FX_TEST(test_smtp_pipelined)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_EHLO CAPS MAIL RCPT "C DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 2.6.0 queued as 17\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.6.0 queued as 17");
	assert_int_equal(fx->outcome.delivered, 1);
	assert_string_equal(buf_str(&server.got), GOT);
	assert_string_equal(fx->txn.spans->name, "next");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* A small message and CHUNKING: all of it in one write, before the first reply. */
FX_TEST(test_lmtp_one_round_trip)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_LHLO CAPS_CHUNKING MAIL_PLAIN RCPT "B\nS 250 ok\nS 250 ok\nS 250 2.0.0 <b@example.org> Saved\neof\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 <b@example.org> Saved");
	assert_string_equal(buf_str(&server.got), "==LAST " FX_MESSAGE);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Neither EHLO nor PIPELINING: a command, a reply. */
FX_TEST(test_smtp_of_1982)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_EHLO "S 500 what?\nC HELO mx.example.org\nS 250 hop\n" MAIL_PLAIN "S 250 ok\n" RCPT "S 250 ok\nC DATA\nS 354 go\nD\nS 250 ok\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 ok");
	assert_string_equal(buf_str(&server.got), GOT);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* One connection for three messages, a refused one among them. */
FX_TEST(test_connection_is_kept)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_LHLO CAPS_CHUNKING MAIL_PLAIN RCPT "B\nS 250 ok\nS 250 ok\nS 250 first\n" /* no RSET after a success */
		    MAIL_PLAIN RCPT "B\nS 250 ok\nS 550 5.1.1 no such user here\nS 503 5.5.1 no recipients\nC RSET\nS 250 ok\n"
		    MAIL_PLAIN RCPT "B\nS 250 ok\nS 250 ok\nS 250 third\neof\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);
	static const char *const want[] = { "250 first", "550 5.1.1 no such user here", "250 third" };

	for (size_t i = 0; i < COUNT_OF(want); i++) {
		fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, want[i]);
	}
	assert_int_equal(server.connections, 1);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* After some time a kept connection has to answer MAIL before it gets a message. */
FX_TEST(test_old_connection_is_asked_first)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_LHLO CAPS_CHUNKING MAIL_PLAIN RCPT "B\nS 250 ok\nS 250 ok\nS 250 first\n" MAIL_PLAIN RCPT
			     "S 250 ok\nS 250 ok\nB\nS 250 second\neof\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	run_clock_advance(SECONDS(6));
	assert_int_equal(task_sleep(SECONDS(6)), 0);
	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 second");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

FX_TEST(test_idle_connection_is_closed)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_LHLO CAPS_CHUNKING MAIL_PLAIN RCPT "B\nS 250 ok\nS 250 ok\nS 250 first\nC QUIT\nmark quit\neof\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 first");
	run_clock_advance(SECONDS(30));
	assert_int_equal(task_sleep(SECONDS(30)), 0);
	task_group_wait(&fx->servers);
	assert_string_equal(buf_str(&fx->trace), "quit ");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* LMTP: each recipient its own answer, in the order of RCPT (RFC 2033 section 4.2). */
FX_TEST(test_lmtp_per_recipient)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_LHLO CAPS MAIL RCPT "C RCPT TO:<no@example.org>\nC RCPT TO:<full@example.org>\nC RCPT TO:<later@example.org>\nC DATA\n"
					   "S 250 ok\nS 250 ok\nS 550 5.1.1 unknown\nS 250 ok\nS 250 ok\nS 354 go\nD\n"
					   "S 250 2.0.0 saved\nS 552 5.2.2 full\nS 452 4.2.2 full for now\neof\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);

	fx_simple(fx, "b@example.org", &hop);
	fx->params.per_recipient = true;
	const struct delivery_target *t[] = { LIST_FIRST(&fx->txn.rcpts, struct gate_rcpt, link)->targets, fx_rcpt(fx, "no@example.org", &hop),
					      fx_rcpt(fx, "full@example.org", &hop), fx_rcpt(fx, "later@example.org", &hop) };
	fx_deliver(fx);
	assert_int_equal(fx->result, 0);
	fx_check_reply(&t[0]->rcpt->result, "250 2.0.0 saved");
	fx_check_reply(&t[1]->rcpt->result, "550 5.1.1 unknown");
	fx_check_reply(&t[2]->rcpt->result, "552 5.2.2 full");
	fx_check_reply(&t[3]->rcpt->result, "452 4.2.2 full for now");
	assert_int_equal(fx->outcome.delivered, 1);
	assert_int_equal(fx->outcome.refused, 2);
	assert_int_equal(fx->outcome.deferred, 1);
	assert_string_equal(buf_str(&server.got), GOT);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* ---- refusals are passed on ---- */

struct refusal {
	const char *dialogue, *want;
};

TASK_FN static void check_refusals(struct fx *fx, const struct refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct fx_server server;
		char *script = mem_printf("%s%s", FX_EHLO CAPS MAIL RCPT "C DATA\n", cases[i].dialogue);
		fx_server_start(fx, &server, SCRIPTS(script));
		struct next_hop hop = fx_hop("next", false, &server);
		fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, cases[i].want);
		assert_int_equal(fx->outcome.delivered, 0);
		assert_false(fx->outcome.uncertain);
		fx_finish(fx);
		hop.ops->fini(&hop);
		mem_free(script);
	}
}

FX_TEST(test_refusals_pass_through)
{
	static const struct refusal cases[] = {
		{ "S 550 5.7.1 not you\nS 503 5.5.1 no\nS 503 5.5.1 no\nC RSET\nS 250 ok\neof\n", "550 5.7.1 not you" },
		{ "S 451 4.7.1 greylisted\nS 503 no\nS 503 no\nC RSET\nS 250 ok\neof\n", "451 4.7.1 greylisted" },
		{ "S 250 ok\nS 550 5.1.1 unknown\nS 554 5.5.1 no valid recipients\nC RSET\nS 250 ok\neof\n", "550 5.1.1 unknown" },
		{ "S 250 ok\nS 450 4.2.0 <b@example.org>: Recipient address rejected: Greylisted\nS 554 no\nC RSET\nS 250 ok\neof\n",
		    "450 4.2.0 <b@example.org>: Recipient address rejected: Greylisted" },
		{ "S 250 ok\nS 550 no\nS 354 go all the same\neof\n", "550 no" },
		{ "S 250 ok\nS 250 ok\nS 554 5.7.0 no content\nC RSET\nS 250 ok\neof\n", "554 5.7.0 no content" },
		{ "S 250 ok\nS 250 ok\nS 354 go\nD\nS 550-5.7.1 this\nS 550 5.7.1 is spam\neof\n", "550 5.7.1 this is spam" },
		{ "S 250 ok\nS 250 ok\nS 354 go\nD\nS 452 4.3.1 disk full\neof\n", "452 4.3.1 disk full" },
		/* 421 is about this connection, not about our client's. */
		{ "S 421 4.3.2 going down\nclose\n", "451 4.3.2 going down" },
		{ "S 250 ok\nS 421 4.3.2 going down\nclose\n", "451 4.3.2 going down" },
		{ "S 250 ok\nS 250 ok\nS 421 4.3.2 going down\nclose\n", "451 4.3.2 going down" },
		{ "S 250 ok\nS 250 ok\nS 354 go\nD\nS 421 4.3.2 going down\nclose\n", "451 4.3.2 going down" },
	};
	check_refusals(fx, cases, COUNT_OF(cases));
}

/* ---- faults ---- */

FX_TEST(test_broken_servers)
{
	static const struct refusal cases[] = {
		{ "close\n", "451 4.4.2 Connection to next lost (MAIL)" },
		{ "S 250 ok\nclose\n", "451 4.4.2 Connection to next lost (RCPT)" },
		{ "S 250 ok\nS 250 ok\nclose\n", "451 4.4.2 Connection to next lost (DATA)" },
		{ "S 250 ok\nS 250 ok\nP 354 g\nclose\n", "451 4.4.2 Connection to next lost (DATA)" },
		{ "P 250 ok\nadvance 300\neof\n", "451 4.4.2 next timed out (MAIL)" },
		{ "S HTTP/1.1 400 Bad Request\neof\n", "451 4.5.0 next said what is no SMTP (MAIL)" },
		{ "S 354 what?\neof\n", "451 4.5.0 next said what is no SMTP (MAIL)" },
		{ "S 250 ok\nS 354 what?\neof\n", "451 4.5.0 next said what is no SMTP (RCPT)" },
		{ "S 250 ok\nS 250 ok\nS 250 have it already\neof\n", "451 4.5.0 next said what is no SMTP (DATA)" },
		{ "S 250-one\nS 251 two\neof\n", "451 4.5.0 next said what is no SMTP (MAIL)" },
		{ "endless\n", "451 4.5.0 next said what is no SMTP (MAIL)" },
	};
	check_refusals(fx, cases, COUNT_OF(cases));
}

/* Once the end of the content is out, silence means that it may have been taken. */
FX_TEST(test_silence_after_the_dot_is_uncertain)
{
	static const struct refusal cases[] = {
		{ "close\n", "451 4.4.2 Connection to next lost (end of content)" },
		{ "advance 239\neof\n", "451 4.4.2 next timed out (end of content)" },
		{ "S 999 gibberish\neof\n", "451 4.5.0 next said what is no SMTP (end of content)" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct fx_server server;
		char *script = mem_printf(FX_EHLO CAPS MAIL RCPT "C DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\n%s", cases[i].dialogue);
		fx_server_start(fx, &server, SCRIPTS(script));
		const char *const hosts[] = { server.host, NULL };
		const struct smtp_hop_params params = { .name = "next", .hosts = hosts, .data_timeout = SECONDS(239) };
		struct next_hop hop;
		struct buf err = { 0 };
		assert_int_equal(smtp_hop_configure(&params, &hop, &err), 0);
		const struct delivery_target *t = fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, cases[i].want);
		assert_true(t->uncertain);
		assert_false(t->delivered);
		fx_finish(fx);
		hop.ops->fini(&hop);
		mem_free(script);
	}
}

/* What a server does before MAIL is about the connection: never more than 4xx. */
FX_TEST(test_no_way_in)
{
	static const struct refusal cases[] = {
		{ "S 554 5.7.1 go away\neof\n", "451 4.4.1 next refused the connection: 554 go away" },
		{ "S 421 too busy\nclose\n", "451 4.4.1 next refused the connection: 421 too busy" },
		{ "close\n", "451 4.4.2 Connection to next lost (greeting)" },
		{ "advance 30\neof\n", "451 4.4.2 next timed out (greeting)" },
		{ "S 220 hi\nC EHLO mx.example.org\nS 450 not now\neof\n", "451 4.4.1 next refused EHLO: 450 not now" },
		{ "S 220 hi\nC EHLO mx.example.org\nS 500 no\nC HELO mx.example.org\nS 550 no\neof\n", "451 4.4.1 next refused HELO: 550 no" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct fx_server server;
		fx_server_start(fx, &server, SCRIPTS(cases[i].dialogue));
		struct next_hop hop = fx_hop("next", false, &server);
		fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, cases[i].want);
		fx_finish(fx);
		hop.ops->fini(&hop);
	}
}

FX_TEST(test_nobody_listens)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(""));
	struct next_hop hop = fx_hop("next", false, &server);

	listener_close(&server.listener);
	shutdown(server.fd, SHUT_RDWR);
	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "451 4.4.1 Cannot connect to next: Connection refused");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* ---- kept connections that have died ---- */

#define FIRST FX_EHLO CAPS MAIL RCPT "C DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 first\n"
#define SECOND FX_EHLO CAPS MAIL RCPT "C DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 second\neof\n"

FX_TEST(test_dead_kept_connections_are_replaced)
{
	static const char *const firsts[] = {
		FIRST "close\n",                                /* noticed while it is parked */
		FIRST "S 421 4.4.2 idle for too long\nclose\n", /* the same, with a word */
		FIRST "S 250 one too many\neof\n",              /* out of step */
		FIRST MAIL "close\n",                           /* at the first command */
		FIRST MAIL "S 421 4.4.2 too many messages\nclose\n",
	};

	for (size_t i = 0; i < COUNT_OF(firsts); i++) {
		struct fx_server server;
		fx_server_start(fx, &server, SCRIPTS(firsts[i], SECOND));
		struct next_hop hop = fx_hop("next", false, &server);
		for (int n = 0; n < 2; n++) {
			fx_simple(fx, "b@example.org", &hop);
			fx_deliver(fx);
			fx_check(fx, n ? "250 second" : "250 first");
		}
		assert_int_equal(server.connections, 2);
		assert_string_equal(buf_str(&server.got), GOT GOT);
		fx_finish(fx);
		hop.ops->fini(&hop);
	}
}

/* Once it has answered it is alive: what it does then is its answer. */
FX_TEST(test_kept_connection_is_replaced_only_before_it_answers)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FIRST MAIL "S 250 ok\nclose\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	for (int n = 0; n < 2; n++) {
		fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
	}
	fx_check(fx, "451 4.4.2 Connection to next lost (RCPT)");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* The whole message went to a connection that then closes without a word: it may have it, so it is not sent again. */
FX_TEST(test_message_is_not_sent_twice)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_LHLO CAPS_CHUNKING MAIL_PLAIN RCPT "B\nS 250 ok\nS 250 ok\nS 250 first\n" MAIL_PLAIN RCPT "B\nclose\n"));
	struct next_hop hop = fx_hop("dovecot", true, &server);
	const struct delivery_target *t = NULL;

	for (int n = 0; n < 2; n++) {
		t = fx_simple(fx, "b@example.org", &hop);
		fx_deliver(fx);
	}
	fx_check(fx, "451 4.4.2 Connection to dovecot lost (MAIL)");
	assert_true(t->uncertain);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* ---- what it is told, and what it cannot take ---- */

FX_TEST(test_parameters)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_EHLO "S 250-hop\nS 250-DSN\nS 250-8BITMIME\nS 250-SMTPUTF8\nS 250 SIZE\n"
			    "C MAIL FROM:<> SIZE=24 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B17\nS 250 ok\n"
			    "C RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@example.org\nS 250 ok\n"
			    "C RCPT TO:<j\xc3\xb6rg@example.org> NOTIFY=NEVER ORCPT=rfc822;list+2Bx@example.org\nS 250 ok\n"
			    "C RCPT TO:<plain@example.org>\nS 250 ok\nC DATA\nS 354 go\nD\nS 250 ok\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);
	const struct next_hop *only = &hop;

	fx_mail_from(fx, "");
	fx_content(fx, BYTES(FX_MESSAGE));
	fx->txn.sender.body = SMTP_BODY_8BITMIME;
	fx->txn.sender.ret_headers = true;
	fx->txn.sender.envid = BYTES("QQ+2B17");
	struct gate_rcpt *rcpt = fx_rcpt(fx, "b@example.org", &hop)->rcpt;
	rcpt->path.notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE;
	rcpt->path.orcpt = BYTES("rfc822;x@example.org");
	/* An alias: the next hop learns which address it was. */
	rcpt = ARENA_NEW(&fx->arena, struct gate_rcpt);
	rcpt->path.address = fx_address(fx, "list+x@example.org");
	rcpt->path.notify = SMTP_NOTIFY_NEVER;
	list_append(&fx->txn.rcpts, &rcpt->link);
	fx_target(fx, rcpt, "j\xc3\xb6rg@example.org", &only, 1);
	fx_rcpt(fx, "plain@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Refused before a word of it is sent. */
FX_TEST(test_obstacles)
{
	static const struct {
		const char *sender, *rcpt, *want;
		bool smtputf8, binary;
		size_t size;
	} cases[] = {
		{ .size = 1001, .want = "552 5.3.4 Message too large for the next hop" },
		{ .binary = true, .want = "554 5.6.3 The next hop takes no binary content" },
		{ .sender = "j\xc3\xb6rg@example.net", .want = "550 5.6.7 The next hop takes no internationalized addresses" },
		{ .rcpt = "j\xc3\xb6rg@example.org", .want = "550 5.6.7 The next hop takes no internationalized addresses" },
		{ .smtputf8 = true, .want = "554 5.6.9 The next hop takes no internationalized header" },
	};
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_EHLO CAPS "eof\n"));
	struct next_hop hop = fx_hop("next", false, &server);
	static char large[1001];

	memset(large, 'x', sizeof large);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		fx_mail_from(fx, cases[i].sender ? cases[i].sender : "a@example.net");
		fx_content(fx, cases[i].size ? bytes_make(large, cases[i].size) : BYTES("Subject: \xc3\xb6\r\n\r\n"));
		fx->txn.sender.smtputf8 = cases[i].smtputf8;
		fx->txn.sender.body = cases[i].binary ? SMTP_BODY_BINARYMIME : SMTP_BODY_7BIT;
		fx_rcpt(fx, cases[i].rcpt ? cases[i].rcpt : "b@example.org", &hop);
		fx_deliver(fx);
		fx_check(fx, cases[i].want);
	}
	assert_int_equal(server.connections, 1);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Eight bits for a server that never promised to take them: it gets them as they are. */
FX_TEST(test_eight_bits_as_they_are)
{
	struct fx_server server;
	fx_server_start(fx, &server,
	    SCRIPTS(FX_EHLO CAPS "C MAIL FROM:<a@example.net> SIZE=22\n" RCPT "C DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 ok\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);

	fx_mail_from(fx, "a@example.net");
	fx_content(fx, BYTES("Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n"));
	fx->txn.sender.body = SMTP_BODY_8BITMIME;
	fx_rcpt(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 ok");
	assert_string_equal(buf_str(&server.got), "== Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* ---- several hosts, few connections ---- */

FX_TEST(test_next_host_takes_over)
{
	struct fx_server bad, good;
	fx_server_start(fx, &bad, SCRIPTS("S 421 no\nclose\n"));
	fx_server_start(fx, &good, SCRIPTS(SECOND));
	struct next_hop hop = fx_hop_to("next", false, (const char *const[]){ bad.host, good.host, NULL });

	fx_simple(fx, "b@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 second");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

struct side {
	struct fx *fx;
	struct delivery_params params;
	struct delivery_outcome outcome;
	int result;
};

TASK_FN static void side_run(struct side *s)
{
	s->result = delivery_run(&s->params, &s->outcome);
}

/* A second delivery waits for the only connection, and then uses it. */
FX_TEST(test_connections_are_limited)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FIRST MAIL RCPT "C DATA\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 first\neof\n"));
	const char *const hosts[] = { server.host, NULL };
	const struct smtp_hop_params params = { .name = "next", .hosts = hosts, .max_connections = 1 };
	struct next_hop hop;
	struct buf err = { 0 };
	assert_int_equal(smtp_hop_configure(&params, &hop, &err), 0);
	struct gate_txn other = { .id = "test.2", .arena = &fx->arena };
	struct side side = { .fx = fx, .params = { .txn = &other, .session = &fx->session } };
	struct task_group group;

	fx_simple(fx, "b@example.org", &hop);
	other.sender = fx->txn.sender;
	other.mail = fx->txn.mail;
	list_init(&other.rcpts);
	struct gate_rcpt *rcpt = fx_rcpt(fx, "b@example.org", &hop)->rcpt;
	list_remove(&rcpt->link);
	list_append(&other.rcpts, &rcpt->link);
	task_group_init(&group);
	task_spawn(&group, "other", side_run, &side);
	fx_deliver(fx);
	fx_check(fx, "250 first");
	task_group_wait(&group);
	assert_int_equal(side.result, 0);
	fx_check_reply(&side.outcome.reply, "250 first");
	assert_int_equal(server.connections, 1);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* ---- :verify ---- */

FX_TEST(test_verify)
{
	static const struct refusal cases[] = {
		{ "S 250 ok\nS 250 2.1.5 fine\nC RSET\nS 250 ok\neof\n", "250 2.1.5 fine" },
		{ "S 250 ok\nS 550 5.1.1 unknown\nC RSET\nS 250 ok\neof\n", "550 5.1.1 unknown" },
		{ "S 550 5.1.8 bad sender\nS 503 no\nC RSET\nS 250 ok\neof\n", "550 5.1.8 bad sender" },
		{ "close\n", "451 4.4.2 Connection to next lost (MAIL)" },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct fx_server server;
		char *script = mem_printf(FX_EHLO CAPS "C MAIL FROM:<a@example.net>\n" RCPT "%s", cases[i].dialogue);
		struct smtp_reply reply;
		fx_server_start(fx, &server, SCRIPTS(script));
		struct next_hop hop = fx_hop("next", false, &server);
		fx_mail_from(fx, "a@example.net");
		const struct delivery_target *t = fx_rcpt(fx, "b@example.org", &hop);
		assert_int_equal(delivery_verify(t, &fx->txn, &fx->session, &reply), 0);
		fx_check_reply(&reply, cases[i].want);
		fx_finish(fx);
		hop.ops->fini(&hop);
		mem_free(script);
	}
}

/* ---- cancelled ---- */

FX_TEST(test_cancelled_before_the_end_nothing_is_delivered)
{
	struct fx_server server;
	fx_server_start(fx, &server, SCRIPTS(FX_EHLO CAPS MAIL RCPT "C DATA\nS 250 ok\nmark asked\neof\n"));
	struct next_hop hop = fx_hop("next", false, &server);
	struct side side = { .fx = fx };
	struct task_group group;

	fx_simple(fx, "b@example.org", &hop);
	side.params = fx->params;
	task_group_init(&group);
	task_spawn(&group, "delivery", side_run, &side);
	while (fx->trace.n == 0)
		task_yield();
	task_group_cancel(&group);
	task_group_wait(&group);
	assert_int_equal(side.result, -ECANCELED);
	assert_int_equal(side.outcome.delivered, 0);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smtp_pipelined),
		cmocka_unit_test(test_lmtp_one_round_trip),
		cmocka_unit_test(test_smtp_of_1982),
		cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_old_connection_is_asked_first),
		cmocka_unit_test(test_idle_connection_is_closed),
		cmocka_unit_test(test_lmtp_per_recipient),
		cmocka_unit_test(test_refusals_pass_through),
		cmocka_unit_test(test_broken_servers),
		cmocka_unit_test(test_silence_after_the_dot_is_uncertain),
		cmocka_unit_test(test_no_way_in),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_dead_kept_connections_are_replaced),
		cmocka_unit_test(test_kept_connection_is_replaced_only_before_it_answers),
		cmocka_unit_test(test_message_is_not_sent_twice),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_obstacles),
		cmocka_unit_test(test_eight_bits_as_they_are),
		cmocka_unit_test(test_next_host_takes_over),
		cmocka_unit_test(test_connections_are_limited),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_cancelled_before_the_end_nothing_is_delivered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
