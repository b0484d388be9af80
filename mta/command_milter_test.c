/*
 * command_milter_test.c: gatepost milter-test: plays a session to one milter, or a recording of one, and shows what is said.
 */
#include "mta/command_milter_test.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/config.h"
#include "mta/milter_options.h"
#include "mta/milter_play.h"
#include "mta/milter_replay.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { INTERRUPTED = 128 + SIGINT };    /* exit code, as a shell has it */

/* ---- files ---- */

static int read_file(const char *name, struct buf *ret)
{
	FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	size_t n;
	if (!f) {
		fprintf(stderr, "gatepost: %s: %s\n", name, strerror(errno));
		return EX_NOINPUT;
	}
	do {
		n = fread(buf_room(ret, 65536), 1, 65536, f);
		buf_grown(ret, n);
	} while (n > 0);
	int error = ferror(f) ? errno : 0;
	if (f != stdin)
		fclose(f);
	if (error)
		fprintf(stderr, "gatepost: %s: %s\n", name, strerror(error));
	return error ? EX_NOINPUT : EX_OK;
}

static int write_file(const char *name, struct bytes content)
{
	FILE *f = strcmp(name, "-") == 0 ? stdout : fopen(name, "we");
	bool written = f && (content.n == 0 || fwrite(content.p, 1, content.n, f) == content.n);
	if (f)
		written &= (f == stdout ? fflush(f) : fclose(f)) == 0;
	if (!written)
		fprintf(stderr, "gatepost: %s: %s\n", name, strerror(errno));
	return written ? EX_OK : EX_CANTCREAT;
}

/* ---- what the client says ---- */

static bool header_given(const struct milter_test *t, const char *name)
{
	for (unsigned i = 0; i < t->header_count; i++) {
		struct bytes rest = bytes_of(t->headers[i]);
		if (bytes_case_eq(bytes_cut(&rest, ':'), bytes_of(name)))
			return true;
	}
	return false;
}

static void default_field(const struct milter_test *t, struct buf *out, const char *name, const char *value)
{
	if (!header_given(t, name))
		buf_printf(out, "%s: %s\n", name, value);
}

/* An option's address without its ESMTP parameters. */
static const char *default_address(struct milter_test *t, const char *path)
{
	struct bytes rest = bytes_of(path), address = bytes_cut(&rest, ' ');
	if (bytes_starts(address, BYTES("<")) && bytes_ends(address, BYTES(">")))
		address = bytes_make(address.p + 1, address.n - 2);
	return arena_printf(&t->arena, "<%.*s>", BYTES_ARG(address.n ? address : BYTES("MAILER-DAEMON")));
}

static void default_message(struct milter_test *t, struct buf *out)
{
	char date[64];
	time_t now = time(NULL);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	default_field(t, out, "From", default_address(t, t->from));
	default_field(t, out, "To", default_address(t, t->to[0]));
	default_field(t, out, "Subject", "a test of a milter");
	default_field(t, out, "Date", date);
	default_field(t, out, "Message-Id", arena_printf(&t->arena, "<milter-test.%lld@%s>", (long long)now, t->helo));
	for (unsigned i = 0; i < t->header_count; i++)
		buf_printf(out, "%s\n", t->headers[i]);
	buf_printf(out, "\n%s\n", t->body ? t->body : "This message was made by gatepost milter-test.");
}

static int read_dialogue(struct milter_test *t, struct milter_dialogue *d)
{
	struct buf text = { 0 }, err = { 0 };
	int code = read_file(t->dialogue, &text);
	if (!code && milter_dialogue_parse(d, buf_bytes(&text), &err) < 0) {
		fprintf(stderr, "gatepost: %s:%s\n", t->dialogue, buf_str(&err));
		code = EX_DATAERR;
	}
	buf_fini(&text);
	buf_fini(&err);
	return code;
}

static int make_dialogue(struct milter_test *t, struct milter_dialogue *d)
{
	if (t->dialogue)
		return read_dialogue(t, d);
	struct buf message = { 0 };
	int code = t->eml ? read_file(t->eml, &message) : EX_OK;
	if (!t->eml)
		default_message(t, &message);
	if (!code) {
		const struct milter_dialogue_params p = { .helo = t->helo, .from = t->from, .to = t->to, .message = buf_bytes(&message) };
		milter_dialogue_compose(d, &p);
	}
	buf_fini(&message);
	return code;
}

/* ---- the milter ---- */

/* Either way: the gate, and our name. */
struct milter_target {
	struct gate own;                /* of a socket */
	struct config *config;          /* of a name */
	struct gate *gate;
	const char *hostname;
	char name[256];
};

static int target_of_socket(struct milter_test *t, struct milter_target *target)
{
	struct buf err = { 0 };
	const char *socket = t->target[0] == '/' ? arena_printf(&t->arena, "unix:%s", t->target) : t->target;
	struct milter_params p = t->params;
	p.name = "milter";
	p.sockets = &socket;
	p.socket_count = 1;
	if (milter_configure(&p, &target->own, &err) < 0) {
		fprintf(stderr, "gatepost: %s\n", buf_str(&err));
		buf_fini(&err);
		return EX_USAGE;
	}
	target->gate = &target->own;
	if (gethostname(target->name, sizeof(target->name) - 1) < 0)
		strcpy(target->name, "localhost");
	target->hostname = target->name;
	return EX_OK;
}

static int target_of_name(struct milter_test *t, struct milter_target *target)
{
	struct buf err = { 0 };
	int status = config_read(t->config_file, &target->config, &err);
	if (status) {
		fprintf(stderr, "%s\n", buf_str(&err));
		buf_fini(&err);
		return status == -EINVAL ? EX_CONFIG : EX_NOINPUT;
	}
	target->gate = strmap_get(&target->config->gates, bytes_of(t->target));
	if (!target->gate || target->gate->ops != &milter_ops) {
		fprintf(stderr, "gatepost: %s: there is no milter called %s\n", t->config_file, t->target);
		config_free(&target->config);
		return EX_USAGE;
	}
	target->hostname = target->config->hostname;
	return EX_OK;
}

static void target_free(struct milter_target *target)
{
	if (target->config)
		config_free(&target->config);
	else
		milter_unconfigure(&target->own);
}

/* ---- playing ---- */

static int fault_code(const struct milter_transcript *transcript)
{
	static const int codes[GATE_FAULTS] = {
		[GATE_FAULT_NONE] = EX_OK,           [GATE_FAULT_CONNECT] = EX_UNAVAILABLE, [GATE_FAULT_TIMEOUT] = EX_TEMPFAIL,
		[GATE_FAULT_PROTOCOL] = EX_PROTOCOL, [GATE_FAULT_EDIT] = EX_PROTOCOL,
	};
	return codes[transcript->fault];
}

static int play(struct milter_test *t, struct milter_target *target, const struct milter_dialogue *dialogue)
{
	struct milter_transcript transcript;
	struct buf message = { 0 };
	struct milter_play_params p = {
		.gate = target->gate,
		.transcript = &transcript,
		.dialogue = dialogue,
		.hostname = target->hostname,
		.client_name = t->client ? t->client_name : "client.example.org",
		.auth_user = t->auth,
		.tls = t->tls.protocol ? &t->tls : NULL,
		.message = t->output ? &message : NULL,
	};
	if (net_addr_parse(bytes_of(t->client ? t->client : "192.0.2.1"), 40000, &p.client) < 0 || run_init() < 0)
		return EX_OSERR;
	bool message_to_stdout = t->output && strcmp(t->output, "-") == 0;
	milter_transcript_init(&transcript, message_to_stdout ? stderr : stdout, t->full);
	milter_tap_gate(target->gate, &transcript.tap);
	int r = milter_play(&p), code = r == -EINTR ? INTERRUPTED : r < 0 ? EX_OSERR : fault_code(&transcript);
	if (transcript.fault)
		fprintf(stderr, "gatepost: the milter failed: %s\n", buf_str(&transcript.fault_text));
	/* What it keeps open is closed while there is a loop. */
	target_free(target);
	run_fini();
	int saved = t->record ? milter_transcript_save(&transcript, t->record) : 0;
	if (saved < 0)
		fprintf(stderr, "gatepost: %s: %s\n", t->record, strerror(-saved));
	int written = t->output ? write_file(t->output, buf_bytes(&message)) : EX_OK;
	milter_transcript_fini(&transcript);
	buf_fini(&message);
	return saved < 0 ? EX_CANTCREAT : written ? written : code;
}

static int play_session(struct milter_test *t)
{
	struct milter_dialogue dialogue;
	struct milter_target target = { 0 };
	milter_dialogue_init(&dialogue, &t->arena);
	int code = make_dialogue(t, &dialogue);
	if (!code)
		code = milter_options_socket(t->target) ? target_of_socket(t, &target) : target_of_name(t, &target);
	/* What goes wrong with the milter is in the transcript. */
	if (!code && log_open("stderr", LOG_LEVEL_ERROR) < 0)
		code = EX_OSERR;
	if (!code)
		code = play(t, &target, &dialogue);
	milter_dialogue_fini(&dialogue);
	return code;
}

/* ---- recordings ---- */

static int read_record(const char *file, struct milter_record *ret)
{
	struct buf text = { 0 }, err = { 0 };
	int code = read_file(file, &text);
	if (!code && milter_record_parse(buf_bytes(&text), ret, &err) < 0) {
		fprintf(stderr, "gatepost: %s:%s\n", file, buf_str(&err));
		code = EX_DATAERR;
	}
	buf_fini(&text);
	buf_fini(&err);
	return code;
}

static void print_record(const struct milter_record *record, bool full)
{
	struct milter_print print = { .whole = full };
	struct buf text = { 0 };
	for (unsigned i = 0; i < record->count; i++) {
		milter_print_entry(&print, &record->entries[i], &text);
		fwrite(text.p, 1, text.n, stdout);
		buf_clear(&text);
	}
	milter_print_fini(&print);
	buf_fini(&text);
}

static int tell_replayed(const struct milter_replay_result *r)
{
	if (r->connect_error) {
		fprintf(stderr, "gatepost: cannot connect: %s\n", strerror(-r->connect_error));
		return EX_UNAVAILABLE;
	}
	if (r->interrupted)
		return INTERRUPTED;
	if (r->differs)
		puts("the milter answered otherwise than recorded");
	else
		printf("the milter answered as recorded: %u answers\n", r->answers);
	return r->differs ? 1 : EX_OK;
}

static int replay_to(struct milter_test *t, const struct milter_record *record)
{
	struct endpoint endpoint;
	struct buf err = { 0 };
	struct milter_transcript transcript;
	struct milter_replay_result result;
	const char *socket = t->target[0] == '/' ? arena_printf(&t->arena, "unix:%s", t->target) : t->target;
	if (endpoint_parse(bytes_of(socket), 0, &endpoint, &err) < 0) {
		fprintf(stderr, "gatepost: %s\n", buf_str(&err));
		buf_fini(&err);
		return EX_USAGE;
	}
	int code = run_init() < 0 ? EX_OSERR : EX_OK;
	if (!code) {
		milter_transcript_init(&transcript, stdout, t->full);
		const struct milter_replay_params p = {
			.record = record,
			.endpoint = &endpoint,
			.timeout = t->timeout ? t->timeout : SECONDS(300),
			.transcript = &transcript,
		};
		milter_replay(&p, &result);
		run_fini();
		code = tell_replayed(&result);
		int saved = t->record ? milter_transcript_save(&transcript, t->record) : 0;
		if (saved < 0) {
			fprintf(stderr, "gatepost: %s: %s\n", t->record, strerror(-saved));
			code = EX_CANTCREAT;
		}
		milter_transcript_fini(&transcript);
	}
	endpoint_fini(&endpoint);
	return code;
}

static int replay(struct milter_test *t)
{
	struct milter_record record;
	int code = read_record(t->replay, &record);
	if (code)
		return code;
	if (t->target)
		code = replay_to(t, &record);
	else
		print_record(&record, t->full);
	milter_record_fini(&record);
	return code;
}

int command_milter_test(const struct command_line *l)
{
	struct milter_test t = { .config_file = l->file };
	signal(SIGPIPE, SIG_IGN);
	int code = milter_options_read(&t, l);
	if (code == EX_OK)
		code = t.replay ? replay(&t) : play_session(&t);
	milter_options_fini(&t);
	return code < 0 ? EX_OK : code;
}
