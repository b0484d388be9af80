/*
 * ext_tests.c: the tests of RFC 5228 section 5, but for envelope.
 */
#include "sieve/sieve_extensions.h"

#include <errno.h>

/* ---- logic ---- */

TASK_FN static int test_true(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	(void)r;
	(void)n;
	*ret = true;
	return 0;
}

TASK_FN static int test_false(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	(void)r;
	(void)n;
	*ret = false;
	return 0;
}

TASK_FN static int test_not(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	bool holds = false;
	int result = sieve_test(r, n->tests, &holds);
	*ret = !holds;
	return result;
}

/* Until one of them gives END; the rest is not asked (section 5.2, 5.3). */
TASK_FN static int test_until(struct sieve_run *r, const struct sieve_node *n, bool end, bool *ret)
{
	*ret = !end;
	for (const struct sieve_node *t = n->tests; t && *ret != end; t = t->next) {
		int result = sieve_test(r, t, ret);
		if (result)
			return result;
	}
	return 0;
}

TASK_FN static int test_allof(struct sieve_run *r, const struct sieve_node *n, bool *ret) { return test_until(r, n, false, ret); }
TASK_FN static int test_anyof(struct sieve_run *r, const struct sieve_node *n, bool *ret) { return test_until(r, n, true, ret); }

/* ---- header fields ---- */

/* Calls EACH for every field with one of the names in LIST, until it returns other than 0. */
TASK_FN static int each_field(struct sieve_matching *m, const struct sieve_value *list, int (*each)(struct sieve_matching *, struct mail_header *))
{
	int found = 0;
	for (unsigned i = 0; i < list->count && !found; i++) {
		struct bytes name;
		struct mail_header *h = NULL;
		found = sieve_string_get(m->run, m->node, &list->strings[i], &name);
		while (!found && sieve_header_next(m->run, name, &h)) {
			found = sieve_step(m->run, m->node, 1);
			if (!found)
				found = each(m, h);
		}
	}
	return found;
}

TASK_FN static int test_fields(struct sieve_run *r, const struct sieve_node *n, int (*each)(struct sieve_matching *, struct mail_header *), bool *ret)
{
	struct sieve_matching m;
	int found = sieve_matching_begin(&m, r, n, &n->args[1]);
	if (!found)
		found = each_field(&m, &n->args[0], each);
	found = sieve_matching_end(&m, found);
	*ret = found > 0;
	return found < 0 ? found : 0;
}

TASK_FN static int header_field(struct sieve_matching *m, struct mail_header *h)
{
	struct bytes text;
	int r = sieve_header_text(m->run, h, &text);
	return r ? r : sieve_matching_value(m, text);
}

TASK_FN static int test_header(struct sieve_run *r, const struct sieve_node *n, bool *ret) { return test_fields(r, n, header_field, ret); }

TASK_FN static int address_field(struct sieve_matching *m, struct mail_header *h)
{
	struct bytes rest = mail_header_value(h);
	struct sieve_mailbox box;
	int found = 0;
	while (!found && sieve_mailbox_next(&rest, &m->run->scratch, &box)) {
		found = sieve_step(m->run, m->node, 1);
		if (!found)
			found = sieve_matching_value(m, m->node->part->of(&box));
	}
	return found;
}

TASK_FN static int test_address(struct sieve_run *r, const struct sieve_node *n, bool *ret) { return test_fields(r, n, address_field, ret); }

/* Section 5.1: "Implementations MUST restrict the address test to headers that contain addresses". */
static int check_address(struct sieve_compiler *c, struct sieve_node *n)
{
	static const char *const fields[] = {
		"from", "to", "cc", "bcc", "sender", "reply-to", "resent-from", "resent-to", "resent-cc", "resent-bcc", "resent-sender",
		"resent-reply-to", "return-path", "delivered-to", "x-original-to", "original-to", "errors-to", "disposition-notification-to",
		"mail-followup-to", "mail-reply-to", "envelope-to", "apparently-to", "return-receipt-to", "for-approval", "for-handling",
		"for-comment", "x-forwarded-to", "x-envelope-from", "x-envelope-to", "x-sender", "approved-by", NULL,
	};
	for (unsigned i = 0; i < n->args[0].count; i++) {
		const struct sieve_string *s = &n->args[0].strings[i];
		unsigned k = 0;
		while (fields[k] && !bytes_case_eq(s->text, bytes_of(fields[k])))
			k++;
		if (sieve_string_constant(s) && !fields[k])
			return sieve_complain(c, s->pos, "\"%.*s\" is no header field that holds addresses", BYTES_ARG(bytes_first(s->text, 60)));
	}
	return 0;
}

TASK_FN static int test_exists(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	*ret = true;
	for (unsigned i = 0; i < n->args[0].count && *ret; i++) {
		struct bytes name;
		struct mail_header *h = NULL;
		int result = sieve_string_get(r, n, &n->args[0].strings[i], &name);
		if (result)
			return result;
		*ret = sieve_header_next(r, name, &h);
	}
	return 0;
}

/* ---- size ---- */

static const struct sieve_tag size_tags[] = {
	{ .name = ":over", .type = SIEVE_NUMBER, .group = "size" },
	{ .name = ":under", .type = SIEVE_NUMBER, .group = "size" },
	{ 0 },
};

static int check_size(struct sieve_compiler *c, struct sieve_node *n)
{
	return n->tag_count ? 0 : sieve_complain(c, n->pos, "\"size\" lacks :over or :under and a number");
}

TASK_FN static int test_size(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	uint64_t size = mail_received_size(sieve_mail(r)), limit = n->tags[0].value.number;
	/* Section 5.9: "the size ... exactly equal to the limit ... neither test is true". */
	*ret = n->tags[0].tag == &size_tags[0] ? size > limit : size < limit;
	return 0;
}

static const struct sieve_param fields_and_keys[] = { { "header names", SIEVE_STRINGS, 0 }, { "keys", SIEVE_STRINGS, SIEVE_PARAM_KEYS }, { 0 } };

static const struct sieve_command tests[] = {
	{ .name = "true", .test = test_true },
	{ .name = "false", .test = test_false },
	{ .name = "not", .takes = SIEVE_TAKES_TEST, .test = test_not },
	{ .name = "allof", .takes = SIEVE_TAKES_TESTS, .test = test_allof },
	{ .name = "anyof", .takes = SIEVE_TAKES_TESTS, .test = test_anyof },
	{ .name = "header", .takes = SIEVE_TAKES_MATCH, .needs = SIEVE_HAS_MESSAGE, .test = test_header, .params = fields_and_keys },
	{ .name = "address", .takes = SIEVE_TAKES_MATCH | SIEVE_TAKES_PART, .needs = SIEVE_HAS_MESSAGE, .check = check_address,
	    .test = test_address, .params = fields_and_keys },
	{ .name = "exists", .needs = SIEVE_HAS_MESSAGE, .test = test_exists,
	    .params = (const struct sieve_param[]){ { "header names", SIEVE_STRINGS, 0 }, { 0 } } },
	{ .name = "size", .needs = SIEVE_HAS_MESSAGE, .check = check_size, .test = test_size, .tags = size_tags },
	{ 0 },
};

static struct bytes part_all(const struct sieve_mailbox *m) { return m->all; }
static struct bytes part_local(const struct sieve_mailbox *m) { return m->local; }
static struct bytes part_domain(const struct sieve_mailbox *m) { return m->domain; }

const struct sieve_part sieve_parts[] = { { ":all", part_all }, { ":localpart", part_local }, { ":domain", part_domain }, { 0 } };

const struct sieve_extension ext_tests = { .tests = tests, .parts = sieve_parts };
