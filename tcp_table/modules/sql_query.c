/*
 * sql_query.c: mysql_table(5), "OBSOLETE QUERY INTERFACE"; pgsql_table(5), "OBSOLETE QUERY INTERFACES".
 */
#include "tcp_table/modules/sql_query.h"

#include "lib/base/mem.h"

/* SELECT [select_function]('%s'), of pgsql alone. */
static char *sql_query_function(struct table_config *c)
{
	const char *function = table_config_str(c, "select_function", NULL);
	return function && *function ? mem_printf("SELECT %s('%%s')", function) : NULL;
}

static char *sql_query_parts(struct table_config *c)
{
	/* Who has none of them has forgotten the query. */
	if (!table_config_str(c, "table", NULL) && !table_config_str(c, "select_field", NULL))
		return mem_strdup(table_config_need(c, "query"));
	const char *more = table_config_str(c, "additional_conditions", "");
	const char *field = table_config_need(c, "select_field"), *table = table_config_need(c, "table"),
		   *where = table_config_need(c, "where_field");
	return mem_printf("SELECT %s FROM %s WHERE %s='%%s' %s", field, table, where, more);
}

/* "If the query parameter is defined, the legacy parameters described here are ignored." */
static void sql_query_ignore(struct table_config *c, const char *why)
{
	static const char *const parts[] = { "select_field", "table", "where_field", "additional_conditions" };
	for (unsigned i = 0; i < COUNT_OF(parts); i++)
		table_config_ignore(c, parts[i], why);
}

int sql_query_read(struct table_config *c, struct table_driver_plan *plan, bool functions, char **ret, struct buf *err)
{
	const char *query = table_config_str(c, "query", "");
	char *text;

	if (*query) {
		text = mem_strdup(query);
		sql_query_ignore(c, "there is a query");
		if (functions)
			table_config_ignore(c, "select_function", "there is a query");
	} else if (functions && (text = sql_query_function(c))) {
		sql_query_ignore(c, "there is a select_function");
	} else {
		text = sql_query_parts(c);
	}
	int r = table_query_learn(&plan->query, text, false, err);
	if (r < 0)
		mem_free(text);
	else
		*ret = text;
	return r;
}
