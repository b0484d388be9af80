/*
 * command_hold.c: gatepost hold list|show|release|remove: what is held, and what becomes of it.
 *
 * A process of its own, as the configured user, whether the server runs or not: the locks of the hold area (queue/hold.h) keep them apart.
 */
#include "mta/command.h"

#include "delivery/delivery.h"
#include "lib/base/mem.h"
#include "mta/hold_release.h"
#include "mta/spool.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { HOLD_PIECE = 64 * 1024 };

/* The command line, read. */
struct hold_command {
	struct config *config;
	const char **ids;
	unsigned id_count;
	bool json, header_only, message_only, gates;
	int code;                       /* of the first thing that went wrong */
	struct arena arena;
};
struct hold_verb {
	const char *name;
	const char *options;
	bool takes_ids, takes_all;
	void (*run)(struct hold_command *c);
};

/* ---- saying things ---- */

/* What a peer made up must not play with a terminal: U+0080 to U+009F are control characters too, be they UTF-8 or not. */
static void print_safe(FILE *to, struct bytes text)
{
	bool utf8 = bytes_utf8(text);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool high = c >= 0x80 && c < 0xa0 && (!utf8 || text.p[i - 1] == '\xc2');
		putc(c < 32 || c == 127 || high ? '?' : c, to);
	}
}

static void print_lines_safe(FILE *to, struct bytes text)
{
	while (text.n) {
		print_safe(to, bytes_cut(&text, '\n'));
		putc('\n', to);
	}
}

static void complain(struct hold_command *c, int code, const char *id, const char *what)
{
	fputs("gatepost: ", stderr);
	print_safe(stderr, bytes_of(id));
	fprintf(stderr, ": %s\n", what);
	if (c->code == EX_OK)
		c->code = code;
}

static void complain_errno(struct hold_command *c, const char *id, int r, struct buf *why)
{
	switch (r) {
	case -ENOENT:
		complain(c, EX_NOINPUT, id, "nothing of that name is held");
		return;
	case -EWOULDBLOCK:
		complain(c, EX_TEMPFAIL, id, "another command is at work with it");
		return;
	case -EACCES: case -EPERM:
		complain(c, EX_NOPERM, id, "no permission: run this as root, or as the user that the server runs as");
		return;
	default:
		complain(c, r == -EBADMSG ? EX_DATAERR : EX_IOERR, id, why && why->n ? buf_str(why) : strerror(-r));
	}
}

/* ---- which ---- */

/* Ids are numbers between dots: of two of one process the younger one has the greater number, which is the longer one. */
static int compare_ids(const char *a, const char *b)
{
	struct bytes x = bytes_of(a), y = bytes_of(b);
	while (x.p && y.p) {
		struct bytes m = bytes_cut(&x, '.'), n = bytes_cut(&y, '.');
		int order = m.n != n.n ? (m.n < n.n ? -1 : 1) : bytes_cmp(m, n);
		if (order)
			return order;
	}
	return (x.p != NULL) - (y.p != NULL);
}

static int order_by_id(const void *a, const void *b)
{
	return compare_ids(*(const char *const *)a, *(const char *const *)b);
}

static void find_all(struct hold_command *c)
{
	int r = hold_ids(c->config->spool, &c->arena, &c->ids, &c->id_count);
	if (r < 0)
		complain_errno(c, c->config->spool, r, NULL);
	/* They begin with the time their process began: more or less the order in which the messages came. */
	if (c->id_count)
		qsort(c->ids, c->id_count, sizeof *c->ids, order_by_id);
}

/* ---- list ---- */

static unsigned count_left(const struct held *h)
{
	const struct held_rcpt *r;
	unsigned n = 0;
	LIST_EACH(r, &h->rcpts, struct held_rcpt, link)
		n += !held_rcpt_done(r);
	return n;
}

static void print_time(int64_t at, const char *end)
{
	char text[40];
	time_t seconds = (time_t)at;
	struct tm tm = { 0 };
	localtime_r(&seconds, &tm);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s%s", text, end);
}

static void print_reason(const struct held *h)
{
	print_safe(stdout, bytes_of(h->gate ? h->gate : "script"));
	fputs(": ", stdout);
	print_safe(stdout, bytes_of(h->reason && *h->reason ? h->reason : "no reason told"));
	putchar('\n');
}

static void list_row(const struct held *h)
{
	printf("%-24s ", h->id);
	print_time(h->time, " ");
	printf("%8llu %3u <", (unsigned long long)h->size, count_left(h));
	print_safe(stdout, h->sender.address.address);
	fputs(">  ", stdout);
	print_reason(h);
}

static json_t *json_text(struct bytes b)
{
	json_t *v = json_stringn(b.n ? b.p : "", b.n);
	struct buf ascii = { 0 };
	if (v)
		return v;
	for (size_t i = 0; i < b.n; i++)
		buf_add_char(&ascii, (unsigned char)b.p[i] < 128 ? b.p[i] : '?');
	v = json_stringn(ascii.p, ascii.n);
	buf_fini(&ascii);
	return v;
}

static json_t *json_rcpts(const struct held *h, bool done)
{
	const struct held_rcpt *r;
	json_t *a = json_array();
	LIST_EACH(r, &h->rcpts, struct held_rcpt, link)
		if (held_rcpt_done(r) == done)
			json_array_append_new(a, json_text(r->view.path.address.address));
	return a;
}

static void list_json(const struct held *h)
{
	json_t *o = json_object();
	json_object_set_new(o, "id", json_text(bytes_of(h->id)));
	json_object_set_new(o, "time", json_integer(h->time));
	json_object_set_new(o, "size", json_integer((json_int_t)h->size));
	json_object_set_new(o, "from", json_text(h->sender.address.address));
	json_object_set_new(o, "to", json_rcpts(h, false));
	json_object_set_new(o, "delivered", json_rcpts(h, true));
	json_object_set_new(o, "reason", h->reason ? json_text(bytes_of(h->reason)) : json_null());
	json_object_set_new(o, "gate", h->gate ? json_text(bytes_of(h->gate)) : json_null());
	json_object_set_new(o, "listener", json_text(bytes_of(h->session.listener)));
	json_object_set_new(o, "client", json_text(bytes_of(h->session.client_ip)));
	json_dumpf(o, stdout, JSON_COMPACT);
	json_decref(o);
	putchar('\n');
}

static int order_by_time(const void *a, const void *b)
{
	const struct held *x = *(const struct held *const *)a, *y = *(const struct held *const *)b;
	return x->time != y->time ? (x->time < y->time ? -1 : 1) : compare_ids(x->id, y->id);
}

static void hold_list(struct hold_command *c)
{
	find_all(c);
	struct held **rows = ARENA_ARRAY(&c->arena, struct held *, c->id_count + 1);
	unsigned n = 0;
	for (unsigned i = 0; i < c->id_count; i++) {
		struct buf why = { 0 };
		rows[n] = ARENA_NEW(&c->arena, struct held);
		int r = hold_peek(c->config->spool, c->ids[i], &c->arena, rows[n], &why);
		if (r == 0)
			n++;
		else if (r != -ENOENT) /* released meanwhile */
			complain_errno(c, c->ids[i], r, &why);
		buf_fini(&why);
	}
	qsort(rows, n, sizeof *rows, order_by_time);
	if (!n && !c->json && !c->code)
		puts("nothing is held");
	for (unsigned i = 0; i < n; i++)
		(c->json ? list_json : list_row)(rows[i]);
}

/* ---- show ---- */

static void show_line(const char *name, struct bytes value)
{
	printf("%-10s ", name);
	print_safe(stdout, value);
	putchar('\n');
}

static void show_client(const struct gate_session *s)
{
	char line[600];
	snprintf(line, sizeof line, "%.255s [%s]:%u helo %.255s", s->client_name, s->client_ip, s->client_port, s->helo ? s->helo : "-");
	show_line("client", bytes_of(line));
	if (s->tls) {
		snprintf(line, sizeof line, "%.40s %.80s (%d bits)", s->tls->protocol, s->tls->cipher, s->tls->cipher_bits);
		show_line("tls", bytes_of(line));
	}
	if (s->auth_user)
		show_line("user", bytes_of(s->auth_user));
	show_line("listener", bytes_of(s->listener));
}

static void show_path(const char *name, const struct smtp_path *p)
{
	struct buf line = { 0 };
	buf_printf(&line, "<%.*s>", BYTES_ARG(p->address.address));
	for (unsigned i = 0; i < p->param_count; i++)
		buf_printf(&line, " %.*s", BYTES_ARG(p->params[i].text));
	show_line(name, buf_bytes(&line));
	buf_fini(&line);
}

static void show_rcpt(const struct held_rcpt *r)
{
	show_path("to", &r->view.path);
	for (const struct held_target *t = r->targets; t; t = t->next) {
		struct buf line = { 0 };
		buf_printf(&line, "  <%.*s> %s", BYTES_ARG(t->address.address), t->delivered ? "delivered to" : "for next hop");
		for (unsigned i = 0; i < t->hop_count; i++)
			buf_printf(&line, "%s %s", i ? ", or" : "", t->hops[i]);
		show_line("", buf_bytes(&line));
		buf_fini(&line);
	}
}

static void show_envelope(const struct held *h)
{
	const struct held_rcpt *r;
	struct buf gates = { 0 };
	show_line("id", bytes_of(h->id));
	printf("%-10s ", "time");
	print_time(h->time, "\n");
	printf("%-10s %llu\n", "size", (unsigned long long)h->size);
	printf("%-10s ", "held");
	print_reason(h);
	show_client(&h->session);
	for (unsigned i = 0; i < h->gate_count; i++)
		buf_printf(&gates, "%s%s", i ? " " : "", h->gates[i]);
	if (gates.n)
		show_line("gates", buf_bytes(&gates));
	buf_fini(&gates);
	show_path("from", &h->sender);
	LIST_EACH(r, &h->rcpts, struct held_rcpt, link)
		show_rcpt(r);
	putchar('\n');
}

/* As it would be delivered; its header with the empty line that ends it when that is all that is wanted. */
static int show_message(const struct hold_command *c, const struct hold_entry *e)
{
	/* All in memory: a full or broken spool is when one wants to see what it holds. */
	const struct mail_limits limits = { .spool = NULL };
	struct mail_cursor at = { 0 };
	struct buf scratch = { 0 };
	struct bytes piece;
	struct mail *m;
	int r = hold_mail(e, &limits, &m);
	if (r < 0)
		return r;
	uint64_t left = c->header_only ? mail_size(m) - mail_body_size(m) : mail_size(m);
	do {
		r = mail_read(m, &at, HOLD_PIECE, &scratch, &piece);
		if (r == 0) {
			piece = bytes_first(piece, left < piece.n ? (size_t)left : piece.n);
			left -= piece.n;
			if (piece.n)
				fwrite(piece.p, 1, piece.n, stdout);
		}
	} while (r == 0 && piece.n);
	buf_fini(&scratch);
	mail_unref(&m);
	return r;
}

static void show_entry(struct hold_command *c, const struct hold_entry *e)
{
	if (!c->message_only)
		show_envelope(&e->held);
	int r = show_message(c, e);
	if (r < 0)
		complain_errno(c, e->id, r, NULL);
}

/* Opens it, and reads its envelope if WHOLE.  NULL: it has been said why not. */
static struct hold_entry *open_entry(struct hold_command *c, const char *id, bool lock, bool whole)
{
	struct hold_entry *e = NULL;
	struct buf why = { 0 };
	int r = hold_open(c->config->spool, id, lock, &e);
	if (r == 0 && whole)
		r = hold_load(e, &why);
	if (r < 0) {
		complain_errno(c, id, r, &why);
		hold_close(&e);
	}
	buf_fini(&why);
	return e;
}

/* Not locked: a pager may keep it open for hours. */
static void hold_show(struct hold_command *c)
{
	for (unsigned i = 0; i < c->id_count; i++) {
		struct hold_entry *e = open_entry(c, c->ids[i], false, true);
		if (e)
			show_entry(c, e);
		hold_close(&e);
	}
}

/* ---- remove ---- */

/* One that cannot be read can be thrown away all the same. */
static void hold_remove_all(struct hold_command *c)
{
	for (unsigned i = 0; i < c->id_count; i++) {
		struct hold_entry *e = open_entry(c, c->ids[i], true, false);
		int r = e ? hold_remove(e) : 0;
		if (r < 0)
			complain_errno(c, c->ids[i], r, NULL);
		else if (e) {
			printf("%s: removed\n", e->id);
			log_info("removed", "id=%s: by an administrator", e->id);
		}
		hold_close(&e);
	}
}

/* ---- release ---- */

TASK_FN static void release_entry(struct hold_command *c, struct hold_entry *e)
{
	struct buf out = { 0 }, err = { 0 };
	int code = hold_release(c->config, e, c->gates, &out, &err);
	if (c->code == EX_OK)
		c->code = code;
	print_lines_safe(stdout, buf_bytes(&out));
	print_lines_safe(stderr, buf_bytes(&err));
	fflush(stdout);
	buf_fini(&out);
	buf_fini(&err);
}

TASK_FN static void release_task(struct hold_command *c)
{
	for (unsigned i = 0; i < c->id_count; i++) {
		struct hold_entry *e = open_entry(c, c->ids[i], true, true);
		if (e)
			release_entry(c, e);
		hold_close(&e);
	}
	run_stop();
}

/* What a delivery needs beside the loop.  -errno with a sentence in ERR. */
static int release_begin(const struct config *c, struct buf *err)
{
	const struct delivery_settings delivery = { .journal_folder = c->journal_folder, .journal_window = c->journal_window };
	int r = dns_init(&c->dns, err);
	return r ? r : delivery_init(&delivery, err);
}

/* Gates and next hops keep connections that are parked in the loop. */
static void release_end(struct hold_command *c)
{
	config_free(&c->config);
	delivery_fini();
	dns_fini();
	run_fini();
}

static void hold_release_all(struct hold_command *c)
{
	struct task_group group;
	struct buf why = { 0 };
	signal(SIGPIPE, SIG_IGN);
	int r = spool_prepare(c->config, &why);
	if (!r)
		r = run_init();
	if (r) {
		complain_errno(c, c->config->spool, r, &why);
		buf_fini(&why);
		return;
	}
	r = release_begin(c->config, &why);
	if (r) {
		complain_errno(c, c->config->spool, r, &why);
	} else {
		task_group_init(&group);
		task_spawn(&group, "release", release_task, c);
		run_loop();
	}
	buf_fini(&why);
	release_end(c);
}

/* ---- the command line ---- */

static const struct hold_verb verbs[] = {
	{ "list", "j", false, false, hold_list },
	{ "show", "Hm", true, false, hold_show },
	{ "release", "g", true, true, hold_release_all },
	{ "remove", "", true, true, hold_remove_all },
};

static bool read_options(struct hold_command *c, const struct hold_verb *v, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "gates", no_argument, NULL, 'g' }, { 0 } };
	int option;
	optind = 0;     /* getopt(3): to begin anew */
	while ((option = getopt_long(argc, argv, "jHm", longs, NULL)) != -1) {
		if (!strchr(v->options, option))
			return false;
		c->json |= option == 'j';
		c->gates |= option == 'g';
		c->header_only |= option == 'H';
		c->message_only |= option == 'm';
	}
	c->ids = (const char **)argv + optind;
	c->id_count = (unsigned)(argc - optind);
	return v->takes_ids == (c->id_count > 0) && !(c->header_only && c->message_only);
}

static const struct hold_verb *read_line(struct hold_command *c, char **rest)
{
	int argc = 0;
	while (rest[argc])
		argc++;
	for (size_t i = 0; argc && i < COUNT_OF(verbs); i++)
		if (strcmp(rest[0], verbs[i].name) == 0)
			return read_options(c, &verbs[i], argc, rest) ? &verbs[i] : NULL;
	return NULL;
}

/* As `serve` would read it, and then as the user that its workers are. */
static int become(struct hold_command *c, const char *file)
{
	struct buf err = { 0 };
	int r = config_read(file, &c->config, &err);
	if (err.n)
		fprintf(stderr, "%.*s\n", BYTES_ARG(buf_bytes(&err)));
	buf_fini(&err);
	if (r)
		return r == -ENOENT || r == -EACCES || r == -EISDIR ? EX_NOINPUT : EX_CONFIG;
	/* What we do is said on the terminal already; a log of its own gets it as well. */
	if (strcmp(c->config->log_target, "stderr") == 0 && log_open("stderr", LOG_LEVEL_ERROR))
		return EX_OSERR;
	r = spool_drop_privileges(c->config);
	if (r)
		fprintf(stderr, "gatepost: cannot become user %s: %s\n", c->config->user, strerror(-r));
	return r ? EX_NOPERM : EX_OK;
}

int command_hold(const struct command_line *l)
{
	struct hold_command c = { 0 };
	const struct hold_verb *verb = read_line(&c, l->rest);
	if (!verb)
		return command_bad_usage();
	c.code = become(&c, l->file);
	if (c.code == EX_OK) {
		if (verb->takes_all && c.id_count == 1 && strcmp(c.ids[0], "ALL") == 0)
			find_all(&c);
		verb->run(&c);
	}
	config_free(&c.config);
	arena_fini(&c.arena);
	/* Who shows a message to a file and then removes it must know that the file has it; an earlier write may be what failed. */
	if (fflush(stdout) || ferror(stdout)) {
		fputs("gatepost: the standard output cannot be written\n", stderr);
		c.code = c.code ? c.code : EX_IOERR;
	}
	return c.code;
}
