/*
 * The HTTP/1.1 server of a catalog (catalog.h), on libmicrohttpd: GET and HEAD of OCI distribution
 * 1.1's paths, with errors as it has them, and of files; one range each (RFC 9110, 14).
 *
 *     server_load → (sandbox) → server_start → server_serve → server_stop
 *
 * SERVER_THREADS threads serve any number of connections, up to `connections`; what is sent goes by
 * sendfile(2). Main thread. Functions with an `err` return 0, or -errno with ERR_FAILED.
 */
#ifndef TORPOR_SERVE_SERVER_H
#define TORPOR_SERVE_SERVER_H

#include <stdbool.h>

#include "serve/catalog.h"

#define SERVER_THREADS 4u
/* Of a request line with its headers; what is longer is refused with 414 or 431. */
#define SERVER_HEADERS 16384u

struct server;

struct server_options {
	struct catalog *catalog; /* borrowed */
	int listen_fd;		 /* borrowed: listening */
	unsigned connections;
	unsigned patience_s; /* peers.h */
	/* It answers to names of this host alone: those of web pages can be led here. */
	bool local;
	/* A line about a request that failed through a fault here; on any thread. */
	void (*report)(void *opaque, const char *line);
	/* NULL, or a line about each request when it is over: "CLIENT METHOD PATH STATUS BYTES RANGE", the
	 * range as it was asked for, or "-"; with " cut" behind it when the client went before the end.
	 * PATH is as the client wrote it. On any thread. */
	void (*log)(void *opaque, const char *line);
	void *opaque;
};

/* Load libmicrohttpd. -EINVAL when it is not there. */
int server_load(struct err *err);
int server_start(struct server **out, const struct server_options *options, struct err *err);
/* Until the descriptor is readable. Returns 0, or what poll(2) gave. */
int server_serve(struct server *s, int stop_fd, struct err *err);
/* Closes all connections. NULL is fine. */
void server_stop(struct server *s);

#endif
