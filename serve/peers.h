/*
 * The connections of a server, so that none of them holds its place for nothing. A connection is
 * waiting, for all headers of a request, or busy with an answer. It is shut down when it waits for
 * longer than `patience`, or takes less than PEERS_RATE bytes a second of an answer for that long.
 * When the server has no place left, the one that has waited for longest is shut down for a new one.
 *
 * Any thread. Functions that return nothing cannot fail.
 */
#ifndef TORPOR_SERVE_PEERS_H
#define TORPOR_SERVE_PEERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PEERS_RATE 1024u

struct peers;
struct peer;

/* `wake_fd`, an eventfd, becomes readable when there is a connection after there was none. */
int peers_new(struct peers **out, unsigned limit, uint64_t patience_ns, int wake_fd,
	      struct err *err);
/* NULL is fine. There are no connections any more. */
void peers_free(struct peers *p);

/* A new connection, which waits. NULL: there is no memory, and it is not watched. */
struct peer *peers_add(struct peers *p, int fd);
/* Before its descriptor is closed. NULL is fine, here and below. */
void peers_remove(struct peers *p, struct peer *peer);
void peers_busy(struct peers *p, struct peer *peer);
void peers_waiting(struct peers *p, struct peer *peer);

/* Shut down those whose time is over. Returns how many connections there are. */
size_t peers_check(struct peers *p);

#endif
