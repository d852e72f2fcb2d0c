/* See client.h. */
#include "host/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/claim.h"
#include "host/parse.h"
#include "host/paths.h"

#define KILL_TIMEOUT_MS 2000
#define RETRY_NS	20000000L

static const char *what(const struct client *client)
{
	return client->lan ? "LAN" : "machine";
}

static bool is_held(const struct client *client)
{
	return client->lan ? claim_lan_is_held(client->name) : claim_is_held(client->name);
}

static int not_there(const struct client *client, struct err *err)
{
	if (client->lan)
		return err_set(err, ERR_NOT_FOUND, "there is no LAN %s", client->name);
	return err_set(err, ERR_NOT_FOUND, "no machine named %s is running", client->name);
}

static int connect_to(const struct client *client, struct err *err)
{
	struct sockaddr_un addr;
	int ret = client->lan ? path_lan_socket(&addr, client->name, "control", err)
			      : path_control(&addr, client->name, err);

	if (ret < 0)
		return ret;
	return connect(client->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

/* One that is just starting holds its name, but has no socket yet. */
static int connect_patiently(const struct client *client, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = RETRY_NS};
	int ret = connect_to(client, err);

	for (int i = 0; i < 100 && (ret == -ENOENT || ret == -ECONNREFUSED); i++) {
		if (!is_held(client))
			return not_there(client, err);
		nanosleep(&pause, NULL);
		ret = connect_to(client, err);
	}
	return ret < 0 ? err_sys(err, -ret, "talk to %s %s", what(client), client->name) : 0;
}

static int open_one(struct client *client, bool lan, const char *name, struct err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int ret = parse_name(name, err);

	*client = (struct client){.fd = -1, .lan = lan};
	if (ret < 0)
		return ret;
	snprintf(client->name, sizeof(client->name), "%s", name);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return err_sys(err, errno, "socket");
	ret = connect_patiently(client, err);
	if (ret == 0 && getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		client->pid = peer.pid;
	if (ret < 0)
		client_close(client);
	return ret;
}

int client_open(struct client *client, const char *name, struct err *err)
{
	return open_one(client, false, name, err);
}

int client_open_lan(struct client *client, const char *name, struct err *err)
{
	return open_one(client, true, name, err);
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	line_buffer_free(&client->lines);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int await_input(int fd, int64_t deadline)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int ret;

	do {
		int64_t left = deadline - now_ms();

		ret = poll(&pfd, 1, deadline < 0 ? -1 : left > 0 ? (int)left : 0);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret == 0 ? -ETIMEDOUT : 0;
}

static int read_line(struct client *client, int timeout_ms, char **line, struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int ret;

	while ((*line = line_buffer_next(&client->lines)) == NULL) {
		ret = await_input(client->fd, deadline);
		if (ret == -ETIMEDOUT) {
			err_set(err, ERR_FAILED, "%s %s does not answer", what(client),
				client->name);
			return -ETIMEDOUT;
		}
		if (ret == 0)
			ret = line_buffer_read(&client->lines, client->fd);
		if (ret == 0 || ret == -ECONNRESET) {
			err_set(err, ERR_FAILED, "%s %s ended without an answer", what(client),
				client->name);
			return -EPIPE;
		}
		if (ret < 0)
			return err_sys(err, -ret, "talk to %s %s", what(client), client->name);
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
	/* When sending fails the machine is gone: reading says so. */
	(void)protocol_send_with(client->fd, request, passed);
	ret = read_line(client, timeout_ms, &line, err);
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

/* The process that listens on the socket, unless it is gone: then its number may be another's. */
static int kill_process(struct client *client, struct err *err)
{
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, client->pid, 0);
	int ret;

	if (pidfd < 0 || !is_held(client))
		return 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(err, errno, "kill process %d", (int)client->pid);
	ret = await_input(pidfd, -1);
	return ret < 0 ? err_sys(err, -ret, "wait for process %d", (int)client->pid) : 0;
}

int client_kill(struct client *client, struct err *err)
{
	int ret = client_do(client, "kill", KILL_TIMEOUT_MS, NULL, err);

	if (ret == 0)
		ret = client_wait(client, KILL_TIMEOUT_MS, err);
	if (ret == -EPIPE)
		return 0;
	return ret == -ETIMEDOUT ? kill_process(client, err) : ret;
}

int client_kill_once(const char *name, struct err *err)
{
	struct client client;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_kill(&client, err);
	client_close(&client);
	return ret;
}
