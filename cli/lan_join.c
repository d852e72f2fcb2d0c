/* See lan_join.h. */
#include "cli/lan_join.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/lan_address.h"
#include "cli/lan_relay.h"
#include "host/client.h"

static int parted(int ret, struct err *err)
{
	return ret == 0 ? err_set(err, ERR_FAILED, "they were joined, and are no longer") : ret;
}

int lan_serve(const char *name, struct err *err)
{
	struct relay relay = {.in = STDIN_FILENO, .out = STDOUT_FILENO};
	int ret = relay_open(&relay, name, err);

	if (ret < 0)
		return ret;
	ret = relay_run(&relay, err);
	/* Of a refusal or a hang-up the other side has the reason. */
	return ret == -EINVAL || ret == -EPIPE ? 125 : ret;
}

static int is_there(const char *name, struct err *err)
{
	struct client client;
	int ret = client_open_lan(&client, name, err);

	if (ret == 0)
		client_close(&client);
	return ret;
}

int lan_join_at(const char *name, const char *address, struct err *err)
{
	struct relay relay = {.tell = true};
	cleanup_fd int fd = -1;
	int ret = is_there(name, err);

	if (ret < 0)
		return ret;
	fd = lan_address_connect(address, err);
	if (fd < 0)
		return fd;
	lan_address_tune(fd);
	relay.in = relay.out = fd;
	ret = relay_open(&relay, name, err);
	return ret < 0 ? ret : parted(relay_run(&relay, err), err);
}

/* ---- a command ---- */

static pid_t start(char *const argv[], int fd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	execvp(argv[0], argv);
	fprintf(stderr, "torpor: lan: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* Its own words, on standard error, say more than we could. */
static int explain(pid_t pid, int ret, const char *command, struct err *err)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (ret == -EPIPE && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		err_context(err, ret, "%.80s ended with status %d", command, WEXITSTATUS(status));
	return parted(ret, err);
}

/* A switch waits ten seconds for the greeting of a new connection, and a command may ask for a
 * password first. So connect only once the other side, which begins, has sent something or is gone.
 */
static int open_then(struct relay *relay, const char *name, struct err *err)
{
	struct pollfd spoken = {.fd = relay->in, .events = POLLIN};

	while (poll(&spoken, 1, -1) < 0 && errno == EINTR)
		continue;
	return relay_open(relay, name, err);
}

int lan_join_command(const char *name, char *const argv[], struct err *err)
{
	struct relay relay = {.tell = true};
	cleanup_fd int ours = -1;
	int ends[2], ret = is_there(name, err);
	pid_t pid;

	if (ret < 0)
		return ret;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	fflush(stdout);
	ours = ends[0];
	pid = start(argv, ends[1]);
	close(ends[1]);
	if (pid < 0)
		return err_sys(err, errno, "fork");
	relay.in = relay.out = ours;
	ret = open_then(&relay, name, err);
	if (ret == 0)
		ret = relay_run(&relay, err);
	close(take_fd(&ours));
	return explain(pid, ret, argv[0], err);
}

/* ---- an address ---- */

struct guest {
	struct relay relay;
	int fd;
};

static void *attend(void *opaque)
{
	struct guest *guest = opaque;
	struct err err;

	if (relay_run(&guest->relay, &err) < 0)
		fprintf(stderr, "torpor: lan: %s\n", err.text);
	close(guest->fd);
	free(guest);
	return NULL;
}

static int welcome(const char *name, int fd, struct err *err)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	pthread_t thread;
	int ret = guest == NULL ? err_sys(err, ENOMEM, "a connection")
				: relay_open(&guest->relay, name, err);

	if (ret == 0) {
		lan_address_tune(fd);
		guest->fd = guest->relay.in = guest->relay.out = fd;
		ret = pthread_create(&thread, NULL, attend, guest);
		if (ret == 0) {
			pthread_detach(thread);
			return 0;
		}
		close(guest->relay.lan);
		ret = err_sys(err, ret, "thread");
	}
	close(fd);
	free(guest);
	return ret;
}

/* Until the LAN is no more, which its control socket tells. */
static int attend_all(const char *name, int listener, int lan, struct err *err)
{
	struct pollfd fds[] = {{.fd = listener, .events = POLLIN}, {.fd = lan, .events = POLLIN}};
	int fd;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
		if (fds[1].revents != 0)
			return 0;
		if ((fds[0].revents & POLLIN) == 0)
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && welcome(name, fd, err) < 0)
			fprintf(stderr, "torpor: lan: %s\n", err->text);
	}
}

int lan_serve_at(const char *name, const char *address, struct err *err)
{
	struct lan_address_text where;
	cleanup_fd int listener = -1;
	struct client client;
	int ret = client_open_lan(&client, name, err);

	if (ret < 0)
		return ret;
	ret = listener = lan_address_listen(address, err);
	if (ret >= 0) {
		lan_address_of(listener, address, &where);
		printf("%s\n", where.text);
		fflush(stdout);
		(void)protocol_send(client.fd, json_pack("{s:s}", "do", "wait"));
		ret = attend_all(name, listener, client.fd, err);
	}
	client_close(&client);
	if (strncmp(address, "unix:", 5) == 0 && listener >= 0)
		(void)unlink(address + 5);
	return ret;
}
