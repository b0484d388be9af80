/*
 * milter_client.c: one connection to a milter.
 */
#include "milter/milter_client.h"

#include <errno.h>
#include <libmilter/mfdef.h>

/* Notes what went wrong.  A time that is over may be ours (D) or one around us: that is the caller's to tell apart. */
static int milter_client_fault(struct milter_client *c, int r, enum gate_fault fault, const char *why)
{
	c->fault = r == -ETIMEDOUT ? GATE_FAULT_TIMEOUT : fault;
	c->why = r == -ETIMEDOUT ? "it takes too long" : why;
	return r;
}

/* The same for a stream that failed within deadline D. */
static int milter_client_io(struct milter_client *c, int r, const struct deadline *d)
{
	if (r == -ECANCELED || (r == -ETIMEDOUT && !deadline_passed(d)))
		return r;
	return milter_client_fault(c, r, GATE_FAULT_PROTOCOL, "it hung up");
}

/* ---- replies ---- */

void milter_client_forget(struct milter_client *c)
{
	if (c->stream)
		stream_consume(c->stream, c->eaten);
	c->eaten = 0;
}

/* Waits until a whole frame is in the input. */
TASK_FN static int milter_client_frame(struct milter_client *c, int64_t timeout, struct bytes *ret)
{
	struct deadline d;
	const char *why = NULL;
	int r;
	milter_client_forget(c);
	deadline_begin(&d, timeout);
	while ((r = milter_codec_frame(stream_input(c->stream), c->config->reply_max, ret, &why)) == 0) {
		/* What it writes behind an edit, or behind the first of several answers, waits for our acknowledgement. */
		if (c->inet && c->heard)
			stream_quickack(c->stream);
		r = stream_fill(c->stream, c->config->reply_max + MILTER_LENGTH_BYTES);
		c->heard = true;
		if (r < 0) {
			r = milter_client_io(c, r, &d);
			break;
		}
	}
	deadline_end(&d);
	if (r < 0 && stream_input(c->stream).n > 0)
		milter_tap_tell(c->config->tap, MILTER_TAP_REST, stream_input(c->stream));
	if (why)
		return milter_client_fault(c, -EPROTO, GATE_FAULT_PROTOCOL, why);
	if (r < 0)
		return r;
	milter_tap_tell(c->config->tap, MILTER_TAP_RECEIVED, *ret);
	c->answered = true;
	c->eaten = MILTER_LENGTH_BYTES + ret->n;
	return 0;
}

int milter_client_reply(struct milter_client *c, int64_t timeout, struct milter_reply *ret)
{
	struct bytes frame = { 0 };
	const char *why;
	int r = milter_client_frame(c, timeout, &frame);
	if (r < 0)
		return r;
	r = milter_codec_reply(frame, ret, &why);
	return r < 0 ? milter_client_fault(c, r, GATE_FAULT_PROTOCOL, why) : 0;
}

bool milter_client_stale(struct milter_client *c)
{
	milter_client_forget(c);
	return stream_poll(c->stream) != -EAGAIN;
}

/* ---- frames out ---- */

int milter_client_send(struct milter_client *c, size_t at, struct bytes body, int64_t timeout)
{
	milter_client_forget(c);
	if (c->config->tap)
		milter_tap_frames(c->config->tap, buf_bytes(&c->out), at, body);
	if (stream_input(c->stream).n > 0) {
		milter_tap_tell(c->config->tap, MILTER_TAP_REST, stream_input(c->stream));
		return milter_client_fault(c, -EPROTO, GATE_FAULT_PROTOCOL, "a reply to nothing");
	}
	struct iovec iov[] = {
		{ c->out.p, at },
		{ (void *)body.p, body.n },
		{ c->out.p + at, c->out.n - at },
	};
	struct deadline d;
	deadline_begin(&d, timeout);
	int r = stream_writev(c->stream, iov, COUNT_OF(iov));
	if (r < 0)
		r = milter_client_io(c, r, &d);
	deadline_end(&d);
	buf_fini(&c->out);
	c->heard = false;
	c->told = true;
	return r;
}

/* ---- opening ---- */

static void milter_client_take_symbols(const struct milter_config *c, const struct bytes *symbols, struct milter_bond *bond)
{
	struct milter_macro_list lists[MILTER_MACRO_STAGES];
	bool any = false;
	memcpy(lists, c->macros, sizeof(lists));
	for (unsigned stage = 0; stage < MILTER_SYMBOL_STAGES; stage++) {
		struct bytes unknown;
		/* Postfix takes an empty list for none given: "none" cannot be asked for there. */
		if (!symbols[stage].p || (symbols[stage].n == 0 && c->compat == MILTER_COMPAT_POSTFIX))
			continue;
		milter_macros_parse(symbols[stage], &lists[stage], &unknown);
		any = true;
	}
	mem_free(bond->symbols);
	bond->symbols = NULL;
	if (any) {
		bond->symbols = mem_alloc(sizeof(lists));
		memcpy(bond->symbols, lists, sizeof(lists));
	}
}

int milter_client_agree(const struct milter_config *c, struct bytes frame, struct milter_bond *ret, const char **ret_why)
{
	struct bytes symbols[MILTER_SYMBOL_STAGES];
	int r = milter_codec_agree(frame, &c->offer, &ret->terms, symbols, ret_why);
	if (r == 0)
		milter_client_take_symbols(c, symbols, ret);
	return r;
}

/* Its answer may take as long as a command. */
int milter_client_negotiate(struct milter_client *c, struct milter_bond *ret)
{
	struct bytes frame = { 0 };
	const char *why;
	milter_codec_negotiate(&c->out, &c->config->offer);
	int r = milter_client_send(c, c->out.n, BYTES(""), c->config->command_timeout);
	if (r == 0)
		r = milter_client_frame(c, c->config->command_timeout, &frame);
	if (r < 0)
		return r;
	r = milter_client_agree(c->config, frame, ret, &why);
	milter_client_forget(c);
	return r < 0 ? milter_client_fault(c, r, GATE_FAULT_PROTOCOL, why) : 0;
}

void milter_client_close(struct milter_client *c)
{
	if (c->conn) {
		milter_tap_tell(c->config->tap, MILTER_TAP_CLOSED, BYTES(""));
		pool_drop(&c->conn, false);
	}
	c->stream = NULL;
	c->symbols = NULL;
	buf_fini(&c->out);
	c->eaten = 0;
}

const struct milter_macro_list *milter_client_macros(const struct milter_client *c, char command)
{
	const struct milter_macro_list *lists = c->symbols ? c->symbols : c->config->macros;
	return &lists[milter_macros_stage(command)];
}
