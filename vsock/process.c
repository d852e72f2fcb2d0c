/* See process.h. */
#include "vsock/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/unix_socket.h"
#include "host/sandbox.h"

#define PATIENCE_MS 20000

struct dialer {
	int socket;
	char path[VSOCK_PATH_SIZE]; /* absolute */
	char folder[VSOCK_PATH_SIZE];
	int made; /* the socket at `path`: while it is open, no other file has its number */
};

/* --- the dialer's side --- */

static void send_answer(int socket, struct vsock_dial *answer, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(fd))];
	} control = {0};
	struct iovec iov = {answer, sizeof(*answer)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.space);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	/* A machine that is gone is seen at the next read. */
	(void)!sendmsg(socket, &message, MSG_NOSIGNAL);
}

static void dial(const struct dialer *d, struct vsock_dial *ask)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s_%u", d->path, ask->port);
	fd = unix_connect(path, UNIX_NO_WAIT);
	ask->error = fd < 0 ? fd : 0;
	send_answer(d->socket, ask, fd);
	if (fd >= 0)
		close(fd);
}

/* Another process may have put its own there meanwhile. */
static void remove_path(const struct dialer *d)
{
	struct stat made, there;

	if (fstat(d->made, &made) == 0 && lstat(d->path, &there) == 0 &&
	    there.st_dev == made.st_dev && there.st_ino == made.st_ino)
		(void)unlink(d->path);
}

static void dialer_main(void *opaque)
{
	struct dialer *d = opaque;
	struct vsock_dial ask = {0};
	struct err err;
	ssize_t got;

	(void)prctl(PR_SET_NAME, "torpor-vsock", 0, 0, 0);
	ask.error = sandbox_enter_dialer(d->folder, &err);
	send_answer(d->socket, &ask, -1);
	if (ask.error < 0) {
		remove_path(d);
		return;
	}
	while ((got = read(d->socket, &ask, sizeof(ask))) == (ssize_t)sizeof(ask) ||
	       (got < 0 && errno == EINTR)) {
		if (got > 0)
			dial(d, &ask);
	}
	remove_path(d);
}

/* --- the machine's side --- */

static int await_confined(int socket, struct err *err)
{
	struct pollfd poll_fd = {.fd = socket, .events = POLLIN};
	struct vsock_dial answer;
	int ret;

	while ((ret = poll(&poll_fd, 1, PATIENCE_MS)) < 0 && errno == EINTR)
		;
	if (ret < 0)
		return err_sys(err, errno, "poll");
	if (ret == 0 || read(socket, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		return err_set(err, ERR_FAILED,
			       "the process that connects for the guest does not answer");
	return answer.error < 0 ? err_sys(err, -answer.error,
					  "confine the process that connects for the guest")
				: 0;
}

/* Symbolic links in the folder's path are resolved now, and the process that connects is in another folder. */
static int make_absolute(struct dialer *d, const char *path, struct err *err)
{
	cleanup_free char *copy = strdup(path);
	char *slash = copy != NULL ? strrchr(copy, '/') : NULL, *folder;
	const char *name = strrchr(path, '/');
	int len;

	if (copy == NULL)
		return err_sys(err, ENOMEM, "--vsock %s", path);
	name = name != NULL ? name + 1 : path;
	if (slash != NULL)
		slash[slash == copy] = '\0';
	folder = realpath(slash != NULL ? copy : ".", NULL);
	if (folder == NULL)
		return err_sys(err, errno, "--vsock %s: its folder", path);
	snprintf(d->folder, sizeof(d->folder), "%s", folder);
	len = snprintf(d->path, sizeof(d->path), "%s/%s", strcmp(folder, "/") == 0 ? "" : folder,
		       name);
	free(folder);
	if (*name == '\0' || (size_t)len >= sizeof(d->path))
		return err_set(err, ERR_USAGE, "--vsock %s: no path for a socket, or too long",
			       path);
	return 0;
}

/* What a killed machine has left is replaced, and nothing else. */
static int check_free(const char *path, struct err *err)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		err_set(err, ERR_USAGE, "--vsock %s: there is something that is no socket", path);
		return -EEXIST;
	}
	fd = unix_connect(path, UNIX_NO_WAIT);
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return 0;
	if (fd >= 0)
		close(fd);
	err_set(err, ERR_USAGE, "--vsock %s: another process listens there", path);
	return -EEXIST;
}

int vsock_check_path(const char *path, struct err *err)
{
	struct dialer d = {0};
	int ret = make_absolute(&d, path, err);

	return ret < 0 ? ret : check_free(d.path, err);
}

static int start_dialer(struct vsock_ends *ends, struct dialer *d, struct err *err)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "socketpair");
	ends->dialer = pair[0];
	d->socket = pair[1];
	ret = child_detach(dialer_main, d, (const int[]){pair[1], d->made}, 2, err);
	close(pair[1]);
	return ret == 0 ? await_confined(ends->dialer, err) : ret;
}

int vsock_start(struct vsock_ends *ends, const char *path, struct err *err)
{
	struct dialer d = {0};
	int ret = make_absolute(&d, path, err);

	*ends = (struct vsock_ends)VSOCK_ENDS_CLOSED;
	if (ret == 0)
		ret = check_free(d.path, err);
	if (ret < 0)
		return ret;
	ends->listener = unix_listen(d.path, err);
	if (ends->listener < 0)
		return err_context(err, ends->listener, "--vsock %s", path);
	d.made = open(d.path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	ret = d.made < 0 ? err_sys(err, errno, "--vsock %s", path) : start_dialer(ends, &d, err);
	cleanup_fd_fn(&d.made);
	if (ret < 0)
		vsock_ends_close(ends);
	return ret;
}

void vsock_ends_close(struct vsock_ends *ends)
{
	cleanup_fd_fn(&ends->listener);
	cleanup_fd_fn(&ends->dialer);
	*ends = (struct vsock_ends)VSOCK_ENDS_CLOSED;
}

int vsock_dial_ask(int dialer, const struct vsock_dial *ask)
{
	return send(dialer, ask, sizeof(*ask), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int passed_descriptor(struct msghdr *message)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int vsock_dial_take(int dialer, struct vsock_dial *answer, int *fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(*fd))];
	} control;
	struct iovec iov = {answer, sizeof(*answer)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control.space)};
	ssize_t got;

	*fd = -1;
	while ((got = recvmsg(dialer, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0 &&
	       errno == EINTR)
		;
	if (got < 0)
		return errno == EAGAIN ? 0 : -EPIPE;
	*fd = passed_descriptor(&message);
	if (got == (ssize_t)sizeof(*answer) && (*fd >= 0) == (answer->error == 0))
		return 1;
	/* No descriptors left here: the one that came is gone. */
	if (got == (ssize_t)sizeof(*answer) && answer->error == 0) {
		answer->error = -EMFILE;
		return 1;
	}
	cleanup_fd_fn(fd);
	return -EPIPE;
}
