/* Clients of a running machine or a LAN; the requests are in protocol.h. Blocking, one thread. */
#ifndef TORPOR_HOST_CLIENT_H
#define TORPOR_HOST_CLIENT_H

#include "host/claim.h"
#include "host/protocol.h"

struct client {
	int fd;
	enum claim_kind kind;
	char name[64];
	struct line_buffer lines;
};

/* Connect. ERR_NOT_FOUND when no machine of that name is running; ERR_FAILED when the runtime
 * folder is not private or the socket belongs to another user; else the errno of connect(2). A
 * process that holds the name and has no socket yet is waited for, at most CLIENT_CONNECT_MS. */
int client_open(struct client *client, const char *name, struct err *err);
int client_open_lan(struct client *client, const char *name, struct err *err);
void client_close(struct client *client);

#define CLIENT_FOREVER	  (-1)
#define CLIENT_CONNECT_MS 10000

/* Send a request (the reference is taken) and wait for its reply, which the caller releases. A
 * reply that is not "ok" is returned as its error. ERR_USAGE when the request holds a text that is
 * not UTF-8 (`request` is NULL: json_pack() refuses that); -ETIMEDOUT after `timeout_ms`; -EPIPE
 * when the machine ended without an answer; else the errno of poll(2) or read(2). `reply` may be
 * NULL. */
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
/* End it: by request, and by SIGKILL when that is not answered in time. */
int client_kill(struct client *client, struct err *err);
/* Open, kill, close. A process that holds the name and does not listen is killed, too. */
int client_kill_once(const char *name, struct err *err);
int client_kill_lan_once(const char *name, struct err *err);

#endif
