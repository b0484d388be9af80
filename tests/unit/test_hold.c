/* test_hold.c: the hold area: envelopes, what is kept, locks, and what lies in the folder that ought not to. */
#include "queue/hold.h"

#include "lib/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/in_task.h"

static char spool[64];

static int setup(void **state)
{
	strcpy(spool, "/tmp/test_hold.XXXXXX");
	return mkdtemp(spool) ? loop_setup(state) : -1;
}

static int teardown(void **state)
{
	char command[96];
	snprintf(command, sizeof command, "rm -rf %s", spool);
	return system(command) || loop_teardown(state);
}

/* ---- a message to be held ---- */

struct sample {
	struct arena arena;
	struct held held;
	struct tls_info tls;
	struct mail *mail;
};

static void sample_path(struct sample *s, enum smtp_verb verb, const char *argument, struct smtp_path *ret)
{
	struct smtp_reply error;
	assert_int_equal(smtp_path_parse(verb, arena_bytes(&s->arena, bytes_of(argument)), false, &s->arena, ret, &error), 0);
}

static struct held_target *sample_target(struct sample *s, struct held_rcpt *r, const char *address, const char **hops, unsigned n)
{
	struct held_target **end = &r->targets;
	while (*end)
		end = &(*end)->next;
	struct held_target *t = *end = ARENA_NEW(&s->arena, struct held_target);
	assert_int_equal(smtp_address_parse(bytes_of(address), &s->arena, &t->address), 0);
	t->hops = hops;
	t->hop_count = n;
	return t;
}

static struct held_rcpt *sample_rcpt(struct sample *s, const char *argument)
{
	static const char *hop[] = { "here" };
	struct held_rcpt *r = ARENA_NEW(&s->arena, struct held_rcpt);
	sample_path(s, SMTP_RCPT, argument, &r->view.path);
	sample_target(s, r, arena_str(&s->arena, r->view.path.address.address), hop, 1);
	list_append(&s->held.rcpts, &r->link);
	return r;
}

static void sample_mail(struct sample *s, const char *text, bool trace)
{
	const struct mail_limits limits = { .memory_max = 128 * 1024 };
	mail_unref(&s->mail);
	s->mail = mail_new(&limits);
	assert_int_equal(mail_append(s->mail, bytes_of(text)), 0);
	assert_int_equal(mail_end(s->mail), 0);
	if (trace)
		mail_trace_prepend(s->mail, BYTES("Received: from x\r\n\tby y; now\r\n"));
}

static void sample_init(struct sample *s, const char *id)
{
	static const char *gates[] = { "m", "signer" };
	*s = (struct sample){ .tls = { .protocol = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .cipher_bits = 256, .peer_verified = true } };
	s->held = (struct held){
		.id = id, .time = 1793000000, .reason = "looks odd", .gate = "m", .instance = "1.2.3", .gates = gates, .gate_count = 2,
		.session = { .id = "2f1c.1", .hostname = "mx.example.org", .listener = "mx", .server_ip = "192.0.2.1", .client_ip = "2001:db8::7",
		    .client_port = 4000, .client_name = "unknown", .client_ptr = "odd\xff.test", .client_resolve = GATE_RESOLVE_FORGED,
		    .protocol = GATE_ESMTP, .helo = "client.test", .auth_user = "u", .auth_mechanism = "PLAIN" },
	};
	s->held.session.tls = &s->tls;
	s->held.session.arena = &s->arena;
	assert_int_equal(net_addr_parse(BYTES("192.0.2.1"), 25, &s->held.session.server), 0);
	assert_int_equal(net_addr_parse(BYTES("2001:db8::7"), 4000, &s->held.session.client), 0);
	list_init(&s->held.rcpts);
	sample_path(s, SMTP_MAIL, "FROM:<\"a b\"@example.net> SIZE=2000 RET=HDRS ENVID=x", &s->held.sender);
	sample_rcpt(s, "TO:<b@Example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@example.org");
	sample_mail(s, "Subject: x\r\n\r\ny\r\n", true);
}

static void sample_fini(struct sample *s)
{
	mail_unref(&s->mail);
	arena_fini(&s->arena);
}

struct put {
	struct sample *sample;
	int r;
};

TASK_FN static void put_task(void *arg)
{
	struct put *p = arg;
	p->r = hold_put(spool, &p->sample->held, p->sample->mail);
}

static int put(struct sample *s)
{
	struct put p = { .sample = s };
	in_task(put_task, &p);
	return p.r;
}

static void put_sample(const char *id)
{
	struct sample s;
	sample_init(&s, id);
	assert_int_equal(put(&s), 0);
	sample_fini(&s);
}

static struct hold_entry *opened(const char *id)
{
	struct hold_entry *e = NULL;
	struct buf why = { 0 };
	assert_int_equal(hold_open(spool, id, true, &e), 0);
	int r = hold_load(e, &why);
	if (r)
		fail_msg("%s: %s", id, buf_str(&why));
	buf_fini(&why);
	return e;
}

static unsigned file_count(void)
{
	char path[96];
	unsigned n = 0;
	snprintf(path, sizeof path, "%s/hold", spool);
	DIR *d = opendir(path);
	for (const struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void write_file(const char *name, const char *text)
{
	char path[160];
	snprintf(path, sizeof path, "%s/hold/%s", spool, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* ---- the envelope ---- */

static void test_all_comes_back(void **state)
{
	struct sample s;
	(void)state;
	sample_init(&s, "2f1c.1.1");
	static const char *two[] = { "dovecot", "spare" };
	struct held_rcpt *alias = sample_rcpt(&s, "TO:<all@example.org>");
	alias->view.class = "k";
	alias->view.added = true;
	sample_target(&s, alias, "c@example.com", two, 2)->queue = true;
	alias->targets->delivered = true;
	assert_int_equal(put(&s), 0);

	struct hold_entry *e = opened("2f1c.1.1");
	const struct held *h = &e->held;
	assert_string_equal(h->reason, "looks odd");
	assert_string_equal(h->gate, "m");
	assert_int_equal(h->time, 1793000000);
	assert_int_equal(h->size, mail_size(s.mail));
	assert_int_equal(h->gate_count, 2);
	assert_string_equal(h->gates[1], "signer");
	assert_string_equal(h->session.client_ptr, "odd\xff.test");
	assert_int_equal(h->session.client_resolve, GATE_RESOLVE_FORGED);
	assert_int_equal(h->session.client.sa.sa_family, AF_INET6);
	assert_int_equal(net_addr_port(&h->session.server), 25);
	assert_string_equal(h->session.tls->cipher, "TLS_AES_256_GCM_SHA384");
	assert_true(h->session.tls->peer_verified);
	assert_null(h->session.auth_author);
	assert_true(bytes_eq(h->sender.raw, BYTES("<\"a b\"@example.net>")));
	assert_int_equal(h->sender.size, 2000);
	assert_true(h->sender.ret_headers);
	const struct held_rcpt *first = LIST_ITEM(h->rcpts.next, struct held_rcpt, link), *last = LIST_ITEM(h->rcpts.prev, struct held_rcpt, link);
	assert_int_equal(first->view.path.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE);
	assert_true(bytes_eq(first->view.path.orcpt, BYTES("rfc822;b@example.org")));
	assert_string_equal(last->view.class, "k");
	assert_true(last->view.added && last->targets->delivered && !last->targets->next->delivered && last->targets->next->queue);
	assert_string_equal(last->targets->next->hops[1], "spare");
	assert_false(held_rcpt_done(last));
	hold_close(&e);
	sample_fini(&s);
}

/* What gates changed since: the address, RET and ENVID; the command stays. */
static void test_changed_sender(void **state)
{
	struct sample s;
	(void)state;
	sample_init(&s, "2f1c.1.1");
	assert_int_equal(smtp_address_parse(BYTES("other@example.com"), &s.arena, &s.held.sender.address), 0);
	s.held.sender.ret_headers = false;
	s.held.sender.ret_full = true;
	s.held.sender.envid = BYTES("new");
	assert_int_equal(put(&s), 0);
	struct hold_entry *e = opened("2f1c.1.1");
	assert_true(bytes_eq(e->held.sender.address.address, BYTES("other@example.com")));
	assert_true(bytes_eq(e->held.sender.raw, BYTES("<\"a b\"@example.net>")));
	assert_true(e->held.sender.ret_full && !e->held.sender.ret_headers && bytes_eq(e->held.sender.envid, BYTES("new")));
	hold_close(&e);
	sample_fini(&s);
}

static void test_ids(void **state)
{
	static const struct {
		const char *id;
		bool valid;
	} cases[] = { { "2f1c.1.1", true }, { "A-b", true }, { "", false }, { ".", false }, { "..", false }, { "../x", false }, { "-x", false }, { "a/b", false },
		{ "a b", false }, { "a\n", false }, { "0123456789012345678901234567890123456789012345678901234567890123", true },
		{ "01234567890123456789012345678901234567890123456789012345678901234", false } };
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(held_id_valid(bytes_of(cases[i].id)), cases[i].valid);
}

static void test_decode_refuses(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ "\"version\": 1", "\"version\": 2", "it is of version 2, and this gatepost knows version 1" },
		{ "\"version\": 1,", "", "\"version\" is missing" },
		{ "\"recipients\": [", "\"recipients\": [], \"others\": [", "recipients" },
		{ "\"envid\": \"x\"", "\"envid\": \"x\\r\\nRCPT TO:<c@example.org>\"", "envid" },
		{ "\"envid\": \"x\"", "\"envid\": \"x RET=FULL\"", "envid" },
		{ "\"id\": \"2f1c.1.1\"", "\"id\": \"../x\"", "\"id\"" },
		{ "\"listener\": \"mx\"", "\"listener\": 7", "listener" },
		{ "\"time\": 1793000000", "\"time\": -1", "time" },
		{ "\"resolve\": \"forged\"", "\"resolve\": \"maybe\"", "resolve" },
		{ "FROM:<", "TO:<", "command" },
		{ "\"address\": \"b@Example.org\"", "\"address\": \"b@b@b\"", "address" },
		{ "\"here\"", "", "hops" },
		{ "\"trace\": [", "\"trace\": [-1,", "trace" },
		{ "\"hex\": \"6f", "\"hex\": \"6g", "ptr" },
		{ "\"hex\": \"6f", "\"hex\": \"00", "ptr" },
		{ "\"gates\"", "\"gatez\"", "gates" },
		{ "\"protocol\": \"esmtp\"", "\"protocol\": \"esmtp\", \"protocol\": \"smtp\"", "duplicate" },
		{ "{", "", "line 2" },
	};
	struct sample s;
	struct buf good = { 0 };
	(void)state;
	sample_init(&s, "2f1c.1.1");
	static unsigned trace[] = { 0 };
	s.held.trace = trace;
	s.held.trace_count = 1;
	held_encode(&s.held, &good);
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf text = { 0 }, err = { 0 };
		struct held h;
		ptrdiff_t at = bytes_search(buf_bytes(&good), bytes_of(cases[i].from));
		assert_true(at >= 0);
		buf_add(&text, bytes_first(buf_bytes(&good), (size_t)at));
		buf_add_str(&text, cases[i].to);
		buf_add(&text, bytes_skip(buf_bytes(&good), (size_t)at + strlen(cases[i].from)));
		assert_int_equal(held_decode(buf_bytes(&text), &s.arena, &h, &err), -EBADMSG);
		if (!strstr(buf_str(&err), cases[i].says))
			fail_msg("%s: says %s", cases[i].to, buf_str(&err));
		buf_fini(&text);
		buf_fini(&err);
	}
	buf_fini(&good);
	sample_fini(&s);
}

/* Whatever is cut off, it is no envelope: there is no byte whose loss goes unnoticed, but for the last line end. */
static void test_truncated(void **state)
{
	struct sample s;
	struct buf text = { 0 };
	(void)state;
	sample_init(&s, "2f1c.1.1");
	held_encode(&s.held, &text);
	for (size_t n = 0; n + 1 < text.n; n++) {
		struct buf err = { 0 };
		struct held h;
		assert_int_equal(held_decode(bytes_first(buf_bytes(&text), n), &s.arena, &h, &err), -EBADMSG);
		buf_fini(&err);
	}
	buf_fini(&text);
	sample_fini(&s);
}

/* ---- the content ---- */

static void read_all(struct mail *m, struct buf *to)
{
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	do {
		assert_int_equal(mail_read(m, &at, 7, &scratch, &piece), 0);
		buf_add(to, piece);
	} while (piece.n);
	buf_fini(&scratch);
}

static void test_content(void **state)
{
	static const char *const messages[] = {
		"Subject: x\r\n\r\ny\r\n", "Subject: folded\r\n\tline\r\n\r\n..dots\r\n.\r\n", "", "\r\n", "\r\n\r\n", "no header at all\r\n", " blank first\r\n", "Subject: no end",
		"Subject: header alone\r\n", "A: b\r\nFrom mbox line\r\nrest\r\n", "Received: a\r\nX: \xff\xfe\r\n\r\n\xc3\r\n",
	};
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(messages); i++) {
		struct sample s;
		struct buf before = { 0 }, after = { 0 };
		struct mail *m;
		const struct mail_limits limits = { .memory_max = 4, .spool = spool };
		sample_init(&s, "2f1c.1.1");
		sample_mail(&s, messages[i], true);
		assert_int_equal(mail_header_insert(s.mail, 0, BYTES("X-Top"), BYTES("1"), false), 0);
		read_all(s.mail, &before);
		assert_int_equal(put(&s), 0);
		struct hold_entry *e = opened("2f1c.1.1");
		assert_int_equal(hold_mail(e, &limits, &m), 0);
		read_all(m, &after);
		assert_true(bytes_eq(buf_bytes(&before), buf_bytes(&after)));
		/* Our trace field is the second one, and gates still do not see it: their first Received is the client's. */
		const struct mail_header *own = LIST_ITEM(m->headers.next->next, struct mail_header, link);
		assert_true(own->hidden && bytes_eq(own->name, BYTES("Received")));
		assert_ptr_not_equal(mail_header_find(m, BYTES("Received"), 1), own);
		assert_int_equal(hold_remove(e), 0);
		assert_int_equal(file_count(), 0);
		hold_close(&e);
		mail_unref(&m);
		buf_fini(&before);
		buf_fini(&after);
		sample_fini(&s);
	}
}

static void test_private(void **state)
{
	struct stat st;
	char path[96];
	(void)state;
	put_sample("2f1c.1.1");
	static const char *const names[] = { "2f1c.1.1.eml", "2f1c.1.1.json" };
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof path, "%s/hold/%s", spool, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	snprintf(path, sizeof path, "%s/hold", spool);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* ---- what can go wrong ---- */

/* RLIMIT_FSIZE stands for a full disk.  In a child, whose limit it is. */
static int put_limited(rlim_t bytes)
{
	int status;
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit limit = { bytes, bytes };
		struct sample s;
		signal(SIGXFSZ, SIG_IGN);
		if (run_init() || setrlimit(RLIMIT_FSIZE, &limit))
			_exit(1);
		sample_init(&s, "2f1c.1.1");
		_exit(put(&s) == -ENOSPC ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void test_no_space(void **state)
{
	(void)state;
	assert_int_equal(put_limited(10), 0);   /* the content does not fit */
	assert_int_equal(put_limited(200), 0);  /* it does, the envelope does not */
	assert_int_equal(file_count(), 0);
}

static void test_name_is_taken(void **state)
{
	struct sample s;
	(void)state;
	put_sample("2f1c.1.1");
	sample_init(&s, "2f1c.1.1");
	assert_int_equal(put(&s), -EEXIST);
	sample_fini(&s);
	struct hold_entry *e = opened("2f1c.1.1");
	hold_close(&e);
	assert_int_equal(file_count(), 2);
}

static void test_no_folder(void **state)
{
	struct arena arena = { 0 };
	struct hold_entry *e = NULL;
	const char **ids;
	unsigned n;
	(void)state;
	assert_int_equal(hold_ids(spool, &arena, &ids, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(hold_open(spool, "x", true, &e), -ENOENT);
}

/* Names that are none of ours are left alone; links are not followed. */
static void test_foreign_files(void **state)
{
	struct arena arena = { 0 };
	struct buf err = { 0 };
	struct held h;
	const char **ids;
	unsigned n;
	char path[96];
	struct hold_entry *e = NULL;
	(void)state;
	put_sample("2f1c.1.1");
	write_file("README", "not ours");
	write_file("-odd.json", "{}");
	write_file("core.json", "{}");
	snprintf(path, sizeof path, "%s/hold/link.json", spool);
	assert_int_equal(symlink("2f1c.1.1.json", path), 0);
	snprintf(path, sizeof path, "%s/hold/folder.json", spool);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(hold_begin(spool, &err), 0);
	assert_int_equal(file_count(), 7);
	assert_int_equal(hold_ids(spool, &arena, &ids, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(hold_peek(spool, "2f1c.1.1", &arena, &h, &err), 0);
	assert_int_equal(hold_peek(spool, "link", &arena, &h, &err), -ENOENT);
	assert_int_equal(hold_peek(spool, "folder", &arena, &h, &err), -ENOENT);
	assert_int_equal(hold_peek(spool, "core", &arena, &h, &err), -EBADMSG);
	/* It has no content, and can be thrown away. */
	assert_int_equal(hold_open(spool, "core", true, &e), 0);
	assert_int_equal(hold_load(e, &err), -EBADMSG);
	assert_int_equal(hold_remove(e), 0);
	hold_close(&e);
	assert_int_equal(hold_open(spool, "core", true, &e), -ENOENT);
	buf_fini(&err);
	arena_fini(&arena);
}

static void test_damaged(void **state)
{
	struct hold_entry *e = NULL;
	struct buf err = { 0 };
	struct arena arena = { 0 };
	struct held h;
	char from[96], to[96];
	(void)state;
	put_sample("2f1c.1.1");
	/* Content of another size. */
	write_file("2f1c.1.1.eml", "short");
	assert_int_equal(hold_open(spool, "2f1c.1.1", true, &e), 0);
	assert_int_equal(hold_load(e, &err), -EBADMSG);
	assert_non_null(strstr(buf_str(&err), "has 5 bytes"));
	hold_close(&e);
	/* The envelope of another message. */
	snprintf(from, sizeof from, "%s/hold/2f1c.1.1.json", spool);
	snprintf(to, sizeof to, "%s/hold/2f1c.1.2.json", spool);
	assert_int_equal(rename(from, to), 0);
	buf_clear(&err);
	assert_int_equal(hold_peek(spool, "2f1c.1.2", &arena, &h, &err), -EBADMSG);
	assert_non_null(strstr(buf_str(&err), "envelope of 2f1c.1.1"));
	arena_fini(&arena);
	buf_fini(&err);
}

static void test_lock(void **state)
{
	struct hold_entry *e, *other = NULL;
	(void)state;
	put_sample("2f1c.1.1");
	e = opened("2f1c.1.1");
	assert_int_equal(hold_open(spool, "2f1c.1.1", true, &other), -EWOULDBLOCK);
	assert_int_equal(hold_open(spool, "2f1c.1.1", false, &other), 0);       /* looking is free */
	hold_close(&other);
	assert_int_equal(hold_remove(e), 0);
	assert_int_equal(hold_open(spool, "2f1c.1.1", true, &other), -ENOENT);
	hold_close(&e);
}

static void test_save(void **state)
{
	struct buf why = { 0 };
	(void)state;
	put_sample("2f1c.1.1");
	struct hold_entry *e = opened("2f1c.1.1");
	LIST_ITEM(e->held.rcpts.next, struct held_rcpt, link)->targets->delivered = true;
	assert_int_equal(hold_save(e), 0);
	assert_int_equal(file_count(), 2);
	/* Still the same lock. */
	struct hold_entry *other = NULL;
	assert_int_equal(hold_open(spool, "2f1c.1.1", true, &other), -EWOULDBLOCK);
	hold_close(&e);
	e = opened("2f1c.1.1");
	assert_true(held_rcpt_done(LIST_ITEM(e->held.rcpts.next, struct held_rcpt, link)));
	hold_close(&e);
	buf_fini(&why);
}

/* Asked before there is anything to save: nothing is left of the question. */
static void test_can_save(void **state)
{
	(void)state;
	put_sample("2f1c.1.1");
	struct hold_entry *e = opened("2f1c.1.1");
	assert_int_equal(hold_can_save(e), 0);
	assert_int_equal(file_count(), 2);
	char *path = mem_printf("%s/hold/2f1c.1.1.new", spool);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(hold_can_save(e), -EISDIR);
	assert_int_equal(rmdir(path), 0);
	mem_free(path);
	hold_close(&e);
}

/* What a crash leaves: content without an envelope, an envelope half written.  What somebody is at is left to him. */
static void test_begin_clears(void **state)
{
	struct buf err = { 0 };
	char path[96];
	(void)state;
	put_sample("2f1c.1.1");
	write_file("2f1c.1.2.eml", "orphan");
	write_file("2f1c.1.1.new", "{");
	write_file("2f1c.1.3.new", "{");
	write_file("2f1c.1.4.eml", "being written");
	snprintf(path, sizeof path, "%s/hold/2f1c.1.4.eml", spool);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(file_count(), 6);
	assert_int_equal(hold_begin(spool, &err), 0);
	assert_int_equal(file_count(), 3);
	close(fd);
	assert_int_equal(hold_begin(spool, &err), 0);
	assert_int_equal(file_count(), 2);
	struct hold_entry *e = opened("2f1c.1.1");
	hold_close(&e);
	buf_fini(&err);
}

#define HOLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOLD_TEST(test_all_comes_back), HOLD_TEST(test_changed_sender), HOLD_TEST(test_ids), HOLD_TEST(test_decode_refuses), HOLD_TEST(test_truncated),
		HOLD_TEST(test_content), HOLD_TEST(test_private), HOLD_TEST(test_no_space), HOLD_TEST(test_name_is_taken), HOLD_TEST(test_no_folder),
		HOLD_TEST(test_foreign_files), HOLD_TEST(test_damaged), HOLD_TEST(test_lock), HOLD_TEST(test_save),
		HOLD_TEST(test_can_save), HOLD_TEST(test_begin_clears),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
