/*
 * log.c: puts a line together in a buffer of the thread and hands it over with one write.
 */
#include "lib/base/log.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* LOG_TAIL is kept free behind the text: for both quotes of the last value, the "..." of what is cut, and the line end. */
enum { LOG_MOST = 4096, LOG_TAIL = 16 };

static struct {
	enum log_level most;
	bool syslog;
	void (*capture)(void *arg, enum log_level level, struct bytes line);
	void *capture_arg;
	void (*tell)(void *arg, enum log_level level, const char *text);
	void *tell_arg;
} log_sink = { .most = LOG_LEVEL_INFO };

static _Thread_local struct {
	const char *session;
	size_t n;
	bool cut;
	char text[LOG_MOST];
	char value[LOG_MOST];
} log_here;

static const struct {
	const char *name;
	int priority;
} log_levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },        [LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_NOTICE] = { "notice", LOG_NOTICE },   [LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static const struct {
	const char *name;
	int facility;
} log_facilities[] = {
	{ "mail", LOG_MAIL },     { "daemon", LOG_DAEMON }, { "user", LOG_USER },     { "auth", LOG_AUTH },
	{ "authpriv", LOG_AUTHPRIV }, { "syslog", LOG_SYSLOG }, { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
};

int log_open(const char *target, enum log_level most)
{
	struct bytes rest = bytes_of(target);
	if (bytes_eq(rest, BYTES("stderr"))) {
		log_sink.syslog = false;
		log_sink.most = most;
		return 0;
	}
	if (!bytes_eq(bytes_cut(&rest, ':'), BYTES("syslog")) || !rest.p)
		return -EINVAL;
	for (size_t i = 0; i < COUNT_OF(log_facilities); i++) {
		if (!bytes_eq(rest, bytes_of(log_facilities[i].name)))
			continue;
		openlog("gatepost", LOG_PID | LOG_NDELAY, log_facilities[i].facility);
		log_sink.syslog = true;
		log_sink.most = most;
		return 0;
	}
	return -EINVAL;
}

bool log_wanted(enum log_level level)
{
	return level <= log_sink.most;
}

int log_level_parse(struct bytes name, enum log_level *ret)
{
	for (size_t i = 0; i < COUNT_OF(log_levels); i++) {
		if (bytes_eq(name, bytes_of(log_levels[i].name))) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_set_session(const char *id)
{
	log_here.session = id;
}

const char *log_session(void)
{
	return log_here.session;
}

/* False when S no longer fits: the line is then cut, and nothing more is added to it. */
static bool log_put(struct bytes s)
{
	if (log_here.cut || log_here.n + s.n > LOG_MOST - LOG_TAIL) {
		log_here.cut = true;
		return false;
	}
	memcpy(log_here.text + log_here.n, s.p, s.n);
	log_here.n += s.n;
	return true;
}

/* What LOG_TAIL was kept free for. */
static void log_put_tail(struct bytes s)
{
	memcpy(log_here.text + log_here.n, s.p, s.n);
	log_here.n += s.n;
}

static bool log_plain(struct bytes value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (c <= ' ' || c >= 127 || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return value.n > 0;
}

static bool log_put_escaped(char c)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char u = (unsigned char)c;

	switch (c) {
	case '"':
		return log_put(BYTES("\\\""));
	case '\\':
		return log_put(BYTES("\\\\"));
	case '\n':
		return log_put(BYTES("\\n"));
	case '\r':
		return log_put(BYTES("\\r"));
	case '\t':
		return log_put(BYTES("\\t"));
	}
	if (u >= ' ' && u < 127)
		return log_put(bytes_make(&c, 1));
	return log_put(bytes_make((char[4]){ '\\', 'x', hex[u >> 4], hex[u & 15] }, 4));
}

static void log_put_quoted(struct bytes value)
{
	log_put_tail(BYTES("\""));
	for (size_t i = 0; i < value.n && log_put_escaped(value.p[i]); i++)
		;
	log_put_tail(log_here.cut ? BYTES("...\"") : BYTES("\""));
}

static void log_put_plain(struct bytes value)
{
	struct bytes shown = bytes_first(value, LOG_MOST - LOG_TAIL - log_here.n);

	log_put(shown);
	if (shown.n < value.n) {
		log_here.cut = true;
		log_put_tail(BYTES("..."));
	}
}

static void log_put_pair(const char *key, struct bytes value)
{
	size_t before = log_here.n;

	if (log_here.cut)
		return;
	if ((before && !log_put(BYTES(" "))) || !log_put(bytes_of(key)) || !log_put(BYTES("="))) {
		log_here.n = before;
		log_put_tail(BYTES(" ..."));
	} else if (log_plain(value)) {
		log_put_plain(value);
	} else {
		log_put_quoted(value);
	}
}

/* Milliseconds, UTC: lines of several processes sort together, and no daylight saving tears a hole. */
static void log_put_time(void)
{
	char date[32], text[48];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof text, "%s.%03ldZ", date, now.tv_nsec / 1000000);
	/* Colons and all are graphic: never quoted. */
	log_put_pair("time", bytes_of(text));
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	*l = (struct log_line){ .level = level, .wanted = log_wanted(level) };
	if (!l->wanted)
		return;
	log_here.n = 0;
	log_here.cut = false;
	/* syslog has a time of its own. */
	if (!log_sink.syslog && !log_sink.capture)
		log_put_time();
	log_put_pair("level", bytes_of(log_levels[level].name));
	log_put_pair("event", bytes_of(event));
	if (log_here.session)
		log_put_pair("session", bytes_of(log_here.session));
}

void log_bytes(struct log_line *l, const char *key, struct bytes value)
{
	if (l->wanted)
		log_put_pair(key, value);
}

void log_str(struct log_line *l, const char *key, const char *value)
{
	if (l->wanted && value)
		log_put_pair(key, bytes_of(value));
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
	log_printf(l, key, "%" PRId64, value);
}

static void __attribute__((format(printf, 3, 0)))
log_vprintf(struct log_line *l, const char *key, const char *fmt, va_list ap)
{
	if (!l->wanted)
		return;
	int n = vsnprintf(log_here.value, sizeof log_here.value, fmt, ap);
	/* What vsnprintf() cut is longer than a line can hold anyway: the line is cut, too, and shows it. */
	if (n >= 0)
		log_put_pair(key, bytes_first(bytes_make(log_here.value, sizeof log_here.value - 1), (size_t)n));
}

void log_printf(struct log_line *l, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vprintf(l, key, fmt, ap);
	va_end(ap);
}

void log_end(struct log_line *l)
{
	int saved = errno;

	if (!l->wanted)
		return;
	if (log_sink.capture) {
		log_sink.capture(log_sink.capture_arg, l->level, bytes_make(log_here.text, log_here.n));
	} else if (log_sink.syslog) {
		syslog(log_levels[l->level].priority, "%.*s", (int)log_here.n, log_here.text);
	} else {
		log_put_tail(BYTES("\n"));
		/* One write keeps lines of several processes whole.  Where a log line cannot go, no other line can tell it. */
		ssize_t written = write(STDERR_FILENO, log_here.text, log_here.n);
		(void)written;
	}
	errno = saved;
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	va_list ap;

	va_start(ap, fmt);
	if (log_sink.tell) {
		vsnprintf(log_here.value, sizeof log_here.value, fmt, ap);
		log_sink.tell(log_sink.tell_arg, level, log_here.value);
	} else {
		log_begin(&l, level, event);
		log_vprintf(&l, "msg", fmt, ap);
		log_end(&l);
	}
	va_end(ap);
}

void log_tell(void (*fn)(void *arg, enum log_level level, const char *text), void *arg)
{
	log_sink.tell = fn;
	log_sink.tell_arg = arg;
}

void log_capture(void (*fn)(void *arg, enum log_level level, struct bytes line), void *arg)
{
	log_sink.capture = fn;
	log_sink.capture_arg = arg;
}
