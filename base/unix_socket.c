/* See unix_socket.h. */
#include "base/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

/* *folder is to be closed when the address was used; -1: none. */
static int unix_address(const char *path, struct sockaddr_un *addr, int *folder)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	int len;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	*folder = -1;
	if (strlen(path) < sizeof(addr->sun_path)) {
		strcpy(addr->sun_path, path);
		return 0;
	}
	if (slash == NULL || (size_t)(slash - path) >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	*folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder < 0)
		return -errno;
	len = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d%s", *folder,
		       slash);
	return (size_t)len < sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

int unix_listen(const char *path, struct err *err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cleanup_fd int folder = -1;
	struct sockaddr_un addr;
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "socket");
	ret = unix_address(path, &addr, &folder);
	if (ret == -ENAMETOOLONG)
		return err_set(err, ERR_FAILED,
			       "listen on %s: a socket cannot have a name of so many bytes; 80 "
			       "behind the last / are few enough",
			       path);
	if (ret < 0)
		return err_sys(err, -ret, "listen on %s", path);
	(void)unlink(addr.sun_path);
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    chmod(addr.sun_path, 0600) < 0 || listen(fd, SOMAXCONN) < 0)
		return err_sys(err, errno, "listen on %s", path);
	return take_fd(&fd);
}

int unix_connect(const char *path, unsigned timeout_ms)
{
	const int flags = SOCK_CLOEXEC | (timeout_ms == UNIX_NO_WAIT ? SOCK_NONBLOCK : 0);
	struct timeval limit = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
	cleanup_fd int folder = -1;
	struct sockaddr_un addr;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int ret;

	if (fd < 0)
		return -errno;
	ret = unix_address(path, &addr, &folder);
	if (ret < 0)
		return ret;
	/* connect(2) waits for room in the queue as long as a send may take. */
	if (timeout_ms != UNIX_NO_WAIT &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (peer.uid != geteuid())
		return -EPERM;
	limit = (struct timeval){0};
	if (timeout_ms != UNIX_NO_WAIT &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return take_fd(&fd);
}
