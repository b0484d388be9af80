/*
 * db_hosts.h: the servers of one table, of which any will do, and the connections to them.
 *
 * As in Postfix, those with a connection are asked first, then those that are not known to be dead, on unix sockets before others; one that is
 * dead is left alone for a minute.  Unlike there, a kept connection that turns out dead is replaced at once, a server that hangs has only its
 * share of the time, and one that refused at once is tried again when there is no other: it costs nothing.
 */
#ifndef GATEPOST_TCP_TABLE_MODULES_DB_HOSTS_H
#define GATEPOST_TCP_TABLE_MODULES_DB_HOSTS_H

#include "tcp_table/modules/idle.h"
#include "tcp_table/table_driver.h"

enum { DB_HOSTS_MOST = 32 };

struct db_host {
	char *text; /* as the file has it, but for passwords in a URI */
	bool local; /* a unix socket: NAME is its path, or NULL for the library's own */
	char *name;
	unsigned port; /* 0: the library's own */
	struct idle idle;
	int64_t down_until; /* 0: it is not known to be dead */
	bool hung; /* when it died, it took its time */
};

/* One kind of server. */
struct db_client {
	/* "If you specify localhost as a hostname (even if you prefix it with inet:), MySQL will connect to the default UNIX domain socket." */
	bool localhost_is_local;
	/* Until DEADLINE (idle_now()).  -ETIMEDOUT: it hangs.  A sentence in ERR. */
	int (*connect)(void *table, const struct db_host *h, int64_t deadline, void **ret, struct buf *err);
	void (*close)(void *connection);
	/* 0, -E2BIG, -EMSGSIZE: VALUES has the answer.  -EIO: there is none, with a sentence in ERR.  -EPIPE: the connection is dead, and -ETIMEDOUT: it
	 * hangs, too. */
	int (*ask)(void *table, void *connection, struct bytes key, int64_t deadline, struct table_values *values,
	    struct buf *err);
};

struct db_hosts {
	const struct db_client *client;
	void *table; /* for CLIENT's methods */
	int64_t timeout; /* of one lookup */
	int64_t retry, keep; /* so long a dead one is left alone; so long a connection is kept */
	pthread_mutex_t lock; /* of down_until, hung, turn */
	unsigned turn;
	struct db_host hosts[DB_HOSTS_MOST];
	unsigned count;
};

/* Reads `idle_interval` and `retry_interval`. */
void db_hosts_init(
    struct db_hosts *d, struct table_config *c, const struct db_client *client, void *table, int64_t timeout);
void db_hosts_fini(struct db_hosts *d);
/* Adds a server; TEXT and NAME are copied.  Those behind DB_HOSTS_MOST are noted in C. */
void db_hosts_add(struct db_hosts *d, struct table_config *c, const struct db_host *host);
/* Adds those of `hosts`: unix:/path, /path, inet:host:port, host:port, host, or a URI, which is NAME then; none: localhost. */
void db_hosts_read(struct db_hosts *d, struct table_config *c);

/* As table_driver.get(). */
int db_hosts_get(struct db_hosts *d, struct bytes key, struct table_values *values, struct buf *err)
    __attribute__((warn_unused_result));

#endif
