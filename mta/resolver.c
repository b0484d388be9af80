/* resolver.c: whether names can be resolved. */
#include "mta/resolver.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <string.h>

#define PATIENCE SECONDS(3)
enum { TYPE_NS = 2 };

static int open_resolver(const struct dns_config *config, struct buf *err)
{
	int status = run_init();
	if (status) {
		buf_printf(err, "no event loop: %s", strerror(-status));
		return status;
	}
	status = dns_init(config, err);
	if (status)
		run_fini();
	return status;
}

static void close_resolver(void)
{
	dns_fini();
	run_fini();
}

int resolver_check(const struct dns_config *config, struct buf *err)
{
	int status = open_resolver(config, err);
	if (!status)
		close_resolver();
	return status;
}

static void say(struct buf *note, const char *sentence)
{
	buf_printf(note, "%sdns: %s", note->n ? "\n" : "", sentence);
}

/* The servers of the root: every resolver knows them, and they are signed. */
static TASK_FN void ask_for_root(struct buf *note)
{
	struct arena arena = { 0 };
	struct dns_answer answer = { 0 };
	struct deadline d;
	deadline_begin(&d, PATIENCE);
	int status = dns_query(".", TYPE_NS, &arena, &answer);
	deadline_end(&d);
	if (status || answer.status == DNS_TEMP)
		say(note, "no resolver answers: names cannot be looked up now");
	else if (answer.status == DNS_BOGUS)
		say(note, "the resolver's answers do not validate: let it pass DNSSEC signatures on, or "
		                  "set trust_anchor = \"\"");
	arena_fini(&arena);
	run_stop();
}

void resolver_ask(const struct dns_config *config, struct buf *note)
{
	struct task_group group;
	if (!config->enabled || open_resolver(config, note))
		return;
	task_group_init(&group);
	task_spawn(&group, "resolver", ask_for_root, note);
	run_loop();
	close_resolver();
}
