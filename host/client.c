/* See client.h. */
#include "host/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/unix_socket.h"
#include "host/arriving.h"
#include "host/parse.h"
#include "host/paths.h"

#define KILL_TIMEOUT_MS 2000
#define KILL_DEATH_MS	60000 /* a killed process frees its memory first */
#define RETRY_NS	20000000L
#define SILENCE_MS	1000 /* after so long it is looked whether it answers at all */
#define PROBE_MS	1500
#define LOOK_AGAIN_MS	10000 /* and then as long as it does */

#define SILENCE_TEXT (256u + ARRIVING_TEXT)
#define DEAF	     "does not answer"
#define NO_SOCKET    "is just starting, or ending"

static void (*client_tell)(const char *line);

void client_on_silence(void (*tell)(const char *line))
{
	client_tell = tell;
}

static int64_t client_now_ms(void)
{
	return (int64_t)(clock_monotonic_ns() / NS_PER_MS);
}

static const char *kind_name(const struct client *client)
{
	return client->kind == CLAIM_LAN ? "LAN" : "machine";
}

static bool client_is_held(const struct client *client)
{
	return client->kind == CLAIM_LAN ? claim_lan_is_held(client->name)
					 : claim_is_held(client->name);
}

/* Nobody holds the name, and somebody is about to. */
static bool client_comes_again(const struct client *client)
{
	return client->to_end && claim_is_restarted(client->name);
}

static bool nobody_listens(int ret)
{
	return ret == -ENOENT || ret == -ENOTDIR || ret == -ECONNREFUSED;
}

/* Returns the descriptor. */
static int try_connect(const struct client *client, unsigned timeout_ms)
{
	struct path path;
	int ret;

	if (client->kind == CLAIM_LAN) {
		ret = path_lan(&path, client->name, "control", NULL);
		return ret < 0 ? ret : unix_connect(path.text, timeout_ms);
	}
	ret = path_runtime(&path, client->name, "control", NULL);
	if (ret == 0)
		ret = unix_connect(path.text, timeout_ms);
	if (!nobody_listens(ret) || path_state(&path, client->name, "socket", NULL) < 0)
		return ret;
	/* Its runtime folder is another one, or has vanished. */
	return unix_connect(path.text, timeout_ms);
}

/* "T (stopped)", as Linux has it; "" when there is no such process. */
static void read_process_state(pid_t pid, char state[32])
{
	cleanup_file FILE *status = NULL;
	char path[32], line[128];

	state[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
		if (sscanf(line, "State: %31[^\n]", state) == 1)
			return;
	}
}

/* What is the matter with it (`what`), and how to end it. */
static void describe_silence(const struct client *client, const char *what, char *text, size_t len)
{
	pid_t pid = claim_holder(client->kind, client->name);
	char process[80] = "", state[32], arriving[ARRIVING_TEXT];
	struct arrivals_status status;

	if (client->kind == CLAIM_MACHINE && arriving_look(client->name, &status) &&
	    status.state != ARRIVALS_GOING) {
		arriving_text(&status, arriving);
		snprintf(text, len, "%s %s: it is %s; torpor kill %s ends it", client->name, what,
			 arriving, client->name);
		return;
	}
	read_process_state(pid, state);
	if (state[0] != '\0')
		snprintf(process, sizeof(process), " (process %d has state %s)", (int)pid, state);
	if (client->kind == CLAIM_LAN)
		snprintf(text, len, "LAN %s %s%s; torpor lan rm --force %s ends it", client->name,
			 what, process, client->name);
	else
		snprintf(text, len, "%s %s%s; torpor kill %s ends it", client->name, what, process,
			 client->name);
}

static int fail_silent(const struct client *client, const char *what, int ret, struct err *err)
{
	char text[SILENCE_TEXT];

	describe_silence(client, what, text, sizeof(text));
	err_set(err, ERR_FAILED, "%s", text);
	return ret;
}

/* Once, to whom client_on_silence() named. */
static void tell_silent(struct client *client, const char *what)
{
	char text[SILENCE_TEXT];

	if (client->quiet || client_tell == NULL)
		return;
	client->quiet = true;
	describe_silence(client, what, text, sizeof(text));
	client_tell(text);
}

/* Returns the descriptor, or what try_connect() gave last. */
static int connect_until(struct client *client, int64_t deadline)
{
	static const struct timespec pause = {.tv_nsec = RETRY_NS};
	const int64_t start = client_now_ms();
	int ret;

	for (;;) {
		int64_t now = client_now_ms();
		int64_t left = deadline > now ? deadline - now : 1;

		ret = try_connect(client, (unsigned)(left < SILENCE_MS ? left : SILENCE_MS));
		now = client_now_ms();
		/* One that is just starting holds its name, but has no socket yet. */
		if (ret >= 0 || now >= deadline || (ret != -EAGAIN && !nobody_listens(ret)))
			return ret;
		if (nobody_listens(ret) && !client_is_held(client) && !client_comes_again(client))
			return -ESRCH;
		if (now - start >= SILENCE_MS && deadline - now >= 2 * SILENCE_MS)
			tell_silent(client, ret == -EAGAIN ? DEAF : NO_SOCKET);
		if (ret != -EAGAIN)
			nanosleep(&pause, NULL);
	}
}

static int connect_patiently(struct client *client, unsigned timeout_ms, struct err *err)
{
	int ret = client->kind == CLAIM_LAN ? path_lans_check(err) : path_runtime_check(err);

	if (ret < 0)
		return ret;
	ret = connect_until(client, client_now_ms() + timeout_ms);
	if (ret >= 0) {
		client->fd = ret;
		return 0;
	}
	if (ret == -ESRCH && client->kind == CLAIM_LAN)
		return err_set(err, ERR_NOT_FOUND, "there is no LAN %s", client->name);
	if (ret == -ESRCH)
		return err_set(err, ERR_NOT_FOUND, "no machine named %s is running", client->name);
	if (ret == -EPERM)
		return err_set(err, ERR_FAILED,
			       "the process that answers for %s %s is another user's",
			       kind_name(client), client->name);
	if (ret == -EAGAIN)
		return fail_silent(client, DEAF, -ETIMEDOUT, err);
	if (nobody_listens(ret))
		return fail_silent(client, NO_SOCKET, -ECONNREFUSED, err);
	return err_sys(err, -ret, "connect to %s %s", kind_name(client), client->name);
}

/* A pidfd of the process that holds the name, which the caller closes. -1: none does, or it is this
 * one, whose end cannot be waited for. */
static int open_holder(const struct client *client)
{
	pid_t pid = claim_holder(client->kind, client->name);
	bool other = pid != 0 && pid != getpid();
	int pidfd = other ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	/* If it does not hold the name any more, its number may be another's. */
	if (pidfd >= 0 && claim_holder(client->kind, client->name) != pid) {
		close(pidfd);
		pidfd = -1;
	}
	return pidfd;
}

/* The rest of `client` is as its initializer has it. */
static int client_open_named(struct client *client, const char *name, unsigned timeout_ms,
			     struct err *err)
{
	int ret = parse_name(name, err);

	if (ret < 0)
		return ret;
	snprintf(client->name, sizeof(client->name), "%s", name);
	ret = connect_patiently(client, timeout_ms, err);
	if (ret == 0)
		client->process = open_holder(client);
	return ret;
}

int client_open(struct client *client, const char *name, struct err *err)
{
	return client_open_within(client, name, CLIENT_CONNECT_MS, err);
}

int client_open_within(struct client *client, const char *name, unsigned timeout_ms,
		       struct err *err)
{
	*client = (struct client){.fd = -1, .process = -1, .kind = CLAIM_MACHINE};
	return client_open_named(client, name, timeout_ms, err);
}

int client_open_to_end(struct client *client, const char *name, bool *told, struct err *err)
{
	*told = parse_name(name, NULL) == 0 && claim_restarts_end(name);
	*client = (struct client){.fd = -1, .process = -1, .kind = CLAIM_MACHINE, .to_end = true};
	return client_open_named(client, name, CLIENT_CONNECT_MS, err);
}

int client_open_lan(struct client *client, const char *name, struct err *err)
{
	*client = (struct client){.fd = -1, .process = -1, .kind = CLAIM_LAN};
	return client_open_named(client, name, CLIENT_CONNECT_MS, err);
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	if (client->process >= 0)
		close(client->process);
	client->fd = client->process = -1;
	line_buffer_free(&client->lines);
}

/* `deadline` as client_now_ms() has it; -1: none. */
static int await_input(int fd, int64_t deadline)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int timeout = -1, ret;

	do {
		if (deadline >= 0) {
			int64_t left = deadline - client_now_ms();

			timeout = left > 0 ? (int)left : 0;
		}
		ret = poll(&pfd, 1, timeout);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret == 0 ? -ETIMEDOUT : 0;
}

static int await_process(const struct client *client, int64_t deadline, struct err *err)
{
	int ret = client->process < 0 ? 0 : await_input(client->process, deadline);

	return ret < 0 ? err_sys(err, -ret, "wait for the process of %s %s", kind_name(client),
				 client->name)
		       : 0;
}

/* Whether another connection gets an answer: a request may take its time, but "status", and that a
 * LAN knows no such request, is answered at once. */
static bool client_answers(const struct client *client)
{
	struct client other = {.fd = -1, .process = -1, .kind = client->kind};
	int ret;

	memcpy(other.name, client->name, sizeof(other.name));
	other.fd = try_connect(client, SILENCE_MS);
	if (other.fd < 0)
		return other.fd != -EAGAIN;
	ret = client_do(&other, "status", PROBE_MS, NULL, NULL);
	client_close(&other);
	return ret != -ETIMEDOUT;
}

/* After a second of silence. A process that ends frees the memory of the machine, and answers
 * nobody meanwhile: who waits for the end is told of one that stands still alone. */
static bool is_deaf(const struct client *client)
{
	char state[32];

	read_process_state(claim_holder(client->kind, client->name), state);
	if (state[0] == 'T' || state[0] == 't')
		return true;
	return !client_answers(client) && (!client->awaits_end || state[0] == 'S');
}

/* Until there is something to read, or the deadline (-1: none). */
static int await_answer(struct client *client, int64_t deadline, struct err *err)
{
	int64_t look = client_now_ms() + SILENCE_MS;
	int ret;

	for (;;) {
		bool last = client->quiet || client_tell == NULL ||
			    (deadline >= 0 && deadline - look < 2 * SILENCE_MS);

		ret = await_input(client->fd, last ? deadline : look);
		if (ret == -ETIMEDOUT && last)
			return fail_silent(client, DEAF, -ETIMEDOUT, err);
		if (ret != -ETIMEDOUT)
			return ret < 0 ? err_sys(err, -ret, "talk to %s %s", kind_name(client),
						 client->name)
				       : 0;
		if (is_deaf(client))
			tell_silent(client, DEAF);
		look = client_now_ms() + LOOK_AGAIN_MS;
	}
}

static int client_read_line(struct client *client, int timeout_ms, char **line, struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : client_now_ms() + timeout_ms;
	int ret;

	while ((*line = line_buffer_next(&client->lines)) == NULL) {
		ret = await_answer(client, deadline, err);
		if (ret < 0)
			return ret;
		ret = line_buffer_read(&client->lines, client->fd);
		if (ret == 0 || ret == -ECONNRESET) {
			err_set(err, ERR_FAILED, "%s %s ended without an answer", kind_name(client),
				client->name);
			return -EPIPE;
		}
		if (ret < 0)
			return err_sys(err, -ret, "talk to %s %s", kind_name(client), client->name);
	}
	return 0;
}

int client_call(struct client *client, json_t *request, int timeout_ms, json_t **reply,
		struct err *err)
{
	return client_call_with(client, request, -1, timeout_ms, reply, err);
}

int client_call_with(struct client *client, json_t *request, int passed, int timeout_ms,
		     json_t **reply, struct err *err)
{
	json_t *answer;
	char *line;
	int ret;

	if (reply != NULL)
		*reply = NULL;
	if (request == NULL)
		return err_set(err, ERR_USAGE,
			       "machine %s cannot be asked: a name in the request is not UTF-8",
			       client->name);
	client->awaits_end = strcmp(protocol_text(request, "do"), "wait") == 0;
	/* When sending fails the machine is gone: reading says so. */
	(void)protocol_send_with(client->fd, request, passed);
	ret = client_read_line(client, timeout_ms, &line, err);
	if (ret < 0)
		return ret;
	answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	ret = protocol_check(answer, err);
	if (ret == 0 && reply != NULL)
		*reply = json_incref(answer);
	json_decref(answer);
	return ret;
}

int client_do(struct client *client, const char *what, int timeout_ms, json_t **reply,
	      struct err *err)
{
	return client_call(client, json_pack("{s:s}", "do", what), timeout_ms, reply, err);
}

int client_ask(const char *name, const char *what, json_t **reply, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_do(&client, what, CLIENT_FOREVER, reply, err);
	client_close(&client);
	return ret;
}

int client_once(const char *name, const char *what, struct err *err)
{
	return client_ask(name, what, NULL, err);
}

bool client_hung_up(const struct client *client)
{
	char byte;
	ssize_t got = recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

int client_wait(struct client *client, int timeout_ms, struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : client_now_ms() + timeout_ms;
	int ret = client_do(client, "wait", timeout_ms, NULL, err);

	if (ret < 0 && ret != -EPIPE)
		return ret;
	/* It may still hold files, an image of the store among them. */
	return await_process(client, deadline, err);
}

/* Kill the process that holds the name, and wait for its end. */
static int kill_holder(struct client *client, struct err *err)
{
	if (client->process < 0)
		client->process = open_holder(client);
	if (client->process < 0 && client_comes_again(client))
		return err_set(err, ERR_FAILED,
			       "machine %s is being started again, and is not there yet: try again",
			       client->name);
	if (client->process < 0)
		return 0;
	if (syscall(SYS_pidfd_send_signal, client->process, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(err, errno, "kill %s %s", kind_name(client), client->name);
	if (await_process(client, client_now_ms() + KILL_DEATH_MS, err) == 0)
		return 0;
	err_set(err, ERR_FAILED,
		"%s %s was killed, and its process is still there: it waits for this host, perhaps "
		"for a disk "
		"that does not answer; what it uses stays in use until then",
		kind_name(client), client->name);
	return -ETIMEDOUT;
}

int client_kill(struct client *client, struct err *err)
{
	const char *request = client->kind == CLAIM_LAN ? "end" : "kill";
	int ret;

	client->quiet = true;
	ret = client_do(client, request, KILL_TIMEOUT_MS, NULL, err);
	if (ret == 0 || ret == -EPIPE)
		ret = client_wait(client, KILL_TIMEOUT_MS, err);
	return ret == -ETIMEDOUT ? kill_holder(client, err) : ret;
}

static int kill_once(enum claim_kind kind, const char *name, struct err *err)
{
	struct client client = {
		.fd = -1, .process = -1, .kind = kind, .to_end = kind == CLAIM_MACHINE};
	int ret = client_open_named(&client, name, KILL_TIMEOUT_MS, err);

	if (ret == 0)
		ret = client_kill(&client, err);
	else if (ret == -ETIMEDOUT || ret == -ECONNREFUSED)
		ret = kill_holder(&client, err);
	client_close(&client);
	return ret;
}

/* One that was between its end and its next start is not started again. */
int client_kill_once(const char *name, struct err *err)
{
	const bool told = parse_name(name, NULL) == 0 && claim_restarts_end(name);
	int ret = kill_once(CLAIM_MACHINE, name, err);

	return told && ret == -ENOENT ? 0 : ret;
}

int client_kill_lan_once(const char *name, struct err *err)
{
	return kill_once(CLAIM_LAN, name, err);
}
