/*
 * diff.c: the lines that both texts have in common at their ends are set aside; between them the longest common subsequence is found by a
 * table of all pairs.  Where that table would be too large all lines between are taken for different.
 */
#include "lib/base/diff.h"

#include "lib/base/mem.h"

enum { TABLE_MOST = 4 * 1000 * 1000 };

struct diff_text {
	struct bytes *lines;
	size_t n;
};

/* A row of the result: a line of one text, or of both. */
struct diff_row {
	char mark;                      /* '-', '+', ' ' */
	struct bytes line;
};

struct diff {
	const struct diff_params *params;
	struct diff_text before, after;
	struct diff_row *rows;
	size_t row_count;
	struct buf *out;
	unsigned written, unwritten;
};

static struct diff_text diff_split(struct bytes text)
{
	struct diff_text t = { 0 };
	size_t room = 1;
	for (size_t i = 0; i < text.n; i++)
		room += text.p[i] == '\n';
	t.lines = mem_array(NULL, room, sizeof(*t.lines));
	while (text.n > 0)
		t.lines[t.n++] = bytes_cut(&text, '\n');
	return t;
}

static void diff_add(struct diff *d, char mark, struct bytes line)
{
	d->rows[d->row_count++] = (struct diff_row){ mark, line };
}

static bool diff_same(const struct diff *d, size_t i, size_t j)
{
	return bytes_eq(d->before.lines[i], d->after.lines[j]);
}

/* What is between: the lines of BEFORE from I to IN, of AFTER from J to JN. */
struct diff_range {
	size_t i, in, j, jn;
};

/* Length of the longest common subsequence of what follows each pair of places. */
static uint32_t *diff_table(const struct diff *d, const struct diff_range *r)
{
	size_t w = r->jn - r->j + 1, h = r->in - r->i + 1;
	uint32_t *t = mem_zalloc(w * h * sizeof(*t));
	for (size_t i = h - 1; i-- > 0;) {
		for (size_t j = w - 1; j-- > 0;) {
			uint32_t down = t[(i + 1) * w + j], right = t[i * w + j + 1];
			if (diff_same(d, r->i + i, r->j + j))
				t[i * w + j] = t[(i + 1) * w + j + 1] + 1;
			else
				t[i * w + j] = down > right ? down : right;
		}
	}
	return t;
}

static void diff_walk(struct diff *d, const struct diff_range *r)
{
	size_t i = r->i, j = r->j, w = r->jn - r->j + 1;
	bool large = (r->in - r->i + 1) > TABLE_MOST / w;
	uint32_t *t = large ? NULL : diff_table(d, r);
	while (t && i < r->in && j < r->jn) {
		const uint32_t *at = &t[(i - r->i) * w + (j - r->j)];
		if (diff_same(d, i, j)) {
			diff_add(d, ' ', d->before.lines[i++]);
			j++;
		} else if (at[w] >= at[1]) {
			diff_add(d, '-', d->before.lines[i++]);
		} else {
			diff_add(d, '+', d->after.lines[j++]);
		}
	}
	mem_free(t);
	while (i < r->in)
		diff_add(d, '-', d->before.lines[i++]);
	while (j < r->jn)
		diff_add(d, '+', d->after.lines[j++]);
}

static void diff_rows(struct diff *d)
{
	struct diff_range r = { 0, d->before.n, 0, d->after.n };
	d->rows = mem_array(NULL, d->before.n + d->after.n + 1, sizeof(*d->rows));
	while (r.i < r.in && r.j < r.jn && diff_same(d, r.i, r.j)) {
		diff_add(d, ' ', d->before.lines[r.i++]);
		r.j++;
	}
	while (r.i < r.in && r.j < r.jn && diff_same(d, r.in - 1, r.jn - 1)) {
		r.in--;
		r.jn--;
	}
	diff_walk(d, &r);
	for (size_t i = r.in; i < d->before.n; i++)
		diff_add(d, ' ', d->before.lines[i]);
}

/* ---- writing ---- */

static void diff_write(struct diff *d, const struct diff_row *row)
{
	const struct diff_params *p = d->params;
	if (p->most && d->written >= p->most) {
		d->unwritten++;
		return;
	}
	d->written++;
	buf_add_char(d->out, row->mark);
	if (p->line)
		p->line(d->out, row->line);
	else
		buf_add(d->out, row->line);
	buf_add_char(d->out, '\n');
}

/* The end of the place that begins at row FROM: behind it 2 * context rows, or all that are left, are the same. */
static size_t diff_hunk_end(const struct diff *d, size_t from)
{
	size_t end = from, i = from;
	for (; i < d->row_count && i - end <= 2 * (size_t)d->params->context; i++) {
		if (d->rows[i].mark != ' ')
			end = i + 1;
	}
	return end;
}

/* Rows FIRST to END; so many lines of each text stand before them. */
static void diff_hunk(struct diff *d, size_t first, size_t end, size_t line_before, size_t line_after)
{
	size_t n_before = 0, n_after = 0;
	for (size_t i = first; i < end; i++) {
		n_before += d->rows[i].mark != '+';
		n_after += d->rows[i].mark != '-';
	}
	/* As diff(1): an empty side names the line before it. */
	buf_printf(d->out, "@@ -%zu,%zu +%zu,%zu @@\n", line_before + (n_before > 0), n_before, line_after + (n_after > 0), n_after);
	for (size_t i = first; i < end; i++)
		diff_write(d, &d->rows[i]);
}

static bool diff_hunks(struct diff *d)
{
	size_t line_before = 0, line_after = 0, at = 0;
	bool any = false;
	for (size_t i = 0; i < d->row_count; i++) {
		if (d->rows[i].mark == ' ')
			continue;
		size_t context = d->params->context, first = i - at > context ? i - context : at;
		size_t end = diff_hunk_end(d, i), behind = d->row_count - end > context ? end + context : d->row_count;
		/* All rows from AT to FIRST are the same in both. */
		line_before += first - at;
		line_after += first - at;
		if (d->unwritten == 0)
			diff_hunk(d, first, behind, line_before, line_after);
		for (at = first; at < behind; at++) {
			line_before += d->rows[at].mark != '+';
			line_after += d->rows[at].mark != '-';
		}
		any = true;
		i = behind - 1;
	}
	return any;
}

bool diff_lines(const struct diff_params *p, struct buf *out)
{
	struct diff d = { .params = p, .before = diff_split(p->before), .after = diff_split(p->after), .out = out };
	diff_rows(&d);
	bool any = diff_hunks(&d);
	if (d.unwritten > 0)
		buf_printf(out, "... and %u more lines\n", d.unwritten);
	mem_free(d.before.lines);
	mem_free(d.after.lines);
	mem_free(d.rows);
	return any;
}
