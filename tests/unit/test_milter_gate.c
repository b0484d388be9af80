/* test_milter_gate.c: the milter host against a milter that says what each test wants. */
#include "tests/unit/fake_milter.h"

static struct fixture f;
static struct fake_milter fake;
static struct gate gate;

static void clear(void)
{
	fake = (struct fake_milter){ .actions = 0x1ff };
}

TASK_FN static void begin_as(enum milter_compat compat)
{
	fake_milter_start(&fake);
	fake_milter_gate(&fake, "fake", compat, &gate);
	fixture_init(&f);
	chain_attach(&f.chain, &gate);
}

TASK_FN static void begin(void)
{
	begin_as(MILTER_COMPAT_SENDMAIL);
}

TASK_FN static void end(void)
{
	chain_close(&f.chain, true);
	fixture_fini(&f);
	fake_milter_stop(&fake);
	milter_unconfigure(&gate);
	clear();
}

TASK_FN static struct gate_verdict ask_args(enum gate_stage stage, const struct chain_args *args)
{
	struct gate_verdict v;
	assert_int_equal(chain_event(&f.chain, stage, args, &v), 0);
	return v;
}

TASK_FN static struct gate_verdict ask(enum gate_stage stage)
{
	return ask_args(stage, &(struct chain_args){ .txn = f.txn.arena ? &f.txn : NULL });
}

TASK_FN static struct gate_verdict ask_rcpt(const char *to)
{
	struct gate_rcpt *rcpt = fixture_rcpt_new(&f, to);
	struct gate_verdict v = ask_args(GATE_RCPT, &(struct chain_args){ .txn = &f.txn, .rcpt = rcpt });
	if (v.action == GATE_CONTINUE) {
		list_append(&f.txn.rcpts, &rcpt->link);
		f.txn.rcpt_count++;
	}
	return v;
}

#define assert_goes_on(v) assert_int_equal((v).action, GATE_CONTINUE)
#define assert_verdict(v, a, c, e, t)                                                                                  \
	do {                                                                                                            \
		struct gate_verdict got = (v);                                                                          \
		assert_int_equal(got.action, a);                                                                        \
		assert_int_equal(got.reply.code, c);                                                                    \
		assert_string_equal(got.reply.enhanced, e);                                                             \
		assert_string_equal(got.reply.text, t);                                                                 \
	} while (0)
#define assert_failed(v) assert_verdict(v, GATE_TEMPFAIL, 451, "4.7.1", "Service unavailable - try again later")

/* What the filter was told, once it has read it all. */
#define assert_told(want)                                                                                              \
	do {                                                                                                            \
		fake_milter_settle();                                                                                   \
		assert_string_equal(buf_str(&fake.trace), want);                                                        \
		buf_clear(&fake.trace);                                                                                 \
	} while (0)

static const char content[] = "Received: there\r\nSubject: one\r\nX-Fold: a\r\n\t b\r\n\r\nbody\r\n";

/* From CONNECT to DATA; what is refused on the way ends it. */
TASK_FN static struct gate_verdict envelope(void)
{
	struct gate_verdict v = ask(GATE_CONNECT);
	if (v.action == GATE_CONTINUE)
		v = ask(GATE_EHLO);
	fixture_mail(&f, "FROM:<s@example.org> SIZE=100 BODY=8BITMIME");
	if (v.action == GATE_CONTINUE)
		v = ask(GATE_MAIL);
	if (v.action == GATE_CONTINUE)
		v = ask_rcpt("TO:<a@example.org>");
	return v.action == GATE_CONTINUE ? ask(GATE_DATA) : v;
}

TASK_FN static struct gate_verdict transaction(void)
{
	struct gate_verdict v = envelope();
	if (v.action != GATE_CONTINUE)
		return v;
	fixture_content(&f, bytes_of(content));
	mail_trace_prepend(f.txn.mail, BYTES("Received: here\r\n"));
	return ask(GATE_MESSAGE);
}

/* The message now is HEADER, an empty line and BODY. */
static void assert_message(const char *want)
{
	struct buf now = { 0 };
	fixture_message(&f, &now);
	assert_string_equal(buf_str(&now), want);
	buf_fini(&now);
}

/* ---- the way of a message ---- */

TASK_FN static void conversation(void *arg)
{
	(void)arg;
	fake.verbose = true;
	begin();
	assert_goes_on(ask(GATE_CONNECT));
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fake.trace), "DCj|mx.example.org|_|client.test [192.0.2.1]|{daemon_name}|mx.example.org|"));
	assert_non_null(strstr(buf_str(&fake.trace), " Cclient.test|4\x9c@192.0.2.1|"));
	buf_clear(&fake.trace);
	assert_goes_on(ask(GATE_EHLO));
	assert_told("DH Hclient.test|");
	fixture_mail(&f, "FROM:<S@Example.ORG> Size=100 BODY=8BITMIME");
	assert_goes_on(ask(GATE_MAIL)); /* M13: verbatim; M10: the macro folded */
	assert_told("DMi|4f2a91.3c.1|{mail_mailer}|smtp|{mail_host}|example.org|{mail_addr}|S@Example.ORG| "
		    "M<S@Example.ORG>|Size=100|BODY=8BITMIME|");
	assert_goes_on(ask_rcpt("TO:<a@example.org> NOTIFY=NEVER"));
	assert_told("DR{rcpt_mailer}|smtp|{rcpt_host}|example.org|{rcpt_addr}|a@example.org| R<a@example.org>|NOTIFY=NEVER|");
	assert_goes_on(ask(GATE_DATA));
	assert_told("T");
	fixture_content(&f, bytes_of(content));
	mail_trace_prepend(f.txn.mail, BYTES("Received: here\r\n"));
	assert_goes_on(ask(GATE_MESSAGE)); /* our own trace field is not shown (M21) */
	assert_told("LReceived|there| LSubject|one| LX-Fold|a\\n\t b| N Bbody\\r\\n DE E");
	chain_abort(&f.chain, &f.txn, true);
	fixture_txn_fini(&f);
	chain_close(&f.chain, true); /* Sendmail says no ABORT after a message that is over */
	assert_told("Q");
	end();
}

/* Postfix's way with macros: before everything, even when there are none (M5, M6, M7). */
TASK_FN static void conversation_postfix(void *arg)
{
	(void)arg;
	begin_as(MILTER_COMPAT_POSTFIX);
	assert_goes_on(transaction());
	assert_told("O DC C DH H DM M DR R DT T DL L DL L DL L DN N DB B DE E");
	fake.verbose = true;
	chain_abort(&f.chain, &f.txn, true);
	fixture_txn_fini(&f);
	fixture_mail(&f, "FROM:<>");
	assert_goes_on(ask(GATE_MAIL));
	assert_told("A DM{mail_addr}||{mail_host}|mx.example.org|{mail_mailer}|smtp| M<>|");
	assert_goes_on(ask_rcpt("TO:<a@example.org>"));
	assert_told("DR{rcpt_addr}|a@example.org|{rcpt_host}|example.org|{rcpt_mailer}|smtp| R<a@example.org>|");
	assert_goes_on(ask_rcpt("TO:<b@example.org>"));
	assert_told("DRi|4f2a91.3c.1|{rcpt_addr}|b@example.org|{rcpt_host}|example.org|{rcpt_mailer}|smtp| R<b@example.org>|");
	end();
}

/* An answer only at the end: nothing is sent before it, then all at once, in order. */
TASK_FN static void unanswered(void *arg)
{
	(void)arg;
	fake.protocol = 0xff080 | SMFIP_HDR_LEADSPC;
	begin_as(MILTER_COMPAT_FULL);
	assert_goes_on(envelope());
	assert_told("O");
	fixture_content(&f, bytes_of(content));
	assert_goes_on(ask(GATE_MESSAGE));
	assert_told("DC C DH H DM M DR R DT T DN L L L N B DE E");
	end();
}

/* A filter that answers everything is sent the content in one piece all the same, and its answers are read together.  One that decides in the
 * midst of it is left, and met again with the next message. */
TASK_FN static void answered_together(void *arg)
{
	(void)arg;
	static const struct {
		char event;
		const char *reply;
		unsigned skip;
		enum gate_action action;
		bool left;
	} cases[] = {
		{ 'L', "c", 0, GATE_CONTINUE, false },
		{ 'L', "r", 0, GATE_REJECT, true },
		{ 'L', "t", 2, GATE_TEMPFAIL, true },
		{ 'L', "s", 0, GATE_CONTINUE, false },
		{ 'L', "a", 1, GATE_CONTINUE, true },
		{ 'N', "d", 0, GATE_DISCARD, true },
		{ 'B', "r", 0, GATE_REJECT, true },
		{ 'B', "s", 0, GATE_CONTINUE, false },
		{ 'E', "r", 0, GATE_REJECT, false },
		{ 'L', "4", 1, GATE_DISCONNECT, true },
		{ 'B', "4", 0, GATE_DISCONNECT, true },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.replies[(unsigned char)cases[i].event] = REPLIES(bytes_of(cases[i].reply));
		fake.skip[(unsigned char)cases[i].event] = cases[i].skip;
		begin_as(MILTER_COMPAT_FULL);
		assert_int_equal(transaction().action, cases[i].action);
		fake_milter_settle();
		assert_non_null(strstr(buf_str(&fake.trace), "O DC C DH H DM M DR R DT T DN L L L N B DE E"));
		assert_int_equal(fake.tasks.count, cases[i].left ? 0 : 1);
		chain_abort(&f.chain, &f.txn, false);
		fixture_txn_fini(&f);
		fake.replies[(unsigned char)cases[i].event] = NULL;
		fake_milter_settle();
		buf_clear(&fake.trace);
		fixture_mail(&f, "FROM:<s@example.org>");
		assert_goes_on(ask(GATE_MAIL));
		/* Who shuts a session down is told no more of it. */
		assert_told(cases[i].action == GATE_DISCONNECT ? "" : cases[i].left ? "O DC C DH H DM M" : "DM M");
		end();
	}
}

/* More header fields than answers are waited for at once. */
TASK_FN static void many_headers(void *arg)
{
	(void)arg;
	struct buf b = { 0 };
	for (unsigned i = 0; i < 500; i++)
		buf_printf(&b, "X-%u: v\r\n", i);
	buf_add_str(&b, "\r\nbody\r\n");
	begin_as(MILTER_COMPAT_FULL);
	assert_goes_on(envelope());
	fixture_content(&f, buf_bytes(&b));
	fake.verbose = true;
	assert_goes_on(ask(GATE_MESSAGE));
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fake.trace), " LX-0|v| LX-1|v|"));
	assert_non_null(strstr(buf_str(&fake.trace), " LX-498|v| LX-499|v| N Bbody\\r\\n DE"));
	buf_fini(&b);
	end();
}

TASK_FN static void unwanted(void *arg)
{
	(void)arg;
	static const struct {
		uint32_t protocol;
		enum milter_compat compat;
		const char *told;
	} cases[] = {
		{ 0x37f, MILTER_COMPAT_SENDMAIL, "O DC DH DM DR DE E" }, /* M4: all the NO* */
		{ 0x37f, MILTER_COMPAT_POSTFIX, "O DC DH DM DR DT DE E" }, /* M6: macros all the same */
		{ SMFIP_NOBODY | SMFIP_NOHELO, MILTER_COMPAT_SENDMAIL, "O DC C DH DM M DR R T L L L N DE E" },
		{ SMFIP_NOHDRS | SMFIP_NOEOH, MILTER_COMPAT_SENDMAIL, "O DC C DH H DM M DR R T B DE E" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.protocol = cases[i].protocol;
		begin_as(cases[i].compat);
		assert_goes_on(transaction());
		assert_told(cases[i].told);
		end();
	}
}

/* M2: what a version does not know it is not told. */
TASK_FN static void versions(void *arg)
{
	(void)arg;
	static const char *const told[] = {
		[2] = "O C H M R L L L N B E",
		[3] = "O C H M U R L L L N B E",
		[4] = "O C H M U R T L L L N B E",
		[5] = "O C H M U R T L L L N B E",
		[6] = "O C H M U R T L L L N B E",
	};
	for (unsigned version = 2; version <= 6; version++) {
		fake.version = version;
		fake.symbols = BYTES("\0\0\0\0\0" "\0\0\0\1\0" "\0\0\0\2\0" "\0\0\0\3\0" "\0\0\0\4\0" "\0\0\0\5\0" "\0\0\0\6\0");
		begin();
		assert_goes_on(ask(GATE_CONNECT));
		assert_goes_on(ask(GATE_EHLO));
		fixture_mail(&f, "FROM:<s@example.org>");
		assert_goes_on(ask(GATE_MAIL));
		assert_goes_on(ask_args(GATE_UNKNOWN, &(struct chain_args){ .txn = &f.txn, .line = BYTES("FOO bar") }));
		assert_goes_on(ask_rcpt("TO:<a@example.org>"));
		assert_goes_on(ask(GATE_DATA));
		fixture_content(&f, bytes_of(content));
		assert_goes_on(ask(GATE_MESSAGE));
		assert_told(told[version]);
		end();
	}
}

/* M3; an empty list is none, but for Postfix. */
TASK_FN static void symbols(void *arg)
{
	(void)arg;
	fake.verbose = true;
	fake.symbols = BYTES("\0\0\0\2i, {nope} {auth_type} {client_addr}\0" "\0\0\0\1\0");
	begin_as(MILTER_COMPAT_POSTFIX);
	f.session.tls = &(struct tls_info){ .protocol = "TLSv1.3", .cipher = "X", .cipher_bits = 256 };
	assert_goes_on(ask(GATE_CONNECT));
	buf_clear(&fake.trace);
	assert_goes_on(ask(GATE_EHLO));
	assert_told("DH{tls_version}|TLSv1.3|{cipher}|X|{cipher_bits}|256| Hclient.test|");
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_told("DM{client_addr}|192.0.2.1| M<s@example.org>|");
	end();
}

/* ---- verdicts ---- */

TASK_FN static void verdicts(void *arg)
{
	(void)arg;
	static const char reject[] = "Command rejected", later[] = "Please try again later", bye[] = "Server closing connection";
	static const struct {
		char event;
		const char *reply;
		enum gate_action action;
		unsigned code;
		const char *enhanced, *text;
		bool more;      /* the filter hears of a following RCPT or MAIL */
	} cases[] = {
		{ 'C', "r", GATE_REJECT, 550, "5.7.1", reject, false }, /* M33 */
		{ 'C', "t", GATE_TEMPFAIL, 451, "4.3.2", later, false },
		{ 'C', "y421 4.7.0 bye", GATE_DISCONNECT, 421, "4.7.0", "bye", false },
		{ 'C', "4", GATE_DISCONNECT, 421, "4.7.0", bye, false },
		{ 'H', "r", GATE_REJECT, 550, "5.7.1", reject, false },
		{ 'H', "y554 5.5.4 who?", GATE_REJECT, 554, "5.5.4", "who?", false },
		{ 'M', "r", GATE_REJECT, 550, "5.7.1", reject, true },
		{ 'M', "t", GATE_TEMPFAIL, 451, "4.3.2", later, true },
		{ 'M', "y450 4.2.0 greylisted", GATE_TEMPFAIL, 450, "4.2.0", "greylisted", true },
		{ 'M', "y521 go", GATE_DISCONNECT, 521, "", "go", true }, /* M36 */
		{ 'M', "d", GATE_DISCARD, 0, "", NULL, false },
		{ 'R', "r", GATE_REJECT, 550, "5.7.1", reject, true },
		{ 'R', "y550 5.1.1 nobody", GATE_REJECT, 550, "5.1.1", "nobody", true },
		{ 'T', "y451 100%% full", GATE_TEMPFAIL, 451, "", "100% full", true },
		{ 'L', "r", GATE_REJECT, 554, "5.7.1", reject, true },
		{ 'N', "t", GATE_TEMPFAIL, 451, "4.3.2", later, true },
		{ 'B', "4", GATE_DISCONNECT, 421, "4.7.0", bye, false }, /* better point 16 */
		{ 'E', "r", GATE_REJECT, 554, "5.7.1", reject, true },
		{ 'E', "d", GATE_DISCARD, 0, "", NULL, false },
		{ 'E', "y550-5.7.1 a\r\n550 5.7.1 b", GATE_REJECT, 550, "5.7.1", "a\nb", true },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		char data[64];
		size_t n = strlen(cases[i].reply);
		memcpy(data, cases[i].reply, n + 1); /* texts end with their NUL */
		const struct bytes replies[] = { { data, data[0] == 'y' ? n + 1 : n }, { NULL, 0 } };
		fake.replies[(unsigned char)cases[i].event] = replies;
		begin();
		struct gate_verdict v = transaction();
		assert_int_equal(v.action, cases[i].action);
		assert_int_equal(v.reply.code, cases[i].code);
		assert_string_equal(v.reply.enhanced, cases[i].enhanced);
		if (cases[i].text)
			assert_string_equal(v.reply.text, cases[i].text);
		fake_milter_settle();
		buf_clear(&fake.trace);
		fake.replies[(unsigned char)cases[i].event] = NULL;
		ask_rcpt("TO:<b@example.org>");
		fake_milter_settle();
		assert_int_equal(fake.trace.n > 0, cases[i].more);
		end();
	}
}

/* M32: ACCEPT at CONNECT or HELO is for the session and closes; later for the message. */
TASK_FN static void accepted(void *arg)
{
	(void)arg;
	static const struct {
		char event;
		const char *told, *next;
	} cases[] = {
		{ 'C', "O DC C", "" },
		{ 'H', "O DC C DH H", "" },
		{ 'M', "O DC C DH H DM M", "DM M" },
		{ 'R', "O DC C DH H DM M DR R", "DM M" },
		{ 'T', "O DC C DH H DM M DR R T", "DM M" },
		{ 'L', "O DC C DH H DM M DR R T L", "DM M" },
		{ 'B', "O DC C DH H DM M DR R T L L L N B", "DM M" },
		{ 'E', "O DC C DH H DM M DR R T L L L N B DE E", "DM M" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.replies[(unsigned char)cases[i].event] = REPLIES(BYTES("a"));
		begin();
		assert_goes_on(transaction());
		assert_told(cases[i].told);
		assert_int_equal(fake.tasks.count, cases[i].next[0] ? 1 : 0);
		chain_abort(&f.chain, &f.txn, true);
		fake.replies[(unsigned char)cases[i].event] = NULL;
		assert_goes_on(ask(GATE_MAIL));
		assert_told(cases[i].next);
		end();
	}
}

/* Better point 17; and what makes no sense at UNKNOWN, CONNECT and HELO is ignored (M35). */
TASK_FN static void harmless(void *arg)
{
	(void)arg;
	fake.replies['C'] = fake.replies['H'] = REPLIES(BYTES("d"));
	fake.replies['U'] = REPLIES(BYTES("a"));
	begin();
	assert_goes_on(ask(GATE_CONNECT));
	assert_goes_on(ask(GATE_EHLO));
	assert_goes_on(ask_args(GATE_UNKNOWN, &(struct chain_args){ .line = BYTES("FOO") }));
	fake.replies['U'] = REPLIES(BYTES("y450 4.1.1 x\0"));
	assert_verdict(ask_args(GATE_UNKNOWN, &(struct chain_args){ .line = BYTES("FOO") }), GATE_TEMPFAIL, 450, "4.1.1", "x");
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_told("O DC C DH H U U DM M");
	end();
}

TASK_FN static void skipped(void *arg)
{
	(void)arg;
	fake.replies['L'] = fake.replies['R'] = REPLIES(BYTES("s"));
	begin();
	assert_goes_on(ask(GATE_CONNECT));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_goes_on(ask_rcpt("TO:<a@example.org>"));
	assert_goes_on(ask_rcpt("TO:<b@example.org>"));
	assert_goes_on(ask(GATE_DATA));
	fixture_content(&f, bytes_of(content));
	assert_goes_on(ask(GATE_MESSAGE));
	assert_told("O DC C DH H DM M DR R T L N B DE E");
	end();
}

/* M14: HELO, then the ABORT of what was before it. */
TASK_FN static void second_helo(void *arg)
{
	(void)arg;
	begin();
	assert_goes_on(ask(GATE_CONNECT));
	assert_goes_on(ask(GATE_EHLO));
	assert_goes_on(ask(GATE_EHLO));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_told("O DC C DH H DH H DM M");
	chain_abort(&f.chain, &f.txn, false); /* a message that came to nothing: at once */
	assert_told("A");
	end();
}

/* ---- refused recipients ---- */

TASK_FN static void refused(void *arg)
{
	(void)arg;
	for (unsigned wanted = 0; wanted < 2; wanted++) {
		fake.protocol = wanted ? SMFIP_RCPT_REJ : 0;
		fake.replies['R'] = REPLIES(BYTES("r")); /* its opinion is not asked (M11) */
		fake.verbose = true;
		begin();
		assert_goes_on(ask(GATE_CONNECT));
		fixture_mail(&f, "FROM:<s@example.org>");
		assert_goes_on(ask(GATE_MAIL));
		fake_milter_settle();
		buf_clear(&fake.trace);
		struct gate_rcpt *rcpt = fixture_rcpt_new(&f, "TO:<x@example.org>");
		rcpt->refused = SMTP_REPLY(554, "5.7.1", "<x@example.org>: no relay");
		assert_goes_on(ask_args(GATE_RCPT, &(struct chain_args){ .txn = &f.txn, .rcpt = rcpt }));
		assert_told(wanted ? "DR{rcpt_mailer}|error|{rcpt_host}|5.7.1|{rcpt_addr}|no relay| R<x@example.org>|" : "");
		end();
	}
}

/* ---- content ---- */

/* M22: pieces of 65535, from memory or from a file, none for an empty body. */
TASK_FN static void bodies(void *arg)
{
	(void)arg;
	static const struct {
		size_t size;
		uint32_t protocol;
		const char *told;
	} cases[] = {
		{ 0, SMFIP_NR_BODY, "N DE E" },
		{ 65535, SMFIP_NR_BODY, "N B DE E" },
		{ 65536, SMFIP_NR_BODY, "N B B DE E" },
		{ 300000, SMFIP_NR_BODY, "N B B B B B DE E" },
		{ 300000, 0, "N B B B B B DE E" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };
		buf_add_str(&b, "A: b\r\n\r\n");
		for (size_t n = 0; n < cases[i].size; n++)
			buf_add_char(&b, n % 70 == 68 ? '\r' : n % 70 == 69 ? '\n' : 'x');
		fake.protocol = cases[i].protocol | SMFIP_NOHDRS;
		begin();
		assert_goes_on(envelope());
		fixture_content(&f, buf_bytes(&b));
		fake_milter_settle();
		buf_clear(&fake.trace);
		assert_goes_on(ask(GATE_MESSAGE));
		assert_told(cases[i].told);
		buf_fini(&b);
		end();
	}
}

TASK_FN static void edits(void *arg)
{
	(void)arg;
	fake.replies['E'] = REPLIES(BYTES("p"), BYTES("hX-Add\0v\n w\0"), BYTES("i\0\0\0\1X-Ins\0i\0"), BYTES("i\0\0\0\0X-Top\0t\0"),
	    BYTES("m\0\0\0\0subject\0two\0"), BYTES("m\0\0\0\1X-Fold\0\0"), BYTES("m\0\0\0\1X-None\0n\0"), BYTES("bnew\r"), BYTES("b\nbody"),
	    BYTES("+<b@example.org>\0"), BYTES("2<c@example.org>\0NOTIFY=NEVER\0"), BYTES("-<a@example.org>\0"), BYTES("e<>\0"),
	    BYTES("qlooks odd\0"), BYTES("c"));
	begin();
	assert_goes_on(transaction());
	assert_message("X-Top: t\r\nReceived: here\r\nX-Ins: i\r\nReceived: there\r\nSubject: two\r\nX-Add: v\r\n w\r\nX-None: n\r\n\r\nnew\r\nbody\r\n");
	assert_int_equal(f.txn.rcpt_count, 2);
	assert_int_equal(f.txn.sender.address.address.n, 0);
	assert_true(f.txn.held);
	assert_string_equal(f.txn.hold_reason, "looks odd");
	end();
}

TASK_FN static void edits_leading_space(void *arg)
{
	(void)arg;
	fake.protocol = SMFIP_HDR_LEADSPC;
	fake.verbose = true;
	fake.replies['E'] = REPLIES(BYTES("hX-A\0\tv\0"), BYTES("hX-B\0w\0"), BYTES("c"));
	begin();
	assert_goes_on(transaction());
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fake.trace), "LSubject| one| LX-Fold| a\\n\t b|"));
	assert_message("Received: here\r\nReceived: there\r\nSubject: one\r\nX-Fold: a\r\n\t b\r\nX-A:\tv\r\nX-B:w\r\n\r\nbody\r\n");
	end();
}

/* A refusal leaves the message as it was; so does an answer with one edit that may not be. */
TASK_FN static void edits_refused(void *arg)
{
	(void)arg;
	static const struct bytes rejected[] = { { "hX-A\0v\0", 7 }, { "bnew", 4 }, { "r", 1 }, { NULL, 0 } };
	static const struct bytes empty_name[] = { { "hX-A\0v\0", 7 }, { "bnew", 4 }, { "h\0v\0", 4 }, { "c", 1 }, { NULL, 0 } };
	static const struct bytes split_body[] = { { "bnew", 4 }, { "hX-A\0v\0", 7 }, { "bmore", 5 }, { "c", 1 }, { NULL, 0 } };
	static const struct bytes no_right[] = { { "hX-A\0v\0", 7 }, { "-a@example.org\0", 15 }, { "c", 1 }, { NULL, 0 } };
	static const struct bytes negative[] = { { "m\xff\xff\xff\xffX\0v\0", 9 }, { "c", 1 }, { NULL, 0 } };
	static const struct {
		const struct bytes *replies;
		uint32_t actions;
		enum gate_action action;
		unsigned code;
		const char *enhanced;
	} cases[] = {
		{ rejected, 0x1ff, GATE_REJECT, 554, "5.7.1" },
		{ empty_name, 0x1ff, GATE_TEMPFAIL, 451, "4.3.5" },
		{ split_body, 0x1ff, GATE_TEMPFAIL, 451, "4.3.5" }, /* M28 */
		{ no_right, SMFIF_ADDHDRS, GATE_TEMPFAIL, 451, "4.3.5" },
		{ negative, 0x1ff, GATE_TEMPFAIL, 451, "4.3.5" },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.replies['E'] = cases[i].replies;
		fake.actions = cases[i].actions;
		begin();
		struct gate_verdict v = transaction();
		assert_int_equal(v.action, cases[i].action);
		assert_int_equal(v.reply.code, cases[i].code);
		assert_string_equal(v.reply.enhanced, cases[i].enhanced);
		assert_message("Received: here\r\nReceived: there\r\nSubject: one\r\nX-Fold: a\r\n\t b\r\n\r\nbody\r\n");
		assert_int_equal(f.txn.rcpt_count, 1);
		end();
	}
}

/* M19: the second filter is told what the first has made of the message, held or not. */
TASK_FN static void two(void *arg)
{
	(void)arg;
	struct fake_milter second = { .actions = 0x1ff, .verbose = true, .protocol = 0x37f & ~(SMFIP_NOHDRS | SMFIP_NOBODY) };
	struct gate second_gate;
	fake.replies['E'] = REPLIES(BYTES("m\0\0\0\1Subject\0changed\0"), BYTES("bother\n"), BYTES("qheld\0"), BYTES("c"));
	begin();
	fake_milter_start(&second);
	fake_milter_gate(&second, "second", MILTER_COMPAT_SENDMAIL, &second_gate);
	chain_attach(&f.chain, &second_gate);
	assert_goes_on(transaction());
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&second.trace), "LReceived|there| LSubject|changed| LX-Fold|a\\n\t b| Bother\\r\\n DE E"));
	assert_true(f.txn.held);
	end();
	fake_milter_stop(&second);
	milter_unconfigure(&second_gate);
}

/* ---- faults ---- */

/* Whatever the filter does wrong, wherever: 451, and the message is untouched. */
TASK_FN static void nonsense(void *arg)
{
	(void)arg;
	static const struct {
		char event;
		struct bytes raw;
	} cases[] = {
		{ 'O', BYTES("HTTP/1.1 400 Bad Request\r\n\r\n") },
		{ 'O', BYTES("\0\0\0\1c") },
		{ 'O', BYTES("\0\0\0\x0dO\0\0\0\7\0\0\0\0\0\0\0\0") },          /* a version not offered */
		{ 'O', BYTES("\0\0\0\x0dO\0\0\0\6\0\0\2\0\0\0\0\0") },          /* edits not offered */
		{ 'O', { fake_close, 5 } },
		{ 'C', BYTES("\xff\xff\xff\xff") },                             /* 4 GB */
		{ 'C', BYTES("\0\0\0\0") },
		{ 'C', BYTES("\0\0\0\1f") },                                    /* CONN_FAIL */
		{ 'M', BYTES("\0\0\0\2cx") },                                   /* M40 */
		{ 'M', BYTES("\0\0\0\1?") },
		{ 'M', BYTES("\0\0\0\5hX\0v\0") },                              /* an edit before the end */
		{ 'M', BYTES("\0\0\0\3qx\0") },
		{ 'R', { fake_close, 5 } },
		{ 'R', BYTES("\0\0\0\7y550 no") },                              /* no NUL: better point 18 */
		{ 'T', BYTES("\0\0\0\1O") },
		{ 'L', { fake_hang, 4 } },
		{ 'L', BYTES("\0\0\0\1c\0\0\0\1c") },                           /* a reply to nothing */
		{ 'N', BYTES("\0\0\0\7hX") },                                   /* half a frame, then silence */
		{ 'B', { fake_close, 5 } },
		{ 'E', BYTES("\0\0\0\7hX\0v\0") },                              /* cut off, then silence */
		{ 'E', BYTES("\0\0\0\5hX\0v\0\0\0\0") },
		{ 'E', BYTES("\0\0\0\5hX\0v\0") },                              /* an edit and no verdict */
		{ 'E', BYTES("\0\0\0\4bnew\0\0\0\1z") },
		{ 'E', { fake_close, 5 } },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.raw[(unsigned char)cases[i].event] = cases[i].raw;
		begin();
		struct gate_verdict v = transaction();
		if (v.action != GATE_TEMPFAIL || v.reply.code != 451)
			print_error("case %u\n", i);
		assert_failed(v);
		if (f.txn.mail)
			assert_message("Received: here\r\nReceived: there\r\nSubject: one\r\nX-Fold: a\r\n\t b\r\n\r\nbody\r\n");
		fake_milter_settle();
		chain_abort(&f.chain, &f.txn, false);
		fixture_txn_fini(&f);

		/* Better point 4: the next transaction has it back. */
		fake.raw[(unsigned char)cases[i].event] = (struct bytes){ 0 };
		buf_clear(&fake.trace);
		fixture_mail(&f, "FROM:<s@example.org>");
		assert_goes_on(ask(GATE_MAIL));
		assert_told("O DC C DH H DM M");
		end();
	}
}

/* M37: a reply that is none is the filter's configuration, 451 4.3.5. */
TASK_FN static void bad_reply_code(void *arg)
{
	(void)arg;
	fake.replies['M'] = REPLIES(BYTES("y250 2.0.0 fine\0"));
	begin();
	assert_verdict(transaction(), GATE_TEMPFAIL, 451, "4.3.5", "Server configuration problem - try again later");
	end();
}

/* shows: M43: a silent filter costs the time configured, no more. */
TASK_FN static void timeouts(void *arg)
{
	(void)arg;
	static const struct {
		char event;
		int64_t seconds;
	} cases[] = { { 'O', 30 }, { 'C', 30 }, { 'M', 30 }, { 'L', 300 }, { 'E', 300 } };
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.raw[(unsigned char)cases[i].event] = HANG;
		begin();
		for (unsigned stage = 0; stage < GATE_STAGES; stage++)
			gate.on_failure[stage][GATE_FAULT_TIMEOUT] = GATE_ON_FAILURE_REJECT;
		int64_t before = run_now();
		assert_verdict(transaction(), GATE_REJECT, 550, "5.5.0", "Service unavailable");
		int64_t took = run_now() - before;
		assert_true(took >= SECONDS(cases[i].seconds) && took <= SECONDS(cases[i].seconds + 3));
		end();
	}
}

TASK_FN static void progress_task(struct stream *s)
{
	stream_put(s, BYTES("\0\0\0\x0dO\0\0\0\6\0\0\0\0\0\0\x02\x7f"));
	assert_int_equal(stream_flush(s), 0);
	while (task_sleep(SECONDS(100)) == 0) {
		stream_put(s, BYTES("\0\0\0\1p"));
		if (stream_flush(s) < 0)
			break;
	}
	stream_close(&s);
}

/* A filter that negotiates by itself, then only says that it still works. */
static void progress_accept(void *arg, int fd, const struct net_addr *peer)
{
	(void)peer;
	struct fake_milter *m = arg;
	struct stream *s = stream_new(fd);
	task_spawn(&m->tasks, "progress", progress_task, s);
}

/* shows: B6: each progress reply restarts the read, never the total. */
TASK_FN static void progress(void *arg)
{
	(void)arg;
	begin();
	listener_close(&fake.listener);
	fake.listener = listener_new(fake.fd, progress_accept, &fake);
	int64_t before = run_now();
	assert_failed(transaction());
	int64_t took = run_now() - before;
	assert_true(took >= SECONDS(599) && took <= SECONDS(602)); /* twice the content timeout */
	end();
}

/* A filter that hung up between two messages is opened anew without a fault. */
TASK_FN static void restarted(void *arg)
{
	(void)arg;
	fake.raw['A'] = CLOSE;
	begin();
	assert_goes_on(envelope());
	chain_abort(&f.chain, &f.txn, false);
	fixture_txn_fini(&f);
	fake_milter_settle();
	buf_clear(&fake.trace);
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_goes_on(ask(GATE_MAIL));
	assert_told("O DC C DH H DM M");
	assert_int_equal(fake.connections, 2);
	end();
}

TASK_FN static void absent(void *arg)
{
	(void)arg;
	begin();
	fake_milter_hush(&fake);
	unlink(fake.path + 5);
	gate.on_failure[GATE_MAIL][GATE_FAULT_CONNECT] = GATE_ON_FAILURE_REJECT;
	assert_goes_on(ask(GATE_CONNECT));
	assert_goes_on(ask(GATE_EHLO));
	fixture_mail(&f, "FROM:<s@example.org>");
	assert_verdict(ask(GATE_MAIL), GATE_REJECT, 550, "5.5.0", "Service unavailable");
	end();
}

/* Several sockets: the first that accepts. */
TASK_FN static void fallback(void *arg)
{
	(void)arg;
	struct buf err = { 0 };
	fake_milter_start(&fake);
	const char *sockets[] = { "unix:/nonexistent/milter", fake.path };
	struct milter_params p = { .name = "pair", .sockets = sockets, .socket_count = 2 };
	assert_int_equal(milter_configure(&p, &gate, &err), 0);
	fixture_init(&f);
	chain_attach(&f.chain, &gate);
	assert_goes_on(ask(GATE_CONNECT));
	assert_told("O DC C");
	end();
}

/* The client is gone: the session's tasks are cancelled, the filter sees the end. */
TASK_FN static void vanish_task(void *arg)
{
	(void)arg;
	struct gate_verdict v;
	assert_int_equal(chain_event(&f.chain, GATE_CONNECT, NULL, &v), -ECANCELED);
	chain_close(&f.chain, false);
}

TASK_FN static void vanished(void *arg)
{
	(void)arg;
	struct task_group g;
	fake.raw['C'] = SILENT;
	begin();
	task_group_init(&g);
	task_spawn(&g, "session", vanish_task, (void *)NULL);
	fake_milter_settle();
	assert_int_equal(fake.tasks.count, 1);
	task_group_cancel(&g);
	task_group_wait(&g);
	fake_milter_settle();
	assert_int_equal(fake.tasks.count, 0);
	end();
}

static void test_configure(void **state)
{
	(void)state;
	const char *good = "inet:127.0.0.1:11332", *bad = "nowhere";
	const struct {
		struct milter_params p;
		const char *err;
	} cases[] = {
		{ { .name = "x" }, "a milter needs a socket" },
		{ { .name = "x", .sockets = &bad, .socket_count = 1 }, NULL },
		{ { .name = "x", .sockets = &good, .socket_count = 1, .protocol = 7 }, "there is no milter protocol version 7, only 2 to 6" },
		{ { .name = "x", .sockets = &good, .socket_count = 1, .macros = { [2] = "i {mail_adr}" } }, "there is no macro \"{mail_adr}\"" },
	};
	struct buf err = { 0 };
	struct gate g;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(milter_configure(&cases[i].p, &g, &err), -EINVAL);
		assert_true(err.n > 0);
		if (cases[i].err)
			assert_string_equal(buf_str(&err), cases[i].err);
		buf_clear(&err);
	}
	assert_int_equal(milter_configure(&(struct milter_params){ .name = "x", .sockets = &good, .socket_count = 1 }, &g, &err), 0);
	assert_int_equal(g.on_failure[GATE_MESSAGE][GATE_FAULT_TIMEOUT], GATE_ON_FAILURE_TEMPFAIL);
	assert_int_equal(g.total_timeout, SECONDS(600));
	milter_unconfigure(&g);
	buf_fini(&err);
}

#define SCENARIOS(X)                                                                                                   \
	X(conversation)                                                                                                 \
	X(conversation_postfix)                                                                                         \
	X(unanswered)                                                                                                   \
	X(answered_together)                                                                                            \
	X(many_headers)                                                                                                 \
	X(unwanted)                                                                                                     \
	X(versions)                                                                                                     \
	X(symbols)                                                                                                      \
	X(verdicts)                                                                                                     \
	X(accepted)                                                                                                     \
	X(harmless)                                                                                                     \
	X(skipped)                                                                                                      \
	X(second_helo)                                                                                                  \
	X(refused)                                                                                                      \
	X(bodies)                                                                                                       \
	X(edits)                                                                                                        \
	X(edits_leading_space)                                                                                          \
	X(edits_refused)                                                                                                \
	X(two)                                                                                                          \
	X(nonsense)                                                                                                     \
	X(bad_reply_code)                                                                                               \
	X(timeouts)                                                                                                     \
	X(progress)                                                                                                     \
	X(restarted)                                                                                                    \
	X(absent)                                                                                                       \
	X(fallback)                                                                                                     \
	X(vanished)

#define SCENARIO(name)                                                                                                 \
	static void test_##name(void **state)                                                                           \
	{                                                                                                               \
		(void)state;                                                                                            \
		with_clock(name, NULL);                                                                                 \
	}
SCENARIOS(SCENARIO)

#define UNIT_TEST(name) cmocka_unit_test(test_##name),

int main(void)
{
	const struct CMUnitTest tests[] = { SCENARIOS(UNIT_TEST) cmocka_unit_test(test_configure) };
	clear();
	return cmocka_run_group_tests(tests, fixture_loop_start, fixture_loop_stop);
}
