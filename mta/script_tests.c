/*
 * script_tests.c: who is connected, and how: client, authenticated, tls.
 */
#include "mta/script_private.h"

#include "lib/base/mem.h"

#include <errno.h>

/* ---- client ---- */

static int check_client(struct sieve_compiler *c, struct sieve_node *n)
{
	const struct sieve_value *patterns = &n->args[0];
	struct net_cidr *cidrs = ARENA_ARRAY(sieve_compiler_arena(c), struct net_cidr, patterns->count);
	int result = 0;
	for (unsigned i = 0; i < patterns->count; i++) {
		struct buf why = { 0 };
		if (net_cidr_parse(patterns->strings[i].text, &cidrs[i], &why) < 0)
			result = sieve_complain(c, patterns->strings[i].pos, "\"%.*s\" is no network: %s",
			    BYTES_ARG(bytes_first(patterns->strings[i].text, 60)), buf_str(&why));
		buf_fini(&why);
	}
	n->data = cidrs;
	return result;
}

TASK_FN static int test_client(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	const struct net_cidr *cidrs = n->data;
	*ret = false;
	for (unsigned i = 0; i < n->args[0].count && !*ret; i++)
		*ret = net_cidr_match(&cidrs[i], &script_of(r)->io->session->client);
	return 0;
}

/* ---- authenticated ---- */

TASK_FN static int match_one(struct sieve_run *r, const struct sieve_node *n, struct bytes value, const struct sieve_value *keys, bool *ret)
{
	struct sieve_matching m;
	int found = sieve_matching_begin(&m, r, n, keys);
	if (!found)
		found = sieve_matching_value(&m, value);
	found = sieve_matching_end(&m, found);
	*ret = found > 0;
	return found < 0 ? found : 0;
}

TASK_FN static int test_authenticated(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	const struct gate_session *session = script_of(r)->io->session;
	*ret = session->auth_mechanism;
	if (!*ret || n->args[0].type == SIEVE_NONE)
		return 0;
	return match_one(r, n, bytes_of(session->auth_user), &n->args[0], ret);
}

/* ---- tls ---- */

struct tls_field {
	const char *name;
	const char *(*get)(const struct tls_info *t);
};

static const char *tls_version(const struct tls_info *t) { return t->protocol; }
static const char *tls_cipher(const struct tls_info *t) { return t->cipher; }
static const char *tls_server_name(const struct tls_info *t) { return t->server_name; }
static const char *tls_subject(const struct tls_info *t) { return t->peer_subject; }
static const char *tls_issuer(const struct tls_info *t) { return t->peer_issuer; }
static const char *tls_fingerprint(const struct tls_info *t) { return t->peer_fingerprint; }
static const char *tls_key_fingerprint(const struct tls_info *t) { return t->peer_key_fingerprint; }
static const char *tls_verified(const struct tls_info *t) { return t->peer_verified ? "yes" : "no"; }

static const struct tls_field tls_fields[] = {
	{ "version", tls_version }, { "cipher", tls_cipher }, { "server_name", tls_server_name }, { "subject", tls_subject },
	{ "issuer", tls_issuer }, { "fingerprint", tls_fingerprint }, { "key_fingerprint", tls_key_fingerprint }, { "verified", tls_verified },
};

static const char *next_field(void *arg, unsigned i)
{
	(void)arg;
	return i < COUNT_OF(tls_fields) ? tls_fields[i].name : NULL;
}

static int check_tls(struct sieve_compiler *c, struct sieve_node *n)
{
	if (n->args[0].type == SIEVE_NONE)
		return 0;
	const struct sieve_string *name = n->args[0].strings;
	if (n->args[1].type == SIEVE_NONE)
		return sieve_complain(c, name->pos, "\"tls\" lacks the values to compare \"%.*s\" with", BYTES_ARG(bytes_first(name->text, 60)));
	for (unsigned i = 0; i < COUNT_OF(tls_fields); i++) {
		if (bytes_case_eq(name->text, bytes_of(tls_fields[i].name))) {
			n->data = &tls_fields[i];
			return 0;
		}
	}
	struct buf hint = { 0 };
	sieve_suggest(name->text, next_field, NULL, &hint);
	int r = sieve_complain(c, name->pos, "\"tls\" knows no \"%.*s\"%s", BYTES_ARG(bytes_first(name->text, 60)), buf_str(&hint));
	buf_fini(&hint);
	return r;
}

TASK_FN static int test_tls(struct sieve_run *r, const struct sieve_node *n, bool *ret)
{
	const struct tls_info *tls = script_of(r)->io->session->tls;
	const struct tls_field *field = n->data;
	*ret = tls;
	return tls && field ? match_one(r, n, bytes_of(field->get(tls)), &n->args[1], ret) : 0;
}

const struct sieve_extension script_ext_tests = {
	.name = SCRIPT_EXTENSION,
	.tests = (const struct sieve_command[]){
	    { .name = "client", .check = check_client, .test = test_client,
		.params = (const struct sieve_param[]){ { "networks", SIEVE_STRINGS, SIEVE_PARAM_CONSTANT }, { 0 } } },
	    { .name = "authenticated", .takes = SIEVE_TAKES_MATCH, .test = test_authenticated,
		.params = (const struct sieve_param[]){ { "names", SIEVE_STRINGS, SIEVE_PARAM_OPTIONAL | SIEVE_PARAM_KEYS }, { 0 } } },
	    { .name = "tls", .takes = SIEVE_TAKES_MATCH, .check = check_tls, .test = test_tls,
		.params = (const struct sieve_param[]){ { "what", SIEVE_STRING, SIEVE_PARAM_OPTIONAL | SIEVE_PARAM_CONSTANT },
		    { "values", SIEVE_STRINGS, SIEVE_PARAM_OPTIONAL | SIEVE_PARAM_KEYS }, { 0 } } },
	    { 0 } },
};
