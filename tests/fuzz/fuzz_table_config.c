/* fuzz_table_config.c: a file that describes a table (the lines `query` and `result_format` are its templates), and behind a NUL a key and a value. */
#include "lib/base/assert.h"
#include "tcp_table/table_config.h"
#include "tcp_table/table_query.h"

#include <errno.h>
#include <limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything a key brings along is marked, so that what is not is the template's own. */
static int mark(void *arg, struct bytes value, struct buf *ret)
{
	(void)arg;
	for (size_t i = 0; i < value.n; i++)
		buf_add_str(ret, value.p[i] == '\'' ? "''" : (char[]){ value.p[i], '\0' });
	return 0;
}

static size_t quotes(struct bytes b)
{
	size_t n = 0;
	for (size_t i = 0; i < b.n; i++)
		n += b.p[i] == '\'';
	return n;
}

static void ask(struct table_config *c, struct bytes key, struct bytes value)
{
	const char *query = table_config_str(c, "query", "'%s'"), *format = table_config_str(c, "result_format", "%s");
	struct table_query q = { 0 };
	struct buf text = { 0 }, err = { 0 }, got = { 0 };

	if (table_query_learn(&q, query, false, &err) == 0 && table_query_learn(&q, format, true, &err) == 0 && table_query_fits(&q, key)) {
		ASSERT(table_query_ask(query, key, &(struct table_quote){ mark, NULL }, &text) == 0);
		ASSERT((quotes(buf_bytes(&text)) - quotes(bytes_of(query))) % 2 == 0);
		struct table_values v = { .query = &q, .template = format, .key = key, .limit = 2, .most = 100, .ret = &got };
		for (int i = 0; i < 3; i++) {
			int r = table_values_add(&v, value);
			ASSERT(r == 0 || r == -E2BIG || r == -EMSGSIZE);
		}
	}
	buf_fini(&text);
	buf_fini(&err);
	buf_fini(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes value = bytes_make(data, size), file = bytes_cut(&value, '\0'), key = bytes_cut(&value, '\0');
	struct table_config c;
	struct buf err = { 0 };

	if (size > 4096)
		return 0;
	if (table_config_parse(file, "file", &c, &err) == 0) {
		ask(&c, key, value);
		table_config_int(&c, "expansion_limit", 0, 0, INT_MAX);
		table_config_bool(&c, "bind", true);
		table_config_ignore(&c, "cache", "there is none");
		int r = table_config_done(&c, &err);
		ASSERT((r < 0) == (err.n > 0));
		table_config_fini(&c);
	} else {
		ASSERT(err.n > 0);
	}
	buf_fini(&err);
	return 0;
}
