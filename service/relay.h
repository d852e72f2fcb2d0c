/*
 * Connections that are handed on to a port of this host: bytes both ways, each end closed as the other
 * one is. All on one loop, its lock held.
 *
 *     relay_init → relay_add … → relay_end
 */
#ifndef TORPOR_SERVICE_RELAY_H
#define TORPOR_SERVICE_RELAY_H

#include <stdint.h>

#include "base/loop.h"

#define RELAY_MAX 1024u

struct relay_pair;

struct relays {
	struct loop *loop;
	struct relay_pair *first;
	unsigned count;
	unsigned open;	   /* of those: the side that was taken has not ended */
	uint64_t moved_ns; /* when bytes moved in any of them (CLOCK_MONOTONIC) */
	/* One is open no more; NULL: nobody is told. */
	void (*ended)(void *opaque);
	void *opaque;
};

void relay_init(struct relays *r, struct loop *loop, void (*ended)(void *opaque), void *opaque);
/* Take a connected socket, which is closed in any case, to that port of 127.0.0.1. Returns 0; -EBUSY
 * when there are RELAY_MAX; -ENOMEM; or the errno of socket(2), connect(2) or epoll_ctl(2). */
int relay_add(struct relays *r, int fd, uint16_t port, struct err *err);
/* Close all of them. */
void relay_end(struct relays *r);

#endif
