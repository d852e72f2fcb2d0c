/*
 * Clients of a running machine or a LAN; the requests are in protocol.h.
 *
 *     client_open | client_open_lan → client_call … → client_close
 *
 * Blocking, one thread a client. Functions that return int return 0, or -errno with *err set:
 *
 *   ERR_NOT_FOUND  -ENOENT: no machine or LAN of that name is running
 *   ERR_USAGE      -EINVAL: it is no name, or the request could not be made
 *   ERR_FAILED     -EINVAL: the runtime folder is not private, or the process that listens is
 *                  another user's; -ETIMEDOUT: no answer in time; -EPIPE: it ended without an
 *                  answer; -EMSGSIZE: the answer is longer than PROTOCOL_LINE_MAX; -ENOMEM;
 *                  -ENAMETOOLONG; or the errno of lstat(2), socket(2), connect(2), poll(2) or
 *                  read(2)
 *   any kind       -EINVAL or -ENOENT: the reply is not "ok"; kind and text are the reply's
 */
#ifndef TORPOR_HOST_CLIENT_H
#define TORPOR_HOST_CLIENT_H

#include "host/claim.h"
#include "host/protocol.h"

struct client {
	int fd;
	int process; /* a pidfd of it; -1: none */
	enum claim_kind kind;
	char name[64];
	bool quiet;	 /* that it does not answer has been told, or is not to be */
	bool to_end;	 /* client_open_to_end() */
	bool awaits_end; /* the last request is answered when it is over */
	struct line_buffer lines;
};

/* Who is told, a line of text without its end, of a machine or LAN that leaves its client waiting
 * and answers nobody: its process is stopped, or its loop is held. This is found out a second after
 * it was asked, or had not taken a connection, and then told within two more, once for each
 * client; of who waits for the end, only when the process stands still. Not told are calls whose
 * deadline is less than three seconds: their error says the same. The waiting goes on. NULL, which
 * it is at first: nobody. Set before other threads are started; called on the thread that waits. */
void client_on_silence(void (*tell)(const char *line));

/* Connect. A process that holds the name and has no socket yet, or whose queue is full, is waited
 * for, at most CLIENT_CONNECT_MS: then -ECONNREFUSED, or -ETIMEDOUT. After an error there is
 * nothing to close. */
int client_open(struct client *client, const char *name, struct err *err);
/* The same, waiting at most `timeout_ms`. */
int client_open_within(struct client *client, const char *name, unsigned timeout_ms,
		       struct err *err);
/* client_open(), to end it for good: who starts it again when it ends (claim_restarts()) is told to leave that, and
 * one that is just being started again is waited for. -ENOENT while *told: it was, and does not come. */
int client_open_to_end(struct client *client, const char *name, bool *told, struct err *err);
int client_open_lan(struct client *client, const char *name, struct err *err);
void client_close(struct client *client);

#define CLIENT_FOREVER	  (-1)
#define CLIENT_CONNECT_MS 10000

/* Send a request (the reference is taken) and wait for its reply, which the caller releases; at
 * most `timeout_ms`. `request` may be NULL, which is ERR_USAGE: json_pack() gives that for a text
 * that is not UTF-8. `reply` may be NULL; *reply is NULL after an error. */
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
/* The same for a reply that is wanted, which the caller releases. */
int client_ask(const char *name, const char *what, json_t **reply, struct err *err);

/* Whether the machine has closed the connection: it has ended. */
bool client_hung_up(const struct client *client);
/* Wait until the machine is over, its name free and its process gone, with what it held. -ETIMEDOUT
 * when it is not; a machine that ends without an answer is over, too. */
int client_wait(struct client *client, int timeout_ms, struct err *err);
/* End it: by request, and by SIGKILL when that is not answered in time. Also the errno of
 * pidfd_send_signal(2), and -ETIMEDOUT when the killed process is there a minute later. */
int client_kill(struct client *client, struct err *err);
/* Open, kill, close. A process that holds the name and does not listen is killed, too. Errors of
 * client_open() and client_kill(). */
int client_kill_once(const char *name, struct err *err);
int client_kill_lan_once(const char *name, struct err *err);

#endif
