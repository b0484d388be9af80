/* test_milter_macros.c: the macros a milter is given, by stage and by the host it was written for. */
#include "milter/milter_macros.h"
#include "tests/unit/txn_fixture.h"

#include <libmilter/mfdef.h>

static struct fixture f;

/* A client with TLS and a name and password; two recipients; a message. */
static int setup(void **state)
{
	(void)state;
	static const struct tls_info tls = {
		.protocol = "TLSv1.3", .cipher = "AES", .cipher_bits = 256, .peer_subject = "me", .peer_issuer = "ca", .peer_verified = true,
	};
	fixture_init(&f);
	f.session.tls = &tls;
	f.session.auth_mechanism = "PLAIN";
	f.session.auth_user = "joe";
	fixture_mail(&f, "FROM:<S@Ex.Test> AUTH=jo+2Be");
	fixture_rcpt(&f, "TO:<a@example.org>");
	fixture_rcpt(&f, "TO:<B@Example.ORG>");
	fixture_content(&f, BYTES("Message-ID:  <1@x>\r\n\r\n"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_fini(&f);
	return 0;
}

/* The frame for NAMES (NULL: compat's own) as "name=value name=value". */
static void assert_macros(enum milter_compat compat, char command, const char *names, const char *want)
{
	struct milter_macro_list lists[MILTER_MACRO_STAGES], list;
	struct bytes unknown;
	struct buf out = { 0 }, text = { 0 };
	milter_macros_defaults(compat, lists);
	list = lists[milter_macros_stage(command)];
	if (names)
		assert_int_equal(milter_macros_parse(bytes_of(names), &list, &unknown), 0);
	milter_macros_put(&out, &list,
	    &(struct milter_macro_view){ .compat = compat, .command = command, .session = &f.session, .txn = f.txn.arena ? &f.txn : NULL });
	assert_int_equal(out.p[4], 'D');
	assert_int_equal(out.p[5], command);
	struct bytes rest = bytes_skip(buf_bytes(&out), 6);
	while (rest.n > 0) {
		struct bytes name = bytes_cut(&rest, '\0'), value = bytes_cut(&rest, '\0');
		buf_printf(&text, "%s%.*s=%.*s", text.n ? " " : "", BYTES_ARG(name), BYTES_ARG(value));
	}
	assert_string_equal(buf_str(&text), want);
	buf_fini(&out);
	buf_fini(&text);
}

#define TLS "{tls_version}=TLSv1.3 {cipher}=AES {cipher_bits}=256 {cert_subject}=me {cert_issuer}=ca"
#define VERSION "gatepost " GATEPOST_VERSION

/* M5 */
static void test_postfix(void **state)
{
	(void)state;
	enum milter_compat c = MILTER_COMPAT_POSTFIX;
	assert_macros(c, 'C', NULL, "j=mx.example.org {daemon_name}=mx.example.org {daemon_addr}=192.0.2.25 v=" VERSION " _=client.test [192.0.2.1]");
	assert_macros(c, 'H', NULL, TLS);
	assert_macros(c, 'M', NULL,
	    "i=4f2a91.3c.1 {auth_type}=PLAIN {auth_authen}=joe {auth_author}=jo+2Be {mail_addr}=s@ex.test {mail_host}=Ex.Test {mail_mailer}=smtp");
	/* (Asked after RCPT, and Postfix then shows the first recipient.) */
	assert_macros(c, 'R', NULL, "i=4f2a91.3c.1 {rcpt_addr}=a@example.org {rcpt_host}=example.org {rcpt_mailer}=smtp");
	assert_macros(c, 'T', NULL, "i=4f2a91.3c.1");
	assert_macros(c, 'L', NULL, "i=4f2a91.3c.1");
	assert_macros(c, 'E', NULL, "i=4f2a91.3c.1");
	assert_macros(c, 'U', NULL, "");
	/* M7: no i before the first recipient was accepted */
	f.txn.rcpt_count = 0;
	assert_macros(c, 'M', "i", "");
	assert_macros(c, 'R', "i", "");
	assert_macros(c, 'T', "i", "i=4f2a91.3c.1");
	f.txn.arena = NULL;
	assert_macros(c, 'H', "i", "");
}

/* M8, M9 */
static void test_postfix_withholds(void **state)
{
	(void)state;
	enum milter_compat c = MILTER_COMPAT_POSTFIX;
	static const char with_content[] = "{mail_addr} {mail_mailer} {mail_host} {rcpt_addr} {rcpt_host} {rcpt_mailer} {tls_version} {cipher} "
					   "{cipher_bits} {cert_subject} {cert_issuer} {client_resolve}";
	for (const char *command = "LNBE"; *command; command++) {
		assert_macros(c, *command, with_content, "");
		assert_macros(c, *command, "j {client_addr} {client_name} {client_port} {client_ptr} {daemon_port} {auth_type}",
		    "j=mx.example.org {client_addr}=192.0.2.1 {client_name}=client.test {client_port}=40000 {client_ptr}=client.test "
		    "{daemon_port}=25 {auth_type}=PLAIN");
	}
	assert_macros(c, 'R', "{if_name} {if_addr} {auth_ssf} {msg_id} {nrcpts} r s", "");
	assert_macros(c, 'H', "{client_resolve}", "{client_resolve}=OK");
}

/* Better point 9: all of them at the end, i from the start. */
static void test_full(void **state)
{
	(void)state;
	enum milter_compat c = MILTER_COMPAT_FULL;
	assert_macros(c, 'E', NULL,
	    "i=4f2a91.3c.1 j=mx.example.org _=client.test [192.0.2.1] s=client.test r=ESMTP " TLS
	    " {auth_type}=PLAIN {auth_authen}=joe {auth_author}=jo+e {auth_ssf}=0 {mail_addr}=s@ex.test {mail_host}=Ex.Test {mail_mailer}=smtp"
	    " {rcpt_addr}=b@example.org {rcpt_host}=Example.ORG {rcpt_mailer}=smtp {nrcpts}=2 {msg_id}=<1@x>"
	    " {client_addr}=192.0.2.1 {client_name}=client.test {client_port}=40000 {client_ptr}=client.test {client_resolve}=OK");
	assert_macros(c, 'N', NULL, "i=4f2a91.3c.1 {nrcpts}=2 {msg_id}=<1@x>");
	f.txn.arena = NULL;
	f.session.tls = NULL;
	f.session.auth_mechanism = f.session.auth_user = NULL;
	assert_macros(c, 'H', NULL, "i=4f2a91.3c s=client.test r=ESMTP");
	assert_macros(c, 'M', "{auth_type} {auth_author} {auth_ssf} {mail_addr} {rcpt_addr} {nrcpts} {msg_id}", "");
}

static void test_sendmail(void **state)
{
	(void)state;
	enum milter_compat c = MILTER_COMPAT_SENDMAIL;
	assert_macros(c, 'C', NULL,
	    "j=mx.example.org _=client.test [192.0.2.1] {daemon_name}=mx.example.org {if_name}=mx.example.org {if_addr}=192.0.2.25");
	assert_macros(c, 'E', NULL, "{msg_id}=<1@x>");
	assert_macros(c, 'T', NULL, "");
}

/* shows: M9 */
static void test_corners(void **state)
{
	(void)state;
	static const struct tls_info unverified = { .protocol = "TLSv1.2", .cipher = "X", .peer_subject = "me", .peer_issuer = "me" };
	enum milter_compat c = MILTER_COMPAT_FULL;
	f.session.client_name = "unknown";
	f.session.client_ptr = "forged.test";
	f.session.client_resolve = GATE_RESOLVE_FORGED;
	assert_macros(c, 'C', "_ {client_resolve}", "_=forged.test [192.0.2.1] (may be forged) {client_resolve}=FORGED");
	f.session.client.sa.sa_family = AF_INET6;
	f.session.client_ip = "2001:db8::1";
	assert_macros(c, 'C', "{client_addr}", "{client_addr}=IPv6:2001:db8::1");
	f.session.tls = &unverified; /* a certificate nobody vouches for is none */
	assert_macros(c, 'H', "{cert_subject} {cert_issuer} {cipher}", "{cipher}=X");

	/* The null sender (M10), and a recipient without a domain. */
	fixture_txn_fini(&f);
	fixture_mail(&f, "FROM:<> AUTH=<>");
	assert_macros(c, 'M', "{mail_addr} {mail_host} {auth_author}", "{mail_addr}= {mail_host}=mx.example.org");
	fixture_rcpt(&f, "TO:<postmaster>");
	assert_macros(c, 'R', "{rcpt_addr} {rcpt_host}", "{rcpt_addr}=postmaster {rcpt_host}=mx.example.org");

	/* A NUL in a field must not begin a macro of the sender's own. */
	fixture_content(&f, BYTES("Message-ID: <1@x>\0{auth_authen}\0root\r\n\r\n"));
	assert_macros(c, 'E', "{msg_id}", "{msg_id}=<1@x>");
}

/* A value that a sender made long must not fill the filter's buffer. */
static void test_long_value(void **state)
{
	(void)state;
	struct buf header = { 0 }, want = { 0 };
	buf_add_str(&header, "Message-ID: ");
	buf_add_str(&want, "{msg_id}=");
	for (unsigned i = 0; i < 100000; i++)
		buf_add_char(&header, 'x');
	for (unsigned i = 0; i < 1024; i++)
		buf_add_char(&want, 'x');
	buf_add_str(&header, "\r\n\r\n");
	mail_unref(&f.txn.mail);
	fixture_content(&f, buf_bytes(&header));
	assert_macros(MILTER_COMPAT_FULL, 'E', "{msg_id}", buf_str(&want));
	buf_fini(&header);
	buf_fini(&want);
}

static void test_parse(void **state)
{
	(void)state;
	struct milter_macro_list list;
	struct bytes unknown = { 0 };
	assert_int_equal(milter_macros_parse(BYTES(" i,, {j} mail_addr\t{mail_addr} nope {no} {mail_addr"), &list, &unknown), 3);
	assert_true(bytes_eq(unknown, BYTES("nope")));
	assert_int_equal(list.count, 3);
	assert_int_equal(milter_macros_parse(BYTES(""), &list, &unknown), 0);
	assert_int_equal(list.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_postfix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_postfix_withholds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sendmail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_corners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_value, setup, teardown),
		cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
