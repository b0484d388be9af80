/*
 * db_hosts.c: which server to ask, and what to do when it does not answer.
 */
#include "tcp_table/modules/db_hosts.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <strings.h>

#define SECOND INT64_C(1000000000)

/* ---- the list ---- */

void db_hosts_init(
    struct db_hosts *d, struct table_config *c, const struct db_client *client, void *table, int64_t timeout)
{
	*d = (struct db_hosts){ .client = client, .table = table, .timeout = timeout };
	d->keep = table_config_int(c, "idle_interval", 60, 1, INT_MAX) * SECOND;
	d->retry = table_config_int(c, "retry_interval", 60, 1, INT_MAX) * SECOND;
	pthread_mutex_init(&d->lock, NULL);
}

void db_hosts_fini(struct db_hosts *d)
{
	for (unsigned i = 0; i < d->count; i++) {
		idle_fini(&d->hosts[i].idle);
		mem_free(d->hosts[i].text);
		mem_free(d->hosts[i].name);
	}
	pthread_mutex_destroy(&d->lock);
}

void db_hosts_add(struct db_hosts *d, struct table_config *c, const struct db_host *host)
{
	if (d->count == DB_HOSTS_MOST) {
		table_config_wrong(c, "hosts", "there are more than %d hosts", DB_HOSTS_MOST);
		return;
	}
	struct db_host *h = &d->hosts[d->count++];
	*h = (struct db_host){ .text = mem_strdup(host->text),
		.local = host->local,
		.name = host->name ? mem_strdup(host->name) : NULL,
		.port = host->port };
	idle_init(&h->idle, d->keep, d->client->close);
}

/* "host:port", "[2001:db8::1]:port"; libpq has a port for unix sockets, too. */
static void db_host_read_inet(struct db_host *h, struct bytes text, struct table_config *c)
{
	ptrdiff_t colon = bytes_rfind(text, ':');
	bool bracketed = text.n && *text.p == '[';
	uint64_t port;

	if (colon >= 0 && (!bracketed || text.p[colon - 1] == ']')) {
		if (bytes_to_u64(bytes_skip(text, (size_t)colon + 1), 65535, &port) < 0)
			table_config_wrong(c, "hosts", "\"%s\" has no port number behind its colon", h->text);
		else
			h->port = (unsigned)port;
		text = bytes_first(text, (size_t)colon);
	}
	if (bracketed && text.n > 1 && text.p[text.n - 1] == ']')
		text = bytes_make(text.p + 1, text.n - 2);
	h->name = bytes_dup(text);
}

/* What is told of a URI: no more than "scheme://host", since passwords may stand before and behind that. */
static char *db_host_uri_text(struct bytes uri)
{
	struct bytes rest = uri, scheme = bytes_cut(&rest, ':');
	rest = bytes_skip(rest, 2);
	size_t n = 0;

	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	rest = bytes_first(rest, n);
	ptrdiff_t at = bytes_rfind(rest, '@');
	rest = bytes_skip(rest, (size_t)(at + 1));
	return mem_printf("%.*s://%.*s", BYTES_ARG(scheme), BYTES_ARG(rest));
}

static void db_host_read(struct db_hosts *d, struct table_config *c, struct bytes text)
{
	struct db_host h = { .text = bytes_dup(text) };

	if (bytes_case_starts(text, BYTES("unix:"))) {
		h.local = true;
		db_host_read_inet(&h, bytes_skip(text, 5), c);
	} else if (bytes_search(text, BYTES("://")) >= 0) {
		h.name = bytes_dup(text);
		mem_free(h.text);
		h.text = db_host_uri_text(text);
	} else {
		db_host_read_inet(&h, bytes_case_starts(text, BYTES("inet:")) ? bytes_skip(text, 5) : text, c);
		h.local = *h.name == '/';
	}
	if (!h.local && d->client->localhost_is_local && strcasecmp(h.name, "localhost") == 0) {
		h.local = true;
		mem_free(h.name);
		h.name = NULL;
	}
	db_hosts_add(d, c, &h);
	mem_free(h.text);
	mem_free(h.name);
}

void db_hosts_read(struct db_hosts *d, struct table_config *c)
{
	struct bytes rest = bytes_of(table_config_str(c, "hosts", ""));

	while (rest.n) {
		size_t n = 0;
		while (n < rest.n && !table_space(rest.p[n]) && rest.p[n] != ',')
			n++;
		if (n)
			db_host_read(d, c, bytes_first(rest, n));
		rest = bytes_skip(rest, n < rest.n ? n + 1 : n);
	}
	if (d->count == 0)
		db_host_read(d, c, BYTES("localhost"));
}

/* ---- choosing ---- */

/* The less the better. */
enum db_rank { DB_CONNECTED, DB_ALIVE, DB_REFUSED, DB_LEFT_ALONE };

static enum db_rank db_host_rank(struct db_host *h, int64_t now)
{
	if (idle_any(&h->idle))
		return DB_CONNECTED;
	if (h->down_until <= now)
		return DB_ALIVE;
	return h->hung ? DB_LEFT_ALONE : DB_REFUSED;
}

/* The best that is not in TRIED; NULL: none.  Equals take turns. */
static struct db_host *db_hosts_choose(struct db_hosts *d, uint32_t *tried)
{
	int64_t now = idle_now();
	unsigned best = 0, best_rank = UINT_MAX;

	pthread_mutex_lock(&d->lock);
	for (unsigned k = 0; k < d->count; k++) {
		unsigned i = (d->turn + k) % d->count;
		enum db_rank rank = *tried >> i & 1 ? DB_LEFT_ALONE : db_host_rank(&d->hosts[i], now);
		unsigned full = 2 * (unsigned)rank + !d->hosts[i].local;
		if (rank != DB_LEFT_ALONE && full < best_rank) {
			best = i;
			best_rank = full;
		}
	}
	d->turn++;
	pthread_mutex_unlock(&d->lock);
	if (best_rank == UINT_MAX)
		return NULL;
	*tried |= UINT32_C(1) << best;
	return &d->hosts[best];
}

static void db_host_mark(struct db_hosts *d, struct db_host *h, int r)
{
	pthread_mutex_lock(&d->lock);
	h->down_until = r < 0 ? idle_now() + d->retry : 0;
	h->hung = r == -ETIMEDOUT;
	pthread_mutex_unlock(&d->lock);
}

/* ---- asking ---- */

static bool db_is_answer(int r)
{
	return r == 0 || r == -E2BIG || r == -EMSGSIZE;
}

static bool db_is_lost(int r)
{
	return r == -EPIPE || r == -ETIMEDOUT;
}

struct db_question {
	struct bytes key;
	struct table_values *values;
	int64_t deadline;
	struct buf *err;
};

/* Over connection C, which is kept or closed. */
static int db_host_ask(struct db_hosts *d, struct db_host *h, void *c, const struct db_question *q)
{
	buf_clear(q->values->ret);
	q->values->count = 0;
	int r = d->client->ask(d->table, c, q->key, q->deadline, q->values, q->err);
	if (db_is_lost(r))
		d->client->close(c);
	else
		idle_put(&h->idle, c);
	return r;
}

static int db_host_get(struct db_hosts *d, struct db_host *h, const struct db_question *q)
{
	size_t said = q->err->n;
	void *c = idle_take(&h->idle);

	if (c) {
		int r = db_host_ask(d, h, c, q);
		if (r != -EPIPE) {
			if (r == -ETIMEDOUT)
				db_host_mark(d, h, r);
			return r;
		}
		/* It has been restarted, and the others know nothing of it yet. */
		idle_drop(&h->idle);
		q->err->n = said;
	}
	int r = d->client->connect(d->table, h, q->deadline, &c, q->err);
	if (r == 0) {
		r = db_host_ask(d, h, c, q);
		db_host_mark(d, h, db_is_lost(r) ? r : 0);
	} else {
		db_host_mark(d, h, r);
	}
	return r;
}

int db_hosts_get(struct db_hosts *d, struct bytes key, struct table_values *values, struct buf *err)
{
	int64_t end = idle_now() + d->timeout;
	uint32_t tried = 0;
	struct db_host *h;
	int r = -EAGAIN;

	for (unsigned left = d->count; idle_now() < end && (h = db_hosts_choose(d, &tried)); left--) {
		int64_t now = idle_now();
		const struct db_question q = { key, values, now + (end - now) / left, err };
		size_t said = err->n;
		buf_printf(err, "%s%s: ", said ? "; " : "", h->text);
		r = db_host_get(d, h, &q);
		if (db_is_answer(r)) {
			buf_clear(err);
			return r;
		}
	}
	if (err->n == 0)
		buf_add_str(err, "no server has answered lately");
	return r;
}
