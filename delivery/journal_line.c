/*
 * journal_line.c: the lines of the delivered journal as bytes.
 */
#include "delivery/journal_line.h"

#include "lib/smtp/command.h"

#include <errno.h>

static const char line_states[] = { [JOURNAL_DELIVERED] = 'D', [JOURNAL_REFUSED] = 'R', [JOURNAL_UNCERTAIN] = 'U', [JOURNAL_SETTLED] = 'S' };

/* CRC-32 as in Ethernet, bit by bit: lines are few. */
static uint32_t line_checksum(struct bytes b)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < b.n; i++) {
		crc ^= (unsigned char)b.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* The null sender is nothing at all in xtext: a lone '+', which begins an escape there, stands for it. */
static const struct bytes line_empty = { "+", 1 };

static void line_put_name(struct bytes name, struct buf *to)
{
	buf_add_char(to, ' ');
	if (name.n)
		smtp_xtext_encode(name, to);
	else
		buf_add(to, line_empty);
}

void journal_line_put(const struct journal_line *l, struct buf *to)
{
	size_t start = to->n;

	buf_printf(to, "%c %lld ", line_states[l->state], (long long)l->expires);
	for (size_t i = 0; i < sizeof l->digest; i++)
		buf_printf(to, "%02x", l->digest[i]);
	line_put_name(l->key.hop, to);
	line_put_name(l->key.sender, to);
	line_put_name(l->key.rcpt, to);
	buf_printf(to, " %08x\n", line_checksum(bytes_make(to->p + start, to->n - start)));
}

static int line_parse_state(struct bytes word, enum journal_state *ret)
{
	for (size_t i = 1; i < sizeof line_states; i++) {
		if (word.n != 1 || word.p[0] != line_states[i])
			continue;
		*ret = (enum journal_state)i;
		return 0;
	}
	return -EINVAL;
}

static int line_parse_digest(struct bytes word, unsigned char ret[static 32])
{
	uint64_t byte;

	if (word.n != 64)
		return -EINVAL;
	for (size_t i = 0; i < 32; i++) {
		int r = bytes_hex_to_u64(bytes_make(word.p + 2 * i, 2), 255, &byte);
		if (r < 0)
			return r;
		ret[i] = (unsigned char)byte;
	}
	return 0;
}

/* The checksum is the last word, over all before it. */
static int line_check(struct bytes *line)
{
	ptrdiff_t at = bytes_rfind(*line, ' ');
	uint64_t sum;

	if (at < 0 || bytes_hex_to_u64(bytes_skip(*line, (size_t)at + 1), UINT32_MAX, &sum) < 0)
		return -EINVAL;
	*line = bytes_first(*line, (size_t)at);
	return line_checksum(*line) == sum ? 0 : -EINVAL;
}

int journal_line_parse(struct bytes line, struct buf *names, struct journal_line *ret)
{
	struct journal_line l = { 0 };
	size_t ends[4] = { names->n };
	uint64_t expires = 0;
	int r = line_check(&line);

	if (r == 0)
		r = line_parse_state(bytes_cut(&line, ' '), &l.state);
	if (r == 0)
		r = bytes_to_u64(bytes_cut(&line, ' '), INT64_MAX, &expires);
	if (r == 0)
		r = line_parse_digest(bytes_cut(&line, ' '), l.digest);
	for (int i = 0; r == 0 && i < 3; i++) {
		struct bytes word = bytes_cut(&line, ' ');
		if (!bytes_eq(word, line_empty))
			r = smtp_xtext_decode(word, names);
		ends[i + 1] = names->n;
	}
	if (r < 0 || line.p)
		return -EINVAL;
	const char *base = names->p ? names->p : "";
	l.expires = (int64_t)expires;
	l.key.hop = bytes_make(base + ends[0], ends[1] - ends[0]);
	l.key.sender = bytes_make(base + ends[1], ends[2] - ends[1]);
	l.key.rcpt = bytes_make(base + ends[2], ends[3] - ends[2]);
	*ret = l;
	return 0;
}

size_t journal_line_each(struct bytes text, int64_t now, void (*fn)(void *arg, const struct journal_line *l), void *arg)
{
	struct buf names = { 0 };
	struct journal_line l;
	size_t used = 0;
	ptrdiff_t end;

	while ((end = bytes_find(bytes_skip(text, used), '\n')) >= 0) {
		struct bytes line = bytes_make(text.p + used, (size_t)end);
		used += (size_t)end + 1;
		buf_clear(&names);
		if (line.n <= JOURNAL_LINE_MAX && journal_line_parse(line, &names, &l) == 0 && l.expires > now)
			fn(arg, &l);
	}
	buf_fini(&names);
	return used;
}
