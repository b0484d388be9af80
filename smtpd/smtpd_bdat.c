/*
 * smtpd_bdat.c
 *
 *	"BDAT" SP chunk-size [SP "LAST"] CRLF, and so many octets	(RFC 3030)
 *
 * "If a failure occurs after a BDAT command is received, the receiver-SMTP MUST accept and discard the associated message
 * data before sending the appropriate 5XX or 4XX code": whatever the answer is, the octets are read first.
 */
#include "smtpd/smtpd_session.h"

#include <inttypes.h>

enum { PIECE = 65536 };

static void bdat_store(struct smtpd_session *s, struct bytes in, struct buf *text)
{
	struct smtpd_txn *t = s->txn;
	if (t->view.sender.body == SMTP_BODY_BINARYMIME) {
		smtpd_content_add(s, in);
		return;
	}
	bdat_text_add(&t->text, in, text);
	smtpd_content_add(s, buf_bytes(text));
	buf_clear(text);
}

/* Reads SIZE octets and, if KEEP, adds them to the message. */
TASK_FN static int bdat_receive(struct smtpd_session *s, uint64_t size, bool keep)
{
	int64_t budget = s->config->data_timeout;
	struct buf text = { 0 };
	int r = 0;
	while (size && r == 0) {
		struct bytes in = bytes_first(stream_input(s->stream), size < PIECE ? size : PIECE);
		if (!in.n) {
			r = smtpd_session_fill(s, PIECE, &budget);
			continue;
		}
		if (keep)
			bdat_store(s, in, &text);
		stream_consume(s->stream, in.n);
		size -= in.n;
		if (keep)
			r = smtpd_content_feed(s);
	}
	buf_fini(&text);
	return r;
}

/* A command whose size cannot be read leaves no way to tell its content from commands. */
static void bdat_bad_syntax(struct smtpd_session *s)
{
	smtpd_say(s, 501, "5.5.4", "Syntax: BDAT count [LAST]");
	s->closing = true;
}

int smtpd_bdat_drop(struct smtpd_session *s, struct bytes arg)
{
	struct bdat_chunk chunk;
	if (bdat_parse(arg, &chunk) == 0)
		return bdat_receive(s, chunk.size, false);
	s->closing = true;
	return 0;
}

/* What refuses a chunk before its octets are looked at. */
static bool bdat_out_of_sequence(const struct smtpd_txn *t, struct smtp_reply *ret)
{
	if (!t)
		*ret = SMTP_REPLY(503, "5.5.1", "Error: need RCPT command");
	else if (!t->answers)
		*ret = SMTP_REPLY(554, "5.5.1", "Error: no valid recipients");
	else if (t->failed.code)
		*ret = t->failed;
	else
		return false;
	return true;
}

/* The first chunk begins the content as DATA would. */
TASK_FN static int bdat_begin(struct smtpd_session *s)
{
	struct smtp_reply refusal;
	int r = smtpd_content_begin(s, &refusal);
	if (r < 0)
		return r;
	s->txn->failed = refusal;
	s->txn->view.chunking = true;
	return 0;
}

static void bdat_check(struct smtpd_session *s, const struct bdat_chunk *chunk)
{
	struct smtpd_txn *t = s->txn;
	uint64_t max = s->config->size_max;
	if (max && (chunk->size > max || mail_received_size(t->view.mail) > max - chunk->size))
		smtpd_content_fail(t, 552, "5.3.4", "Error: message file too big");
}

/* "If a 5XX or 4XX code is received by the sender-SMTP in response to a BDAT chunk, the transaction should be considered failed" (RFC 3030 section 2): what
 * follows is refused like it, and with the last chunk all is over.  As the client knows that, it may go on with MAIL. */
TASK_FN static void bdat_refuse(struct smtpd_session *s, const struct bdat_chunk *chunk, struct smtp_reply refusal)
{
	smtpd_reply(s, &refusal);
	if (!s->txn)
		return;
	s->txn->failed = refusal;
	s->txn->view.chunking = true;
	if (chunk->last)
		smtpd_txn_end(s, false);
}

TASK_FN static int bdat_chunk(struct smtpd_session *s, const struct bdat_chunk *chunk)
{
	struct smtpd_txn *t = s->txn;
	int r = t->view.mail ? 0 : bdat_begin(s);
	if (r < 0)
		return r;
	if (!t->failed.code)
		bdat_check(s, chunk);
	if ((r = bdat_receive(s, chunk->size, !t->failed.code)) < 0)
		return r;
	if (chunk->last && !t->failed.code) {
		struct buf rest = { 0 };
		bdat_text_end(&t->text, &rest);
		smtpd_content_add(s, buf_bytes(&rest));
		buf_fini(&rest);
	}
	if (t->text.bare_cr && s->config->bare_newline == SMTP_BARE_REJECT)
		smtpd_content_fail(t, 550, "5.5.2", arena_printf(&t->arena, "%s Error: bare <CR> received", s->config->hostname));
	if (chunk->last && t->view.mail)
		return smtpd_message(s);
	if (t->failed.code)
		bdat_refuse(s, chunk, t->failed);
	else
		smtpd_sayf(s, 250, "2.0.0", "Ok: %" PRIu64 " bytes", chunk->size);
	return 0;
}

int smtpd_bdat(struct smtpd_session *s, struct bytes arg)
{
	struct bdat_chunk chunk;
	struct smtp_reply wrong;
	if (bdat_parse(arg, &chunk) < 0) {
		bdat_bad_syntax(s);
		return 0;
	}
	if (!bdat_out_of_sequence(s->txn, &wrong))
		return bdat_chunk(s, &chunk);
	int r = bdat_receive(s, chunk.size, false);
	if (r < 0)
		return r;
	/* The last chunk of a message that failed before: it has been answered, and so is this. */
	if (s->txn && s->txn->view.mail && chunk.last)
		return smtpd_message(s);
	bdat_refuse(s, &chunk, wrong);
	return 0;
}
