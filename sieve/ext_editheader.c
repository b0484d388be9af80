/*
 * ext_editheader.c: adds and deletes header fields (RFC 5293).  Later tests of the script see the change.
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

/* RFC 5322 section 3.6.8: field-name = 1*ftext, printable but ":". */
static bool is_field_name(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] <= ' ' || b.p[i] > '~' || b.p[i] == ':')
			return false;
	return b.n;
}

static int check_name(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_string *name = n->args[0].strings;
	if (sieve_string_constant(name) && !is_field_name(name->text))
		return sieve_complain(c, name->pos, "\"%.*s\" cannot be the name of a header field", BYTES_ARG(bytes_first(name->text, 60)));
	return 0;
}

static int get_name(struct sieve_run *r, const struct sieve_node *n, struct bytes *ret)
{
	int result = sieve_string_get(r, n, n->args[0].strings, ret);
	if (!result && !is_field_name(*ret))
		result = sieve_fail(r, n, -EINVAL, "\"%.*s\" cannot be the name of a header field", BYTES_ARG(bytes_first(*ret, 60)));
	return result;
}

/* ---- addheader ---- */

static const struct sieve_tag add_tags[] = { { .name = ":last" }, { 0 } };

TASK_FN static int run_addheader(struct sieve_run *r, const struct sieve_node *n)
{
	struct bytes name, value;
	int result = get_name(r, n, &name);
	if (!result)
		result = sieve_string_get(r, n, n->args[1].strings, &value);
	if (result)
		return result;
	struct buf folded = { 0 };
	sieve_words_encode(bytes_trim(value), name.n + 2, &folded);
	if (sieve_tag_find(n, &add_tags[0]))
		result = mail_header_add(sieve_mail(r), name, buf_bytes(&folded), false);
	else
		result = mail_header_insert(sieve_mail(r), 1, name, buf_bytes(&folded), false);
	buf_fini(&folded);
	return result ? sieve_fail(r, n, result, "the header field \"%.*s\" could not be added", BYTES_ARG(bytes_first(name, 60))) : 0;
}

/* ---- deleteheader ---- */

static const struct sieve_tag delete_tags[] = { { .name = ":index", .type = SIEVE_NUMBER }, { .name = ":last" }, { 0 } };

static int check_delete(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_value *index = sieve_tag_find(n, &delete_tags[0]), *last = sieve_tag_find(n, &delete_tags[1]);
	if (last && !index)     /* section 5: ":last" is a part of ":index" */
		return sieve_complain(c, last->pos, "\":last\" makes no sense without \":index\"");
	if (index && !index->number)
		return sieve_complain(c, index->pos, "\":index 0\" names no header field: the first is 1");
	return check_name(c, n);
}

/* Section 6: Received and Auto-Submitted protect against loops. */
static bool is_protected(struct bytes name)
{
	return bytes_case_eq(name, BYTES("Received")) || bytes_case_eq(name, BYTES("Auto-Submitted"));
}

/* Does the field have one of the values?  1, 0 or -errno. */
TASK_FN static int matches(struct sieve_run *r, const struct sieve_node *n, const struct mail_header *h)
{
	struct sieve_matching m;
	struct bytes text;
	int found = sieve_header_text(r, h, &text);
	if (n->args[1].type == SIEVE_NONE || found)
		return found ? found : 1;
	found = sieve_matching_begin(&m, r, n, &n->args[1]);
	if (!found)
		found = sieve_matching_value(&m, text);
	return sieve_matching_end(&m, found);
}

/* The one field that :index [:last] names. */
TASK_FN static int delete_one(struct sieve_run *r, const struct sieve_node *n, struct bytes name, uint64_t index)
{
	int nth = index > 1 << 20 ? 1 << 20 : (int)index;
	struct mail_header *h = mail_header_find(sieve_mail(r), name, sieve_tag_find(n, &delete_tags[1]) ? -nth : nth);
	int found = h ? matches(r, n, h) : 0;
	if (found > 0)
		mail_header_remove(sieve_mail(r), h);
	return found < 0 ? found : 0;
}

TASK_FN static int delete_all(struct sieve_run *r, const struct sieve_node *n, struct bytes name)
{
	struct mail_header *h = NULL, *before = NULL;
	while (sieve_header_next(r, name, &h)) {
		int found = sieve_step(r, n, 1);
		if (!found)
			found = matches(r, n, h);
		if (found < 0)
			return found;
		if (found) {
			mail_header_remove(sieve_mail(r), h);
			h = before;
		}
		before = h;
	}
	return 0;
}

TASK_FN static int run_deleteheader(struct sieve_run *r, const struct sieve_node *n)
{
	struct bytes name;
	int result = get_name(r, n, &name);
	if (result || is_protected(name))
		return result;
	const struct sieve_value *index = sieve_tag_find(n, &delete_tags[0]);
	return index ? delete_one(r, n, name, index->number) : delete_all(r, n, name);
}

const struct sieve_extension ext_editheader = {
	.name = "editheader",
	.commands = (const struct sieve_command[]){
	    { .name = "addheader", .needs = SIEVE_HAS_EDIT, .tags = add_tags, .check = check_name, .run = run_addheader,
		.params = (const struct sieve_param[]){ { "field name", SIEVE_STRING, 0 }, { "value", SIEVE_STRING, 0 }, { 0 } } },
	    { .name = "deleteheader", .takes = SIEVE_TAKES_MATCH, .needs = SIEVE_HAS_EDIT, .tags = delete_tags, .check = check_delete,
		.run = run_deleteheader,
		.params = (const struct sieve_param[]){ { "field name", SIEVE_STRING, 0 },
		    { "values", SIEVE_STRINGS, SIEVE_PARAM_OPTIONAL | SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};
