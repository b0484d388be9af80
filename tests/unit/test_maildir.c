/* test_maildir.c: into a maildir: where, what, and what happens when there is no room or no such user. */
#include "tests/unit/delivery_fixture.h"

#include "delivery/maildir_hop.h"
#include "delivery/maildir_path.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- paths ---- */

static void test_path(void **state)
{
	static const struct {
		const char *template, *address, *want;
	} cases[] = {
		{ "/v/%d/%n", "Bob@Example.ORG", "/v/example.org/bob" },
		{ "/v/%u/Maildir", "bob@example.org", "/v/bob@example.org/Maildir" },
		{ "/v/100%%/%n", "bob@example.org", "/v/100%/bob" },
		{ "/v/shared", "bob@example.org", "/v/shared" },
		{ "/v/%n", "bob+x=y@example.org", "/v/bob+x=y" },
		{ "/v/%n", "\"b o b\"@example.org", "/v/b o b" },
		{ "/v/%n", "\"../../etc\"@example.org", NULL },
		{ "/v/%n", "\"a/b\"@example.org", NULL },
		{ "/v/%n", "\".hidden\"@example.org", NULL },
		{ "/v/%n", "\"\"@example.org", NULL },
		{ "/v/%u", "postmaster", NULL },
		{ "/v/%n", "postmaster", "/v/postmaster" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena arena = { 0 };
		struct smtp_address address;
		struct buf path = { 0 };
		if (smtp_address_parse(bytes_of(cases[i].address), &arena, &address) < 0) {
			assert_null(cases[i].want);
			continue;
		}
		int r = maildir_path_expand(cases[i].template, &address, &path);
		assert_int_equal(r, cases[i].want ? 0 : -EINVAL);
		if (cases[i].want)
			assert_string_equal(buf_str(&path), cases[i].want);
		buf_fini(&path);
		arena_fini(&arena);
	}
}

/* What no parser lets through today, but nothing in the path may rest on that. */
static void test_path_of_hostile_addresses(void **state)
{
	static const struct bytes locals[] = { BYTES(""), BYTES("a\0b"), BYTES("a\nb"), BYTES("."), BYTES(".."), BYTES("/"), BYTES("a/../b"), BYTES("\x7f") };
	static char long_name[201];

	(void)state;
	memset(long_name, 'x', sizeof long_name);
	for (size_t i = 0; i <= COUNT_OF(locals); i++) {
		struct bytes value = i < COUNT_OF(locals) ? locals[i] : bytes_make(long_name, sizeof long_name);
		struct smtp_address as_local = { .local = value, .domain = BYTES("d") }, as_domain = { .local = BYTES("l"), .domain = value };
		struct buf path = { 0 };
		assert_int_equal(maildir_path_expand("/v/%n", &as_local, &path), -EINVAL);
		assert_int_equal(maildir_path_expand("/v/%u", &as_local, &path), -EINVAL);
		assert_int_equal(maildir_path_expand("/v/%d", &as_domain, &path), -EINVAL);
		assert_int_equal(maildir_path_expand("/v/%u", &as_domain, &path), -EINVAL);
		buf_fini(&path);
	}
}

static void test_path_fixed(void **state)
{
	static const struct {
		const char *template, *want;
	} cases[] = {
		{ "/var/vmail/%d/%n", "/var/vmail" }, { "/var/vmail/x%d", "/var/vmail" }, { "/%d/%n", "/" },
		{ "/var/mail/shared", "/var/mail" },  { "/v/100%%/%n", "/v/100%%" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t n = maildir_path_fixed(cases[i].template);
		assert_true(bytes_eq(bytes_make(cases[i].template, n), bytes_of(cases[i].want)));
	}
}

static void test_settings(void **state)
{
	static const char *const bad[] = { "relative/%n", "/v/%x", "/v/%", "" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		const struct maildir_hop_params params = { .name = "local", .path = bad[i] };
		struct next_hop hop;
		struct buf err = { 0 };
		assert_int_equal(maildir_hop_configure(&params, &hop, &err), -EINVAL);
		assert_true(err.n > 0);
		buf_fini(&err);
	}
}

/* ---- deliveries ---- */

static struct next_hop hop_at(const char *template, const struct maildir_hop_params *more)
{
	struct maildir_hop_params params = *more;
	struct next_hop hop;
	struct buf err = { 0 };

	params.name = "local";
	params.path = template;
	assert_int_equal(maildir_hop_configure(&params, &hop, &err), 0);
	return hop;
}

/* How many files are there; the last one's content in *TEXT, its name in NAME, if not NULL. */
static unsigned files_in(const char *maildir, const char *sub, struct buf *text, char name[static 256])
{
	char path[600];
	unsigned n = 0;
	struct dirent *e;

	snprintf(path, sizeof path, "%s/%s", maildir, sub);
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (!text)
			continue;
		strcpy(name, e->d_name);
		snprintf(path, sizeof path, "%s/%s/%s", maildir, sub, e->d_name);
		int fd = open(path, O_RDONLY);
		ssize_t got = read(fd, buf_room(text, 1 << 20), 1 << 20);
		assert_true(got >= 0);
		buf_grown(text, (size_t)got);
		close(fd);
	}
	if (d)
		closedir(d);
	return n;
}

static unsigned count_in(const char *maildir, const char *sub)
{
	char name[256];

	return files_in(maildir, sub, NULL, name);
}

struct place {
	char template[128], bob[128], carol[128];
};

static void place_init(struct fx *fx, struct place *p)
{
	snprintf(p->template, sizeof p->template, "%s/%%d/%%n", fx->folder);
	snprintf(p->bob, sizeof p->bob, "%s/example.org/bob", fx->folder);
	snprintf(p->carol, sizeof p->carol, "%s/example.org/carol", fx->folder);
	*strrchr(p->bob, '/') = '\0';
	assert_int_equal(mkdir(p->bob, 0700), 0);
	p->bob[strlen(p->bob)] = '/';
}

FX_TEST(test_delivery)
{
	struct place p;
	struct buf text = { 0 };
	char name[256], want_size[32];
	struct stat st;
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 });

	fx_simple(fx, "Bob@Example.org", &hop);
	fx_content(fx, BYTES("Subject: test\r\n\r\n.dot\r\nbare\rcr\r\nlast\r"));
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered to maildir");
	assert_int_equal(files_in(p.bob, "new", &text, name), 1);
	assert_int_equal(count_in(p.bob, "tmp"), 0);
	assert_string_equal(buf_str(&text),
	    "Return-Path: <a@example.net>\nDelivered-To: Bob@Example.org\nSubject: test\n\n.dot\nbare\rcr\nlast\r");
	snprintf(want_size, sizeof want_size, ",S=%zu", text.n);
	assert_non_null(strstr(name, ".mx.example.org"));
	assert_true(bytes_ends(bytes_of(name), bytes_of(want_size)));
	assert_int_equal(stat(p.bob, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);

	fx_simple(fx, "bob@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered to maildir");
	assert_int_equal(count_in(p.bob, "new"), 2);
	assert_string_equal(fx->txn.spans->name, "local");
	buf_fini(&text);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* CR LF at every place of the pieces in which a spooled message is read. */
FX_TEST(test_large_message)
{
	struct place p;
	struct buf text = { 0 }, want = { 0 }, got = { 0 };
	char name[256];
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 });

	buf_add_str(&text, "Subject: large\r\n\r\n");
	for (unsigned i = 0; i < 40000; i++)
		buf_printf(&text, "%.*s\r\n", i % 9, "12345678");
	buf_add_str(&want, "Return-Path: <a@example.net>\nDelivered-To: bob@example.org\n");
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r')
			buf_add_char(&want, text.p[i]);
	fx_simple(fx, "bob@example.org", &hop);
	fx_content(fx, buf_bytes(&text));
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered to maildir");
	assert_int_equal(files_in(p.bob, "new", &got, name), 1);
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.p, want.p, want.n);
	buf_fini(&text);
	buf_fini(&want);
	buf_fini(&got);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

FX_TEST(test_unknown_users)
{
	static const struct {
		const char *address, *want;
	} cases[] = {
		{ "bob@elsewhere.test", "550 5.1.1 User unknown" },     /* no folder for the domain */
		{ "\".bob\"@example.org", "550 5.1.1 User unknown" },
		{ "\"a/b\"@example.org", "550 5.1.1 User unknown" },
	};
	struct place p;
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 });

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		fx_simple(fx, cases[i].address, &hop);
		fx_deliver(fx);
		fx_check(fx, cases[i].want);
	}
	fx_finish(fx);
	hop.ops->fini(&hop);
}

FX_TEST(test_existing_only)
{
	struct place p;
	char new[160];
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ .existing_only = true });

	fx_simple(fx, "bob@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "550 5.1.1 User unknown");
	assert_int_equal(mkdir(p.bob, 0700), 0);
	for (int i = 0; i < 3; i++) {
		snprintf(new, sizeof new, "%s/%s", p.bob, (const char *const[]){ "tmp", "new", "cur" }[i]);
		assert_int_equal(mkdir(new, 0700), 0);
	}
	fx_simple(fx, "bob@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered to maildir");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* A file system that is not mounted is no reason to refuse mail for good. */
FX_TEST(test_base_is_missing)
{
	char template[128];
	snprintf(template, sizeof template, "%s/not-mounted/%%d/%%n", fx->folder);
	struct next_hop hop = hop_at(template, &(struct maildir_hop_params){ 0 });

	fx_simple(fx, "bob@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "451 4.3.0 Mailboxes are not available now");
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* A limit on file sizes stands for a full disk where nothing can be mounted. */
FX_TEST(test_no_room)
{
	const struct rlimit small = { .rlim_cur = 1000, .rlim_max = RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	struct place p;
	static char large[4000];
	fx_use_journal(fx);
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 });

	memset(large, 'x', sizeof large);
	fx_simple(fx, "bob@example.org", &hop);
	fx_content(fx, bytes_make(large, sizeof large));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	fx_deliver(fx);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	fx_check(fx, "452 4.3.1 No room for this message now");
	assert_int_equal(count_in(p.bob, "new") + count_in(p.bob, "tmp"), 0);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* As root: a disk that is full. */
FX_TEST(test_full_disk)
{
	static char large[300000];
	char template[128], bob[128];

	if (mount("none", fx->folder, "tmpfs", 0, "size=256k") < 0) {
		print_message("not allowed to mount: nothing shown of a full disk\n");
		fx_finish(fx);
		return;
	}
	snprintf(template, sizeof template, "%s/%%n", fx->folder);
	snprintf(bob, sizeof bob, "%s/bob", fx->folder);
	struct next_hop hop = hop_at(template, &(struct maildir_hop_params){ 0 });
	memset(large, 'x', sizeof large);
	fx_simple(fx, "bob@example.org", &hop);
	fx_content(fx, bytes_make(large, sizeof large));
	fx_deliver(fx);
	unsigned left = count_in(bob, "new") + count_in(bob, "tmp");
	struct smtp_reply big = fx->outcome.reply;
	fx_simple(fx, "bob@example.org", &hop);
	fx_deliver(fx);
	unsigned fits = count_in(bob, "new");
	umount(fx->folder);
	fx_check_reply(&big, "452 4.3.1 No room for this message now");
	assert_int_equal(left, 0);
	assert_int_equal(fits, 1);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Who is given what is made: only root can. */
FX_TEST(test_owner)
{
	struct place p;
	struct stat st;
	char name[256], path[600];
	struct buf text = { 0 };
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ .chown = true, .uid = 12345, .gid = 23456 });

	fx_simple(fx, "bob@example.org", &hop);
	fx_deliver(fx);
	if (geteuid() != 0) {
		fx_check(fx, "451 4.3.0 Mailbox is not available now: Operation not permitted");
	} else {
		fx_check(fx, "250 2.0.0 Delivered to maildir");
		assert_int_equal(files_in(p.bob, "new", &text, name), 1);
		snprintf(path, sizeof path, "%s/new/%s", p.bob, name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 23456);
		assert_int_equal(stat(p.bob, &st), 0);
		assert_int_equal(st.st_uid, 12345);
	}
	buf_fini(&text);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* ---- together with others ---- */

FX_TEST(test_two_users_in_one_group)
{
	struct place p;
	place_init(fx, &p);
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 });

	fx_simple(fx, "bob@example.org", &hop);
	fx_rcpt(fx, "carol@example.org", &hop);
	fx_deliver(fx);
	fx_check(fx, "250 2.0.0 Delivered to maildir");
	assert_int_equal(count_in(p.bob, "new"), 1);
	assert_int_equal(count_in(p.carol, "new"), 1);
	fx_finish(fx);
	hop.ops->fini(&hop);
}

/* Another next hop refuses: what was written goes, and nobody ever saw it. */
FX_TEST(test_rollback)
{
	static const char script[] = FX_EHLO "S 250 hop\nC MAIL FROM:<a@example.net>\nS 250 ok\nC RCPT TO:<c@example.com>\nS 450 4.2.1 busy\nC RSET\nS 250 ok\neof\n";
	struct place p;
	struct fx_server server;
	place_init(fx, &p);
	fx_server_start(fx, &server, (const char *const[]){ script, NULL });
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 }), next = fx_hop("next", false, &server);

	fx_simple(fx, "bob@example.org", &hop);
	fx_rcpt(fx, "c@example.com", &next);
	fx_deliver(fx);
	fx_check(fx, "450 4.2.1 busy");
	assert_int_equal(count_in(p.bob, "new") + count_in(p.bob, "tmp"), 0);
	fx_finish(fx);
	hop.ops->fini(&hop);
	next.ops->fini(&next);
}

/* The other next hop refuses the content: its dot came first, although it is the second, because a maildir hardly ever fails. */
FX_TEST(test_maildir_commits_last)
{
	static const char script[] = FX_EHLO "S 250 hop\nC MAIL FROM:<a@example.net>\nS 250 ok\nC RCPT TO:<c@example.com>\nS 250 ok\nC DATA\nS 354 go\nD\n"
					     "S 550 5.7.1 spam\neof\n";
	struct place p;
	struct fx_server server;
	place_init(fx, &p);
	fx_server_start(fx, &server, (const char *const[]){ script, NULL });
	struct next_hop hop = hop_at(p.template, &(struct maildir_hop_params){ 0 }), next = fx_hop("next", false, &server);

	fx_simple(fx, "bob@example.org", &hop);
	fx_rcpt(fx, "c@example.com", &next);
	fx_deliver(fx);
	fx_check(fx, "550 5.7.1 <c@example.com>: spam");
	assert_int_equal(count_in(p.bob, "new") + count_in(p.bob, "tmp"), 0);
	fx_finish(fx);
	hop.ops->fini(&hop);
	next.ops->fini(&next);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_path_of_hostile_addresses),
		cmocka_unit_test(test_path_fixed),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_large_message),
		cmocka_unit_test(test_unknown_users),
		cmocka_unit_test(test_existing_only),
		cmocka_unit_test(test_base_is_missing),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_two_users_in_one_group),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_maildir_commits_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
