/* milter_options.c: the command line of gatepost milter-test, and what of it goes together. */
#include "mta/milter_options.h"

#include "lib/base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static const char usage[] =
    "usage: gatepost milter-test [option...] SOCKET\n"
    "       gatepost [-c FILE] milter-test [option...] NAME\n"
    "       gatepost milter-test [option...] --replay FILE [SOCKET]\n"
    "SOCKET is inet:HOST:PORT, inet:PORT@HOST, unix:/path or local:/path; NAME is a milter of gatepost.conf.\n"
    "  --from ADDRESS --to ADDRESS... --helo NAME --client IP[,NAME] --auth USER --tls PROTOCOL[,CIPHER[,BITS]]\n"
    "  --header 'NAME: VALUE'... --body TEXT | --eml FILE | --dialogue FILE\n"
    "  --compat full|postfix|sendmail --protocol 2..6 --timeout SECONDS --macros 'STAGE=NAME...'\n"
    "  --record FILE --output FILE --full\n";

/* One more at the end of a list that ends with NULL. */
static void list_add(const char ***list, unsigned *count, const char *value)
{
	*list = mem_array(*list, *count + 2, sizeof(**list));
	(*list)[(*count)++] = value;
	(*list)[*count] = NULL;
}

static int refuse(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "gatepost: --%s is %s, not \"%s\"\n", option, wanted, value);
	return EX_USAGE;
}

static int take_client(struct milter_test *t, const char *value)
{
	struct net_addr a;
	struct bytes name = bytes_of(value), ip = bytes_cut(&name, ',');
	if (net_addr_parse(ip, 0, &a) < 0)
		return refuse("client", value, "an IP address, or one with a name behind a comma");
	t->client = arena_str(&t->arena, ip);
	t->client_name = name.n ? arena_str(&t->arena, name) : "unknown";
	return EX_OK;
}

static int take_tls(struct milter_test *t, const char *value)
{
	struct bytes cipher = bytes_of(value), protocol = bytes_cut(&cipher, ','), bits = cipher;
	uint64_t n = 256;
	cipher = bytes_cut(&bits, ',');
	if (protocol.n == 0 || (bits.p && bytes_to_u64(bits, 10000, &n) < 0))
		return refuse("tls", value, "a protocol, its cipher and its bits, such as TLSv1.3,TLS_AES_256_GCM_SHA384,256");
	t->tls.protocol = arena_str(&t->arena, protocol);
	t->tls.cipher = cipher.n ? arena_str(&t->arena, cipher) : "TLS_AES_256_GCM_SHA384";
	t->tls.cipher_bits = (int)n;
	return EX_OK;
}

static int take_header(struct milter_test *t, const char *value)
{
	const char *colon = strchr(value, ':');
	if (!colon || colon == value)
		return refuse("header", value, "a field such as \"Subject: text\"");
	list_add(&t->headers, &t->header_count, value);
	return EX_OK;
}

static int take_compat(struct milter_test *t, const char *value)
{
	t->params_given = true;
	if (milter_compat_parse(bytes_of(value), &t->params.compat) < 0)
		return refuse("compat", value, "full, postfix or sendmail");
	return EX_OK;
}

static int take_protocol(struct milter_test *t, const char *value)
{
	uint64_t n;
	t->params_given = true;
	if (bytes_to_u64(bytes_of(value), 6, &n) < 0 || n < 2)
		return refuse("protocol", value, "a number from 2 to 6");
	t->params.protocol = (unsigned)n;
	return EX_OK;
}

static int take_timeout(struct milter_test *t, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);
	if (*end || end == value || !(seconds >= 0.001 && seconds <= 86400))
		return refuse("timeout", value, "a number of seconds");
	t->timeout = (int64_t)(seconds * 1e9);
	t->params.connect_timeout = t->params.command_timeout = t->params.content_timeout = t->timeout;
	return EX_OK;
}

static int take_macros(struct milter_test *t, const char *value)
{
	enum milter_macro_stage stage;
	struct bytes names = bytes_of(value), word = bytes_cut(&names, '=');
	t->params_given = true;
	if (!names.p || milter_macro_stage_parse(word, &stage) < 0)
		return refuse("macros", value, "STAGE=NAMES, and STAGE one of connect helo mail rcpt data eoh eom unknown");
	t->params.macros[stage] = names.p;
	return EX_OK;
}

static int take_to(struct milter_test *t, const char *value)
{
	list_add(&t->to, &t->to_count, value);
	return EX_OK;
}

static int take_full(struct milter_test *t, const char *value)
{
	(void)value;
	t->full = true;
	return EX_OK;
}

static int take_help(struct milter_test *t, const char *value)
{
	(void)t, (void)value;
	fputs(usage, stdout);
	return -1;
}

/* An option is a string kept as it is, or has a function. */
static const struct {
	const char *name;
	size_t string;                  /* offset in struct milter_test */
	int (*take)(struct milter_test *t, const char *value);
	bool bare;                      /* it has no value */
} known[] = {
	{ "from", offsetof(struct milter_test, from), NULL, false },
	{ "to", 0, take_to, false },
	{ "helo", offsetof(struct milter_test, helo), NULL, false },
	{ "client", 0, take_client, false },
	{ "auth", offsetof(struct milter_test, auth), NULL, false },
	{ "tls", 0, take_tls, false },
	{ "header", 0, take_header, false },
	{ "body", offsetof(struct milter_test, body), NULL, false },
	{ "eml", offsetof(struct milter_test, eml), NULL, false },
	{ "dialogue", offsetof(struct milter_test, dialogue), NULL, false },
	{ "compat", 0, take_compat, false },
	{ "protocol", 0, take_protocol, false },
	{ "timeout", 0, take_timeout, false },
	{ "macros", 0, take_macros, false },
	{ "record", offsetof(struct milter_test, record), NULL, false },
	{ "replay", offsetof(struct milter_test, replay), NULL, false },
	{ "output", offsetof(struct milter_test, output), NULL, false },
	{ "full", 0, take_full, true },
	{ "help", 0, take_help, true },
};

static int take_option(struct milter_test *t, unsigned index, const char *value)
{
	if (known[index].take)
		return known[index].take(t, value);
	*(const char **)((char *)t + known[index].string) = value;
	return EX_OK;
}

static int conflict(const char *sentence)
{
	fprintf(stderr, "gatepost: %s\n", sentence);
	return EX_USAGE;
}

bool milter_options_socket(const char *target)
{
	return strpbrk(target, ":/") != NULL;
}

/* A session of one message. */
static void default_envelope(struct milter_test *t)
{
	if (!t->from)
		t->from = "sender@example.org";
	if (!t->to)
		list_add(&t->to, &t->to_count, "recipient@example.org");
	if (!t->helo)
		t->helo = "client.example.org";
}

static int check_options(const struct milter_test *t)
{
	bool message = t->header_count || t->body;
	if (message && (t->eml || t->dialogue))
		return conflict("--header and --body are of a message that --eml or --dialogue replaces");
	if (t->dialogue && (t->eml || t->from || t->to_count || t->helo))
		return conflict("--dialogue says all that the client says: --eml, --from, --to and --helo have no place beside it");
	if (t->replay && (message || t->eml || t->dialogue || t->from || t->to_count || t->helo || t->client || t->auth || t->tls.protocol ||
			     t->output || t->params_given))
		return conflict("--replay says all that is said: of the options only --timeout, --record and --full go with it");
	if (t->replay)
		return !t->target || milter_options_socket(t->target) ? EX_OK : conflict("--replay needs the milter's socket, not a name");
	if (!t->target)
		return conflict("which milter?  A socket such as unix:/run/milter.sock, or the name of a milter of gatepost.conf");
	if ((t->params_given || t->timeout) && !milter_options_socket(t->target))
		return conflict("--compat, --protocol, --timeout and --macros are told by gatepost.conf when the milter is named");
	return EX_OK;
}

static int read_words(struct milter_test *t, int argc, char **argv)
{
	struct option options[COUNT_OF(known) + 1] = { 0 };
	int index, letter;
	for (unsigned i = 0; i < COUNT_OF(known); i++)
		options[i] = (struct option){ .name = known[i].name, .has_arg = known[i].bare ? no_argument : required_argument };
	optind = 0;
	while ((letter = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (letter == '?') {
			fputs(usage, stderr);
			return EX_USAGE;
		}
		int code = take_option(t, (unsigned)index, optarg);
		if (code)
			return code;
	}
	if (argc - optind > 1)
		return conflict("only one milter at a time");
	t->target = argv[optind];
	return EX_OK;
}

int milter_options_read(struct milter_test *t, const struct command_line *l)
{
	char **argv = l->rest - 1;      /* the command is its own program name */
	int argc = 1;
	while (argv[argc])
		argc++;
	int code = read_words(t, argc, argv);
	if (!code)
		code = check_options(t);
	if (!code)
		default_envelope(t);
	return code;
}

void milter_options_fini(struct milter_test *t)
{
	mem_free(t->to);
	mem_free(t->headers);
	arena_fini(&t->arena);
}
