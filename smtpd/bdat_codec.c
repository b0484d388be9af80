/* bdat_codec.c: see bdat_codec.h. */
#include "smtpd/bdat_codec.h"

#include <errno.h>

int bdat_parse(struct bytes arg, struct bdat_chunk *ret)
{
	struct bytes size = bytes_word(&arg), marker = bytes_word(&arg), more = bytes_word(&arg);
	uint64_t n;
	if (!size.n || more.n || bytes_to_u64(size, INT64_MAX, &n) < 0 || (marker.n && !bytes_case_eq(marker, BYTES("LAST"))))
		return -EINVAL;
	*ret = (struct bdat_chunk){ .size = n, .last = marker.n > 0 };
	return 0;
}

static void text_bare_cr(struct bdat_text *t, struct buf *out)
{
	buf_add_char(out, ' ');
	t->cr = false;
	t->bare_cr = true;
}

void bdat_text_add(struct bdat_text *t, struct bytes in, struct buf *out)
{
	while (in.n) {
		size_t plain = 0;
		if (t->cr && in.p[0] != '\n')
			text_bare_cr(t, out);
		while (plain < in.n && in.p[plain] != '\n' && in.p[plain] != '\r')
			plain++;
		buf_add(out, bytes_first(in, plain));
		in = bytes_skip(in, plain);
		if (!in.n)
			return;
		t->cr = in.p[0] == '\r';
		if (!t->cr)
			buf_add(out, BYTES("\r\n"));
		in = bytes_skip(in, 1);
	}
}

void bdat_text_end(struct bdat_text *t, struct buf *out)
{
	if (t->cr)
		text_bare_cr(t, out);
}
