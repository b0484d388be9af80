/* milter_transcript.c: printing and recording as it happens. */
#include "mta/milter_transcript.h"

#include "lib/run/task.h"

#include <errno.h>
#include <time.h>

static int64_t transcript_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return SECONDS(t.tv_sec) + t.tv_nsec;
}

struct transcript_call {
	struct milter_transcript *transcript;
	struct milter_record_entry entry;
};

static void transcript_add(void *arg)
{
	const struct transcript_call *c = arg;
	struct milter_transcript *t = c->transcript;
	struct buf text = { 0 };
	milter_record_put(&t->record, &c->entry);
	t->count++;
	milter_print_entry(&t->print, &c->entry, &text);
	fwrite(text.p, 1, text.n, t->to);
	fflush(t->to);
	buf_fini(&text);
}

void milter_transcript_add(struct milter_transcript *t, enum milter_record_kind kind, struct bytes data)
{
	struct transcript_call c = { t, { .at = transcript_clock() - t->began, .kind = kind, .data = data } };
	/* What stdio needs is too much for the stack of a task. */
	task_deep(transcript_add, &c);
}

void milter_transcript_note(struct milter_transcript *t, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	fprintf(t->to, "%.*s\n", BYTES_ARG(buf_bytes(&text)));
	buf_fini(&text);
}

static void transcript_on_tap(void *arg, const struct milter_tap_event *event)
{
	static const enum milter_record_kind kinds[] = {
		[MILTER_TAP_OPENED] = MILTER_RECORD_OPENED,
		[MILTER_TAP_SENT] = MILTER_RECORD_SENT,
		[MILTER_TAP_RECEIVED] = MILTER_RECORD_RECEIVED,
		[MILTER_TAP_REST] = MILTER_RECORD_REST,
		[MILTER_TAP_FAULT] = MILTER_RECORD_FAULT,
		[MILTER_TAP_CLOSED] = MILTER_RECORD_CLOSED,
	};
	struct milter_transcript *t = arg;
	if (event->what != MILTER_TAP_FAULT) {
		milter_transcript_add(t, kinds[event->what], event->data);
		return;
	}
	struct buf text = { 0 };
	buf_printf(&text, "%s: %.*s", gate_fault_name(event->fault), BYTES_ARG(event->data));
	milter_transcript_add(t, MILTER_RECORD_FAULT, buf_bytes(&text));
	if (t->fault == GATE_FAULT_NONE) {
		t->fault = event->fault;
		buf_add(&t->fault_text, buf_bytes(&text));
	}
	buf_fini(&text);
}

void milter_transcript_init(struct milter_transcript *t, FILE *to, bool whole)
{
	*t = (struct milter_transcript){ .to = to, .began = transcript_clock(), .print = { .whole = whole } };
	t->tap = (struct milter_tap){ .fn = transcript_on_tap, .arg = t };
	milter_record_put_begin(&t->record);
	buf_add_str(&t->record, "# of gatepost milter-test " GATEPOST_VERSION "; it holds the whole message and its envelope\n");
}

void milter_transcript_fini(struct milter_transcript *t)
{
	milter_print_fini(&t->print);
	buf_fini(&t->record);
	buf_fini(&t->fault_text);
}

int milter_transcript_save(struct milter_transcript *t, const char *file)
{
	milter_record_put_end(&t->record, t->count);
	FILE *f = fopen(file, "we");
	if (!f)
		return -errno;
	bool written = fwrite(t->record.p, 1, t->record.n, f) == t->record.n;
	int error = written ? 0 : errno;
	if (fclose(f) && written)
		error = errno;
	return -error;
}
