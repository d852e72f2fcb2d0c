/* See helper.h. A request is the name of a machine and a socket for its answer, so that machines that
 * start at the same time get each its own; the kernel adds the number of the process. */
#include "limits/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "limits/place.h"

struct limits_answer {
	int ret;
	struct err err;
};

/* With room for descriptors and for SCM_CREDENTIALS. */
union control {
	char bytes[CMSG_SPACE(2 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

static int send_with(int to, const void *data, size_t len, const int *fd, unsigned n)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	union control control = {0};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n > 0) {
		struct cmsghdr *head;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(head), fd, n * sizeof(int));
	}
	return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Returns the length of the message, 0 at the end. Up to `most` descriptors that came along are in `fd`, the
 * others -1; *pid is the sender's, if that is known. */
static ssize_t receive_with(int from, void *data, size_t len, int *fd, unsigned most, pid_t *pid)
{
	struct iovec iov = {data, len};
	union control control;
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t got;

	for (unsigned i = 0; i < most; i++)
		fd[i] = -1;
	do {
		got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL;
	     head = CMSG_NXTHDR(&message, head)) {
		const size_t bytes = head->cmsg_len - CMSG_LEN(0);
		struct ucred sender;

		if (head->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&sender, CMSG_DATA(head), sizeof(sender));
			*pid = sender.pid;
		}
		for (size_t i = 0; head->cmsg_type == SCM_RIGHTS && i < bytes / sizeof(int); i++) {
			int came;

			memcpy(&came, CMSG_DATA(head) + i * sizeof(int), sizeof(came));
			if (i < most)
				fd[i] = came;
			else
				close(came);
		}
	}
	return got;
}

static int open_threads(const char *group, const char *below, struct err *err)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "%s%s/cgroup.threads", group, below);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "%s", path) : fd;
}

static void answer_one(const struct limits *l, const char *name, pid_t pid, int to)
{
	struct limits_answer answer = {.ret = -EINVAL};
	struct cgroup_path group;
	int fd[2] = {-1, -1};

	if (!name_is_valid(name) || pid <= 0)
		answer.ret = err_set(&answer.err, ERR_USAGE, "it has no name");
	else
		answer.ret = limits_place(name, pid, l, &group, &answer.err);
	if (answer.ret == 0)
		answer.ret = fd[0] = open_threads(group.text, "/vcpus", &answer.err);
	if (answer.ret >= 0)
		answer.ret = fd[1] = open_threads(group.text, "", &answer.err);
	if (answer.ret > 0)
		answer.ret = 0;
	/* Who does not hear it any more has ended. */
	(void)send_with(to, &answer, sizeof(answer), fd, answer.ret == 0 ? 2 : 0);
	cleanup_fd_fn(&fd[0]);
	cleanup_fd_fn(&fd[1]);
}

struct helper_start {
	const struct limits *limits;
	int fd;
};

static void serve_requests(void *opaque)
{
	const struct helper_start *start = opaque;
	char name[NAME_SIZE];
	pid_t pid = 0;
	ssize_t got;
	int to;

	while ((got = receive_with(start->fd, name, sizeof(name), &to, 1, &pid)) > 0) {
		if (name[got - 1] == '\0' && to >= 0)
			answer_one(start->limits, name, pid, to);
		cleanup_fd_fn(&to);
		pid = 0;
	}
}

int limits_helper_start(struct limits_helper *helper, const struct limits *l, struct err *err)
{
	struct helper_start start = {.limits = l};
	const int yes = 1;
	int ends[2], ret = 0;

	*helper = (struct limits_helper)LIMITS_HELPER_NONE;
	if (l->set == 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	start.fd = ends[1];
	if (setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0)
		ret = err_sys(err, errno, "SO_PASSCRED");
	if (ret == 0)
		ret = child_start(&helper->child, serve_requests, &start, &ends[1], 1, err);
	close(ends[1]);
	if (ret < 0)
		close(ends[0]);
	else
		helper->fd = ends[0];
	return ret;
}

int limits_helper_ask(const struct limits_helper *helper, const char *name,
		      struct limits_group *group, struct err *err)
{
	struct limits_answer answer;
	cleanup_fd int mine = -1;
	int ends[2], fd[2], ret;
	pid_t pid;

	*group = (struct limits_group)LIMITS_GROUP_NONE;
	if (helper->fd < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	mine = ends[0];
	ret = send_with(helper->fd, name, strlen(name) + 1, &ends[1], 1);
	close(ends[1]);
	if (ret < 0)
		return err_sys(err, -ret, "ask for a control group");
	if (receive_with(mine, &answer, sizeof(answer), fd, 2, &pid) != sizeof(answer))
		return err_sys(err, EPIPE, "the process that makes control groups has ended");
	*group = (struct limits_group){fd[0], fd[1]};
	return answer.ret < 0 ? err_copy(err, answer.ret, &answer.err) : 0;
}

/* Nobody waits for its end: a machine that begins has better things to do. */
void limits_helper_close(struct limits_helper *helper)
{
	cleanup_fd_fn(&helper->fd);
	helper->fd = -1;
	child_forget(&helper->child);
}

void limits_group_close(struct limits_group *group)
{
	cleanup_fd_fn(&group->vcpus_fd);
	cleanup_fd_fn(&group->rest_fd);
	*group = (struct limits_group)LIMITS_GROUP_NONE;
}
