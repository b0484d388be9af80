/* test_milter_pool.c: connections to milters that pass from session to session, several sockets of one milter, TLS, and who is at the other end. */
#include "tests/unit/fake_milter.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { FAKES = 2 };

static struct fixture f;
static struct fake_milter fakes[FAKES];
static struct gate gate;
#define fake (fakes[0])

static void clear(void)
{
	for (unsigned i = 0; i < FAKES; i++)
		fakes[i] = (struct fake_milter){ .actions = 0x1ff };
}

/* A milter of the first COUNT fakes. */
TASK_FN static void begin(unsigned count, struct milter_params p)
{
	const char *sockets[FAKES];
	struct buf err = { 0 };
	for (unsigned i = 0; i < FAKES; i++) {
		fake_milter_start(&fakes[i]);
		sockets[i] = fakes[i].path;
	}
	p.name = "pool";
	p.sockets = sockets;
	p.socket_count = count;
	assert_int_equal(milter_configure(&p, &gate, &err), 0);
}

TASK_FN static void end(void)
{
	milter_unconfigure(&gate);
	for (unsigned i = 0; i < FAKES; i++)
		fake_milter_stop(&fakes[i]);
	clear();
}

/* All clocks, and the filters, go on for a while. */
TASK_FN static void pass(int64_t ns)
{
	assert_int_equal(task_sleep(ns), 0);
}

TASK_FN static enum gate_action ask(enum gate_stage stage, struct gate_rcpt *rcpt)
{
	struct chain_args args = { .txn = f.txn.arena ? &f.txn : NULL, .rcpt = rcpt };
	struct gate_verdict v;
	assert_int_equal(chain_event(&f.chain, stage, &args, &v), 0);
	return v.action;
}

TASK_FN static void session_begin(void)
{
	fixture_init(&f);
	chain_attach(&f.chain, &gate);
	(void)ask(GATE_CONNECT, NULL);
	(void)ask(GATE_EHLO, NULL);
}

TASK_FN static void session_end(void)
{
	chain_close(&f.chain, true);
	fixture_fini(&f);
	pass(SECONDS(2)); /* whether it stands QUIT_NC is known by now */
}

TASK_FN static enum gate_action ask_rcpt(void)
{
	struct gate_rcpt *rcpt = fixture_rcpt_new(&f, "TO:<a@example.org>");
	enum gate_action action = ask(GATE_RCPT, rcpt);
	list_append(&f.txn.rcpts, &rcpt->link);
	f.txn.rcpt_count++;
	return action;
}

TASK_FN static enum gate_action message(void)
{
	fixture_mail(&f, "FROM:<s@example.org>");
	enum gate_action action = ask(GATE_MAIL, NULL);
	if (action == GATE_CONTINUE)
		action = ask_rcpt();
	if (action == GATE_CONTINUE)
		action = ask(GATE_DATA, NULL);
	if (action == GATE_CONTINUE) {
		fixture_content(&f, BYTES("Subject: one\r\n\r\nbody\r\n"));
		action = ask(GATE_MESSAGE, NULL);
	}
	chain_abort(&f.chain, &f.txn, action == GATE_CONTINUE);
	fixture_txn_fini(&f);
	return action;
}

/* A session with one message: what became of it. */
TASK_FN static enum gate_action session(void)
{
	session_begin();
	enum gate_action action = message();
	session_end();
	fake_milter_settle();
	return action;
}

#define assert_told_by(who, want)                                                                                      \
	do {                                                                                                            \
		fake_milter_settle();                                                                                   \
		assert_string_equal(buf_str(&(who).trace), want);                                                       \
		buf_clear(&(who).trace);                                                                                \
	} while (0)
#define assert_told(want) assert_told_by(fake, want)
#define HELLO "DC C DH H "
#define MESSAGE "DM M DR R DT T DN L N B DE E"

/* ---- kept connections ---- */

/* libmilter's way: the first session finds out, while nobody waits, and the ones after it follow each other. */
TASK_FN static void reuse(void *arg)
{
	(void)arg;
	begin(1, (struct milter_params){ 0 });
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("O " HELLO MESSAGE " K C C Q");
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("O " HELLO MESSAGE " K");
	fake.verbose = true;
	session_begin();
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fake.trace), "client.test"));
	assert_null(strstr(buf_str(&fake.trace), "localhost"));
	fake.verbose = false;
	buf_clear(&fake.trace);
	assert_int_equal(message(), GATE_CONTINUE);
	session_end();
	assert_told(MESSAGE " K");
	assert_int_equal(fake.connections, 2);
	pass(SECONDS(70)); /* idle for too long */
	assert_told("Q");
	end();
}

/* libmilter takes QUIT_NC right after a message it let go on; elsewhere only behind an unknown command, which a filter must not hear of. */
TASK_FN static void reuse_states(void *arg)
{
	(void)arg;
	begin(1, (struct milter_params){ 0 });
	session_begin();
	session_end();
	assert_told("O " HELLO "A Q");
	fake.replies['E'] = REPLIES(BYTES("a"));
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("O " HELLO MESSAGE " A A Q");
	fake.protocol = SMFIP_NOUNKNOWN;
	session_begin();
	session_end();
	assert_told("O " HELLO "U K C C Q");
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("O " HELLO MESSAGE " U K");
	fake.replies['M'] = REPLIES(BYTES("r"));
	assert_int_equal(session(), GATE_REJECT);
	assert_told(HELLO "DM M A U K");
	assert_int_equal(session(), GATE_REJECT);
	assert_told(HELLO "DM M A U K");
	assert_int_equal(fake.connections, 4);
	/* It does not answer: it is not kept, and QUIT it is from now on. */
	fake.raw['U'] = SILENT;
	fake.once['U'] = 1;
	assert_int_equal(session(), GATE_REJECT);
	assert_told(HELLO "DM M A U K");
	pass(SECONDS(6));
	assert_told("Q");
	assert_int_equal(session(), GATE_REJECT);
	assert_told("O " HELLO "DM M A A Q");
	end();
}

/* A filter that decides in the midst is not waited for to the end, and not met again. */
TASK_FN static void reuse_midst(void *arg)
{
	(void)arg;
	fake.protocol = SMFIP_NOUNKNOWN;
	fake.replies['L'] = REPLIES(BYTES("r"));
	begin(1, (struct milter_params){ 0 });
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(session(), GATE_REJECT);
	fake_milter_settle();
	assert_null(strchr(buf_str(&fake.trace), 'K'));
	assert_int_equal(fake.connections, 2);
	end();
}

/* rspamd's way: it answers nothing but the end of a message, and agrees anew each time. */
TASK_FN static void reuse_terms(void *arg)
{
	(void)arg;
	fake.protocol = 0xff080;
	begin(1, (struct milter_params){ 0 });
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told(i == 0 ? "O " HELLO MESSAGE " K O" : HELLO MESSAGE " K O");
	}
	/* A session that had nothing to say was not noticed. */
	session_begin();
	session_end();
	assert_told("");
	/* What it asks for this time holds for the next session. */
	fake.symbols = BYTES("\0\0\0\2{mail_addr}\0");
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told(HELLO MESSAGE " K O");
	fake.symbols = BYTES("");
	fake.verbose = true;
	assert_int_equal(session(), GATE_CONTINUE);
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fake.trace), "DM{mail_addr}|s@example.org| M"));
	buf_clear(&fake.trace);
	assert_int_equal(session(), GATE_CONTINUE);
	fake_milter_settle();
	assert_null(strstr(buf_str(&fake.trace), "DM{mail_addr}|s@example.org| M"));
	assert_int_equal(fake.connections, 1);
	end();
}

/* Who does not stand it gets QUIT, and is tried again after five minutes. */
TASK_FN static void reuse_refused(void *arg)
{
	(void)arg;
	static const struct {
		uint32_t protocol;
		struct bytes answer;
	} cases[] = {
		{ SMFIP_NOUNKNOWN, { fake_close, 5 } },
		{ SMFIP_NOUNKNOWN, { fake_silent, 6 } },
		{ SMFIP_NOUNKNOWN, { "\0\0\0\1X", 5 } },
		{ SMFIP_NOUNKNOWN, { "\0\0\0\1c\0\0\0\1c", 10 } },
		{ SMFIP_NOUNKNOWN, { "\xff\0\0\0", 4 } },
		{ 0xff080, { fake_close, 5 } },
		{ 0xff080, { fake_silent, 6 } },
		{ 0xff080, { "\0\0\0\1c", 5 } },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		unsigned char question = cases[i].protocol == SMFIP_NOUNKNOWN ? 'C' : 'O';
		fake.protocol = cases[i].protocol;
		begin(1, (struct milter_params){ 0 });
		session_begin();
		assert_int_equal(message(), GATE_CONTINUE);
		fake.raw[question] = cases[i].answer;
		fake.once[question] = 1;
		session_end();
		pass(SECONDS(6));
		buf_clear(&fake.trace);
		for (unsigned n = 0; n < 3; n++) {
			assert_int_equal(session(), GATE_CONTINUE);
			assert_told("O " HELLO MESSAGE " A A Q");
		}
		pass(SECONDS(300));
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told(question == 'C' ? "O " HELLO MESSAGE " K C C Q" : "O " HELLO MESSAGE " K O");
		end();
	}
}

/* It knows nothing of QUIT_NC, and answers whatever comes: nothing that it remembers may be held against the next client, and no answer of
 * one session may be taken for one of the next. */
TASK_FN static void reuse_unknown(void *arg)
{
	(void)arg;
	static const struct {
		uint32_t protocol;
		bool loose;
		struct bytes answer;            /* to QUIT_NC */
	} cases[] = {
		{ SMFIP_NOUNKNOWN, true, { NULL, 0 } },
		{ 0, true, { NULL, 0 } },
		{ SMFIP_NOUNKNOWN | SMFIP_NOCONNECT, true, { NULL, 0 } },
		{ SMFIP_NOUNKNOWN, true, { "\0\0\0\1c", 5 } },
		{ SMFIP_NOUNKNOWN, false, { "\0\0\0\1c", 5 } },
		{ 0, false, { "\0\0\0\1c", 5 } },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		fake.protocol = cases[i].protocol;
		fake.loose = cases[i].loose;
		fake.raw['K'] = cases[i].answer;
		begin(1, (struct milter_params){ 0 });
		for (unsigned n = 0; n < 3; n++) {
			assert_int_equal(session(), GATE_CONTINUE);
			pass(SECONDS(6));
		}
		assert_int_equal(fake.connections, 3);
		fake_milter_settle();
		assert_int_equal(strchr(buf_str(&fake.trace), 'K') != NULL, 1);
		assert_null(strchr(strchr(buf_str(&fake.trace), 'K') + 1, 'K'));
		end();
	}
}

/* One that is hurt by the question is not asked again as soon as it is up again: each time it is left in peace for twice as long. */
TASK_FN static void reuse_rest(void *arg)
{
	(void)arg;
	begin(1, (struct milter_params){ 0 });
	int64_t rest = SECONDS(300);
	for (unsigned i = 0; i < 4; i++, rest *= 2) {
		fake.raw['K'] = CLOSE;
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told("O " HELLO MESSAGE " K");
		fake.raw['O'] = CLOSE; /* as if it were down */
		(void)session();
		fake.raw['O'].p = NULL;
		fake_milter_settle();
		buf_clear(&fake.trace);
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told("O " HELLO MESSAGE " A A Q");
		pass(rest - SECONDS(10));
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told("O " HELLO MESSAGE " A A Q");
		pass(SECONDS(11));
	}
	end();
}

/* It is found out only later: what it says between two sessions, or first in one, is nonsense. */
TASK_FN static void reuse_found_out(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 2; i++) {
		fake.protocol = SMFIP_NOUNKNOWN;
		begin(1, (struct milter_params){ 0 });
		assert_int_equal(session(), GATE_CONTINUE);
		pass(SECONDS(2));
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told("O " HELLO MESSAGE " K C C Q O " HELLO MESSAGE " K");
		unsigned char when = i == 0 ? 'K' : 'C';
		fake.raw[when] = i == 0 ? BYTES("\0\0\0\1c") : BYTES("\0\0\0\1O");
		fake.once[when] = 1;
		(void)session();
		fake_milter_settle();
		buf_clear(&fake.trace);
		for (unsigned n = 0; n < 2; n++) {
			assert_int_equal(session(), GATE_CONTINUE);
			assert_told("O " HELLO MESSAGE " A A Q");
		}
		end();
	}
}

/* The filter closes a kept connection: at once, or only when the next client is told of.  The client does not notice. */
TASK_FN static void reuse_dead(void *arg)
{
	(void)arg;
	fake.protocol = SMFIP_NOUNKNOWN;
	begin(1, (struct milter_params){ 0 });
	assert_int_equal(session(), GATE_CONTINUE);
	assert_int_equal(session(), GATE_CONTINUE);
	fake.raw['K'] = CLOSE;
	fake.once['K'] = 1;
	assert_int_equal(session(), GATE_CONTINUE);
	pass(SECONDS(1));
	buf_clear(&fake.trace);
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("O " HELLO MESSAGE " K");
	fake.raw['C'] = CLOSE;
	fake.once['C'] = 1;
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("DC C O " HELLO MESSAGE " K");
	end();
}

/* The same where the first answer is that to the whole message: all of it is told once more. */
TASK_FN static void reuse_dead_late(void *arg)
{
	(void)arg;
	fake.protocol = 0xff080;
	begin(1, (struct milter_params){ 0 });
	assert_int_equal(session(), GATE_CONTINUE);
	buf_clear(&fake.trace);
	fake.raw['E'] = CLOSE;
	fake.once['E'] = 1;
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told("DC C DH H " MESSAGE " O DC C DH H " MESSAGE " K O");
	/* But who closes a new connection has failed. */
	fake.raw['E'] = CLOSE;
	assert_int_equal(session(), GATE_TEMPFAIL);
	end();
}

/* One that neither closes nor answers costs one client its patience, not the next. */
TASK_FN static void reuse_silent(void *arg)
{
	(void)arg;
	fake.protocol = SMFIP_NOUNKNOWN;
	begin(1, (struct milter_params){ 0 });
	assert_int_equal(session(), GATE_CONTINUE);
	assert_int_equal(session(), GATE_CONTINUE);
	fake.raw['C'] = SILENT;
	fake.once['C'] = 1;
	buf_clear(&fake.trace);
	assert_int_equal(session(), GATE_CONTINUE); /* a fault at CONNECT is one of no message yet */
	assert_int_equal(session(), GATE_CONTINUE);
	fake_milter_settle();
	assert_non_null(strstr(buf_str(&fake.trace), "E A A Q"));
	end();
}

TASK_FN static void not_kept(void *arg)
{
	(void)arg;
	static const struct milter_params params[] = {
		{ .keep = -1 },
		{ .compat = MILTER_COMPAT_SENDMAIL },
		{ .compat = MILTER_COMPAT_POSTFIX },
		{ 0 }, /* but it negotiated what it may have forgotten after QUIT_NC */
		{ 0 },
	};
	for (unsigned i = 0; i < COUNT_OF(params); i++) {
		fake.protocol = SMFIP_NOUNKNOWN | (i == 3 ? SMFIP_HDR_LEADSPC : 0);
		if (i == 4)
			fake.symbols = BYTES("\0\0\0\2{mail_addr}\0");
		begin(1, params[i]);
		for (unsigned n = 0; n < 2; n++) {
			assert_int_equal(session(), GATE_CONTINUE);
			fake_milter_settle();
			assert_non_null(strstr(buf_str(&fake.trace), params[i].compat == MILTER_COMPAT_SENDMAIL ? "E Q" : "E A A Q"));
			assert_null(strchr(buf_str(&fake.trace), 'K'));
		}
		assert_int_equal(fake.connections, 2);
		end();
	}
}

/* ---- several sockets ---- */

TASK_FN static void other_session(void *arg)
{
	struct fixture *other = arg;
	struct gate_verdict v;
	fixture_init(other);
	chain_attach(&other->chain, &gate);
	assert_int_equal(chain_event(&other->chain, GATE_CONNECT, NULL, &v), 0);
}

TASK_FN static void least_busy(void *arg)
{
	(void)arg;
	struct fixture other[3];
	begin(2, (struct milter_params){ 0 });
	for (unsigned i = 0; i < 3; i++)
		other_session(&other[i]);
	assert_told_by(fakes[0], "O DC C O DC C");
	assert_told_by(fakes[1], "O DC C");
	for (unsigned i = 0; i < 3; i++) {
		chain_close(&other[i].chain, true);
		fixture_fini(&other[i]);
	}
	end();
}

/* One that talks nonsense is left for the other, and comes back when a check finds that it agrees again. */
TASK_FN static void failover(void *arg)
{
	(void)arg;
	begin(2, (struct milter_params){ .keep = -1 });
	fakes[0].raw['O'] = BYTES("\0\0\0\1c");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(session(), GATE_CONTINUE);
		assert_told_by(fakes[1], "O " HELLO MESSAGE " A A Q");
	}
	assert_told_by(fakes[0], "O O O"); /* the first session, and two checks */
	fakes[0].raw['O'].p = NULL;
	pass(SECONDS(4));
	assert_told_by(fakes[0], "O Q");
	assert_int_equal(session(), GATE_CONTINUE);
	assert_told_by(fakes[0], "O " HELLO MESSAGE " A A Q");
	end();
}

/* Both are gone: each is tried, and the fault is a missing connection. */
TASK_FN static void all_gone(void *arg)
{
	(void)arg;
	begin(2, (struct milter_params){ 0 });
	gate.on_failure[GATE_MAIL][GATE_FAULT_CONNECT] = GATE_ON_FAILURE_REJECT;
	for (unsigned i = 0; i < FAKES; i++) {
		fake_milter_hush(&fakes[i]);
		unlink(fakes[i].path + 5);
	}
	assert_int_equal(session(), GATE_REJECT);
	assert_int_equal(session(), GATE_REJECT);
	end();
}

/* ---- TLS ---- */

/* A certificate for milter.test that is its own authority, and its key, in one file. */
static void make_certificate(const char *path)
{
	X509 *x509 = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:milter.test");
	X509_NAME *name = X509_get_subject_name(x509);
	FILE *file = fopen(path, "w");
	X509_set_version(x509, 2);
	X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"milter.test", -1, -1, 0);
	X509_set_issuer_name(x509, name);
	X509_set_pubkey(x509, key);
	X509_add_ext(x509, san, -1);
	assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
	assert_non_null(file);
	PEM_write_X509(file, x509);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_EXTENSION_free(san);
	X509_free(x509);
	EVP_PKEY_free(key);
}

/* Why the last connection could not be made. */
static const char *last_failure(void);

/* shows: B15 */
TASK_FN static void encrypted(void *arg)
{
	(void)arg;
	char pem[] = "/tmp/milter-tls-XXXXXX";
	int fd = mkstemp(pem);
	assert_true(fd >= 0);
	close(fd);
	make_certificate(pem);
	const struct {
		struct milter_params p;
		const char *why;        /* NULL: it works */
	} cases[] = {
		{ { .tls = MILTER_TLS_VERIFY, .tls_ca = pem, .tls_name = "milter.test" }, NULL },
		{ { .tls = MILTER_TLS_VERIFY, .tls_ca = pem, .tls_name = "other.test" },
		  "TLS: the peer's certificate does not hold: hostname mismatch" },
		{ { .tls = MILTER_TLS_VERIFY, .tls_name = "milter.test" }, "TLS: the peer's certificate does not hold: self-signed certificate" },
		{ { .tls = MILTER_TLS_ENCRYPT }, NULL },
		{ { .tls = MILTER_TLS_ENCRYPT, .tls_certificate = pem }, NULL },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf err = { 0 };
		assert_int_equal(tls_server_new(&(struct tls_server_config){ .certificate = pem, .key = pem }, &fake.tls, &err), 0);
		begin(1, cases[i].p);
		assert_int_equal(session(), cases[i].why ? GATE_TEMPFAIL : GATE_CONTINUE);
		assert_int_equal(session(), cases[i].why ? GATE_TEMPFAIL : GATE_CONTINUE);
		if (cases[i].why)
			assert_string_equal(last_failure(), cases[i].why);
		tls_unref(&fake.tls);
		end();
	}
	unlink(pem);
}

/* A filter that speaks no TLS, and one that says nothing: bounded by connect_timeout. */
TASK_FN static void not_encrypted(void *arg)
{
	(void)arg;
	begin(1, (struct milter_params){ .tls = MILTER_TLS_ENCRYPT, .connect_timeout = SECONDS(5) });
	assert_int_equal(session(), GATE_TEMPFAIL);
	assert_non_null(strstr(last_failure(), "TLS: "));
	end();
}

/* ---- who is there ---- */

/* shows: B15 */
TASK_FN static void peer_user(void *arg)
{
	(void)arg;
	const unsigned us[] = { 4000000000u, getuid() }, others[] = { 4000000000u };
	char want[64];
	begin(1, (struct milter_params){ .peer_uids = us, .peer_uid_count = 2 });
	assert_int_equal(session(), GATE_CONTINUE);
	end();
	begin(1, (struct milter_params){ .peer_uids = others, .peer_uid_count = 1 });
	assert_int_equal(session(), GATE_TEMPFAIL);
	snprintf(want, sizeof(want), "its peer runs as user %u", (unsigned)getuid());
	assert_string_equal(last_failure(), want);
	end();
}

/* At the end: no test above may look inside. */
#include "milter/milter_client.h"
static const char *last_failure(void)
{
	const struct milter_config *c = gate.config;
	return peers_last_failure(pool_peers(c->pool))->why;
}

static void test_configure(void **state)
{
	(void)state;
	const char *local = "unix:/run/milter", *inet = "inet:127.0.0.1:11332";
	const unsigned uid = 1;
	const struct {
		struct milter_params p;
		const char *err;
	} cases[] = {
		{ { .sockets = &local, .tls = MILTER_TLS_VERIFY }, "unix:/run/milter has no host name: tls = verify needs a tls_name" },
		{ { .sockets = &inet, .peer_uids = &uid, .peer_uid_count = 1 }, "peer_user is for unix sockets, inet:127.0.0.1:11332 is none" },
		{ { .sockets = &inet, .tls_name = "x" }, "tls_ca, tls_name, tls_certificate and tls_key have no effect without tls" },
		{ { .sockets = &inet, .tls = MILTER_TLS_VERIFY, .tls_ca = "/nonexistent" }, NULL },
	};
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct milter_params p = cases[i].p;
		struct buf err = { 0 };
		p.name = "x";
		p.socket_count = 1;
		assert_int_equal(milter_configure(&p, &gate, &err), -EINVAL);
		assert_true(err.n > 0);
		if (cases[i].err)
			assert_string_equal(buf_str(&err), cases[i].err);
		buf_fini(&err);
	}
}

#define SCENARIOS(X)                                                                                                   \
	X(reuse)                                                                                                        \
	X(reuse_states)                                                                                                 \
	X(reuse_midst)                                                                                                  \
	X(reuse_terms)                                                                                                  \
	X(reuse_refused)                                                                                                \
	X(reuse_unknown)                                                                                                \
	X(reuse_rest)                                                                                                   \
	X(reuse_found_out)                                                                                              \
	X(reuse_dead)                                                                                                   \
	X(reuse_dead_late)                                                                                              \
	X(reuse_silent)                                                                                                 \
	X(not_kept)                                                                                                     \
	X(least_busy)                                                                                                   \
	X(failover)                                                                                                     \
	X(all_gone)                                                                                                     \
	X(encrypted)                                                                                                    \
	X(not_encrypted)                                                                                                \
	X(peer_user)

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
