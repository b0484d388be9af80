/*
 * config_gate.c: what a gate's failure means, as one word for all, or by kind of fault and by stage:
 *
 *	on_failure = accept
 *	on_failure { default = tempfail  connect = accept  stage "rcpt" { timeout = continue } }
 *
 * What is nearer wins: a stage's fault, a stage's default, the fault, the default, the kind's own default.
 */
#include "mta/config_gate.h"

#include "lib/run/task.h"

#define FAULT_SETTINGS                                                                                            \
	READER_VALUE("default"), READER_VALUE("connect"), READER_VALUE("timeout"), READER_VALUE("protocol"), READER_VALUE("edit")

static cfg_opt_t stage_settings[] = { FAULT_SETTINGS, CFG_END() };
cfg_opt_t config_gate_on_failure_settings[] = { FAULT_SETTINGS, READER_TITLED("stage", stage_settings), CFG_END() };

static void set_fault(struct gate *g, unsigned from, unsigned to, int fault, enum gate_on_failure what)
{
	for (unsigned stage = from; stage < to; stage++)
		g->on_failure[stage][fault] = what;
}

/* One section's words, for the stages FROM to TO. */
static void read_faults(struct reader *r, cfg_t *s, struct gate *g, unsigned from, unsigned to)
{
	if (reader_has(s, "default")) {
		enum gate_on_failure what = (enum gate_on_failure)reader_word(r, s, "default", gate_on_failure_words, 0);
		for (int fault = 0; fault < GATE_FAULTS; fault++)
			set_fault(g, from, to, fault, what);
	}
	for (int fault = GATE_FAULT_NONE + 1; fault < GATE_FAULTS; fault++) {
		const char *name = gate_fault_name((enum gate_fault)fault);
		if (reader_has(s, name))
			set_fault(g, from, to, fault, (enum gate_on_failure)reader_word(r, s, name, gate_on_failure_words, 0));
	}
}

static void read_stage(struct reader *r, cfg_t *s, struct gate *g)
{
	const char *names[GATE_STAGES + 1];
	for (unsigned stage = 0; stage < GATE_STAGES; stage++) {
		names[stage] = gate_stage_name((enum gate_stage)stage);
		if (strcmp(names[stage], cfg_title(s)) == 0) {
			read_faults(r, s, g, stage, stage + 1);
			return;
		}
	}
	names[GATE_STAGES] = NULL;
	reader_fail(r, reader_section_line(r, s), "there is no stage \"%s\"", cfg_title(s));
	reader_suggest(r, bytes_of(cfg_title(s)), names);
}

void config_gate_read(struct reader *r, cfg_t *section, struct gate *g)
{
	const char *by_fault = "on_failure" CONFIG_TEXT_SECTION_SUFFIX;
	if (reader_has(section, "on_failure")) {
		enum gate_on_failure what = (enum gate_on_failure)reader_word(r, section, "on_failure", gate_on_failure_words, 0);
		for (int fault = 0; fault < GATE_FAULTS; fault++)
			set_fault(g, 0, GATE_STAGES, fault, what);
	}
	cfg_t *s = cfg_getsec(section, by_fault);
	read_faults(r, s, g, 0, GATE_STAGES);
	for (unsigned i = 0; i < cfg_size(s, "stage"); i++)
		read_stage(r, cfg_getnsec(s, "stage", i), g);
	g->total_timeout = reader_duration(r, section, "total_timeout", g->total_timeout);
	g->shadow = reader_bool(r, section, "shadow", g->shadow);
}
