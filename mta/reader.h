/*
 * reader.h: libconfuse, with errors a person can use.
 *
 * Every setting is a string to libconfuse; the functions below turn it into what it means.  Each mistake becomes one line "FILE:LINE: sentence"
 * that names the word, and makes the reader fail; the value is then the default, so that reading goes on and finds the next mistake.
 */
#ifndef GATEPOST_MTA_READER_H
#define GATEPOST_MTA_READER_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "mta/config_text.h"

#include <confuse.h>

struct reader_mark;
struct reader {
	const char *file, *folder;      /* as it was named; where it lies, absolute */
	cfg_t *root;
	bool failed;
	struct buf *err;
	struct arena *arena;            /* where values live */
	struct config_text text;
	struct reader_mark *marks;      /* the line of each value */
	size_t mark_count, mark_cap;
};

/* A setting with one value; with a list of values. */
#define READER_VALUE(name) CFG_STR(name, NULL, CFGF_NODEFAULT)
#define READER_LIST(name) CFG_STR_LIST(name, NULL, CFGF_NODEFAULT)
#define READER_SECTION(name, settings) CFG_SEC(name, settings, CFGF_NONE)
#define READER_TITLED(name, settings) CFG_SEC(name, settings, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES)

/* Parses FILE by SETTINGS.  -errno when it cannot be read, -EINVAL when libconfuse refuses it; ERR says so.  reader_close() in any case. */
int reader_open(struct reader *r, const char *file, const cfg_opt_t *settings, struct arena *arena, struct buf *err)
    __attribute__((warn_unused_result));
/* The same for a text in memory, as if it stood in FILE. */
int reader_parse(struct reader *r, const char *file, struct bytes text, const cfg_opt_t *settings, struct arena *arena, struct buf *err)
    __attribute__((warn_unused_result));
void reader_close(struct reader *r);

/* Where a section was opened (0: nowhere, as the whole file); where the Ith value of a setting stands, its section's line when it is not set. */
int reader_section_line(const struct reader *r, cfg_t *section);
int reader_line(const struct reader *r, cfg_t *section, const char *name, unsigned i);
/* LINE 0: none is to blame. */
void reader_fail(struct reader *r, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds "; did you mean WORD?" when one of WORDS (NULL-terminated) is near. */
void reader_suggest(struct reader *r, struct bytes wrong, const char *const *words);

/* Is it set?  The values: NULL (0) when it is not. */
bool reader_has(cfg_t *section, const char *name);
const char *reader_str(struct reader *r, cfg_t *section, const char *name);
const char *reader_path(struct reader *r, cfg_t *section, const char *name);    /* relative ones from the config's folder */
const char *reader_resolve(struct reader *r, const char *path);
unsigned reader_count(cfg_t *section, const char *name);                        /* of a list's values */
const char *reader_item(struct reader *r, cfg_t *section, const char *name, unsigned i);
/* "30", "30s", "250ms", "5m", "1h", "1d" in ns; 0 is refused. */
int64_t reader_duration(struct reader *r, cfg_t *section, const char *name, int64_t unset);
/* "10485760", "10M", "64k", "1G" */
uint64_t reader_size(struct reader *r, cfg_t *section, const char *name, uint64_t unset);
unsigned reader_number(struct reader *r, cfg_t *section, const char *name, unsigned unset, unsigned least, unsigned most);
bool reader_bool(struct reader *r, cfg_t *section, const char *name, bool unset);
/* Index of the value in WORDS, which is NULL-terminated. */
int reader_word(struct reader *r, cfg_t *section, const char *name, const char *const *words, int unset);

#endif
