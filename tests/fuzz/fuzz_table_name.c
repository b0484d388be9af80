/* fuzz_table_name.c: names of tables that hold lists and other tables: the first line is a key, the rest the name. */
#include "lib/base/assert.h"
#include "lib/base/mem.h"
#include "tcp_table/table_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct question {
	struct table *table;
	struct bytes key;
};

TASK_FN static void ask(void *arg)
{
	const struct question *q = arg;
	struct buf value = { 0 }, err = { 0 };
	int r = table_get(q->table, q->key, &value, &err);
	ASSERT(r <= 1 && (r == 1 || value.n == 0) && (r < 0) == (err.n > 0));
	buf_fini(&value);
	buf_fini(&err);
	run_stop();
}

/* In a task, as everywhere: tables that are made of others may wait. */
static void ask_in_task(struct question *q)
{
	struct task_group g;
	task_group_init(&g);
	task_spawn(&g, "question", ask, (void *)q);
	run_loop();
}

/* Only what stands within braces is wanted, not the files of this machine. */
static bool names_file(struct bytes name)
{
	ptrdiff_t at;
	while ((at = bytes_search(name, BYTES("cidr:"))) >= 0) {
		name = bytes_skip(name, (size_t)at + strlen("cidr:"));
		if (!bytes_starts(name, BYTES("{")))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct table_ops *const kinds[] = {
		&table_inline, &table_static, &table_fail, &table_environ, &table_randmap, &table_unionmap, &table_pipemap,
		&table_cidr, NULL
	};
	static bool begun;
	struct bytes name = bytes_make(data, size), key = bytes_cut(&name, '\n');
	struct buf err = { 0 };
	struct table *t;

	if (!begun)
		ASSERT(run_init() == 0);
	begun = true;
	if (!name.p || names_file(name))
		return 0;
	if (table_open(kinds, name, NULL, "test", &t, &err) < 0) {
		ASSERT(err.n > 0);
	} else {
		ask_in_task(&(struct question){ t, key });
		table_close(&t);
	}
	buf_fini(&err);
	return 0;
}
