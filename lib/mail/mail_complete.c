/*
 * mail_complete.c: the header fields a submission server adds when a client left them out, in Postfix's order and words, and those it takes away.
 */
#include "lib/mail/mail.h"

#include <time.h>

void mail_date(int64_t now, struct buf *to)
{
	char date[64];
	time_t at = (time_t)now;
	struct tm tm;
	localtime_r(&at, &tm);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S %z (%Z)", &tm);
	buf_add_str(to, date);
}

/* What Message-Id begins with: the time, in UTC. */
static void complete_stamp(int64_t now, struct buf *to)
{
	char stamp[32];
	time_t at = (time_t)now;
	struct tm tm;
	gmtime_r(&at, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &tm);
	buf_add_str(to, stamp);
}

static void complete_id(const struct mail_completion *c, struct buf *to)
{
	buf_add_char(to, '<');
	complete_stamp(c->now, to);
	buf_printf(to, ".%s@%s>", c->id, c->hostname);
}

static void complete_date(const struct mail_completion *c, struct buf *to)
{
	mail_date(c->now, to);
}

static void complete_from(const struct mail_completion *c, struct buf *to)
{
	if (c->sender.n)
		buf_add(to, c->sender);
	else
		buf_printf(to, "MAILER-DAEMON@%s", c->hostname);
}

static bool complete_resent(const struct mail *m)
{
	static const char *const fields[] = { "Bcc", "Cc", "Date", "From", "Message-Id", "Reply-To", "Sender", "To" };
	for (unsigned i = 0; i < COUNT_OF(fields); i++) {
		char name[32] = "Resent-";
		if (mail_header_find(m, bytes_of(strcat(name, fields[i])), 1))
			return true;
	}
	return false;
}

/* Postfix's message_drop_headers.  Who else gets it is the sender's own business (RFC 5322 section 3.6.3), Return-Path is the last server's to write, and
 * a length may soon be wrong. */
static void complete_drop(struct mail *m)
{
	static const char *const fields[] = { "Bcc", "Resent-Bcc", "Return-Path", "Content-Length" };
	for (unsigned i = 0; i < COUNT_OF(fields); i++)
		while (mail_header_delete(m, bytes_of(fields[i]), 1))
			;
}

int mail_complete(struct mail *m, const struct mail_completion *c)
{
	static const struct {
		const char *name;       /* behind Resent- */
		void (*value)(const struct mail_completion *c, struct buf *to);
	} fields[] = { { "Resent-Message-Id", complete_id }, { "Resent-Date", complete_date }, { "Resent-From", complete_from } };
	size_t from = complete_resent(m) ? 0 : strlen("Resent-");
	int r = 0;
	complete_drop(m);
	for (unsigned i = 0; i < COUNT_OF(fields) && r == 0; i++) {
		struct bytes name = bytes_of(fields[i].name + from);
		struct buf value = { 0 };
		if (mail_header_find(m, name, 1))
			continue;
		fields[i].value(c, &value);
		r = mail_header_add(m, name, buf_bytes(&value), false);
		buf_fini(&value);
	}
	return r;
}
