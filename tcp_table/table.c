/*
 * table.c: opening a table by its Postfix name, and asking it.
 */
#include "tcp_table/table.h"

#include "lib/base/mem.h"
#include "tcp_table/table_fold.h"
#include "tcp_table/table_map.h"

#include <errno.h>

/* Each asks the next on the stack of one task. */
enum { TABLE_DEPTH_MAX = 8 };

struct table {
	const struct table_ops *ops;
	void *state;
	char *name;             /* as in gatepost.conf */
	char *delimiters;
	char *source;           /* of a file that is built; NULL */
	bool fold_key;
};

static const struct table_ops *table_kind(const struct table_ops *const *kinds, struct bytes type)
{
	for (; *kinds; kinds++)
		if (bytes_eq(bytes_of((*kinds)->type), type))
			return *kinds;
	return NULL;
}

static int table_unknown(const struct table_ops *const *kinds, struct bytes type, struct buf *err)
{
	buf_printf(err, "no table type \"%.*s\"; there are", BYTES_ARG(type));
	for (; *kinds; kinds++)
		buf_printf(err, " %s%s", (*kinds)->type, kinds[1] ? "," : "");
	return -EINVAL;
}

/* Reads MAP: its kind, and what is for the kind to read. */
static int table_parse(struct bytes map, const struct table_options *o, const struct table_ops **ret, struct bytes *ret_spec, struct buf *err)
{
	struct bytes spec = map;
	if (bytes_starts(spec, BYTES("proxy:")))
		spec = bytes_skip(spec, strlen("proxy:"));
	struct bytes type = bytes_cut(&spec, ':');
	if (spec.n == 0) {
		buf_printf(err, "\"%.*s\" is no table: it needs a type and a name, as in \"hash:%.*s\"", BYTES_ARG(map),
			   BYTES_ARG(bytes_starts(map, BYTES("/")) ? map : BYTES("/etc/aliases")));
		return -EINVAL;
	}
	*ret = table_kind(o->kinds, type);
	*ret_spec = spec;
	return *ret ? 0 : table_unknown(o->kinds, type, err);
}

/* A relative file is one of the folder.  Within braces is what could stand in the file. */
static struct bytes table_resolve(const struct table_ops *ops, struct bytes spec, const struct table_options *o, struct buf *path)
{
	if (!ops->names_file || !o->folder || bytes_starts(spec, BYTES("/")) || bytes_starts(spec, BYTES("{")))
		return spec;
	buf_printf(path, "%s/%.*s", o->folder, BYTES_ARG(spec));
	return buf_bytes(path);
}

static int table_open_kind(const struct table_ops *ops, struct bytes spec, const struct table_options *o, struct table **ret, struct buf *err)
{
	void *state;
	int r = ops->open(spec, o, &state, err);
	if (r < 0)
		return r;
	struct table *t = NEW(struct table);
	*t = (struct table){
		.ops = ops, .state = state, .delimiters = mem_strdup(o->delimiters ? o->delimiters : "+"),
		.source = ops->builder ? bytes_dup(spec) : NULL, .fold_key = ops->fold_key && !o->keep_case
	};
	*ret = t;
	return 0;
}

int table_open(const struct table_ops *const *kinds, struct bytes map, const struct table_options *o, const char *name,
    struct table **ret, struct buf *err)
{
	struct table_options with = o ? *o : (struct table_options){ 0 };
	const struct table_ops *ops;
	struct bytes spec;

	with.kinds = kinds;
	int r = table_parse(map, &with, &ops, &spec, err);
	if (r < 0)
		return r;
	if (++with.depth > TABLE_DEPTH_MAX) {
		buf_printf(err, "more than %d tables within each other", TABLE_DEPTH_MAX);
		return -EINVAL;
	}
	struct buf path = { 0 };
	r = table_open_kind(ops, table_resolve(ops, spec, &with, &path), &with, ret, err);
	buf_fini(&path);
	if (r == 0)
		(*ret)->name = mem_strdup(name);
	return r;
}

void table_close(struct table **tp)
{
	struct table *t = *tp;
	if (!t)
		return;
	t->ops->close(t->state);
	mem_free(t->name);
	mem_free(t->source);
	mem_free(t->delimiters);
	mem_free(t);
	*tp = NULL;
}

const char *table_name(const struct table *t)
{
	return t->name;
}

const char *table_source(const struct table *t)
{
	return t->source;
}

bool table_whole(const struct table *t)
{
	return t->ops->is_whole ? t->ops->is_whole(t->state) : t->ops->whole_key;
}

struct table_job {
	const struct table *table;
	struct bytes key;
	struct buf *ret, *err;
};

static int table_job_run(void *arg)
{
	struct table_job *job = arg;
	return job->table->ops->get(job->table->state, job->key, job->ret, job->err);
}

TASK_FN static int table_get_folded(struct table *t, struct bytes key, struct buf *ret, struct buf *err)
{
	if (t->ops->ask)
		return t->ops->ask(t->state, key, ret, err);
	if (!t->ops->blocks)
		return t->ops->get(t->state, key, ret, err);
	return task_offload(table_job_run, &(struct table_job){ t, key, ret, err });
}

TASK_FN int table_get(struct table *t, struct bytes key, struct buf *ret, struct buf *err)
{
	struct buf folded = { 0 };

	if (key.n == 0)
		return 0;
	/* Keys are C strings in Postfix and in every file it makes. */
	if (bytes_find(key, '\0') >= 0) {
		buf_add_str(err, "the key holds NUL");
		return -EINVAL;
	}
	if (t->fold_key) {
		table_fold(key, &folded);
		key = buf_bytes(&folded);
	}
	int r = table_get_folded(t, key, ret, err);
	buf_fini(&folded);
	return r;
}

TASK_FN int table_find(struct table *t, enum table_use use, struct bytes key, struct buf *ret, struct buf *err)
{
	struct table_keys keys;
	struct bytes next = { NULL, 0 };
	struct buf value = { 0 };
	bool map = use & TABLE_MAP;
	int r = 0;

	if (use == TABLE_WHOLE)
		return table_get(t, key, ret, err);
	table_keys_init(&keys, use & ~TABLE_MAP, key, t->delimiters, table_whole(t));
	while (r == 0 && table_keys_next(&keys, &next))
		r = table_get(t, next, map ? &value : ret, err);
	if (r > 0 && map)
		table_map_complete(&keys, buf_bytes(&value), ret);
	buf_fini(&value);
	table_keys_fini(&keys);
	return r;
}

int table_each(struct table *t, table_entry_fn *fn, void *arg, struct buf *err)
{
	if (t->ops->each)
		return t->ops->each(t->state, fn, arg, err);
	buf_printf(err, "a table of type %s cannot be listed", t->ops->type);
	return -EOPNOTSUPP;
}

int table_each_string(const struct strmap *entries, table_entry_fn *fn, void *arg)
{
	const struct strmap_entry *e;
	size_t i = 0;
	int r = 0;

	while (r == 0 && (e = strmap_next(entries, &i)))
		r = fn(arg, bytes_make(e->key, e->key_len), bytes_of(e->value));
	return r;
}
