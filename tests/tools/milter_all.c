/*
 * milter_all.c: a filter on the real libmilter that calls whatever it is told to.
 *
 *	milter_all CONTROL
 *
 * It knows nothing by itself.  Each callback is told to the unix socket CONTROL (tests/lib/gp/filters.py listens there), and the answer is a
 * function of libmilter to call, with its arguments; what it returned is told too, and so on until the answer is what the callback shall
 * return.  Each session has a connection of its own, kept where libmilter keeps such things (smfi_setpriv).  The first connection is main()'s.
 *
 *	we	HEADER, Subject, hello
 *	they	smfi_getsymval, i
 *	we	4f2a91.3c.1		(no field: NULL)
 *	they	return, continue
 *
 * A message is a number of fields, each a length and that many bytes; numbers have 4 bytes, most significant first.
 */
#include <arpa/inet.h>
#include <libmilter/mfapi.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIELDS_MAX = 40, FIELD_MAX = 64 * 1024 * 1024 };

struct message {
	uint32_t count;
	char *field[FIELDS_MAX];        /* NUL behind each; NULL from COUNT on */
	uint32_t length[FIELDS_MAX];
};

static const char *control_path;

/* ---- the control connection ---- */

static bool get(int fd, void *to, size_t n)
{
	for (char *p = to; n > 0;) {
		ssize_t got = read(fd, p, n);
		if (got <= 0)
			return false;
		p += got;
		n -= got;
	}
	return true;
}

static bool get_number(int fd, uint32_t *ret)
{
	if (!get(fd, ret, sizeof(*ret)))
		return false;
	*ret = ntohl(*ret);
	return true;
}

static void message_fini(struct message *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		free(m->field[i]);
	*m = (struct message){ 0 };
}

static bool message_get(int fd, struct message *m)
{
	uint32_t count;
	*m = (struct message){ 0 };
	if (!get_number(fd, &count) || count > FIELDS_MAX)
		return false;
	while (m->count < count) {
		uint32_t n;
		if (!get_number(fd, &n) || n > FIELD_MAX)
			break;
		char *field = m->field[m->count] = calloc(1, n + 1);
		m->length[m->count++] = n;
		if (!get(fd, field, n))
			break;
	}
	return m->count == count;
}

static void message_add(struct message *m, const void *p, size_t n)
{
	char *field = calloc(1, n + 1);
	memcpy(field, p, n);
	m->field[m->count] = field;
	m->length[m->count++] = n;
}

static void message_add_text(struct message *m, const char *text)
{
	message_add(m, text, strlen(text));
}

/* In one write; frees it. */
static void message_put(int fd, struct message *m)
{
	size_t size = 4, at = 4;
	uint32_t number = htonl(m->count);
	for (uint32_t i = 0; i < m->count; i++)
		size += 4 + m->length[i];
	char *all = malloc(size);
	memcpy(all, &number, 4);
	for (uint32_t i = 0; i < m->count; i++) {
		number = htonl(m->length[i]);
		memcpy(all + at, &number, 4);
		memcpy(all + at + 4, m->field[i], m->length[i]);
		at += 4 + m->length[i];
	}
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, all + done, size - done);
		if (n < 0)
			break; /* whoever listened is gone; the next read says so */
		done += n;
	}
	free(all);
	message_fini(m);
}

static int control_connect(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(to.sun_path, control_path, sizeof(to.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror(control_path);
		exit(1);
	}
	return fd;
}

/* ---- libmilter's functions, by name ---- */

static sfsistat on_connect(SMFICTX *c, char *host, _SOCK_ADDR *address);
static sfsistat on_helo(SMFICTX *c, char *name);
static sfsistat on_mail(SMFICTX *c, char **words);
static sfsistat on_rcpt(SMFICTX *c, char **words);
static sfsistat on_header(SMFICTX *c, char *name, char *value);
static sfsistat on_eoh(SMFICTX *c);
static sfsistat on_body(SMFICTX *c, unsigned char *p, size_t n);
static sfsistat on_eom(SMFICTX *c);
static sfsistat on_abort(SMFICTX *c);
static sfsistat on_close(SMFICTX *c);
static sfsistat on_unknown(SMFICTX *c, const char *line);
static sfsistat on_data(SMFICTX *c);
static sfsistat on_negotiate(SMFICTX *c, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3, unsigned long *r0,
			     unsigned long *r1, unsigned long *r2, unsigned long *r3);

static bool named(char **names, const char *name)
{
	for (; *names; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* Name, flags, and the callbacks that are to be missing. */
static int all_register(SMFICTX *c, char **a)
{
	(void)c;
	char **without = a + 2;
	return smfi_register((struct smfiDesc){
	    .xxfi_name = a[0],
	    .xxfi_version = SMFI_VERSION,
	    .xxfi_flags = strtoul(a[1], NULL, 0),
	    .xxfi_connect = named(without, "connect") ? NULL : on_connect,
	    .xxfi_helo = named(without, "helo") ? NULL : on_helo,
	    .xxfi_envfrom = named(without, "mail") ? NULL : on_mail,
	    .xxfi_envrcpt = named(without, "rcpt") ? NULL : on_rcpt,
	    .xxfi_header = named(without, "header") ? NULL : on_header,
	    .xxfi_eoh = named(without, "eoh") ? NULL : on_eoh,
	    .xxfi_body = named(without, "body") ? NULL : on_body,
	    .xxfi_eom = on_eom,
	    .xxfi_abort = on_abort,
	    .xxfi_close = on_close,
	    .xxfi_unknown = named(without, "unknown") ? NULL : on_unknown,
	    .xxfi_data = named(without, "data") ? NULL : on_data,
	    .xxfi_negotiate = named(without, "negotiate") ? NULL : on_negotiate,
	});
}

/* At most 32 lines, says libmilter; so that it can be asked for more. */
static int all_setmlreply(SMFICTX *c, char **a)
{
	char **l = a + 2;
	return smfi_setmlreply(c, a[0], *a[1] ? a[1] : NULL, l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[8], l[9], l[10], l[11], l[12],
	    l[13], l[14], l[15], l[16], l[17], l[18], l[19], l[20], l[21], l[22], l[23], l[24], l[25], l[26], l[27], l[28], l[29], l[30],
	    l[31], l[32], NULL);
}

static int all_version(SMFICTX *c, char **a)
{
	(void)c, (void)a;
	unsigned major, minor, patch;
	if (smfi_version(&major, &minor, &patch) != MI_SUCCESS || major != SM_LM_VRS_MAJOR(SMFI_VERSION))
		return MI_FAILURE;
	return MI_SUCCESS;
}

/* Its result is the limit there was. */
static int all_setmaxdatasize(SMFICTX *c, char **a)
{
	(void)c;
	return smfi_setmaxdatasize(strtoul(a[0], NULL, 0));
}

/* The filters of both hosts that tests compare run as other users than they. */
static int all_opensocket(SMFICTX *c, char **a)
{
	(void)c;
	mode_t before = umask(0);
	int r = smfi_opensocket(strcmp(a[0], "remove") == 0);
	umask(before);
	return r;
}

#define CALL(function, ...)                                                                                            \
	static int all_##function(SMFICTX *c, char **a)                                                                 \
	{                                                                                                               \
		(void)c, (void)a;                                                                                       \
		return smfi_##function(__VA_ARGS__);                                                                    \
	}
CALL(setconn, a[0])
CALL(settimeout, atoi(a[0]))
CALL(setbacklog, atoi(a[0]))
CALL(setdbg, atoi(a[0]))
CALL(stop)
CALL(setreply, c, a[0], *a[1] ? a[1] : NULL, a[2])
CALL(addheader, c, a[0], a[1])
CALL(chgheader, c, a[0], atoi(a[1]), a[2])
CALL(insheader, c, atoi(a[0]), a[1], a[2])
CALL(chgfrom, c, a[0], a[1])
CALL(addrcpt, c, a[0])
CALL(addrcpt_par, c, a[0], a[1])
CALL(delrcpt, c, a[0])
CALL(progress, c)
CALL(quarantine, c, a[0])
CALL(setsymlist, c, atoi(a[0]), a[1])

static struct function {
	const char *name;
	int (*call)(SMFICTX *c, char **a);      /* NULL: its result is not a number, or nobody asks for it */
	bool called;
} functions[] = {
	{ "smfi_opensocket", all_opensocket, 0 },
	{ "smfi_register", all_register, 0 },
	{ "smfi_main", NULL, 0 },
	{ "smfi_setbacklog", all_setbacklog, 0 },
	{ "smfi_setdbg", all_setdbg, 0 },
	{ "smfi_settimeout", all_settimeout, 0 },
	{ "smfi_setconn", all_setconn, 0 },
	{ "smfi_stop", all_stop, 0 },
	{ "smfi_setmaxdatasize", all_setmaxdatasize, 0 },
	{ "smfi_version", all_version, 0 },
	{ "smfi_getsymval", NULL, 0 },
	{ "smfi_setreply", all_setreply, 0 },
	{ "smfi_setmlreply", all_setmlreply, 0 },
	{ "smfi_addheader", all_addheader, 0 },
	{ "smfi_chgheader", all_chgheader, 0 },
	{ "smfi_insheader", all_insheader, 0 },
	{ "smfi_chgfrom", all_chgfrom, 0 },
	{ "smfi_addrcpt", all_addrcpt, 0 },
	{ "smfi_addrcpt_par", all_addrcpt_par, 0 },
	{ "smfi_delrcpt", all_delrcpt, 0 },
	{ "smfi_progress", all_progress, 0 },
	{ "smfi_replacebody", NULL, 0 },
	{ "smfi_quarantine", all_quarantine, 0 },
	{ "smfi_setpriv", NULL, 0 },
	{ "smfi_getpriv", NULL, 0 },
	{ "smfi_setsymlist", all_setsymlist, 0 },
};

static struct function *find(const char *name)
{
	for (struct function *f = functions; f < functions + sizeof(functions) / sizeof(*functions); f++) {
		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static void count(const char *name)
{
	__atomic_store_n(&find(name)->called, true, __ATOMIC_RELAXED);
}

static void add_number(struct message *m, int n)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", n);
	message_add_text(m, text);
}

/* "calls" is ours: the functions that were called so far. */
static void call(SMFICTX *c, struct message *m, struct message *ret)
{
	const char *name = m->field[0];
	struct function *f = find(name);
	if (strcmp(name, "calls") == 0) {
		for (f = functions; f < functions + sizeof(functions) / sizeof(*functions); f++) {
			if (__atomic_load_n(&f->called, __ATOMIC_RELAXED))
				message_add_text(ret, f->name);
		}
		return;
	}
	if (!f) {
		fprintf(stderr, "milter_all: no function %s\n", name);
		abort();
	}
	count(name);
	if (f->call) {
		add_number(ret, f->call(c, m->field + 1));
	} else if (strcmp(name, "smfi_replacebody") == 0) {
		add_number(ret, smfi_replacebody(c, (unsigned char *)m->field[1], m->length[1]));
	} else if (strcmp(name, "smfi_getsymval") == 0) {
		const char *value = smfi_getsymval(c, m->field[1]);
		if (value)
			message_add_text(ret, value);
	}
}

/* Does what it is told, until that is to return: *LAST.  False: nobody tells. */
static bool obey(int fd, SMFICTX *c, struct message *last)
{
	while (message_get(fd, last) && last->count > 0) {
		if (strcmp(last->field[0], "return") == 0)
			return true;
		struct message result = { 0 };
		call(c, last, &result);
		message_fini(last);
		message_put(fd, &result);
	}
	message_fini(last);
	return false;
}

/* ---- callbacks ---- */

static sfsistat verdict(const char *word)
{
	static const struct {
		const char *word;
		sfsistat status;
	} verdicts[] = {
		{ "continue", SMFIS_CONTINUE }, { "reject", SMFIS_REJECT },   { "discard", SMFIS_DISCARD }, { "accept", SMFIS_ACCEPT },
		{ "tempfail", SMFIS_TEMPFAIL }, { "noreply", SMFIS_NOREPLY }, { "skip", SMFIS_SKIP },       { "all_opts", SMFIS_ALL_OPTS },
	};
	for (unsigned i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
		if (strcmp(verdicts[i].word, word) == 0)
			return verdicts[i].status;
	}
	fprintf(stderr, "milter_all: no verdict %s\n", word);
	abort();
}

static int session(SMFICTX *c)
{
	int *fd = smfi_getpriv(c);
	count("smfi_getpriv");
	if (!fd) {
		fd = malloc(sizeof(*fd));
		*fd = control_connect();
		smfi_setpriv(c, fd);
		count("smfi_setpriv");
	}
	return *fd;
}

/* Tells EVENT and obeys. */
static sfsistat tell(SMFICTX *c, struct message *event)
{
	int fd = session(c);
	struct message last;
	message_put(fd, event);
	if (!obey(fd, c, &last))
		return SMFIS_TEMPFAIL;
	sfsistat r = verdict(last.field[1]);
	message_fini(&last);
	return r;
}

static sfsistat tell_word(SMFICTX *c, const char *event, const char *word)
{
	struct message m = { 0 };
	message_add_text(&m, event);
	if (word)
		message_add_text(&m, word);
	return tell(c, &m);
}

static sfsistat tell_words(SMFICTX *c, const char *event, char **words)
{
	struct message m = { 0 };
	message_add_text(&m, event);
	for (; *words && m.count < FIELDS_MAX; words++)
		message_add_text(&m, *words);
	return tell(c, &m);
}

static sfsistat on_connect(SMFICTX *c, char *host, _SOCK_ADDR *address)
{
	struct message m = { 0 };
	char text[INET6_ADDRSTRLEN] = "";
	message_add_text(&m, "CONNECT");
	message_add_text(&m, host);
	if (!address) {
		message_add_text(&m, "U");
	} else if (address->sa_family == AF_UNIX) {
		message_add_text(&m, "L");
		message_add_text(&m, "0");
		message_add_text(&m, ((struct sockaddr_un *)address)->sun_path);
	} else {
		bool six = address->sa_family == AF_INET6;
		const struct sockaddr_in6 *a6 = (void *)address;
		const struct sockaddr_in *a4 = (void *)address;
		message_add_text(&m, six ? "6" : "4");
		add_number(&m, ntohs(six ? a6->sin6_port : a4->sin_port));
		message_add_text(&m, inet_ntop(address->sa_family, six ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr, text, sizeof(text)));
	}
	return tell(c, &m);
}

static sfsistat on_header(SMFICTX *c, char *name, char *value)
{
	return tell_words(c, "HEADER", (char *[]){ name, value, NULL });
}

static sfsistat on_body(SMFICTX *c, unsigned char *p, size_t n)
{
	struct message m = { 0 };
	message_add_text(&m, "BODY");
	message_add(&m, p, n);
	return tell(c, &m);
}

static sfsistat on_helo(SMFICTX *c, char *name) { return tell_word(c, "HELO", name); }
static sfsistat on_mail(SMFICTX *c, char **words) { return tell_words(c, "MAIL", words); }
static sfsistat on_rcpt(SMFICTX *c, char **words) { return tell_words(c, "RCPT", words); }
static sfsistat on_data(SMFICTX *c) { return tell_word(c, "DATA", NULL); }
static sfsistat on_unknown(SMFICTX *c, const char *line) { return tell_word(c, "UNKNOWN", line); }
static sfsistat on_eoh(SMFICTX *c) { return tell_word(c, "EOH", NULL); }
static sfsistat on_eom(SMFICTX *c) { return tell_word(c, "EOM", NULL); }
static sfsistat on_abort(SMFICTX *c) { return tell_word(c, "ABORT", NULL); }

/* libmilter calls it for every connection, also for one that did not even negotiate. */
static sfsistat on_close(SMFICTX *c)
{
	int *fd = smfi_getpriv(c);
	if (!fd)
		return SMFIS_CONTINUE;
	sfsistat r = tell_word(c, "CLOSE", NULL);
	close(*fd);
	free(fd);
	smfi_setpriv(c, NULL);
	return r;
}

/* They say what we may: we say what of it we use, unless it is everything. */
static sfsistat on_negotiate(SMFICTX *c, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3, unsigned long *r0,
			     unsigned long *r1, unsigned long *r2, unsigned long *r3)
{
	struct message m = { 0 }, last;
	char text[64];
	snprintf(text, sizeof(text), "%#lx %#lx", f0, f1);
	message_add_text(&m, "NEG");
	message_add_text(&m, text);
	int fd = session(c);
	message_put(fd, &m);
	if (!obey(fd, c, &last))
		return SMFIS_TEMPFAIL;
	sfsistat r = verdict(last.field[1]);
	if (last.count == 4) {
		*r0 = strtoul(last.field[2], NULL, 0);
		*r1 = strtoul(last.field[3], NULL, 0);
		*r2 = f2;
		*r3 = f3;
	}
	message_fini(&last);
	return r;
}

int main(int argc, char **argv)
{
	struct message begun = { 0 }, last = { 0 };
	if (argc != 2)
		return 2;
	control_path = argv[1];
	int fd = control_connect();
	message_add_text(&begun, "BEGIN");
	message_put(fd, &begun);
	if (!obey(fd, NULL, &last))
		return 1;
	message_fini(&last);
	count("smfi_main");
	int r = smfi_main();
	close(fd);
	return r == MI_SUCCESS ? 0 : 1;
}
