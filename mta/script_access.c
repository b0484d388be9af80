/*
 * script_access.c: access looks keys up in a table as Postfix's check_*_access do, and does what the value says: an action of access(5).
 *
 * What is found is handed to the chain as the answer of a gate that is called like the table: so it is settled, logged and counted as
 * a policy server's is.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"
#include "lib/gate/access.h"

#include <errno.h>

/* ---- the table as a gate ---- */

struct access_use {
	struct table *table;
	unsigned tag;                   /* of access_tags; without one: COUNT_OF(access_meanings) */
	bool postfix;                   /* refusals in Postfix's words */
	struct gate gate;
};

static const struct sieve_tag access_tags[] = {
	{ .name = ":client", .group = "keys" }, { .name = ":helo", .group = "keys" }, { .name = ":sender", .group = "keys" },
	{ .name = ":recipient", .group = "keys" }, { .name = ":address", .group = "keys" }, { .name = ":host", .group = "keys" }, { 0 },
};
/* In the same order, and what holds without a tag. */
static const struct {
	enum access_class class;
	enum table_use use;             /* WHOLE: by what the key is */
	unsigned needs;
} access_meanings[] = {
	{ ACCESS_CLIENT, TABLE_ACCESS_HOST, 0 },
	{ ACCESS_HELO, TABLE_ACCESS_HOST, SCRIPT_HAS_HELO },
	{ ACCESS_SENDER, TABLE_ACCESS_ADDRESS, SCRIPT_HAS_SENDER },
	{ ACCESS_RECIPIENT, TABLE_ACCESS_ADDRESS, SCRIPT_HAS_RCPT },
	{ ACCESS_BY_STAGE, TABLE_ACCESS_ADDRESS, 0 },
	{ ACCESS_BY_STAGE, TABLE_ACCESS_HOST, 0 },
	{ ACCESS_BY_STAGE, TABLE_WHOLE, 0 },
};
_Static_assert(COUNT_OF(access_tags) == COUNT_OF(access_meanings), "a meaning for each tag, and one for none");

TASK_FN static int access_open(const struct gate *g, const struct gate_session *s, void **ret_context)
{
	(void)s;
	*ret_context = g->config;
	return 0;
}

TASK_FN static void access_close(void *context, bool quit)
{
	(void)context;
	(void)quit;
}

static void access_log(const struct gate_call *call, const struct access_action *a, const struct access_note *note)
{
	struct log_line l;
	if (!note->told)
		return;
	log_begin(&l, note->level, "access");
	log_str(&l, "table", call->gate->name);
	access_note_put(&l, call, a, note);
	log_end(&l);
}

/* The line is the value that was found. */
TASK_FN static int access_event(struct gate_call *call)
{
	const struct access_use *use = call->context;
	struct arena *arena = gate_call_arena(call);
	struct access_action a;
	struct access_note note;
	if (!bytes_utf8(call->line)) {
		call->fault = GATE_FAULT_PROTOCOL;
		call->fault_text = "the action is not UTF-8";
		return -EPROTO;
	}
	struct bytes text = arena_bytes(arena, call->line);
	call->verdict.answer = text.p;
	access_parse(text, arena, &a);
	if (use->postfix)
		access_wrap(&a, call, access_meanings[use->tag].class, arena);
	int r = access_apply(call, &a, &note);
	access_log(call, &a, &note);
	if (r < 0)
		call->fault = GATE_FAULT_EDIT;
	return r;
}

static const struct smtp_reply access_tempfail = { .code = 451, .enhanced = "4.3.5", .text = "Server configuration error" };
static const struct gate_ops access_ops = {
	.kind = "access",
	.open = access_open,
	.event = access_event,
	.close = access_close,
	.stages = (1u << GATE_RESULT) - 1,
	.default_on_failure = GATE_ON_FAILURE_TEMPFAIL,
	.tempfail = &access_tempfail,
};

/* ---- what a script says ---- */

static int check_access(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct script_compiling *compiling = sieve_compiler_arg(c);
	const struct script_names *names = compiling->names;
	struct access_use *use = ARENA_NEW(sieve_compiler_arena(c), struct access_use);
	const struct sieve_string *name = n->args[0].strings;
	int r = script_find_table(c, name, &use->table);
	if (r)
		return r;
	use->tag = n->tag_count && n->tags[0].tag >= access_tags && n->tags[0].tag < access_tags + COUNT_OF(access_tags) ?
		       (unsigned)(n->tags[0].tag - access_tags) :
		       COUNT_OF(access_meanings) - 1;
	use->postfix = names->as_postfix && names->as_postfix(names->arg, name->text);
	use->gate = (struct gate){ .ops = &access_ops, .name = table_name(use->table), .config = use, .total_timeout = FOREVER };
	for (unsigned stage = 0; stage < GATE_STAGES; stage++)
		for (unsigned fault = 0; fault < GATE_FAULTS; fault++)
			use->gate.on_failure[stage][fault] = GATE_ON_FAILURE_TEMPFAIL;
	n->data = use;
	if (access_meanings[use->tag].class == ACCESS_BY_STAGE && n->args[1].type == SIEVE_NONE)
		return sieve_complain(c, n->pos, "\"access\" lacks its keys: it needs them, or one of :client, :helo, :sender, :recipient");
	return sieve_compiler_needs(c, n->pos, access_meanings[use->tag].needs, "this \"access\"");
}

/* As Postfix holds addresses: quotes and source route removed. */
static struct bytes address_key(struct arena *arena, const struct smtp_address *a)
{
	if (!a->domain.n)
		return a->local;
	return bytes_of(arena_printf(arena, "%.*s@%.*s", BYTES_ARG(a->local), BYTES_ARG(a->domain)));
}

/* The Ith key that a tag stands for; none: empty and *RET_END. */
static struct bytes own_key(const struct script_run *s, enum access_class class, unsigned i, struct arena *arena, bool *ret_end)
{
	const struct gate_session *session = s->io->session;
	*ret_end = i >= (class == ACCESS_CLIENT ? 2 : 1);
	if (*ret_end)
		return bytes_of("");
	if (class == ACCESS_CLIENT)
		return bytes_of(i == 0 ? session->client_name : session->client_ip);
	if (class == ACCESS_HELO)
		return bytes_of(session->helo ? session->helo : "");
	return address_key(arena, class == ACCESS_SENDER ? &s->io->txn->sender.address : script_route_rcpt(s));
}

/* The parts of the table that the key has, tried in Postfix's order.  1, 0 or -errno. */
TASK_FN static int find_key(struct sieve_run *r, const struct sieve_node *n, struct bytes key, struct buf *ret)
{
	const struct access_use *use = n->data;
	enum table_use as = access_meanings[use->tag].use;
	if (as == TABLE_WHOLE)
		as = key.n == 0 || bytes_find(key, '@') >= 0 ? TABLE_ACCESS_ADDRESS : TABLE_ACCESS_HOST;
	if (key.n == 0 && as == TABLE_ACCESS_HOST)
		return 0;
	/* smtpd_null_access_lookup_key: the sender that is nobody. */
	return script_table_find(r, n, use->table, as, key.n ? key : BYTES("<>"), ret);
}

/* The value of the first key that the table has. */
TASK_FN static int find_action(struct sieve_run *r, const struct sieve_node *n, struct buf *ret)
{
	const struct access_use *use = n->data;
	const struct sieve_value *keys = &n->args[1];
	int found = 0;
	bool end = false;
	for (unsigned i = 0; found == 0; i++) {
		struct bytes key;
		if (keys->type == SIEVE_NONE)
			key = own_key(script_of(r), access_meanings[use->tag].class, i, sieve_scratch(r), &end);
		else if (i == keys->count)
			break;
		else if ((found = sieve_string_get(r, n, &keys->strings[i], &key)) != 0)
			break;
		if (end)
			break;
		found = find_key(r, n, key, ret);
	}
	return found;
}

TASK_FN static int run_access(struct sieve_run *r, const struct sieve_node *n)
{
	struct script_run *s = script_of(r);
	const struct access_use *use = n->data;
	struct gate_verdict verdict = { .action = GATE_CONTINUE };
	struct buf value = { 0 };
	int result = script_waived(s) ? 0 : find_action(r, n, &value);
	if (result > 0)
		result = script_ask(r, n, &use->gate, buf_bytes(&value), &verdict);
	buf_fini(&value);
	return result < 0 ? result : script_obey(s, &verdict);
}

/* What Postfix would have taken for "not found" is DUNNO, as of a policy server. */
TASK_FN static int test_access(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	struct sieve_matching m;
	struct buf value = { 0 };
	int found = find_action(r, n, &value);
	if (found >= 0) {
		struct bytes answer = bytes_trim(buf_bytes(&value));
		found = sieve_matching_begin(&m, r, n, &n->args[2]);
		if (!found)
			found = sieve_matching_value(&m, answer.n ? answer : BYTES("DUNNO"));
		found = sieve_matching_end(&m, found);
		*ret = found > 0;
	}
	buf_fini(&value);
	return found < 0 ? found : 0;
}

const struct sieve_extension script_ext_access = {
	.name = SCRIPT_EXTENSION,
	.commands = (const struct sieve_command[]){
	    { .name = "access", .needs = SCRIPT_HAS_VERDICT, .tags = access_tags, .check = check_access, .run = run_access,
		.params = (const struct sieve_param[]){ { "table", SIEVE_STRING, SIEVE_PARAM_CONSTANT }, { "keys", SIEVE_STRINGS, SIEVE_PARAM_OPTIONAL }, { 0 } } },
	    { 0 } },
	.tests = (const struct sieve_command[]){
	    { .name = "access", .takes = SIEVE_TAKES_MATCH, .needs = SCRIPT_HAS_VERDICT, .tags = access_tags + 4, .check = check_access, .test = test_access,
		.params = (const struct sieve_param[]){ { "table", SIEVE_STRING, SIEVE_PARAM_CONSTANT }, { "keys", SIEVE_STRINGS, 0 },
		    { "answers", SIEVE_STRINGS, SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};
