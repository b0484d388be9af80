/* fake_milter.h: a milter in a task: it answers each command with given bytes, and writes down what it was told. */
#ifndef GATEPOST_TESTS_FAKE_MILTER_H
#define GATEPOST_TESTS_FAKE_MILTER_H

#include "lib/run/stream.h"
#include "milter/milter.h"
#include "tests/unit/txn_fixture.h"

#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>
#include <stdlib.h>

static const char fake_hang[] = "hang", fake_silent[] = "silent", fake_close[] = "close";
#define HANG ((struct bytes){ fake_hang, 4 })           /* say nothing, for ever */
#define SILENT ((struct bytes){ fake_silent, 6 })       /* say nothing, go on */
#define CLOSE ((struct bytes){ fake_close, 5 })         /* hang up */
/* An answer of these replies. */
#define REPLIES(...) ((const struct bytes[]){ __VA_ARGS__, { NULL, 0 } })

struct fake_milter {
	uint32_t version, actions, protocol;    /* of the answer to the negotiation; version 0: what is offered */
	struct bytes symbols;                   /* behind it */
	struct bytes raw[128];                  /* by command letter: bytes to send, or one of the above */
	const struct bytes *replies[128];       /* else these replies, up to one with p == NULL; none: continue where an answer is due */
	unsigned skip[128];                     /* so many events of a kind are answered with continue first */
	unsigned once[128];                     /* raw and replies hold for so many events of a kind; 0: for all */
	struct tls_context *tls;                /* it speaks TLS; NULL: not */
	bool loose;                             /* a CONNECT is answered at any time; else, as libmilter does it, once until QUIT_NC */
	bool verbose;                           /* write down the data too, else only letters */
	struct buf trace;                       /* "O DC C DH H M": macros as D and their event */
	unsigned connections;

	char path[64], folder[32];
	int fd;
	struct listener *listener;
	struct task_group tasks;
};

static const uint32_t fake_unanswered[128] = {
	['C'] = SMFIP_NR_CONN, ['H'] = SMFIP_NR_HELO, ['M'] = SMFIP_NR_MAIL, ['R'] = SMFIP_NR_RCPT, ['T'] = SMFIP_NR_DATA,
	['U'] = SMFIP_NR_UNKN, ['L'] = SMFIP_NR_HDR,  ['N'] = SMFIP_NR_EOH,  ['B'] = SMFIP_NR_BODY,
};

static inline void fake_note(struct fake_milter *f, const char *data, uint32_t n)
{
	buf_add_str(&f->trace, f->trace.n ? " " : "");
	buf_add(&f->trace, bytes_make(data, data[0] == 'D' ? 2 : 1));
	for (uint32_t i = data[0] == 'D' ? 2 : 1; f->verbose && i < n; i++) {
		if (data[i] == '\0')
			buf_add_char(&f->trace, '|');
		else if (data[i] == '\n' || data[i] == '\r')
			buf_add_str(&f->trace, data[i] == '\n' ? "\\n" : "\\r");
		else
			buf_add_char(&f->trace, data[i]);
	}
}

static inline void fake_negotiate(struct fake_milter *f, struct stream *s, const char *offer)
{
	struct buf b = { 0 };
	buf_add_u32be(&b, 13 + f->symbols.n);
	buf_add_char(&b, 'O');
	if (f->version)
		buf_add_u32be(&b, f->version);
	else
		buf_add(&b, bytes_make(offer + 1, 4));
	buf_add_u32be(&b, f->actions);
	buf_add_u32be(&b, f->protocol);
	buf_add(&b, f->symbols);
	stream_put(s, buf_bytes(&b));
	buf_fini(&b);
}

static inline void fake_reply(struct stream *s, const struct bytes *replies)
{
	struct buf b = { 0 };
	for (; replies->p; replies++) {
		buf_add_u32be(&b, replies->n);
		buf_add(&b, *replies);
	}
	stream_put(s, buf_bytes(&b));
	buf_fini(&b);
}

/* Is it a CONNECT out of turn?  *MET: there was one. */
static inline bool fake_ignores(const struct fake_milter *f, char command, bool *met)
{
	bool again = command == 'C' && *met && !f->loose;
	*met = command == 'C' || (*met && command != 'K');
	return again;
}

/* What is put for one command; false: the connection is over. */
TASK_FN static inline bool fake_answer(struct fake_milter *f, struct stream *s, const char *data)
{
	unsigned char command = data[0];
	struct bytes raw = f->raw[command];
	const struct bytes *replies = f->replies[command];
	if ((raw.p || replies) && f->skip[command] > 0) {
		f->skip[command]--;
		raw.p = NULL;
		replies = NULL;
	}
	if ((raw.p || replies) && f->once[command] > 0 && --f->once[command] == 0) {
		f->raw[command].p = NULL;
		f->replies[command] = NULL;
	}
	if (raw.p == CLOSE.p || command == 'Q')
		return false;
	if (raw.p == HANG.p)
		return task_sleep(SECONDS(100000)) == 0;
	if (raw.p == SILENT.p)
		return true;
	if (raw.p)
		stream_put(s, raw);
	else if (replies)
		fake_reply(s, replies);
	else if (command == 'O')
		fake_negotiate(f, s, data);
	else if (!strchr("DAK", command) && !(f->protocol & fake_unanswered[command]))
		stream_put(s, BYTES("\0\0\0\1c"));
	return stream_flush(s) == 0;
}

struct fake_connection {
	struct fake_milter *f;
	struct stream *s;
};

TASK_FN static inline void fake_serve(struct fake_connection *c)
{
	char *data = mem_alloc(1 << 17);
	unsigned char head[4];
	struct buf err = { 0 };
	bool open = !c->f->tls || stream_tls_accept(c->s, c->f->tls, &err) == 0, met = false;
	buf_fini(&err);
	while (open && stream_read(c->s, head, 4) == 0) {
		uint32_t n = (uint32_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
		if (n == 0 || n > 1 << 17 || stream_read(c->s, data, n) < 0)
			break;
		fake_note(c->f, data, n);
		open = fake_ignores(c->f, data[0], &met) || fake_answer(c->f, c->s, data);
	}
	mem_free(data);
	stream_close(&c->s);
	mem_free(c);
}

static inline void fake_accept(void *arg, int fd, const struct net_addr *peer)
{
	(void)peer;
	struct fake_connection *c = NEW(struct fake_connection);
	*c = (struct fake_connection){ .f = arg, .s = stream_new(fd) };
	c->f->connections++;
	task_spawn(&c->f->tasks, "fake-milter", fake_serve, c);
}

static inline void fake_milter_start(struct fake_milter *f)
{
	struct net_addr a = { .len = sizeof(a.un) };
	strcpy(f->folder, "/tmp/milter-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	stpcpy(stpcpy(stpcpy(f->path, "unix:"), f->folder), "/s");
	a.un.sun_family = AF_UNIX;
	strcpy(a.un.sun_path, f->path + 5);
	f->fd = net_listen(&a, false);
	assert_true(f->fd >= 0);
	f->listener = listener_new(f->fd, fake_accept, f);
	task_group_init(&f->tasks);
}

static inline void fake_milter_hush(struct fake_milter *f)
{
	if (f->listener)
		listener_close(&f->listener);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

TASK_FN static inline void fake_milter_stop(struct fake_milter *f)
{
	fake_milter_hush(f);
	task_group_cancel(&f->tasks);
	task_group_wait(&f->tasks);
	unlink(f->path + 5);
	rmdir(f->folder);
	buf_fini(&f->trace);
}

/* All that was sent to it has been read, or it waits. */
TASK_FN static inline void fake_milter_settle(void)
{
	assert_int_equal(task_sleep(MS(1)), 0);
}

static inline void fake_milter_gate(struct fake_milter *f, const char *name, enum milter_compat compat, struct gate *ret)
{
	const char *socket = f->path;
	struct buf err = { 0 };
	assert_int_equal(milter_configure(&(struct milter_params){ .name = name, .sockets = &socket, .socket_count = 1, .compat = compat }, ret, &err), 0);
	buf_fini(&err);
}

#endif
