/* Talking to a running machine, or a LAN; the requests are in protocol.h. Blocking, one thread. */
#ifndef TORPOR_HOST_CLIENT_H
#define TORPOR_HOST_CLIENT_H

#include <sys/types.h>

#include "host/protocol.h"

struct client {
	int fd;
	pid_t pid; /* of the machine's process, as the kernel tells (SO_PEERCRED) */
	bool lan;
	char name[64];
	struct line_buffer lines;
};

/* ERR_NOT_FOUND when no machine of that name is running. */
int client_open(struct client *client, const char *name, struct err *err);
int client_open_lan(struct client *client, const char *name, struct err *err);
void client_close(struct client *client);

#define CLIENT_FOREVER (-1)

/* Send a request (the reference is taken) and wait for its reply, which the caller releases. An
 * answer that says "not ok" is returned as its error. -ETIMEDOUT after `timeout_ms`; -EPIPE when
 * the machine ended without answering. `reply` may be NULL. */
int client_call(struct client *client, json_t *request, int timeout_ms, json_t **reply,
		struct err *err);
/* The same with a descriptor for the machine; -1: none. */
int client_call_with(struct client *client, json_t *request, int passed, int timeout_ms,
		     json_t **reply, struct err *err);
/* The same for a request without arguments. */
int client_do(struct client *client, const char *what, int timeout_ms, json_t **reply,
	      struct err *err);
/* Open, do, close. */
int client_once(const char *name, const char *what, struct err *err);

/* Wait until the machine is over and its name free. -ETIMEDOUT when it is not. */
int client_wait(struct client *client, int timeout_ms, struct err *err);
/* End it: by request, and when that is not answered in time, by SIGKILL. */
int client_kill(struct client *client, struct err *err);
/* Open, kill, close. */
int client_kill_once(const char *name, struct err *err);

#endif
