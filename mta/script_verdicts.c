/*
 * script_verdicts.c: ereject defer disconnect accept discard: what ends a stage; and what only notes something: hold, complete, log.
 */
#include "mta/script_private.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* ---- replies ---- */

/* What a command may answer: 5xx, or 4xx for "defer". */
static unsigned reply_class(const struct sieve_node *n)
{
	return strcmp(n->def->name, "defer") == 0 ? 4 : 5;
}

static int check_code(struct sieve_compiler *c, const struct sieve_node *n, const struct sieve_value *code)
{
	unsigned class = reply_class(n);
	if (code->number / 100 == class)
		return 0;
	return sieve_complain(c, code->pos, "\"%s\" takes a :code from %u00 to %u99, not %llu", n->def->name, class, class,
	    (unsigned long long)code->number);
}

static int check_status(struct sieve_compiler *c, const struct sieve_node *n, const struct sieve_value *status)
{
	unsigned class = reply_class(n);
	struct bytes text = status->strings->text;
	if (smtp_enhanced_valid(text) && *text.p == (char)('0' + class))
		return 0;
	return sieve_complain(c, status->pos, "\"%.*s\" is no :status for \"%s\": it should look like \"%u.7.1\"", BYTES_ARG(bytes_first(text, 60)),
	    n->def->name, class);
}

/* :code and :status, also for ereject (RFC 5429), which is the engine's. */
static const struct sieve_tag reply_tags[] = {
	{ .name = ":code", .type = SIEVE_NUMBER, .command = "ereject", .check = check_code },
	{ .name = ":status", .type = SIEVE_STRING, .flags = SIEVE_TAG_CONSTANT, .command = "ereject", .check = check_status },
	{ 0 },
};

/* Lines divided by LF, no blanks at the ends. */
static const char *reply_text(struct arena *arena, struct bytes text, const char *otherwise)
{
	text = bytes_trim(text);
	if (!text.n)
		return otherwise;
	char *to = arena_str(arena, text);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++)
		if (to[i] != '\r')
			to[n++] = to[i] ? to[i] : '?';
	to[n] = '\0';
	return to;
}

static int answer(struct sieve_run *r, const struct sieve_node *n, struct gate_verdict verdict, struct bytes text)
{
	const struct sieve_value *code = sieve_tag_named(n, ":code"), *status = sieve_tag_named(n, ":status");
	verdict.reply.text = reply_text(sieve_arena(r), text, verdict.reply.text);
	if (code)
		verdict.reply.code = (unsigned)code->number;
	if (status)
		snprintf(verdict.reply.enhanced, sizeof verdict.reply.enhanced, "%.*s", BYTES_ARG(status->strings->text));
	script_of(r)->io->verdict = verdict;
	return SIEVE_STOP;
}

TASK_FN int script_reject(struct sieve_run *r, const struct sieve_node *n, struct bytes text)
{
	return answer(r, n, (struct gate_verdict){ .action = GATE_REJECT, .reply = SMTP_REPLY(550, "5.7.1", "Rejected") }, text);
}

TASK_FN static int run_defer(struct sieve_run *r, const struct sieve_node *n)
{
	struct bytes text;
	int result = sieve_string_get(r, n, n->args[0].strings, &text);
	if (result)
		return result;
	return answer(r, n, (struct gate_verdict){ .action = GATE_TEMPFAIL, .reply = SMTP_REPLY(451, "4.7.1", "Try again later") }, text);
}

TASK_FN static int run_disconnect(struct sieve_run *r, const struct sieve_node *n)
{
	struct bytes text = bytes_of("");
	int result = n->args[0].type == SIEVE_NONE ? 0 : sieve_string_get(r, n, n->args[0].strings, &text);
	if (result)
		return result;
	return answer(r, n, (struct gate_verdict){ .action = GATE_DISCONNECT, .reply = SMTP_REPLY(421, "4.7.0", "Closing the connection") }, text);
}

/* ---- accept, discard, keep ---- */

static const struct sieve_tag accept_tags[] = { { .name = ":session" }, { 0 } };

static int check_accept(struct sieve_compiler *c, struct sieve_node *n)
{
	return n->tag_count ? 0 : sieve_compiler_needs(c, n->pos, SCRIPT_HAS_SENDER, "\"accept\" without :session");
}

TASK_FN static int run_accept(struct sieve_run *r, const struct sieve_node *n)
{
	struct script_run *s = script_of(r);
	struct script_state *st = script_state_make(s);
	if (n->tag_count)
		s->io->accept_session = st->accepted_session = true;
	else
		s->io->accept_message = st->accepted_message = true;
	s->io->verdict = (struct gate_verdict){ .action = GATE_ACCEPT };
	return SIEVE_STOP;
}

TASK_FN int script_discard(struct sieve_run *r, const struct sieve_node *n)
{
	(void)n;
	script_of(r)->io->verdict = (struct gate_verdict){ .action = GATE_DISCARD };
	return SIEVE_STOP;
}

/* Where mail goes was said at rcpt: a plain script's keep agrees with it. */
TASK_FN int script_keep(struct sieve_run *r, const struct sieve_node *n)
{
	(void)r;
	(void)n;
	return 0;
}

/* ---- notes ---- */

TASK_FN static int run_hold(struct sieve_run *r, const struct sieve_node *n)
{
	struct gate_txn *t = script_of(r)->io->txn;
	struct bytes why;
	int result = sieve_string_get(r, n, n->args[0].strings, &why);
	if (result)
		return result;
	t->held = true;
	t->hold_reason = arena_str(t->arena, why);
	t->hold_gate = NULL;
	return 0;
}

static const struct sieve_tag log_tags[] = {
	{ .name = ":error", .group = "level" }, { .name = ":warning", .group = "level" }, { .name = ":notice", .group = "level" },
	{ .name = ":info", .group = "level" }, { .name = ":debug", .group = "level" }, { 0 },
};
_Static_assert(COUNT_OF(log_tags) == LOG_LEVEL_DEBUG + 2, "a tag for each level");

/* Before there is a message: of the message to come, which gates then see whole. */
TASK_FN static int run_complete(struct sieve_run *r, const struct sieve_node *n)
{
	const struct smtpd_stage *io = script_of(r)->io;
	(void)n;
	io->txn->complete = true;
	return io->stage == GATE_MESSAGE ? gate_txn_complete(io->txn, io->session) : 0;
}

TASK_FN static int run_log(struct sieve_run *r, const struct sieve_node *n)
{
	const struct script_run *s = script_of(r);
	enum log_level level = n->tag_count ? (enum log_level)(n->tags[0].tag - log_tags) : LOG_LEVEL_INFO;
	struct bytes text;
	struct log_line l;
	int result = sieve_string_get(r, n, n->args[0].strings, &text);
	if (result)
		return result;
	log_begin(&l, level, "script");
	log_str(&l, "stage", gate_stage_name(s->io->stage));
	log_bytes(&l, "text", text);
	log_end(&l);
	return 0;
}

static const struct sieve_param one_text[] = { { "text", SIEVE_STRING, 0 }, { 0 } };
static const struct sieve_param maybe_text[] = { { "text", SIEVE_STRING, SIEVE_PARAM_OPTIONAL }, { 0 } };

const struct sieve_extension script_ext_verdicts = {
	.name = SCRIPT_EXTENSION,
	.tags = reply_tags,
	.commands = (const struct sieve_command[]){
	    { .name = "defer", .needs = SCRIPT_HAS_VERDICT, .tags = reply_tags, .run = run_defer, .params = one_text },
	    { .name = "disconnect", .needs = SCRIPT_HAS_VERDICT, .run = run_disconnect, .params = maybe_text },
	    { .name = "accept", .needs = SCRIPT_HAS_VERDICT, .tags = accept_tags, .check = check_accept, .run = run_accept },
	    { .name = "hold", .needs = SCRIPT_HAS_SENDER | SCRIPT_HAS_VERDICT, .run = run_hold, .params = one_text },
	    { .name = "complete", .needs = SCRIPT_HAS_SENDER | SCRIPT_HAS_VERDICT, .run = run_complete },
	    { .name = "log", .tags = log_tags, .run = run_log, .params = one_text },
	    { 0 } },
};
