/* See sockets.h. */
#include "service/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST	    3
#define DESCRIPTORS 64ul

/* How many there are. */
static unsigned count(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (pid == NULL || fds == NULL || strtoul(pid, NULL, 10) != (unsigned long)getpid() ||
	    strtoul(fds, NULL, 10) > DESCRIPTORS)
		return 0;
	return (unsigned)strtoul(fds, NULL, 10);
}

/* Whether the n-th name in the list is this one. */
static bool is_name(const char *list, unsigned n, const char *name)
{
	size_t len;

	for (; n > 0 && list != NULL; n--) {
		list = strchr(list, ':');
		list = list != NULL ? list + 1 : NULL;
	}
	if (list == NULL)
		return false;
	len = strcspn(list, ":");
	return len == strlen(name) && strncmp(list, name, len) == 0;
}

static int find(const char *name, unsigned n, struct err *err)
{
	int found = -1;

	for (unsigned i = 0; i < n; i++) {
		if (name[0] != '\0' && !is_name(getenv("LISTEN_FDNAMES"), i, name))
			continue;
		if (found >= 0)
			return err_set(err, ERR_USAGE,
				       "%u sockets were passed: say which, as listen=NAME:PORT", n);
		found = FIRST + (int)i;
	}
	if (found >= 0)
		return found;
	return n == 0 ? err_set(err, ERR_USAGE,
				"no socket was passed (LISTEN_FDS): it is systemd, or "
				"systemd-socket-activate, that does this")
		      : err_set(err, ERR_USAGE,
				"none of the %u sockets that were passed is called "
				"%s (LISTEN_FDNAMES)",
				n, name);
}

int sockets_take(const char *name, struct err *err)
{
	int fd = find(name, count(), err), type = 0, listens = 0, flags;
	socklen_t len = sizeof(int);

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || listens == 0)
		return err_set(err, ERR_USAGE,
			       "descriptor %d is no socket that listens for streams "
			       "(ListenStream=, Accept=no)",
			       fd);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, errno, "descriptor %d", fd);
	return fd;
}
