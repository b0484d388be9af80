/*
 * log.h: log lines of key=value pairs, to stderr or syslog.
 *
 *	level=info event=deliver session=4f2a.3 hop=dovecot ms=12 reply="250 2.0.0 Saved"
 *
 * Values that hold anything but plain graphic ASCII are quoted and escaped, so that no peer can forge a line.
 * Floors 0 to 3 log nothing above debug; floors 4 to 6 log a thing once.
 */
#ifndef GATEPOST_BASE_LOG_H
#define GATEPOST_BASE_LOG_H

#include "lib/base/bytes.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Where lines go: "stderr", or "syslog:FACILITY" ("syslog:mail").  -EINVAL for anything else. */
int log_open(const char *target, enum log_level most) __attribute__((warn_unused_result));
bool log_wanted(enum log_level level);
int log_level_parse(struct bytes name, enum log_level *ret) __attribute__((warn_unused_result));

/* The session a line belongs to.  lib/run swaps it at every task switch: set it in the task that works for the
 * session.  The string must outlive its use; NULL for none. */
void log_set_session(const char *id);
const char *log_session(void);

/* One line, piece by piece.  The text lies in a buffer of the thread, not on the task's small stack: so one line at
 * a time, and no yield between log_begin() and log_end().  A line is cut at 4 KiB with "...". */
struct log_line {
	enum log_level level;
	bool wanted;
};
void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_bytes(struct log_line *l, const char *key, struct bytes value);
void log_str(struct log_line *l, const char *key, const char *value);   /* NULL: the key is left out */
void log_int(struct log_line *l, const char *key, int64_t value);
void log_printf(struct log_line *l, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void log_end(struct log_line *l);

/* A line with an event and one text: event=EVENT ... msg="..." */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define log_error(event, ...) log_msg(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(event, ...) log_msg(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_notice(event, ...) log_msg(LOG_LEVEL_NOTICE, event, __VA_ARGS__)
#define log_info(event, ...) log_msg(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) (log_wanted(LOG_LEVEL_DEBUG) ? log_msg(LOG_LEVEL_DEBUG, event, __VA_ARGS__) : (void)0)

/* For commands at a terminal: the text of each log_msg() goes to FN, and no line is made of it; NULL restores. */
void log_tell(void (*fn)(void *arg, enum log_level level, const char *text), void *arg);
/* For tests: every finished line goes to FN instead; NULL restores. */
void log_capture(void (*fn)(void *arg, enum log_level level, struct bytes line), void *arg);

#endif
