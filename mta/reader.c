/* reader.c: a file through libconfuse, its complaints made readable, and the line of every value kept. */
#include "mta/reader.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (1024 * 1024)

struct reader_mark {
	const cfg_opt_t *opt;
	unsigned index;
	int line;
	char *value;
};

/* libconfuse's callbacks carry no argument; it is not reentrant either (its scanner is global), so one reader at a time is all there can be. */
static __thread struct reader *reading;

/* ---- errors ---- */

static void fail_begin(struct reader *r, int line)
{
	r->failed = true;
	if (r->err->n)
		buf_add_char(r->err, '\n');
	if (line)
		buf_printf(r->err, "%s:%d: ", r->file, line);
	else
		buf_printf(r->err, "%s: ", r->file);
}

void reader_fail(struct reader *r, int line, const char *fmt, ...)
{
	va_list ap;
	fail_begin(r, line);
	va_start(ap, fmt);
	buf_vprintf(r->err, fmt, ap);
	va_end(ap);
}

/* How many letters have to be changed, added, taken away or swapped with their neighbour to make A into B; at most 99. */
static unsigned distance(struct bytes a, struct bytes b)
{
	unsigned d[3][32];
	if (a.n >= 32 || b.n >= 32)
		return 99;
	for (unsigned j = 0; j <= b.n; j++)
		d[0][j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned *row = d[i % 3], *above = d[(i + 2) % 3], *before = d[(i + 1) % 3];
		row[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned least = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);
			if (above[j] + 1 < least)
				least = above[j] + 1;
			if (row[j - 1] + 1 < least)
				least = row[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && before[j - 2] + 1 < least)
				least = before[j - 2] + 1;
			row[j] = least;
		}
	}
	return d[a.n % 3][b.n];
}

static bool nearer(struct bytes wrong, const char *word, unsigned *best)
{
	unsigned d = distance(wrong, bytes_of(word));
	if (d >= *best || d > 1 + wrong.n / 4)
		return false;
	*best = d;
	return true;
}

void reader_suggest(struct reader *r, struct bytes wrong, const char *const *words)
{
	unsigned best = 99;
	const char *found = NULL;
	for (; *words; words++)
		if (nearer(wrong, *words, &best))
			found = *words;
	if (found)
		buf_printf(r->err, "; did you mean %s?", found);
}

static void suggest_setting(struct reader *r, struct bytes wrong, const cfg_t *section)
{
	unsigned best = 99;
	const char *found = NULL;
	for (const cfg_opt_t *o = section->opts; o->name; o++)
		if (nearer(wrong, o->name, &best))
			found = o->name;
	if (found)
		buf_printf(r->err, "; did you mean %s?", found);
}

/* What sections and settings of later versions are called: config files written for them deserve a better answer than "unknown". */
static bool is_of_later_version(struct bytes name)
{
	static const char *const later[] = { "proxy", "queue", "admin", "mx", "auth", "tls_policy", "include" };
	for (size_t i = 0; i < COUNT_OF(later); i++)
		if (bytes_eq(name, bytes_of(later[i])))
			return true;
	return false;
}

static struct bytes quoted_word(struct bytes message)
{
	ptrdiff_t from = bytes_find(message, '\''), to = bytes_rfind(message, '\'');
	if (from < 0 || to <= from)
		return BYTES("");
	return bytes_make(message.p + from + 1, (size_t)(to - from - 1));
}

/* What it is called in the file. */
static struct bytes plain_name(struct bytes name)
{
	struct bytes suffix = BYTES(CONFIG_TEXT_SECTION_SUFFIX);
	return bytes_ends(name, suffix) ? bytes_first(name, name.n - suffix.n) : name;
}

static void describe_section(struct buf *err, const cfg_t *section)
{
	struct bytes name = plain_name(bytes_of(section->name));
	if (section->title)
		buf_printf(err, " in %.*s %s", BYTES_ARG(name), section->title);
	else if (!bytes_eq(name, BYTES("root")))
		buf_printf(err, " in %.*s", BYTES_ARG(name));
}

static void fail_unknown(struct reader *r, const cfg_t *section, struct bytes word)
{
	word = plain_name(word);
	if (is_of_later_version(word)) {
		buf_printf(r->err, "%.*s is not in this version (%s)", BYTES_ARG(word), GATEPOST_VERSION);
		return;
	}
	buf_printf(r->err, "unknown setting %.*s", BYTES_ARG(word));
	describe_section(r->err, section);
	suggest_setting(r, word, section);
}

/* libconfuse says these (3.3, untranslated: we never call setlocale).  What is not here is passed on as it is. */
static void explain(struct reader *r, const cfg_t *section, struct bytes message)
{
	struct bytes word = quoted_word(message);
	if (bytes_starts(message, BYTES("no such option")))
		fail_unknown(r, section, word);
	else if (bytes_starts(message, BYTES("missing equal sign")))
		buf_printf(r->err, "%.*s takes a value: \"%.*s = ...\"", BYTES_ARG(word), BYTES_ARG(word));
	else if (bytes_starts(message, BYTES("missing title")))
		buf_printf(r->err, "a name is missing: \"%.*s NAME { ... }\"", BYTES_ARG(word));
	else if (bytes_starts(message, BYTES("missing opening brace")))
		buf_printf(r->err, "%.*s is a section: an opening brace is missing", BYTES_ARG(word));
	else if (bytes_starts(message, BYTES("found duplicate title")))
		buf_printf(r->err, "\"%.*s\" is defined twice", BYTES_ARG(word));
	else if (bytes_starts(message, BYTES("attempt to append")))
		buf_printf(r->err, "%.*s takes one value: \"+=\" is for lists", BYTES_ARG(word));
	else if (bytes_starts(message, BYTES("premature end")))
		buf_add_str(r->err, "the file ends in the middle of a setting");
	else if (bytes_starts(message, BYTES("unexpected closing brace")))
		buf_add_str(r->err, "this closing brace has no opening one");
	else if (bytes_starts(message, BYTES("unexpected token '{'")))
		buf_add_str(r->err, "a value, not a section or a list, is wanted here");
	else
		buf_add(r->err, message);
}

static void on_error(cfg_t *section, const char *fmt, va_list ap)
{
	struct buf message = { 0 };
	buf_vprintf(&message, fmt, ap);
	fail_begin(reading, section->line);
	explain(reading, section, buf_bytes(&message));
	buf_fini(&message);
}

/* ---- lines ---- */

static struct reader_mark *find_mark(const struct reader *r, const cfg_opt_t *opt, unsigned index)
{
	for (size_t i = 0; i < r->mark_count; i++)
		if (r->marks[i].opt == opt && r->marks[i].index == index)
			return &r->marks[i];
	return NULL;
}

static void add_mark(struct reader *r, const cfg_opt_t *opt, unsigned index, int line)
{
	if (r->mark_count == r->mark_cap) {
		r->mark_cap = r->mark_cap ? 2 * r->mark_cap : 64;
		r->marks = mem_array(r->marks, r->mark_cap, sizeof *r->marks);
	}
	r->marks[r->mark_count++] = (struct reader_mark){
		.opt = opt, .index = index, .line = line, .value = mem_strdup(cfg_opt_getnstr((cfg_opt_t *)opt, index)),
	};
}

/* Called after each value, and at the closing brace of a list.  A value that is not the one that was there before has replaced it: libconfuse
 * would keep the last and say nothing. */
static int on_value(cfg_t *section, cfg_opt_t *opt)
{
	struct reader *r = reading;
	unsigned last = cfg_opt_size(opt);
	if (!last)
		return 0;
	last--;
	const struct reader_mark *m = find_mark(r, opt, last);
	if (!m) {
		add_mark(r, opt, last, section->line);
		return 0;
	}
	bool closing_brace = (opt->flags & CFGF_LIST) && !find_mark(r, opt, last + 1) && strcmp(m->value, cfg_opt_getnstr(opt, last)) == 0;
	if (closing_brace)
		return 0;
	reader_fail(r, section->line, "%s is set twice, first on line %d", opt->name, m->line);
	return -1;
}

int reader_section_line(const struct reader *r, cfg_t *section)
{
	return section == r->root ? 0 : config_text_opened(&r->text, section->line);
}

int reader_line(const struct reader *r, cfg_t *section, const char *name, unsigned i)
{
	const struct reader_mark *m = find_mark(r, cfg_getopt(section, name), i);
	return m ? m->line : reader_section_line(r, section);
}

/* ---- opening ---- */

/* Hooks every setting, on every level; the array is our copy. */
static cfg_opt_t *copy_settings(const cfg_opt_t *from)
{
	size_t n = 0;
	while (from[n].name)
		n++;
	cfg_opt_t *to = mem_array(NULL, n + 1, sizeof *to);
	memcpy(to, from, (n + 1) * sizeof *to);
	for (size_t i = 0; i < n; i++)
		if (to[i].type == CFGT_SEC)
			to[i].subopts = copy_settings(from[i].subopts);
		else
			to[i].validcb = on_value;
	return to;
}

static void free_settings(cfg_opt_t *settings)
{
	for (cfg_opt_t *o = settings; o->name; o++)
		if (o->type == CFGT_SEC)
			free_settings(o->subopts);
	mem_free(settings);
}

static int parse_plain(struct reader *r, const cfg_opt_t *settings)
{
	cfg_opt_t *hooked = copy_settings(settings);
	r->root = cfg_init(hooked, CFGF_NONE);
	free_settings(hooked);
	if (!r->root)
		return -ENOMEM;
	cfg_set_error_function(r->root, on_error);
	reading = r;
	int failed = cfg_parse_buf(r->root, buf_str(&r->text.plain));
	reading = NULL;
	if (!failed && !r->failed)
		return 0;
	if (!r->failed)
		reader_fail(r, r->root->line, "this cannot be understood");
	return -EINVAL;
}

/* The folder of FILE, absolute: the server may change its own. */
static const char *folder_of(struct arena *a, const char *file)
{
	const char *slash = strrchr(file, '/');
	struct bytes folder = bytes_make(file, slash == file ? 1 : slash ? (size_t)(slash - file) : 0);
	if (*file == '/')
		return arena_str(a, folder);
	char *here = getcwd(NULL, 0);
	if (!here)
		return ".";
	const char *path = folder.n ? arena_printf(a, "%s/%.*s", here, BYTES_ARG(folder)) : arena_str(a, bytes_of(here));
	free(here);
	return path;
}

int reader_parse(struct reader *r, const char *file, struct bytes text, const cfg_opt_t *settings, struct arena *arena, struct buf *err)
{
	struct buf why = { 0 };
	*r = (struct reader){ .err = err, .arena = arena };
	r->file = arena_str(arena, bytes_of(file));
	r->folder = folder_of(arena, file);
	int status = config_text_init(text, &r->text, &why);
	if (status) {
		r->failed = true;
		buf_printf(err, "%s:%s", file, buf_str(&why));
	}
	buf_fini(&why);
	return status ? status : parse_plain(r, settings);
}

static int read_whole(const char *file, struct buf *ret)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	ssize_t n;
	while ((n = read(fd, buf_room(ret, 65536), 65536)) > 0 && ret->n <= FILE_MAX)
		buf_grown(ret, (size_t)n);
	int status = n < 0 ? -errno : n > 0 ? -EFBIG : 0;
	close(fd);
	return status;
}

int reader_open(struct reader *r, const char *file, const cfg_opt_t *settings, struct arena *arena, struct buf *err)
{
	struct buf text = { 0 };
	*r = (struct reader){ .err = err };
	int status = read_whole(file, &text);
	if (status)
		buf_printf(err, "%s: cannot be read: %s", file, strerror(-status));
	else
		status = reader_parse(r, file, buf_bytes(&text), settings, arena, err);
	buf_fini(&text);
	return status;
}

void reader_close(struct reader *r)
{
	if (r->root)
		cfg_free(r->root);
	r->root = NULL;
	for (size_t i = 0; i < r->mark_count; i++)
		mem_free(r->marks[i].value);
	mem_free(r->marks);
	config_text_fini(&r->text);
	r->marks = NULL;
	r->mark_count = r->mark_cap = 0;
}
