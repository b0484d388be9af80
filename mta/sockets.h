/*
 * sockets.h: the listening sockets, opened by the master and inherited by its workers.
 *
 * Each worker has one of its own for each address (SO_REUSEPORT: the kernel spreads the connections); a unix socket is shared.  They stay open
 * across generations of workers as long as the address stays, so that no connection is lost on a reload or when a worker dies.
 */
#ifndef GATEPOST_MTA_SOCKETS_H
#define GATEPOST_MTA_SOCKETS_H

#include "mta/config.h"

struct socket_set;
struct sockets {
	struct socket_set *sets;
	unsigned count, cap;
};

/* Opens what C needs and is not open yet.  -errno with "FILE:LINE: sentence" in ERR; sockets_keep() with the config before takes back what
 * had been opened by then: a socket from which nobody accepts must not stay. */
int sockets_open(struct sockets *s, const struct config *c, struct buf *err) __attribute__((warn_unused_result));
/* Closes what C does not need. */
void sockets_keep(struct sockets *s, const struct config *c);
/* In worker I of C, which has inherited them all: closes what is not its own, which would else stay open for as long as it lives. */
void sockets_take(struct sockets *s, const struct config *c, unsigned worker);
/* After sockets_take(): the socket for an address of C. */
int sockets_fd(const struct sockets *s, const struct config_listener *l, const struct config_address *a);
/* Logs where each address of C is bound: with port 0 the kernel has chosen one. */
void sockets_log(const struct sockets *s, const struct config *c);
/* Closes all.  UNLINK: unix sockets vanish from the file system too, as when the server ends; not in a worker. */
void sockets_fini(struct sockets *s, bool unlink_paths);

/* Could C's addresses be bound?  Opens nothing for long.  Not for what the running server holds already. */
int sockets_check(const struct config *c, struct buf *err) __attribute__((warn_unused_result));

#endif
