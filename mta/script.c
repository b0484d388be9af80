/*
 * script.c: compiles a script, and answers the server stage by stage.
 */
#include "mta/script_private.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>

int script_compile(struct bytes source, const char *file, const struct script_names *names, struct script **ret, struct buf *err)
{
	struct script_compiling compiling = { .names = names, .session_slots.fold_case = true, .mail_slots.fold_case = true };
	struct sieve_compile_params p = { .source = source, .file = file, .host = &script_host, .arg = &compiling };
	struct sieve_script *sieve;
	int r = sieve_compile(&p, &sieve, err);
	if (!r) {
		struct script *s = NEW(struct script);
		s->sieve = sieve;
		s->session_slots = (unsigned)compiling.session_slots.n;
		s->mail_slots = (unsigned)compiling.mail_slots.n;
		s->filter = names->filter;
		s->filter_arg = names->arg;
		*ret = s;
	}
	strmap_fini(&compiling.session_slots);
	strmap_fini(&compiling.mail_slots);
	arena_fini(&compiling.arena);
	return r;
}

void script_free(struct script **s)
{
	if (!*s)
		return;
	sieve_free(&(*s)->sieve);
	mem_free(*s);
	*s = NULL;
}

static void log_failure(const struct script_run *s, struct bytes why)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_ERROR, "script");
	log_str(&l, "listener", s->io->session->listener);
	log_str(&l, "stage", gate_stage_name(s->io->stage));
	log_bytes(&l, "why", why);
	log_end(&l);
}

/* Whether an address can be sent to is for the block to say that would have its mail. */
static enum gate_stage section_of(enum gate_stage stage)
{
	return stage == GATE_VRFY ? GATE_RCPT : stage;
}

TASK_FN int script_run_block(struct script_run *s, const struct sieve_node *const *skip, unsigned skip_count)
{
	struct smtpd_stage *io = s->io;
	struct sieve_run_params p = {
		.script = s->script->sieve,
		.section = section_of(io->stage),
		.host_run = s,
		.mail = io->txn ? io->txn->mail : NULL,
		.arena = io->txn ? io->txn->arena : io->session->arena,
		.skip = skip,
		.skip_count = skip_count,
	};
	struct sieve_outcome outcome;
	struct buf err = { 0 };
	int r = sieve_run(&p, &outcome, &err);
	if (r < 0 && r != -ECANCELED && r != -ETIMEDOUT) {
		log_failure(s, buf_bytes(&err));
		io->verdict = (struct gate_verdict){ .action = GATE_TEMPFAIL, .reply = SMTP_REPLY(451, "4.3.5", "Server configuration problem - try again later") };
		r = 0;
	}
	buf_fini(&err);
	return r;
}

/* What is set and accepted meanwhile is good for this run alone. */
TASK_FN static int run_verify(struct script_run *s)
{
	void **state = s->io->session_state, *kept = *state;
	*state = script_state_copy(kept);
	int r = script_route_run(s);
	script_state_free(*state);
	*state = kept;
	return r;
}

TASK_FN int script_run_stage(const struct script *script, const struct script_world *world, struct smtpd_stage *io)
{
	struct script_run s = { .script = script, .world = world, .io = io };
	enum gate_stage section = section_of(io->stage);
	if (section >= SCRIPT_STAGES || !sieve_has_section(script->sieve, section))
		return 0;
	if (io->stage == GATE_VRFY)
		return run_verify(&s);
	return section == GATE_RCPT ? script_route_run(&s) : script_run_block(&s, NULL, 0);
}

TASK_FN static int stage(const void *script, struct smtpd_stage *io)
{
	return script_run_stage(script, &script_world, io);
}

static void session_end(const void *script, void *state)
{
	(void)script;
	script_state_free(state);
}

const struct smtpd_script_ops script_ops = { .stage = stage, .session_end = session_end };
