/* test_config.c: what a good gatepost.conf becomes. */
#include "lib/base/mem.h"
#include "lib/gate/gate.h"
#include "lib/run/task.h"
#include "mta/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static char *path_of(const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

static void write_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	mem_free(path);
}

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_config.XXXXXX");
	assert_non_null(mkdtemp(folder));
	char *spool = path_of("spool");
	assert_int_equal(mkdir(spool, 0700), 0);
	mem_free(spool);
	write_file("mx.sieve", "require [\"envelope\", \"vnd.gatepost.mta\"];\n"
			       "stage \"rcpt\" { if envelope :domain \"to\" \"example.org\" { deliver \"here\"; } }\n");
	return 0;
}

static int end(void **state)
{
	static const char *const names[] = { "g.conf", "mx.sieve", "spool", "" };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char *path = path_of(names[i]);
		assert_int_equal(remove(path), 0);
		mem_free(path);
	}
	return 0;
}

#define TOP "hostname = mx.test\nspool = spool\ndns { enabled = no }\nnext_hop here { maildir = mail/%d }\n"
#define LISTENER "listener mx { address = \"127.0.0.1:0\" script = mx.sieve }\n"

static struct config *read_good(const char *text)
{
	struct config *c = NULL;
	struct buf err = { 0 };
	char *file = path_of("g.conf");
	write_file("g.conf", text);
	if (config_read(file, &c, &err))
		fail_msg("%s", buf_str(&err));
	assert_int_equal(err.n, 0);
	mem_free(file);
	return c;
}

static void test_defaults(void **state)
{
	(void)state;
	struct config *c = read_good(TOP LISTENER);
	struct smtpd_config standard;
	smtpd_config_defaults(&standard);
	assert_string_equal(c->hostname, "mx.test");
	assert_string_equal(c->folder, folder);
	assert_string_equal(c->log_target, "stderr");
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_null(c->user);
	assert_null(c->tls);
	assert_in_range(c->workers, 1, 256);
	char *journal = path_of("spool/journal");
	assert_string_equal(c->journal_folder, journal);
	mem_free(journal);
	assert_int_equal(c->listener_count, 1);
	const struct smtpd_config *m = &c->listeners[0].smtpd;
	assert_string_equal(m->name, "mx");
	assert_string_equal(m->hostname, "mx.test");
	assert_non_null(m->script.script);
	assert_false(m->lmtp);
	assert_int_equal(m->tls_mode, SMTPD_TLS_NONE);
	assert_int_equal(m->size_max, standard.size_max);
	assert_int_equal(m->data_timeout, standard.data_timeout);
	assert_non_null(config_next_hop(c, BYTES("here")));
	assert_null(config_next_hop(c, BYTES("there")));
	config_free(&c);
	assert_null(c);
}

static void test_listener(void **state)
{
	(void)state;
	struct config *c = read_good(
	    TOP "listener in {\n"
		"  address = {\"0.0.0.0:2525\", \"[::1]:24\"}\n  address += \"unix:in.sock\"\n"
		"  script = mx.sieve protocol = lmtp banner = \"hello\" client_names = no bare_newline = normalize\n"
		"  xclient = {127.0.0.0/8, \"2001:db8::/32\"} size_max = 2M header_max = 64k memory_max = 0 line_max = "
	        "4096\n"
		"  rcpt_max = 7 hops_max = 8 soft_errors = 3 hard_errors = 4 junk_max = 5 data_rate_min = 0\n"
		"  error_delay = 10ms command_timeout = 1m data_timeout = 2m delivery_deadline = 3m\n}\n");
	const struct config_listener *l = &c->listeners[0];
	const struct smtpd_config *m = &l->smtpd;
	char ip[INET6_ADDRSTRLEN];
	assert_int_equal(l->address_count, 3);
	assert_int_equal(net_addr_port(&l->addresses[0].addr), 2525);
	net_addr_ip(&l->addresses[1].addr, ip);
	assert_string_equal(ip, "::1");
	assert_int_equal(l->addresses[2].line, 7);
	char *sock = path_of("in.sock");
	assert_string_equal(l->addresses[2].addr.un.sun_path, sock);
	mem_free(sock);
	assert_true(m->lmtp);
	assert_string_equal(m->banner, "hello");
	assert_false(m->client_names);
	assert_int_equal(m->bare_newline, SMTP_BARE_NORMALIZE);
	assert_int_equal(m->xclient_count, 2);
	assert_int_equal(m->xclient[1].bits, 32);
	assert_int_equal(m->size_max, 2 << 20);
	assert_int_equal(m->header_max, 65536);
	assert_int_equal(m->memory_max, 0);
	assert_int_equal(m->line_max, 4096);
	assert_int_equal(m->rcpt_max, 7);
	assert_int_equal(m->hops_max, 8);
	assert_int_equal(m->soft_errors, 3);
	assert_int_equal(m->hard_errors, 4);
	assert_int_equal(m->junk_max, 5);
	assert_int_equal(m->data_rate_min, 0);
	assert_int_equal(m->error_delay, MS(10));
	assert_int_equal(m->command_timeout, SECONDS(60));
	assert_int_equal(m->data_timeout, SECONDS(120));
	assert_int_equal(m->delivery_deadline, SECONDS(180));
	config_free(&c);
}

#define MILTER(name, settings) "milter " name " { socket = \"inet:127.0.0.1:1\" " settings " }\n"

/* What is nearer wins. */
static void test_on_failure(void **state)
{
	static const struct {
		const char *gate;
		enum gate_stage stage;
		enum gate_fault fault;
		enum gate_on_failure what;
	} cases[] = {
		{ "plain", GATE_RCPT, GATE_FAULT_TIMEOUT, GATE_ON_FAILURE_TEMPFAIL },
		{ "word", GATE_CONNECT, GATE_FAULT_CONNECT, GATE_ON_FAILURE_ACCEPT },
		{ "word", GATE_MESSAGE, GATE_FAULT_EDIT, GATE_ON_FAILURE_ACCEPT },
		{ "fine", GATE_MAIL, GATE_FAULT_PROTOCOL, GATE_ON_FAILURE_REJECT },
		{ "fine", GATE_MAIL, GATE_FAULT_CONNECT, GATE_ON_FAILURE_CONTINUE },
		{ "fine", GATE_RCPT, GATE_FAULT_CONNECT, GATE_ON_FAILURE_HOLD },
		{ "fine", GATE_RCPT, GATE_FAULT_TIMEOUT, GATE_ON_FAILURE_DISCONNECT },
		{ "fine", GATE_DATA, GATE_FAULT_TIMEOUT, GATE_ON_FAILURE_REJECT },
		{ "fine", GATE_MESSAGE, GATE_FAULT_CONNECT, GATE_ON_FAILURE_CONTINUE },
		{ "fine", GATE_MESSAGE, GATE_FAULT_EDIT, GATE_ON_FAILURE_ACCEPT },
	};
	(void)state;
	struct config *c = read_good(TOP LISTENER MILTER("plain", "") MILTER(
	    "word", "on_failure = accept shadow = yes total_timeout = 90s") MILTER("fine",
	    "on_failure { default = reject connect = continue stage rcpt { default = hold timeout = disconnect }\n"
	    "stage \"message\" { edit = accept } }"));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct gate *g = config_gate(c, bytes_of(cases[i].gate));
		assert_non_null(g);
		assert_int_equal(g->on_failure[cases[i].stage][cases[i].fault], cases[i].what);
	}
	assert_true(config_gate(c, BYTES("word"))->shadow);
	assert_int_equal(config_gate(c, BYTES("word"))->total_timeout, SECONDS(90));
	assert_false(config_gate(c, BYTES("plain"))->shadow);
	assert_int_equal(config_gate(c, BYTES("plain"))->total_timeout, SECONDS(600));
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, begin, end),
		cmocka_unit_test_setup_teardown(test_listener, begin, end),
		cmocka_unit_test_setup_teardown(test_on_failure, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
