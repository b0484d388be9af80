/*
 * sieve_stub.h: a host for the Sieve engine that does nothing but write down what a script wants done.  One section, in which everything
 * is allowed.
 */
#ifndef GATEPOST_TESTS_SIEVE_STUB_H
#define GATEPOST_TESTS_SIEVE_STUB_H

#include "lib/run/task.h"
#include "lib/smtp/address.h"
#include "sieve/extend.h"

#include <errno.h>
#include <stdio.h>

struct stub {
	/* in */
	struct bytes script, message;
	const char *from, *to;          /* envelope */
	/* out */
	struct buf actions;             /* a line for each: "keep", "redirect a@b" */
	struct buf err;
	int compiled, result;           /* of sieve_compile(), sieve_run() */
	struct sieve_outcome outcome;
	struct buf header;              /* of the message afterwards */
};

static void stub_note(struct sieve_run *r, const char *what, struct bytes text)
{
	struct stub *s = sieve_host_run(r);
	buf_add_str(&s->actions, what);
	if (text.n) {
		buf_add_char(&s->actions, ' ');
		buf_add(&s->actions, text);
	}
	buf_add_char(&s->actions, '\n');
}

TASK_FN static int stub_keep(struct sieve_run *r, const struct sieve_node *n)
{
	(void)n;
	stub_note(r, "keep", bytes_of(NULL));
	sieve_cancel_keep(r);
	return 0;
}

TASK_FN static int stub_discard(struct sieve_run *r, const struct sieve_node *n)
{
	(void)n;
	stub_note(r, "discard", bytes_of(NULL));
	return 0;
}

TASK_FN static int stub_redirect(struct sieve_run *r, const struct sieve_node *n, struct bytes address)
{
	(void)n;
	stub_note(r, "redirect", address);
	return 0;
}

TASK_FN static int stub_reject(struct sieve_run *r, const struct sieve_node *n, struct bytes text)
{
	(void)n;
	stub_note(r, "ereject", text);
	return SIEVE_STOP;
}

/* ---- variables: ${env.NAME} is "env-NAME", ${slot.x} can be set ---- */

static char stub_slot[SIEVE_STRING_MAX + 1];
static struct bytes stub_slot_value;

static int stub_variable(void *arg, struct bytes space, struct bytes name, struct sieve_host_variable *ret)
{
	(void)arg;
	if (bytes_case_eq(space, BYTES("slot"))) {
		*ret = (struct sieve_host_variable){ .id = 1, .settable = true };
		return 0;
	}
	if (!bytes_case_eq(space, BYTES("env")) || !bytes_case_eq(name, BYTES("helo")))
		return -ENOENT;
	*ret = (struct sieve_host_variable){ .id = 0 };
	return 0;
}

static struct bytes stub_get(struct sieve_run *r, unsigned id)
{
	(void)r;
	return id ? stub_slot_value : BYTES("helo.example.org");
}

static int stub_set(struct sieve_run *r, const struct sieve_node *n, unsigned id, struct bytes value)
{
	(void)r;
	(void)n;
	(void)id;
	memmove(stub_slot, value.p, value.n);
	stub_slot_value = bytes_make(stub_slot, value.n);
	return 0;
}

/* ---- envelope ---- */

static int stub_envelope_part(void *arg, struct bytes name, unsigned *ret_id, unsigned *ret_needs)
{
	(void)arg;
	*ret_id = bytes_case_eq(name, BYTES("to"));
	*ret_needs = 0;
	return *ret_id || bytes_case_eq(name, BYTES("from")) ? 0 : -ENOENT;
}

static int stub_envelope(struct sieve_run *r, unsigned id, unsigned i, struct sieve_mailbox *ret)
{
	const struct stub *s = sieve_host_run(r);
	struct smtp_address a = { .address = bytes_of("") };
	if (smtp_address_parse(bytes_of(id ? s->to : s->from), sieve_scratch(r), &a) < 0)
		a = (struct smtp_address){ .address = bytes_of("") };
	*ret = (struct sieve_mailbox){ .all = a.address, .local = a.local, .domain = a.domain };
	return i == 0;
}

/* ---- lists: ":list:friends" holds what begins with "friend", ":list:broken" cannot be asked ---- */

static int stub_list(void *arg, struct bytes name, void **ret)
{
	static char friends[] = "friends", broken[] = "broken";
	(void)arg;
	*ret = bytes_eq(name, BYTES(":list:broken")) ? broken : friends;
	return bytes_eq(name, BYTES(":list:friends")) || *ret == broken ? 0 : -ENOENT;
}

TASK_FN static int stub_list_has(struct sieve_run *r, const struct sieve_node *n, void *list, struct bytes value, bool *ret)
{
	if (bytes_eq(bytes_of(list), BYTES("broken")))
		return sieve_fail(r, n, -EREMOTEIO, "the list is broken");
	*ret = bytes_case_starts(value, BYTES("friend"));
	return 0;
}

static const char *stub_candidate(void *arg, const char *what, unsigned i)
{
	static const char *const variables[] = { "env.helo", "slot.x" }, *const parts[] = { "from", "to" }, *const lists[] = { ":list:friends" };
	(void)arg;
	if (strcmp(what, "list") == 0)
		return i < 1 ? lists[i] : NULL;
	return i >= 2 ? NULL : strcmp(what, "variable") == 0 ? variables[i] : parts[i];
}

static const struct sieve_extension stub_extension = {
	.name = "vnd.test",
	.tags = (const struct sieve_tag[]){ { .name = ":lenient", .flags = SIEVE_TAG_LENIENT | SIEVE_TAG_TESTS }, { 0 } },
};
static const struct sieve_extension *const stub_extensions[] = { &stub_extension, NULL };
static const struct sieve_section stub_sections[] = { { "script", ~0u } };

static const struct sieve_host stub_host = {
	.sections = stub_sections,
	.section_count = 1,
	.section_word = "section",
	.extensions = stub_extensions,
	.variable = stub_variable,
	.envelope_part = stub_envelope_part,
	.list = stub_list,
	.candidate = stub_candidate,
	.get = stub_get,
	.set = stub_set,
	.envelope = stub_envelope,
	.keep = stub_keep,
	.discard = stub_discard,
	.redirect = stub_redirect,
	.reject = stub_reject,
	.list_has = stub_list_has,
};

/* ---- one script, one message ---- */

static struct mail *stub_mail(struct bytes message)
{
	static const struct mail_limits limits = { .header_max = 1 << 20, .size_max = 1 << 26, .memory_max = 1 << 20, .spool = "/tmp" };
	struct mail *m = mail_new(&limits);
	int r = mail_append(m, message);
	if (r == 0)
		r = mail_end(m);
	if (r < 0)
		mail_unref(&m);
	return m;
}

TASK_FN static int stub_run_compiled(struct stub *s, const struct sieve_script *script)
{
	struct arena arena = { 0 };
	struct mail *m = stub_mail(s->message);
	struct sieve_run_params p = { .script = script, .host_run = s, .mail = m, .arena = &arena };
	if (!m)
		return -EIO;
	stub_slot_value = BYTES("");
	int r = sieve_run(&p, &s->outcome, &s->err);
	struct mail_header *h;
	LIST_EACH(h, &m->headers, struct mail_header, link)
		buf_add(&s->header, h->raw);
	mail_unref(&m);
	arena_fini(&arena);
	return r;
}

TASK_ENTRY static void stub_task(struct stub *s)
{
	struct sieve_script *script;
	struct sieve_compile_params p = { .source = s->script, .file = "t.sieve", .host = &stub_host };
	s->compiled = sieve_compile(&p, &script, &s->err);
	if (s->compiled)
		return;
	s->result = stub_run_compiled(s, script);
	sieve_free(&script);
}

static inline void stub_fini(struct stub *s)
{
	buf_fini(&s->actions);
	buf_fini(&s->err);
	buf_fini(&s->header);
}

TASK_ENTRY static void stub_main(struct stub *s)
{
	stub_task(s);
	run_stop();
}

/* Compiles and runs s->script, in a task.  Between run_init() and run_fini(). */
static inline void stub_go(struct stub *s)
{
	struct task_group g;
	task_group_init(&g);
	task_spawn(&g, "stub", stub_main, s);
	run_loop();
}

#endif
