/* See client.h. */
#include "host/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/unix_socket.h"
#include "host/parse.h"
#include "host/paths.h"

#define KILL_TIMEOUT_MS 2000
#define KILL_DEATH_MS	60000 /* a killed process frees its memory first */
#define RETRY_NS	20000000L

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

static int connect_patiently(struct client *client, unsigned timeout_ms, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = RETRY_NS};
	int64_t deadline = client_now_ms() + timeout_ms;
	int ret = client->kind == CLAIM_LAN ? path_lans_check(err) : path_runtime_check(err);

	if (ret < 0)
		return ret;
	while ((ret = try_connect(client, timeout_ms)) < 0) {
		/* One that is just starting holds its name, but has no socket yet. */
		if (!nobody_listens(ret) || client_now_ms() >= deadline)
			break;
		if (!client_is_held(client)) {
			if (client->kind == CLAIM_LAN)
				return err_set(err, ERR_NOT_FOUND, "there is no LAN %s",
					       client->name);
			return err_set(err, ERR_NOT_FOUND, "no machine named %s is running",
				       client->name);
		}
		nanosleep(&pause, NULL);
	}
	if (ret >= 0) {
		client->fd = ret;
		return 0;
	}
	if (ret == -EPERM)
		return err_set(err, ERR_FAILED,
			       "the process that answers for %s %s is another user's",
			       kind_name(client), client->name);
	if (ret == -EAGAIN || nobody_listens(ret)) {
		err_set(err, ERR_FAILED, "%s %s does not answer", kind_name(client), client->name);
		return -ETIMEDOUT;
	}
	return err_sys(err, -ret, "connect to %s %s", kind_name(client), client->name);
}

static int client_open_kind(struct client *client, enum claim_kind kind, const char *name,
			    unsigned timeout_ms, struct err *err)
{
	int ret = parse_name(name, err);

	*client = (struct client){.fd = -1, .kind = kind};
	if (ret < 0)
		return ret;
	snprintf(client->name, sizeof(client->name), "%s", name);
	return connect_patiently(client, timeout_ms, err);
}

int client_open(struct client *client, const char *name, struct err *err)
{
	return client_open_kind(client, CLAIM_MACHINE, name, CLIENT_CONNECT_MS, err);
}

int client_open_lan(struct client *client, const char *name, struct err *err)
{
	return client_open_kind(client, CLAIM_LAN, name, CLIENT_CONNECT_MS, err);
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
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

static int client_read_line(struct client *client, int timeout_ms, char **line, struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : client_now_ms() + timeout_ms;
	int ret;

	while ((*line = line_buffer_next(&client->lines)) == NULL) {
		ret = await_input(client->fd, deadline);
		if (ret == -ETIMEDOUT) {
			err_set(err, ERR_FAILED, "%s %s does not answer", kind_name(client),
				client->name);
			return -ETIMEDOUT;
		}
		if (ret == 0)
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

int client_once(const char *name, const char *what, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_do(&client, what, CLIENT_FOREVER, NULL, err);
	client_close(&client);
	return ret;
}

int client_wait(struct client *client, int timeout_ms, struct err *err)
{
	int ret = client_do(client, "wait", timeout_ms, NULL, err);

	return ret == -EPIPE ? 0 : ret;
}

/* Kill the process that holds the name, and wait for its end. */
static int kill_holder(const struct client *client, struct err *err)
{
	pid_t pid = claim_holder(client->kind, client->name);
	cleanup_fd int pidfd = -1;
	int ret;

	if (pid == 0)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* If it does not hold the name any more, its number may be another's. */
	if (pidfd < 0 || claim_holder(client->kind, client->name) != pid)
		return 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(err, errno, "kill process %d", (int)pid);
	ret = await_input(pidfd, client_now_ms() + KILL_DEATH_MS);
	return ret < 0 ? err_sys(err, -ret, "wait for process %d", (int)pid) : 0;
}

int client_kill(struct client *client, struct err *err)
{
	const char *request = client->kind == CLAIM_LAN ? "end" : "kill";
	int ret = client_do(client, request, KILL_TIMEOUT_MS, NULL, err);

	if (ret == 0)
		ret = client_wait(client, KILL_TIMEOUT_MS, err);
	if (ret == -EPIPE)
		return 0;
	return ret == -ETIMEDOUT ? kill_holder(client, err) : ret;
}

static int kill_once(enum claim_kind kind, const char *name, struct err *err)
{
	struct client client;
	int ret = client_open_kind(&client, kind, name, KILL_TIMEOUT_MS, err);

	if (ret == -ETIMEDOUT)
		return kill_holder(&client, err);
	if (ret < 0)
		return ret;
	ret = client_kill(&client, err);
	client_close(&client);
	return ret;
}

int client_kill_once(const char *name, struct err *err)
{
	return kill_once(CLAIM_MACHINE, name, err);
}

int client_kill_lan_once(const char *name, struct err *err)
{
	return kill_once(CLAIM_LAN, name, err);
}
